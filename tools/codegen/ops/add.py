"""Element-wise addition of two tensors of equal shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    Requant,
    Shape,
    elements,
)

if TYPE_CHECKING:
    from ..lower import CallBuilder

LARGEST_SHIFT = 31


def infer_add(inputs: Sequence[Shape]) -> Shape:
    if len(inputs) != 2:
        raise ValueError(f"it adds two tensors and has {len(inputs)} inputs")
    a, b = inputs
    if a != b:
        raise ValueError(f"it adds shapes {a} and {b}; both must be equal (no broadcasting)")
    return a


@dataclass(frozen=True, eq=False)
class Add(FloatOp):
    """``y = act(a + b)``."""

    kind = "add"
    activation: Activation = NONE

    def infer(self, inputs: Sequence[Shape]) -> Shape:
        return infer_add(inputs)

    def run(self, inputs: Sequence[Array]) -> Array:
        a, b = inputs
        return self.activation.apply(a + b)

    def in_place(self) -> tuple[int, ...]:
        return (0, 1)

    def with_activation(self, activation: Activation) -> FloatOp:
        return replace(self, activation=self.activation.then(activation))

    def takes_unsigned(self, inputs: Sequence[Fixed], output: Fixed) -> bool:
        """Where the zero points cancel, as when an unsigned operand and the output share a format."""
        frac = max(source.frac for source in inputs)
        zeros = sum(math.ldexp(source.zero, frac - source.frac) for source in inputs)
        return zeros == math.ldexp(output.zero, frac - output.frac)

    def to_fixed(self, formats: FixedFormats, shapes: Sequence[Shape]) -> FixedAdd:
        a, b = formats.inputs
        frac = max(a.frac, b.frac)
        lefts = (frac - a.frac, frac - b.frac)
        if max(lefts) > LARGEST_SHIFT:
            raise ValueError(
                f"its inputs have {a.frac} and {b.frac} fraction bits, too far apart to be added; "
                "use a scale per network or train with smaller weights"
            )
        shift = frac - formats.output.frac
        accumulator = Accumulator(sum(f.magnitude << left for f, left in zip((a, b), lefts, strict=True)))
        requant = Requant(shift, formats.rounding, *self.activation.bounds(formats.output))
        return FixedAdd(lefts, requant, accumulator=accumulator)

    def lower(self, call: CallBuilder) -> None:
        count = f"{elements(call.output_shape())}u"
        call.kernel("add", call.input(0), call.input(1), count, call.range(self.activation), call.output())

    def describe(self) -> str:
        return str(self.activation)


@dataclass(frozen=True, eq=False)
class FixedAdd(FixedOp):
    """``y = requant(a * 2**left_a + b * 2**left_b)``: both operands brought to the finer scale first."""

    kind = "add"
    lefts: tuple[int, int]
    requant: Requant

    def infer(self, inputs: Sequence[Shape]) -> Shape:
        return infer_add(inputs)

    def run(self, inputs: Sequence[Array]) -> Array:
        a, b = (x.astype(np.int64) << left for x, left in zip(inputs, self.lefts, strict=True))
        return self.requant(a + b)

    def in_place(self) -> tuple[int, ...]:
        return (0, 1)

    def lower(self, call: CallBuilder) -> None:
        call.kernel(
            "add",
            call.input(0),
            call.input(1),
            f"{elements(call.output_shape())}u",
            *(f"{left}u" for left in self.lefts),
            call.requant(self.requant),
            call.output(),
            variant=self.accumulator.suffix,
        )
