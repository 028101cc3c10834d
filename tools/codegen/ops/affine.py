"""The operations in affine integers, as TensorFlow Lite's 8-bit and 16x8 specification has them.

``real = scale * (q - zero_point)``; weights are 8 bits, symmetric, with a scale for each filter; biases have the
scale of the input times that of the filter. The arithmetic is in affine_math.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import singledispatch
from typing import TYPE_CHECKING

import numpy as np

from .. import affine_math
from ..affine_math import Multiplier, quantize_multiplier
from ..formats import Affine, Array, Format
from ..requant import Rounding
from ..simd import arrange_simd
from .add import Add, infer_add
from .base import NONE, Accumulator, Activation, FloatOp, Op, Requant, SameShape, Shape, elements, hwc
from .batchnorm import BatchNorm
from .conv import Conv, Window, bound_of, conv_shape, convolve, describe_conv, exact_type, lower_simd
from .copy import Clamp, Concat, Pad, Reshape, Reshaping, infer_concat, infer_pad, lower_pad, pad_batch
from .dense import Dense, infer_dense
from .pool import AvgPool, IntegerMaxPool, MaxPool, Pooling, counts, image, pool_shape
from .softmax import Softmax, rows_of

if TYPE_CHECKING:
    from ..lower import CallBuilder

LARGEST_WEIGHT = 127
LARGEST_ACCUMULATOR = {8: (1 << 31) - 1, 16: (1 << 47) - 1}
"""Of sums of products, by bits of the activations: what `multiply` and `multiply_wide` take."""
LARGEST_SHIFT = {8: 30, 16: 7}
ADD_LEFT = {8: 20, 16: 15}
SIMD_SHIFTS = {8: 22, 16: 17}
"""The largest right shift of the SIMD kernels, by bits: for which a zero point fits in front of it
(nn_affine_offset); for which 32 bits of the product are shifted out at least (nn_affine_multiplier_16)."""


@dataclass(frozen=True)
class AffineFormats:
    """What the affine scheme chose for one node."""

    inputs: tuple[Affine, ...]
    output: Affine


@dataclass(frozen=True, eq=False)
class AffineWeights:
    """Weights and bias of a layer of sums of products, quantized: integers and what they mean.

    kernel int8 [F, ...]; bias [F] int32 or int64 at the scale ``input scale * scales[f]``, zero points not yet
    folded in; scales [F] float32.
    """

    kernel: Array
    bias: Array
    scales: Array


@dataclass(frozen=True, eq=False)
class AffineRequant:
    """``y = clamp(zero_point + acc * multiplier * 2**(shift - 31))``, a multiplier for each filter (last axis).

    multipliers int32, shifts int8, both [F] or [1]; `multiply`: in which arithmetic.
    """

    multipliers: Array
    shifts: Array
    zero_point: int
    low: int
    high: int
    multiply: Callable[[Array, Array, Array], Array] = affine_math.multiply

    @staticmethod
    def of(
        multipliers: Sequence[Multiplier],
        output: Affine,
        activation: Activation,
        multiply: Callable[[Array, Array, Array], Array] = affine_math.multiply,
    ) -> AffineRequant:
        shifts = [m.shift for m in multipliers]
        if max(shifts) > LARGEST_SHIFT[output.bits]:
            raise ValueError(
                f"its output has steps of {output.scale:g}, more than 2^{LARGEST_SHIFT[output.bits]} times finer "
                "than those of what it is computed from"
            )
        return AffineRequant(
            np.array([m.multiplier for m in multipliers], np.int32),
            np.array(shifts, np.int8),
            output.zero_point,
            *bounds(activation, output),
            multiply,
        )

    def __call__(self, accumulator: Array) -> Array:
        y = self.multiply(accumulator, self.multipliers, self.shifts) + self.zero_point
        clamped: Array = np.clip(y, self.low, self.high)
        return clamped

    def lower(self, call: CallBuilder, suffix: str = "") -> str:
        """Pointer to the C structure nn_requant_affine."""
        layout = "[F]" if len(self.multipliers) > 1 else "[1]"
        return call.structure(
            "nn_requant_affine",
            f"out{suffix}",
            {
                ".multipliers": call.table(f"multipliers{suffix}", self.multipliers, layout),
                ".shifts": call.table(f"shifts{suffix}", self.shifts, layout),
                ".zero_point": self.zero_point,
                ".min": self.low,
                ".max": self.high,
            },
        )


def bounds(activation: Activation, output: Affine) -> tuple[int, int]:
    """The clamp of an activation as stored integers of the output, inside its own range."""
    low = output.low if activation.low is None else int(output.quantize(np.asarray(activation.low)))
    high = output.high if activation.high is None else int(output.quantize(np.asarray(activation.high)))
    return low, high


@dataclass(frozen=True, eq=False)
class AffineOp(Op):
    """An operation on affine integers."""

    accumulator: Accumulator = field(kw_only=True, default=Accumulator(0))

    def check(self, inputs: Sequence[Format], output: Format) -> str | None:
        wrong = [str(fmt) for fmt in (*inputs, output) if not isinstance(fmt, Affine)]
        if wrong:
            return f"an affine operation has a tensor in {wrong[0]}"
        if len({fmt.bytes for fmt in (*inputs, output)}) != 1:
            return "its tensors are stored in different widths"
        return None


@singledispatch
def to_affine(op: Op, formats: AffineFormats, weights: AffineWeights | None, shapes: Sequence[Shape]) -> Op:
    """The operation in affine integers; shapes: of its inputs. Raises ValueError saying what does not fit."""
    raise ValueError(f"affine integers have no {op.kind}")


def sums_of_products(
    weights: AffineWeights,
    activation: Activation,
    formats: AffineFormats,
    multiply: Callable[[Array, Array, Array], Array],
) -> tuple[Array, AffineRequant, Accumulator]:
    """Bias with the input's zero point folded in, requantization and overflow proof."""
    (source,), output = formats.inputs, formats.output
    sums = weights.kernel.astype(np.int64).reshape(len(weights.kernel), -1).sum(axis=1)
    bias = weights.bias.astype(np.int64) - source.zero_point * sums
    bound = bound_of(weights.kernel, bias, source.magnitude)
    if bound > LARGEST_ACCUMULATOR[source.bits]:
        raise ValueError(f"its accumulator can reach {bound}, more than {LARGEST_ACCUMULATOR[source.bits]}")
    multipliers = [
        quantize_multiplier(source.scale * float(scale) / output.scale) for scale in weights.scales
    ]
    requant = AffineRequant.of(multipliers, output, activation, multiply)
    return bias.astype(np.int32 if source.bits == 8 else np.int64), requant, Accumulator(bound)


def bits_of(bias: Array) -> int:
    """Bits of the activations of a layer of sums of products, by the type of its bias."""
    return 8 if bias.dtype == np.int32 else 16


@dataclass(frozen=True, eq=False)
class AffineConv(AffineOp):
    """Convolution; `zero`: the stored input that stands in the padding; its share is folded into the bias."""

    kind = "conv"
    kernel: Array
    bias: Array
    window: Window
    groups: int
    zero: int
    requant: AffineRequant

    def infer(self, inputs: Sequence[Shape]) -> Shape:
        return Conv(self.kernel, self.bias, self.window, self.groups).infer(inputs)

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        dtype = exact_type(self.accumulator.bound)
        sums = convolve(
            image(x).astype(dtype), self.kernel.astype(dtype), self.window, self.groups, self.zero
        )
        y = self.requant(sums.astype(np.int64) + self.bias.astype(np.int64))
        return y.reshape(len(x), *self.infer([x.shape[1:]]))

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        oh, ow, _ = hwc(output)
        return oh * ow * self.kernel.size

    def simd_serves(self) -> bool:
        """nn_conv_a8_simd or nn_conv_a16_simd gives this output: shifts to the right, sums of 32 bits.

        8 bits: twice the accumulator fits. 16 bits: the accumulator does, and nothing is added to the output.
        """
        bits, shifts = bits_of(self.bias), self.requant.shifts
        fits = self.accumulator.bound << (bits == 8) < 1 << 31 and (bits == 8 or self.requant.zero_point == 0)
        return bool(shifts.min() >= -SIMD_SHIFTS[bits] and shifts.max() < 0 and fits)

    def lower(self, call: CallBuilder) -> None:
        if call.choice:
            bias = self.bias.astype(np.int32)
            lower_simd(call, self.kernel, bias, self.window, self.requant.lower(call), self.zero)
            return
        call.kernel(
            "conv",
            call.input(0),
            call.table("kernel", self.kernel, f"[F={len(self.kernel)}][KH][KW][C/G]"),
            call.table("bias", self.bias, "[F]"),
            conv_shape(call, self.window, self.groups, self.zero),
            self.requant.lower(call),
            call.output(),
        )

    def describe(self) -> str:
        return describe_conv(self.kernel, self.window, self.groups, "")


@to_affine.register
def _(op: Conv, formats: AffineFormats, weights: AffineWeights, shapes: Sequence[Shape]) -> AffineConv:
    multiply = affine_math.multiply if formats.output.bits == 8 else affine_math.multiply_wide
    bias, requant, accumulator = sums_of_products(weights, op.activation, formats, multiply)
    zero = formats.inputs[0].zero_point
    return AffineConv(weights.kernel, bias, op.window, op.groups, zero, requant, accumulator=accumulator)


@to_affine.register
def _(op: BatchNorm, formats: AffineFormats, weights: AffineWeights, shapes: Sequence[Shape]) -> Op:
    return to_affine(op.as_conv(), formats, weights, shapes)


@dataclass(frozen=True, eq=False)
class AffineDense(AffineOp):
    """Fully connected layer."""

    kind = "dense"
    kernel: Array
    bias: Array
    requant: AffineRequant

    def infer(self, inputs: Sequence[Shape]) -> Shape:
        return infer_dense(self.kernel, inputs)

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        dtype = exact_type(self.accumulator.bound)
        sums = x.astype(dtype) @ self.kernel.T.astype(dtype)
        return self.requant(sums.astype(np.int64) + self.bias.astype(np.int64))

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        return int(self.kernel.size)

    def simd_serves(self) -> bool:
        """nn_dense_a8_simd or nn_dense_a16_simd gives this output: the accumulator fits 32 bits."""
        return self.accumulator.bound < 1 << 31

    def lower(self, call: CallBuilder) -> None:
        filters, channels = self.kernel.shape
        kernel, bias, layout = self.kernel, self.bias, f"[F={filters}][C={channels}]"
        if call.choice:
            kernel, bias = arrange_simd(kernel, bits_of(bias) // 8), bias.astype(np.int32)
            layout = f"for simd, F={filters}"
        call.kernel(
            "dense",
            call.input(0),
            call.table("kernel", kernel, layout),
            call.table("bias", bias, "[F]"),
            f"{channels}u",
            f"{filters}u",
            self.requant.lower(call),
            call.output(),
            variant="_simd" if call.choice else "",
        )

    def describe(self) -> str:
        return f"{self.kernel.shape[1]}->{self.kernel.shape[0]}"


@to_affine.register
def _(op: Dense, formats: AffineFormats, weights: AffineWeights, shapes: Sequence[Shape]) -> AffineDense:
    bias, requant, accumulator = sums_of_products(weights, op.activation, formats, affine_math.multiply_once)
    return AffineDense(weights.kernel, bias, requant, accumulator=accumulator)


@dataclass(frozen=True, eq=False)
class AffineAdd(AffineOp):
    """Both operands brought to a common scale of many bits, added, brought to the output's scale."""

    kind = "add"
    left: int
    zeros: tuple[int, int]
    operands: tuple[Multiplier, Multiplier]
    back: Multiplier
    zero_point: int
    low: int
    high: int

    def infer(self, inputs: Sequence[Shape]) -> Shape:
        return infer_add(inputs)

    def run(self, inputs: Sequence[Array]) -> Array:
        a, b = inputs
        return affine_math.add(
            a, b, self.left, self.zeros, self.operands, self.back, self.zero_point, self.low, self.high
        )

    def in_place(self) -> tuple[int, ...]:
        return (0, 1)

    def lower(self, call: CallBuilder) -> None:
        (a, b), back = self.operands, self.back
        parameters = call.structure(
            "nn_add_affine",
            "add",
            {
                ".zero_a": self.zeros[0], ".zero_b": self.zeros[1],
                ".multiplier_a": a.multiplier, ".multiplier_b": b.multiplier, ".multiplier": back.multiplier,
                ".shift_a": a.shift, ".shift_b": b.shift, ".shift": back.shift,
                ".zero_point": self.zero_point, ".min": self.low, ".max": self.high,
            },
        )  # fmt: skip
        count = f"{elements(call.output_shape())}u"
        call.kernel("add", call.input(0), call.input(1), count, parameters, call.output())


@to_affine.register
def _(op: Add, formats: AffineFormats, weights: None, shapes: Sequence[Shape]) -> AffineAdd:
    (a, b), output = formats.inputs, formats.output
    left = ADD_LEFT[output.bits]
    operands, back = affine_math.add_multipliers(left, (a.scale, b.scale), output.scale)
    zeros = (a.zero_point, b.zero_point)
    return AffineAdd(left, zeros, operands, back, output.zero_point, *bounds(op.activation, output))


def same_format(op: FloatOp, formats: AffineFormats) -> None:
    if set(formats.inputs) != {formats.output}:
        raise ValueError(f"{op.kind} needs one scale and zero point for its input and output")


@dataclass(frozen=True, eq=False)
class AffineMaxPool(IntegerMaxPool, AffineOp):
    """Input and output have the same scale and zero point."""


@to_affine.register
def _(op: MaxPool, formats: AffineFormats, weights: None, shapes: Sequence[Shape]) -> AffineMaxPool:
    same_format(op, formats)
    return AffineMaxPool(op.window, *bounds(op.activation, formats.output))


@dataclass(frozen=True, eq=False)
class AffineAvgPool(Pooling, AffineOp):
    """Mean over the part of each window inside the input; input and output have the same scale and zero point."""

    kind = "pool_avg"
    low: int
    high: int

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        sums = self.window.windows(image(x).astype(np.int64)).sum(axis=(-2, -1))
        return self.batch(
            affine_math.pool_average(sums, counts(self.window, x.shape[1:]), self.low, self.high), x
        )

    def lower(self, call: CallBuilder) -> None:
        shape = pool_shape(call, self.window)
        call.kernel("pool_avg", call.input(0), shape, str(self.low), str(self.high), call.output())


@dataclass(frozen=True, eq=False)
class AffineMean(AffineOp):
    """Mean over all positions, with a scale and a zero point of its own: global average pooling."""

    kind = "mean"
    zero: int
    requant: AffineRequant

    def infer(self, inputs: Sequence[Shape]) -> Shape:
        (shape,) = inputs
        return (*(1,) * (len(shape) - 1), shape[-1])

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        positions = x.reshape(len(x), -1, x.shape[-1]).astype(np.int64)
        y = self.requant(positions.sum(axis=1) - positions.shape[1] * self.zero)
        return y.reshape(len(x), *self.infer([x.shape[1:]]))

    def in_place(self) -> tuple[int, ...]:
        return (0,)

    def lower(self, call: CallBuilder) -> None:
        *positions, channels = call.input_shape(0)
        call.kernel(
            "mean",
            call.input(0),
            f"{elements(tuple(positions))}u",
            f"{channels}u",
            str(self.zero),
            self.requant.lower(call),
            call.output(),
        )


def covers_all(window: Window, shape: Shape) -> bool:
    """Whether the one window is the whole input."""
    return window.kernel == hwc(shape)[:2] and not any(window.padding)


@to_affine.register
def _(op: AvgPool, formats: AffineFormats, weights: None, shapes: Sequence[Shape]) -> Op:
    (source,), output = formats.inputs, formats.output
    if source == output or not covers_all(op.window, shapes[0]):
        same_format(op, formats)
        return AffineAvgPool(op.window, *bounds(op.activation, output))
    count = op.window.kernel[0] * op.window.kernel[1]
    bound = count * 2 * source.magnitude
    if bound > LARGEST_ACCUMULATOR[8]:
        raise ValueError(f"its sum of {count} elements does not fit 32 bits")
    multiplier = affine_math.mean_multiplier(source.scale / output.scale, count)
    requant = AffineRequant.of([multiplier], output, op.activation)
    return AffineMean(source.zero_point, requant, accumulator=Accumulator(bound))


def rescaling(source: Affine, output: Affine, activation: Activation = NONE) -> AffineRequant | None:
    """How integers of one format become those of another; None where they stay as they are."""
    if source == output and not activation:
        return None
    return AffineRequant.of([quantize_multiplier(source.scale / output.scale)], output, activation)


def output_format(call: CallBuilder) -> Affine:
    output = call.type_of(call.node.name).format
    assert isinstance(output, Affine)
    return output


def lower_copy(
    call: CallBuilder,
    index: int,
    rows: int,
    row: int,
    stride: int,
    requant: AffineRequant | None,
    output: str,
) -> None:
    """Rows of input `index` to rows of the output, `stride` elements apart, rescaled unless `requant` is None."""
    extents = (f"{rows}u", f"{row}u", f"{stride}u")
    if requant is None:
        fmt = output_format(call)
        same = call.requant(Requant(0, Rounding.NEAREST, fmt.low, fmt.high))
        call.kernel("copy", call.input(index), *extents, same, output, kind=fmt.integers)
    else:
        source = call.type_of(call.node.inputs[index]).format
        assert isinstance(source, Affine)
        finish = requant.lower(call, str(index))
        call.kernel("requantize", call.input(index), *extents, str(source.zero_point), finish, output)


@dataclass(frozen=True, eq=False)
class AffineClamp(SameShape, AffineOp):
    """A ReLU or other clamp that stands alone, into a scale and zero point of its own."""

    kind = "activation"
    zero: int
    requant: AffineRequant

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        return self.requant(x.astype(np.int64) - self.zero)

    def lower(self, call: CallBuilder) -> None:
        count = elements(call.output_shape())
        lower_copy(call, 0, 1, count, count, self.requant, call.output())


@to_affine.register
def _(op: Clamp, formats: AffineFormats, weights: None, shapes: Sequence[Shape]) -> AffineClamp:
    (source,), output = formats.inputs, formats.output
    # The quotient of scales is taken in float32 here and nowhere else: so does the specification's implementation.
    real = float(np.float32(source.scale) / np.float32(output.scale))
    requant = AffineRequant.of([quantize_multiplier(real)], output, op.activation)
    return AffineClamp(source.zero_point, requant)


@dataclass(frozen=True, eq=False)
class AffineConcat(AffineOp):
    """Concatenation; inputs of another scale or zero point than the output's are rescaled first."""

    kind = "concat"
    axis: int
    zeros: tuple[int, ...]
    requants: tuple[AffineRequant | None, ...]

    def infer(self, inputs: Sequence[Shape]) -> Shape:
        return infer_concat(self.axis, inputs)

    def run(self, inputs: Sequence[Array]) -> Array:
        parts = [
            x if requant is None else requant(x.astype(np.int64) - zero)
            for x, zero, requant in zip(inputs, self.zeros, self.requants, strict=True)
        ]
        return np.concatenate(parts, axis=self.axis + 1)

    def lower(self, call: CallBuilder) -> None:
        stride = elements(call.output_shape()[self.axis :])
        offset = 0
        for index, requant in enumerate(self.requants):
            shape = call.input_shape(index)
            rows, row = elements(shape[: self.axis]), elements(shape[self.axis :])
            lower_copy(call, index, rows, row, stride, requant, call.output(offset))
            offset += row

    def describe(self) -> str:
        return f"axis {self.axis}"


@to_affine.register
def _(op: Concat, formats: AffineFormats, weights: None, shapes: Sequence[Shape]) -> AffineConcat:
    requants = tuple(rescaling(source, formats.output) for source in formats.inputs)
    return AffineConcat(op.axis, tuple(source.zero_point for source in formats.inputs), requants)


@dataclass(frozen=True, eq=False)
class AffinePad(AffineOp):
    """Zeros around the input: the integer that means 0; input and output have the same scale and zero point."""

    kind = "pad"
    amount: tuple[int, int, int, int]
    zero: int

    def infer(self, inputs: Sequence[Shape]) -> Shape:
        return infer_pad(self.amount, inputs)

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        return pad_batch(x, self.amount, self.zero)

    def lower(self, call: CallBuilder) -> None:
        fmt = output_format(call)
        same = call.requant(Requant(0, Rounding.NEAREST, fmt.low, fmt.high))
        lower_pad(call, self.amount, same, self.zero, kind=fmt.integers)

    def describe(self) -> str:
        return ",".join(map(str, self.amount))


@to_affine.register
def _(op: Pad, formats: AffineFormats, weights: None, shapes: Sequence[Shape]) -> AffinePad:
    same_format(op, formats)
    return AffinePad(op.amount, formats.output.zero_point)


@dataclass(frozen=True, eq=False)
class AffineReshape(Reshaping, AffineOp):
    """Another shape for the same integers."""


@to_affine.register
def _(op: Reshape, formats: AffineFormats, weights: None, shapes: Sequence[Shape]) -> AffineReshape:
    same_format(op, formats)
    return AffineReshape(op.shape)


SOFTMAX_OUTPUT = {8: Affine(8, 1 / 256, -128), 16: Affine(16, 1 / 32768, 0)}
"""The output of softmax, by bits; the specification fixes it."""


@dataclass(frozen=True, eq=False)
class AffineSoftmax8(SameShape, AffineOp):
    """Softmax of 8 bits; the arithmetic is `affine_math.softmax_a8`."""

    kind = "softmax"
    scale: affine_math.SoftmaxScale

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        return affine_math.softmax_a8(x, self.scale)

    def lower(self, call: CallBuilder) -> None:
        parameters = (str(self.scale.multiplier), str(self.scale.left), str(self.scale.smallest))
        call.kernel("softmax", call.input(0), *rows_of(call.output_shape()), *parameters, call.output())


@dataclass(frozen=True, eq=False)
class AffineSoftmax16(SameShape, AffineOp):
    """Softmax of 16 bits; the arithmetic is `affine_math.softmax_a16`."""

    kind = "softmax"
    multiplier: Multiplier

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        return affine_math.softmax_a16(x, self.multiplier)

    def lower(self, call: CallBuilder) -> None:
        parameters = (str(self.multiplier.multiplier), str(self.multiplier.shift))
        call.kernel("softmax", call.input(0), *rows_of(call.output_shape()), *parameters, call.output())


@to_affine.register
def _(op: Softmax, formats: AffineFormats, weights: None, shapes: Sequence[Shape]) -> Op:
    (source,), output = formats.inputs, formats.output
    if output != SOFTMAX_OUTPUT[output.bits]:
        raise ValueError(f"the output of softmax is {SOFTMAX_OUTPUT[output.bits]}, not {output}")
    longest = affine_math.LONGEST_SOFTMAX if source.bits == 8 else affine_math.LONGEST_SOFTMAX_16
    if shapes[0][-1] > longest:
        raise ValueError(f"its rows have {shapes[0][-1]} elements, more than {longest}")
    if source.bits == 8:
        return AffineSoftmax8(affine_math.softmax_scale(source.scale))
    return AffineSoftmax16(affine_math.softmax_a16_multiplier(source.scale))
