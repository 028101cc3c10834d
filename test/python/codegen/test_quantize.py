"""Quantization beyond the paper: what each option is for, shown on a case made for it, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from microai.codegen import pipeline
from microai.codegen.choose import Optimize
from microai.codegen.formats import Fixed, FixedWeights, fixed_for
from microai.codegen.graph import Graph, Node, TensorType
from microai.codegen.ops.base import NONE, RELU, Activation
from microai.codegen.ops.conv import Conv, FixedConv, Window
from microai.codegen.ops.copy import Reshape
from microai.codegen.ops.dense import Dense
from microai.codegen.ops.pool import AvgPool, MaxPool
from microai.codegen.pipeline import Scheme, compile_graph
from microai.codegen.quantize.adaptive import DAMPING, rounded, second_moments
from microai.codegen.quantize.affine import AffineScheme
from microai.codegen.quantize.calibration import Histogram, cut, mean_square_error
from microai.codegen.quantize.equalization import equalize
from microai.codegen.quantize.fixed_point import FixedPoint, Widths, quantize
from microai.codegen.quantize.proof import never_negative
from microai.codegen.reference import outputs, stored, tensors
from microai.codegen.render import render
from microai.codegen.requant import Rounding
from microai.errors import UserError

from .random_graphs import graphs, samples

METHODS = ["percentile", "mse", "kl"]


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def chain(*ops: object, shape: tuple[int, ...] = (16, 4)) -> Graph:
    """Operations one after the other, named a, b, c, ..."""
    names = ["x", *"abcdefgh"[: len(ops)]]
    nodes = [Node(y, op, (x,)) for x, y, op in zip(names, names[1:], ops, strict=False)]  # type: ignore[arg-type]
    return Graph.build("chain", {"x": TensorType(shape)}, nodes, [names[-1]])


def conv(seed: int, filters: int, channels: int, taps: int = 3, activation: Activation = NONE) -> Conv:
    kernel = normal(seed, filters, 1, taps, channels) / np.float32(np.sqrt(taps * channels))
    return Conv(kernel, normal(seed + 1, filters) / 10, Window((1, taps)), 1, activation)


def sqnr(graph: Graph, scheme: FixedPoint, calibration: np.ndarray, x: np.ndarray) -> float:
    """Signal over quantization noise of the output, in dB."""
    q = quantize(graph, [calibration], scheme)
    (exact,), (found,) = outputs(graph, [x]), outputs(q, stored(q, [x]))
    noise = q.tensors[q.outputs[0]].format.dequantize(found) - exact
    return float(10 * np.log10((exact**2).mean() / (noise.astype(np.float64) ** 2).mean()))


# Formats


@given(st.integers(2, 16), st.integers(-4, 20))
def test_unsigned_formats_hold_twice_as_much(bits: int, frac: int) -> None:
    fmt = Fixed(bits, frac, unsigned=True)
    every = np.arange(fmt.low, fmt.high + 1).astype(fmt.dtype)
    real = fmt.dequantize(every)
    assert real[0] == 0 and real[-1] == (2**bits - 1) * fmt.step
    np.testing.assert_array_equal(fmt.quantize(real), every)
    assert fmt.quantize(np.array([-1e9, 0.0, 1e9])).tolist() == [fmt.low, fmt.zero, fmt.high]
    assert fixed_for(real[-1].item(), bits, unsigned=True) == fmt


def test_weights_with_a_scale_for_each_filter() -> None:
    weights = FixedWeights(8, (7, 5))
    stored_weights = weights.quantize(np.array([[0.5, -0.25], [0.5, -2.0]]))
    assert stored_weights.tolist() == [[64, -32], [16, -64]]
    assert weights.dequantize(stored_weights).tolist() == [[0.5, -0.25], [0.5, -2.0]]


# Scale per filter


def test_a_scale_for_each_filter_saves_small_filters() -> None:
    """Filters that differ by 2^8 in magnitude: with one scale the small ones are almost nothing."""
    wide = conv(1, 8, 4)
    factors = np.exp2(-np.arange(8)).astype(np.float32)
    first = replace(wide, kernel=wide.kernel * factors.reshape(-1, 1, 1, 1), bias=wide.bias * factors)
    second = Conv(np.eye(8, dtype=np.float32).reshape(8, 1, 1, 8), np.zeros(8, np.float32), Window((1, 1)))
    # The second layer brings every channel back to the same magnitude, so that each counts.
    second = replace(second, kernel=second.kernel / factors)
    graph, x = chain(first, second), normal(3, 64, 16, 4)
    scheme = FixedPoint(16, weight_bits=8)
    assert sqnr(graph, replace(scheme, scale="filter"), x, x) > sqnr(graph, scheme, x, x) + 15
    op = quantize(graph, [x], replace(scheme, scale="filter")).nodes[0].op
    assert isinstance(op, FixedConv) and len(set(op.requant.shifts)) >= 5
    for row, frac in zip(first.kernel, op.weights.fracs, strict=True):
        assert fixed_for(float(np.abs(row).max()), 8).frac == frac, "each filter has its own best format"


@settings(max_examples=30, deadline=None)
@given(graphs(), st.integers(0, 1000))
def test_the_bound_holds_in_every_layer_of_every_scheme(graph: Graph, seed: int) -> None:
    """Integer weights and the worst inputs, filter by filter, never pass the bound."""
    data = samples(graph, seed, 4)
    for scheme in (FixedPoint(8, "filter", unsigned=True), FixedPoint(16, "filter", weight_bits=8)):
        quantized = compile_graph(graph, scheme, data).quantized
        for node in quantized.nodes:
            if isinstance(node.op, FixedConv):
                low, high = node.op.source.low, node.op.source.high
                low = 0 if never_negative(quantized, node.inputs[0]) else low
                w = node.op.kernel.astype(np.int64).reshape(len(node.op.kernel), -1)
                for sign in (-1, 1):
                    worst = (w * np.where(sign * w > 0, high, low)).sum(axis=1) + node.op.bias
                    assert np.abs(worst).max() <= node.op.accumulator.bound


# Calibration


def test_a_histogram_counts_every_value_once() -> None:
    values = np.array([0.0, 0.0, -1.0, 0.999, 0.5, -0.25, 2.0**-40])
    histogram = Histogram.of(values, 0)
    assert histogram.zeros == 2 and histogram.counts.sum() == 5 and histogram.magnitudes.sum() == 5
    both = histogram + Histogram.of(values, 0)
    assert both.zeros == 4 and (both.counts == 2 * histogram.counts).all()


@pytest.mark.parametrize("bits", [4, 8, 9, 16])
@pytest.mark.parametrize("unsigned", [False, True])
def test_the_error_from_the_histogram_is_the_error_of_the_values(bits: int, unsigned: bool) -> None:
    values = normal(5, 100_000) * 3
    values = np.abs(values) if unsigned else values
    histogram = Histogram.of(values, 4)
    for maximum in (12.0, 6.0, 3.0):
        fmt = fixed_for(maximum, bits, unsigned)
        exact = ((values - fmt.dequantize(fmt.quantize(values))).astype(np.float64) ** 2).sum()
        assert mean_square_error(histogram, fmt) == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_an_outlier_is_cut_and_an_even_range_is_not(method: str) -> None:
    even = np.linspace(-0.99, 0.99, 100_001)
    assert fixed_for(cut(Histogram.of(even, 0), method, 8), 8) == fixed_for(0.99, 8)
    outlier = np.append(normal(7, 1_000_000), 60.0)
    assert fixed_for(cut(Histogram.of(outlier, 6), method, 8), 8).frac >= fixed_for(60.0, 8).frac + 2


@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 4, 8]))
@settings(max_examples=20, deadline=None)
def test_mse_finds_the_best_format(seed: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_t(3, 20_000)
    chosen = fixed_for(cut(Histogram.of(values, 8), "mse", bits), bits) if abs(values).max() < 256 else None
    if chosen is not None:

        def error(fmt: Fixed) -> float:
            return float(((values - fmt.dequantize(fmt.quantize(values))) ** 2).sum())

        assert error(chosen) <= 1.02 * min(error(Fixed(bits, frac)) for frac in range(-8, 12))


def test_percentile_keeps_what_it_says() -> None:
    values = np.linspace(0, 1, 10_001)[1:]
    assert cut(Histogram.of(values, 1), "percentile", 8, percentile=50.0) == pytest.approx(0.5, abs=1e-3)
    assert cut(Histogram.of(values, 1), "percentile", 8, percentile=100.0) == pytest.approx(1.0, abs=1e-3)


def test_sixteen_bits_need_no_divergence() -> None:
    """There are more levels than bins: nothing is lost by keeping all."""
    outlier = np.append(normal(7, 10_000), 60.0)
    assert fixed_for(cut(Histogram.of(outlier, 6), "kl", 16), 16) == fixed_for(60.0, 16)


@pytest.mark.parametrize("method", METHODS)
def test_calibration_methods_survive_rare_large_samples(method: str) -> None:
    """One odd sample in the calibration data costs min-max bits that the others never use."""
    graph = chain(conv(1, 8, 4, activation=RELU), conv(3, 8, 8))
    usual = normal(9, 400, 16, 4)
    odd = np.concatenate([usual, 30 * normal(10, 1, 1, 4) * (np.arange(16) == 5).reshape(1, 16, 1)])
    # Of so little data an odd element is more than one in ten thousand.
    scheme = FixedPoint(8, "filter", calibration=method, percentile=99.9)
    assert sqnr(graph, scheme, odd, usual) > sqnr(graph, FixedPoint(8, "filter"), odd, usual) + 4


@pytest.mark.parametrize("method", METHODS)
def test_a_tensor_of_zeros_has_a_range(method: str) -> None:
    graph = chain(
        replace(conv(1, 2, 4), kernel=np.zeros((2, 1, 3, 4), np.float32), bias=np.zeros(2, np.float32))
    )
    x = np.zeros((3, 16, 4), np.float32)
    q = quantize(graph, [x], FixedPoint(8, "filter", calibration=method))
    assert not outputs(q, stored(q, [x]))[0].any()


def test_mse_of_weights_saturates_a_lone_large_one() -> None:
    op = conv(1, 2, 64)
    kernel = op.kernel.copy()
    kernel[0, 0, 0, 0] = 1.01  # one bit more for all others, to hold it
    graph, x = chain(replace(op, kernel=kernel), shape=(16, 64)), normal(2, 32, 16, 64)
    for bits in (3, 4):
        both = [
            quantize(graph, [x], FixedPoint(8, "filter", weight_bits=bits, weight_calibration=method))
            .nodes[0]
            .op
            for method in ("minmax", "mse")
        ]
        errors = [((q.weights.dequantize(q.kernel) - kernel) ** 2).sum() for q in both]  # type: ignore[attr-defined]
        assert errors[1] < errors[0]


# Bias correction


@pytest.mark.parametrize("rounding", [Rounding.TRUNC, Rounding.NEAREST])
def test_bias_correction_takes_the_mean_error_out(rounding: Rounding) -> None:
    """Truncated weights shrink, which shifts outputs wherever inputs have a mean: a shift that accumulates."""
    graph = chain(conv(1, 8, 4, activation=RELU), conv(3, 8, 8, activation=RELU), conv(5, 8, 8))
    x = np.abs(normal(6, 256, 16, 4))
    plain = FixedPoint(8, weight_bits=4, weight_rounding=rounding)

    def mean_error(scheme: FixedPoint) -> float:
        q = quantize(graph, [x], scheme)
        (exact,), (found,) = outputs(graph, [x]), outputs(q, stored(q, [x]))
        error = q.tensors["c"].format.dequantize(found) - exact
        return float(np.abs(error.mean(axis=(0, 1))).mean())

    assert mean_error(replace(plain, bias_correction=True)) < mean_error(plain) / 4


def test_bias_correction_of_exact_weights_changes_nothing() -> None:
    op = Conv(np.full((1, 1, 1, 1), 0.5, np.float32), np.full(1, 0.25, np.float32), Window((1, 1)))
    graph, x = chain(op, shape=(4, 1)), np.full((2, 4, 1), 0.75, np.float32)
    first, second = (
        quantize(graph, [x], FixedPoint(8, bias_correction=on)).nodes[0].op for on in (False, True)
    )
    assert first.bias == second.bias  # type: ignore[attr-defined]


# Adaptive rounding


LAYERS = {
    "conv": Conv(normal(1, 4, 2, 3, 3), normal(2, 4), Window((2, 3), (1, 2), (1, 0, 2, 1), (2, 1))),
    "grouped": Conv(normal(1, 8, 3, 1, 2), normal(2, 8), Window((3, 1)), 2),
    "depthwise": Conv(normal(1, 6, 3, 3, 1), normal(2, 6), Window((3, 3), padding=(1, 1, 1, 1)), 3),
}


@pytest.mark.parametrize("name", [*LAYERS, "dense"])
@pytest.mark.parametrize("centred", [False, True])
def test_second_moments_give_the_error_of_the_sums(name: str, centred: bool) -> None:
    """The mean square of what a change of the weights changes, or of its deviation from its mean."""
    op = LAYERS.get(name, Dense(normal(1, 5, 7), normal(2, 5)))
    shape = {"dense": (7,), "grouped": (8, 9, 4)}.get(name, (8, 9, 3))
    x = normal(3, 40, *shape) + 1
    moments = second_moments(op, x, centred)
    change = normal(4, *op.kernel.shape).astype(np.float64)
    differences = replace(op, kernel=change, bias=0 * op.bias).run([x.astype(np.float64)])
    differences = differences.reshape(-1, len(op.bias))
    rows = change.reshape(len(moments), -1, moments.shape[-1])
    found = np.einsum("gfk,gkl,gfl->gf", rows, moments, rows).ravel()
    np.testing.assert_allclose(found, ((differences - centred * differences.mean(axis=0)) ** 2).mean(axis=0))


def test_inputs_that_have_nothing_in_common_leave_nothing_to_adapt() -> None:
    v = 3 * normal(1, 5, 20).astype(np.float64)
    assert np.array_equal(rounded(v, np.diag(np.arange(1.0, 21)), (-8, 7)), np.clip(np.floor(v + 0.5), -8, 7))


@pytest.mark.parametrize("seed", range(5))
def test_no_other_choice_of_one_weight_is_better(seed: int) -> None:
    mixed = normal(seed, 12, 12).astype(np.float64)
    moments, v = mixed @ mixed.T, 2 * normal(seed + 10, 6, 12).astype(np.float64)
    q = rounded(v, moments, (-4, 3))
    damped = moments + DAMPING * np.diag(moments).mean() * np.eye(12)

    def error(q: np.ndarray) -> np.ndarray:
        return np.einsum("fk,kl,fl->f", q - v, damped, q - v)

    assert q.min() >= -4 and q.max() <= 3 and np.array_equal(q, np.round(q))
    for k in range(12):
        for change in (-1, 1):
            other = q.copy()
            other[:, k] = np.clip(q[:, k] + change, -4, 3)
            assert (error(other) >= error(q) - 1e-9).all()
    assert error(q).sum() < error(np.clip(np.round(v), -4, 3)).sum() / 1.5


@pytest.mark.parametrize("bits", [3, 4])
@pytest.mark.parametrize("bias", [False, True])
def test_adaptive_rounding_keeps_the_output(bits: int, bias: bool) -> None:
    """Inputs with much in common, as neighbours in time have; other vectors than those of the calibration."""
    graph = chain(
        conv(1, 12, 4, activation=RELU),
        depthwise(3, 12, 1),
        MaxPool(Window((1, 2), (1, 2))),
        conv(5, 8, 12, activation=RELU),
        Reshape((32,)),
        Dense(normal(7, 5, 32) / 6, normal(8, 5)),
    )
    x = np.cumsum(normal(9, 400, 16, 4), axis=1) / 3
    nearest = FixedPoint(8, "filter", weight_bits=bits, bias_correction=bias)
    before = sqnr(graph, nearest, x[:300], x[300:])
    assert sqnr(graph, replace(nearest, adaptive=True), x[:300], x[300:]) > before + 1.5


@pytest.mark.parametrize("bits", [8, 2])
def test_adaptive_rounding_of_degenerate_layers(bits: int) -> None:
    """Weights of zero, inputs of zero or all alike, channels that are always equal."""
    scheme = FixedPoint(8, "filter", weight_bits=bits, adaptive=True)
    zero = chain(replace(conv(1, 3, 4), kernel=np.zeros((3, 1, 3, 4), np.float32)))
    for x in (normal(2, 8, 16, 4), np.zeros((8, 16, 4), np.float32), np.full((8, 16, 4), 0.7, np.float32)):
        q = quantize(zero, [x], scheme)
        assert not q.nodes[0].op.kernel.any()  # type: ignore[attr-defined]
        constant = quantize(chain(conv(1, 3, 4)), [x], scheme)
        assert np.isfinite(outputs(constant, stored(constant, [x]))[0]).all()
    twins = np.repeat(normal(2, 64, 16, 1), 4, axis=2)
    graph = chain(conv(1, 3, 4))
    assert sqnr(graph, scheme, twins, twins) > {8: 30, 2: 8}[bits]


# Equalization


def depthwise(seed: int, channels: int, spread: int) -> Conv:
    """Channels whose weights differ by up to ``2**spread`` in magnitude."""
    kernel = normal(seed, channels, 1, 3, 1) * np.exp2(-np.arange(channels) % spread).reshape(-1, 1, 1, 1)
    bias = np.zeros(channels, np.float32)
    return Conv(kernel.astype(np.float32), bias, Window((1, 3)), channels, RELU)


def test_equalization_saves_depthwise_layers_with_one_scale() -> None:
    """Small channels of a depthwise layer, large weights behind them: lost with one scale, kept when equalized."""
    first = depthwise(1, 8, 8)
    second = conv(2, 8, 8, 1)
    second = replace(second, kernel=second.kernel * np.exp2(np.arange(8)).astype(np.float32))
    graph, x = chain(first, second, shape=(16, 8)), normal(3, 64, 16, 8)
    assert sqnr(graph, FixedPoint(8, equalization=True), x, x) > sqnr(graph, FixedPoint(8), x, x) + 6


def test_equalization_through_pooling_and_flatten_to_dense() -> None:
    first = conv(1, 4, 4, activation=RELU)
    factors = np.exp2([-6.0, 0.0, 3.0, 6.0]).astype(np.float32)
    first = replace(first, kernel=first.kernel * factors.reshape(-1, 1, 1, 1))
    pools = MaxPool(Window((1, 2), (1, 2))), AvgPool(Window((1, 2), (1, 2)))
    dense = Dense(normal(2, 5, 12), normal(3, 5))
    graph = chain(first, *pools, Reshape((12,)), dense)
    equal = equalize(graph)
    x = normal(4, 8, 16, 4)
    np.testing.assert_array_equal(outputs(equal, [x])[0], outputs(graph, [x])[0])
    ranges = np.abs(equal.nodes[0].op.kernel).reshape(4, -1).max(axis=1)  # type: ignore[attr-defined]
    before = np.abs(first.kernel).reshape(4, -1).max(axis=1)
    assert ranges.max() / ranges.min() < 0.05 * before.max() / before.min()


@settings(max_examples=60, deadline=None)
@given(graphs(), st.integers(0, 1000))
def test_equalization_changes_no_bit_of_the_float_outputs(graph: Graph, seed: int) -> None:
    data = samples(graph, seed, 3)
    simplified = compile_graph(graph, None, []).simplified
    for before, after in zip(outputs(simplified, data), outputs(equalize(simplified), data), strict=True):
        np.testing.assert_array_equal(before, after)


# Widths


def test_widths_of_single_layers() -> None:
    graph = chain(
        conv(1, 8, 4, activation=RELU), conv(3, 8, 8), Reshape((96,)), Dense(normal(5, 3, 96), normal(6, 3))
    )
    layers = {"b": Widths(weights=3), "a": Widths(activations=6), "x": Widths(activations=5)}
    q = quantize(graph, [normal(7, 8, 16, 4)], FixedPoint(8, layers=layers))
    formats = {name: tensor.format for name, tensor in q.tensors.items()}
    assert [formats[name].bits for name in "xabcd"] == [5, 6, 8, 8, 8]  # type: ignore[union-attr]
    weights = [node.op.weights.bits for node in q.nodes if hasattr(node.op, "weights")]
    assert weights == [8, 3, 8]
    assert np.abs(q.nodes[1].op.kernel).max() <= 4  # type: ignore[attr-defined]


def test_nine_bits_cost_nine_bits_of_flash() -> None:
    graph = chain(conv(1, 8, 4), conv(3, 8, 8, 1))
    x = [normal(7, 8, 16, 4)]

    def kernels(scheme: FixedPoint, optimize: Optimize = "size") -> int:
        program = compile_graph(graph, scheme, x, optimize=optimize).program
        return sum(table.bytes for table in program.tables if "kernel" in table.name)

    def by_twos(bits: int) -> int:
        return sum(8 // 2 * 4 * -(-2 * weights * bits // 32) + 4 for weights in (12, 8))

    # Each of the 8 filters of 12 and of 8 weights starts at a byte.
    assert kernels(FixedPoint(9)) == 8 * (-(-12 * 9 // 8) + 9)
    assert kernels(FixedPoint(9, packed=False)) == 2 * 8 * (12 + 8)
    assert kernels(FixedPoint(8, weight_bits=2)) == 8 * (3 + 2)
    assert kernels(FixedPoint(16, weight_bits=8)) == 8 * (12 + 8)
    # By SIMD every two of them start at a word, and a word follows the last.
    assert kernels(FixedPoint(9), "speed") == by_twos(9)
    assert kernels(FixedPoint(8, weight_bits=2), "speed") == by_twos(2)
    assert kernels(FixedPoint(16, weight_bits=8), "speed") == by_twos(8)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"conv_9": Widths(4)}, "layer conv_9: chain has no such layer; its layers are: x, a, b, c"),
        ({"b": Widths(4)}, "layer b: has no weights; layers whose weights have a width: a, c"),
        ({"b": Widths(activations=4)}, "layer b: keeps the format of its input"),
        ({"a": Widths(17)}, "layer a: a width of 17 bits; choose from 2 to 16"),
        ({"a": Widths(activations=1)}, "layer a: a width of 1 bits"),
        ({"a": Widths(activations=9)}, "no kernel between the two"),
    ],
)
def test_widths_that_cannot_be_are_one_clear_line(layers: dict[str, Widths], message: str) -> None:
    graph = chain(conv(1, 8, 4), Reshape((112,)), Dense(normal(5, 3, 112), normal(6, 3)))
    with pytest.raises(UserError) as caught:
        quantize(graph, [normal(7, 8, 16, 4)], FixedPoint(8, layers=layers))
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bits": 1}, "a width of 1 bits"),
        ({"bits": 8, "weight_bits": 17}, "a width of 17 bits"),
        ({"bits": 8, "scale": "channel"}, "'channel' is unknown; choose from network, layer, filter"),
        ({"bits": 8, "calibration": "best"}, "choose from minmax, percentile, mse, kl"),
        ({"bits": 8, "weight_calibration": "kl"}, "choose from minmax, mse"),
        ({"bits": 8, "percentile": 0.0}, "a percentile of 0"),
        ({"bits": 8, "frac": 3}, 'set scale = "network"'),
        ({"bits": 8, "scale": "network", "weight_bits": 4}, "one format for all tensors"),
        ({"bits": 8, "adaptive": True, "weight_rounding": Rounding.TRUNC}, "with another rounding; choose"),
        ({"bits": 8, "unsigned": True, "rounding": Rounding.TRUNC}, "cannot be rounded toward zero"),
    ],
)
def test_schemes_that_cannot_be_are_one_clear_line(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        FixedPoint(**settings)  # type: ignore[arg-type]
    assert message in str(caught.value)


# Unsigned after ReLU


def test_unsigned_activations_gain_one_bit() -> None:
    graph = chain(conv(1, 8, 4, activation=RELU), MaxPool(Window((1, 2), (1, 2))), conv(3, 8, 8))
    grid = fixed_for(float(np.abs(normal(4, 64, 16, 4)).max()), 8)
    x = grid.dequantize(grid.quantize(normal(4, 64, 16, 4)))  # exact in 8 bits
    q = quantize(graph, [x], FixedPoint(8, unsigned=True))
    formats = {name: tensor.format for name, tensor in q.tensors.items()}
    signed = quantize(graph, [x], FixedPoint(8)).tensors["a"].format
    assert formats["a"] == formats["b"] == Fixed(8, signed.frac + 1, unsigned=True)  # type: ignore[union-attr]
    assert not formats["x"].unsigned and not formats["c"].unsigned  # type: ignore[union-attr]
    wide = FixedPoint(8, weight_bits=14)
    inner = [quantize(graph, [x], replace(wide, unsigned=on)) for on in (False, True)]
    exact = tensors(graph, [x])["b"]
    noise = [
        ((g.tensors["b"].format.dequantize(tensors(g, stored(g, [x]))["b"]) - exact) ** 2).mean()
        for g in inner
    ]
    assert noise[1] < noise[0] / 3


def test_the_manifest_says_what_stored_numbers_mean() -> None:
    graph = chain(conv(1, 8, 4, activation=RELU), conv(3, 8, 8))
    program = compile_graph(graph, FixedPoint(8, unsigned=True), [normal(4, 8, 16, 4)]).program
    first, second = json.loads(render(program)["manifest.json"])["layers"]
    fmt = program.graph.tensors["a"].format
    assert (first["bits"], first["frac"], first["zero_point"]) == (8, fmt.frac, -128)  # type: ignore[union-attr]
    assert second["bits"] == 8 and "zero_point" not in second


@settings(max_examples=40, deadline=None)
@given(graphs(), st.integers(0, 1000))
def test_outputs_are_never_unsigned_and_no_operation_gets_what_it_cannot_take(
    graph: Graph, seed: int
) -> None:
    q = compile_graph(graph, FixedPoint(8, unsigned=True), samples(graph, seed, 4)).quantized
    assert not any(q.tensors[name].format.unsigned for name in (*q.inputs, *q.outputs))  # type: ignore[union-attr]


# Bad input


def test_one_filter_of_zeros_beside_others() -> None:
    op = conv(1, 3, 4)
    kernel, bias = op.kernel.copy(), op.bias.copy()
    kernel[1], bias[1] = 0, 2.0**-30
    graph, x = chain(replace(op, kernel=kernel, bias=bias)), normal(2, 8, 16, 4)
    for scheme in (
        FixedPoint(8),
        FixedPoint(8, "filter"),
        FixedPoint(16, "filter", weight_calibration="mse"),
    ):
        q = quantize(graph, [x], scheme)
        fmt = q.tensors["a"].format
        error = fmt.dequantize(outputs(q, stored(q, [x]))[0]) - outputs(graph, [x])[0]
        assert np.abs(error[..., 1]).max() <= fmt.step and np.abs(error).max() < 0.2  # type: ignore[union-attr]


@pytest.mark.parametrize("method", ["minmax", *METHODS])
def test_a_constant_channel(method: str) -> None:
    x = normal(2, 8, 16, 4)
    x[..., 2] = 0.0
    graph = chain(conv(1, 3, 4))
    assert sqnr(graph, FixedPoint(8, "filter", calibration=method), x, x) > 25
    constant = np.full_like(x, 0.7)
    assert sqnr(graph, FixedPoint(8, "filter", calibration=method), constant, constant) > 25


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("method", ["minmax", "mse"])
def test_infinite_calibration_data(value: float, method: str) -> None:
    x = normal(2, 8, 16, 4)
    x[3, 2, 1] = value
    with pytest.raises(UserError, match="input x has NaN or infinite values"):
        quantize(chain(conv(1, 3, 4)), [x], FixedPoint(8, calibration=method))


@pytest.mark.parametrize(
    "scheme", [FixedPoint(8), FixedPoint(16, "network"), AffineScheme(8), AffineScheme(16)]
)
def test_sums_that_become_infinite(scheme: Scheme) -> None:
    """Finite weights and inputs; infinite weights are refused by the frontend."""
    op = conv(1, 3, 4)
    graph = chain(conv(5, 4, 4), replace(op, kernel=np.full_like(op.kernel, 3e38)))
    with pytest.raises(UserError, match="layer b: its output is NaN or infinite on the calibration data"):
        pipeline.quantize(graph, [np.full((8, 16, 4), 100.0, np.float32)], scheme)


@pytest.mark.parametrize(
    "scheme", [FixedPoint(8), FixedPoint(8, "filter", weight_bits=2), FixedPoint(16, "network")]
)
@pytest.mark.parametrize("value", [0.0, 0.3])
def test_all_zero_weights(scheme: FixedPoint, value: float) -> None:
    """The output is the bias, whatever comes in; a network of zeros is zero."""
    op = replace(conv(1, 3, 4), kernel=np.zeros((3, 1, 3, 4), np.float32), bias=np.full(3, value, np.float32))
    graph = chain(op)
    for x in (normal(2, 8, 16, 4), np.zeros((8, 16, 4), np.float32)):
        q = quantize(graph, [x], scheme)
        fmt = q.tensors["a"].format
        y = fmt.dequantize(outputs(q, stored(q, [x]))[0])
        assert np.abs(y - value).max() <= (fmt.step if value else 0)  # type: ignore[union-attr]


def test_outputs_that_no_shift_can_reach_are_refused() -> None:
    """Large products that cancel to almost nothing: more than 31 bits between accumulator and output."""
    kernel = np.zeros((1, 1, 1, 2), np.float32)
    kernel[..., 0], kernel[..., 1] = 2.0**20, -(2.0**20)
    op = Conv(kernel, np.full(1, 2.0**-20, np.float32), Window((1, 1)))
    with pytest.raises(UserError, match="layer a: its outputs are too small"):
        quantize(chain(op, shape=(1, 2)), [np.ones((4, 1, 2), np.float32)], FixedPoint(8))
