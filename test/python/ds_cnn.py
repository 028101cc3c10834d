"""The small DS-CNN of Zhang et al. 2017 with repeatable weights, made without training or Keras."""

from __future__ import annotations

import numpy as np
from microai.codegen.graph import Graph, Node, TensorType
from microai.codegen.ops.base import RELU
from microai.codegen.ops.conv import Conv, Window
from microai.codegen.ops.copy import Reshape
from microai.codegen.ops.dense import Dense
from microai.codegen.ops.pool import AvgPool

FEATURES = (49, 10, 1)


def ds_cnn() -> Graph:
    """49 x 10 features, 12 words, 64 filters: four depthwise 3 x 3 and pointwise convolutions of 25 x 5 positions."""
    rng = np.random.default_rng(1)

    def conv(filters: int, window: Window, channels: int, groups: int = 1) -> Conv:
        kernel = rng.normal(size=(filters, *window.kernel, channels // groups))
        kernel *= np.sqrt(2 / kernel[0].size)
        bias = 0.1 * rng.normal(size=filters)
        return Conv(kernel.astype(np.float32), bias.astype(np.float32), window, groups, RELU)

    nodes = [Node("conv1", conv(64, Window((10, 4), (2, 2), (4, 5, 1, 1)), 1), ("x",))]
    for number in range(1, 5):
        depthwise = conv(64, Window((3, 3), padding=(1, 1, 1, 1)), 64, 64)
        nodes.append(Node(f"depthwise{number}", depthwise, (nodes[-1].name,)))
        nodes.append(Node(f"pointwise{number}", conv(64, Window((1, 1)), 64), (nodes[-1].name,)))
    scores = Dense((rng.normal(size=(12, 64)) / 8).astype(np.float32), np.zeros(12, np.float32))
    nodes += [
        Node("postpool", AvgPool(Window((25, 5), (25, 5))), (nodes[-1].name,)),
        Node("flatten", Reshape((64,)), ("postpool",)),
        Node("scores", scores, ("flatten",)),
    ]
    return Graph.build("ds_cnn", {"x": TensorType(FEATURES)}, nodes, ["scores"])
