"""Residual network, version 1 (He et al. 2015, arXiv:1512.03385), 1-D or 2-D."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ..layers import (
    Count,
    Padding,
    Pooling,
    classifier,
    convolution,
    must_be_image_or_signal,
    must_have_equal_lengths,
    normalization,
    pooling,
)
from ..model import ModelKind


class ResNetV1(ModelKind):
    """A first convolution, stages of residual blocks of two convolutions each, global pooling, classifier.

    filters, kernel_sizes, strides, paddings: first of the first convolution, then of each stage.
    num_blocks: of each stage. Only the first block of a stage makes the signal shorter, by its stride:
    downsample = "pool" does it by max-pooling behind its first convolution and its projection, both of
    stride 1 (as the paper's network does), "stride" by those convolutions' own stride. A block has a
    projection (convolution of kernel 1) instead of the identity where it makes the signal shorter or
    changes the number of filters. prepool: average-pooling of the input. postpool: pooling over the whole
    signal or image.

    The defaults are the paper's ResNetv1-6 with f = 16 (Figure 4): 3958 parameters for 128 x 9 -> 6 classes,
    13 f^2 + 39 f + 6 in general.
    """

    filters: Annotated[tuple[Count, ...], Field(min_length=2)] = (16, 16, 16)
    kernel_sizes: tuple[Count, ...] = (3, 3, 3)
    strides: tuple[Count, ...] = (1, 1, 2)
    paddings: tuple[Padding, ...] = (1, 1, 1)
    num_blocks: tuple[Count, ...] = (1, 1)
    downsample: Literal["pool", "stride"] = "pool"
    batch_norm: bool = False
    prepool: Count = 1
    postpool: Pooling = "max"
    softmax: bool = True

    @model_validator(mode="after")
    def _lengths(self) -> ResNetV1:
        must_have_equal_lengths(
            "resnetv1",
            len(self.filters),
            kernel_sizes=self.kernel_sizes,
            strides=self.strides,
            paddings=self.paddings,
        )
        if len(self.num_blocks) != len(self.filters) - 1:
            raise ValueError(f"resnetv1: num_blocks must have {len(self.filters) - 1} elements, one a stage")
        for kernel, padding in zip(self.kernel_sizes[1:], self.paddings[1:], strict=True):
            if 2 * padding != kernel - 1:
                raise ValueError(
                    f"resnetv1: a stage of kernel {kernel} needs an odd kernel and padding (kernel - 1) / 2, "
                    "or its two branches differ in length"
                )
        return self

    def build(self, input_shape: tuple[int, ...], classes: int) -> Any:
        from ..backend import keras

        must_be_image_or_signal(input_shape, "resnetv1")
        inputs = keras.Input(input_shape, name="input")
        x = pooling(inputs, "avg", self.prepool, "prepool")
        x = self._convolution(x, 0, self.strides[0], "conv1")
        x = keras.layers.ReLU(name="conv1_relu")(x)
        for stage, blocks in enumerate(self.num_blocks, 1):
            for block in range(1, blocks + 1):
                stride = self.strides[stage] if block == 1 else 1
                x = self._block(x, stage, stride, f"stage{stage}_block{block}")
        x = pooling(x, self.postpool, None, "postpool")
        x = keras.layers.Flatten(name="flatten")(x)
        return keras.Model(inputs, classifier(x, (), classes, self.softmax), name="resnetv1")

    def _block(self, x: Any, stage: int, stride: int, name: str) -> Any:
        """relu(conv(relu(conv(x))) + shortcut(x)); the first and the shortcut make it `stride` times
        shorter.
        """
        from ..backend import keras

        shortcut = x
        if stride > 1 or x.shape[-1] != self.filters[stage]:
            shortcut = self._convolution(x, stage, stride, f"{name}_shortcut", kernel=1, padding=0)
        x = self._convolution(x, stage, stride, f"{name}_conv1")
        x = keras.layers.ReLU(name=f"{name}_conv1_relu")(x)
        x = self._convolution(x, stage, 1, f"{name}_conv2")
        x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
        return keras.layers.ReLU(name=f"{name}_relu")(x)

    def _convolution(
        self, x: Any, stage: int, stride: int, name: str, *, kernel: int = 0, padding: int = 0
    ) -> Any:
        """Convolution and normalization, `stride` times shorter as `downsample` says; kernel 0: the
        stage's.
        """
        by_pool = self.downsample == "pool"
        x = convolution(
            x,
            self.filters[stage],
            kernel or self.kernel_sizes[stage],
            1 if by_pool else stride,
            padding if kernel else self.paddings[stage],
            name,
        )
        x = normalization(x, self.batch_norm, f"{name}_norm")
        return pooling(x, "max", stride if by_pool else 1, f"{name}_pool")
