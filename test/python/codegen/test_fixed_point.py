"""Formats and post-training quantization: the formulas of Novac et al. 2021, section 4, and what must be refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from microai.codegen.formats import Fixed, fixed_for, integer_bits
from microai.codegen.graph import Graph, Node, TensorType
from microai.codegen.ops.add import Add
from microai.codegen.ops.conv import Conv, FixedConv, Window
from microai.codegen.ops.pool import MaxPool
from microai.codegen.quantize.fixed_point import FixedPoint, quantize
from microai.codegen.reference import outputs, stored
from microai.codegen.requant import Rounding
from microai.errors import UserError


def conv(kernel: float, bias: float = 0.0) -> Conv:
    return Conv(np.full((1, 1, 1, 1), kernel, np.float32), np.full(1, bias, np.float32), Window((1, 1)))


def one_layer(op: Conv) -> Graph:
    return Graph.build("one", {"x": TensorType((1, 1))}, [Node("y", op, ("x",))], ["y"])


def samples(*values: float) -> list[np.ndarray]:
    return [np.array(values, np.float32).reshape(-1, 1, 1)]


@given(st.floats(min_value=2.0**-40, max_value=2.0**40))
def test_integer_bits_is_the_formula_of_the_paper(maximum: float) -> None:
    m = integer_bits(maximum)
    assert m == 1 + math.floor(math.log2(maximum)) or math.isclose(maximum, 2.0 ** round(math.log2(maximum)))
    assert 2.0 ** (m - 1) <= maximum < 2.0**m


@pytest.mark.parametrize(
    ("maximum", "bits", "frac", "why"),
    [
        (50.0, 16, 9, "Q7.9 holds 50"),
        (1.0, 8, 6, "1.0 needs one integer bit"),
        (0.99, 8, 7, "below 1 none"),
        (0.2, 8, 9, "m = -2: two unused leading fraction bits become precision"),
        (1000.0, 8, -3, "n negative: steps of 8"),
        (0.0, 8, 7, "all zero"),
    ],
)
def test_format_for_a_maximum(maximum: float, bits: int, frac: int, why: str) -> None:
    assert fixed_for(maximum, bits) == Fixed(bits, frac), why


def test_range_and_resolution() -> None:
    """Q7.9: [-64, 64 - 2^-9] in steps of 2^-9."""
    q = Fixed(16, 9)
    ends = q.dequantize(np.array([q.low, q.high]))
    assert ends.tolist() == [-64.0, 64.0 - 2.0**-9]
    assert q.step == 2.0**-9 and str(q) == "Q7.9" and q.suffix == "q16"
    assert (Fixed(9, 3).suffix, Fixed(8, 3).suffix, Fixed(2, 0).low) == ("q16", "q8", -2)
    for bits in (1, 17):
        with pytest.raises(ValueError, match="2 to 16"):
            Fixed(bits, 0)


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [
        (Rounding.TRUNC, [-1, -1, 0, 0, 0, 1, 1]),
        (Rounding.FLOOR, [-2, -2, -1, 0, 0, 1, 1]),
        (Rounding.NEAREST, [-2, -1, 0, 0, 1, 2, 2]),
    ],
)
def test_rounding_modes_differ_for_negative_values(rounding: Rounding, expected: list[int]) -> None:
    values = np.array([-1.75, -1.5, -0.5, 0.25, 0.5, 1.5, 1.75])
    assert Fixed(8, 0).quantize(values, rounding).tolist() == expected


def test_conversion_saturates() -> None:
    assert Fixed(8, 4).quantize(np.array([-1e9, 1e9, np.inf, -np.inf])).tolist() == [-128, 127, 127, -128]


def test_network_scale_gives_every_tensor_one_format() -> None:
    graph = Graph.build(
        "net",
        {"x": TensorType((4, 1))},
        [Node("a", conv(0.5), ("x",)), Node("p", MaxPool(Window((1, 2), (1, 2))), ("a",))],
        ["p"],
    )
    x = [np.ones((2, 4, 1), np.float32)]
    forced = quantize(graph, x, FixedPoint(16, "network", 9))
    assert {t.format for t in forced.tensors.values()} == {Fixed(16, 9)}
    found = quantize(graph, x, FixedPoint(16, "network"))
    assert {t.format for t in found.tensors.values()} == {Fixed(16, 14)}, "from the largest value of all, 1.0"


def test_layer_scale_follows_each_range_and_pooling_keeps_its_input() -> None:
    graph = Graph.build(
        "net",
        {"x": TensorType((4, 1))},
        [Node("a", conv(0.1), ("x",)), Node("p", MaxPool(Window((1, 2), (1, 2))), ("a",))],
        ["p"],
    )
    q = quantize(graph, [np.full((2, 4, 1), 3.0, np.float32)], FixedPoint(8))
    assert q.tensors["x"].format == Fixed(8, 5)
    assert q.tensors["a"].format == Fixed(8, 8)
    assert q.tensors["p"].format == q.tensors["a"].format


@pytest.mark.parametrize("scale", [2.0**-30, 2.0**-12, 1.0, 2.0**10, 2.0**25])
@pytest.mark.parametrize("bits", [8, 16])
def test_any_magnitude_keeps_its_precision(scale: float, bits: int) -> None:
    """Negative m and negative n on inputs, weights and outputs: the error stays a few steps of the output."""
    values = np.linspace(-1, 1, 41) * scale
    graph = one_layer(conv(0.7, 0.1 * scale))
    q = quantize(graph, samples(*values), FixedPoint(bits))
    (exact,) = outputs(graph, samples(*values))
    (found,) = outputs(q, stored(q, samples(*values)))
    fmt = q.tensors["y"].format
    assert isinstance(fmt, Fixed)
    assert np.abs(fmt.dequantize(found) - exact).max() <= 2.5 * fmt.step


def test_a_large_bias_widens_the_accumulator() -> None:
    q = quantize(one_layer(conv(2.0**-20, 100.0)), samples(-1.0, 1.0), FixedPoint(16))
    op = q.nodes[0].op
    assert isinstance(op, FixedConv) and op.accumulator.bits == 64 and op.bias.dtype == np.int64
    (y,) = outputs(q, stored(q, samples(1.0)))
    fmt = q.tensors["y"].format
    assert isinstance(fmt, Fixed) and abs(fmt.dequantize(y).item() - 100.0) <= fmt.step


@given(st.integers(0, 2**32 - 1), st.sampled_from([4, 8, 9, 16]))
def test_the_bound_holds_for_extreme_inputs(seed: int, bits: int) -> None:
    """No accumulator of any filter exceeds the stamped bound, for the input that is worst for that filter."""
    rng = np.random.default_rng(seed)
    kernel, bias = rng.normal(size=(3, 1, 2, 2)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    op = Conv(kernel, bias, Window((1, 2)))
    graph = Graph.build("g", {"x": TensorType((2, 2))}, [Node("y", op, ("x",))], ["y"])
    q = quantize(graph, [rng.normal(size=(4, 2, 2)).astype(np.float32)], FixedPoint(bits))
    fixed, fmt = q.nodes[0].op, q.tensors["x"].format
    assert isinstance(fixed, FixedConv) and isinstance(fmt, Fixed)
    for weights, b in zip(fixed.kernel.astype(np.int64), fixed.bias.astype(np.int64), strict=True):
        for sign in (-1, 1):
            worst = np.where(sign * weights > 0, fmt.high, fmt.low)
            assert abs(int((weights * worst).sum() + b)) <= fixed.accumulator.bound


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        ([np.zeros((3, 2, 1), np.float32)], r"shape \(3, 2, 1\) and the model expects \(N, 1, 1\)"),
        ([np.zeros((0, 1, 1), np.float32)], "no sample"),
        ([np.full((1, 1, 1), np.nan, np.float32)], "NaN"),
        ([], "0 arrays"),
    ],
)
def test_bad_calibration_data_is_one_clear_line(calibration: list[np.ndarray], message: str) -> None:
    with pytest.raises(UserError, match=message):
        quantize(one_layer(conv(1.0)), calibration, FixedPoint(8))


def test_all_zero_data_and_weights_are_fine() -> None:
    q = quantize(one_layer(conv(0.0)), samples(0.0, 0.0), FixedPoint(8))
    assert outputs(q, stored(q, samples(1.0)))[0].item() == 0


def test_operands_of_an_addition_that_are_too_far_apart_are_refused() -> None:
    graph = Graph.build(
        "far",
        {"a": TensorType((1,)), "b": TensorType((1,))},
        [Node("y", Add(), ("a", "b"))],
        ["y"],
    )
    data = [np.full((1, 1), 2.0**30, np.float32), np.full((1, 1), 2.0**-30, np.float32)]
    with pytest.raises(UserError, match="too far apart"):
        quantize(graph, data, FixedPoint(8))
