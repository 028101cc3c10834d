"""Softmax over the last axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..formats import Array, Fixed
from ..softmax import softmax_f32, softmax_fixed
from .base import FixedFormats, FixedOp, FloatOp, SameShape, Shape

if TYPE_CHECKING:
    from ..lower import CallBuilder


def rows_of(shape: Shape) -> tuple[str, str]:
    row = shape[-1]
    rows = 1
    for extent in shape[:-1]:
        rows *= extent
    return f"{rows}u", f"{row}u"


@dataclass(frozen=True, eq=False)
class Softmax(SameShape, FloatOp):
    """``y[i] = exp(x[i] - max x) / sum over j of exp(x[j] - max x)``."""

    kind = "softmax"

    @property
    def maximum(self) -> float:
        """Just below 1, so that all bits are fraction bits; an output of exactly 1 saturates."""
        return 1.0 - 2.0**-24

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        return softmax_f32(x.reshape(-1, x.shape[-1])).reshape(x.shape)

    def takes_unsigned(self, inputs: Sequence[Fixed], output: Fixed) -> bool:
        """Of the input only differences count, so its zero point is no matter."""
        return not output.unsigned

    def to_fixed(self, formats: FixedFormats, shapes: Sequence[Shape]) -> FixedSoftmax:
        (source,) = formats.inputs
        return FixedSoftmax(source.frac, formats.output.frac, formats.output.bits)

    def lower(self, call: CallBuilder) -> None:
        call.kernel("softmax", call.input(0), *rows_of(call.output_shape()), call.output())


@dataclass(frozen=True, eq=False)
class FixedSoftmax(SameShape, FixedOp):
    """Softmax in integers; the polynomial is in lib/nn_runtime/SPEC.md."""

    kind = "softmax"
    frac_in: int
    frac_out: int
    bits: int

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        y = softmax_fixed(x.reshape(-1, x.shape[-1]), self.frac_in, self.frac_out, self.bits)
        return y.reshape(x.shape)

    def lower(self, call: CallBuilder) -> None:
        fracs = (str(self.frac_in), str(self.frac_out))
        call.kernel("softmax", call.input(0), *rows_of(call.output_shape()), *fracs, call.output())
