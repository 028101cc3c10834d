"""Pooling, addition, copy and fill, bit for bit, in place where that is allowed."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from . import oracle
from .library import (
    F32,
    Q8,
    Q16,
    Q16_WIDE,
    STORAGE_KINDS,
    Array,
    Kind,
    Library,
    Output,
    Range,
    Requant,
    shape_to_c,
)
from .shapes import SEEDS, numbers, outs, pool_shapes


@pytest.fixture(scope="module", params=["-O2", "-DNN_SMALL"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Of images for speed, and of small ones: other C."""
    return Library(tmp_path_factory.mktemp("nn_runtime"), request.param)


def scalar(kind: Kind, value: float) -> object:
    """A clamp bound as C passes it."""
    return ctypes.c_float(value) if not kind.fixed else int(value)


def pooled_in(x: Array, s: oracle.PoolShape, kind: Kind, in_place: bool) -> tuple[Array, Output, Array]:
    """Input array, guarded output and the output's part of it; the same memory when in place."""
    count = s.out_h * s.out_w * s.channels
    if in_place:
        both = Output((x.size,), kind.dtype, x.reshape(-1))
        return both.array, both, both.array[:count]
    y = Output((count,), kind.dtype)
    return x.astype(kind.dtype), y, y.array


@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in_place"])
@pytest.mark.parametrize("kind", STORAGE_KINDS, ids=lambda kind: kind.name)
def test_pool_max(library: Library, kind: Kind, in_place: bool) -> None:
    @settings(max_examples=80, deadline=None)
    @given(pool_shapes(padded=not in_place), outs(kind, (0, 0)), SEEDS)
    def check(s: oracle.PoolShape, out: Requant | Range, seed: int) -> None:
        x = numbers(np.random.default_rng(seed), (s.in_h, s.in_w, s.channels), kind, kind.bits)
        expected = np.zeros((s.out_h, s.out_w, s.channels), kind.dtype)
        for at, values in oracle.windows(x, s):
            expected[at] = min(max(values.max(initial=out.low), out.low), out.high)
        given_x, guard, y = pooled_in(x, s, kind, in_place)
        low, high = scalar(kind, out.low), scalar(kind, out.high)
        library.call(f"nn_pool_max_{kind.name}", given_x, shape_to_c(oracle.fields(s)), low, high, y)
        guard.checked()
        assert y.tobytes() == expected.tobytes()

    check()


@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in_place"])
@pytest.mark.parametrize("kind", STORAGE_KINDS, ids=lambda kind: kind.name)
def test_pool_avg(library: Library, kind: Kind, in_place: bool) -> None:
    @settings(max_examples=80, deadline=None)
    @given(pool_shapes(padded=not in_place), outs(kind, (-9, 9)), SEEDS)
    def check(s: oracle.PoolShape, out: Requant | Range, seed: int) -> None:
        x = numbers(np.random.default_rng(seed), (s.in_h, s.in_w, s.channels), kind, kind.bits)
        expected = np.zeros((s.out_h, s.out_w, s.channels), kind.dtype)
        for at, values in oracle.windows(x, s):
            count = max(len(values), 1)
            if isinstance(out, Requant):
                expected[at] = oracle.requant_exact(sum(values.tolist()), out, count)
            else:
                total = np.float32(0)
                for value in values:
                    total += value
                expected[at] = oracle.finish(total / np.float32(count), out, kind.dtype)
        given_x, guard, y = pooled_in(x, s, kind, in_place)
        library.call(f"nn_pool_avg_{kind.name}", given_x, shape_to_c(oracle.fields(s)), out, y)
        guard.checked()
        assert y.tobytes() == expected.tobytes()

    check()


def test_float_pooling_of_special_values(library: Library) -> None:
    x = np.array([[np.nan, -np.inf, 1.0, np.nan]], np.float32).reshape(1, 4, 1)
    s = oracle.PoolShape(1, 4, 1, 1, 2, 1, 2, 1, 2, 0, 0)
    y = Output((2,), np.float32)
    bounds = (ctypes.c_float(-np.inf), ctypes.c_float(np.inf))
    library.call("nn_pool_max_f32", x, shape_to_c(oracle.fields(s)), *bounds, y.array)
    assert y.checked().tolist() == [-np.inf, 1.0]


@pytest.mark.parametrize("place", ["apart", "on_a", "on_b"])
@pytest.mark.parametrize("kind", [Q8, Q16, Q16_WIDE, F32], ids=lambda kind: kind.name)
def test_add(library: Library, kind: Kind, place: str) -> None:
    left = st.integers(0, {"q8": 22, "q16": 14, "q16_wide": 46, "f32": 0}[kind.name])

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 40), left, left, outs(kind, (-3, 20)), SEEDS)
    def check(count: int, left_a: int, left_b: int, out: Requant | Range, seed: int) -> None:
        rng = np.random.default_rng(seed)
        a, b = (numbers(rng, (count,), kind, kind.bits) for _ in "ab")
        acc = a * 2**left_a + b * 2**left_b if kind.fixed else a + b
        expected = oracle.finish(acc, out, kind.dtype)
        given_a, given_b = Output((count,), kind.dtype, a), Output((count,), kind.dtype, b)
        y = {"apart": Output((count,), kind.dtype), "on_a": given_a, "on_b": given_b}[place]
        lefts = (left_a, left_b) if kind.fixed else ()
        library.call(f"nn_add_{kind.name}", given_a.array, given_b.array, count, *lefts, out, y.array)
        assert y.checked().tobytes() == expected.tobytes()

    check()


@pytest.mark.parametrize("kind", STORAGE_KINDS, ids=lambda kind: kind.name)
def test_copy(library: Library, kind: Kind) -> None:
    @settings(max_examples=100, deadline=None)
    @given(*(st.integers(low, 9) for low in (0, 1, 0)), st.booleans(), outs(kind, (-31, 31)), SEEDS)
    def check(rows: int, row: int, gap: int, in_place: bool, out: Requant | Range, seed: int) -> None:
        rng = np.random.default_rng(seed)
        x = Output((rows, row), kind.dtype, numbers(rng, (rows, row), kind, kind.bits))
        between = numbers(rng, (rows, row + gap), kind, kind.bits).astype(kind.dtype)
        expected = between.copy()
        expected[:, :row] = oracle.finish(x.array, out, kind.dtype)
        y = x if in_place and gap == 0 else Output(between.shape, kind.dtype, between)
        library.call(f"nn_copy_{kind.name}", x.array, rows, row, row + gap, out, y.array)
        assert y.checked().tobytes() == expected.tobytes()

    check()


@pytest.mark.parametrize("kind", STORAGE_KINDS, ids=lambda kind: kind.name)
def test_fill(library: Library, kind: Kind) -> None:
    for count in range(9):
        value = kind.dtype(-3 - count)
        y = Output((count,), kind.dtype)
        library.call(f"nn_fill_{kind.name}", scalar(kind, float(value)), count, y.array)
        assert (y.checked() == value).all()
