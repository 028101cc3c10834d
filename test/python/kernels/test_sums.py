"""Convolution and dense kernels, bit for bit, over awkward shapes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from . import oracle
from .library import KINDS, Array, Kind, Library, Output, Requant, shape_to_c
from .shapes import SEEDS, conv_shapes, filter_outs, numbers

# Shifts that bring typical sums into the output's range, and some that do not.
SHIFTS = {
    "q8": (-2, 16),
    "q8_wide": (30, 50),
    "q16": (-2, 18),
    "q16_wide": (30, 60),
    "f32": (0, 0),
    "q16_w8": (-2, 18),
    "q16_w8_wide": (30, 60),
    "q8_packed": (-2, 24),
    "q8_packed_wide": (30, 50),
    "q16_packed": (-2, 18),
    "q16_packed_wide": (30, 60),
}


def w_width(data: st.DataObject, kind: Kind) -> int:
    return data.draw(st.integers(2, kind.w_bits)) if kind.packed else kind.w_bits


def operands(
    seed: int, kind: Kind, w_bits: int, x: tuple[int, ...], w: tuple[int, ...], filters: int
) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    return (
        numbers(rng, x, kind, kind.bits),
        numbers(rng, w, kind, w_bits),
        numbers(rng, (filters,), kind, kind.bias_bits),
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_conv(library: Library, kind: Kind) -> None:
    @settings(max_examples=120, deadline=None)
    @given(st.data(), conv_shapes(), SEEDS)
    def check(data: st.DataObject, s: oracle.ConvShape, seed: int) -> None:
        out = data.draw(filter_outs(kind, SHIFTS[kind.name], s.out_c))
        filters = (s.out_c, s.k_h, s.k_w, s.in_c // s.groups)
        w_bits = w_width(data, kind)
        x, w, bias = operands(seed, kind, w_bits, (s.in_h, s.in_w, s.in_c), filters, s.out_c)
        sums = oracle.conv(x, w, bias, s if kind.fixed else replace(s, x_zero=0))
        expected = oracle.finish_filters(sums, out, kind.dtype)
        y = Output(expected.shape, kind.dtype)
        arrays = (x.astype(kind.dtype), *kind.weights(w, w_bits), bias.astype(kind.acc))
        library.call(f"nn_conv_{kind.name}", *arrays, shape_to_c(oracle.fields(s)), out, y.array)
        assert y.checked().tobytes() == expected.tobytes()

    check()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_dense(library: Library, kind: Kind) -> None:
    @settings(max_examples=80, deadline=None)
    @given(st.data(), st.integers(1, 70), st.integers(1, 9), SEEDS)
    def check(data: st.DataObject, channels: int, filters: int, seed: int) -> None:
        out = data.draw(filter_outs(kind, SHIFTS[kind.name], filters))
        w_bits = w_width(data, kind)
        x, w, bias = operands(seed, kind, w_bits, (channels,), (filters, channels), filters)
        acc = bias.copy()
        for c in range(channels):
            acc += x[c] * w[:, c]
        expected = oracle.finish_filters(acc, out, kind.dtype)
        y = Output(expected.shape, kind.dtype)
        arrays = (x.astype(kind.dtype), *kind.weights(w, w_bits), bias.astype(kind.acc))
        library.call(f"nn_dense_{kind.name}", *arrays, channels, filters, out, y.array)
        assert y.checked().tobytes() == expected.tobytes()

    check()


@pytest.mark.parametrize("kind", [k for k in KINDS if k.fixed], ids=lambda kind: kind.name)
@pytest.mark.parametrize("end", [-1, 1])
def test_accumulator_at_its_ends(library: Library, kind: Kind, end: int) -> None:
    """The largest sum that the contract allows, and its saturation."""
    limit = np.iinfo(kind.acc).max
    x = np.array([np.iinfo(kind.dtype).min], kind.dtype)
    w = kind.weights(np.array([[-end]]), 2)
    bias = np.array([end * (limit - int(-x[0].astype(np.int64)))], kind.acc)
    for shift in (0, 1, kind.bits, np.dtype(kind.acc).itemsize * 8 - 2):
        out = Requant(
            min(shift, 62),
            oracle.Rounding.NEAREST,
            *map(int, (np.iinfo(kind.dtype).min, np.iinfo(kind.dtype).max)),
        )
        y = Output((1,), kind.dtype)
        library.call(f"nn_dense_{kind.name}", x, *w, bias, 1, 1, out, y.array)
        assert y.checked()[0] == oracle.requant_exact(end * limit, out)
