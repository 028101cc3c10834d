"""Affine integers against TensorFlow Lite's reference kernels: bit for bit, operation by operation and a network.

TensorFlow's converter makes each model; its scales, zero points, weights and biases are forced on ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from microai.codegen.compare import first_difference
from microai.codegen.formats import Array
from microai.codegen.reference import tensors
from microai.train.backend import keras

from .tflite_oracle import Oracle

L = keras.layers
SERIES, IMAGE, VECTOR = (11, 4), (7, 9, 4), (10,)


def sequential(shape: tuple[int, ...], *layers: Any) -> Any:
    return keras.Sequential([keras.Input(shape), *layers])


def joined(layer: Any, *shapes: tuple[int, ...], then: Any = None) -> Any:
    inputs = [keras.Input(shape) for shape in shapes]
    y = layer(inputs)
    return keras.Model(inputs, y if then is None else then(y))


MODELS: dict[str, Callable[[], Any]] = {
    "conv1d": lambda: sequential(SERIES, L.Conv1D(5, 3)),
    "conv1d same stride relu": lambda: sequential(SERIES, L.Conv1D(5, 4, 2, "same", activation="relu")),
    "conv1d dilated": lambda: sequential(SERIES, L.Conv1D(5, 3, padding="same", dilation_rate=2)),
    "conv1d groups": lambda: sequential(SERIES, L.Conv1D(6, 3, padding="same", groups=2)),
    "conv1d pointwise": lambda: sequential(SERIES, L.Conv1D(3, 1, use_bias=False)),
    "conv2d": lambda: sequential(IMAGE, L.Conv2D(5, (3, 2))),
    "conv2d same stride relu6": lambda: sequential(IMAGE, L.Conv2D(5, 3, 2, "same"), L.ReLU(6.0)),
    "conv2d dilated": lambda: sequential(IMAGE, L.Conv2D(5, 3, padding="same", dilation_rate=2)),
    "conv2d groups": lambda: sequential(IMAGE, L.Conv2D(6, 3, padding="same", groups=2)),
    "depthwise1d": lambda: sequential(SERIES, L.DepthwiseConv1D(3, padding="same", depth_multiplier=2)),
    "depthwise2d stride relu": lambda: sequential(
        IMAGE, L.DepthwiseConv2D(3, 2, "same", depth_multiplier=2, activation="relu")
    ),
    "dense": lambda: sequential(VECTOR, L.Dense(7)),
    "dense relu": lambda: sequential(VECTOR, L.Dense(7, activation="relu")),
    "add": lambda: joined(L.Add(), VECTOR, VECTOR),
    "add relu": lambda: joined(L.Add(), SERIES, SERIES, then=L.ReLU()),
    "max pool 1d": lambda: sequential(SERIES, L.MaxPooling1D(2)),
    "max pool 2d same relu": lambda: sequential(IMAGE, L.MaxPooling2D(3, 2, "same"), L.ReLU()),
    "average pool 1d same": lambda: sequential(SERIES, L.AveragePooling1D(4, 3, "same")),
    "average pool 2d": lambda: sequential(IMAGE, L.AveragePooling2D((2, 3))),
    "average pool of all": lambda: sequential(SERIES, L.AveragePooling1D(11)),
    "global average 1d": lambda: sequential(SERIES, L.GlobalAveragePooling1D()),
    "global average 2d": lambda: sequential(IMAGE, L.GlobalAveragePooling2D()),
    "global max 2d": lambda: sequential(IMAGE, L.GlobalMaxPooling2D()),
    "concatenation": lambda: joined(L.Concatenate(), SERIES, SERIES),
    "concatenation of time": lambda: joined(L.Concatenate(axis=1), SERIES, (3, 4)),
    "softmax": lambda: sequential(VECTOR, L.Softmax()),
    "relu": lambda: sequential(SERIES, L.ReLU()),
    "relu6": lambda: sequential(SERIES, L.ReLU(6.0)),
    "pad": lambda: sequential(SERIES, L.ZeroPadding1D((2, 1))),
}


def randomized(model: Any, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        fan_in = max(int(np.prod(variable.shape[:-1])), 1)
        variable.assign(rng.normal(size=variable.shape) / np.sqrt(fan_in))
    return model


def oracle(model: Any, wide: bool, seed: int = 0) -> Oracle:
    """Calibrated with inputs of different ranges, none symmetric."""
    rng = np.random.default_rng(seed)
    randomized(model, seed)
    calibration = [
        (rng.normal(size=(20, *x.shape[1:])) * (1 + i) + 0.3).astype(np.float32)
        for i, x in enumerate(model.inputs)
    ]
    return Oracle(model, calibration, wide)


def extreme_inputs(made: Oracle, count: int, seed: int = 1) -> list[Array]:
    """Stored inputs: all values, small ones, only the lowest, only the highest, both alternating at random."""
    rng = np.random.default_rng(seed)
    arrays = []
    for name in made.graph.inputs:
        fmt = made.format(made.places[name])
        shape = made.graph.tensors[name].shape
        every = rng.integers(fmt.low, fmt.high + 1, (count, *shape))
        every[1::4] = np.clip(every[1::4] // 16 + fmt.zero_point, fmt.low, fmt.high)
        every[2::8] = np.where(rng.random(every[2::8].shape) < 0.5, fmt.low, fmt.high)
        every[-1], every[-2] = fmt.low, fmt.high
        arrays.append(every.astype(fmt.dtype))
    return arrays


@pytest.mark.parametrize("wide", [False, True], ids=["int8", "16x8"])
@pytest.mark.parametrize("name", MODELS)
def test_operation_equals_tflite(name: str, wide: bool) -> None:
    made = oracle(MODELS[name](), wide)
    x = extreme_inputs(made, 64)
    difference = first_difference(made.run(x), tensors(made.affine(), x))
    assert difference is None, str(difference)


def residual_network() -> Any:
    """Every kind of layer that the networks of the paper have, and those that join branches."""
    x = keras.Input((32, 4))
    y = L.Conv1D(6, 3, padding="same", activation="relu")(x)
    shortcut = L.Conv1D(8, 1)(L.MaxPooling1D(2)(y))
    y = L.Conv1D(8, 5, 2, padding="same", activation="relu")(y)
    y = L.Conv1D(8, 3, padding="same")(y)
    y = L.ReLU()(L.Add()([y, shortcut]))
    side = L.DepthwiseConv1D(3, padding="same", activation="relu")(y)
    y = L.Concatenate()([L.AveragePooling1D(2)(y), L.MaxPooling1D(2)(side)])
    y = L.GlobalAveragePooling1D()(y)
    return keras.Model(x, L.Softmax()(L.Dense(6)(L.Dense(10, activation="relu")(y))))


@pytest.mark.parametrize("wide", [False, True], ids=["int8", "16x8"])
def test_network_equals_tflite_at_every_tensor(wide: bool) -> None:
    made = oracle(residual_network(), wide)
    rng = np.random.default_rng(2)
    real = (rng.normal(size=(40, 32, 4)) + 0.3).astype(np.float32)  # as the calibration: nothing saturates
    graph = made.affine()
    for x in ([graph.tensors[graph.inputs[0]].format.quantize(real)], extreme_inputs(made, 40)):
        found = tensors(graph, x)
        expected = made.run(x)
        assert len(expected) == len(graph.tensors) >= 15
        difference = first_difference(expected, found)
        assert difference is None, str(difference)
    scores = found[graph.outputs[0]]
    assert len(np.unique(scores)) > 20
