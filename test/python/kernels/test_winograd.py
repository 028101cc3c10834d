"""Convolutions by Winograd's algorithm over awkward shapes, with guarded scratch memory: integers bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from microai.codegen.packing import arrange_packed
from microai.codegen.simd import scratch_bytes_wino, scratch_bytes_wino_3x3
from microai.codegen.winograd import arrange, bias_q16, scratch_bytes, serves_8_3x3, serves_43, serves_q16

from . import oracle
from .library import (
    A8,
    F32,
    Q8,
    Q8_PACKED,
    Q16,
    Q16_PACKED,
    Affine,
    Array,
    Kind,
    Library,
    Output,
    Range,
    Requant,
    shape_to_c,
)
from .shapes import SEEDS, Draw, filter_outs
from .test_simd import GROUPS, Out, finished, outs, served
from .test_sums import SHIFTS, operands


@st.composite
def shapes(draw: Draw) -> oracle.ConvShape:
    """Width 3 and stride 1 along rows; any padding, fewer columns than a tile and more than a block."""
    height, width = draw(st.integers(1, 3)), draw(st.integers(1, 50))
    before, after = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    channels = draw(st.sampled_from([1, 2, 3, 4, 5, 8, 9, 20]))
    filters = draw(st.sampled_from([1, 2, 3, 4, 5, 9]))
    positions = max(width + before + after - 2, 1)
    return oracle.ConvShape(
        *(height, width, channels, height, positions, filters), *(1, 3, 1, 1, 1, 1, 0, before, 1)
    )


@st.composite
def shapes_3x3(draw: Draw) -> oracle.ConvShape:
    """3 x 3 and stride 1; any padding, less than a tile and more than a block, the kernel larger than the input."""
    height, width = draw(st.integers(1, 14)), draw(st.integers(1, 24))
    top, bottom, before, after = (draw(st.integers(0, 4)) for _ in range(4))
    channels = draw(st.sampled_from([1, 2, 3, 4, 5, 8, 9, 20]))
    filters = draw(st.sampled_from([1, 2, 3, 4, 5, 9]))
    rows, positions = max(height + top + bottom - 2, 1), max(width + before + after - 2, 1)
    return oracle.ConvShape(
        *(height, width, channels, rows, positions, filters), *(3, 3, 1, 1, 1, 1, top, before, 1)
    )


@st.composite
def heights(draw: Draw) -> oracle.ConvShape:
    """Width 3 and stride 1 along rows; any kernel, stride, dilation and padding down the columns."""
    s = draw(shapes_3x3())
    kernel, stride, dilation = draw(st.integers(2, 4)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    return replace(s, k_h=kernel, stride_h=stride, dilation_h=dilation)


def convolved(
    library: Library,
    kind: Kind,
    s: oracle.ConvShape,
    out: Out,
    groups: int,
    operands: tuple[Array, Array, Array],
    w_bits: int = 0,
    algorithm: str = "wino",
) -> Array:
    """x [H, W, C], w [F, KH, 3, C], bias [F] as the kernel takes it -> y [H, W, F]. w_bits: where w is packed.

    One row of one block is also written over its input (not 3 x 3).
    """
    x, w, bias = operands
    y = Output((s.out_h, s.out_w, s.out_c), kind.dtype)
    itemsize = np.dtype(kind.dtype).itemsize
    if s.k_h > 1 and itemsize == 1:
        algorithm, size = "wino_3x3", scratch_bytes_wino_3x3(s.in_c, groups)
    elif algorithm == "wino4":
        size = scratch_bytes_wino(s.in_c, groups)
    else:
        size = scratch_bytes(s.in_c, groups, itemsize, s.k_h, kind.packed)
    scratch = Output((size // 4,), np.uint32)
    table = (arrange(w.astype(kind.dtype)),)
    if kind.packed:
        table = (arrange_packed(w, w_bits, algorithm, itemsize), w_bits)
    x = x.astype(kind.dtype)
    more = (*table, bias.astype(kind.acc), shape_to_c(oracle.fields(s)), out, groups, scratch.array)
    library.call(f"nn_conv_{kind.name}_{algorithm}", x, *more, y.array)
    scratch.checked()
    result = y.checked()
    if algorithm != "wino_3x3" and s.out_h == 1 and s.out_w <= 16 * groups:
        for place in range(0, x.size, max(x.size // 4, 1)):
            both = np.zeros(place + max(x.size, result.size), x.dtype)
            both[place : place + x.size] = x.ravel()
            library.call(f"nn_conv_{kind.name}_{algorithm}", both[place:], *more, both)
            assert both[: result.size].tobytes() == result.tobytes()
    return result


@pytest.mark.parametrize("kind", [Q8, A8], ids=lambda kind: kind.name)
@settings(max_examples=200, deadline=None)
@given(data=st.data(), s=st.one_of(shapes(), shapes_3x3()), groups=GROUPS, seed=SEEDS)
def test_8_bits(
    library: Library, kind: Kind, data: st.DataObject, s: oracle.ConvShape, groups: int, seed: int
) -> None:
    s = replace(s, x_zero=data.draw(st.sampled_from([0, -128, 5])))
    out = data.draw(outs(kind, s.out_c))
    given = operands(seed, kind, 8, (s.in_h, s.in_w, s.in_c), (s.out_c, s.k_h, 3, s.in_c), s.out_c)
    expected = finished(oracle.conv(*given, s), out, kind)
    assert convolved(library, kind, s, out, groups, given).tobytes() == expected.tobytes()


# For each transform along the rows the taps and inputs of the largest sums.
EXTREMES = [
    ((-128, 0, 0), (-128, 0, 127, 0, -128, 0)),
    ((-128, -128, -128), (0, -128, -128, 127, 127, 0)),
    ((-128, 127, -128), (0, -128, 127, 127, -128, 0)),
    ((-128, -128, -128), (0, 127, 127, -128, -128, 0)),
    ((-128, 127, -128), (0, -128, 127, 127, -128, 0)),
    ((0, 0, -128), (0, -128, 0, 127, 0, -128)),
]


@pytest.mark.parametrize("kind", [Q8, A8], ids=lambda kind: kind.name)
@pytest.mark.parametrize("down", EXTREMES)
@pytest.mark.parametrize("along", EXTREMES)
def test_8_bits_3x3_largest_numbers(
    library: Library,
    kind: Kind,
    down: tuple[tuple[int, ...], tuple[int, ...]],
    along: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    """As many channels as the proof allows of inputs and weights that are the largest of each product."""

    def outer(column: tuple[int, ...], row: tuple[int, ...]) -> Array:
        signs = np.sign(column)[:, None] * np.sign(row)
        return np.where(signs > 0, 127, np.where(signs < 0, -128, 0))

    weights, inputs = outer(down[0], along[0]), outer(down[1], along[1])
    channels = 1
    while serves_8_3x3(np.repeat(weights[None, :, :, None], channels + 1, 3), 128):
        channels += 1
    w = np.repeat(weights[None, :, :, None], channels, 3)
    x = np.repeat(inputs[:, :, None], channels, 2)
    s = oracle.ConvShape(*(6, 6, channels, 4, 4, 1), *(3, 3, 1, 1, 1, 1, 0, 0, 1))
    out = (
        Requant(14, oracle.Rounding.FLOOR, -128, 127)
        if kind is Q8
        else Affine((1 << 30,), (-14,), 0, -128, 127)
    )
    expected = finished(oracle.conv(x, w, np.zeros(1, np.int64), s), out, kind)
    given = (x, w, np.zeros(1, np.int64))
    assert convolved(library, kind, s, out, 1, given).tobytes() == expected.tobytes()


def test_8_bits_3x3_weights_at_their_limit() -> None:
    """24 * 128 * (6 * 7 * 127) for each row of the kernel and channel."""
    assert serves_8_3x3(np.full((2, 3, 3, 43), 127, np.int8), 128)
    assert not serves_8_3x3(np.full((2, 3, 3, 44), 127, np.int8), 128)


NARROW = {Q8_PACKED: 8, Q16_PACKED: 12}


@pytest.mark.parametrize("kind", NARROW, ids=lambda kind: kind.name)
@settings(max_examples=300, deadline=None)
@given(
    data=st.data(),
    s=shapes(),
    groups=GROUPS,
    seed=SEEDS,
    w_bits=st.integers(2, 16),
    x_bits=st.integers(2, 12),
)
def test_packed_by_f43(
    library: Library,
    kind: Kind,
    data: st.DataObject,
    s: oracle.ConvShape,
    groups: int,
    seed: int,
    w_bits: int,
    x_bits: int,
) -> None:
    """Inputs of up to 8 or 12 bits, weights as large as the proof allows."""
    bits = min(x_bits, NARROW[kind])
    s = replace(s, x_zero=data.draw(st.sampled_from([0, -(1 << (bits - 1)), 1])))
    out = data.draw(outs(kind, s.out_c))
    x, w, bias = operands(seed, kind, w_bits, (s.in_h, s.in_w, s.in_c), (s.out_c, 1, 3, s.in_c), s.out_c)
    x >>= kind.bits - bits
    bias >>= 4
    while not serves_43(w[:, 0], 1 << (bits - 1)):
        w //= 2
    expected = finished(oracle.conv(x, w, bias, s), out, kind)
    algorithm = "wino" if kind is Q8_PACKED else "wino4"
    found = convolved(library, kind, s, out, groups, (x, w, bias), w_bits, algorithm)
    assert found.tobytes() == expected.tobytes()


def test_f43_at_its_limits() -> None:
    def fits(a: int, b: int, c: int, magnitude: int = 1) -> bool:
        return serves_43(np.array([a, b, c]).reshape(1, 3, 1), magnitude)

    assert fits(32767, 0, 0) and not fits(32767, 1, 0) and not fits(0, 0, 8192) and fits(3, 0, 8191)
    assert fits(4681, 4681, 4681) and not fits(4682, -4681, 4681) and not fits(4682, 4681, 4681)
    assert fits(1, 0, 0, 3276) and not fits(1, 0, 0, 3277)
    assert fits(27313, 0, 0, 3276) and not fits(27314, 0, 0, 3276)  # 24 * 27313 * 3276 = 2^31 - 26336


@pytest.mark.parametrize("kind", [Q16, Q16_PACKED], ids=lambda kind: kind.name)
@settings(max_examples=300, deadline=None)
@given(
    data=st.data(),
    s=st.one_of(shapes(), heights()),
    groups=GROUPS,
    seed=SEEDS,
    w_bits=st.integers(2, 13),
    extreme=st.booleans(),
)
def test_q16(
    library: Library,
    kind: Kind,
    data: st.DataObject,
    s: oracle.ConvShape,
    groups: int,
    seed: int,
    w_bits: int,
    extreme: bool,
) -> None:
    """Weights as large as the sums allow; inputs of 0 and 32767 alone among them."""
    out = served(data.draw(filter_outs(Q16, SHIFTS["q16"], s.out_c)))
    assert isinstance(out, Requant)
    out = replace(out, shift=min(out.shift, 30))
    x, w, bias = operands(seed, kind, w_bits, (s.in_h, s.in_w, s.in_c), (s.out_c, s.k_h, 3, s.in_c), s.out_c)
    x = np.where(x > 0, np.iinfo(np.int16).max, 0) if extreme else np.abs(x).clip(0, np.iinfo(np.int16).max)
    while not serves_q16(w, bias, np.iinfo(np.int16).max):
        w //= 2
    expected = oracle.finish_filters(oracle.conv(x, w, bias, s), out, Q16.dtype)
    found = convolved(library, kind, s, out, groups, (x, w, bias_q16(w, bias)), w_bits)
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("taps", "fits"),
    [
        ((16383, 0, -16384), True),
        ((16384, 0, 0), False),
        ((0, 0, -16385), False),
        ((10922, 10922, 10922), True),
        ((10923, 10923, 10923), False),
        ((-10923, 10923, -10922), True),
        ((-10923, 10923, -10923), False),
    ],
)
def test_q16_weights_at_their_limits(library: Library, taps: tuple[int, int, int], fits: bool) -> None:
    """One channel, inputs that a wrong sign or a lost carry would show."""
    w = np.array(taps, np.int64).reshape(1, 1, 3, 1)
    bias = np.array([12345])
    assert serves_q16(w, bias, 32767) == fits
    if fits:
        s = oracle.ConvShape(*(1, 18, 1, 1, 18, 1), *(1, 3, 1, 1, 1, 1, 0, 1, 1))
        x = np.array([0, 32767, 32767, 0, 0, 32767, 1, 32766, 0, 32767, 0, 32767, 5, 5, 32767, 32767, 0, 0])
        out = Requant(15, oracle.Rounding.FLOOR, -32768, 32767)
        expected = oracle.finish_filters(oracle.conv(x.reshape(1, 18, 1), w, bias, s), out, Q16.dtype)
        found = convolved(library, Q16, s, out, 1, (x, w, bias_q16(w, bias)))
        assert found.tobytes() == expected.tobytes()


def test_q16_sums_at_their_limit() -> None:
    w = np.zeros((1, 1, 3, 4), np.int64)
    w[0, 0, 1, :2] = [16383, 16383]  # 2 * 16383 * 32767 = 2^30 - 98302
    assert serves_q16(w, np.array([98301]), 32767)
    assert not serves_q16(w, np.array([98302]), 32767)
    assert not serves_q16(-w, np.array([-98302]), 32767)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.one_of(shapes(), heights()), GROUPS, SEEDS)
def test_f32(library: Library, data: st.DataObject, s: oracle.ConvShape, groups: int, seed: int) -> None:
    """SPEC.md's bound of the difference from the exact sums."""
    out = data.draw(filter_outs(F32, SHIFTS["f32"], s.out_c))
    assert isinstance(out, Range)
    given = operands(seed, F32, 0, (s.in_h, s.in_w, s.in_c), (s.out_c, s.k_h, 3, s.in_c), s.out_c)
    found = convolved(library, F32, s, out, groups, given)
    x, w, bias = (array.astype(np.float64) for array in given)
    exact = np.clip(oracle.conv(x, w, bias, s), out.low, out.high)
    largest = s.k_h * s.in_c * np.abs(w).max() * np.abs(x).max()
    bound = (3 * s.k_h * s.in_c + 16) * 2.0**-24 * (90 * largest + 3 * np.abs(bias))
    assert (np.abs(found - exact) <= bound).all()


@pytest.mark.parametrize("channels", [9, 16, 80])
def test_f32_error_of_a_layer(library: Library, channels: int) -> None:
    """Inputs behind a ReLU, weights as training starts with them: a fifth of the tolerance of 1e-5 is not reached."""
    rng = np.random.default_rng(channels)
    s = oracle.ConvShape(*(1, 128, channels, 1, 128, 80), *(1, 3, 1, 1, 1, 1, 0, 1, 1))
    x = np.maximum(rng.standard_normal((1, 128, channels), np.float32), 0)
    w = rng.standard_normal((80, 1, 3, channels), np.float32) * np.float32(np.sqrt(2 / (3 * channels)))
    bias = rng.standard_normal(80, np.float32) / 10
    exact = oracle.conv(x.astype(np.float64), w.astype(np.float64), bias.astype(np.float64), s)
    found = convolved(library, F32, s, Range(), 2, (x, w, bias))
    assert np.abs(found - exact).max() < 2e-6 * np.abs(exact).max()


def test_f32_bits_do_not_depend_on_the_blocks(library: Library) -> None:
    s = oracle.ConvShape(*(1, 70, 5, 1, 70, 6), *(1, 3, 1, 1, 1, 1, 0, 1, 1))
    given = operands(3, F32, 0, (1, 70, 5), (6, 1, 3, 5), 6)
    bits = {convolved(library, F32, s, Range(0.0), groups, given).tobytes() for groups in (1, 2, 3, 5)}
    assert len(bits) == 1


def test_f32_special_values(library: Library) -> None:
    """A NaN stays in the tiles that see it passes a ReLU as in nn_clamp_f32."""
    s = oracle.ConvShape(*(1, 16, 1, 1, 16, 1), *(1, 3, 1, 1, 1, 1, 0, 1, 1))
    x, w = np.ones((1, 16, 1), np.float32), np.ones((1, 1, 3, 1), np.float32)
    x[0, 9] = np.nan
    y = convolved(library, F32, s, Range(0.0), 1, (x, w, np.zeros(1, np.float32))).ravel()
    assert np.isnan(y[8:11]).all() and np.isfinite(y[:4]).all() and np.isfinite(y[12:]).all()
