"""The network of the paper with repeatable weights, made without training or Keras."""

from __future__ import annotations

import numpy as np
from microai.codegen.graph import Graph, Node, TensorType
from microai.codegen.ops.add import Add
from microai.codegen.ops.base import RELU
from microai.codegen.ops.conv import Conv, Window
from microai.codegen.ops.copy import Clamp, Reshape
from microai.codegen.ops.dense import Dense
from microai.codegen.ops.pool import MaxPool


def resnetv1_6(filters: int) -> Graph:
    """ResNetv1-6 on 128 x 9 samples, 6 classes: 13 f^2 + 39 f + 6 parameters, 1472 f^2 + 3462 f MACs."""
    rng = np.random.default_rng(1)
    f = filters

    def normal(*shape: int) -> np.ndarray:
        return (rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:], initial=1.0))).astype(np.float32)

    def conv(channels: int, width: int) -> Conv:
        window = Window((1, width), padding=(0, 0, width // 2, width // 2))
        return Conv(normal(f, 1, width, channels), (0.1 * rng.normal(size=f)).astype(np.float32), window)

    halve = MaxPool(Window((1, 2), (1, 2)))
    nodes = [
        Node("conv1", conv(9, 3), ("x",)),
        Node("relu1", Clamp(RELU), ("conv1",)),
        Node("block1_conv1", conv(f, 3), ("relu1",)),
        Node("block1_relu1", Clamp(RELU), ("block1_conv1",)),
        Node("block1_conv2", conv(f, 3), ("block1_relu1",)),
        Node("block1_add", Add(), ("block1_conv2", "relu1")),
        Node("block1", Clamp(RELU), ("block1_add",)),
        Node("block2_conv1", conv(f, 3), ("block1",)),
        Node("block2_pool", halve, ("block2_conv1",)),
        Node("block2_relu1", Clamp(RELU), ("block2_pool",)),
        Node("block2_conv2", conv(f, 3), ("block2_relu1",)),
        Node("shortcut", conv(f, 1), ("block1",)),
        Node("shortcut_pool", halve, ("shortcut",)),
        Node("block2_add", Add(), ("block2_conv2", "shortcut_pool")),
        Node("block2", Clamp(RELU), ("block2_add",)),
        Node("postpool", MaxPool(Window((1, 64), (1, 64))), ("block2",)),
        Node("flatten", Reshape((f,)), ("postpool",)),
        Node("scores", Dense(normal(6, f), (0.1 * rng.normal(size=6)).astype(np.float32)), ("flatten",)),
    ]
    return Graph.build(f"resnetv1_6_f{f}", {"x": TensorType((128, 9))}, nodes, ["scores"])


def inputs(count: int) -> list[np.ndarray]:
    """Normal samples [count, 128, 9] for it."""
    return [np.random.default_rng(2).normal(size=(count, 128, 9)).astype(np.float32)]
