"""Where every tensor lies in the arena: offsets, lifetimes and in-place reuse.

Tensors that share memory (a reshape, an element-wise operation in place) form one buffer. Buffers that
live at the same time must not overlap. A kernel's scratch memory is a buffer of its step alone. Time counts layers in
the order of execution; the layers of a chain by rows all repeat, so that what they keep is alive from the chain's
first to its last. `lower_bound` is the largest sum of the sizes of buffers alive at one step: no placement of these
buffers can need less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from ..graph import Graph, Node
from .offsets import Buffer, align, best_offsets
from .stream import Schedule, Stream, bind, can_take_over

NO_SCRATCH: Mapping[str, int] = MappingProxyType({})
Block: TypeAlias = Node | Stream
Part: TypeAlias = Node | Schedule


@dataclass(frozen=True)
class Placement:
    """A tensor's place in the arena, in bytes, and the steps during which it is alive; of a tensor in a chain of
    layers by rows those of its buffer.

    Step i executes layer i; inputs are alive from step -1 and outputs until the step behind the last.
    """

    offset: int
    size: int
    first: int
    last: int

    def overlaps(self, other: Placement) -> bool:
        """True when both are alive at one step and share a byte."""
        return (
            self.first <= other.last
            and other.first <= self.last
            and self.offset < other.offset + other.size
            and other.offset < self.offset + self.size
        )


@dataclass(frozen=True)
class MemoryPlan:
    """Arena of one model: its size and the place of every tensor; `buffer` names who shares memory.

    `scratch` has the scratch memory of each node that needs some. blocks: what is executed, in order: layers and
    chains of layers by rows. optimal: no other offsets make the arena smaller. picks: which of its options computes a
    layer, where it had several.
    """

    arena_bytes: int
    lower_bound: int
    placements: Mapping[str, Placement]
    buffer: Mapping[str, str]
    scratch: Mapping[str, Placement]
    blocks: tuple[Block, ...]
    optimal: bool
    picks: Mapping[str, int] = field(default_factory=dict)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The layers in the order of execution."""
        return tuple(node for block in self.blocks for node in nodes_of(block))


def nodes_of(block: Block | Part) -> tuple[Node, ...]:
    if isinstance(block, Stream):
        return block.schedule.nodes
    return (block,) if isinstance(block, Node) else block.nodes


@dataclass(frozen=True)
class Buffers:
    """Buffers by name, before they have places; home: the buffer of each tensor; lives: its bytes, first and last
    step."""

    buffers: Mapping[str, Buffer]
    home: Mapping[str, str]
    lives: Mapping[str, tuple[int, int, int]]
    blocks: tuple[Block, ...]
    spans: tuple[tuple[int, int], ...]
    """The first and the last step of each block."""

    def alive(self, step: int) -> int:
        """Bytes of the buffers that are alive at a step."""
        return sum(buffer.at(step) for buffer in self.buffers.values())

    @property
    def lower_bound(self) -> int:
        steps = range(-1, self.spans[-1][1] + 2 if self.spans else 1)
        return max(self.alive(step) for step in steps)


def scratch_of(name: str) -> str:
    """Name of a node's scratch buffer; no tensor has a name with a line break."""
    return f"{name}\nscratch"


def spans_of(parts: Sequence[Part]) -> tuple[tuple[int, int], ...]:
    spans, step = [], 0
    for part in parts:
        spans.append((step, step + len(nodes_of(part)) - 1))
        step += len(nodes_of(part))
    return tuple(spans)


def last_uses(
    graph: Graph, given: Sequence[str], parts: Sequence[Part], spans: Sequence[tuple[int, int]]
) -> dict[str, int]:
    """The last step that needs each tensor as a whole."""
    last = dict.fromkeys(given, -1)
    for part, (_, end) in zip(parts, spans, strict=True):
        for node in nodes_of(part):
            last[node.name] = end
            for source in node.inputs:
                last[source] = end
    for output in graph.outputs:
        last[output] = spans[-1][1] + 1 if spans else 0
    return last


def share(
    graph: Graph,
    parts: Sequence[Part],
    scratch: Mapping[str, int] = NO_SCRATCH,
    given: Sequence[str] | None = None,
) -> Buffers:
    """Group tensors into buffers: an output takes over an input's memory where the operation allows it.

    A reshape always shares (it is the same memory). Otherwise the input's whole buffer must be read for
    the last time by this very node, once, and be large enough. A chain by rows may read it several times, as
    long as every row is written after it was read for the last time. A buffer shrinks to what it holds last.

    given: the tensors that exist before the first part; the graph's inputs.
    """
    spans = spans_of(parts)
    given = graph.inputs if given is None else given
    last = last_uses(graph, given, parts, spans)
    buffers: dict[str, Buffer] = {}
    home: dict[str, str] = {}
    lives: dict[str, tuple[int, int, int]] = {}
    blocks: list[Block] = []

    def new(name: str, size: int, first: int, end: int) -> None:
        buffers[name], home[name] = Buffer(align(size), first, end), name
        lives[name] = (size, first, end)

    def joins(name: str, owner: str, first: int) -> None:
        home[name] = owner
        buffers[owner].extend(last[name], align(graph.tensors[name].bytes))
        lives[name] = (graph.tensors[name].bytes, first, last[name])

    def node_buffer(node: Node, step: int) -> None:
        size = align(graph.tensors[node.name].bytes)
        if node.op.kind == "reshape":
            return joins(node.name, home[node.inputs[0]], step)
        for index in node.op.in_place():
            source = node.inputs[index]
            candidate = buffers[home[source]]
            if candidate.last == step and node.inputs.count(source) == 1 and candidate.at(step) >= size:
                return joins(node.name, home[source], step)
        new(node.name, graph.tensors[node.name].bytes, step, last[node.name])

    def stream_buffers(part: Schedule, first: int, end: int) -> Stream:
        over: dict[str, str] = {}
        for name in part.outputs:
            for source in part.inputs:
                owner = home[source]
                others = [other for other in part.inputs if home[other] == owner]
                fits = buffers[owner].at(end) >= align(graph.tensors[name].bytes)
                if buffers[owner].last == end and fits and can_take_over(part, name, others):
                    over[name] = source
                    joins(name, owner, first)
                    break
        stream = bind(part, over)
        for name, size in stream.sizes.items():
            if name in over:
                continue
            span = stream.span(name)
            if span is not None:
                new(name, size, first + span[0], first + span[1])
            else:
                new(name, size, first, end)
            if name not in part.inside:
                joins(name, name, first)
        for name in stream.guests:
            home[name] = home[stream.home(name)]
            lives[name] = lives[home[name]]
        return stream

    views = {node.name: node.inputs[0] for node in graph.nodes if node.op.kind == "reshape"}
    for name in given:
        if views.get(name) in given:
            joins(name, home[views[name]], -1)
        else:
            new(name, graph.tensors[name].bytes, -1, last[name])
    for part, (first, end) in zip(parts, spans, strict=True):
        if isinstance(part, Node):
            node_buffer(part, first)
            blocks.append(part)
        else:
            blocks.append(stream_buffers(part, first, end))
    for step, node in enumerate(node for part in parts for node in nodes_of(part)):
        if scratch.get(node.name):
            buffers[scratch_of(node.name)] = Buffer(align(scratch[node.name]), step, step, hot=True)
    return Buffers(buffers, home, lives, tuple(blocks), spans)


def lay_out(graph: Graph, parts: Sequence[Part], scratch: Mapping[str, int] = NO_SCRATCH) -> MemoryPlan:
    """Place all tensors, and `scratch` bytes for nodes; deterministic."""
    found = share(graph, parts, scratch)
    offsets = best_offsets(found.buffers, found.lower_bound)

    placements = {
        tensor: Placement(offsets.offsets[found.home[tensor]], *found.lives[tensor])
        for tensor in graph.tensors
    }
    own = {
        node.name: Placement(offsets.offsets[scratch_of(node.name)], scratch[node.name], step, step)
        for step, node in enumerate(node for part in parts for node in nodes_of(part))
        if scratch.get(node.name)
    }
    result = MemoryPlan(
        offsets.peak, found.lower_bound, placements, found.home, own, found.blocks, offsets.optimal
    )
    verify(result)
    return result


def verify(plan: MemoryPlan) -> None:
    """No two tensors of different buffers may overlap while both are alive, nor scratch memory and a tensor."""
    tensors = list(plan.placements)
    for index, a in enumerate(tensors):
        for b in tensors[:index]:
            if plan.buffer[a] != plan.buffer[b] and plan.placements[a].overlaps(plan.placements[b]):
                raise AssertionError(f"the memory plan lets {a} and {b} overlap")
        for node, placement in plan.scratch.items():
            if placement.overlaps(plan.placements[a]):
                raise AssertionError(f"the memory plan lets {a} and the scratch memory of {node} overlap")
