"""What the clamps of an integer graph prove of its tensors, and so of the sums made of them."""

from __future__ import annotations

from dataclasses import replace

from ..formats import Affine, Fixed
from ..graph import Graph, Node
from ..ops.add import FixedAdd
from ..ops.affine import AffineAdd, AffineAvgPool, AffineConv, AffineDense
from ..ops.base import Accumulator
from ..ops.conv import FixedConv, bound_of
from ..ops.copy import FixedClamp, Reshaping
from ..ops.dense import FixedDense
from ..ops.pool import FixedAvgPool, IntegerMaxPool


def proved(graph: Graph) -> Graph:
    """The graph with the bounds of sums of products that its clamps prove: about half as much behind a ReLU."""
    return replace(graph, nodes=tuple(_proved(graph, node) for node in graph.nodes))


def _proved(graph: Graph, node: Node) -> Node:
    op = node.op
    if not isinstance(op, FixedConv | FixedDense | AffineConv | AffineDense):
        return node
    source = graph.tensors[node.inputs[0]].format
    assert isinstance(source, Fixed | Affine)
    zero = source.zero if isinstance(source, Fixed) else source.zero_point  # what padding holds
    if zero < 0 or not never_negative(graph, node.inputs[0]):
        return node
    accumulator = Accumulator(bound_of(op.kernel, op.bias, source.magnitude, positive=True))
    if isinstance(op, FixedConv | FixedDense):
        op = replace(op, bias=op.bias.astype(accumulator.dtype))
    return replace(node, op=replace(op, accumulator=accumulator))


def never_negative(graph: Graph, tensor: str) -> bool:
    """Whether the clamp of the layer that makes it keeps all stored integers of a tensor at 0 or above."""
    node = graph.producer(tensor)
    if node is None:
        return False
    op = node.op
    if isinstance(op, IntegerMaxPool):
        return op.low >= 0 or (not any(op.window.padding) and never_negative(graph, node.inputs[0]))
    if isinstance(op, Reshaping):
        return never_negative(graph, node.inputs[0])
    if isinstance(op, AffineAdd | AffineAvgPool):
        return op.low >= 0
    with_requant = FixedConv | FixedDense | FixedAdd | FixedClamp | FixedAvgPool | AffineConv | AffineDense
    return isinstance(op, with_requant) and op.requant.low >= 0
