"""Which kernel computes each layer, and the scratch memory it needs.

`speed` takes the packed convolution wherever it gives the same numbers; `size` keeps the kernels that need
neither scratch memory nor more than one copy of their code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .graph import Graph, Node
from .ops.base import elements, hwc
from .ops.conv import Conv, FixedConv, Window, can_pack
from .ops.dense import Dense, FixedDense
from .packed import scratch_bytes

Optimize: TypeAlias = Literal["speed", "size"]
LARGEST_DIMENSION = 65535


@dataclass(frozen=True)
class Choice:
    """A kernel other than the portable one of the layer's own name; scratch memory in bytes."""

    kernel: str
    scratch: int


def choose(graph: Graph, optimize: Optimize) -> Mapping[str, Choice]:
    """Kernels by node; nodes that are missing use their portable kernel."""
    if optimize == "size":
        return {}
    found = {node.name: fastest(graph, node) for node in graph.nodes}
    return {name: choice for name, choice in found.items() if choice is not None}


def fastest(graph: Graph, node: Node) -> Choice | None:
    """The packed convolution for ungrouped convolutions and dense layers that it can serve."""
    op = node.op
    if not isinstance(op, Conv | FixedConv | Dense | FixedDense):
        return None
    if isinstance(op, FixedConv | FixedDense) and not can_pack(op.requant, op.accumulator):
        return None
    window, groups = (op.window, op.groups) if isinstance(op, Conv | FixedConv) else (Window((1, 1)), 1)
    source = graph.tensors[node.inputs[0]]
    if groups > 1 or hwc(source.shape)[2] > LARGEST_DIMENSION:
        return None
    if isinstance(op, Conv) and window.dilation[1] > 1:
        return None
    positions = elements(hwc(graph.tensors[node.name].shape)[:2])
    return Choice("conv_packed", scratch_bytes(op.kernel[0].size, positions, source.format.bytes))
