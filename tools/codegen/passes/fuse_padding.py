"""Zero padding fused into the convolutions that read it."""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph, Node
from ..ops.conv import Conv
from ..ops.copy import Pad
from .edit import renamed, repeated


def fuse_padding(graph: Graph) -> Graph:
    """Fuse a padding that only convolutions read.

    Never into pooling, where padding is outside: it never wins a maximum and does not count in a mean,
    while padded zeros do both.
    """
    return repeated(graph, _fuse_one)


def _fuse_one(graph: Graph) -> Graph:
    for pad in graph.nodes:
        readers = graph.consumers(pad.name)
        if (
            isinstance(pad.op, Pad)
            and pad.name not in graph.outputs
            and all(isinstance(node.op, Conv) for node in readers)
        ):
            amount = pad.op.amount
            nodes = [_padded(n, amount) if n in readers else n for n in graph.nodes if n is not pad]
            return renamed(graph, nodes, {pad.name: pad.inputs[0]})
    return graph


def _padded(node: Node, amount: tuple[int, int, int, int]) -> Node:
    assert isinstance(node.op, Conv)
    top, bottom, left, right = (a + b for a, b in zip(node.op.window.padding, amount, strict=True))
    window = replace(node.op.window, padding=(top, bottom, left, right))
    return Node(node.name, replace(node.op, window=window), node.inputs)
