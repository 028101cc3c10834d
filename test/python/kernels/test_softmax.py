"""Softmax: the C functions equal their numpy twins, and both are near the real softmax."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from microai.codegen.softmax import exp_f32, softmax_f32, softmax_fixed

from .library import F32, Q8, Q16, Array, Kind, Library, Output
from .shapes import SEEDS, numbers

FIXED = pytest.mark.parametrize("kind", [Q8, Q16], ids=lambda kind: kind.name)


def real_softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def fixed_in_c(library: Library, kind: Kind, x: Array, frac_in: int, frac_out: int, in_place: bool) -> Array:
    given_x = Output(x.shape, kind.dtype, x)
    y = given_x if in_place else Output(x.shape, kind.dtype)
    library.call(f"nn_softmax_{kind.name}", given_x.array, *x.shape, frac_in, frac_out, y.array)
    return y.checked()


@FIXED
def test_fixed(library: Library, kind: Kind) -> None:
    @settings(max_examples=300, deadline=None)
    @given(
        st.integers(0, 3),
        st.integers(1, 20),
        st.integers(-128, 127),
        st.integers(-128, 31),
        st.booleans(),
        SEEDS,
    )
    def check(rows: int, row: int, frac_in: int, frac_out: int, in_place: bool, seed: int) -> None:
        x = numbers(np.random.default_rng(seed), (rows, row), kind, kind.bits)
        expected = softmax_fixed(x, frac_in, frac_out, kind.bits)
        y = fixed_in_c(library, kind, x, frac_in, frac_out, in_place)
        assert y.tolist() == expected.tolist()

    check()


@FIXED
@pytest.mark.parametrize("row", [2, 3, 6, 10, 1000])
def test_fixed_is_near(library: Library, kind: Kind, row: int) -> None:
    """SPEC.md: |y - 2^frac_out * p| <= 1/2 + 2^frac_out * (2^-24 + (row + 1) * 2^-30), before saturation."""
    rng = np.random.default_rng(row)
    for frac_in in range(-2, kind.bits + 2):
        for frac_out in (kind.bits - 1, kind.bits - 3):
            x = numbers(rng, (20, row), kind, kind.bits)
            real = real_softmax(np.ldexp(x.astype(np.float64), -frac_in)) * 2**frac_out
            error = np.abs(
                fixed_in_c(library, kind, x, frac_in, frac_out, False) - np.minimum(real, 2**frac_out - 0.5)
            )
            assert error.max() <= 0.5 + 2**frac_out * (2**-24 + (row + 1) * 2**-30)


@FIXED
def test_all_differences_of_two(library: Library, kind: Kind) -> None:
    """A row of two covers every difference: more than 1/2 of error comes from saturation only."""
    high = 2 ** (kind.bits - 1) - 1
    difference = np.arange(2**kind.bits)
    x = np.stack([np.full_like(difference, high), high - difference], axis=1)
    frac_in, frac_out = kind.bits - 5, kind.bits - 1
    y = fixed_in_c(library, kind, x, frac_in, frac_out, False)
    assert (y == softmax_fixed(x, frac_in, frac_out, kind.bits)).all()
    real = real_softmax(np.ldexp(x.astype(np.float64), -frac_in)) * 2**frac_out
    assert np.abs(y - np.minimum(real, high + 0.5)).max() <= 0.505
    assert np.abs(y - real).max() <= 1.0
    assert (np.diff(y[:, 1]) <= 0).all(), "a smaller input has a smaller probability"


def test_narrow_widths() -> None:
    x = np.array([[100, -100, 0]])
    assert softmax_fixed(x, 3, 8, 9).tolist() == [[255, 0, 0]]
    with pytest.raises(ValueError, match="at most 8"):
        softmax_fixed(x, 3, 9, 9)


def test_f32(library: Library) -> None:
    @settings(max_examples=200, deadline=None)
    @given(
        st.integers(0, 3),
        st.integers(1, 20),
        st.sampled_from([0.01, 1.0, 10.0, 60.0, 1e20]),
        st.booleans(),
        SEEDS,
    )
    def check(rows: int, row: int, scale: float, in_place: bool, seed: int) -> None:
        x = numbers(np.random.default_rng(seed), (rows, row), F32, 32) * np.float32(scale)
        given_x = Output(x.shape, np.float32, x)
        y = given_x if in_place else Output(x.shape, np.float32)
        library.call("nn_softmax_f32", given_x.array, *x.shape, y.array)
        assert y.checked().tobytes() == softmax_f32(x).tobytes()
        assert np.allclose(y.array, real_softmax(x.astype(np.float64)), rtol=1e-5, atol=1e-37)

    check()


def test_exp_f32(library: Library) -> None:
    ends = np.array([0.0, -0.0, -87.0, 88.72283, np.inf, -np.inf, 1e30, -1e30, np.nan, 1e-40], np.float32)
    around = np.concatenate([np.nextafter(ends, np.float32(-np.inf)), np.nextafter(ends, np.float32(np.inf))])
    grid = np.arange(-87.5, 89, 0.0001, np.float64).astype(np.float32)
    halves = (np.arange(-125, 128) + 0.5) * np.log(2)  # where the range reduction changes its n
    x = np.concatenate([ends, around, grid, halves.astype(np.float32)])
    y = np.zeros_like(x)
    library.call("map_exp", x, len(x), y)
    assert ((y == exp_f32(x)) | np.isnan(x)).all() and np.isnan(y[np.isnan(x)]).all()
    inside = (x >= -87) & (x <= np.float32(88.72283))
    assert (y[x < -87] == 0).all() and (y[x > np.float32(88.72283)] == np.inf).all()
    real = np.exp(x[inside].astype(np.float64))
    assert np.abs(y[inside] / real - 1).max() < 2**-22
    assert y[0] == 1.0
