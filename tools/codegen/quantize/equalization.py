"""Cross-layer equalization: channels of equal range, so that one scale for a layer's weights fits them all.

Nagel et al. 2019 (Data-Free Quantization), section 4.1, with factors that are powers of two: the float graph
keeps every bit of its outputs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..formats import Array
from ..graph import Graph, Node
from ..ops.base import NONE, RELU
from ..ops.conv import Conv
from ..ops.copy import Clamp, Pad, Reshape
from ..ops.dense import Dense
from ..ops.pool import AvgPool, MaxPool

LARGEST_ROUNDS = 20


def equalize(graph: Graph) -> Graph:
    """Move factors from the filters of each layer to the input channels of the layer that alone reads them.

    Between the two there may be ReLU, pooling, padding and reshape: whatever commutes with a positive factor
    for each channel. Repeated until nothing moves.
    """
    nodes = {node.name: node for node in graph.nodes}
    pairs = [(node.name, other) for node in graph.nodes if (other := reader(graph, node)) is not None]
    for _ in range(LARGEST_ROUNDS):
        moved = False
        for first, second in pairs:
            a, b = nodes[first], nodes[second]
            factors = factors_between(a, b)
            if (factors != 1).any():
                moved = True
                nodes[first], nodes[second] = divided(a, factors), multiplied(b, factors)
        if not moved:
            break
    return graph.rebuilt(nodes.values())


def reader(graph: Graph, node: Node) -> str | None:
    """The one convolution or dense layer that a layer's channels reach unmixed, or None."""
    if not isinstance(node.op, (Conv, Dense)) or node.op.activation not in (NONE, RELU):
        return None
    channels, tensor = len(node.op.kernel), node.name
    while tensor not in graph.outputs:
        consumers = graph.consumers(tensor)
        if len(consumers) != 1:
            return None
        op = consumers[0].op
        if isinstance(op, (Conv, Dense)):
            return consumers[0].name
        passes = isinstance(op, Pad) or (
            isinstance(op, (MaxPool, AvgPool, Clamp)) and op.activation in (NONE, RELU)
        )
        # Channels last: as long as a row holds whole positions, element j is of channel j % channels.
        passes |= isinstance(op, Reshape) and op.shape[-1] % channels == 0
        if not passes:
            return None
        tensor = consumers[0].name
    return None


def by_input(op: Conv | Dense) -> Array:
    """The weights as [G, F/G, taps, C/G] (a view where memory allows)."""
    groups = op.groups if isinstance(op, Conv) else 1
    weights: Array = op.kernel.reshape(groups, len(op.kernel) // groups, -1, op.kernel.shape[-1])
    return weights


def factors_between(a: Node, b: Node) -> Array:
    """Powers of two [filters of a], nearest to the ``sqrt(r1 / r2)`` that gives both layers equal ranges."""
    assert isinstance(a.op, (Conv, Dense)) and isinstance(b.op, (Conv, Dense))
    filters = len(a.op.kernel)
    r1 = np.abs(a.op.kernel.astype(np.float64)).reshape(filters, -1).max(axis=1)
    r2 = np.abs(by_input(b.op).astype(np.float64)).max(axis=(1, 2)).reshape(-1, filters).max(axis=0)
    used = (r1 > 0) & (r2 > 0)
    ratio = np.divide(r1, r2, out=np.ones(filters), where=used)
    factors: Array = np.exp2(np.rint(np.log2(ratio) / 2))
    return factors


def divided(node: Node, factors: Array) -> Node:
    """The layer with each filter, and its bias, divided by its factor."""
    op = node.op
    assert isinstance(op, (Conv, Dense))
    by_filter = factors.reshape(-1, *(1,) * (op.kernel.ndim - 1))
    kernel, bias = op.kernel / by_filter, op.bias / factors
    new = replace(op, kernel=kernel.astype(op.kernel.dtype), bias=bias.astype(op.bias.dtype))
    return Node(node.name, new, node.inputs)


def multiplied(node: Node, factors: Array) -> Node:
    """The layer with the weights of each input channel multiplied by the factor of that channel."""
    op = node.op
    assert isinstance(op, (Conv, Dense))
    weights = by_input(op)
    channels = np.tile(factors, weights.shape[0] * weights.shape[3] // len(factors))
    kernel = weights * channels.reshape(weights.shape[0], 1, 1, weights.shape[3])
    new = replace(op, kernel=kernel.reshape(op.kernel.shape).astype(op.kernel.dtype))
    return Node(node.name, new, node.inputs)
