"""Which kernels can compute each layer, and which one does.

`candidates` lists every kernel that gives a layer's numbers: that is a matter of proofs (accumulators, formats,
shapes), never of cost. Which one is taken is a matter of cost alone: measured by tools/selection.py where there
is a virtual board, else by the rule here. `speed` then takes the SIMD convolution, depthwise or not, wherever it can
serve, for convolutions of width 3 Winograd's algorithm; every other goal keeps the portable kernels, which need no
scratch memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from .formats import Affine, Fixed
from .graph import Graph, Node
from .ops.add import FixedAdd
from .ops.affine import AffineConv, AffineDense
from .ops.base import Shape, hwc
from .ops.conv import (
    Conv,
    FixedConv,
    Window,
    depthwise_down,
    depthwise_scratch,
    rounding_half,
    simd_serves,
    weights_variant,
)
from .ops.copy import FixedClamp, FixedReshape
from .ops.dense import ONE_POSITION, Dense, FixedDense
from .ops.pool import FixedAvgPool, FixedMaxPool
from .plan import PLAIN, Option, Work
from .simd import DEPTHWISE_BLOCK, scratch_bytes
from .winograd import scratch_bytes as wino_bytes
from .winograd import serves_43, serves_q16

Optimize: TypeAlias = Literal["speed", "size", "ram", "balanced"]
GOALS: tuple[Optimize, ...] = get_args(Optimize)
LARGEST_DIMENSION = 65535
# Groups of 16 positions that Winograd's algorithm, and any with packed weights, computes at a time, at most: more take
# more memory and gain less.
MOST_GROUPS = 8
# The rule, by the bytes of an element (F(4, 3) of 16 bits is as F(4, 3) of 8 bits): below these the transforms cost
# more than they save,
WINO_POSITIONS = 8
WINO_CHANNELS = {1: 9, 2: 12, 4: 6}
# and larger blocks do not pay for their memory.
WINO_GROUPS = {1: 8, 2: 4, 4: 3}


@dataclass(frozen=True)
class Choice:
    """A variant of a kernel, by its suffix ("": the portable one); scratch memory in bytes.

    `groups` of 16 positions are computed at a time (Winograd's algorithm, packed weights). `down`: lines run along the
    height (depthwise only).
    """

    kernel: str = ""
    scratch: int = 0
    groups: int = 0
    down: bool = False

    @property
    def packed(self) -> bool:
        """It unpacks weights of any width."""
        return self.kernel.startswith("packed_")

    @property
    def algorithm(self) -> str:
        return self.kernel.removeprefix("packed_")

    def work(self, shape: Shape) -> Work:
        """How the cost of a call depends on its rows, which in 1-D are positions; `shape`: of the whole output.

        Blocks of 4 positions, or of 16 and weights transformed. A depthwise call prepares filters and fills its
        first lines, about as dear as two rows.
        """
        if self.kernel == "depthwise":
            return Work(4 if self.down or len(shape) == 2 else 1, DEPTHWISE_BLOCK, 2.0)
        if len(shape) == 3:
            rest = 1.5 / shape[1] if self.algorithm == "simd" and shape[1] % 4 else 0.0
            return Work(1, LARGEST_DIMENSION, rest)
        if self.algorithm.startswith("wino"):
            return Work(16, 16 * self.groups, 12.0 if self.packed else 5.0, ahead=16 * self.groups)
        if self.algorithm == "simd":
            return Work(4, 16 * self.groups, 6.0) if self.packed else Work(4)
        return PLAIN

    def __str__(self) -> str:
        return f"{self.kernel or 'portable'}{f' x{self.groups}' if self.groups else ''}"


PORTABLE = Choice()


def choose(graph: Graph, optimize: Optimize) -> Mapping[str, Choice]:
    """Kernels by node, by the rule; nodes that are missing use their portable kernel."""
    if optimize != "speed":
        return {}
    found = {node.name: fastest(graph, node) for node in graph.nodes}
    return {name: choice for name, choice in found.items() if choice != PORTABLE}


def fastest(graph: Graph, node: Node) -> Choice:
    """The fastest kernel of a layer by the rule; it is one of the candidates."""
    options = candidates(graph, node)
    _, out_w, filters = hwc(graph.tensors[node.name].shape)
    source = graph.tensors[node.inputs[0]]
    channels = hwc(source.shape)[2]
    for algorithm in ("wino4", "wino"):
        size = 1 if algorithm == "wino4" else source.format.bytes
        found = [o for o in options if o.algorithm == algorithm and o.groups <= WINO_GROUPS[size]]
        if found and out_w >= WINO_POSITIONS and min(channels, filters) >= WINO_CHANNELS[size]:
            return found[-1]
    plain = [o for o in options if o.kernel in ("simd", "depthwise")]
    packed = [o for o in options if o.kernel == "packed_simd"]
    return [PORTABLE, *packed, *plain][-1]


def candidates(graph: Graph, node: Node) -> list[Choice]:
    """Every kernel that gives this layer's numbers; the portable one first."""
    return [PORTABLE, *simd(graph, node), *depthwise(graph, node), *winograd(graph, node)]


# Cycles of a multiply-accumulate, about, for choosing by the rule; those that blocks cost beside come on top.
RATES = {"": 5.0, "simd": 1.2, "wino": 0.63, "wino4": 0.63, "depthwise": 3.0}
# Of the portable kernel where each filter has one channel.
PORTABLE_DEPTHWISE = 24.0


def priced(graph: Graph, node: Node, choice: Choice, cycles: float | None = None) -> Option:
    """A kernel for the memory plan; `cycles` of the whole layer, None: by the rule."""
    shape = graph.tensors[node.name].shape
    work = choice.work(shape) if len(shape) > 1 else PLAIN
    if cycles is None:
        rate = RATES[choice.algorithm]
        if choice == PORTABLE and isinstance(node.op, Conv | FixedConv | AffineConv) and node.op.groups > 1:
            rate = PORTABLE_DEPTHWISE if node.op.kernel.shape[-1] == 1 else rate
        cycles = rate * graph.macs(node) * work.rows(shape[0]) / shape[0]
    return Option(choice.scratch, cycles, work)


def options(graph: Graph, optimize: Optimize) -> Mapping[str, Sequence[Choice]]:
    """By the rule: the kernels among which the memory plan chooses, where the portable one is not the best."""
    if optimize == "size":
        return {}
    found = {}
    for node in graph.nodes:
        best = fastest(graph, node)
        if best != PORTABLE:
            known = candidates(graph, node)
            found[node.name] = [c for c in known if c.groups <= best.groups and c.packed <= best.packed]
    return found


def gives_sums(op: FixedConv | FixedDense | AffineConv) -> bool:
    """The accumulators of the SIMD kernels hold this layer's sums, and their outputs are its outputs."""
    if isinstance(op, AffineConv):
        return op.simd_serves()
    return simd_serves(op.requant, op.accumulator)


def simd(graph: Graph, node: Node) -> list[Choice]:
    """The convolution by SIMD, for dense layers too; float only without groups, depthwise ones are not for it.

    Weights are packed or not; packed ones without groups only.
    """
    op = node.op
    if isinstance(op, AffineDense):
        return [Choice("simd")] if op.simd_serves() else []
    if not isinstance(op, Conv | FixedConv | AffineConv | Dense | FixedDense):
        return []
    window, groups = (ONE_POSITION, 1) if isinstance(op, Dense | FixedDense) else (op.window, op.groups)
    if isinstance(op, FixedConv | FixedDense | AffineConv) and not gives_sums(op):
        return []
    source = graph.tensors[node.inputs[0]]
    if groups > 1 and (isinstance(op, Conv) or op.kernel.shape[-1] == 1):
        return []
    if hwc(source.shape)[2] > LARGEST_DIMENSION:
        return []
    if isinstance(op, Conv) and window.dilation[1] > 1:
        return []
    out_h, out_w, _ = hwc(graph.tensors[node.name].shape)
    taps, positions, itemsize = op.kernel[0].size, out_h * out_w, source.format.bytes
    plain = [Choice("simd", scratch_bytes(taps, positions, itemsize))]
    if not isinstance(op, FixedConv | FixedDense):
        return plain
    packed = [
        Choice("packed_simd", scratch_bytes(taps, positions, itemsize, blocks), blocks)
        for blocks in block_sizes(positions)
    ]
    if weights_variant(op.weights, op.source):
        return packed if groups == 1 else []
    # Weights of 8 or 16 bits in RAM for a block of positions may be faster than in flash.
    return [*plain, *packed] if positions > 1 and groups == 1 else plain


def block_sizes(positions: int) -> list[int]:
    """Groups of 16 positions in every number of equal blocks."""
    whole = -(-positions // 16)
    sizes = {-(-whole // blocks) for blocks in range(1, whole + 1)}
    return sorted(size for size in sizes if size <= MOST_GROUPS)


def depthwise(graph: Graph, node: Node) -> list[Choice]:
    """Depthwise convolutions by SIMD, with any number of filters a channel."""
    op = node.op
    if not isinstance(op, FixedConv | AffineConv) or op.groups == 1 or op.kernel.shape[-1] > 1:
        return []
    if not gives_sums(op) or (isinstance(op, FixedConv) and weights_variant(op.weights, op.source)):
        return []
    shape, size = graph.tensors[node.name].shape, graph.tensors[node.inputs[0]].format.bytes
    return [Choice("depthwise", depthwise_scratch(op.window, shape, size), down=depthwise_down(shape))]


def winograd(graph: Graph, node: Node) -> list[Choice]:
    """Winograd's algorithm for width 3 along rows, in every number of equal blocks; only where SIMD serves."""
    op = node.op
    if (
        not isinstance(op, Conv | FixedConv | AffineConv)
        or op.groups > 1
        or not simd(graph, node)
        or not of_width_3(op.window)
    ):
        return []
    source = graph.tensors[node.inputs[0]]
    channels, itemsize = hwc(source.shape)[2], source.format.bytes
    packed = isinstance(op, FixedConv) and weights_variant(op.weights, op.source) != ""
    f43 = True
    if isinstance(op, FixedConv | AffineConv):
        assert isinstance(source.format, Fixed | Affine)
        f43 = can_wino_43(op, source.format.magnitude)
    found: list[Choice] = []
    for groups in block_sizes(hwc(graph.tensors[node.name].shape)[1]):
        if itemsize != 2 and f43:
            kernel = "packed_wino" if packed else "wino"
            found.append(Choice(kernel, wino_bytes(channels, groups, itemsize), groups))
        if itemsize == 2 and isinstance(op, FixedConv) and can_wino_q16(graph, node, op):
            kernel = "packed_wino" if packed else "wino"
            found.append(Choice(kernel, wino_bytes(channels, groups, itemsize, packed), groups))
        if itemsize == 2 and isinstance(op, FixedConv) and f43:
            found.append(Choice("packed_wino4", wino_bytes(channels, groups, 1), groups))
    return found


def of_width_3(window: Window) -> bool:
    rows = (window.kernel[0], window.strides[0], *window.padding[:2])
    columns = (window.kernel[1], window.strides[1], window.dilation[1])
    return rows == (1, 1, 0, 0) and columns == (3, 1, 1)


def can_wino_43(op: FixedConv | AffineConv, magnitude: int) -> bool:
    """F(4, 3) gives the numbers of this convolution in integers, of inputs up to `magnitude`.

    Transforms fit 16 bits, 24 times each sum and twice the accumulator 32.
    """
    half = int(rounding_half(op.requant).max()) if isinstance(op, FixedConv) else 0
    return serves_43(op.kernel[:, 0], magnitude) and 2 * (op.accumulator.bound + half) < 1 << 31


def can_wino_q16(graph: Graph, node: Node, op: FixedConv) -> bool:
    """nn_conv_q16_wino gives the numbers of this convolution: its input is never negative."""
    shifts = op.requant.shifts or (op.requant.shift,)
    bias = op.bias.astype(np.int64) + rounding_half(op.requant)
    positive = op.source.zero == 0 and never_negative(graph, node.inputs[0])
    return positive and max(shifts) <= 30 and serves_q16(op.kernel[:, 0], bias, op.source.high)


def never_negative(graph: Graph, tensor: str) -> bool:
    """Whether the clamp of the layer that makes it keeps all stored integers of a tensor at 0 or above."""
    node = graph.producer(tensor)
    if node is None:
        return False
    if isinstance(node.op, FixedMaxPool):
        return node.op.low >= 0 or (not any(node.op.window.padding) and never_negative(graph, node.inputs[0]))
    if isinstance(node.op, FixedReshape):
        return never_negative(graph, node.inputs[0])
    if isinstance(node.op, FixedConv | FixedDense | FixedAdd | FixedClamp | FixedAvgPool):
        return node.op.requant.low >= 0
    return False
