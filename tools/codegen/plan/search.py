"""Which layers are computed by rows, in how many steps, and in which order.

Chains are neighbours in the order of execution. The bytes alive during a chain depend on nothing but the chain and
on what later layers still need, so the smallest arena of any division of the order into layers and chains is a
path whose largest piece is smallest; of the paths within a limit the one that costs least is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..graph import Graph, Node
from .layout import NO_SCRATCH, MemoryPlan, Part, lay_out, share
from .order import orders
from .stream import NO_WORK, Schedule, Work, accumulates, reach, rows_in, schedule

Goal: TypeAlias = Literal["plain", "free", "least"]
ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
LONGEST = 24
FREE = 0.02
CALL = 300.0  # multiply-accumulates that a call of a kernel costs beside its work, about


@dataclass(frozen=True)
class Piece:
    """A part of the order and the bytes alive during it; cost in multiply-accumulates beyond whole layers."""

    part: Part
    bytes: int
    cost: float


def plan(
    graph: Graph,
    scratch: Mapping[str, int] = NO_SCRATCH,
    works: Mapping[str, Work] = NO_WORK,
    goal: Goal = "plain",
    limit: int = 0,
) -> MemoryPlan:
    """Place all tensors and `scratch` bytes for nodes; deterministic but for what offsets.py says of time.

    goal: "plain" computes layers one after the other in the graph's order; "free" takes the smallest arena that
    costs next to no time (chains that cost less than 2 % of their multiplications), "least" the smallest of all.
    With a limit in bytes the cheapest arena below it is taken, if there is one, whatever the goal.
    """
    best = lay_out(graph, graph.nodes, scratch)
    if goal == "plain" and not limit:
        return best
    for nodes in orders(graph, scratch):
        if best.arena_bytes <= limit:
            break
        found = lay_out(graph, divide(graph, nodes, scratch, works, goal, limit), scratch)
        if found.arena_bytes < best.arena_bytes:
            best = found
    return best


def divide(
    graph: Graph,
    nodes: Sequence[Node],
    scratch: Mapping[str, int],
    works: Mapping[str, Work],
    goal: Goal,
    limit: int,
) -> list[Part]:
    """The order of execution as layers and chains."""
    pieces: dict[int, list[tuple[int, Piece]]] = {end: [] for end in range(1, len(nodes) + 1)}
    for begin, node in enumerate(nodes):
        pieces[begin + 1].append((begin, measured(graph, nodes, begin, node, scratch, 0.0)))
    for begin, end in chains(graph, nodes):
        for chain in schedules(graph, nodes[begin:end], works):
            cost = max(chain.cost(works, CALL), 0.0)
            if goal == "least" or limit or cost < FREE * sum(graph.macs(node) for node in chain.nodes):
                pieces[end].append((begin, measured(graph, nodes, begin, chain, scratch, cost)))
    smallest = [0]
    for end in range(1, len(nodes) + 1):
        smallest.append(min(max(smallest[begin], piece.bytes) for begin, piece in pieces[end]))
    ceiling = max(smallest[-1], limit)
    if goal == "plain":
        goal = "free"
    cheapest: list[tuple[float, int, list[Part]] | None] = [(0.0, 0, [])]
    for end in range(1, len(nodes) + 1):
        ways = []
        for begin, piece in pieces[end]:
            before = cheapest[begin]
            if before is not None and piece.bytes <= ceiling:
                cost, count, parts = before
                ways.append((cost + piece.cost, count + 1, [*parts, piece.part]))
        cheapest.append(min(ways, key=lambda way: (way[0], way[1])) if ways else None)
    way = cheapest[-1]
    assert way is not None
    return way[2]


def chains(graph: Graph, nodes: Sequence[Node]) -> Iterator[tuple[int, int]]:
    """Begin and end of every run of layers that can be computed by rows."""
    fits = [reach(graph, node) is not None or accumulates(graph, node) for node in nodes]
    for begin in range(len(nodes)):
        for end in range(begin + 1, min(begin + LONGEST, len(nodes)) + 1):
            if not fits[end - 1]:
                break
            if end - begin > 1:
                yield begin, end


def schedules(graph: Graph, nodes: Sequence[Node], works: Mapping[str, Work]) -> Iterator[Schedule]:
    """The chain in steps of different numbers of rows."""
    rows = max(rows_in(graph, node.name) for node in nodes)
    for size in ROWS:
        if size < rows:
            found = schedule(graph, nodes, -(-rows // size), works)
            if found is None:
                return
            yield found


def measured(
    graph: Graph, nodes: Sequence[Node], begin: int, part: Part, scratch: Mapping[str, int], cost: float
) -> Piece:
    """A part with the most bytes that are alive during it."""
    length = 1 if isinstance(part, Node) else len(part.nodes)
    found = share(graph, [*nodes[:begin], part, *nodes[begin + length :]], scratch)
    return Piece(part, found.peak(begin), cost)
