"""Which kernel computes each layer, and the scratch memory it needs.

`speed` takes the SIMD convolution wherever it gives the same numbers, for convolutions of width 3 in 8 bits
Winograd's algorithm; `size` keeps the portable kernels, which need no scratch memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from .formats import Affine, Fixed
from .graph import Graph, Node, TensorType
from .ops.affine import AffineConv, AffineDense
from .ops.base import hwc
from .ops.conv import Conv, FixedConv, bound_of, rounding_half, simd_serves, weights_variant
from .ops.dense import ONE_POSITION, Dense, FixedDense
from .simd import scratch_bytes, scratch_bytes_wino

Optimize: TypeAlias = Literal["speed", "size"]
LARGEST_DIMENSION = 65535
# Below these the transforms cost more than the multiplications that they save.
WINO_POSITIONS = 8
WINO_CHANNELS = 9
# Blocks of 32 positions: larger ones gain less than 5 % and take more memory.
WINO_GROUPS = 8


@dataclass(frozen=True)
class Choice:
    """A variant of the convolution kernel, by its suffix, instead of the portable one; scratch memory in bytes.

    `groups` of 16 positions are computed at a time (Winograd's algorithm only).
    """

    kernel: str
    scratch: int
    groups: int = 0


def choose(graph: Graph, optimize: Optimize) -> Mapping[str, Choice]:
    """Kernels by node; nodes that are missing use their portable kernel."""
    if optimize == "size":
        return {}
    found = {node.name: fastest(graph, node) for node in graph.nodes}
    return {name: choice for name, choice in found.items() if choice is not None}


def fastest(graph: Graph, node: Node) -> Choice | None:
    """The fastest kernel for a convolution or dense layer, by a rule; None when only the portable one can serve."""
    op = node.op
    if isinstance(op, AffineDense):
        return Choice("simd", 0) if op.bias.dtype == np.int32 else None
    if not isinstance(op, Conv | FixedConv | AffineConv | Dense | FixedDense):
        return None
    window, groups = ONE_POSITION, 1
    if isinstance(op, Conv | FixedConv | AffineConv):
        window, groups = op.window, op.groups
    if isinstance(op, AffineConv) and not op.simd_serves():
        return None
    if isinstance(op, FixedConv | FixedDense):
        if weights_variant(op.weights, op.source):
            return None
        if not simd_serves(op.requant, op.accumulator):
            return None
    source = graph.tensors[node.inputs[0]]
    channels = hwc(source.shape)[2]
    if groups > 1 or channels > LARGEST_DIMENSION:
        return None
    if isinstance(op, Conv) and window.dilation[1] > 1:
        return None
    out_h, out_w, filters = hwc(graph.tensors[node.name].shape)
    wino = isinstance(op, FixedConv | AffineConv) and source.format.bytes == 1 and can_wino(op, source)
    if wino and out_w >= WINO_POSITIONS and min(channels, filters) >= WINO_CHANNELS:
        blocks = min(WINO_GROUPS, -(-out_w // 16))
        return Choice("wino", scratch_bytes_wino(channels, blocks), blocks)
    positions = out_h * out_w
    return Choice("simd", scratch_bytes(op.kernel[0].size, positions, source.format.bytes))


def can_wino(op: FixedConv | AffineConv, source: TensorType) -> bool:
    """The 8-bit Winograd kernels give the numbers of this convolution.

    Width 3 along rows; 24 times each sum and twice the accumulator fit 32 bits.
    """
    window = op.window
    rows = (window.kernel[0], window.strides[0], *window.padding[:2])
    columns = (window.kernel[1], window.strides[1], window.dilation[1])
    assert isinstance(source.format, Fixed | Affine)
    bound = bound_of(op.kernel, np.zeros(len(op.kernel), np.int64), source.format.magnitude)
    half = int(rounding_half(op.requant).max()) if isinstance(op, FixedConv) else 0
    fits = 24 * bound < 1 << 31 and 2 * (op.accumulator.bound + half) < 1 << 31
    return rows == (1, 1, 0, 0) and columns == (3, 1, 1) and fits
