"""Softmax at the end of a network, removed: the largest logit is the largest probability."""

from __future__ import annotations

from ..graph import Graph
from ..ops.softmax import Softmax


def remove_softmax(graph: Graph) -> Graph:
    """Remove every softmax that only makes an output of the graph; the output becomes the tensor before it.

    A softmax that a later layer reads stays, and so does one that reads an input of the graph.
    """
    trailing = {
        node.name: node.inputs[0]
        for node in graph.nodes
        if isinstance(node.op, Softmax)
        and node.name in graph.outputs
        and not graph.consumers(node.name)
        and node.inputs[0] not in graph.inputs
    }
    if not trailing:
        return graph
    return graph.rebuilt(
        [node for node in graph.nodes if node.name not in trailing],
        [trailing.get(output, output) for output in graph.outputs],
    )
