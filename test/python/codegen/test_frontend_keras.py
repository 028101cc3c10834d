"""The Keras frontend: every layer and option against Keras's own answers, and one clear line for the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from microai.codegen import reference
from microai.codegen.frontends import import_model
from microai.codegen.frontends.keras import CONVERTERS, import_keras
from microai.codegen.graph import Graph
from microai.codegen.passes import simplify
from microai.errors import UserError
from microai.train.backend import keras

L = keras.layers
TOLERANCE = 1e-5  # of the largest magnitude of an output


def randomize(model: Any, seed: int = 0) -> Any:
    """Give every weight, the statistics of normalizations included, values that no default hides."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if not variable.dtype.startswith("float"):
            continue  # the state of a random generator
        if variable.name == "moving_variance":
            variable.assign(rng.uniform(0.3, 2.0, variable.shape))
        else:
            fan_in = max(int(np.prod(variable.shape[:-1])), 1)
            variable.assign(rng.normal(size=variable.shape) / np.sqrt(fan_in))
    return model


def inputs_of(model: Any, count: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=(count, *x.shape[1:])).astype(np.float32) for x in model.inputs]


def agrees(model: Any, graph: Graph | None = None) -> Graph:
    """Check the imported and the simplified graph against the model; returns the imported graph."""
    graph = import_keras(randomize(model), "net") if graph is None else graph
    x = inputs_of(model)
    expected = model(x if len(x) > 1 else x[0], training=False)
    expected = [np.asarray(y) for y in (expected if isinstance(expected, (list, tuple)) else [expected])]
    for version in (graph, simplify(graph)):
        found = reference.outputs(version, x)
        assert len(found) == len(expected)
        for a, b in zip(expected, found, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(b, a, rtol=0, atol=TOLERANCE * np.abs(a).max())
    return graph


SERIES, IMAGE, VECTOR = (11, 4), (7, 9, 4), (6,)

LAYERS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "conv1d": (lambda: L.Conv1D(3, 3), SERIES),
    "conv1d without bias": (lambda: L.Conv1D(3, 2, use_bias=False), SERIES),
    "conv1d same": (lambda: L.Conv1D(3, 4, padding="same"), SERIES),
    "conv1d same stride 2": (lambda: L.Conv1D(3, 4, padding="same", strides=2), SERIES),
    "conv1d same stride 3": (lambda: L.Conv1D(3, 2, padding="same", strides=3), SERIES),
    "conv1d valid stride 2": (lambda: L.Conv1D(3, 2, strides=2), SERIES),
    "conv1d dilated": (lambda: L.Conv1D(3, 3, dilation_rate=2), SERIES),
    "conv1d same dilated": (lambda: L.Conv1D(3, 2, padding="same", dilation_rate=3), SERIES),
    "conv1d causal": (lambda: L.Conv1D(3, 3, padding="causal"), SERIES),
    "conv1d causal stride": (lambda: L.Conv1D(3, 3, padding="causal", strides=2), SERIES),
    "conv1d causal dilated": (lambda: L.Conv1D(3, 3, padding="causal", dilation_rate=2), SERIES),
    "conv1d groups": (lambda: L.Conv1D(6, 3, groups=2), SERIES),
    "conv1d relu": (lambda: L.Conv1D(3, 3, activation="relu"), SERIES),
    "conv1d relu6": (lambda: L.Conv1D(3, 3, activation="relu6"), SERIES),
    "conv1d softmax": (lambda: L.Conv1D(3, 3, activation="softmax"), SERIES),
    "conv2d": (lambda: L.Conv2D(3, 3), IMAGE),
    "conv2d rectangular": (lambda: L.Conv2D(3, (2, 5), strides=(2, 1), padding="same"), IMAGE),
    "conv2d same stride 2": (lambda: L.Conv2D(3, 3, strides=2, padding="same"), IMAGE),
    "conv2d same stride 3": (lambda: L.Conv2D(3, 4, strides=3, padding="same"), IMAGE),
    "conv2d dilated": (lambda: L.Conv2D(3, 3, dilation_rate=(1, 2)), IMAGE),
    "conv2d same dilated": (lambda: L.Conv2D(3, 2, padding="same", dilation_rate=3), IMAGE),
    "conv2d groups": (lambda: L.Conv2D(8, 3, groups=4, activation="relu"), IMAGE),
    "depthwise1d": (lambda: L.DepthwiseConv1D(3, padding="same", activation="relu"), SERIES),
    "depthwise1d multiplier": (lambda: L.DepthwiseConv1D(3, strides=2, depth_multiplier=3), SERIES),
    "depthwise2d": (lambda: L.DepthwiseConv2D(3, strides=2, padding="same"), IMAGE),
    "depthwise2d multiplier": (lambda: L.DepthwiseConv2D((3, 2), depth_multiplier=2, use_bias=False), IMAGE),
    "depthwise2d dilated": (lambda: L.DepthwiseConv2D(2, dilation_rate=2, padding="same"), IMAGE),
    "separable1d": (lambda: L.SeparableConv1D(5, 3, strides=2, padding="same", activation="relu"), SERIES),
    "separable1d multiplier": (lambda: L.SeparableConv1D(5, 3, depth_multiplier=2, use_bias=False), SERIES),
    "separable2d": (lambda: L.SeparableConv2D(5, 3, padding="same", depth_multiplier=2), IMAGE),
    "separable2d softmax": (lambda: L.SeparableConv2D(5, 2, activation="softmax"), IMAGE),
    "dense": (lambda: L.Dense(5), VECTOR),
    "dense without bias": (lambda: L.Dense(5, use_bias=False, activation="relu"), VECTOR),
    "dense softmax": (lambda: L.Dense(5, activation="softmax"), VECTOR),
    "dense on a series": (lambda: L.Dense(5, activation="relu"), SERIES),
    "dense on an image": (lambda: L.Dense(5), IMAGE),
    "batchnorm vector": (lambda: L.BatchNormalization(), VECTOR),
    "batchnorm series": (lambda: L.BatchNormalization(scale=False), SERIES),
    "batchnorm image": (lambda: L.BatchNormalization(axis=3, center=False, epsilon=0.1), IMAGE),
    "relu": (lambda: L.ReLU(), SERIES),
    "relu with maximum": (lambda: L.ReLU(max_value=0.5), IMAGE),
    "activation relu": (lambda: L.Activation("relu"), VECTOR),
    "activation relu6": (lambda: L.Activation("relu6"), SERIES),
    "activation linear": (lambda: L.Activation("linear"), SERIES),
    "activation softmax": (lambda: L.Activation("softmax"), SERIES),
    "softmax": (lambda: L.Softmax(), VECTOR),
    "softmax image": (lambda: L.Softmax(axis=3), IMAGE),
    "max pool 1d": (lambda: L.MaxPooling1D(2), SERIES),
    "max pool 1d same": (lambda: L.MaxPooling1D(3, strides=2, padding="same"), SERIES),
    "max pool 2d": (lambda: L.MaxPooling2D((2, 3), strides=(1, 2)), IMAGE),
    "max pool 2d same": (lambda: L.MaxPooling2D(2, padding="same"), IMAGE),
    "average pool 1d": (lambda: L.AveragePooling1D(3), SERIES),
    "average pool 1d same": (lambda: L.AveragePooling1D(4, strides=3, padding="same"), SERIES),
    "average pool 2d": (lambda: L.AveragePooling2D(2), IMAGE),
    "average pool 2d same": (lambda: L.AveragePooling2D(3, strides=(2, 1), padding="same"), IMAGE),
    "global max 1d": (lambda: L.GlobalMaxPooling1D(), SERIES),
    "global max 2d kept": (lambda: L.GlobalMaxPooling2D(keepdims=True), IMAGE),
    "global average 1d kept": (lambda: L.GlobalAveragePooling1D(keepdims=True), SERIES),
    "global average 2d": (lambda: L.GlobalAveragePooling2D(), IMAGE),
    "zero padding 1d": (lambda: L.ZeroPadding1D((2, 1)), SERIES),
    "zero padding 2d": (lambda: L.ZeroPadding2D(((1, 0), (2, 3))), IMAGE),
    "flatten": (lambda: L.Flatten(), IMAGE),
    "reshape": (lambda: L.Reshape((-1, 2)), SERIES),
    "reshape to an image": (lambda: L.Reshape((2, 3, 1)), VECTOR),
    "rescaling": (lambda: L.Rescaling(0.25, -1.0), SERIES),
    "rescaling per channel": (lambda: L.Rescaling([0.5, 2.0, 1.0, 3.0], [0.0, 1.0, 2.0, 3.0]), IMAGE),
    "identity": (lambda: L.Identity(), VECTOR),
}


@pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS)
def test_layer_agrees_with_keras(make: Callable[[], Any], shape: tuple[int, ...]) -> None:
    # Between two dense layers, so that an identity is in the middle of something.
    agrees(keras.Sequential([L.Input(shape), L.Dense(shape[-1]), make(), L.Dense(2)]))
    agrees(keras.Sequential([L.Input(shape), L.Dense(shape[-1], activation="relu"), make()]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: L.Dropout(0.5),
        lambda: L.SpatialDropout1D(0.5),
        lambda: L.GaussianNoise(0.5),
        lambda: L.GaussianDropout(0.5),
        lambda: L.AlphaDropout(0.5),
        lambda: L.ActivityRegularization(0.1),
        lambda: L.Identity(),
    ],
)
def test_layers_of_the_training_leave_no_node(make: Callable[[], Any]) -> None:
    graph = agrees(keras.Sequential([L.Input(SERIES), make(), L.Conv1D(2, 3), make(), L.ReLU(), make()]))
    assert [node.op.kind for node in graph.nodes] == ["conv", "activation"]


def test_every_converter_is_tested() -> None:
    """The cases of this file use each layer of the registry, so that a new one cannot come without."""
    here = Path(__file__).read_text(encoding="utf-8")
    assert [kind for kind in CONVERTERS if f"L.{kind}(" not in here] == []


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_sums_of_several_tensors(count: int) -> None:
    x = L.Input(SERIES)
    terms = [L.Conv1D(4, 1)(x) for _ in range(count)]
    graph = agrees(keras.Model(x, L.ReLU()(L.Add()(terms) if count > 1 else terms[0])))
    assert [node.op.kind for node in graph.nodes].count("add") == count - 1


def test_tensor_added_to_itself() -> None:
    x = L.Input(SERIES)
    agrees(keras.Model(x, L.Add()([x, x])))


@pytest.mark.parametrize("axis", [1, 2, 3, -1, -2, -3])
def test_concatenation_along_any_axis(axis: int) -> None:
    x = L.Input(IMAGE)
    parts = [L.Conv2D(4, 1)(x), x, L.ReLU()(x)]
    agrees(keras.Model(x, L.Concatenate(axis=axis)(parts)))


def test_spatial_dropout_2d_and_keras_options_in_tuples() -> None:
    agrees(
        keras.Sequential([L.Input(IMAGE), L.SpatialDropout2D(0.3), L.Conv2D(2, (3, 3), (2, 2)), L.Flatten()])
    )


def residual(x: Any, filters: int, stride: int, normalized: bool) -> Any:
    """A block of ResNet v1."""
    y = L.Conv1D(filters, 3, strides=stride, padding="same")(x)
    y = L.BatchNormalization()(y) if normalized else y
    y = L.Conv1D(filters, 3, padding="same")(L.ReLU()(y))
    y = L.BatchNormalization()(y) if normalized else y
    shortcut = x if stride == 1 and x.shape[-1] == filters else L.Conv1D(filters, 1, strides=stride)(x)
    return L.ReLU()(L.Add()([y, shortcut]))


def resnet(normalized: bool = True) -> Any:
    x = L.Input((32, 9), name="signals")
    y = residual(residual(L.Conv1D(4, 3, activation="relu")(x), 4, 1, normalized), 8, 2, normalized)
    return keras.Model(x, L.Dense(6, activation="softmax", name="scores")(L.GlobalMaxPooling1D()(y)))


@pytest.mark.parametrize("normalized", [False, True])
def test_resnet_becomes_convolutions_with_everything_fused(normalized: bool) -> None:
    graph = agrees(resnet(normalized))
    assert graph.inputs == ("signals",)
    kinds = [node.op.kind for node in simplify(graph, remove_softmax=True).nodes]
    assert sorted(kinds) == ["add"] * 2 + ["conv"] * 6 + ["dense", "pool_max", "reshape"]
    assert simplify(graph, remove_softmax=True).outputs == ("scores",)


def test_several_inputs_and_outputs_keep_their_order() -> None:
    a, b = L.Input(SERIES, name="a"), L.Input((5, 4), name="b")
    joined = L.Concatenate(axis=1, name="joined")([b, a])
    first, second = (
        L.Conv1D(2, 3, name="first")(joined),
        L.GlobalMaxPooling1D(keepdims=True, name="second")(a),
    )
    graph = agrees(keras.Model([b, a], [second, first, joined]))
    assert (graph.inputs, graph.outputs) == (("b", "a"), ("second", "first", "joined"))


def test_nested_models_are_flattened_and_shared_layers_used_twice() -> None:
    inner_input = L.Input(SERIES)
    branch = L.Conv1D(4, 3, padding="same", name="branch")(inner_input)
    inner = keras.Model(inner_input, [L.ReLU(name="clip")(branch), branch], name="inner")
    stem = keras.Sequential([L.Input(SERIES), L.Conv1D(4, 1, name="mix"), L.Dropout(0.1)], name="stem")
    shared = L.Conv1D(4, 1, name="shared")
    x = L.Input(SERIES, name="x")
    y, z = inner(shared(stem(x)))
    u, v = inner(shared(x))
    graph = agrees(keras.Model(x, [L.Add(name="sum")([y, z, u]), v]))
    assert [node.name for node in graph.nodes] == [
        "stem/mix",
        "shared",
        "inner/branch",
        "inner/clip",
        "shared/use2",
        "inner/use2/branch",
        "inner/use2/clip",
        "sum/sum2",
        "sum",
    ]


def test_branches_are_executed_one_after_the_other() -> None:
    """Few tensors alive at a time: a branch is finished before the next one starts."""
    x = L.Input(SERIES, name="x")
    a, b = L.Conv1D(4, 1, name="a1")(x), L.Conv1D(4, 1, name="b1")(x)
    a, b = L.ReLU(name="a2")(a), L.ReLU(name="b2")(b)
    graph = agrees(keras.Model(x, L.Add(name="sum")([a, b])))
    assert [node.name for node in graph.nodes] == ["a1", "a2", "b1", "b2", "sum"]


def test_a_deep_model_is_no_problem() -> None:
    layers = [L.ReLU(max_value=1.0 + i, name=f"r{i}") for i in range(150)]
    assert len(agrees(keras.Sequential([L.Input((2,)), *layers])).nodes) == 150


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", [".keras", ".h5", ".hdf5"])
def test_saved_models_are_read(suffix: str, tmp_path: Path) -> None:
    model = randomize(resnet())
    model.save(tmp_path / f"model{suffix}")
    agrees(model, import_model(tmp_path / f"model{suffix}", "net"))


def refusal(call: Callable[[], Any]) -> str:
    """The message of the UserError that `call` raises; one line."""
    with pytest.raises(UserError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_unsupported_layer_is_named_with_its_place_and_what_is_supported(tmp_path: Path) -> None:
    layers = [L.Input(SERIES), L.Conv1D(2, 3, name="first"), L.LSTM(3, name="memory"), L.Dense(2)]
    path = tmp_path / "model.keras"
    keras.Sequential(layers).save(path)
    message = refusal(lambda: import_model(path, "net"))
    assert message.startswith(
        f"{path}: layer memory (LSTM, layer 2 of 3, after first): is not supported; use "
    )
    assert all(kind in message for kind in CONVERTERS)


def test_unsupported_layer_of_a_nested_model() -> None:
    inner = keras.Sequential([L.Input(IMAGE), L.Conv2DTranspose(2, 3, name="up")], name="decoder")
    message = refusal(lambda: import_keras(keras.Sequential([L.Input(IMAGE, name="x"), inner]), "net"))
    assert "net: layer decoder/up (Conv2DTranspose, layer 1 of 1, after x): is not supported" in message


class Dense(keras.layers.Dense):
    """A user's own layer, with the name of one of Keras."""


@pytest.mark.parametrize(
    ("make", "shape", "reason"),
    [
        (
            lambda: L.ReLU(negative_slope=0.1),
            SERIES,
            "negative_slope=0.1 is not supported; use negative_slope=0.0",
        ),
        (lambda: L.ReLU(threshold=0.5), SERIES, "threshold=0.5 is not supported; use threshold=0.0"),
        (
            lambda: L.Dense(2, activation="tanh"),
            SERIES,
            "activation tanh is not supported; use one of linear, relu",
        ),
        (lambda: L.Activation("gelu"), SERIES, "activation gelu is not supported"),
        (lambda: L.Dense(2, activation=L.ReLU()), SERIES, "activation ReLU is not supported"),
        (lambda: L.LeakyReLU(), SERIES, "(LeakyReLU, layer 1 of 1, after x): is not supported"),
        (lambda: L.BatchNormalization(axis=1), SERIES, "axis=1 is not supported; use the last axis"),
        (lambda: L.Softmax(axis=1), SERIES, "axis=1 is not supported; use the last axis"),
        (lambda: L.Flatten(data_format="channels_first"), SERIES, "use data_format='channels_last'"),
        (lambda: L.MaxPooling1D(data_format="channels_first"), SERIES, "use data_format='channels_last'"),
        (
            lambda: L.Conv2D(2, 3, data_format="channels_first"),
            IMAGE,
            "data_format='channels_first' is not supported; use data_format='channels_last'",
        ),
        (
            lambda: L.Reshape((11, 2, 2, 1)),
            SERIES,
            "a sample has shape (11, 2, 2, 1); use (C,), (T, C) or (H, W, C)",
        ),
        (lambda: L.Rescaling(np.ones((11, 1)).tolist()), SERIES, "differ along other axes than the last"),
        (lambda: Dense(2), SERIES, "(Dense, layer 1 of 1, after x): is not supported"),
    ],
)
def test_unsupported_options(make: Callable[[], Any], shape: tuple[int, ...], reason: str) -> None:
    model = keras.Sequential([L.Input(shape, name="x"), make()])
    assert reason in refusal(lambda: import_keras(model, "net"))


def test_operations_that_are_no_layers_are_refused() -> None:
    x = L.Input(SERIES, name="x")
    message = refusal(lambda: import_keras(keras.Model(x, x + L.ReLU(name="r")(x)), "net"))
    assert "(operation Add, after x, r): is not supported; use " in message


def test_broadcasting_sums_are_refused() -> None:
    x = L.Input(SERIES, name="x")
    total = L.Add(name="sum")([x, L.GlobalMaxPooling1D(keepdims=True, name="m")(x)])
    message = refusal(lambda: import_keras(keras.Model(x, total), "net"))
    assert "layer sum (Add, layer 2 of 2, after x, m): it adds shapes (11, 4) and (1, 4)" in message


def test_quantized_layers_are_refused() -> None:
    model = keras.Sequential([L.Input(VECTOR, name="x"), L.Dense(3)])
    model.quantize("int8")
    assert "quantization_mode='int8' is not supported" in refusal(lambda: import_keras(model, "net"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_named(value: float) -> None:
    model = randomize(keras.Sequential([L.Input(SERIES, name="x"), L.Conv1D(3, 2, name="c")]))
    kernel = model.layers[0].kernel.numpy()
    kernel[1, 2, :2] = value
    model.layers[0].kernel.assign(kernel)
    message = refusal(lambda: import_keras(model, "net"))
    assert (
        "net: layer c (Conv1D, layer 1 of 1, after x): its array kernel has 2 NaN or infinite values of 24"
        in message
    )


def test_negative_variance_is_refused() -> None:
    model = keras.Sequential([L.Input(SERIES), L.BatchNormalization()])
    model.layers[0].moving_variance.assign(np.float32([1, 1, -1, 1]))
    assert "moving_variance has negative values" in refusal(lambda: import_keras(model, "net"))


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (
            lambda: keras.Sequential([L.Input((None, 4), name="x"), L.Conv1D(2, 3)]),
            "input x: its shape (?, 4) is not",
        ),
        (
            lambda: keras.Sequential([L.Dense(2)]),
            "neither a Sequential nor a functional model of known input shape",
        ),
        (
            lambda: keras.Sequential([L.Input((2, 3, 4, 5), name="x"), L.Dense(2)]),
            "input x: a sample has shape (2, 3",
        ),
        (lambda: "no model at all", "neither a Sequential nor a functional model"),
    ],
)
def test_models_without_fixed_shapes(model: Callable[[], Any], reason: str) -> None:
    assert reason in refusal(lambda: import_keras(model(), "net"))


def test_files_that_are_no_models(tmp_path: Path) -> None:
    whole = tmp_path / "whole.keras"
    randomize(resnet()).save(whole)
    cut = tmp_path / "cut.keras"
    cut.write_bytes(whole.read_bytes()[:-1000])
    damaged = tmp_path / "damaged.keras"
    data = whole.read_bytes()
    middle = len(data) // 2
    damaged.write_bytes(data[:middle] + bytes(2000) + data[middle + 2000 :])
    text = tmp_path / "text.h5"
    text.write_text("not a model")
    lacks = "is not a Keras 3 model, or is truncated"
    for path, reason in [
        (cut, lacks),
        (damaged, "Keras cannot load it"),
        (text, "Keras cannot load it"),
        (tmp_path / "none.keras", "there is no such file; check the path"),
        (tmp_path / "none.h5", "there is no such file; check the path"),
        (tmp_path, "is not a known kind of model file; give one of .keras, .h5, .hdf5"),
        (tmp_path / "model.onnx", "is not a known kind of model file; give one of .keras, .h5, .hdf5"),
    ]:
        message = refusal(lambda path=path: import_model(path, "net"))  # type: ignore[misc]
        assert message.startswith(f"{path}: {reason}"), message


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_truncated_files_are_one_line(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    keras.Sequential([L.Input((3,)), L.Dense(2)]).save(path)
    data = path.read_bytes()
    for size in np.linspace(0, len(data) - 1, 12).astype(int):
        path.write_bytes(data[:size])
        refusal(lambda: import_model(path, "net"))


@st.composite
def models(draw: Any) -> Any:
    """A small random functional model with branches."""
    spatial = draw(st.integers(1, 2))
    x = L.Input((*(draw(st.integers(4, 9)) for _ in range(spatial)), draw(st.integers(1, 4))))
    convolution = (L.Conv1D, L.Conv2D)[spatial - 1]
    depthwise = (L.DepthwiseConv1D, L.DepthwiseConv2D)[spatial - 1]
    separable = (L.SeparableConv1D, L.SeparableConv2D)[spatial - 1]
    pools = ((L.MaxPooling1D, L.AveragePooling1D), (L.MaxPooling2D, L.AveragePooling2D))[spatial - 1]
    zeros = (L.ZeroPadding1D, L.ZeroPadding2D)[spatial - 1]
    small = st.integers(1, 3)
    activation = st.sampled_from([None, "relu", "relu6"])

    def window(y: Any) -> dict[str, Any]:
        fits = min(y.shape[1:-1]) >= 3
        return {"padding": draw(st.sampled_from(["same", "valid"])) if fits else "same"}

    y = x
    for _ in range(draw(st.integers(1, 5))):
        step = draw(st.integers(0, 7))
        if step == 0:
            kernel, filters, stride = draw(small), draw(small), draw(small)
            y = convolution(filters, kernel, strides=stride, activation=draw(activation), **window(y))(y)
        elif step == 1:
            y = convolution(draw(small), 2, dilation_rate=2, **window(y))(y)
        elif step == 2:
            y = depthwise(draw(small), depth_multiplier=draw(st.integers(1, 2)), **window(y))(y)
        elif step == 3:
            y = separable(draw(small), draw(small), strides=draw(st.integers(1, 2)), **window(y))(y)
        elif step == 4:
            y = draw(st.sampled_from(pools))(draw(small), strides=draw(small), **window(y))(y)
        elif step == 5:
            y = L.ReLU()(L.BatchNormalization()(y))
        elif step == 6:
            y = L.Add()([y, convolution(y.shape[-1], 3, padding="same")(y), y])
        else:
            y = L.Concatenate()([zeros(1)(y), convolution(2, 3, padding="same")(zeros(1)(y))])
    if draw(st.booleans()):
        y = L.Dense(3, activation="softmax")(L.Flatten()(y))
    return randomize(keras.Model(x, y), draw(st.integers(0, 1000)))


@settings(max_examples=60, deadline=None)
@given(models())
def test_random_models_agree_with_keras(model: Any) -> None:
    agrees(model, import_keras(model, "net"))
