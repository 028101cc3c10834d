"""Affine integers: the arithmetic against exact rationals, what the quantizer chooses, and what it refuses.

test_affine_tflite.py compares with TensorFlow Lite, test_generated_c.py the C with the reference.
"""

from __future__ import annotations

import ctypes
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from microai.codegen import affine_math
from microai.codegen.formats import Affine, Array, affine_for
from microai.codegen.graph import Graph, Node, TensorType
from microai.codegen.host import build_host
from microai.codegen.ops.add import Add
from microai.codegen.ops.base import NONE, RELU, Activation
from microai.codegen.ops.conv import Conv, Window
from microai.codegen.ops.copy import Clamp, Concat, Pad, Reshape
from microai.codegen.ops.dense import Dense
from microai.codegen.ops.pool import AvgPool, MaxPool
from microai.codegen.ops.softmax import Softmax
from microai.codegen.pipeline import compile_graph, scheme_for
from microai.codegen.quantize.affine import (
    AffineScheme,
    affine_weights,
    choose_formats,
    quantize,
    with_formats,
)
from microai.codegen.quantize.calibration import METHODS, Histogram, cut_anywhere
from microai.codegen.reference import outputs, stored, tensors
from microai.codegen.render import manifest, render
from microai.errors import UserError

from .random_graphs import graphs, samples

BOTH = pytest.mark.parametrize("bits", [8, 16])
INT32 = st.integers(-(2**31), 2**31 - 1)
MULTIPLIERS = st.integers(2**29, 2**31 - 1)


def half_up(x: Fraction) -> int:
    return math.floor(x + Fraction(1, 2))


def half_away(x: Fraction) -> int:
    return half_up(x) if x >= 0 else -half_up(-x)


@given(st.floats(1e-9, 1e8))
def test_multiplier_is_the_nearest(real: float) -> None:
    multiplier, shift = affine_math.quantize_multiplier(real)
    assert 2**30 <= multiplier < 2**31
    assert abs(Fraction(multiplier) * Fraction(2) ** (shift - 31) / Fraction(real) - 1) <= Fraction(1, 2**31)


@pytest.mark.parametrize("real", [0.0, 2.0**-33, 1e-30])
def test_multiplier_too_small_is_zero(real: float) -> None:
    assert affine_math.quantize_multiplier(real) == (0, 0)


@pytest.mark.parametrize("real", [-1.0, math.inf, math.nan, 2.0**32])
def test_multiplier_out_of_range(real: float) -> None:
    with pytest.raises(ValueError, match="a multiplier of"):
        affine_math.quantize_multiplier(real)


@settings(max_examples=500)
@given(INT32, MULTIPLIERS, st.integers(-31, 30))
def test_multiply_rounds_twice(x: int, multiplier: int, shift: int) -> None:
    first = min(max(x * 2 ** max(shift, 0), -(2**31)), 2**31 - 1)
    product = half_up(Fraction(first * multiplier, 2**31))
    expected = half_away(Fraction(product, 2 ** max(-shift, 0)))
    assert affine_math.multiply(np.array(x), multiplier, shift) == expected


@settings(max_examples=500)
@given(st.integers(1 - 2**47, 2**47 - 1), MULTIPLIERS, st.integers(-31, 7))
def test_wide_and_once_round_once(x: int, multiplier: int, shift: int) -> None:
    short = min((multiplier + 2**15) // 2**16, 2**15 - 1)
    wide = half_up(x * short * Fraction(2) ** (shift - 15))
    assert affine_math.multiply_wide(np.array(x), multiplier, shift) == wide
    once = half_up(x * multiplier * Fraction(2) ** (shift - 31))
    assert affine_math.multiply_once(np.array(x), multiplier, shift) == once


@settings(max_examples=300)
@given(INT32, MULTIPLIERS, st.integers(-31, 30))
def test_once_takes_all_shifts_of_32_bits(x: int, multiplier: int, shift: int) -> None:
    expected = half_up(x * multiplier * Fraction(2) ** (shift - 31))
    assert affine_math.multiply_once(np.array(x), multiplier, shift) == expected


@given(st.integers(-(2**20), 2**20), st.integers(1, 1000))
def test_average_rounds_halves_away(total: int, count: int) -> None:
    expected = half_away(Fraction(total, count))
    assert affine_math.pool_average(np.array(total), count, -(2**31), 2**31 - 1) == expected


@BOTH
def test_softmax_is_within_two_steps(bits: int) -> None:
    rng = np.random.default_rng(0)
    scale = float(np.float32(20 / 2**bits))
    x = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (300, 7))
    if bits == 8:
        y = (affine_math.softmax_a8(x, affine_math.softmax_scale(scale)) + 128) / 256
    else:
        y = affine_math.softmax_a16(x, affine_math.softmax_a16_multiplier(scale)) / 32768
    real = np.exp((x - x.max(axis=1, keepdims=True)) * scale)
    real /= real.sum(axis=1, keepdims=True)
    assert np.abs(y - real).max() <= {8: 1 / 256, 16: 16 / 32768}[bits]


@BOTH
@given(low=st.floats(-1e6, 1e6), high=st.floats(-1e6, 1e6))
def test_format_holds_the_range_and_zero(bits: int, low: float, high: float) -> None:
    low, high = min(low, high), max(low, high)
    fmt = affine_for(low, high, bits)
    assert fmt.dequantize(fmt.quantize(np.array(0.0))) == 0
    for real in (low, high):
        assert abs(float(fmt.dequantize(fmt.quantize(np.array(real)))) - real) <= 1.01 * fmt.scale
    assert bits == 8 or fmt.zero_point == 0


@pytest.mark.parametrize(
    "wrong", [(9, 1.0, 0), (8, 0.0, 0), (8, math.nan, 0), (8, 0.1, 0), (8, 1.0, 128), (16, 1.0, 1)]
)
def test_format_refuses(wrong: tuple[int, float, int]) -> None:
    with pytest.raises(ValueError, match=r"width|scale|zero point"):
        Affine(*wrong)


def test_saturation_and_halves_of_the_format() -> None:
    fmt = Affine(8, 0.5, 3)
    assert fmt.quantize(np.array([1e9, -1e9, 0.25, -0.25, 0.0])).tolist() == [127, -128, 4, 2, 3]


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def conv(filters: int, channels: int, activation: Activation = NONE, seed: int = 0) -> Conv:
    window = Window((1, 3), padding=(0, 0, 1, 1))
    return Conv(normal(filters, 1, 3, channels, seed=seed), normal(filters), window, 1, activation)


def branches() -> Graph:
    nodes = [
        Node("a", conv(4, 2, RELU), ("x",)),
        Node("b", conv(4, 2, seed=1), ("x",)),
        Node("pool_a", MaxPool(Window((1, 2), (1, 2))), ("a",)),
        Node("pool_b", AvgPool(Window((1, 2), (1, 2))), ("b",)),
        Node("both", Concat(1), ("pool_a", "pool_b")),
        Node("padded", Pad((0, 0, 1, 0)), ("both",)),
        Node("relu", Clamp(RELU), ("padded",)),
        Node("mean", AvgPool(Window((1, 5), (1, 5))), ("relu",)),
        Node("flat", Reshape((8,)), ("mean",)),
        Node("scores", Dense(normal(3, 8), normal(3)), ("flat",)),
        Node("probabilities", Softmax(), ("scores",)),
    ]
    return Graph.build("branches", {"x": TensorType((8, 2))}, nodes, ["probabilities"])


@BOTH
def test_operations_that_keep_the_format(bits: int) -> None:
    graph = branches()
    made = quantize(graph, [normal(20, 8, 2)], AffineScheme(bits))
    formats = {name: tensor.format for name, tensor in made.tensors.items()}
    joined = {formats[name] for name in ("a", "b", "pool_a", "pool_b", "both", "padded")}
    assert len(joined) == 1
    own = {formats[name] for name in ("x", "both", "mean", "scores", "probabilities")}
    assert len(own) == 5
    assert formats["relu"] == formats["both"] if bits == 16 else formats["relu"].zero_point == -128
    assert formats["flat"] == formats["mean"]
    assert formats["probabilities"] == (Affine(8, 1 / 256, -128) if bits == 8 else Affine(16, 1 / 32768))


def test_softmax_keeps_its_format_in_a_concatenation() -> None:
    nodes = [Node("p", Softmax(), ("x",)), Node("y", Concat(0), ("x", "p"))]
    graph = Graph.build("net", {"x": TensorType((4,))}, nodes, ["y"])
    x = 3 * normal(50, 4)
    for bits, steps in ((8, 1.0), (16, 20.0)):
        made = quantize(graph, [x], AffineScheme(bits))
        assert made.tensors["p"].format != made.tensors["y"].format == made.tensors["x"].format
        fmt = made.tensors["y"].format
        (y,) = outputs(made, stored(made, [x]))
        (real,) = outputs(graph, [x])
        assert np.abs(fmt.dequantize(y) - real).max() <= (0.5 + steps) * made.tensors["y"].format.scale


@BOTH
@settings(max_examples=30, deadline=None)
@given(graph=graphs(), seed=st.integers(0, 100))
def test_random_graphs_are_near_the_float_ones(bits: int, graph: Graph, seed: int) -> None:
    """On the calibration vectors, to a share of the largest range (a small one may follow it, clamped) that the
    errors of many layers can add up to.
    """
    x = samples(graph, seed, 8)
    made = quantize(graph, x, AffineScheme(bits))
    span = max(1e-3, *(float(np.abs(tensor).max()) for tensor in tensors(graph, x).values()))
    for name, y, real in zip(graph.outputs, outputs(made, stored(made, x)), outputs(graph, x), strict=True):
        error = np.abs(made.tensors[name].format.dequantize(y) - real)
        assert error.mean() <= {8: 0.1, 16: 0.03}[bits] * span


@BOTH
def test_weights_are_the_nearest_integers(bits: int) -> None:
    op = Dense(normal(5, 7), normal(5))
    source = Affine(bits, 0.0078125)
    made = affine_weights(op, source)
    assert made.kernel.dtype == np.int8 and np.abs(made.kernel).max(axis=1).tolist() == [127] * 5
    steps = made.scales.astype(np.float64)
    assert (np.abs(made.kernel * steps[:, None] - op.kernel) <= 0.5001 * steps[:, None]).all()
    assert (np.abs(made.bias * steps * source.scale - op.bias) <= 0.5001 * steps * source.scale).all()


def one_dense(kernel: Array, bias: Array) -> Graph:
    kernel, bias = np.asarray(kernel, np.float32), np.asarray(bias, np.float32)
    return Graph.build(
        "net", {"x": TensorType((kernel.shape[1],))}, [Node("y", Dense(kernel, bias), ("x",))], ["y"]
    )


@BOTH
def test_a_large_bias_makes_the_weights_coarser(bits: int) -> None:
    """A bias of 1e9 steps of the accumulator has to fit: the output, a constant, stays right."""
    graph = one_dense([[1e-9, -1e-9]], [50.0])
    x = normal(20, 2)
    made = quantize(graph, [x], AffineScheme(bits))
    (y,) = outputs(made, stored(made, [x]))
    np.testing.assert_allclose(made.tensors["y"].format.dequantize(y), 50.0, rtol=1e-2)


@BOTH
def test_degenerate_numbers_give_correct_results(bits: int) -> None:
    """All-zero weights, biases of zero, an input channel and a tensor that are always zero."""
    zero = one_dense(np.zeros((2, 3)), np.zeros(2))
    made = quantize(zero, [np.zeros((4, 3), np.float32)], AffineScheme(bits))
    (y,) = outputs(made, stored(made, [normal(4, 3)]))
    assert (made.tensors["y"].format.dequantize(y) == 0).all()
    x = normal(30, 3)
    x[:, 1] = 0
    some = one_dense([[0, 0, 0], [1, 5, -1]], [0.5, 0])
    made = quantize(some, [x], AffineScheme(bits))
    (y,), (real,) = outputs(made, stored(made, [x])), outputs(some, [x])
    fmt, source = made.tensors["y"].format, made.tensors["x"].format
    bound = fmt.scale + 0.5 * source.scale * 7 + 0.5 * 5 / 127 * np.abs(x).sum(axis=1).max()
    assert np.abs(fmt.dequantize(y) - real).max() <= bound
    assert np.abs(fmt.dequantize(y)[:, 0] - 0.5).max() <= fmt.scale


@BOTH
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("constant", [0.0, 0.7, -3.0])
def test_a_constant_channel(bits: int, method: str, constant: float) -> None:
    """One channel, then all of them, that never change: the scale of such a tensor is not 0."""
    x = normal(40, 8, 2)
    graph = Graph.build("net", {"x": TensorType((8, 2))}, [Node("y", conv(3, 2), ("x",))], ["y"])
    for channels in (slice(1), slice(None)):
        x[..., channels] = constant
        made = quantize(graph, [x], AffineScheme(bits, method))
        (y,), (real,) = outputs(made, stored(made, [x])), outputs(graph, [x])
        error = made.tensors["y"].format.dequantize(y) - real
        assert np.abs(error).mean() <= 0.03 * np.abs(real).max()


@pytest.mark.parametrize("method", ["percentile", "kl"])
def test_an_outlier_is_cut(method: str) -> None:
    """One value of 100 among many below 4: the range ends far below, and never inside the bulk."""
    x = normal(4000, 4)
    x[7, 2] = 100.0
    graph = one_dense(np.eye(4), np.zeros(4))
    plain, cut = (quantize(graph, [x], AffineScheme(8, name)) for name in ("minmax", method))
    wide, narrow = (made.tensors["x"].format for made in (plain, cut))
    assert isinstance(wide, Affine) and isinstance(narrow, Affine)
    top = narrow.scale * (narrow.high - narrow.zero_point)
    assert 2.5 < top < 20 and narrow.scale < wide.scale / 4


@pytest.mark.parametrize("method", ["mse", "kl"])
def test_an_even_range_is_not_cut(method: str) -> None:
    x = np.random.default_rng(0).uniform(-1, 2, (2000, 4)).astype(np.float32)
    graph = one_dense(np.eye(4), np.zeros(4))
    plain, other = (
        quantize(graph, [x], AffineScheme(8, name)).tensors["x"].format for name in ("minmax", method)
    )
    assert isinstance(plain, Affine) and isinstance(other, Affine)
    assert other.scale == pytest.approx(plain.scale, rel=0.04)


def test_mse_finds_the_least_error_of_all_cuts() -> None:
    """Against the errors of the values themselves, at every place where the range may end: many, and one of 20."""
    x = np.append(np.maximum(normal(20000), -0.5), np.float32(20))
    often = np.append(np.full(20000, 100), 1)
    many = Histogram.of(x[:-1], 5)
    histogram = Histogram(5, 100 * many.counts, 100 * many.zeros) + Histogram.of(x[-1:], 5)
    low, high = cut_anywhere(histogram, (-0.5, 20.0), "mse", 8, 100)

    def error(high: float) -> float:
        fmt = affine_for(low, high, 8)
        return float((often * (fmt.dequantize(fmt.quantize(x)) - x) ** 2).sum())

    assert low == -0.5 and 3 < high < 15
    assert error(high) <= 1.02 * min(error(20 * share / 64) for share in range(8, 65))


def test_sixteen_bits_are_not_cut_by_divergence() -> None:
    graph, x = one_dense(np.eye(4), np.zeros(4)), normal(2000, 4)
    assert (
        quantize(graph, [x], AffineScheme(16, "kl")).tensors == quantize(graph, [x], AffineScheme(16)).tensors
    )


def test_unknown_calibration_is_one_clear_line() -> None:
    with pytest.raises(UserError, match="'best' is unknown; choose from minmax, percentile, mse, kl"):
        AffineScheme(8, "best")
    with pytest.raises(UserError, match="a percentile of 0; choose one above 0"):
        AffineScheme(8, "percentile", 0)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_calibration_must_be_finite(value: float) -> None:
    with pytest.raises(UserError, match="NaN or infinite"):
        quantize(one_dense([[1.0]], [0.0]), [np.array([[value]], np.float32)], AffineScheme(8))


def test_an_output_too_fine_for_its_input_is_refused() -> None:
    graph = one_dense([[1e6, -1e6]], [0.0])
    x = np.tile(normal(20, 1), (1, 2))  # both weights cancel on the calibration data
    with pytest.raises(UserError, match=r"layer y: its output has steps of .* finer"):
        quantize(graph, [x], AffineScheme(16))


def test_an_addition_too_fine_for_its_inputs_is_refused() -> None:
    minus = Conv(-np.ones((1, 1, 1, 1), np.float32), np.zeros(1, np.float32), Window((1, 1)))
    nodes = [Node("m", minus, ("x",)), Node("y", Add(Activation(0.0, 1e-9)), ("x", "m"))]
    graph = Graph.build("net", {"x": TensorType((4, 1))}, nodes, ["y"])
    formats = choose_formats(graph, {"x": (-1.0, 1.0), "m": (-1.0, 1.0), "y": (0.0, 1e-9)}, 8)
    assert formats["y"].scale < formats["x"].scale / 2**20
    with pytest.raises(UserError, match="layer y: its inputs of scales"):
        with_formats(graph, formats)


def test_a_long_softmax_is_refused() -> None:
    graph = Graph.build("net", {"x": TensorType((512,))}, [Node("y", Softmax(), ("x",))], ["y"])
    x = normal(3, 512)
    with pytest.raises(UserError, match="512 elements, more than 511"):
        quantize(graph, [x], AffineScheme(8))
    quantize(graph, [x], AffineScheme(16))


def test_other_widths_are_refused() -> None:
    with pytest.raises(UserError, match="affine activations of 12 bits"):
        AffineScheme(12)
    with pytest.raises(UserError, match="affine8, affine16x8"):
        scheme_for("affine4")
    with pytest.raises(UserError, match="leave out --scale, --frac and --rounding"):
        scheme_for("affine8", "network", 4)


@BOTH
def test_what_the_generated_files_say_of_the_numbers(bits: int) -> None:
    graph = branches()
    scheme = scheme_for({8: "affine8", 16: "affine16x8"}[bits])
    program = compile_graph(graph, scheme, [normal(20, 8, 2)]).program
    header = render(program)["include/model.h"]
    fmt = program.inputs[0].type.format
    assert isinstance(fmt, Affine)
    assert f"#define MODEL_INPUT_SCALE {np.float32(fmt.scale)!s}f" in header
    zero = f"({fmt.zero_point})" if fmt.zero_point < 0 else f"{fmt.zero_point}"
    assert f"#define MODEL_INPUT_ZERO_POINT {zero}\n" in header
    assert "_FRAC" not in header
    (port,) = manifest(program)["inputs"]  # type: ignore[misc]
    assert (port["scale"], port["zero_point"], port["bits"]) == (fmt.scale, fmt.zero_point, bits)


@BOTH
def test_real_numbers_at_the_borders_of_the_c(bits: int, tmp_path: Path) -> None:
    """quantize_input and read_output of the generated C are the format's own conversions, saturating, NaN too."""
    graph = one_dense(normal(5, 40), normal(5))
    result = compile_graph(graph, AffineScheme(bits), [normal(20, 40)])
    source, target = (port.type.format for port in (*result.program.inputs, *result.program.outputs))
    assert isinstance(source, Affine)
    host = build_host(result.program, tmp_path / "m")
    arena = np.zeros(result.program.plan.arena_bytes, np.uint8)
    x = 2 * normal(40, seed=1)
    x[:6] = np.inf, -np.inf, np.nan, 1e30, 0.0, -0.0
    x[6:30] = (np.arange(24) - 12.5) * source.scale  # halves, most of them
    start = result.program.inputs[0].offset
    pointer = arena.ctypes.data_as(ctypes.c_void_p)
    host.library.model_quantize_input(x.ctypes.data_as(ctypes.c_void_p), pointer)
    assert arena[start:].view(source.dtype)[:40].tolist() == source.quantize(x).tolist()
    host.library.model_run(pointer)
    y = np.zeros(5, np.float32)
    host.library.model_read_output(pointer, y.ctypes.data_as(ctypes.c_void_p))
    (expected,) = outputs(result.quantized, [source.quantize(x)[np.newaxis]])
    assert y.tolist() == target.dequantize(expected[0]).tolist()
