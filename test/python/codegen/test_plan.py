"""The memory plan against a simulation that knows nothing of how it was made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from microai.codegen.graph import Graph, Node, TensorType
from microai.codegen.ops.add import Add
from microai.codegen.ops.base import RELU
from microai.codegen.ops.copy import Clamp
from microai.codegen.passes import simplify
from microai.codegen.plan import ALIGNMENT, MemoryPlan, plan

from .random_graphs import graphs


def simulate(graph: Graph, memory: MemoryPlan) -> None:
    """Execute with bytes that remember which tensor wrote them; whoever reads must find its own."""
    arena = np.full(memory.arena_bytes, "", dtype=object)

    def write(tensor: str) -> None:
        place = memory.placements[tensor]
        arena[place.offset : place.offset + place.size] = tensor

    def read(tensor: str, same_memory: frozenset[str] = frozenset()) -> None:
        place = memory.placements[tensor]
        assert set(arena[place.offset : place.offset + place.size]) <= {tensor} | same_memory

    views: dict[str, frozenset[str]] = {}
    for name in graph.inputs:
        write(name)
    for node in graph.nodes:
        for source in node.inputs:
            read(source, views.get(source, frozenset()))
        if node.op.kind == "reshape":  # the same bytes under another name
            views[node.name] = views.get(node.inputs[0], frozenset()) | {node.inputs[0]}
            assert memory.placements[node.name].offset == memory.placements[node.inputs[0]].offset
            continue
        overlapping = {
            source
            for source in node.inputs
            if memory.placements[source].offset
            < memory.placements[node.name].offset + graph.tensors[node.name].bytes
            and memory.placements[node.name].offset
            < memory.placements[source].offset + graph.tensors[source].bytes
        }
        in_place = {node.inputs[index] for index in node.op.in_place()}
        assert overlapping <= in_place, "an output overlaps an input that its kernel cannot work in place on"
        for source in overlapping:
            assert memory.placements[source].offset == memory.placements[node.name].offset
        write(node.name)
        if node.name in memory.scratch:
            place = memory.scratch[node.name]
            for tensor in (*node.inputs, node.name):
                simultaneous = memory.placements[tensor]
                assert place.offset + place.size <= simultaneous.offset or (
                    simultaneous.offset + graph.tensors[tensor].bytes <= place.offset
                )
            arena[place.offset : place.offset + place.size] = f"scratch of {node.name}"
    for output in graph.outputs:
        read(output, views.get(output, frozenset()))


@settings(max_examples=300, deadline=None)
@given(graph=graphs(max_steps=10))
def test_no_tensor_is_overwritten_before_its_last_use(graph: Graph) -> None:
    for candidate in (graph, simplify(graph)):
        memory = plan(candidate)
        simulate(candidate, memory)
        assert memory.lower_bound <= memory.arena_bytes
        assert all(place.offset % ALIGNMENT == 0 for place in memory.placements.values())


@settings(max_examples=100, deadline=None)
@given(graph=graphs(max_steps=10), sizes=st.lists(st.integers(0, 200), min_size=1))
def test_scratch_memory_overlaps_no_living_tensor(graph: Graph, sizes: list[int]) -> None:
    scratch = {node.name: sizes[i % len(sizes)] for i, node in enumerate(graph.nodes)}
    memory = plan(graph, scratch)
    simulate(graph, memory)
    assert {name: place.size for name, place in memory.scratch.items()} == {
        name: size for name, size in scratch.items() if size
    }
    assert all(place.offset + place.size <= memory.arena_bytes for place in memory.scratch.values())
    assert all(place.offset % ALIGNMENT == 0 for place in memory.scratch.values())


def test_simulation_notices_an_overlap() -> None:
    """The check itself fails for a plan that lets two tensors share a byte."""
    nodes = [Node("a", Clamp(RELU), ("x",)), Node("b", Add(), ("x", "a"))]
    graph = Graph.build("g", {"x": TensorType((4,))}, nodes, ["b"])
    good = plan(graph)
    bad = MemoryPlan(
        good.arena_bytes, good.lower_bound, {**good.placements, "a": good.placements["x"]}, good.buffer, {}
    )
    simulate(graph, good)
    with pytest.raises(AssertionError):
        simulate(graph, bad)


def test_chain_of_elementwise_operations_needs_one_buffer() -> None:
    nodes = [Node(f"r{i}", Clamp(RELU), (f"r{i - 1}" if i else "x",)) for i in range(5)]
    memory = plan(Graph.build("g", {"x": TensorType((10,))}, nodes, ["r4"]))
    assert memory.arena_bytes == 40 == memory.lower_bound


def test_an_input_that_is_needed_later_is_not_taken_over() -> None:
    nodes = [Node("a", Clamp(RELU), ("x",)), Node("b", Add(), ("a", "x"))]
    memory = plan(Graph.build("g", {"x": TensorType((2,))}, nodes, ["b"]))
    assert memory.arena_bytes == 16
