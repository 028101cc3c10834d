"""Where every tensor lies in the arena: offsets, lifetimes and in-place reuse.

Tensors that share memory (a reshape, an element-wise operation in place) form one buffer. Buffers that
live at the same time must not overlap. A kernel's scratch memory is a buffer of its step alone.
Placement is greedy (lowest free offset) over several orders; the best is kept. `lower_bound` is the largest
sum of the sizes of buffers alive at one step: no placement of these buffers can need less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from .graph import Graph

ALIGNMENT = 8
NO_SCRATCH: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True)
class Placement:
    """A tensor's place in the arena, in bytes, and the steps during which its buffer is alive.

    Step i executes node i; inputs are alive from step -1 and outputs until step len(nodes).
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

    `scratch` has the scratch memory of each node that needs some.
    """

    arena_bytes: int
    lower_bound: int
    placements: Mapping[str, Placement]
    buffer: Mapping[str, str]
    scratch: Mapping[str, Placement]


@dataclass
class Buffer:
    """Tensors that share memory while the plan is made."""

    size: int
    first: int
    last: int


def align(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def last_uses(graph: Graph) -> dict[str, int]:
    """The last step that reads each tensor."""
    last = dict.fromkeys(graph.inputs, -1) | {node.name: step for step, node in enumerate(graph.nodes)}
    for step, node in enumerate(graph.nodes):
        for source in node.inputs:
            last[source] = max(last[source], step)
    for output in graph.outputs:
        last[output] = len(graph.nodes)
    return last


def share(graph: Graph, last: Mapping[str, int]) -> tuple[dict[str, Buffer], dict[str, str]]:
    """Group tensors into buffers: an output takes over an input's memory where the operation allows it.

    A reshape always shares (it is the same memory). Otherwise the input's whole buffer must be read for
    the last time by this very node, once, and be large enough.
    """
    buffers: dict[str, Buffer] = {}
    owner: dict[str, str] = {}
    for name in graph.inputs:
        buffers[name], owner[name] = Buffer(align(graph.tensors[name].bytes), -1, last[name]), name
    for step, node in enumerate(graph.nodes):
        size = align(graph.tensors[node.name].bytes)
        home = None
        if node.op.kind == "reshape":
            home = owner[node.inputs[0]]
        else:
            for index in node.op.in_place():
                source = node.inputs[index]
                candidate = buffers[owner[source]]
                if candidate.last == step and node.inputs.count(source) == 1 and candidate.size >= size:
                    home = owner[source]
                    break
        if home is None:
            buffers[node.name], home = Buffer(size, step, last[node.name]), node.name
        owner[node.name] = home
        buffers[home].last = max(buffers[home].last, last[node.name])
    return buffers, owner


def place(buffers: Mapping[str, Buffer], order: Sequence[str]) -> dict[str, int]:
    """Lowest free offset for each buffer in turn."""
    offsets: dict[str, int] = {}
    for name in order:
        buffer = buffers[name]
        taken = sorted(
            (offsets[other], offsets[other] + buffers[other].size)
            for other in offsets
            if buffers[other].first <= buffer.last and buffer.first <= buffers[other].last
        )
        offset = 0
        for begin, end in taken:
            if offset + buffer.size <= begin:
                break
            offset = max(offset, end)
        offsets[name] = offset
    return offsets


ORDERS: tuple[Callable[[str, Buffer], tuple[int, ...]], ...] = (
    lambda name, b: (-b.size, b.first),
    lambda name, b: (b.first, -b.size),
    lambda name, b: (-b.last, -b.size),
    lambda name, b: (-b.size * (b.last - b.first + 1), b.first),
    lambda name, b: (b.first - b.last, -b.size),
)


def scratch_of(name: str) -> str:
    """Name of a node's scratch buffer; no tensor has a name with a line break."""
    return f"{name}\nscratch"


def plan(graph: Graph, scratch: Mapping[str, int] = NO_SCRATCH) -> MemoryPlan:
    """Place all tensors of a graph, and `scratch` bytes for nodes; deterministic."""
    buffers, owner = share(graph, last_uses(graph))
    for step, node in enumerate(graph.nodes):
        if scratch.get(node.name):
            buffers[scratch_of(node.name)] = Buffer(align(scratch[node.name]), step, step)
    best: dict[str, int] = {}
    best_peak = None
    for key in ORDERS:
        offsets = place(buffers, sorted(buffers, key=lambda name: key(name, buffers[name])))
        peak = max(offsets[name] + buffers[name].size for name in buffers)
        if best_peak is None or peak < best_peak:
            best, best_peak = offsets, peak
    assert best_peak is not None
    placements = {}
    for tensor, home in owner.items():
        buffer = buffers[home]
        placements[tensor] = Placement(best[home], graph.tensors[tensor].bytes, buffer.first, buffer.last)
    own = {}
    for name, size in scratch.items():
        if size:
            buffer = buffers[scratch_of(name)]
            own[name] = Placement(best[scratch_of(name)], size, buffer.first, buffer.last)
    lower_bound = max(
        sum(b.size for b in buffers.values() if b.first <= step <= b.last)
        for step in range(-1, len(graph.nodes) + 1)
    )
    result = MemoryPlan(best_peak, lower_bound, placements, owner, own)
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
