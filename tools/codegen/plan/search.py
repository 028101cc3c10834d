"""Which layers are computed by rows, in how many steps, in which order, and by which of their kernels.

Chains are neighbours in the order of execution. The bytes alive during a chain depend on nothing but the chain and
on what later layers still need, and a kernel's scratch memory is alive for its layer alone. So with a ceiling on the
bytes alive at one step every layer takes the cheapest kernel that fits, every chain has a cost, and the best division
of the order into layers and chains is the cheapest path through it.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

from ..graph import Graph, Node
from .layout import NO_SCRATCH, MemoryPlan, Part, lay_out, nodes_of, share
from .offsets import align
from .order import orders
from .stream import PLAIN, Schedule, Stream, Work, accumulates, may_lie_onto, reach, rows_in, schedule

Goal: TypeAlias = Literal["plain", "free", "least"]
ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
QUANTA = (1, 4, 16)
FEW = 8  # rows of one position each
LONGEST = 24
FREE = 0.02
CALL = 400.0  # cycles that a call of a kernel costs beside its work, about
TRIES = 8


@dataclass(frozen=True)
class Option:
    """A kernel that can compute a layer: its scratch memory in bytes and its cycles for the whole layer."""

    scratch: int = 0
    cycles: float = 0.0
    work: Work = PLAIN

    def cost(self, lengths: Mapping[int, int], rows: int) -> float:
        """Cycles of calls by their number of rows, of `rows` in all."""
        each = self.cycles / self.work.rows(rows)
        work = sum(count * self.work.rows(length) for length, count in lengths.items())
        return each * work + CALL * (sum(lengths.values()) - 1)


FIXED = (Option(),)
Options: TypeAlias = Mapping[str, Sequence[Option]]


@dataclass(frozen=True)
class Piece:
    """A part of the order. alive: bytes beside scratch memory while each of its layers computes."""

    part: Part
    ways: tuple[Way, ...]

    @cached_property
    def floor(self) -> int:
        """The fewest bytes with which it can be computed."""
        return max(way.floor for way in self.ways)

    def cost(self, ceiling: float) -> float:
        return sum(way.pick(ceiling)[0] for way in self.ways)


@dataclass(frozen=True)
class Way:
    """A layer in a piece; choices: (cycles, bytes alive, number of the option), cheapest first."""

    node: Node
    choices: tuple[tuple[float, int, int], ...]

    @cached_property
    def floor(self) -> int:
        return min(alive for _, alive, _ in self.choices)

    def pick(self, ceiling: float) -> tuple[float, int, int]:
        """The cheapest choice below a ceiling that is not below the floor."""
        return next(choice for choice in self.choices if choice[1] <= ceiling)


@dataclass(frozen=True)
class Frame:
    """A part of an order whatever its kernels are. alive: bytes beside scratch memory while each layer computes;
    lengths: of each layer the number of calls by their rows; onto: layers that need a kernel that reads all of its
    input before it writes."""

    part: Part
    alive: tuple[int, ...]
    lengths: tuple[Mapping[int, int], ...]
    onto: frozenset[str]


class Parts:
    """The chains of a graph and their frames, found once for all plans of the graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._chains: dict[tuple[tuple[str, ...], bool], tuple[Schedule, ...]] = {}
        self._onto: dict[tuple[Schedule, frozenset[str]], Schedule] = {}
        self._frames: dict[tuple[tuple[str, ...], int, Schedule | None], Frame] = {}

    def chains(self, nodes: Sequence[Node], fine: bool) -> tuple[Schedule, ...]:
        """All schedules of neighbours in an order."""
        key = tuple(node.name for node in nodes), fine
        if key not in self._chains:
            self._chains[key] = tuple(schedules(self.graph, nodes, fine))
        return self._chains[key]

    def with_onto(self, chain: Schedule, onto: frozenset[str]) -> Schedule:
        """The chain with strips of those layers written over their input."""
        if (chain, onto) not in self._onto:
            self._onto[chain, onto] = replace(chain, onto=onto)
        return self._onto[chain, onto]

    def frame(self, order: Sequence[Node], begin: int, part: Part) -> Frame:
        """The frame of a part that begins behind so many layers of an order."""
        chain = part if isinstance(part, Schedule) else None
        key = tuple(node.name for node in order), begin, chain
        if key not in self._frames:
            self._frames[key] = self._frame(order, begin, part)
        return self._frames[key]

    def _frame(self, order: Sequence[Node], begin: int, part: Part) -> Frame:
        nodes = nodes_of(part)
        after = order[begin + len(nodes) :]
        found = share(self.graph, [part, *after], given=given(self.graph, order[:begin], order[begin:]))
        lengths = [
            Counter(b - a for a, b in part.lengths(node.name))
            if isinstance(part, Schedule)
            else {self.graph.tensors[node.name].shape[0]: 1}
            for node in nodes
        ]
        first = found.blocks[0]
        onto = frozenset(first.onto) if isinstance(first, Stream) else frozenset[str]()
        return Frame(part, tuple(found.alive(step) for step in range(len(nodes))), tuple(lengths), onto)


@dataclass(frozen=True)
class Division:
    """An order of execution as layers and chains, the option of each layer, and the cycles of all."""

    parts: tuple[Part, ...]
    picks: Mapping[str, int]
    cycles: float


def plan(graph: Graph, scratch: Mapping[str, int] = NO_SCRATCH) -> MemoryPlan:
    """Layers one after the other in the graph's order; `scratch`: bytes for nodes."""
    return lay_out(graph, graph.nodes, scratch)


def arrange(
    graph: Graph, options: Options, goal: Goal = "free", limit: int = 0, parts: Parts | None = None
) -> MemoryPlan:
    """Choose order, chains and kernels, and place all tensors; deterministic but for what offsets.py says of time.

    options: of each node that has any; the plan's `picks` are their numbers. goal: "plain" computes whole layers in
    the graph's order by the fastest kernels, "free" takes the smallest arena that costs at most 2 % more cycles,
    "least" the smallest of all, in the fewest cycles. With a limit in bytes the arena of the fewest cycles below it is
    taken, if there is one, whatever the goal, else the smallest. parts: of this graph, from one plan to the next.
    """
    parts = parts or Parts(graph)
    if goal == "plain" and not limit:
        division = Divisions(parts, graph.nodes, options, chains=False).within(float("inf"))
        return laid_out(graph, division, options)
    fastest = {name: min(found, key=lambda o: o.cycles).scratch for name, found in options.items()}
    found: list[tuple[bool, float, float, MemoryPlan]] = []
    for nodes in orders(graph, fastest):
        divisions = Divisions(parts, nodes, options, fine=goal == "least")
        if limit < divisions.floor and limit:
            divisions = Divisions(parts, nodes, options)
        ceiling = float(limit) if limit else divisions.smallest(FREE if goal == "free" else None)
        for _ in range(TRIES):
            division = divisions.within(ceiling)
            memory = laid_out(graph, division, options)
            if memory.arena_bytes <= max(limit, ceiling) or ceiling <= divisions.floor:
                break
            ceiling = divisions.below(ceiling)
        over = memory.arena_bytes > limit
        size, cycles = float(memory.arena_bytes), division.cycles
        found.append((over, size if over else cycles, cycles if over else size, memory))
    return min(found, key=lambda entry: entry[:3])[3]


def laid_out(graph: Graph, division: Division, options: Options) -> MemoryPlan:
    scratch = {name: options[name][number].scratch for name, number in division.picks.items()}
    return replace(lay_out(graph, division.parts, scratch), picks=division.picks)


class Divisions:
    """All divisions of an order into layers and chains."""

    def __init__(
        self,
        parts: Parts,
        nodes: Sequence[Node],
        options: Options,
        chains: bool = True,
        fine: bool = True,
    ) -> None:
        self._parts, self._nodes, self._options = parts, nodes, options
        # By the number of layers up to the piece's end: pieces with the number up to their begin.
        self._pieces: list[list[tuple[int, Piece]]] = [[] for _ in range(len(nodes) + 1)]
        for begin, node in enumerate(nodes):
            self._pieces[begin + 1].append((begin, self._piece(begin, node)))
        for begin, end in runs(parts.graph, nodes) if chains else ():
            for chain in parts.chains(nodes[begin:end], fine):
                self._pieces[end].append((begin, self._piece(begin, chain)))
                onto = frozenset(node.name for node in chain.nodes if self._reads_ahead(chain, node))
                if onto:
                    self._pieces[end].append((begin, self._piece(begin, parts.with_onto(chain, onto))))
        lowest = [0]
        for pieces in self._pieces[1:]:
            lowest.append(min(max(lowest[begin], piece.floor) for begin, piece in pieces))
        self.floor = lowest[-1]
        """The fewest bytes alive at one step of any division."""

    @cached_property
    def _ceilings(self) -> list[int]:
        """The bytes at which something changes, from `floor` up."""
        found = {a for ps in self._pieces for _, p in ps for w in p.ways for _, a, _ in w.choices}
        return sorted(alive for alive in found if alive >= self.floor)

    def below(self, ceiling: float) -> int:
        return self._ceilings[max(bisect.bisect_left(self._ceilings, ceiling) - 1, 0)]

    def smallest(self, share: float | None) -> int:
        """The smallest ceiling at which the cycles exceed the fewest by no more than a share; None: of all."""
        if share is None or not self._nodes:
            return self.floor
        most = self.within(float("inf")).cycles * (1 + share)
        return self._ceilings[
            bisect.bisect_left(self._ceilings, -most, key=lambda ceiling: -self.within(ceiling).cycles)
        ]

    def within(self, ceiling: float) -> Division:
        """The division of the fewest cycles whose bytes alive at a step never exceed a ceiling."""
        ceiling = max(ceiling, self.floor)
        best: list[tuple[float, int, int, Piece | None] | None] = [(0.0, 0, 0, None)]
        for pieces in self._pieces[1:]:
            ways = []
            for begin, piece in pieces:
                before = best[begin]
                if before is not None and piece.floor <= ceiling:
                    ways.append((before[0] + piece.cost(ceiling), before[1] + 1, begin, piece))
            best.append(min(ways, key=lambda way: way[:3]) if ways else None)
        parts: list[Part] = []
        picks: dict[str, int] = {}
        at = len(self._nodes)
        while at:
            entry = best[at]
            assert entry is not None and entry[3] is not None
            at, piece = entry[2], entry[3]
            parts.insert(0, piece.part)
            picks |= {w.node.name: w.pick(ceiling)[2] for w in piece.ways if w.node.name in self._options}
        last = best[-1]
        assert last is not None
        return Division(tuple(parts), picks, last[0])

    def _reads_ahead(self, chain: Schedule, node: Node) -> bool:
        """Some kernel reads all of a strip's input before it writes, and the strip may be written there."""
        most = max(option.work.ahead for option in self._options.get(node.name, FIXED))
        return may_lie_onto(chain, node) and longest(chain, node) <= most

    def _piece(self, begin: int, part: Part) -> Piece:
        frame = self._parts.frame(self._nodes, begin, part)
        ways = []
        for node, alive, lengths in zip(nodes_of(part), frame.alive, frame.lengths, strict=True):
            rows = self._parts.graph.tensors[node.name].shape[0]
            ahead = max(lengths) if node.name in frame.onto else 0
            choices = [
                (option.cost(lengths, rows), alive + align(option.scratch), number)
                for number, option in enumerate(self._options.get(node.name, FIXED))
                if option.work.ahead >= ahead
            ]
            ways.append(Way(node, tuple(sorted(choices))))
        return Piece(part, tuple(ways))


def longest(chain: Schedule, node: Node) -> int:
    """The most rows of a call."""
    return max(b - a for a, b in chain.lengths(node.name))


def given(graph: Graph, done: Sequence[Node], left: Sequence[Node]) -> list[str]:
    """The tensors that exist behind some layers and are needed."""
    needed = {source for node in left for source in node.inputs} | set(graph.outputs)
    if not done:
        return list(graph.inputs)
    return [name for name in (*graph.inputs, *(node.name for node in done)) if name in needed]


def runs(graph: Graph, nodes: Sequence[Node]) -> Iterator[tuple[int, int]]:
    """Begin and end of every run of layers that can be computed by rows."""
    fits = [reach(graph, node) is not None or accumulates(graph, node) for node in nodes]
    for begin in range(len(nodes)):
        for end in range(begin + 1, min(begin + LONGEST, len(nodes)) + 1):
            if not fits[end - 1]:
                break
            if end - begin > 1:
                yield begin, end


def schedules(graph: Graph, nodes: Sequence[Node], fine: bool) -> Iterator[Schedule]:
    """The chain in steps of different numbers of rows, with calls of multiples of rows that kernels like.

    fine: those too whose calls compute so few positions that they take much longer.
    """
    like = {node.name for node in nodes if len(graph.tensors[node.name].shape) == 2 and graph.macs(node)}
    rows = max(rows_in(graph, node.name) for node in nodes)
    for quantum in QUANTA if like else QUANTA[:1]:
        for size in ROWS:
            few = like and (quantum == 1 or size < FEW)
            if quantum <= size < rows and (fine or not few):
                found = schedule(graph, nodes, -(-rows // size), dict.fromkeys(like, quantum))
                if found is None:
                    return
                yield found
