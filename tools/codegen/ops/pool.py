"""Maximum and average pooling in one and two dimensions; global pooling is a window of the whole input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..formats import Affine, Array, Fixed
from ..requant import divide
from .base import (
    NONE,
    Accumulator,
    Activation,
    FixedFormats,
    FixedOp,
    FloatOp,
    Op,
    Requant,
    Shape,
    hwc,
    same_format,
    unhwc,
)
from .conv import Window

if TYPE_CHECKING:
    from ..lower import CallBuilder


# Elements of a window whose sum fits 32 bits, by bytes of an element.
LARGEST_WINDOW = {1: 1 << 24, 2: 1 << 16}


def infer_pool(window: Window, inputs: Sequence[Shape]) -> Shape:
    (shape,) = inputs
    h, w, c = hwc(shape)
    if window.dilation != (1, 1):
        raise ValueError("dilated pooling is not supported; use dilation 1")
    top, bottom, left, right = window.padding
    if max(top, bottom) >= window.kernel[0] or max(left, right) >= window.kernel[1]:
        raise ValueError("its padding is as large as its window, so a window could lie outside the input")
    return unhwc(*window.output(h, w), c, len(shape))


def image(x: Array) -> Array:
    """A batch [N, *shape] as [N, H, W, C]."""
    return x.reshape(len(x), *hwc(x.shape[1:]))


def counts(window: Window, shape: Shape) -> Array:
    """Number of taps inside the input for each output position: [OH, OW, 1]."""
    h, w, _ = hwc(shape)
    return window.windows(np.ones((1, h, w, 1), dtype=np.int64))[0].sum(axis=(-2, -1))  # type: ignore[no-any-return]


def pool_shape(call: CallBuilder, window: Window) -> str:
    (h, w, c), (oh, ow, _) = hwc(call.input_shape(0)), hwc(call.output_shape())
    window = call.window(window)
    return call.structure(
        "nn_pool_shape",
        "shape",
        {
            ".in_h": h, ".in_w": w, ".channels": c, ".out_h": oh, ".out_w": ow,
            ".k_h": window.kernel[0], ".k_w": window.kernel[1],
            ".stride_h": window.strides[0], ".stride_w": window.strides[1],
            ".pad_top": window.padding[0], ".pad_left": window.padding[2],
        },
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Pooling(Op):
    """One number for each window and channel."""

    window: Window

    def infer(self, inputs: Sequence[Shape]) -> Shape:
        return infer_pool(self.window, inputs)

    def in_place(self) -> tuple[int, ...]:
        """Not where an output position looks behind itself."""
        return () if any(self.window.padding) else (0,)

    def describe(self) -> str:
        return self.window.describe(3 if self.window.kernel[0] > 1 else 2)

    def batch(self, y: Array, x: Array) -> Array:
        """Outputs [N, OH, OW, C] of inputs x in the shape that belongs to theirs."""
        return y.reshape(len(x), *self.infer([x.shape[1:]]))


@dataclass(frozen=True, eq=False)
class IntegerMaxPool(Pooling):
    """Maximum over each window of stored integers, clamped."""

    kind = "pool_max"
    low: int
    high: int

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        largest = self.window.windows(image(x), fill=np.iinfo(x.dtype).min).max(axis=(-2, -1))
        return self.batch(np.clip(largest, self.low, self.high), x)

    def lower(self, call: CallBuilder) -> None:
        source = call.type_of(call.node.inputs[0]).format
        assert isinstance(source, Fixed | Affine)
        # A bound that no element of the format exceeds is none, and the kernel need not look.
        high = self.high if self.high < source.high else np.iinfo(source.dtype).max
        limits = (str(self.low), str(high))
        integers = f"q{8 * call.type_of(call.node.name).format.bytes}"  # also of affine ones
        shape = pool_shape(call, self.window)
        call.kernel("pool_max", call.input(0), shape, *limits, call.output(), kind=integers)


@dataclass(frozen=True, eq=False)
class FloatPooling(Pooling, FloatOp):
    """Pooling of real numbers, with a fused activation."""

    activation: Activation = NONE

    def with_activation(self, activation: Activation) -> FloatOp:
        return replace(self, activation=self.activation.then(activation))

    def takes_unsigned(self, inputs: Sequence[Fixed], output: Fixed) -> bool:
        return same_format(inputs, output)

    def describe(self) -> str:
        return f"{super().describe()} {self.activation}".rstrip()


@dataclass(frozen=True, eq=False)
class MaxPool(FloatPooling):
    """Maximum over each window, padding excluded."""

    kind = "pool_max"

    @property
    def keeps_format(self) -> bool:
        return True

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        y = self.window.windows(image(x), fill=-np.inf).max(axis=(-2, -1))
        return self.batch(self.activation.apply(y), x)

    def to_fixed(self, formats: FixedFormats, shapes: Sequence[Shape]) -> FixedMaxPool:
        return FixedMaxPool(self.window, *self.activation.bounds(formats.output))

    def lower(self, call: CallBuilder) -> None:
        low, high = call.range_values(self.activation)
        call.kernel("pool_max", call.input(0), pool_shape(call, self.window), low, high, call.output())


@dataclass(frozen=True, eq=False)
class FixedMaxPool(IntegerMaxPool, FixedOp):
    """In fixed point; the format is that of the input."""


@dataclass(frozen=True, eq=False)
class AvgPool(FloatPooling):
    """Mean over the part of each window that lies inside the input."""

    kind = "pool_avg"

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        sums = self.window.windows(image(x)).sum(axis=(-2, -1))
        y = self.activation.apply(sums / counts(self.window, x.shape[1:]).astype(x.dtype))
        return self.batch(y, x)

    def to_fixed(self, formats: FixedFormats, shapes: Sequence[Shape]) -> FixedAvgPool:
        (source,) = formats.inputs
        requant = Requant(
            source.frac - formats.output.frac, formats.rounding, *self.activation.bounds(formats.output)
        )
        taps = self.window.kernel[0] * self.window.kernel[1]
        if taps > LARGEST_WINDOW[source.bytes]:
            raise ValueError(f"its window has {taps} elements, more than {LARGEST_WINDOW[source.bytes]}")
        return FixedAvgPool(self.window, requant, accumulator=Accumulator(taps * source.magnitude))

    def lower(self, call: CallBuilder) -> None:
        call.kernel(
            "pool_avg",
            call.input(0),
            pool_shape(call, self.window),
            call.range(self.activation),
            call.output(),
        )


@dataclass(frozen=True, eq=False)
class FixedAvgPool(Pooling, FixedOp):
    """``y = clamp(round(sum * 2**-shift / count))``: division and change of scale in one rounding."""

    kind = "pool_avg"
    requant: Requant

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        sums = self.window.windows(image(x).astype(np.int64)).sum(axis=(-2, -1))
        count = np.broadcast_to(counts(self.window, x.shape[1:]), sums.shape)
        r = self.requant
        return self.batch(divide(sums, count, r.shift, r.rounding, r.low, r.high), x)

    def lower(self, call: CallBuilder) -> None:
        call.kernel(
            "pool_avg",
            call.input(0),
            pool_shape(call, self.window),
            call.requant(self.requant),
            call.output(),
        )
