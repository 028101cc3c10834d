"""Depthwise separable network for keyword spotting (Zhang et al. 2017, Hello Edge, arXiv:1711.07128), 1-D or 2-D."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from ..layers import Count, classifier, must_be_image_or_signal, normalization, pooling
from ..model import ModelKind


class DsCnn(ModelKind):
    """A convolution, then for each of `filters` but the first a depthwise and a pointwise one; pooling, classifier.

    first_kernel, first_stride: of the first convolution, (H, W); a signal takes the first number. kernel_size, stride:
    of every depthwise convolution. image: a signal [T, C] is taken for an image [T, C, 1], as the
    paper takes its features. All convolutions are padded to "same", each is followed by ReLU.

    The defaults with image are the paper's DS-CNN of the small size: 64 filters, 10 x 4 of stride 2, four blocks.
    """

    filters: Annotated[tuple[Count, ...], Field(min_length=1)] = (64, 64, 64, 64, 64)
    first_kernel: tuple[Count, Count] = (10, 4)
    first_stride: tuple[Count, Count] = (2, 2)
    kernel_size: Count = 3
    stride: Count = 1
    image: bool = False
    batch_norm: bool = True
    softmax: bool = True

    def build(self, input_shape: tuple[int, ...], classes: int) -> Any:
        from ..backend import keras

        must_be_image_or_signal(input_shape, "ds_cnn")
        x = inputs = keras.Input(input_shape, name="input")
        if self.image and len(input_shape) == 2:
            x = keras.layers.Reshape((*input_shape, 1), name="image")(x)
        axes = len(x.shape) - 2
        convolve = keras.layers.Conv1D if axes == 1 else keras.layers.Conv2D
        depthwise = keras.layers.DepthwiseConv1D if axes == 1 else keras.layers.DepthwiseConv2D
        first = {"kernel_size": self.first_kernel[:axes], "strides": self.first_stride[:axes]}
        x = convolve(self.filters[0], **first, padding="same", name="conv1")(x)
        x = self._activated(x, "conv1")
        for number, filters in enumerate(self.filters[1:], 1):
            name = f"block{number}_depthwise"
            x = depthwise(self.kernel_size, strides=self.stride, padding="same", name=name)(x)
            x = self._activated(x, name)
            x = convolve(filters, 1, name=f"block{number}_pointwise")(x)
            x = self._activated(x, f"block{number}_pointwise")
        x = pooling(x, "avg", None, "postpool")
        x = keras.layers.Flatten(name="flatten")(x)
        return keras.Model(inputs, classifier(x, (), classes, self.softmax), name="ds_cnn")

    def _activated(self, x: Any, name: str) -> Any:
        from ..backend import keras

        return keras.layers.ReLU(name=f"{name}_relu")(normalization(x, self.batch_norm, f"{name}_norm"))
