"""Operations that move or clamp elements: activation, concatenation, zero padding, change of shape.

All of them lower to nn_copy (rows of elements, each requantized) or to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..formats import Array, Fixed
from .base import (
    NONE,
    Accumulator,
    Activation,
    FixedFormats,
    FixedOp,
    FloatOp,
    Op,
    Requant,
    SameShape,
    Shape,
    elements,
    hwc,
    same_format,
    unhwc,
)

if TYPE_CHECKING:
    from ..lower import CallBuilder


def fixed_copy(activation: Activation, formats: FixedFormats) -> tuple[tuple[Requant, ...], Accumulator]:
    """One requantization per input to the output's format, with the bound of the largest."""
    requants = tuple(
        Requant(source.frac - formats.output.frac, formats.rounding, *activation.bounds(formats.output))
        for source in formats.inputs
    )
    return requants, Accumulator(max(source.magnitude for source in formats.inputs))


@dataclass(frozen=True, eq=False)
class Clamp(SameShape, FloatOp):
    """A ReLU or other clamp that stands alone."""

    kind = "activation"
    activation: Activation

    @property
    def keeps_format(self) -> bool:
        return True

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        return self.activation.apply(x)

    def with_activation(self, activation: Activation) -> FloatOp:
        return Clamp(self.activation.then(activation))

    def takes_unsigned(self, inputs: Sequence[Fixed], output: Fixed) -> bool:
        return same_format(inputs, output)

    def to_fixed(self, formats: FixedFormats, shapes: Sequence[Shape]) -> FixedClamp:
        (requant,), accumulator = fixed_copy(self.activation, formats)
        return FixedClamp(requant, accumulator=accumulator)

    def lower(self, call: CallBuilder) -> None:
        count = f"{elements(call.output_shape())}u"
        call.kernel("copy", call.input(0), "1u", count, count, call.range(self.activation), call.output())

    def describe(self) -> str:
        return str(self.activation)


@dataclass(frozen=True, eq=False)
class FixedClamp(SameShape, FixedOp):
    """Clamp of stored integers, with a change of scale where the formats differ."""

    kind = "activation"
    requant: Requant

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        return self.requant(x.astype(np.int64))

    def lower(self, call: CallBuilder) -> None:
        count = f"{elements(call.output_shape())}u"
        call.kernel("copy", call.input(0), "1u", count, count, call.requant(self.requant), call.output())


def infer_concat(axis: int, inputs: Sequence[Shape]) -> Shape:
    """`axis` counts from 0 at the first dimension of a sample."""
    first = inputs[0]
    if not 0 <= axis < len(first):
        raise ValueError(f"axis {axis} is outside its inputs of shape {first}")
    for shape in inputs[1:]:
        if len(shape) != len(first) or shape[:axis] + shape[axis + 1 :] != first[:axis] + first[axis + 1 :]:
            raise ValueError(
                f"it joins shapes {first} and {shape} along axis {axis}; the others must be equal"
            )
    return (*first[:axis], sum(shape[axis] for shape in inputs), *first[axis + 1 :])


def lower_concat(call: CallBuilder, axis: int, finish: Sequence[str]) -> None:
    """Copy each input, as rows of the elements from `axis` on, to its place in the output's rows."""
    stride = elements(call.output_shape()[axis:])
    offset = 0
    for index, last in enumerate(finish):
        shape = call.input_shape(index)
        rows, row = elements(shape[:axis]), elements(shape[axis:])
        call.kernel("copy", call.input(index), f"{rows}u", f"{row}u", f"{stride}u", last, call.output(offset))
        offset += row


@dataclass(frozen=True, eq=False)
class Concat(FloatOp):
    """Concatenation along one axis (0 is the first dimension of a sample)."""

    kind = "concat"
    axis: int

    def infer(self, inputs: Sequence[Shape]) -> Shape:
        return infer_concat(self.axis, inputs)

    def run(self, inputs: Sequence[Array]) -> Array:
        return np.concatenate(inputs, axis=self.axis + 1)

    def takes_unsigned(self, inputs: Sequence[Fixed], output: Fixed) -> bool:
        return same_format(inputs, output)

    def to_fixed(self, formats: FixedFormats, shapes: Sequence[Shape]) -> FixedConcat:
        requants, accumulator = fixed_copy(NONE, formats)
        return FixedConcat(self.axis, requants, accumulator=accumulator)

    def lower(self, call: CallBuilder) -> None:
        lower_concat(call, self.axis, [call.range(NONE)] * call.input_count())

    def describe(self) -> str:
        return f"axis {self.axis}"


@dataclass(frozen=True, eq=False)
class FixedConcat(FixedOp):
    """Concatenation; every input is brought to the output's scale."""

    kind = "concat"
    axis: int
    requants: tuple[Requant, ...]

    def infer(self, inputs: Sequence[Shape]) -> Shape:
        return infer_concat(self.axis, inputs)

    def run(self, inputs: Sequence[Array]) -> Array:
        parts = [requant(x.astype(np.int64)) for requant, x in zip(self.requants, inputs, strict=True)]
        return np.concatenate(parts, axis=self.axis + 1)

    def lower(self, call: CallBuilder) -> None:
        lower_concat(call, self.axis, [call.requant(requant) for requant in self.requants])

    def describe(self) -> str:
        return f"axis {self.axis}"


def infer_pad(amount: tuple[int, int, int, int], inputs: Sequence[Shape]) -> Shape:
    (shape,) = inputs
    h, w, c = hwc(shape)
    top, bottom, left, right = amount
    return unhwc(h + top + bottom, w + left + right, c, len(shape))


def pad_batch(x: Array, amount: tuple[int, int, int, int], fill: int = 0) -> Array:
    top, bottom, left, right = amount
    image = x.reshape(len(x), *hwc(x.shape[1:]))
    y = np.pad(image, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    return y.reshape(len(x), *infer_pad(amount, [x.shape[1:]]))


def lower_pad(
    call: CallBuilder, amount: tuple[int, int, int, int], finish: str, fill: int = 0, kind: str = ""
) -> None:
    """Fill the output, then copy the rows of the input inside."""
    (h, w, c), (_, ow, _) = hwc(call.input_shape(0)), hwc(call.output_shape())
    call.kernel("fill", str(fill), f"{elements(call.output_shape())}u", call.output(), kind=kind)
    inside = call.output((amount[0] * ow + amount[2]) * c)
    call.kernel("copy", call.input(0), f"{h}u", f"{w * c}u", f"{ow * c}u", finish, inside, kind=kind)


@dataclass(frozen=True, eq=False)
class Pad(FloatOp):
    """Zeros around the input: (top, bottom, left, right) positions."""

    kind = "pad"
    amount: tuple[int, int, int, int]

    @property
    def keeps_format(self) -> bool:
        return True

    def infer(self, inputs: Sequence[Shape]) -> Shape:
        return infer_pad(self.amount, inputs)

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        return pad_batch(x, self.amount)

    def takes_unsigned(self, inputs: Sequence[Fixed], output: Fixed) -> bool:
        return same_format(inputs, output)

    def to_fixed(self, formats: FixedFormats, shapes: Sequence[Shape]) -> FixedPad:
        (requant,), accumulator = fixed_copy(NONE, formats)
        return FixedPad(self.amount, requant, formats.output.zero, accumulator=accumulator)

    def lower(self, call: CallBuilder) -> None:
        lower_pad(call, self.amount, call.range(NONE))

    def describe(self) -> str:
        return ",".join(map(str, self.amount))


@dataclass(frozen=True, eq=False)
class FixedPad(FixedOp):
    """Zeros around the input, in integers; `zero` is the stored number that means 0."""

    kind = "pad"
    amount: tuple[int, int, int, int]
    requant: Requant
    zero: int

    def infer(self, inputs: Sequence[Shape]) -> Shape:
        return infer_pad(self.amount, inputs)

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        return pad_batch(self.requant(x.astype(np.int64)), self.amount, self.zero)

    def lower(self, call: CallBuilder) -> None:
        lower_pad(call, self.amount, call.requant(self.requant), self.zero)

    def describe(self) -> str:
        return ",".join(map(str, self.amount))


def infer_reshape(shape: Shape, inputs: Sequence[Shape]) -> Shape:
    (source,) = inputs
    if math.prod(source) != math.prod(shape):
        raise ValueError(f"shape {source} has {math.prod(source)} elements and cannot become {shape}")
    return shape


@dataclass(frozen=True, eq=False)
class Reshaping(Op):
    """Another shape for the same elements; costs nothing: the memory is shared."""

    kind = "reshape"
    shape: Shape

    def infer(self, inputs: Sequence[Shape]) -> Shape:
        return infer_reshape(self.shape, inputs)

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        return x.reshape(len(x), *self.shape)

    def in_place(self) -> tuple[int, ...]:
        return (0,)

    def lower(self, call: CallBuilder) -> None:
        call.alias()


@dataclass(frozen=True, eq=False)
class Reshape(Reshaping, FloatOp):
    """Another shape for the same elements (Flatten, Reshape); costs nothing: the memory is shared."""

    @property
    def keeps_format(self) -> bool:
        return True

    def takes_unsigned(self, inputs: Sequence[Fixed], output: Fixed) -> bool:
        return same_format(inputs, output)

    def to_fixed(self, formats: FixedFormats, shapes: Sequence[Shape]) -> FixedReshape:
        return FixedReshape(self.shape)


@dataclass(frozen=True, eq=False)
class FixedReshape(Reshaping, FixedOp):
    """Another shape for the same integers."""
