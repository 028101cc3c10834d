"""The numpy execution of graphs: batches, storage types, what is kept, and inputs that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from microai.codegen import reference
from microai.codegen.formats import Fixed, Format
from microai.codegen.graph import Graph, Node, TensorType
from microai.codegen.ops.add import Add
from microai.codegen.ops.base import RELU, FixedFormats
from microai.codegen.ops.conv import Conv, Window
from microai.codegen.ops.copy import Clamp, FixedReshape
from microai.codegen.requant import Rounding
from microai.errors import UserError

from .random_graphs import graphs, samples

X = TensorType((5, 2))


def float_graph() -> Graph:
    kernel = np.random.default_rng(3).normal(size=(2, 1, 3, 2)).astype(np.float32)
    nodes = [
        Node("c", Conv(kernel, np.ones(2, np.float32), Window((1, 3), padding=(0, 0, 1, 1))), ("x",)),
        Node("r", Clamp(RELU), ("c",)),
        Node("a", Add(), ("r", "y")),
    ]
    return Graph.build("net", {"x": X, "y": X}, nodes, ["a", "c"])


def fixed_graph(source: Fixed, result: Fixed) -> Graph:
    """One ReLU with a change of format."""
    formats = FixedFormats((source,), result, None, Rounding.NEAREST, Rounding.NEAREST)
    op = Clamp(RELU).to_fixed(formats, [(3,)])
    return Graph.build("net", {"x": TensorType((3,), source)}, [Node("r", op, ("x",))], ["r"], {"r": result})


def test_outputs_and_tensors_agree_with_the_formula() -> None:
    g = float_graph()
    x, y = samples(g, 0, 7)
    padded = np.pad(x, ((0, 0), (1, 1), (0, 0)))
    kernel = g.nodes[0].op.kernel  # type: ignore[attr-defined]
    c = 1 + sum(padded[:, k : k + 5] @ kernel[:, 0, k].T for k in range(3))
    values = reference.tensors(g, [x, y])
    assert list(values) == ["x", "y", "c", "r", "a"]
    np.testing.assert_allclose(values["c"], c, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(values["r"], np.maximum(values["c"], 0))
    np.testing.assert_array_equal(values["a"], values["r"] + y)
    a, c_out = reference.outputs(g, [x, y])
    np.testing.assert_array_equal(a, values["a"])
    np.testing.assert_array_equal(c_out, values["c"])


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 100])
def test_batches_join_to_the_whole(batch: int) -> None:
    g = float_graph()
    x = samples(g, 0, 7)
    sizes = [len(part["a"]) for part in reference.execute(g, x, ["a"], batch)]
    assert sum(sizes) == 7 and max(sizes) == min(batch, 7)
    for part, whole in zip(reference.outputs(g, x, batch), reference.outputs(g, x), strict=True):
        np.testing.assert_allclose(part, whole, rtol=1e-6, atol=1e-6)


def test_only_what_is_kept_is_yielded() -> None:
    g = float_graph()
    (part,) = reference.execute(g, samples(g, 0, 4), ["y", "r"])
    assert list(part) == ["y", "r"]


def test_no_samples_make_empty_outputs() -> None:
    g = float_graph()
    assert [y.shape for y in reference.outputs(g, samples(g, 0, 0))] == [(0, 5, 2), (0, 5, 2)]


def test_an_output_may_be_an_input() -> None:
    g = Graph.build("net", {"x": X}, [Node("r", Clamp(RELU), ("x",))], ["x", "r"])
    (x,) = samples(g, 0, 3)
    np.testing.assert_array_equal(reference.outputs(g, [x])[0], x)


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.int8), (9, np.int16), (16, np.int16)])
def test_integers_are_stored_in_the_type_of_their_format(bits: int, dtype: type) -> None:
    g = fixed_graph(Fixed(bits, 4), Fixed(bits, 3))
    (y,) = reference.outputs(g, [np.array([[-5, 5, 7]], np.int64)])
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, [[0, 3, 4]])  # halves round up


def test_stored_quantizes_and_saturates() -> None:
    g = fixed_graph(Fixed(8, 4), Fixed(8, 4))
    (q,) = reference.stored(g, [np.array([[0.5, 100.0, -100.0]])])
    np.testing.assert_array_equal(q, [[8, 127, -128]])
    assert q.dtype == np.int8


def test_a_result_outside_its_format_is_a_bug_that_shows() -> None:
    """An operation that makes integers which its tensor's format cannot hold never goes unnoticed."""
    formats: dict[str, Format] = {"r": Fixed(4, 0)}
    nodes = [Node("r", FixedReshape((3,)), ("x",))]
    g = Graph.build("net", {"x": TensorType((3,), Fixed(8, 0))}, nodes, ["r"], formats)
    with pytest.raises(AssertionError, match=r"r: 0\.\.100 is outside"):
        reference.outputs(g, [np.array([[1, 2, 100]])])


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(4, 5, 3), (4, 5, 2)], "input x has shape (4, 5, 3) and the model expects (N, 5, 2)"),
        ([(4, 5, 2), (5, 2)], "input y has shape (5, 2) and the model expects (N, 5, 2)"),
        ([(), (4, 5, 2)], "input x has shape ()"),
        ([(4, 5, 2), (3, 5, 2)], "input y has 3 samples and input x has 4"),
        ([(4, 5, 2)], "there are 1 arrays and the model has 2 inputs"),
    ],
)
def test_wrong_shapes_are_one_clear_line(shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(UserError) as error:
        reference.outputs(float_graph(), [np.zeros(shape, np.float32) for shape in shapes])
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("x", "message"),
    [(np.zeros((1, 3)), "is float64"), (np.full((1, 3), 128), "from 128 to 128, outside -128..127")],
)
def test_integer_graphs_take_stored_integers_only(x: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        reference.outputs(fixed_graph(Fixed(8, 4), Fixed(8, 4)), [x])


@settings(max_examples=50, deadline=None)
@given(graphs(), st.integers(0, 1000), st.integers(1, 4))
def test_random_graphs_give_the_same_in_batches(g: Graph, seed: int, batch: int) -> None:
    x = samples(g, seed, 5)
    values = reference.tensors(g, x)
    assert all(values[name].shape == (5, *tensor.shape) for name, tensor in g.tensors.items())
    assert all(value.dtype == np.float32 for value in values.values())
    for name, y in zip(g.outputs, reference.outputs(g, x, batch), strict=True):
        scale = max(np.abs(y).max(), 1e-3)
        np.testing.assert_allclose(y, values[name], rtol=0, atol=1e-5 * scale)
