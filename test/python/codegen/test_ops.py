"""Each operation against its formula, written as loops over Python numbers: in floats and in exact integers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from microai.codegen.formats import Fixed, FixedWeights, Format, fixed_for, integer_bits
from microai.codegen.graph import Graph, Node, TensorType
from microai.codegen.ops.add import Add
from microai.codegen.ops.base import NONE, RELU, Accumulator, Activation, FixedFormats, FloatOp, hwc
from microai.codegen.ops.batchnorm import BatchNorm
from microai.codegen.ops.conv import Conv, Window, bound_of
from microai.codegen.ops.copy import Clamp, Concat, Pad, Reshape
from microai.codegen.ops.dense import Dense
from microai.codegen.ops.pool import AvgPool, MaxPool
from microai.codegen.ops.softmax import Softmax
from microai.codegen.requant import Rounding
from microai.errors import UserError

from .random_graphs import graphs, samples

ROUNDINGS = st.sampled_from(list(Rounding))


def rounded(value: Fraction, rounding: Rounding) -> int:
    """A rational rounded to an integer, from the definitions."""
    if rounding is Rounding.TRUNC:
        return math.trunc(value)
    return math.floor(value + Fraction(1, 2) if rounding is Rounding.NEAREST else value)


def power(exponent: int) -> Fraction:
    return Fraction(2) ** exponent


def requantized(value: Fraction, activation: Activation, output: Fixed, rounding: Rounding) -> int:
    """A real value in the output's format: rounded once, then clamped to the activation and the format."""
    q = rounded(value * power(output.frac), rounding)
    for bound, clip in ((activation.low, max), (activation.high, min)):
        if bound is not None:
            q = clip(q, rounded(Fraction(bound) * power(output.frac), Rounding.NEAREST))
    return min(max(q + output.zero, output.low), output.high)


def taps(window: Window, shape: tuple[int, ...], oh: int, ow: int) -> Iterator[tuple[int, int, int, int]]:
    """(kh, kw, h, w) of each tap of one output position that lies inside the input."""
    height, width, _ = hwc(shape)
    for kh, kw in itertools.product(*map(range, window.kernel)):
        h = oh * window.strides[0] - window.padding[0] + kh * window.dilation[0]
        w = ow * window.strides[1] - window.padding[2] + kw * window.dilation[1]
        if 0 <= h < height and 0 <= w < width:
            yield kh, kw, h, w


def conv_by_loops(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, window: Window, groups: int
) -> np.ndarray:
    """x [H, W, C] and kernel of any Python numbers -> [OH, OW, F]."""
    filters, _, _, depth = kernel.shape
    oh, ow = window.output(*x.shape[:2])
    y = np.zeros((oh, ow, filters), dtype=object)
    for i, j, f in np.ndindex(*y.shape):
        first = f // (filters // groups) * depth
        y[i, j, f] = bias[f] + sum(
            kernel[f, kh, kw, c] * x[h, w, first + c]
            for kh, kw, h, w in taps(window, x.shape, i, j)
            for c in range(depth)
        )
    return y


@st.composite
def windows(draw: Any, pooling: bool = False) -> tuple[Window, tuple[int, int]]:
    """A window and the extents (H, W) of an input that it fits."""
    kernel, strides = (tuple(draw(st.tuples(*[st.integers(1, 3)] * 2))) for _ in range(2))
    dilation = (1, 1) if pooling else draw(st.tuples(*[st.integers(1, 2)] * 2))
    limits = [k - 1 if pooling else 3 for k in kernel for _ in range(2)]
    padding = draw(st.tuples(*(st.integers(0, limit) for limit in limits)))
    window = Window(kernel, strides, padding, dilation)
    extents = draw(st.tuples(*[st.integers(1, 6)] * 2))
    for axis in (0, 1):
        span = dilation[axis] * (kernel[axis] - 1) + 1
        assume(extents[axis] + sum(padding[2 * axis : 2 * axis + 2]) >= span)
    return window, extents


@st.composite
def formats(draw: Any, inputs: int = 1, weights: bool = False) -> FixedFormats:
    """Formats of up to 16 bits, some with negative or large numbers of fraction bits."""
    bits = draw(st.sampled_from([4, 8, 9, 16]))

    def fixed() -> Fixed:
        return Fixed(bits, draw(st.integers(-2, bits + 2)))

    return FixedFormats(
        tuple(fixed() for _ in range(inputs)),
        fixed(),
        FixedWeights(draw(st.sampled_from([2, 5, 8, 9, 16])), (draw(st.integers(-2, bits + 2)),))
        if weights
        else None,
        draw(st.sampled_from([Rounding.NEAREST, Rounding.TRUNC])),
        draw(ROUNDINGS),
    )


def with_filters(f: FixedFormats, filters: int, act: Activation, rng: np.random.Generator) -> FixedFormats:
    """The formats of sums of products with, at random, a scale for each filter and unsigned input and output."""
    assert f.weights is not None
    (source,), output, fracs = f.inputs, f.output, f.weights.fracs
    if rng.random() < 0.5:
        fracs = tuple((fracs[0] + rng.integers(0, 4, filters)).tolist())
    whole = source.frac + min(fracs) - output.frac > -output.bits  # the zero point is an integer
    unsigned = act.low == 0 and whole and f.rounding is not Rounding.TRUNC and rng.random() < 0.5
    return replace(
        f,
        inputs=(replace(source, unsigned=bool(rng.random() < 0.5)),),
        output=replace(output, unsigned=unsigned),
        weights=replace(f.weights, fracs=fracs),
    )


def integer_bias(bias: np.ndarray, fracs: np.ndarray) -> np.ndarray:
    """Real bias [F] at the accumulator's scale, to nearest, as Python integers."""
    return np.array(
        [math.floor(math.ldexp(b, int(n)) + 0.5) for b, n in zip(bias, fracs, strict=True)], object
    )


def integers(rng: np.random.Generator, fmt: Fixed, *shape: int) -> np.ndarray:
    """Stored integers over the format's whole range, both ends often."""
    x = rng.integers(fmt.low, fmt.high, shape, endpoint=True)
    ends = rng.choice([fmt.low, fmt.high], shape)
    return np.where(rng.random(shape) < 0.2, ends, x).astype(fmt.dtype)


ACTIVATIONS = st.sampled_from(
    [NONE, RELU, Activation(0.0, 6.0), Activation(-0.4, 0.3), Activation(None, 1.0)]
)
SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=60, deadline=None)
@given(windows(), st.integers(1, 3), st.integers(1, 2), st.integers(1, 2), ACTIVATIONS, SEEDS)
def test_convolution_in_floats(
    place: tuple[Window, tuple[int, int]], groups: int, depth: int, each: int, act: Activation, seed: int
) -> None:
    (window, extents), rng = place, np.random.default_rng(seed)
    kernel = rng.normal(size=(groups * each, *window.kernel, depth)).astype(np.float32)
    bias = rng.normal(size=groups * each).astype(np.float32)
    x = rng.normal(size=(*extents, groups * depth)).astype(np.float32)
    op = Conv(kernel, bias, window, groups, act)
    expected = act.apply(conv_by_loops(x, kernel, bias, window, groups).astype(np.float64))
    (y,) = op.run([x[np.newaxis]])
    assert y.shape == op.infer([x.shape]) == expected.shape and y.dtype == np.float32
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    assert op.macs([x.shape], y.shape) == y.size * kernel[0].size


@settings(max_examples=60, deadline=None)
@given(windows(), st.integers(1, 2), st.integers(1, 2), formats(weights=True), ACTIVATIONS, SEEDS)
def test_convolution_in_integers(
    place: tuple[Window, tuple[int, int]],
    groups: int,
    depth: int,
    f: FixedFormats,
    act: Activation,
    seed: int,
) -> None:
    """Equal to the exact rational sum, rounded once; and the accumulator stays below its proven bound."""
    (window, extents), rng = place, np.random.default_rng(seed)
    assert f.weights is not None
    f = with_filters(f, 2 * groups, act, rng)
    assert f.weights is not None
    unit = f.weights.of_filter(0)
    kernel = rng.normal(size=(2 * groups, *window.kernel, depth)) * unit.step * unit.magnitude / 2
    bias = (rng.normal(size=2 * groups) * f.inputs[0].step).astype(np.float32)
    op = Conv(kernel.astype(np.float32), bias, window, groups, act).to_fixed(f, [()])
    x = integers(rng, f.inputs[0], *extents, groups * depth)
    scales = np.broadcast_to(f.inputs[0].frac + np.array(f.weights.fracs), 2 * groups)
    shifted = x.astype(object) - f.inputs[0].zero
    weights = op.kernel.astype(object)
    sums = conv_by_loops(shifted, weights, integer_bias(bias, scales), window, groups)
    (y,) = op.run([x[np.newaxis]])
    for (*_, i), total in np.ndenumerate(sums):
        value = Fraction(int(total)) * power(-int(scales[i]))
        assert y[(*_, i)] == requantized(value, act, f.output, f.rounding)
    height, width = extents
    top, bottom, left, right = window.padding
    padded = np.full((height + top + bottom, width + left + right, groups * depth), f.inputs[0].zero, object)
    padded[top : top + height, left : left + width] = x
    inside = replace(window, padding=(0, 0, 0, 0))
    accumulators = conv_by_loops(padded, weights, op.bias.astype(object), inside, groups)
    assert np.abs(accumulators).max() <= op.accumulator.bound


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 5), formats(weights=True), ACTIVATIONS, SEEDS)
def test_dense_in_floats_and_integers(c: int, n: int, f: FixedFormats, act: Activation, seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert f.weights is not None
    f = with_filters(f, n, act, rng)
    assert f.weights is not None
    unit = f.weights.of_filter(0)
    kernel = (rng.normal(size=(n, c)) * unit.step * unit.magnitude / 2).astype(np.float32)
    bias = (rng.normal(size=n) * f.inputs[0].step).astype(np.float32)
    op = Dense(kernel, bias, act)
    real = rng.normal(size=(2, c)).astype(np.float32)
    expected = act.apply(real.astype(np.float64) @ kernel.T.astype(np.float64) + bias)
    np.testing.assert_allclose(op.run([real]), expected, rtol=1e-4, atol=1e-5 * np.abs(kernel).max())
    fixed = op.to_fixed(f, [()])
    x = integers(rng, f.inputs[0], 2, c)
    np.testing.assert_array_equal(fixed.kernel, f.weights.quantize(kernel, f.weight_rounding))
    scales = np.broadcast_to(f.inputs[0].frac + np.array(f.weights.fracs), n)
    for i, j in np.ndindex(2, n):
        pairs = [(int(a), int(b)) for a, b in zip(x[i], fixed.kernel[j], strict=True)]
        assert abs(int(fixed.bias[j]) + sum(a * b for a, b in pairs)) <= fixed.accumulator.bound
        total = integer_bias(bias, scales)[j] + sum((a - f.inputs[0].zero) * b for a, b in pairs)
        value = Fraction(total) * power(-int(scales[j]))
        assert fixed.run([x])[i, j] == requantized(value, act, f.output, f.rounding)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 16), SEEDS)
def test_accumulator_bound_is_never_passed_and_can_be_reached(bits: int, seed: int) -> None:
    """The bound of a layer is that of its worst filter; inputs against the signs of the weights come near."""
    rng = np.random.default_rng(seed)
    fmt = Fixed(bits, 0)
    weights, bias = integers(rng, fmt, 3, 2, 4).astype(np.int64), rng.integers(-1000, 1000, 3)
    bound = bound_of(weights, bias, fmt.magnitude)
    for signs in (1, -1):
        worst = np.where(signs * weights > 0, fmt.high, fmt.low)
        assert np.abs((weights * worst).sum(axis=(1, 2)) + bias).max() <= bound
    reached = np.abs((-np.abs(weights) * fmt.magnitude).sum(axis=(1, 2)) - np.abs(bias)).max()
    assert reached == bound
    positive = bound_of(weights, bias, fmt.magnitude, positive=True)
    for signs in (1, -1):
        worst = np.where(signs * weights > 0, fmt.high, 0) * weights
        assert np.abs(worst.sum(axis=(1, 2)) + bias).max() <= positive <= bound


@pytest.mark.parametrize(("bound", "bits"), [(2**31 - 1, 32), (2**31, 64), (2**63 - 1, 64)])
def test_accumulator_is_as_wide_as_its_bound_needs(bound: int, bits: int) -> None:
    assert Accumulator(bound).bits == bits
    assert Accumulator(bound).suffix == ("" if bits == 32 else "_wide")
    with pytest.raises(ValueError, match="does not fit 64 bits"):
        _ = Accumulator(2**63).bits


@settings(max_examples=60, deadline=None)
@given(windows(pooling=True), formats(), ACTIVATIONS, SEEDS)
def test_pooling_in_floats_and_integers(
    place: tuple[Window, tuple[int, int]], f: FixedFormats, act: Activation, seed: int
) -> None:
    """Padding neither wins a maximum nor counts in a mean; a mean is rounded once."""
    (window, extents), rng = place, np.random.default_rng(seed)
    shape = (*extents, 2)
    same = replace(f, output=f.inputs[0])
    largest, mean = MaxPool(window, act), AvgPool(window, act)
    x = integers(rng, f.inputs[0], 1, *shape)
    real = rng.normal(size=(1, *shape)).astype(np.float32) - 3
    found = [largest.to_fixed(same, [shape]).run([x]), mean.to_fixed(f, [shape]).run([x])]
    floats = [largest.run([real]), mean.run([real])]
    assert all(y.shape[1:] == largest.infer([shape]) for y in (*found, *floats))
    for i, j, c in np.ndindex(*largest.infer([shape])):
        inside = [(h, w, c) for _, _, h, w in taps(window, shape, i, j)]
        values = [int(x[0][at]) for at in inside]
        reals = [float(real[0][at]) for at in inside]
        unit = power(-f.inputs[0].frac)
        assert found[0][0, i, j, c] == requantized(max(values) * unit, act, same.output, Rounding.FLOOR)
        average = Fraction(sum(values), len(values)) * unit
        assert found[1][0, i, j, c] == requantized(average, act, f.output, f.rounding)
        np.testing.assert_allclose(floats[0][0, i, j, c], act.apply(np.float32(max(reals))))
        expected = act.apply(np.float64(sum(reals) / len(reals)))
        np.testing.assert_allclose(floats[1][0, i, j, c], expected, rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(formats(inputs=2), ACTIVATIONS, SEEDS)
def test_addition_in_integers(f: FixedFormats, act: Activation, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (integers(rng, fmt, 30) for fmt in f.inputs)
    op = Add(act).to_fixed(f, [(30,), (30,)])
    for found, p, q in zip(op.run([a, b]), a, b, strict=True):
        total = int(p) * power(-f.inputs[0].frac) + int(q) * power(-f.inputs[1].frac)
        assert found == requantized(total, act, f.output, f.rounding)
        assert abs(total) * power(max(fmt.frac for fmt in f.inputs)) <= op.accumulator.bound


@pytest.mark.parametrize(
    ("signs", "fracs", "fits"),
    [
        ("usu", (3, 5, 3), True),  # a shortcut after ReLU plus a branch
        ("suu", (1, 4, 4), True),
        ("uuu", (4, 4, 3), True),
        ("uus", (4, 4, 3), False),
        ("usu", (4, 5, 3), False),
        ("sss", (4, 5, 3), True),
    ],
)
@pytest.mark.parametrize("rounding", [Rounding.NEAREST, Rounding.FLOOR])
def test_unsigned_operands_of_an_addition(
    signs: str, fracs: tuple[int, ...], fits: bool, rounding: Rounding
) -> None:
    """Where the zero points cancel every pair of stored numbers gives the exact sum, rounded once."""
    a, b, y = (Fixed(4, frac, sign == "u") for frac, sign in zip(fracs, signs, strict=True))
    op = Add(RELU)
    assert op.takes_unsigned((a, b), y) is fits
    if fits:
        fixed = op.to_fixed(FixedFormats((a, b), y, None, rounding, rounding), [(), ()])
        stored = np.array(list(itertools.product(range(-8, 8), repeat=2))).T
        for p, q, found in zip(*stored, fixed.run(list(stored)), strict=True):
            total = (int(p) - a.zero) * power(-a.frac) + (int(q) - b.zero) * power(-b.frac)
            assert found == requantized(total, RELU, y, rounding)


def test_operands_too_far_apart_are_refused() -> None:
    f = FixedFormats((Fixed(8, 0), Fixed(8, 32)), Fixed(8, 0), None, Rounding.NEAREST, Rounding.NEAREST)
    with pytest.raises(ValueError, match="0 and 32 fraction bits, too far apart"):
        Add().to_fixed(f, [(3,), (3,)])


@settings(max_examples=60, deadline=None)
@given(formats(inputs=3), ACTIVATIONS, SEEDS)
def test_copies_in_integers(f: FixedFormats, act: Activation, seed: int) -> None:
    """Concatenation, padding, clamp and reshape move the right numbers, each brought to the output's scale."""
    rng = np.random.default_rng(seed)
    xs = [integers(rng, fmt, 2, 3, n) for fmt, n in zip(f.inputs, (2, 1, 4), strict=True)]

    def scaled(x: np.ndarray, fmt: Fixed, activation: Activation = NONE) -> np.ndarray:
        values = [requantized(int(v) * power(-fmt.frac), activation, f.output, f.rounding) for v in x.ravel()]
        return np.array(values).reshape(x.shape)

    shapes = [x.shape[1:] for x in xs]
    joined = np.concatenate([scaled(x, fmt) for x, fmt in zip(xs, f.inputs, strict=True)], axis=2)
    np.testing.assert_array_equal(Concat(1).to_fixed(f, shapes).run(xs), joined)
    one = replace(f, inputs=f.inputs[:1])
    clamped = Clamp(act).to_fixed(one, shapes[:1]).run(xs[:1])
    np.testing.assert_array_equal(clamped, scaled(xs[0], f.inputs[0], act))
    padded = Pad((0, 0, 2, 1)).to_fixed(one, shapes[:1]).run(xs[:1])
    expected = np.zeros((2, 6, 2), int)
    expected[:, 2:5] = scaled(xs[0], f.inputs[0])
    np.testing.assert_array_equal(padded, expected)
    np.testing.assert_array_equal(Reshape((6,)).to_fixed(one, shapes[:1]).run(xs[:1]), xs[0].reshape(2, 6))


def test_padding_of_images() -> None:
    x = np.arange(1, 13, dtype=np.float32).reshape(1, 2, 3, 2)
    y = Pad((1, 2, 3, 0)).run([x])
    assert y.shape[1:] == Pad((1, 2, 3, 0)).infer([(2, 3, 2)]) == (5, 6, 2)
    np.testing.assert_array_equal(y[:, 1:3, 3:], x)
    assert y.sum() == x.sum()


@given(SEEDS)
def test_batchnorm_is_its_formula_and_its_convolution(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gamma, beta, mean = rng.normal(size=(3, 4)).astype(np.float32)
    variance = rng.uniform(0.01, 3, 4).astype(np.float32)
    op = BatchNorm(gamma, beta, mean, variance, 1e-3)
    for shape in [(4,), (5, 4), (2, 3, 4)]:
        x = rng.normal(size=(2, *shape)).astype(np.float32)
        expected = gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta
        for y in (op.run([x]), op.as_conv().run([x])):
            assert y.shape == x.shape and y.dtype == np.float32
            np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


def test_softmax_sums_to_one_and_survives_large_numbers() -> None:
    x = np.float32([[[1, 2, 3], [-1000, 0, 1000]], [[5, 5, 5], [0, -80, 80]]])
    y = Softmax().run([x])
    e = np.exp(x.astype(np.float64) - x.max(axis=-1, keepdims=True))
    np.testing.assert_allclose(y, e / e.sum(axis=-1, keepdims=True), rtol=1e-6, atol=1e-7)


@given(
    *[st.one_of(st.none(), st.floats(-4, 4, width=16))] * 4, st.lists(st.floats(-9, 9, width=16), min_size=1)
)
def test_two_clamps_are_one(
    a: float | None, b: float | None, c: float | None, d: float | None, x: list[float]
) -> None:
    assume((a is None or b is None or a <= b) and (c is None or d is None or c <= d))
    first, second, values = Activation(a, b), Activation(c, d), np.array(x)
    np.testing.assert_array_equal(first.then(second).apply(values), second.apply(first.apply(values)))


@pytest.mark.parametrize(
    ("maximum", "bits"),
    [(0.0, 0), (1.0, 1), (0.999, 0), (0.5, 0), (0.49, -1), (3.9, 2), (4.0, 3), (1e-3, -9), (700.0, 10)],
)
def test_integer_bits_are_those_of_the_paper(maximum: float, bits: int) -> None:
    """``m = 1 + floor(log2(maximum))`` and the format of n = width - m - 1 holds the maximum, and only just."""
    assert integer_bits(maximum) == bits
    fmt = fixed_for(maximum, 8)
    assert fmt.frac == 7 - bits
    if maximum:
        assert 64 <= maximum * 2.0**fmt.frac < 128


@pytest.mark.parametrize("rounding", list(Rounding))
def test_quantization_of_every_quarter_step(rounding: Rounding) -> None:
    fmt = Fixed(8, 2)
    reals = np.arange(-40 * 16, 40 * 16) / 16
    expected = [min(max(rounded(Fraction(v) * 4, rounding), -128), 127) for v in reals]
    np.testing.assert_array_equal(fmt.quantize(reals, rounding), expected)
    np.testing.assert_array_equal(fmt.dequantize(np.arange(-128, 128)), np.arange(-128, 128) / 4)


def build(op: FloatOp, *shapes: tuple[int, ...]) -> Graph:
    inputs = {f"x{i}": TensorType(shape) for i, shape in enumerate(shapes)}
    return Graph.build("net", inputs, [Node("layer", op, tuple(inputs))], ["layer"])


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: build(Add(), (3, 2), (1, 2)), "(add): it adds shapes (3, 2) and (1, 2); both must be equal"),
        (lambda: build(Add(), (3,), (3,), (3,)), "it adds two tensors and has 3 inputs"),
        (
            lambda: build(Dense(zeros(2, 3), zeros(2)), (4,)),
            "its weights expect (3,) and the input has shape (4,)",
        ),
        (
            lambda: build(Conv(zeros(2, 1, 3, 2), zeros(2), Window((1, 3))), (8, 3)),
            "its weights expect 2 channels and the input has 3",
        ),
        (
            lambda: build(Conv(zeros(3, 1, 1, 1), zeros(3), Window((1, 1)), groups=2), (8, 2)),
            "3 filters cannot be split into 2 groups",
        ),
        (
            lambda: build(MaxPool(Window((1, 9))), (8, 2)),
            "its window of 9 positions is larger than the padded input of 8",
        ),
        (
            lambda: build(AvgPool(Window((1, 2), padding=(0, 0, 2, 0))), (8, 2)),
            "its padding is as large as its window",
        ),
        (lambda: build(MaxPool(Window((1, 2), dilation=(1, 2))), (8, 2)), "dilated pooling is not supported"),
        (lambda: build(Concat(2), (8, 2), (8, 2)), "axis 2 is outside its inputs of shape (8, 2)"),
        (lambda: build(Concat(0), (8, 2), (8, 3)), "it joins shapes (8, 2) and (8, 3) along axis 0"),
        (lambda: build(Reshape((3, 4)), (8, 2)), "has 16 elements and cannot become (3, 4)"),
        (lambda: build(MaxPool(Window((1, 1))), (1, 2, 3, 4)), "has more than three dimensions"),
        (
            lambda: build(BatchNorm(zeros(2), zeros(2), zeros(2), zeros(2), 1.0), (8, 3)),
            "it has 2 channels and the input has 3",
        ),
        (lambda: build(Clamp(RELU), (3,)).rebuilt([]), "output layer is made by no layer"),
        (lambda: build(Clamp(RELU), (3,)).rebuilt([], []), "the model has no output"),
        (
            lambda: build(Clamp(RELU), (3,)).rebuilt([Node("a", Add(), ("x0", "b"))]),
            "its input b is made by no",
        ),
        (
            lambda: build(Clamp(RELU), (3,)).rebuilt([Node("x0", Clamp(RELU), ("x0",))]),
            "layer x0: two layers have this name",
        ),
        (
            lambda: build(Clamp(RELU), (3,)).rebuilt([Node("a", Clamp(RELU), ("x0",))], ["x0"]),
            "layer a: its output is used by nothing",
        ),
    ],
)
def test_graphs_that_cannot_be_are_one_clear_line(make: Callable[[], Graph], message: str) -> None:
    with pytest.raises(UserError) as error:
        make()
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("source", "result", "message"),
    [
        (Fixed(8, 0), None, "a tensor in float32"),
        (Fixed(8, 0), Fixed(16, 0), "stored in different widths"),
    ],
)
def test_formats_that_an_operation_cannot_take_are_refused(
    source: Fixed, result: Fixed | None, message: str
) -> None:
    f = FixedFormats((source,), Fixed(8, 0), None, Rounding.NEAREST, Rounding.NEAREST)
    formats: dict[str, Format] = {} if result is None else {"r": result}
    with pytest.raises(UserError, match=message):
        nodes = [Node("r", Clamp(RELU).to_fixed(f, [(3,)]), ("x",))]
        Graph.build("net", {"x": TensorType((3,), source)}, nodes, ["r"], formats)
    with pytest.raises(UserError, match="a float operation has a tensor in"):
        Graph.build("net", {"x": TensorType((3,), source)}, [Node("r", Clamp(RELU), ("x",))], ["r"])


@settings(max_examples=100, deadline=None)
@given(graphs(), SEEDS)
def test_in_place_operations_may_write_over_their_input(graph: Graph, seed: int) -> None:
    """What `in_place` promises of the shapes: the output is never larger than the input it takes over."""
    for node in graph.nodes:
        for index in node.op.in_place():
            assert graph.tensors[node.inputs[index]].elements >= graph.tensors[node.name].elements
    assert all(np.isfinite(x).all() for x in samples(graph, seed, 1))
