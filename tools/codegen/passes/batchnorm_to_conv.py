"""Batch normalization that could not be folded, as a depthwise convolution of one tap."""

from __future__ import annotations

from ..graph import Graph
from ..ops.batchnorm import BatchNorm
from .edit import replaced


def batchnorm_to_conv(graph: Graph) -> Graph:
    """Replace the first BatchNorm; to be run after those that can be folded are gone.

    Only the first, because the next one may now be folded into it.
    """
    for node in graph.nodes:
        if isinstance(node.op, BatchNorm):
            return replaced(graph, node, node.op.as_conv())
    return graph
