"""Fully connected layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..formats import Array, Fixed, FixedWeights
from .base import NONE, Accumulator, Activation, FixedFormats, FixedOp, FloatOp, Requant, Shape
from .conv import (
    Weighted,
    Window,
    exact_type,
    fixed_parameters,
    lower_simd,
    lower_simd_fixed,
    weights_table,
    weights_variant,
)

if TYPE_CHECKING:
    from ..lower import CallBuilder

# A dense layer is a convolution of one position.
ONE_POSITION = Window((1, 1))


def infer_dense(kernel: Array, inputs: Sequence[Shape]) -> Shape:
    (shape,) = inputs
    if shape != (kernel.shape[1],):
        raise ValueError(f"its weights expect ({kernel.shape[1]},) and the input has shape {shape}")
    return (kernel.shape[0],)


@dataclass(frozen=True, eq=False)
class Dense(Weighted):
    """``y[f] = act(b[f] + sum over c of w[f, c] * x[c])``; kernel [F, C], bias [F], input (C,)."""

    kind = "dense"
    kernel: Array
    bias: Array
    activation: Activation = NONE

    def infer(self, inputs: Sequence[Shape]) -> Shape:
        return infer_dense(self.kernel, inputs)

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        return self.activation.apply(x @ self.kernel.T.astype(x.dtype) + self.bias.astype(x.dtype))

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        return int(self.kernel.size)

    def with_activation(self, activation: Activation) -> FloatOp:
        return replace(self, activation=self.activation.then(activation))

    def to_fixed(self, formats: FixedFormats, shapes: Sequence[Shape]) -> FixedDense:
        assert formats.weights is not None
        kernel, bias, requant, accumulator = fixed_parameters(
            self.kernel, self.bias, self.activation, formats
        )
        return FixedDense(kernel, bias, requant, formats.weights, formats.inputs[0], accumulator=accumulator)

    def lower(self, call: CallBuilder) -> None:
        if call.choice:
            lower_simd(call, self.kernel, self.bias, ONE_POSITION, call.range(self.activation))
            return
        weights = call.table("kernel", self.kernel, f"[F={len(self.kernel)}][C={self.kernel.shape[1]}]")
        lower_dense(call, self.kernel, [weights], self.bias, call.range(self.activation), "")

    def describe(self) -> str:
        return f"{self.kernel.shape[1]}->{self.kernel.shape[0]} {self.activation}".rstrip()


@dataclass(frozen=True, eq=False)
class FixedDense(FixedOp):
    """The fully connected layer in integers; bias at the accumulator's scale ``frac_x + frac_w``.

    The input's zero point is folded into the bias. weights, source: formats of the kernel and of the input.
    """

    kind = "dense"
    kernel: Array
    bias: Array
    requant: Requant
    weights: FixedWeights
    source: Fixed
    accumulator: Accumulator = field(kw_only=True)

    def infer(self, inputs: Sequence[Shape]) -> Shape:
        return infer_dense(self.kernel, inputs)

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        dtype = exact_type(self.accumulator.bound)
        sums = (x.astype(dtype) @ self.kernel.T.astype(dtype)).astype(np.int64)
        return self.requant(sums + self.bias.astype(np.int64))

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        return int(self.kernel.size)

    def lower(self, call: CallBuilder) -> None:
        if call.choice:
            lower_simd_fixed(
                call, self.kernel, self.bias, ONE_POSITION, self.requant, self.weights, self.source
            )
            return
        table = weights_table(call, self.kernel, self.weights, self.source, f"[C={self.kernel.shape[1]}]")
        variant = weights_variant(self.weights, self.source) + self.accumulator.suffix
        lower_dense(call, self.kernel, table, self.bias, call.requant(self.requant), variant)

    def describe(self) -> str:
        return f"{self.kernel.shape[1]}->{self.kernel.shape[0]}, w {self.weights}"


def lower_dense(
    call: CallBuilder, kernel: Array, table: Sequence[str], bias: Array, finish: str, variant: str
) -> None:
    filters, channels = kernel.shape
    call.kernel(
        "dense",
        call.input(0),
        *table,
        call.table("bias", bias, "[F]"),
        f"{channels}u",
        f"{filters}u",
        finish,
        call.output(),
        variant=variant,
    )
