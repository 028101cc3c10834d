"""Convolution in one and two dimensions, grouped and depthwise included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..formats import Array, Fixed, FixedWeights
from ..packing import arrange_packed, pack_bits
from ..requant import Rounding
from ..simd import arrange_depthwise, arrange_groups, runs_down, scratch_bytes_depthwise
from ..winograd import arrange as arrange_wino
from ..winograd import bias_q16
from .base import (
    NONE,
    Accumulator,
    Activation,
    FixedFormats,
    FixedOp,
    FloatOp,
    Requant,
    Shape,
    hwc,
    unhwc,
)

if TYPE_CHECKING:
    from ..lower import CallBuilder

EXACT_IN_FLOAT64 = 1 << 53


@dataclass(frozen=True)
class Window:
    """Where a convolution or pooling looks: pairs are (H, W); 1-D layers have H = 1.

    `padding` is (top, bottom, left, right), in positions.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)

    def output(self, h: int, w: int) -> tuple[int, int]:
        """Output height and width. Raises ValueError when the window is larger than the padded input."""
        size = []
        for axis, extent in enumerate((h, w)):
            before, after = self.padding[2 * axis : 2 * axis + 2]
            span = self.dilation[axis] * (self.kernel[axis] - 1) + 1
            free = extent + before + after - span
            if free < 0:
                raise ValueError(
                    f"its window of {span} positions is larger than the padded input of {extent + before + after}"
                )
            size.append(free // self.strides[axis] + 1)
        return size[0], size[1]

    def windows(self, x: Array, fill: float = 0) -> Array:
        """All windows of a batch [N, H, W, C] as a view [N, OH, OW, C, KH, KW]; `fill` in the padding."""
        top, bottom, left, right = self.padding
        if any(self.padding):
            x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
        span = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True)]
        view = np.lib.stride_tricks.sliding_window_view(x, span, axis=(1, 2))
        (sh, sw), (dh, dw) = self.strides, self.dilation
        return view[:, ::sh, ::sw, :, ::dh, ::dw]

    def describe(self, rank: int) -> str:
        """For example "3x3 stride 2 pad 1,1,0,0"; one number per axis of the layer."""
        first = 0 if rank == 3 else 1

        def joined(values: tuple[int, ...], mark: str) -> str:
            return mark.join(str(value) for value in values)

        text = joined(self.kernel[first:], "x")
        if self.strides != (1, 1):
            text += f" stride {joined(self.strides[first:], 'x')}"
        if any(self.padding):
            text += f" pad {joined(self.padding[2 * first :], ',')}"
        if self.dilation != (1, 1):
            text += f" dilation {joined(self.dilation[first:], 'x')}"
        return text


def convolve(x: Array, weights: Array, window: Window, groups: int, fill: float = 0) -> Array:
    """Sums of products: x [N, H, W, C], weights [F, KH, KW, C/G] -> [N, OH, OW, F], in the type of x.

    `fill` is what stands in the padding.
    """
    n = len(x)
    filters, kh, kw, depth = weights.shape
    view = window.windows(x, fill)  # [N, OH, OW, C, KH, KW]
    oh, ow = view.shape[1:3]
    taps = view.transpose(0, 1, 2, 4, 5, 3).reshape(n * oh * ow, kh * kw, groups, depth)
    rows = taps.transpose(2, 0, 1, 3).reshape(groups, n * oh * ow, kh * kw * depth)
    matrix = weights.reshape(groups, filters // groups, kh * kw * depth).transpose(0, 2, 1)
    sums: Array = np.matmul(rows, matrix)
    return sums.transpose(1, 0, 2).reshape(n, oh, ow, filters)


def exact_type(bound: int) -> type[np.float64] | type[np.int64]:
    """Type in which sums of products up to `bound` are exact: float64 (fast) below 2^53, else int64."""
    return np.float64 if bound < EXACT_IN_FLOAT64 else np.int64


def bound_of(weights: Array, bias: Array, magnitude: int, positive: bool = False) -> int:
    """Largest accumulator magnitude of any filter, on the way too, in whatever order the products are added.

    ``sum |w| * max |x| + |b|``. positive: of inputs 0..magnitude, for which weights of one sign count at a time.
    """
    flat = weights.astype(np.int64).reshape(len(weights), -1)
    above, below = np.maximum(flat, 0).sum(axis=1), -np.minimum(flat, 0).sum(axis=1)
    sums = np.maximum(above, below) if positive else above + below
    return max(int(s) * magnitude + abs(int(b)) for s, b in zip(sums, bias, strict=True))


class Weighted(FloatOp):
    """Sums of products with the weights `kernel`, a `bias` for each filter, and a clamp."""

    kernel: Array
    bias: Array
    activation: Activation

    @property
    def weights(self) -> Array:
        return self.kernel

    def arrays(self) -> Mapping[str, Array]:
        return {"kernel": self.kernel, "bias": self.bias}

    def takes_unsigned(self, inputs: Sequence[Fixed], output: Fixed) -> bool:
        return sums_take_unsigned(self.activation, output)


@dataclass(frozen=True, eq=False)
class Conv(Weighted):
    """``y[p, f] = act(b[f] + sum over taps k and channels c of w[f, k, c] * x[p * stride + k * dilation, c])``.

    weights [F, KH, KW, C/G], bias [F], both real. Depthwise: G = C, F = C * multiplier.
    """

    kind = "conv"
    kernel: Array
    bias: Array
    window: Window
    groups: int = 1
    activation: Activation = NONE

    def infer(self, inputs: Sequence[Shape]) -> Shape:
        (shape,) = inputs
        h, w, c = hwc(shape)
        filters, _, _, depth = self.kernel.shape
        if depth * self.groups != c:
            raise ValueError(f"its weights expect {depth * self.groups} channels and the input has {c}")
        if filters % self.groups:
            raise ValueError(f"{filters} filters cannot be split into {self.groups} groups")
        return unhwc(*self.window.output(h, w), filters, len(shape))

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        y = convolve(
            x.reshape(len(x), *hwc(x.shape[1:])), self.kernel.astype(x.dtype), self.window, self.groups
        )
        y = self.activation.apply(y + self.bias.astype(x.dtype))
        return y.reshape(len(x), *self.infer([x.shape[1:]]))

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        oh, ow, _ = hwc(output)
        return oh * ow * self.kernel.size

    def with_activation(self, activation: Activation) -> FloatOp:
        return replace(self, activation=self.activation.then(activation))

    def to_fixed(self, formats: FixedFormats, shapes: Sequence[Shape]) -> FixedConv:
        assert formats.weights is not None
        kernel, bias, requant, accumulator = fixed_parameters(
            self.kernel, self.bias, self.activation, formats
        )
        return FixedConv(
            kernel,
            bias,
            self.window,
            self.groups,
            requant,
            formats.weights,
            formats.inputs[0],
            accumulator=accumulator,
        )

    def lower(self, call: CallBuilder) -> None:
        if call.choice:
            lower_simd(call, self.kernel, self.bias, self.window, call.range(self.activation))
            return
        call.kernel(
            "conv",
            call.input(0),
            call.table("kernel", self.kernel, f"[F={self.kernel.shape[0]}][KH][KW][C/G]"),
            call.table("bias", self.bias, "[F]"),
            conv_shape(call, self.window, self.groups),
            call.range(self.activation),
            call.output(),
        )

    def describe(self) -> str:
        return describe_conv(self.kernel, self.window, self.groups, str(self.activation))


@dataclass(frozen=True, eq=False)
class FixedConv(FixedOp):
    """The convolution in integers; bias at the accumulator's scale ``frac_x + frac_w``, zero points folded in.

    weights, source: formats of the kernel and of the input.
    """

    kind = "conv"
    kernel: Array
    bias: Array
    window: Window
    groups: int
    requant: Requant
    weights: FixedWeights
    source: Fixed
    accumulator: Accumulator = field(kw_only=True)

    def infer(self, inputs: Sequence[Shape]) -> Shape:
        return Conv(self.kernel, self.bias, self.window, self.groups).infer(inputs)

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        dtype = exact_type(self.accumulator.bound)
        image = x.reshape(len(x), *hwc(x.shape[1:])).astype(dtype)
        sums = convolve(image, self.kernel.astype(dtype), self.window, self.groups, self.source.zero)
        sums = sums.astype(np.int64)
        return self.requant(sums + self.bias.astype(np.int64)).reshape(len(x), *self.infer([x.shape[1:]]))

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        oh, ow, _ = hwc(output)
        return oh * ow * self.kernel.size

    def lower(self, call: CallBuilder) -> None:
        if call.choice:
            lower_simd_fixed(
                call, self.kernel, self.bias, self.window, self.requant, self.weights, self.source
            )
            return
        call.kernel(
            "conv",
            call.input(0),
            *weights_table(call, self.kernel, self.weights, self.source, "[KH][KW][C/G]"),
            call.table("bias", self.bias, "[F]"),
            conv_shape(call, self.window, self.groups, self.source.zero),
            call.requant(self.requant),
            call.output(),
            variant=weights_variant(self.weights, self.source) + self.accumulator.suffix,
        )

    def describe(self) -> str:
        return f"{describe_conv(self.kernel, self.window, self.groups, '')}, w {self.weights}"


def sums_take_unsigned(activation: Activation, output: Fixed) -> bool:
    """Sums of products: any input; an unsigned output where the activation lets nothing below 0 pass."""
    return not output.unsigned or (activation.low is not None and activation.low >= 0)


def fixed_parameters(
    kernel: Array, bias: Array, activation: Activation, formats: FixedFormats
) -> tuple[Array, Array, Requant, Accumulator]:
    """Integer weights, bias and requantization of a layer of sums of products, with the overflow proof.

    kernel [F, ...], bias [F]. The bias is rounded to nearest at the accumulator's scale; in it are the zero
    points: ``sum w * (x - zero_x) + b + zero_y * 2**shift = sum w * x + bias``, which the requantization
    brings to ``y`` with its zero point, since rounding commutes with adding an integer (toward zero does not:
    no unsigned output then). Raises ValueError when even 64 bits cannot hold the accumulator.
    """
    assert formats.weights is not None
    (source,), output = formats.inputs, formats.output
    fracs = source.frac + np.array(formats.weights.fracs)  # [1] or [F]
    shifts = fracs - output.frac
    integers = formats.weights.quantize(kernel, formats.weight_rounding)
    scaled = np.floor(np.ldexp(bias.astype(np.float64), fracs) + 0.5)
    if np.abs(scaled).max(initial=0) >= 2.0**62:
        raise ValueError(
            f"a bias of {np.abs(bias).max():g} at {fracs.max()} fraction bits does not fit 64 bits"
        )
    sums = integers.astype(np.int64).reshape(len(integers), -1).sum(axis=1)
    zero = np.ldexp(float(output.zero), shifts)
    assert not output.unsigned or (formats.rounding is not Rounding.TRUNC and (zero == np.floor(zero)).all())
    total = scaled.astype(np.int64) - source.zero * sums + zero.astype(np.int64)
    accumulator = Accumulator(bound_of(integers, total, source.magnitude))
    requant = Requant(
        int(shifts[0]),
        formats.rounding,
        *activation.bounds(output),
        tuple(shifts.tolist()) if len(shifts) > 1 else (),
    )
    return integers, total.astype(accumulator.dtype), requant, accumulator


def weights_variant(weights: FixedWeights, source: Fixed) -> str:
    """Suffix of the kernels that read weights of this format beside activations of that one."""
    same_storage = (weights.bits <= 8) == (source.bytes == 1)
    if weights.packed and weights.bits not in (8, 16):
        return "_packed"
    if same_storage:
        return ""
    return "_w8" if weights.bits <= 8 else "_packed"


def bits_in_flash(weights: FixedWeights, source: Fixed) -> int:
    """Bits that a weight takes in the tables of the kernels, whichever reads it."""
    variant = weights_variant(weights, source)
    return weights.bits if variant == "_packed" else 8 if weights.bits <= 8 else 16


def weights_table(
    call: CallBuilder, kernel: Array, weights: FixedWeights, source: Fixed, layout: str
) -> tuple[str, ...]:
    """Arguments of the kernel call for the weights [F, ...]: the table, and its width where it is packed."""
    layout = f"[F={len(kernel)}]{layout}"
    if weights_variant(weights, source) != "_packed":
        return (call.table("kernel", kernel, layout),)
    packed = pack_bits(kernel, weights.bits)
    return (
        call.table("kernel", packed, f"{layout}, {weights.bits} bits each, each filter from a new byte"),
        f"{weights.bits}u",
    )


def conv_shape(call: CallBuilder, window: Window, groups: int, zero: int = 0) -> str:
    """The C structure nn_conv_shape of this call; `zero`: the stored input that means 0."""
    (h, w, c), (oh, ow, f) = hwc(call.input_shape(0)), hwc(call.output_shape())
    window = call.window(window)
    return call.structure(
        "nn_conv_shape",
        "shape",
        {
            ".in_h": h, ".in_w": w, ".in_c": c, ".out_h": oh, ".out_w": ow, ".out_c": f,
            ".k_h": window.kernel[0], ".k_w": window.kernel[1],
            ".stride_h": window.strides[0], ".stride_w": window.strides[1],
            ".dilation_h": window.dilation[0], ".dilation_w": window.dilation[1],
            ".pad_top": window.padding[0], ".pad_left": window.padding[2],
            ".groups": groups, **({".x_zero": zero} if zero else {}),
        },
    )  # fmt: skip


def lower_simd(
    call: CallBuilder,
    kernel: Array,
    bias: Array,
    window: Window,
    finish: str,
    zero: int = 0,
    bits: int = 0,
) -> None:
    """Call the chosen convolution by SIMD; kernel [F, ...]; `zero`: the stored input that means 0.

    bits: of a weight in flash, for kernels that read packed weights.
    """
    choice = call.choice
    assert choice is not None
    layout = f"for {choice.kernel}, F={len(kernel)}"
    options = [f"{choice.groups}u"] if choice.groups else []
    groups = call.input_shape(0)[-1] // kernel.shape[-1]
    x_bytes = call.type_of(call.node.inputs[0]).format.bytes
    if choice.packed:
        table = arrange_packed(kernel, bits, choice.algorithm, x_bytes)
        weights = [call.table("kernel", table, f"{layout}, {bits} bits each"), f"{bits}u"]
    else:
        if choice.algorithm == "depthwise":
            table = arrange_depthwise(kernel[..., 0], choice.down)
            options = [f"{choice.down:d}u"] if choice.scratch else []
        elif choice.algorithm.startswith("wino"):
            table = arrange_wino(kernel)
        else:
            table = arrange_groups(kernel, x_bytes, groups)
        weights = [call.table("kernel", table, layout)]
    if choice.algorithm == "wino" and x_bytes == 2:
        bias = bias_q16(kernel, bias)
    call.kernel(
        "conv",
        call.input(0),
        *weights,
        call.table("bias", bias, "[F]"),
        conv_shape(call, window, groups, zero),
        finish,
        *options,
        *([call.scratch("f32" if kernel.dtype == np.float32 else "words")] if choice.scratch else []),
        call.output(),
        variant=f"_{choice.kernel}",
    )


def depthwise_down(output: Shape) -> bool:
    """Whether the lines of a depthwise convolution by SIMD run along the height of its whole output."""
    return runs_down(*hwc(output)[:2])


def depthwise_scratch(window: Window, output: Shape, itemsize: int) -> int:
    """Scratch memory in bytes of a depthwise convolution by SIMD; `output`: its whole shape."""
    along, across = (0, 1) if depthwise_down(output) else (1, 0)
    line = (hwc(output)[along], window.kernel[along], window.strides[along], window.dilation[along])
    return scratch_bytes_depthwise(line, (window.kernel[across], window.dilation[across]), itemsize)


def rounding_half(requant: Requant) -> Array:
    """What rounding to nearest adds to the accumulator in front of the shift, int64 [1] or [F]."""
    shifts = np.array(requant.shifts or (requant.shift,), np.int64)
    nearest = requant.rounding is Rounding.NEAREST
    half: Array = np.where(nearest & (shifts > 0), 1 << np.maximum(shifts - 1, 0), 0)
    return half


def simd_serves(requant: Requant, accumulator: Accumulator) -> bool:
    """nn_conv_T_simd gives this output: right shifts, the half that rounding adds fits the accumulator."""
    fits = Accumulator(accumulator.bound + int(rounding_half(requant).max())).bits == 32
    return shifts_right(requant) and fits


def wide_simd_serves(requant: Requant, bias: Array) -> bool:
    """nn_conv_q16_wide_T give this output: right shifts; biases and the half of rounding fit 32 bits."""
    folded = np.abs(bias.astype(np.int64)) + rounding_half(requant)
    return shifts_right(requant) and int(folded.max()) <= Accumulator.LIMIT[32]


def shifts_right(requant: Requant) -> bool:
    """Every shift is one to the right by less than 32 bits, of a rounding that is FLOOR behind an addition."""
    shifts = requant.shifts or (requant.shift,)
    trunc = requant.rounding is Rounding.TRUNC and max(shifts) > 0
    return min(shifts) >= 0 and max(shifts) <= 31 and not trunc


def lower_simd_fixed(
    call: CallBuilder,
    kernel: Array,
    bias: Array,
    window: Window,
    requant: Requant,
    weights: FixedWeights,
    source: Fixed,
) -> None:
    """The same in integers; the half that rounding to nearest adds is in the bias, of 32 bits."""
    floor = replace(requant, rounding=Rounding.FLOOR)
    folded = (bias + rounding_half(requant)).astype(np.int32)
    bits = bits_in_flash(weights, source)
    lower_simd(call, kernel, folded, window, call.requant(floor), source.zero, bits)


def describe_conv(kernel: Array, window: Window, groups: int, activation: str) -> str:
    filters, kh, _, depth = kernel.shape
    name = "depthwise" if depth == 1 and groups > 1 else f"groups {groups}" if groups > 1 else ""
    parts = [window.describe(3 if kh > 1 else 2), f"{depth * groups}->{filters}", name, activation]
    return " ".join(part for part in parts if part)
