"""Which kernels can compute each layer, and which one does.

`candidates` lists every kernel that gives a layer's numbers: that is a matter of proofs (accumulators, formats,
shapes), never of cost. Which one is taken is a matter of cost alone: measured by tools/selection.py where there
is a virtual board, else by the rule here. `speed` then takes the SIMD convolution, depthwise or not, wherever it can
serve, for convolutions of width 3 and of 3 x 3 Winograd's algorithm; every other goal keeps the portable kernels,
which need no scratch memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from .formats import Affine, Fixed
from .graph import Graph, Node
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
    wide_simd_serves,
)
from .ops.dense import Dense, FixedDense
from .plan import PLAIN, Option, Work
from .quantize.proof import never_negative
from .simd import DEPTHWISE_BLOCK, scratch_bytes, scratch_bytes_wino_3x3
from .winograd import scratch_bytes as wino_bytes
from .winograd import serves_8_3x3, serves_43, serves_q16

Optimize: TypeAlias = Literal["speed", "size", "ram", "balanced"]
GOALS: tuple[Optimize, ...] = get_args(Optimize)
LARGEST_DIMENSION = 65535
# Groups of 16 (3 x 3: 64) positions that Winograd's algorithm, and any with packed weights, computes at a time, at
# most: more take more memory and gain less.
MOST_GROUPS = 8
# 3 x 3: rows and columns of a tile, tiles of a group; positions that cost as much as to transform the weights
# of a block once.
WINO_TILE, WINO_TILES = 4, 4
WINO_3X3_SETUP = 20.0
# The rule, by the bytes of an element (F(4, 3) of 16 bits is as F(4, 3) of 8 bits): below these the transforms cost
# more than they save,
WINO_POSITIONS = 8
WINO_POSITIONS_OF_ROWS = {1: 8, 2: 8, 4: 12}  # where the kernel has several rows
WINO_CHANNELS = {1: 9, 2: 12, 4: 6}
# and larger blocks do not pay for their memory.
WINO_GROUPS = {1: 8, 2: 4, 4: 3}
# The same for 3 x 3; positions of the 64 of a group.
WINO_3X3_POSITIONS = 36
WINO_3X3_CHANNELS = 3
WINO_3X3_GROUPS = 4


@dataclass(frozen=True)
class Choice:
    """A variant of a kernel, by its suffix ("": the portable one); scratch memory in bytes.

    `groups` of 16 positions (3 x 3: of 64) are computed at a time (Winograd's algorithm, packed weights). `down`: lines
    run along the height (depthwise only).
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
        return self.kernel.removeprefix("packed_").removeprefix("wide_")

    def work(self, shape: Shape) -> Work:
        """How the cost of a call depends on its rows, which in 1-D are positions; `shape`: of the whole output.

        Blocks of 4 positions, or of 16 and weights transformed; 3 x 3: rows of tiles, and weights transformed for
        every block of them. A depthwise call prepares filters and fills its first lines, about as dear as two rows; in
        float32, without lines, it goes through two rows more than it computes.
        """
        if self.kernel == "depthwise" and not self.scratch:
            return Work(1, LARGEST_DIMENSION, 2.0 if len(shape) == 3 else 0.0)
        if self.algorithm == "depthwise":
            return Work(4 if self.down or len(shape) == 2 else 1, DEPTHWISE_BLOCK, 2.0)
        if self.kernel == "wino_3x3":
            tiles = -(-shape[1] // WINO_TILE)
            rows = max(WINO_TILES * self.groups // tiles, 1)
            blocks = max(tiles / (WINO_TILES * self.groups), 1)
            return Work(WINO_TILE, WINO_TILE * rows, WINO_3X3_SETUP / shape[1] * blocks)
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
    out_h, out_w, filters = hwc(graph.tensors[node.name].shape)
    source = graph.tensors[node.inputs[0]]
    channels = hwc(source.shape)[2]
    square = [o for o in options if o.kernel == "wino_3x3" and o.groups <= WINO_3X3_GROUPS]
    if square and min(channels, filters) >= WINO_3X3_CHANNELS:
        groups = -(-tiles_of(out_h, out_w) // WINO_TILES)
        if out_h * out_w >= WINO_3X3_POSITIONS * groups:
            return square[-1]
    several = isinstance(node.op, Conv | FixedConv) and node.op.window.kernel[0] > 1
    for algorithm in ("wino4", "wino"):
        size = 1 if algorithm == "wino4" else source.format.bytes
        found = [o for o in options if o.algorithm == algorithm and o.groups <= WINO_GROUPS[size]]
        least = WINO_POSITIONS_OF_ROWS[size] if several else WINO_POSITIONS
        if found and out_w >= least and min(channels, filters) >= WINO_CHANNELS[size]:
            return found[-1]
    plain = [o for o in options if o.algorithm in ("simd", "depthwise") and not o.packed]
    packed = [o for o in options if o.kernel == "packed_simd"]
    return [PORTABLE, *packed, *plain][-1]


def candidates(graph: Graph, node: Node) -> list[Choice]:
    """Every kernel that gives this layer's numbers; the portable one first."""
    return [
        PORTABLE,
        *simd(graph, node),
        *depthwise(graph, node),
        *winograd(graph, node),
        *winograd_3x3(graph, node),
    ]


# Cycles of a multiply-accumulate, about, for choosing by the rule; those that blocks cost beside come on top.
RATES = {"": 5.0, "simd": 1.2, "wino": 0.63, "wino4": 0.63, "wino_3x3": 0.5, "depthwise": 3.0}
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


def gives_wide_sums(op: object, itemsize: int) -> bool:
    """nn_conv_q16_wide_simd or nn_conv_q16_wide_depthwise gives this layer's numbers."""
    return (
        isinstance(op, FixedConv | FixedDense)
        and itemsize == 2
        and not weights_variant(op.weights, op.source)
        and wide_simd_serves(op.requant, op.bias)
    )


def simd(graph: Graph, node: Node) -> list[Choice]:
    """The convolution by SIMD, for dense layers too; depthwise ones are not for it.

    Weights are packed or not; packed ones without groups only. Sums that are not proved to fit 32 bits: weights of
    16 bits only.
    """
    op = node.op
    if isinstance(op, AffineDense):
        return [Choice("simd")] if op.simd_serves() else []
    if not isinstance(op, Conv | FixedConv | AffineConv | Dense | FixedDense):
        return []
    groups = 1 if isinstance(op, Dense | FixedDense) else op.groups
    source = graph.tensors[node.inputs[0]]
    wide = isinstance(op, FixedConv | FixedDense | AffineConv) and not gives_sums(op)
    if wide and not gives_wide_sums(op, source.format.bytes):
        return []
    if groups > 1 and op.kernel.shape[-1] == 1:
        return []
    if hwc(source.shape)[2] > LARGEST_DIMENSION:
        return []
    out_h, out_w, _ = hwc(graph.tensors[node.name].shape)
    taps, positions, itemsize = op.kernel[0].size, out_h * out_w, source.format.bytes
    plain = [Choice("wide_simd" if wide else "simd", scratch_bytes(taps, positions, itemsize))]
    if wide or not isinstance(op, FixedConv | FixedDense):
        return plain
    packed = [
        Choice("packed_simd", scratch_bytes(taps, positions, itemsize, blocks), blocks)
        for blocks in block_sizes(-(-positions // 16))
    ]
    if weights_variant(op.weights, op.source):
        return packed if groups == 1 else []
    # Weights of 8 or 16 bits in RAM for a block of positions may be faster than in flash.
    return [*plain, *packed] if positions > 1 and groups == 1 else plain


def depthwise(graph: Graph, node: Node) -> list[Choice]:
    """Depthwise convolutions by SIMD, with any number of filters a channel."""
    op = node.op
    if not isinstance(op, Conv | FixedConv | AffineConv) or op.groups == 1 or op.kernel.shape[-1] > 1:
        return []
    if isinstance(op, Conv):
        return [Choice("depthwise")]
    if isinstance(op, FixedConv) and weights_variant(op.weights, op.source):
        return []
    shape, size = graph.tensors[node.name].shape, graph.tensors[node.inputs[0]].format.bytes
    wide = not gives_sums(op)
    if wide and not gives_wide_sums(op, size):
        return []
    return [
        Choice(
            "wide_depthwise" if wide else "depthwise",
            depthwise_scratch(op.window, shape, size),
            down=depthwise_down(shape),
        )
    ]


def winograd(graph: Graph, node: Node) -> list[Choice]:
    """Winograd's algorithm for width 3 along rows, in every number of equal blocks; only where SIMD serves.

    int16 and float32: kernels of any height; 8 bits: those of one row.
    """
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
    height, fixed = op.window.kernel[0], isinstance(op, FixedConv)
    packed = isinstance(op, FixedConv) and weights_variant(op.weights, op.source) != ""
    f43 = True  # float32
    if isinstance(op, FixedConv | AffineConv):
        assert isinstance(source.format, Fixed | Affine)
        one_row = height == 1 and op.window.strides[0] == 1 and not any(op.window.padding[:2])
        f43 = one_row and can_wino_43(op, source.format.magnitude)
    f23 = isinstance(op, FixedConv) and itemsize == 2 and can_wino_q16(graph, node, op)
    found: list[Choice] = []
    for groups in block_sizes(-(-hwc(graph.tensors[node.name].shape)[1] // 16)):
        if f23 or (f43 and itemsize != 2):
            scratch = wino_bytes(channels, groups, itemsize, height, packed)
            found.append(Choice("packed_wino" if packed else "wino", scratch, groups))
        if f43 and fixed and itemsize == 2:
            found.append(Choice("packed_wino4", wino_bytes(channels, groups, 1), groups))
    return found


def block_sizes(whole: int) -> list[int]:
    """Groups of a block where `whole` groups are computed in any number of equal blocks."""
    sizes = {-(-whole // blocks) for blocks in range(1, whole + 1)}
    return sorted(size for size in sizes if size <= MOST_GROUPS)


def winograd_3x3(graph: Graph, node: Node) -> list[Choice]:
    """Winograd's algorithm for 3 x 3, 8 bits, in blocks of GROUPS; only where SIMD serves."""
    op = node.op
    source, output = (graph.tensors[name] for name in (node.inputs[0], node.name))
    if not isinstance(op, FixedConv | AffineConv) or op.groups > 1 or source.format.bytes != 1:
        return []
    assert isinstance(source.format, Fixed | Affine)
    if not simd(graph, node) or (isinstance(op, FixedConv) and weights_variant(op.weights, op.source)):
        return []
    window = op.window
    if (window.kernel, window.strides, window.dilation) != ((3, 3), (1, 1), (1, 1)):
        return []
    if not serves_8_3x3(op.kernel, source.format.magnitude) or not doubles_fit(op):
        return []
    tiles = tiles_of(*hwc(output.shape)[:2])
    channels = hwc(source.shape)[2]
    return [
        Choice("wino_3x3", scratch_bytes_wino_3x3(channels, groups), groups)
        for groups in block_sizes(-(-tiles // WINO_TILES))
    ]


def tiles_of(out_h: int, out_w: int) -> int:
    """Tiles of Winograd's algorithm for 3 x 3 in an output."""
    return -(-out_h // WINO_TILE) * -(-out_w // WINO_TILE)


def of_width_3(window: Window) -> bool:
    return (window.kernel[1], window.strides[1], window.dilation[1]) == (3, 1, 1)


def can_wino_43(op: FixedConv | AffineConv, magnitude: int) -> bool:
    """F(4, 3) gives the numbers of this convolution in integers, of inputs up to `magnitude`.

    Transforms fit 16 bits, 24 times each sum and twice the accumulator 32.
    """
    return serves_43(op.kernel[:, 0], magnitude) and doubles_fit(op)


def doubles_fit(op: FixedConv | AffineConv) -> bool:
    """Twice the accumulator fits 32 bits, with what rounding adds."""
    half = int(rounding_half(op.requant).max()) if isinstance(op, FixedConv) else 0
    return 2 * (op.accumulator.bound + half) < 1 << 31


def can_wino_q16(graph: Graph, node: Node, op: FixedConv) -> bool:
    """nn_conv_q16_wino gives the numbers of this convolution: its input is never negative."""
    shifts = op.requant.shifts or (op.requant.shift,)
    bias = op.bias.astype(np.int64) + rounding_half(op.requant)
    positive = op.source.zero == 0 and never_negative(graph, node.inputs[0])
    return positive and max(shifts) <= 30 and serves_q16(op.kernel, bias, op.source.high)
