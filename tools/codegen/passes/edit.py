"""Edits of a float graph that the passes share."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..graph import Graph, Node
from ..ops.base import FloatOp, Op


def replaced(graph: Graph, node: Node, op: Op) -> Graph:
    """The graph with another operation in one node."""
    return graph.rebuilt(Node(node.name, op, node.inputs) if n is node else n for n in graph.nodes)


def merged(graph: Graph, first: Node, second: Node, op: Op) -> Graph:
    """The graph with `second`, which reads only `first`, taken into `first`: together they compute `op`.

    The new node is called `first`, or `second` where that is an output of the graph: outputs keep their
    names. Whoever read either tensor reads the new one.
    """
    name = second.name if second.name in graph.outputs else first.name
    nodes = [Node(name, op, first.inputs) if n is first else n for n in graph.nodes if n is not second]
    return renamed(graph, nodes, {first.name: name, second.name: name})


def renamed(graph: Graph, nodes: list[Node], names: Mapping[str, str]) -> Graph:
    """The graph of `nodes` in which inputs and outputs called by the keys of `names` are the values."""
    return graph.rebuilt(
        [Node(n.name, n.op, tuple(names.get(source, source) for source in n.inputs)) for n in nodes],
        [names.get(output, output) for output in graph.outputs],
    )


def only_reader(graph: Graph, first: Node, second: Node) -> bool:
    """True when nothing but `second` sees the tensor of `first`."""
    return first.name not in graph.outputs and graph.consumers(first.name) == (second,)


def fuse_followers(graph: Graph, fuse: Callable[[FloatOp, FloatOp], Op | None]) -> Graph:
    """Merge nodes with their sole readers wherever ``fuse(first, second)`` gives the operation of both."""

    def step(graph: Graph) -> Graph:
        for second in graph.nodes:
            first = graph.producer(second.inputs[0])
            if first is None or len(second.inputs) != 1 or not only_reader(graph, first, second):
                continue
            assert isinstance(first.op, FloatOp) and isinstance(second.op, FloatOp)
            op = fuse(first.op, second.op)
            if op is not None:
                return merged(graph, first, second, op)
        return graph

    return repeated(graph, step)


def repeated(graph: Graph, step: Callable[[Graph], Graph]) -> Graph:
    """Apply `step` until it returns the graph that it was given."""
    while (after := step(graph)) is not graph:
        graph = after
    return graph
