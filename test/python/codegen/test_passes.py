"""Simplification: the same numbers from fewer operations, and nothing fused that must not be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from microai.codegen import reference
from microai.codegen.graph import Graph, Node, TensorType
from microai.codegen.ops.add import Add
from microai.codegen.ops.base import NONE, RELU, Activation, FloatOp, Shape
from microai.codegen.ops.batchnorm import BatchNorm
from microai.codegen.ops.conv import Conv, Window
from microai.codegen.ops.copy import Clamp, Concat, Pad, Reshape
from microai.codegen.ops.dense import Dense
from microai.codegen.ops.pool import AvgPool, MaxPool
from microai.codegen.ops.softmax import Softmax
from microai.codegen.passes import simplify

from .random_graphs import graphs, samples

RNG = np.random.default_rng(7)
RELU6 = Activation(0.0, 6.0)


def weights(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def conv(channels: int = 2, filters: int = 3, width: int = 3, activation: Activation = NONE) -> Conv:
    kernel = weights(filters, 1, width, channels)
    return Conv(kernel, weights(filters), Window((1, width)), activation=activation)


def norm(channels: int) -> BatchNorm:
    variance = RNG.uniform(0.1, 2, channels).astype(np.float32)
    return BatchNorm(weights(channels), weights(channels), weights(channels), variance, 1e-3)


def graph(
    nodes: Mapping[str, tuple[FloatOp, str]] | Sequence[Node], *outputs: str, shape: Shape = (8, 2)
) -> Graph:
    """A graph of input x; `nodes` maps names to operation and sources ("a b")."""
    if isinstance(nodes, Mapping):
        nodes = [Node(name, op, tuple(sources.split())) for name, (op, sources) in nodes.items()]
    return Graph.build("test", {"x": TensorType(shape)}, nodes, outputs)


def kinds(g: Graph) -> dict[str, str]:
    return {node.name: node.op.kind for node in g.nodes}


def assert_equal_outputs(before: Graph, after: Graph, seed: int = 0) -> None:
    x = samples(before, seed, 4)
    for a, b in zip(reference.outputs(before, x), reference.outputs(after, x), strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-5 * max(np.abs(a).max(), 1e-3))


def simplified(before: Graph, expected: Mapping[str, str], outputs: Sequence[str]) -> Graph:
    """Simplify; check kinds by name, the outputs' names and their values, and that nothing is left to do."""
    after = simplify(before)
    assert kinds(after) == expected
    assert after.outputs == tuple(outputs)
    assert_equal_outputs(before, after)
    assert simplify(after) is after
    return after


def test_batchnorm_is_folded_into_convolution() -> None:
    g = graph({"c": (conv(), "x"), "n": (norm(3), "c"), "p": (MaxPool(Window((1, 2))), "n")}, "p")
    simplified(g, {"c": "conv", "p": "pool_max"}, ["p"])


def test_batchnorm_is_folded_into_dense_and_the_output_keeps_its_name() -> None:
    g = graph({"d": (Dense(weights(3, 2), weights(3)), "x"), "n": (norm(3), "d")}, "n", shape=(2,))
    simplified(g, {"n": "dense"}, ["n"])


def test_batchnorm_is_folded_into_depthwise_convolution() -> None:
    depthwise = Conv(weights(4, 2, 2, 1), weights(4), Window((2, 2)), groups=2)
    g = graph({"c": (depthwise, "x"), "n": (norm(4), "c")}, "n", shape=(4, 4, 2))
    simplified(g, {"n": "conv"}, ["n"])


def test_convolution_batchnorm_and_relu_become_one() -> None:
    nodes = {
        "c": (conv(), "x"),
        "n": (norm(3), "c"),
        "r": (Clamp(RELU), "n"),
        "d": (conv(3, 1), "r"),
    }
    after = simplified(graph(nodes, "d"), {"c": "conv", "d": "conv"}, ["d"])
    assert after.nodes[0].op.activation == RELU  # type: ignore[attr-defined]


def test_batchnorm_after_an_activation_becomes_a_convolution() -> None:
    g = graph({"c": (conv(activation=RELU), "x"), "n": (norm(3), "c")}, "n")
    simplified(g, {"c": "conv", "n": "conv"}, ["n"])


def test_batchnorm_of_a_tensor_read_twice_becomes_a_convolution() -> None:
    g = graph({"c": (conv(), "x"), "n": (norm(3), "c"), "a": (Add(), "n c")}, "a")
    simplified(g, {"c": "conv", "n": "conv", "a": "add"}, ["a"])


def test_batchnorm_of_an_output_becomes_a_convolution() -> None:
    g = graph({"c": (conv(), "x"), "n": (norm(3), "c")}, "c", "n")
    simplified(g, {"c": "conv", "n": "conv"}, ["c", "n"])


@pytest.mark.parametrize("shape", [(2,), (8, 2), (3, 4, 2)])
def test_batchnorms_of_the_input_become_one_convolution(shape: Shape) -> None:
    g = graph({"n": (norm(2), "x"), "m": (norm(2), "n")}, "m", shape=shape)
    simplified(g, {"m": "conv"}, ["m"])


@pytest.mark.parametrize("clamp", [RELU, RELU6, Activation(-0.5, 0.25)])
@pytest.mark.parametrize(
    "op",
    [conv(), MaxPool(Window((1, 2), (1, 2))), AvgPool(Window((1, 2), (1, 1), (0, 0, 1, 0))), Clamp(RELU6)],
)
def test_clamp_is_fused(op: FloatOp, clamp: Activation) -> None:
    g = graph({"c": (op, "x"), "r": (Clamp(clamp), "c")}, "r")
    simplified(g, {"r": op.kind}, ["r"])


def test_relu_is_fused_into_add() -> None:
    g = graph({"a": (Add(), "x x"), "r": (Clamp(RELU), "a"), "c": (conv(), "r")}, "c")
    simplified(g, {"a": "add", "c": "conv"}, ["c"])


def test_relu_is_not_fused_when_another_layer_reads_its_input() -> None:
    g = graph({"c": (conv(), "x"), "r": (Clamp(RELU), "c"), "a": (Add(), "r c")}, "a")
    simplified(g, {"c": "conv", "r": "activation", "a": "add"}, ["a"])


def test_relu_is_not_fused_into_an_output() -> None:
    g = graph({"c": (conv(), "x"), "r": (Clamp(RELU), "c")}, "c", "r")
    simplified(g, {"c": "conv", "r": "activation"}, ["c", "r"])


def test_relu_of_the_input_stays() -> None:
    simplified(graph({"r": (Clamp(RELU), "x")}, "r"), {"r": "activation"}, ["r"])


def test_relu_read_by_two_layers_is_fused() -> None:
    g = graph({"c": (conv(), "x"), "r": (Clamp(RELU), "c"), "a": (Add(), "r r")}, "a")
    simplified(g, {"c": "conv", "a": "add"}, ["a"])


def test_padding_is_fused_into_all_convolutions_that_read_it() -> None:
    nodes = {"p": (Pad((0, 0, 2, 1)), "x"), "c": (conv(), "p"), "d": (conv(), "p"), "a": (Add(), "c d")}
    after = simplified(graph(nodes, "a"), {"c": "conv", "d": "conv", "a": "add"}, ["a"])
    for node in after.nodes[:2]:
        assert node.inputs == ("x",)
        assert node.op.window.padding == (0, 0, 2, 1)  # type: ignore[attr-defined]


def test_padding_adds_to_the_padding_of_the_convolution() -> None:
    op = Conv(weights(3, 2, 3, 2), weights(3), Window((2, 3), (2, 1), (1, 0, 0, 2)))
    g = graph(
        {"p": (Pad((0, 1, 2, 3)), "x"), "q": (Pad((1, 0, 0, 0)), "p"), "c": (op, "q")}, "c", shape=(4, 4, 2)
    )
    after = simplified(g, {"c": "conv"}, ["c"])
    assert after.nodes[0].op.window.padding == (2, 1, 2, 5)  # type: ignore[attr-defined]


@pytest.mark.parametrize("pool", [MaxPool, AvgPool])
def test_padding_is_not_fused_into_pooling(pool: type[MaxPool] | type[AvgPool]) -> None:
    g = graph({"p": (Pad((0, 0, 1, 1)), "x"), "m": (pool(Window((1, 3))), "p")}, "m")
    simplified(g, {"p": "pad", "m": g.nodes[1].op.kind}, ["m"])


def test_padding_read_by_another_layer_stays() -> None:
    nodes = {"p": (Pad((0, 0, 1, 1)), "x"), "c": (conv(filters=2, width=1), "p"), "a": (Add(), "p c")}
    simplified(graph(nodes, "a"), {"p": "pad", "c": "conv", "a": "add"}, ["a"])


def test_padding_that_is_an_output_stays() -> None:
    g = graph({"p": (Pad((0, 0, 1, 1)), "x"), "c": (conv(), "p")}, "p", "c")
    simplified(g, {"p": "pad", "c": "conv"}, ["p", "c"])


IDENTITIES: Mapping[str, FloatOp] = {
    "reshape": Reshape((8, 2)),
    "clamp": Clamp(NONE),
    "pad": Pad((0, 0, 0, 0)),
    "max": MaxPool(Window((1, 1))),
    "avg": AvgPool(Window((1, 1))),
    "concat": Concat(0),
}


@pytest.mark.parametrize("op", IDENTITIES.values(), ids=IDENTITIES)
def test_identities_are_dropped(op: FloatOp) -> None:
    nodes = {"i": (op, "x"), "c": (conv(filters=2, width=1), "i"), "j": (op, "c")}
    simplified(graph(nodes, "j"), {"j": "conv"}, ["j"])


@pytest.mark.parametrize(
    "op", [MaxPool(Window((1, 1), (1, 2))), MaxPool(Window((1, 1)), RELU), Reshape((4, 4))]
)
def test_what_resembles_an_identity_stays(op: FloatOp) -> None:
    simplified(graph({"c": (op, "x")}, "c"), {"c": op.kind}, ["c"])


def test_identity_between_two_outputs_stays() -> None:
    g = graph({"c": (conv(), "x"), "i": (Clamp(NONE), "c"), "j": (Reshape((8, 2)), "x")}, "c", "i", "j")
    simplified(g, {"c": "conv", "i": "activation", "j": "reshape"}, ["c", "i", "j"])


def test_identity_that_is_an_output_renames_its_source_for_every_reader() -> None:
    nodes = {"c": (conv(), "x"), "i": (Clamp(NONE), "c"), "d": (conv(3), "c")}
    after = simplified(graph(nodes, "i", "d"), {"i": "conv", "d": "conv"}, ["i", "d"])
    assert after.nodes[1].inputs == ("i",)


def test_reshapes_in_a_row_become_one() -> None:
    nodes = {"f": (Reshape((16,)), "x"), "r": (Reshape((4, 4)), "f"), "m": (MaxPool(Window((1, 2))), "r")}
    simplified(graph(nodes, "m"), {"f": "reshape", "m": "pool_max"}, ["m"])


def test_trailing_softmax_is_removed_on_request_only() -> None:
    nodes = {"d": (Dense(weights(3, 2), weights(3)), "x"), "s": (Softmax(), "d")}
    g = graph(nodes, "s", shape=(2,))
    assert simplify(g) is g
    after = simplify(g, remove_softmax=True)
    assert (kinds(after), after.outputs) == ({"d": "dense"}, ("d",))
    assert_equal_outputs(graph({"d": nodes["d"]}, "d", shape=(2,)), after)


def test_softmax_that_is_read_or_reads_the_input_stays() -> None:
    read = graph({"c": (conv(), "x"), "s": (Softmax(), "c"), "a": (Add(), "s c")}, "s", "a")
    assert simplify(read, remove_softmax=True) is read
    alone = graph({"s": (Softmax(), "x")}, "s")
    assert simplify(alone, remove_softmax=True) is alone


def test_passes_leave_their_input_alone() -> None:
    op = conv()
    g = graph({"p": (Pad((0, 0, 1, 1)), "x"), "c": (op, "p"), "n": (norm(3), "c")}, "n")
    kernel = op.kernel.copy()
    simplify(g)
    assert kinds(g) == {"p": "pad", "c": "conv", "n": "batchnorm"}
    assert g.nodes[1].op is op
    np.testing.assert_array_equal(op.kernel, kernel)


def test_long_chains_are_no_problem() -> None:
    nodes = [
        Node(f"r{i}", Clamp(Activation(0.0, 600.0 - i)), (f"r{i - 1}" if i else "x",)) for i in range(300)
    ]
    simplified(graph(nodes, "r299"), {"r299": "activation"}, ["r299"])


def without_activations(graph: Graph) -> Graph:
    """The graph with every fused activation as a node of its own: what `fuse_activation` undoes."""
    nodes: list[Node] = []
    for node in graph.nodes:
        activation = getattr(node.op, "activation", NONE)
        if activation and not isinstance(node.op, Clamp):
            linear = replace(node.op, activation=NONE)  # type: ignore[call-arg]
            nodes += [Node(f"{node.name} linear", linear, node.inputs)]
            nodes += [Node(node.name, Clamp(activation), (nodes[-1].name,))]
        else:
            nodes.append(node)
    return graph.rebuilt(nodes)


@settings(max_examples=150, deadline=None)
@given(graphs(), st.integers(0, 1000))
def test_random_graphs_keep_their_numbers_and_names(g: Graph, seed: int) -> None:
    for before in (g, without_activations(g)):
        after = simplify(before)
        assert after.outputs == before.outputs and after.inputs == before.inputs
        assert len(after.nodes) <= len(before.nodes)
        assert not any(isinstance(node.op, BatchNorm) for node in after.nodes)
        assert simplify(after) is after
        x = samples(before, seed, 2)
        for a, b in zip(reference.outputs(before, x), reference.outputs(after, x), strict=True):
            np.testing.assert_allclose(b, a, rtol=0, atol=1e-4 * max(np.abs(a).max(), 1e-2))
