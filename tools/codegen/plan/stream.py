"""Row streaming: a chain of layers computed a few rows at a time, so that no full tensor exists between them.

A row is one index of a tensor's first dimension: a position of (T, C), a row of (H, W, C). A `Schedule` says
which rows of which layer are computed in which step, and which rows stay for the next one; nothing is computed
twice. The rows of a tensor lie in order in a small buffer that slides: in front of each step the rows that are
still needed move to its start. Every strip is an ordinary kernel call on a part of the rows.

The last rows asked for decide: in each step the chain's outputs advance by an equal share of their rows, and
every other tensor as far as that needs, rounded up to the quantum of its kernel.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from ..graph import Graph, Node
from .offsets import align

Range = tuple[int, int]


@dataclass(frozen=True)
class Work:
    """How a kernel's cost depends on the rows of a call, for choosing strips.

    Rows are computed `quantum` at a time, and in blocks of `block` rows that each cost as much as `setup` rows more.
    A call of up to `ahead` rows reads all of its input before it writes.
    """

    quantum: int = 1
    block: int = 1
    setup: float = 0.0
    ahead: int = 0

    def rows(self, count: int) -> float:
        """What `count` rows in one call cost, in rows."""
        return -(-count // self.quantum) * self.quantum + self.setup * -(-count // self.block)


PLAIN = Work()
NO_QUANTA: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True)
class Reach:
    """Output row r reads `span` rows of each input from row ``r * stride - before`` on, those outside excepted."""

    span: int = 1
    stride: int = 1
    before: int = 0

    def rows(self, out: Range, extent: int) -> Range:
        """The rows of an input of `extent` rows that the output rows `out` read."""
        first = out[0] * self.stride - self.before
        last = (out[1] - 1) * self.stride - self.before + self.span
        return max(first, 0), min(last, extent)


def rows_in(graph: Graph, tensor: str) -> int:
    return graph.tensors[tensor].shape[0]


def row_bytes(graph: Graph, tensor: str) -> int:
    return graph.tensors[tensor].bytes // graph.tensors[tensor].shape[0]


def reach(graph: Graph, node: Node) -> Reach | None:
    """How far a layer looks; None where it cannot be computed by rows."""
    shape = graph.tensors[node.name].shape
    sources = graph.input_shapes(node)
    if len(shape) < 2 or any(len(source) != len(shape) for source in sources):
        return None
    op = node.op
    if op.kind in ("add", "activation", "softmax") or (op.kind == "concat" and op.axis > 0):  # type: ignore[attr-defined]
        return Reach()
    if op.kind not in ("conv", "pool_max", "pool_avg"):
        return None
    window = op.window  # type: ignore[attr-defined]
    axis = 3 - len(shape)
    span = window.dilation[axis] * (window.kernel[axis] - 1) + 1
    found = Reach(span, window.strides[axis], window.padding[2 * axis])
    inside = found.before < span and (shape[0] - 1) * found.stride - found.before < sources[0][0]
    return found if inside else None  # a window that lies in the padding alone has no rows


def accumulates(graph: Graph, node: Node) -> bool:
    """A maximum over all positions of (T, C), which can be taken of what it was and some rows more."""
    if node.op.kind != "pool_max":
        return False
    shape, (source,) = graph.tensors[node.name].shape, graph.input_shapes(node)
    window = node.op.window  # type: ignore[attr-defined]
    return len(shape) == 2 and shape[0] == 1 and window.kernel[1] == source[0] > 1 and not any(window.padding)


@dataclass(frozen=True)
class Strip:
    """Rows of one layer, and the rows of each of its inputs that they read."""

    node: Node
    rows: Range
    sources: tuple[Range, ...]


@dataclass(frozen=True)
class Step:
    """One turn: rows that move to the start of their buffers, then strips by the tensor that they make.

    base: the row that lies at the start of each sliding buffer; moves: the first row and the end of those that
    stay, by tensor, with the row that was at the start before.
    """

    base: Mapping[str, int]
    moves: Mapping[str, tuple[int, int, int]]
    strips: Mapping[str, Strip]


@dataclass(frozen=True, eq=False)
class Schedule:
    """A chain of layers by rows. inside: tensors that nothing else reads; transient: those of them of which no
    row stays from step to step; accumulated: outputs that are a running maximum; onto: layers whose kernels read
    all of a strip's input before they write, so that the output may lie there."""

    graph: Graph
    nodes: tuple[Node, ...]
    steps: tuple[Step, ...]
    inside: frozenset[str]
    transient: frozenset[str]
    accumulated: frozenset[str]
    onto: frozenset[str] = frozenset()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The tensors that exist as a whole."""
        return tuple(node.name for node in self.nodes if node.name not in self.inside)

    @property
    def inputs(self) -> tuple[str, ...]:
        own = {node.name for node in self.nodes}
        return tuple(dict.fromkeys(s for node in self.nodes for s in node.inputs if s not in own))

    def lengths(self, name: str) -> list[Range]:
        """The rows of a layer's calls; of a running maximum it is the rows that it reads."""
        strips = [step.strips[name] for step in self.steps if name in step.strips]
        return [s.sources[0] if name in self.accumulated else s.rows for s in strips]


def schedule(
    graph: Graph, nodes: Sequence[Node], steps: int, quanta: Mapping[str, int] = NO_QUANTA
) -> Schedule | None:
    """The chain of `nodes`, neighbours in the order of execution, in so many steps; None where it has none.

    quanta: of how many rows calls are multiples, the last of a layer excepted.
    """
    made = {node.name: node for node in nodes}
    readers = {name: [n for n in graph.consumers(name)] for name in made}
    own = {name: [n for n in readers[name] if n.name in made] for name in made}
    outside = {name for name in made if name in graph.outputs or len(own[name]) < len(readers[name])}
    running = {n.name for n in nodes if accumulates(graph, n) and _feeds(n, made, own, outside)}
    looks: dict[str, Reach] = {}
    for node in nodes:
        found = Reach() if node.name in running else reach(graph, node)
        if found is None or (node.name in running and own[node.name]):
            return None
        looks[node.name] = found
    fed = {made[name].inputs[0] for name in running}
    sinks = (outside - running) | fed
    extent = {name: rows_in(graph, name) for name in made}
    done = dict.fromkeys(made, 0)
    base = dict.fromkeys(made, 0)
    lasting: set[str] = set()
    turns: list[Step] = []

    def kept(name: str) -> int:
        """The first row of a tensor that a later strip reads."""
        low = done[name]
        for reader in own[name]:
            if reader.name not in running and done[reader.name] < extent[reader.name]:
                look = looks[reader.name]
                low = min(low, max(done[reader.name] * look.stride - look.before, 0))
        return low

    for turn in range(steps):
        goal = dict(done)
        for node in reversed(nodes):
            name = node.name
            if name in running:
                continue
            need = -(-extent[name] * (turn + 1) // steps) if name in sinks else 0
            for reader in own[name]:
                if reader.name not in running and goal[reader.name] > done[reader.name]:
                    need = max(need, looks[reader.name].rows((0, goal[reader.name]), extent[name])[1])
            quantum = quanta.get(name, 1)
            goal[name] = max(done[name], min(-(-need // quantum) * quantum, extent[name]))
        advancing = [node for node in nodes if goal[node.name] > done[node.name]]
        moves: dict[str, tuple[int, int, int]] = {}
        for node in advancing:
            name, low = node.name, kept(node.name)
            if name not in outside and low < done[name] and low > base[name]:
                moves[name] = (low, done[name], base[name])
            base[name] = low
        strips: dict[str, Strip] = {}
        for node in nodes:
            name = node.name
            if name in running:
                (source,) = node.inputs
                if source in strips:
                    strips[name] = Strip(node, (0, 1), (strips[source].rows,))
            elif node in advancing:
                out = (done[name], goal[name])
                sources = tuple(looks[name].rows(out, rows_in(graph, s)) for s in node.inputs)
                strips[name] = Strip(node, out, sources)
                done[name] = goal[name]
        if strips:
            turns.append(Step(dict(base), moves, strips))
        lasting |= {name for name in made if name not in outside and kept(name) < done[name]}
    inside = frozenset(made.keys() - outside)
    return Schedule(graph, tuple(nodes), tuple(turns), inside, inside - lasting, frozenset(running))


def _feeds(
    node: Node, made: Mapping[str, Node], own: Mapping[str, Sequence[Node]], outside: Collection[str]
) -> bool:
    """The layer's only input is made in the chain for it alone."""
    (source,) = node.inputs
    return source in made and source not in outside and len(own[source]) == 1


@dataclass(frozen=True, eq=False)
class Stream:
    """A schedule with its memory: which tensors share a buffer and how large the buffers are.

    hosts: a tensor of which no row stays is written where the rows of the next layer come, which is computed in
    place; the number is where it begins, in bytes behind them. over: whole outputs that take over a whole input's
    memory. onto: a tensor of which no row stays is written to the start of the buffer of the one that it is computed
    from; that one's rows begin so many bytes behind (`leads`) that those which stay lie behind what is written.
    """

    schedule: Schedule
    hosts: Mapping[str, tuple[str, int]]
    over: Mapping[str, str]
    onto: Mapping[str, str]
    leads: Mapping[str, int]

    def address(self, turn: int, tensor: str, row: int) -> tuple[str, int]:
        """The buffer in which a row lies in a step, and its place in bytes from the buffer's start."""
        graph, step = self.schedule.graph, self.schedule.steps[turn]
        size = row_bytes(graph, tensor)
        if tensor in self.hosts:
            host, lead = self.hosts[tensor]
            home, at = self.address(turn, host, step.strips[host].rows[0])
            return home, at + lead + (row - step.strips[tensor].rows[0]) * size
        if tensor in self.onto:
            return self.onto[tensor], (row - step.strips[tensor].rows[0]) * size
        if tensor in self.schedule.inside:
            return tensor, self.leads.get(tensor, 0) + (row - step.base[tensor]) * size
        return tensor, row * size

    def move(self, turn: int, tensor: str) -> tuple[int, int, int]:
        """Of the rows that move in front of a step: where to, where from, in bytes from the buffer's start; bytes."""
        first, end, was = self.schedule.steps[turn].moves[tensor]
        size, lead = row_bytes(self.schedule.graph, tensor), self.leads.get(tensor, 0)
        return lead, lead + (first - was) * size, (end - first) * size

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of the buffers of the tensors that the chain makes; hosted ones have none."""
        graph = self.schedule.graph
        found = {name: graph.tensors[name].bytes for name in self.schedule.outputs}
        sizes = {node.name: row_bytes(graph, node.name) for node in self.schedule.nodes}
        for turn, step in enumerate(self.schedule.steps):
            for name, strip in step.strips.items():
                home, at = self.address(turn, name, strip.rows[0])
                end = at + (strip.rows[1] - strip.rows[0]) * sizes[name]
                if end > found.get(home, 0):
                    found[home] = end
        return found

    def home(self, tensor: str) -> str:
        """The tensor whose buffer holds this one."""
        while tensor in self.hosts or tensor in self.onto:
            tensor = self.onto[tensor] if tensor in self.onto else self.hosts[tensor][0]
        return tensor

    @property
    def guests(self) -> tuple[str, ...]:
        """The tensors without a buffer of their own."""
        return (*self.hosts, *self.onto)

    def span(self, tensor: str) -> Range | None:
        """Of a buffer: the first and the last of the chain's layers for which it is needed; None: all the time."""
        schedule = self.schedule
        order = [node.name for node in schedule.nodes]
        if tensor not in schedule.transient:
            return None
        members = [name for name in order if self.home(name) == tensor]
        readers = [r.name for name in members for r in schedule.graph.consumers(name)]
        return order.index(members[0]), max(order.index(name) for name in readers)


def bind(schedule: Schedule, over: Mapping[str, str]) -> Stream:
    """Let tensors share memory wherever the layer that reads them is computed in place."""
    hosts: dict[str, tuple[str, int]] = {}
    for node in schedule.nodes:
        if node.name in schedule.accumulated:
            hosts[node.inputs[0]] = (node.name, row_bytes(schedule.graph, node.name))
            continue
        if node.name in over:
            continue
        for index in node.op.in_place():
            source = node.inputs[index]
            if source in schedule.transient and _whole_strips(schedule, node, index):
                hosts[source] = (node.name, 0)
                break
    onto: dict[str, str] = {}
    leads: dict[str, int] = {}
    for node in schedule.nodes:
        if node.name in schedule.onto and node.name not in hosts and node.inputs[0] not in onto:
            onto[node.name] = node.inputs[0]
            leads[node.inputs[0]] = _lead(schedule, node)
    return Stream(schedule, hosts, over, onto, leads)


def may_lie_onto(schedule: Schedule, node: Node) -> bool:
    """The layer is the only reader of a buffer of the chain and no row of its output stays, so that strips may be
    written where the rows lie that they are computed from."""
    source = node.inputs[0]
    return (
        node.name in schedule.transient
        and len(node.inputs) == 1
        and not node.op.in_place()
        and source in schedule.inside
        and len(schedule.graph.consumers(source)) == 1
    )


def _lead(schedule: Schedule, node: Node) -> int:
    """Bytes in front of the rows of a layer's input, so that no strip of its output, from the start of the buffer
    on, reaches a row that a later strip reads."""
    (source,) = node.inputs
    size = row_bytes(schedule.graph, source)
    lead = done = 0
    before: tuple[int, int] | None = None  # row at the start of the buffer, bytes written
    for step in schedule.steps:
        strip = step.strips.get(node.name)
        if strip and before:
            low = strip.sources[0][0]
            if low < done:
                lead = max(lead, before[1] - (low - before[0]) * size)
        if source in step.strips:
            done = step.strips[source].rows[1]
        if strip:
            written = (strip.rows[1] - strip.rows[0]) * row_bytes(schedule.graph, node.name)
            before = step.base[source], written
    return align(lead)


def _whole_strips(schedule: Schedule, node: Node, index: int) -> bool:
    """Each strip reads of this input just the strip of the same step, and nothing else does."""
    source = node.inputs[index]
    if node.inputs.count(source) > 1 or len(schedule.graph.consumers(source)) > 1:
        return False
    for step in schedule.steps:
        mine, its = step.strips.get(node.name), step.strips.get(source)
        if (mine is None) != (its is None) or (mine and its and mine.sources[index] != its.rows):
            return False
    return True


def can_take_over(schedule: Schedule, output: str, inputs: Collection[str]) -> bool:
    """No row of `output`, whole and at the place of `inputs` (names of one memory), is written before all that
    lies there was read for the last time."""
    graph = schedule.graph
    if output in schedule.accumulated:
        return False
    size = row_bytes(graph, output)
    written = 0
    for step in schedule.steps:
        for name, strip in step.strips.items():
            for index, source in enumerate(strip.node.inputs):
                if source not in inputs:
                    continue
                first = strip.sources[index][0] * row_bytes(graph, source)
                in_place = index in strip.node.op.in_place() and strip.node.inputs.count(source) == 1
                if first < written:
                    return False
                starts_there = in_place and strip.rows[0] * size == first
                if name == output and strip.rows[1] * size > first and not starts_there:
                    return False
            if name == output:
                written = strip.rows[1] * size
    return True
