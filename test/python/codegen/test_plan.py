"""The memory plan against a simulation that knows nothing of how it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from microai.codegen.graph import Graph, Node, TensorType
from microai.codegen.ops.add import Add
from microai.codegen.ops.base import RELU
from microai.codegen.ops.copy import Clamp
from microai.codegen.passes import simplify
from microai.codegen.plan import ALIGNMENT, Goal, MemoryPlan, Option, Stream, Work, arrange, plan

from .random_graphs import chains, graphs


def simulate(graph: Graph, memory: MemoryPlan, options: Mapping[str, Sequence[Option]] = {}) -> None:
    """Execute with bytes that remember which byte of which tensor they are; whoever reads must find its own."""
    arena = np.full(memory.arena_bytes, None, dtype=object)
    root = {name: name for name in graph.tensors}

    def write(tensor: str, start: int, begin: int, end: int) -> None:
        """Bytes `begin` to `end` of a tensor, to `start` in the arena."""
        assert 0 <= start <= start + end - begin <= memory.arena_bytes
        arena[start : start + end - begin] = [(root[tensor], byte) for byte in range(begin, end)]

    def read(tensor: str, start: int, begin: int, end: int) -> None:
        assert list(arena[start : start + end - begin]) == [(root[tensor], b) for b in range(begin, end)]

    def call(
        node: Node, sources: list[tuple[int, int, int]], output: tuple[int, int, int], ahead: bool = False
    ) -> None:
        """A kernel that reads and writes these (start in the arena, first and last byte of the tensor).

        ahead: it reads everything before it writes anything.
        """
        start, begin, end = output
        for index, (source, part) in enumerate(zip(node.inputs, sources, strict=True)):
            read(source, *part)
            if part[0] < start + end - begin and start < part[0] + part[2] - part[1]:
                in_place = index in node.op.in_place() and node.inputs.count(source) == 1
                assert ahead or (in_place and part[0] == start), f"{node.name} overlaps {source}"
        if node.name in memory.scratch:
            place = memory.scratch[node.name]
            for first, low, high in (*sources, output):
                assert place.offset + place.size <= first or first + high - low <= place.offset
            arena[place.offset : place.offset + place.size] = "scratch"
        write(node.name, start, begin, end)

    def whole(tensor: str) -> tuple[int, int, int]:
        return memory.placements[tensor].offset, 0, graph.tensors[tensor].bytes

    def stream(chain: Stream) -> None:
        for turn, step in enumerate(chain.schedule.steps):

            def part(tensor: str, rows: tuple[int, int], turn: int = turn) -> tuple[int, int, int]:
                home, at = chain.address(turn, tensor, rows[0])
                size = graph.tensors[tensor].bytes // graph.tensors[tensor].shape[0]
                return memory.placements[home].offset + at, rows[0] * size, rows[1] * size

            for tensor in step.moves:
                to, source, count = chain.move(turn, tensor)
                rows = memory.placements[tensor].offset
                arena[rows + to : rows + to + count] = arena[rows + source : rows + source + count].copy()
            for name, strip in step.strips.items():
                sources = [part(s, r) for s, r in zip(strip.node.inputs, strip.sources, strict=True)]
                if name in chain.schedule.accumulated and strip.sources[0][0]:
                    result = part(name, (0, 1))
                    read(name, *result)
                    assert result[0] + result[2] == sources[0][0], (
                        "a running maximum lies in front of the rows"
                    )
                ahead = 0
                if name in chain.onto:
                    ahead = options[name][memory.picks[name]].work.ahead
                    assert strip.rows[1] - strip.rows[0] <= ahead
                call(strip.node, sources, part(name, strip.rows), ahead > 0)

    for name in graph.inputs:
        write(name, *whole(name))
    assert sorted(node.name for node in memory.nodes) == sorted(node.name for node in graph.nodes)
    for block in memory.blocks:
        if isinstance(block, Stream):
            stream(block)
        elif block.op.kind == "reshape":  # the same bytes under another name
            root[block.name] = root[block.inputs[0]]
            assert whole(block.name) == whole(block.inputs[0])
        else:
            call(block, [whole(source) for source in block.inputs], whole(block.name))
    for output in graph.outputs:
        read(output, *whole(output))


@settings(max_examples=100, deadline=None)
@given(graph=graphs(max_steps=10))
def test_no_tensor_is_overwritten_before_its_last_use(graph: Graph) -> None:
    for candidate in (graph, simplify(graph)):
        for memory in (plan(candidate), *(arrange(candidate, {}, goal) for goal in get_args(Goal))):
            simulate(candidate, memory)
            assert memory.lower_bound <= memory.arena_bytes
            assert all(place.offset % ALIGNMENT == 0 for place in memory.placements.values())


@settings(max_examples=100, deadline=None)
@given(
    graph=chains(),
    kernels=st.lists(
        st.lists(
            st.builds(
                Option,
                st.integers(0, 100),
                st.integers(0, 10**4),
                st.builds(Work, st.integers(1, 5), ahead=st.sampled_from([0, 0, 2, 8, 100])),
            ),
            min_size=1,
            max_size=3,
        ),
        min_size=1,
    ),
    goal=st.sampled_from(get_args(Goal)),
    limit=st.sampled_from([0, 0, 200, 400, 600, 10**6]),
)
def test_chains_by_rows_read_what_was_written(
    graph: Graph, kernels: list[list[Option]], goal: Goal, limit: int
) -> None:
    graph = simplify(graph)
    options = {node.name: kernels[i % len(kernels)] for i, node in enumerate(graph.nodes)}
    memory = arrange(graph, options, goal, limit)
    simulate(graph, memory, options)
    assert {name: place.size for name, place in memory.scratch.items()} == {
        name: options[name][number].scratch
        for name, number in memory.picks.items()
        if options[name][number].scratch
    }
    least = arrange(graph, options, "least")
    assert least.arena_bytes <= memory.arena_bytes
    assert memory.arena_bytes <= limit or not limit or least.arena_bytes > limit


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
    bad = replace(good, placements={**good.placements, "a": good.placements["x"]})
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
