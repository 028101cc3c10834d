"""The affine kernels equal their numpy twins, which test/python/codegen compares with TensorFlow Lite."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from microai.codegen import affine_math
from microai.codegen.formats import Affine as Format
from microai.codegen.simd import arrange_simd

from . import oracle
from .library import A8, A16, AFFINE_KINDS, Affine, AffineAdd, Array, Kind, Library, Output, shape_to_c
from .shapes import SEEDS, Draw, conv_shapes, numbers, pool_shapes

EACH = pytest.mark.parametrize("kind", AFFINE_KINDS, ids=lambda kind: kind.name)
INT32 = st.integers(-(2**31), 2**31 - 1)
MULTIPLIERS = st.one_of(st.integers(2**29, 2**31 - 1), st.sampled_from([0, 2**30, 2**31 - 1, 0x7FFF0000]))
ZEROS = st.integers(-128, 127)


def zero_points(kind: Kind) -> st.SearchStrategy[int]:
    return ZEROS if kind is A8 else st.just(0)


@st.composite
def affine_outs(draw: Draw, kind: Kind, shifts: tuple[int, int], filters: int = 1) -> Affine:
    limit = 2 ** (kind.bits - 1)
    low, high = draw(st.sampled_from([(-limit, limit - 1), (draw(zero_points(kind)), limit - 1), (-9, 20)]))
    multipliers = draw(st.lists(MULTIPLIERS, min_size=filters, max_size=filters))
    own = draw(st.lists(st.integers(*shifts), min_size=filters, max_size=filters))
    return Affine(tuple(multipliers), tuple(own), draw(zero_points(kind)), low, high)


def finish(acc: Array, out: Affine, multiply: Callable[..., Array] = affine_math.multiply) -> Array:
    y = multiply(acc, np.array(out.multipliers), np.array(out.shifts)) + out.zero
    return np.clip(y, out.low, out.high)


@settings(max_examples=500, deadline=None)
@given(INT32, MULTIPLIERS, st.integers(-31, 30))
def test_multiplication(library: Library, x: int, multiplier: int, shift: int) -> None:
    y = np.zeros(1, np.int32)
    library.call("map_multiply", np.array([x], np.int32), 1, multiplier, shift, y)
    assert y.tolist() == affine_math.multiply(np.array([x]), multiplier, shift).tolist()


@settings(max_examples=500, deadline=None)
@given(st.integers(1 - 2**47, 2**47 - 1), MULTIPLIERS, st.integers(-31, 7))
def test_wide_multiplication(library: Library, x: int, multiplier: int, shift: int) -> None:
    y = np.zeros(1, np.int64)
    library.call("map_multiply_wide", np.array([x], np.int64), 1, multiplier, shift, y)
    assert y.tolist() == affine_math.multiply_wide(np.array([x]), multiplier, shift).tolist()


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(
        st.tuples(st.integers(1 - 2**47, 2**47 - 1), st.integers(-31, 7)),
        st.tuples(INT32, st.integers(-31, 30)),
    ),
    MULTIPLIERS,
)
def test_multiplication_with_one_rounding(
    library: Library, x_shift: tuple[int, int], multiplier: int
) -> None:
    x, shift = x_shift
    y = np.zeros(1, np.int64)
    library.call("map_multiply_once", np.array([x], np.int64), 1, multiplier, shift, y)
    assert y.tolist() == [(x * multiplier * 2**62 // 2 ** (92 - shift) + 1) // 2]
    assert y.tolist() == affine_math.multiply_once(np.array([x]), multiplier, shift).tolist()


@EACH
def test_conv(library: Library, kind: Kind) -> None:
    @settings(max_examples=100, deadline=None)
    @given(st.data(), conv_shapes(), zero_points(kind), SEEDS)
    def check(data: st.DataObject, s: oracle.ConvShape, zero: int, seed: int) -> None:
        s = replace(s, x_zero=zero)
        out = data.draw(affine_outs(kind, (-31, 4), s.out_c))
        rng = np.random.default_rng(seed)
        x = numbers(rng, (s.in_h, s.in_w, s.in_c), kind, kind.bits)
        w = numbers(rng, (s.out_c, s.k_h, s.k_w, s.in_c // s.groups), kind, kind.w_bits)
        bias = numbers(rng, (s.out_c,), kind, kind.bias_bits)
        multiply = affine_math.multiply_wide if kind is A16 else affine_math.multiply
        expected = finish(oracle.conv(x, w, bias, s), out, multiply).astype(kind.dtype)
        y = Output(expected.shape, kind.dtype)
        arrays = (x.astype(kind.dtype), *kind.weights(w, 8), bias.astype(kind.acc))
        library.call(f"nn_conv_{kind.name}", *arrays, shape_to_c(oracle.fields(s)), out, y.array)
        assert y.checked().tobytes() == expected.tobytes()

    check()


@EACH
def test_dense(library: Library, kind: Kind) -> None:
    @settings(max_examples=60, deadline=None)
    @given(st.data(), st.integers(1, 70), st.integers(1, 9), SEEDS)
    def check(data: st.DataObject, channels: int, filters: int, seed: int) -> None:
        out = data.draw(affine_outs(kind, (-31, 4), filters))
        rng = np.random.default_rng(seed)
        x = numbers(rng, (channels,), kind, kind.bits)
        w = numbers(rng, (filters, channels), kind, kind.w_bits)
        bias = numbers(rng, (filters,), kind, kind.bias_bits)
        expected = finish(bias + w @ x, out, affine_math.multiply_once).astype(kind.dtype)
        y = Output(expected.shape, kind.dtype)
        arrays = (x.astype(kind.dtype), *kind.weights(w, 8), bias.astype(kind.acc))
        library.call(f"nn_dense_{kind.name}", *arrays, channels, filters, out, y.array)
        assert y.checked().tobytes() == expected.tobytes()
        bias = numbers(rng, (filters,), kind, min(kind.bias_bits, 24))  # of 32 bits there
        expected = finish(bias + w @ x, out, affine_math.multiply_once).astype(kind.dtype)
        y = Output(expected.shape, kind.dtype)
        arrays = (arrays[0], arrange_simd(w.astype(np.int8), kind.bits // 8), bias.astype(np.int32))
        library.call(f"nn_dense_{kind.name}_simd", *arrays, channels, filters, out, y.array)
        assert y.checked().tobytes() == expected.tobytes()

    check()


@EACH
@pytest.mark.parametrize("place", ["apart", "on_a", "on_b"])
def test_add(library: Library, kind: Kind, place: str) -> None:
    scales = st.floats(1e-6, 1e3)
    left = {8: 20, 16: 15}[kind.bits]

    @settings(max_examples=60, deadline=None)
    @given(scales, st.floats(0.01, 100), st.floats(0.5, 50), *[zero_points(kind)] * 3, st.booleans(), SEEDS)
    def check(
        scale: float, other: float, out: float, za: int, zb: int, zero: int, clamped: bool, seed: int
    ) -> None:
        pair, back = affine_math.add_multipliers(left, (scale, scale * other), scale * max(other, 1) * out)
        rng = np.random.default_rng(seed)
        a, b = (numbers(rng, (30,), kind, kind.bits) for _ in "ab")
        low, high = -(2 ** (kind.bits - 1)), 2 ** (kind.bits - 1) - (2 if clamped else 1)
        expected = affine_math.add(a, b, left, (za, zb), pair, back, zero, low, high)
        multipliers, shifts = zip(*pair, back, strict=True)
        given_a, given_b = Output((30,), kind.dtype, a), Output((30,), kind.dtype, b)
        y = {"apart": Output((30,), kind.dtype), "on_a": given_a, "on_b": given_b}[place]
        add = AffineAdd((za, zb), multipliers, shifts, zero, low, high)
        library.call(f"nn_add_{kind.name}", given_a.array, given_b.array, 30, add, y.array)
        assert y.checked().tolist() == expected.tolist()

    check()


@EACH
def test_pool_avg(library: Library, kind: Kind) -> None:
    @settings(max_examples=80, deadline=None)
    @given(pool_shapes(), st.sampled_from([(-128, 127), (-3, 90)]), SEEDS)
    def check(s: oracle.PoolShape, bounds: tuple[int, int], seed: int) -> None:
        x = numbers(np.random.default_rng(seed), (s.in_h, s.in_w, s.channels), kind, kind.bits)
        expected = np.zeros((s.out_h, s.out_w, s.channels), kind.dtype)
        for at, values in oracle.windows(x, s):
            expected[at] = affine_math.pool_average(values.sum(), max(len(values), 1), *bounds)
        y = Output(expected.shape, kind.dtype)
        shape = shape_to_c(oracle.fields(s))
        library.call(f"nn_pool_avg_{kind.name}", x.astype(kind.dtype), shape, *bounds, y.array)
        assert y.checked().tolist() == expected.tolist()

    check()


@EACH
def test_mean(library: Library, kind: Kind) -> None:
    @settings(max_examples=80, deadline=None)
    @given(
        st.integers(1, 60),
        st.integers(1, 9),
        st.floats(0.01, 100),
        *[zero_points(kind)] * 2,
        st.booleans(),
        SEEDS,
    )
    def check(
        positions: int, channels: int, scale: float, zero: int, zero_out: int, in_place: bool, seed: int
    ) -> None:
        x = Output(
            (positions, channels),
            kind.dtype,
            numbers(np.random.default_rng(seed), (positions, channels), kind, kind.bits),
        )
        multiplier = affine_math.mean_multiplier(scale, positions)
        total = x.array.astype(np.int64).sum(axis=0)
        limits = (-(2 ** (kind.bits - 1)), 2 ** (kind.bits - 1) - 1)
        expected = affine_math.mean(total, positions, zero, multiplier, zero_out, *limits)
        out = Affine((multiplier.multiplier,), (multiplier.shift,), zero_out, *limits)
        y = x if in_place else Output((channels,), kind.dtype)
        library.call(f"nn_mean_{kind.name}", x.array, positions, channels, zero, out, y.array)
        assert y.checked().reshape(-1)[:channels].tolist() == expected.tolist()

    check()


@EACH
def test_requantize(library: Library, kind: Kind) -> None:
    @settings(max_examples=100, deadline=None)
    @given(st.integers(0, 5), st.integers(1, 9), st.integers(0, 3), zero_points(kind), st.data(), SEEDS)
    def check(rows: int, row: int, gap: int, zero: int, data: st.DataObject, seed: int) -> None:
        out = data.draw(affine_outs(kind, (-31, 30)))
        rng = np.random.default_rng(seed)
        x = Output((rows, row), kind.dtype, numbers(rng, (rows, row), kind, kind.bits))
        between = numbers(rng, (rows, row + gap), kind, kind.bits).astype(kind.dtype)
        expected = between.copy()
        expected[:, :row] = finish(x.array.astype(np.int64) - zero, out)
        y = x if gap == 0 and data.draw(st.booleans()) else Output(between.shape, kind.dtype, between)
        library.call(f"nn_requantize_{kind.name}", x.array, rows, row, row + gap, zero, out, y.array)
        assert y.checked().tobytes() == expected.tobytes()

    check()


@EACH
@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in_place"])
def test_softmax(library: Library, kind: Kind, in_place: bool) -> None:
    @settings(max_examples=150, deadline=None)
    @given(st.integers(0, 3), st.sampled_from([1, 2, 3, 10, 43, 600]), st.floats(-25.9, 9), SEEDS)
    def check(rows: int, row: int, log2_scale: float, seed: int) -> None:
        scale = 2.0**log2_scale
        x = Output(
            (rows, row), kind.dtype, numbers(np.random.default_rng(seed), (rows, row), kind, kind.bits)
        )
        if kind is A8:
            parameters: tuple[int, ...] = affine_math.softmax_scale(scale)
            expected = affine_math.softmax_a8(x.array, affine_math.softmax_scale(scale))
        else:
            parameters = affine_math.softmax_a16_multiplier(scale)
            expected = affine_math.softmax_a16(x.array, affine_math.softmax_a16_multiplier(scale))
        y = x if in_place else Output((rows, row), kind.dtype)
        library.call(f"nn_softmax_{kind.name}", x.array, rows, row, *parameters, y.array)
        assert y.checked().tolist() == expected.tolist()

    check()


@EACH
def test_all_differences_of_two(library: Library, kind: Kind) -> None:
    high = 2 ** (kind.bits - 1) - 1
    difference = np.arange(2**kind.bits)
    x = np.stack([np.full_like(difference, high), high - difference], axis=1)
    y = Output(x.shape, kind.dtype)
    if kind is A8:
        parameters: tuple[int, ...] = affine_math.softmax_scale(0.05)
        expected = affine_math.softmax_a8(x, affine_math.softmax_scale(0.05))
    else:
        parameters = affine_math.softmax_a16_multiplier(1e-4)
        expected = affine_math.softmax_a16(x, affine_math.softmax_a16_multiplier(1e-4))
    library.call(f"nn_softmax_{kind.name}", x.astype(kind.dtype), *x.shape, *parameters, y.array)
    assert (y.checked() == expected).all()


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([Format(8, 0.5, 3), Format(8, float(np.float32(0.1)), -128), Format(16, 2.0**-7)]),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1),
)
def test_real_numbers_and_back(library: Library, fmt: Format, values: list[float]) -> None:
    halves = (np.arange(-300, 300) / 2).astype(np.float32) * np.float32(fmt.scale)
    x = np.concatenate([np.array([*values, np.inf, -np.inf], np.float32), halves])
    scale, zero = ctypes.c_float(fmt.scale), fmt.zero_point
    y, back = np.zeros(len(x), fmt.dtype), np.zeros(len(x), np.float32)
    library.call(f"nn_from_float_{fmt.suffix}", x, len(x), scale, zero, y)
    assert y.tolist() == fmt.quantize(x).tolist()
    library.call(f"nn_to_float_{fmt.suffix}", y, len(y), scale, zero, back)
    assert back.tobytes() == fmt.dequantize(y).tobytes()
    nan = np.array([np.nan], np.float32)
    library.call(f"nn_from_float_{fmt.suffix}", nan, 1, scale, zero, y)
    assert y[0] == fmt.low
