"""Operations that change nothing, removed."""

from __future__ import annotations

from ..graph import Graph, Node
from ..ops.copy import Clamp, Concat, Pad, Reshape
from ..ops.pool import AvgPool, MaxPool
from .edit import merged, only_reader, renamed, repeated


def drop_identities(graph: Graph) -> Graph:
    """Remove a reshape to the same shape, a clamp without bounds, a padding of nothing, a window of one
    position, a concatenation of one tensor.

    One that makes an output of the graph from an input or from another output stays: both names are needed.
    Reshapes that follow each other become one.
    """
    return repeated(graph, _drop_one)


def _drop_one(graph: Graph) -> Graph:
    for node in graph.nodes:
        source = graph.producer(node.inputs[0])
        if _is_identity(graph, node):
            if node.name not in graph.outputs:
                others = [n for n in graph.nodes if n is not node]
                return renamed(graph, others, {node.name: node.inputs[0]})
            if source is not None and source.name not in graph.outputs:
                return merged(graph, source, node, source.op)
        elif (
            isinstance(node.op, Reshape)
            and source is not None
            and isinstance(source.op, Reshape)
            and only_reader(graph, source, node)
        ):
            return merged(graph, source, node, node.op)
    return graph


def _is_identity(graph: Graph, node: Node) -> bool:
    op = node.op
    if isinstance(op, Reshape):
        return graph.input_shapes(node) == [op.shape]
    if isinstance(op, Clamp):
        return not op.activation
    if isinstance(op, Pad):
        return not any(op.amount)
    if isinstance(op, (MaxPool, AvgPool)):
        window = op.window
        return window.kernel == window.strides == (1, 1) and not op.activation
    return isinstance(op, Concat) and len(node.inputs) == 1
