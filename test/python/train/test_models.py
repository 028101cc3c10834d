"""Model templates: the paper's network exactly, every parameter, and shapes that do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from microai.errors import UserError
from microai.train.layers import convolution, pooling
from microai.train.models import MODELS
from microai.train.models.cnn import Cnn
from microai.train.models.ds_cnn import DsCnn
from microai.train.models.mlp import Mlp
from microai.train.models.resnetv1 import ResNetV1

SIGNAL, IMAGE = (128, 9), (32, 32, 3)


def run(model: Any, shape: tuple[int, ...]) -> Any:
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    return np.asarray(model(x))


def kinds(model: Any) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


@pytest.mark.parametrize("f", [8, 16, 24, 32, 40, 48, 64, 80])
def test_resnetv1_6_has_the_papers_parameters(f: int) -> None:
    model = ResNetV1(filters=(f, f, f)).build(SIGNAL, 6)
    assert model.count_params() == 13 * f * f + 39 * f + 6
    if f in (8, 16):
        assert model.count_params() == {8: 1150, 16: 3958}[f]


def test_resnetv1_6_is_the_papers_topology() -> None:
    """Followed by hand: shapes and order of section "The network" (Figure 4 of the paper)."""
    model = ResNetV1().build(SIGNAL, 6)
    assert sorted(kinds(model)) == sorted(
        ["InputLayer", "Flatten", "Dense", "Softmax"]
        + 6 * ["Conv1D"] + 5 * ["ReLU"] + 2 * ["Add"] + 3 * ["MaxPooling1D"]
    )  # fmt: skip
    convolutions = {layer.name: layer for layer in model.layers if type(layer).__name__ == "Conv1D"}
    assert all(layer.strides == (1,) for layer in convolutions.values())
    shortcut = convolutions.pop("stage2_block1_shortcut")
    assert (shortcut.kernel_size, shortcut.output.shape) == ((1,), (None, 128, 16))
    assert all(layer.kernel_size == (3,) and layer.padding == "same" for layer in convolutions.values())
    assert model.get_layer("stage2_block1_conv1").output.shape == (None, 128, 16)
    assert model.get_layer("stage2_block1_conv2").output.shape == (None, 64, 16)
    # The pool comes between the convolution and its ReLU, on both branches at full length.
    assert (
        model.get_layer("stage2_block1_conv1_relu").input
        is model.get_layer("stage2_block1_conv1_pool").output
    )
    assert model.get_layer("stage1_block1_add").input[1] is model.get_layer("conv1_relu").output
    assert model.get_layer("postpool").pool_size == (64,)
    np.testing.assert_allclose(run(model, SIGNAL).sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("shape", [SIGNAL, IMAGE], ids=["1-D", "2-D"])
@pytest.mark.parametrize("softmax", [True, False])
def test_every_template_takes_signals_and_images(name: str, shape: tuple[int, ...], softmax: bool) -> None:
    model = MODELS[name].model_validate({"softmax": softmax}).build(shape, 5)
    output = run(model, shape)
    assert output.shape == (2, 5) and np.isfinite(output).all()
    assert (kinds(model)[-1] == "Softmax") == softmax
    assert len({layer.name for layer in model.layers}) == len(model.layers)


@pytest.mark.parametrize("shape", [SIGNAL, IMAGE], ids=["1-D", "2-D"])
def test_resnet_parameters(shape: tuple[int, ...]) -> None:
    params = {
        "filters": (4, 6, 8, 8),
        "kernel_sizes": (5, 3, 1, 3),
        "strides": (2, 1, 2, 2),
        "paddings": (2, 1, 0, 1),
        "num_blocks": (2, 1, 2),
        "batch_norm": True,
        "postpool": "avg",
        "prepool": 2,
    }
    by_pool = ResNetV1(**params, downsample="pool").build(shape, 5)
    by_stride = ResNetV1(**params, downsample="stride").build(shape, 5)
    assert by_pool.count_params() == by_stride.count_params()
    for model in (by_pool, by_stride):
        assert run(model, shape).shape == (2, 5)
        names = [layer.name for layer in model.layers]
        assert {"stage1_block2_conv1", "stage3_block2_conv2", "stage1_block1_shortcut"} <= set(names)
        assert "stage1_block2_shortcut" not in names
        convolutions = sum(kind.startswith("Conv") for kind in kinds(model))
        assert convolutions == 1 + 2 * 5 + 3
        assert kinds(model).count("BatchNormalization") == convolutions
        # 32 or 128, halved by prepool, first convolution and two stages.
        assert model.get_layer("stage3_block1_add").output.shape[1] == shape[0] // 16
    assert by_stride.get_layer("stage2_block1_conv1").strides[0] == 2
    assert by_pool.get_layer("stage2_block1_conv1").strides[0] == 1


def test_cnn_parameters() -> None:
    model = Cnn(
        filters=(4, 8),
        kernel_sizes=(4, 3),
        strides=(2, 1),
        paddings=(0, 1),
        pool_sizes=(1, 4),
        batch_norm=True,
        units=(10,),
        postpool="max",
    ).build(SIGNAL, 6)
    assert [layer.name for layer in model.layers] == [
        "input",
        "conv1",
        "conv1_norm",
        "conv1_relu",
        "conv2",
        "conv2_norm",
        "conv2_relu",
        "conv2_pool",
        "postpool",
        "flatten",
        "dense1",
        "dense1_relu",
        "scores",
        "softmax",
    ]
    assert model.get_layer("conv1").output.shape == (None, 63, 4)
    assert model.get_layer("conv2_pool").output.shape == (None, 15, 8)


def test_mlp_parameters() -> None:
    model = Mlp(units=(7, 5)).build((4, 3), 2)
    assert [layer.name for layer in model.layers] == (
        ["input", "flatten", "dense1", "dense1_relu", "dense2", "dense2_relu", "scores", "softmax"]
    )
    assert model.count_params() == 12 * 7 + 7 + 7 * 5 + 5 + 5 * 2 + 2
    assert kinds(Mlp(units=()).build((4, 3), 2)) == ["InputLayer", "Flatten", "Dense", "Softmax"]


@pytest.mark.parametrize("length", [9, 10])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (5, 1, 1), (4, 2, 2), (3, 3, 0)]
)
def test_padding_is_what_it_says(length: int, kernel: int, stride: int, padding: int) -> None:
    """Against the definition: `padding` zeros on both sides, whatever length and stride are."""
    from microai.train.backend import keras

    inputs = keras.Input((length, 2))
    model = keras.Model(inputs, convolution(inputs, 3, kernel, stride, padding, "c"))
    x = np.random.default_rng(0).normal(size=(1, length, 2)).astype(np.float32)
    w, b = (np.asarray(weight) for weight in model.get_layer("c").weights)
    padded = np.pad(x[0], ((padding, padding), (0, 0)))
    starts = range(0, length + 2 * padding - kernel + 1, stride)
    expected = [np.tensordot(padded[start : start + kernel], w, 2) + b for start in starts]
    np.testing.assert_allclose(np.asarray(model(x))[0], expected, rtol=1e-5, atol=1e-6)


def test_pooling_of_one_is_no_layer() -> None:
    from microai.train.backend import keras

    inputs = keras.Input((8, 2))
    assert pooling(inputs, "max", 1, "p") is inputs
    assert pooling(inputs, "avg", None, "p").shape == (None, 1, 2)


@pytest.mark.parametrize(
    "params",
    [
        {"kernel_sizes": (3, 4, 3)},
        {"kernel_sizes": (3, 5, 3)},
        {"paddings": (1, 1, 0)},
        {"strides": (1, 1)},
        {"num_blocks": (1, 1, 1)},
        {"filters": (16,)},
        {"filters": (16, 0, 16)},
    ],
)
def test_resnet_refuses_what_cannot_be_added(params: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"resnetv1|filters"):
        ResNetV1(**params)


def test_windows_larger_than_the_input() -> None:
    with pytest.raises(UserError, match=r"conv2_pool: its window of 4 is larger than its input of 2"):
        Cnn(pool_sizes=(2, 4)).build((4, 3), 2)
    with pytest.raises(UserError, match="layer conv1: its window of 3"):
        Cnn(paddings=(0, 0)).build((2, 2, 1), 2)
    with pytest.raises(UserError, match='use kind = "mlp"'):
        Cnn().build((5,), 2)


def test_ds_cnn_is_the_papers() -> None:
    """Small DS-CNN of Hello Edge on 49 x 10 features of 12 words: 25 x 5 positions, MACs counted by hand."""
    model = DsCnn(image=True, batch_norm=False).build((49, 10), 12)
    assert kinds(model).count("DepthwiseConv2D") == 4 and kinds(model).count("Conv2D") == 5
    assert model.get_layer("conv1").output.shape == (None, 25, 5, 64)
    assert model.get_layer("block4_pointwise").output.shape == (None, 25, 5, 64)
    assert model.count_params() == (40 + 1) * 64 + 4 * ((9 + 1) * 64 + (64 + 1) * 64) + (64 + 1) * 12
    signal = DsCnn().build((49, 10), 12)
    assert signal.get_layer("conv1").kernel_size == (10,)
    assert signal.get_layer("block1_depthwise").output.shape == (None, 25, 64)
