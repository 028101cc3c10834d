"""In which order independent branches are computed: the one with the fewest bytes alive at one step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..graph import Graph, Node
from .offsets import align

MOST_STATES = 20_000


def orders(graph: Graph, scratch: Mapping[str, int]) -> Iterator[tuple[Node, ...]]:
    """The graph's order, and another one where that needs less memory."""
    yield graph.nodes
    best = best_order(graph, scratch)
    if best is not None and best != graph.nodes:
        yield best


def best_order(graph: Graph, scratch: Mapping[str, int]) -> tuple[Node, ...] | None:
    """The order whose largest sum of the tensors alive at a step is smallest; None where there are too many orders.

    Of those the one whose sum over all steps is smallest: chains by rows lower the peak further. Over the sets of
    layers that can be done, one layer more at a time; exact in the peak. Of a layer computed in place the input counts
    once.
    """
    index = {node.name: i for i, node in enumerate(graph.nodes)}
    readers = {name: {index[n.name] for n in graph.consumers(name)} for name in graph.tensors}
    sizes = {name: align(tensor.bytes) for name, tensor in graph.tensors.items()}
    needs = [{index[s] for s in node.inputs if s in index} for node in graph.nodes]
    count = len(graph.nodes)
    # done layers -> (peak, sum over all steps, order)
    states: dict[frozenset[int], tuple[int, int, tuple[int, ...]]] = {frozenset(): (0, 0, ())}
    total = 0
    for _ in range(count):
        following: dict[frozenset[int], tuple[int, int, tuple[int, ...]]] = {}
        for done, (peak, area, order) in states.items():
            alive = sum(
                sizes[name]
                for name in graph.tensors
                if (name in graph.inputs or index[name] in done)
                and (name in graph.outputs or readers[name] - done)
            )
            for i, node in enumerate(graph.nodes):
                if i in done or needs[i] - done:
                    continue
                dies = any(
                    readers[node.inputs[k]] <= done | {i}
                    and node.inputs[k] not in graph.outputs
                    and sizes[node.inputs[k]] >= sizes[node.name]
                    for k in node.op.in_place()
                )
                now = alive + (0 if dies else sizes[node.name]) + align(scratch.get(node.name, 0))
                way = (max(peak, now), area + now, (*order, i))
                after = done | {i}
                if after not in following or way < following[after]:
                    following[after] = way
        states = following
        total += len(states)
        if total > MOST_STATES:
            return None
    _, _, order = states[frozenset(range(count))]
    return tuple(graph.nodes[i] for i in order)
