"""Batch normalization: folded into its producer or turned into a 1x1 depthwise convolution by the passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..formats import Array
from .base import FixedFormats, FixedOp, FloatOp, Shape
from .conv import Conv, Window

if TYPE_CHECKING:
    from ..lower import CallBuilder


@dataclass(frozen=True, eq=False)
class BatchNorm(FloatOp):
    """``y = w * x + b`` per channel with ``w = gamma / sqrt(variance + epsilon)``, ``b = beta - w * mean``.

    All arrays [C]. Novac et al. 2021, section 5.7.
    """

    kind = "batchnorm"
    gamma: Array
    beta: Array
    mean: Array
    variance: Array
    epsilon: float

    @property
    def scale(self) -> Array:
        """w, float64 [C]."""
        scale: Array = self.gamma.astype(np.float64) / np.sqrt(
            self.variance.astype(np.float64) + self.epsilon
        )
        return scale

    @property
    def weights(self) -> Array:
        return self.scale

    @property
    def offset(self) -> Array:
        """b, float64 [C]."""
        offset: Array = self.beta.astype(np.float64) - self.scale * self.mean.astype(np.float64)
        return offset

    def as_conv(self) -> Conv:
        """The same function as a depthwise convolution of one tap, for which kernels exist."""
        channels = len(self.gamma)
        kernel = self.scale.astype(np.float32).reshape(channels, 1, 1, 1)
        return Conv(kernel, self.offset.astype(np.float32), Window((1, 1)), groups=channels)

    def infer(self, inputs: Sequence[Shape]) -> Shape:
        (shape,) = inputs
        if shape[-1] != len(self.gamma):
            raise ValueError(f"it has {len(self.gamma)} channels and the input has {shape[-1]}")
        return shape

    def run(self, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        y: Array = x * self.scale.astype(x.dtype) + self.offset.astype(x.dtype)
        return y

    def arrays(self) -> Mapping[str, Array]:
        return {"gamma": self.gamma, "beta": self.beta, "mean": self.mean, "variance": self.variance}

    def to_fixed(self, formats: FixedFormats, shapes: Sequence[Shape]) -> FixedOp:
        return self.as_conv().to_fixed(formats, shapes)

    def lower(self, call: CallBuilder) -> None:
        self.as_conv().lower(call)
