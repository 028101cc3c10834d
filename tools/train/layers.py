"""Pieces that the model templates share: plain Keras layers, 1-D or 2-D as the data are, each with a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from ..errors import UserError

Count = Annotated[int, Field(ge=1)]
Padding = Annotated[int, Field(ge=0)]
Pooling = Literal["max", "avg"]


def convolution(x: Any, filters: int, kernel: int, stride: int, padding: int, name: str) -> Any:
    """Convolution with `padding` zeros before and after each spatial axis, written the plainest way.

    "valid" where there are none, "same" where that is exactly what Keras's "same" means (stride 1,
    2 * padding = kernel - 1), else a ZeroPadding layer before a "valid" convolution: Keras's "same" with a
    stride pads unevenly, depending on the size.
    """
    from .backend import keras

    axes = len(x.shape) - 2
    same = padding > 0 and stride == 1 and 2 * padding == kernel - 1
    if padding > 0 and not same:
        zeros = keras.layers.ZeroPadding1D if axes == 1 else keras.layers.ZeroPadding2D
        x = zeros(padding, name=f"{name}_pad")(x)
    if not same:
        _must_fit(x, kernel, name)
    convolve = keras.layers.Conv1D if axes == 1 else keras.layers.Conv2D
    return convolve(filters, kernel, strides=stride, padding="same" if same else "valid", name=name)(x)


def normalization(x: Any, wanted: bool, name: str) -> Any:
    """BatchNormalization over the channels, where wanted."""
    from .backend import keras

    return keras.layers.BatchNormalization(name=name)(x) if wanted else x


def pooling(x: Any, kind: Pooling, size: int | None, name: str) -> Any:
    """Pooling of windows of `size` side by side; None is one window over everything; 1 is no layer at all."""
    from .backend import keras

    axes = len(x.shape) - 2
    if size == 1:
        return x
    if size is not None:
        _must_fit(x, size, name)
    layers = {
        ("max", 1): keras.layers.MaxPooling1D,
        ("max", 2): keras.layers.MaxPooling2D,
        ("avg", 1): keras.layers.AveragePooling1D,
        ("avg", 2): keras.layers.AveragePooling2D,
    }
    window = tuple(x.shape[1:-1]) if size is None else (size,) * axes
    return layers[kind, axes](window if axes == 2 else window[0], name=name)(x)


def classifier(x: Any, units: Sequence[int], classes: int, softmax: bool) -> Any:
    """A dense layer with ReLU for each of `units`, one to `classes` scores, softmax if wanted."""
    from .backend import keras

    for number, width in enumerate(units, 1):
        x = keras.layers.Dense(width, name=f"dense{number}")(x)
        x = keras.layers.ReLU(name=f"dense{number}_relu")(x)
    x = keras.layers.Dense(classes, name="scores")(x)
    return keras.layers.Softmax(name="softmax")(x) if softmax else x


def must_be_image_or_signal(input_shape: tuple[int, ...], template: str) -> None:
    """Raises UserError unless the shape is (T, C) or (H, W, C)."""
    if len(input_shape) not in (2, 3):
        raise UserError(f"model {template}", f"cannot take data of shape {input_shape}", 'use kind = "mlp"')


def must_have_equal_lengths(template: str, length: int, **lists: Sequence[int]) -> None:
    """Raises ValueError, which the experiment reader explains, unless each list has `length` elements."""
    for name, values in lists.items():
        if len(values) != length:
            raise ValueError(f"{template}: {name} must have {length} elements, one for each of filters")


def _must_fit(x: Any, window: int, name: str) -> None:
    smallest = min(x.shape[1:-1])
    if smallest < window:
        raise UserError(
            f"model layer {name}",
            f"its window of {window} is larger than its input of {smallest}",
            "use fewer or smaller pools, strides or kernels",
        )
