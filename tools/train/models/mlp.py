"""Multi-layer perceptron."""

from __future__ import annotations

from typing import Any

from ..layers import Count, classifier
from ..model import ModelKind


class Mlp(ModelKind):
    """Flatten, then a dense layer with ReLU for each of `units`, then the classifier."""

    units: tuple[Count, ...] = (128,)
    softmax: bool = True

    def build(self, input_shape: tuple[int, ...], classes: int) -> Any:
        from ..backend import keras

        x = inputs = keras.Input(input_shape, name="input")
        x = keras.layers.Flatten(name="flatten")(x)
        return keras.Model(inputs, classifier(x, self.units, classes, self.softmax), name="mlp")
