"""Plain convolutional network, 1-D or 2-D."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ..layers import (
    Count,
    Padding,
    classifier,
    convolution,
    must_be_image_or_signal,
    must_have_equal_lengths,
    normalization,
    pooling,
)
from ..model import ModelKind


class Cnn(ModelKind):
    """Convolution, BatchNormalization if wanted, ReLU, max-pooling for each of `filters`; the classifier.

    The lists have one element for each convolution; pool_sizes 1 is no pooling. postpool: pooling over the
    whole signal or image before the classifier. units: of the classifier's dense layers before the last.
    """

    filters: Annotated[tuple[Count, ...], Field(min_length=1)] = (16, 32)
    kernel_sizes: tuple[Count, ...] = (3, 3)
    strides: tuple[Count, ...] = (1, 1)
    paddings: tuple[Padding, ...] = (1, 1)
    pool_sizes: tuple[Count, ...] = (2, 2)
    batch_norm: bool = False
    postpool: Literal["none", "max", "avg"] = "none"
    units: tuple[Count, ...] = ()
    softmax: bool = True

    @model_validator(mode="after")
    def _lengths(self) -> Cnn:
        must_have_equal_lengths(
            "cnn",
            len(self.filters),
            kernel_sizes=self.kernel_sizes,
            strides=self.strides,
            paddings=self.paddings,
            pool_sizes=self.pool_sizes,
        )
        return self

    def build(self, input_shape: tuple[int, ...], classes: int) -> Any:
        from ..backend import keras

        must_be_image_or_signal(input_shape, "cnn")
        x = inputs = keras.Input(input_shape, name="input")
        rows = zip(self.filters, self.kernel_sizes, self.strides, self.paddings, self.pool_sizes, strict=True)
        for number, (filters, kernel, stride, padding, pool) in enumerate(rows, 1):
            x = convolution(x, filters, kernel, stride, padding, f"conv{number}")
            x = normalization(x, self.batch_norm, f"conv{number}_norm")
            x = keras.layers.ReLU(name=f"conv{number}_relu")(x)
            x = pooling(x, "max", pool, f"conv{number}_pool")
        if self.postpool != "none":
            x = pooling(x, self.postpool, None, "postpool")
        x = keras.layers.Flatten(name="flatten")(x)
        return keras.Model(inputs, classifier(x, self.units, classes, self.softmax), name="cnn")
