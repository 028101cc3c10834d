"""Convolutions by SIMD, bit for bit, over awkward shapes, with guarded scratch memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from microai.codegen import affine_math
from microai.codegen.ops.conv import Window, depthwise_down, depthwise_scratch
from microai.codegen.packing import arrange_packed
from microai.codegen.simd import arrange_depthwise, arrange_groups, scratch_bytes

from . import oracle
from .library import (
    A8,
    A16,
    F32,
    Q8,
    Q8_PACKED,
    Q16,
    Q16_PACKED,
    Q16_WIDE,
    Affine,
    Array,
    Kind,
    Library,
    Output,
    Range,
    Requant,
    shape_to_c,
)
from .shapes import SEEDS, Draw, conv_shapes, filter_outs
from .test_affine import affine_outs, finish
from .test_sums import SHIFTS, operands, w_width

# Accumulators and biases of the SIMD kernels have 32 bits.
A16_NARROW = replace(A16, acc=np.int32, bias_bits=24)
# Its sums have 64: of full-range inputs and weights most leave 32.
Q16_WIDE_SIMD = replace(Q16_WIDE, acc=np.int32, bias_bits=32)
KINDS = (Q8, Q16, Q16_WIDE_SIMD, F32, A8, A16_NARROW, Q8_PACKED, Q16_PACKED)
DEPTHWISE_KINDS = (Q8, Q16, Q16_WIDE_SIMD, F32, A8, A16_NARROW)
GROUPS = st.integers(1, 3)
Out = Requant | Range | Affine


@st.composite
def outs(draw: Draw, kind: Kind, filters: int) -> Out:
    """Outputs that these kernels make."""
    if kind in (A8, A16_NARROW):
        return draw(affine_outs(kind, (-22, -1) if kind is A8 else (-17, -1), filters))
    return served(draw(filter_outs(kind, (0, 31) if kind is Q16_WIDE_SIMD else SHIFTS[kind.name], filters)))


def finished(acc: Array, out: Out, kind: Kind) -> Array:
    if isinstance(out, Affine):
        multiply = affine_math.multiply if kind is A8 else affine_math.multiply_wide
        return finish(acc, out, multiply).astype(kind.dtype)
    return oracle.finish_filters(acc, out, kind.dtype)


def served(out: Requant | Range) -> Requant | Range:
    """The nearest output that these kernels make: right shifts, rounded down."""
    if isinstance(out, Range):
        return out
    own = None if out.shifts is None else tuple(max(shift, 0) for shift in out.shifts)
    return replace(out, shift=max(out.shift, 0), rounding=oracle.Rounding.FLOOR, shifts=own)


def run(
    library: Library, kind: Kind, s: oracle.ConvShape, out: Out, seed: int, w_bits: int, blocks: int
) -> None:
    """Compare with the oracle. w_bits, blocks of 16 positions: where weights are packed."""
    s = replace(s, x_zero=0) if kind in (F32, A16_NARROW) else s
    shape = (s.out_c, s.k_h, s.k_w, s.in_c // s.groups)
    x, w, bias = operands(seed, kind, w_bits, (s.in_h, s.in_w, s.in_c), shape, s.out_c)
    expected = finished(oracle.conv(x, w, bias, s), out, kind)
    y = Output(expected.shape, kind.dtype)
    itemsize = np.dtype(kind.dtype).itemsize
    table: tuple[Array | int, ...]
    if kind.packed:
        table = (arrange_packed(w, w_bits, "simd", itemsize), w_bits)
    else:
        table = (arrange_groups(w.astype(kind.w_dtype or kind.dtype), kind.bits // 8, s.groups),)
    groups = [blocks] if kind.packed else []
    bytes_ = scratch_bytes(w[0].size, s.out_h * s.out_w, itemsize, *groups)
    scratch = Output((bytes_ // 4,), np.uint32)
    more = [scratch.array] if kind.fixed else []
    library.call(
        f"nn_conv_{kind.name}_simd",
        *(x.astype(kind.dtype), *table, bias.astype(kind.acc), shape_to_c(oracle.fields(s)), out),
        *(*groups, *more, y.array),
    )
    scratch.checked()
    assert y.checked().tobytes() == expected.tobytes()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_conv_simd(library: Library, kind: Kind) -> None:
    @settings(max_examples=200, deadline=None)
    @given(st.data(), conv_shapes(), SEEDS)
    def check(data: st.DataObject, s: oracle.ConvShape, seed: int) -> None:
        assume(s.groups == 1 or not kind.packed)
        out = data.draw(outs(kind, s.out_c))
        run(library, kind, s, out, seed, w_width(data, kind), data.draw(GROUPS))

    check()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_dense_as_a_convolution(library: Library, kind: Kind) -> None:
    @settings(max_examples=60, deadline=None)
    @given(st.data(), st.integers(1, 70), st.integers(1, 9), SEEDS)
    def check(data: st.DataObject, channels: int, filters: int, seed: int) -> None:
        out = data.draw(outs(kind, filters))
        s = oracle.ConvShape(1, 1, channels, 1, 1, filters, 1, 1, 1, 1, 1, 1, 0, 0, 1)
        run(library, kind, s, out, seed, w_width(data, kind), 1)

    check()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("positions", [6, 13, 24, 37])
def test_long_rows(library: Library, kind: Kind, positions: int) -> None:
    """Blocks of several positions and turns of the unrolled loops."""
    for seed, (channels, filters, width) in enumerate([(9, 7, 3), (16, 8, 3), (33, 5, 1), (2, 3, 5)]):
        pad = width // 2
        s = oracle.ConvShape(
            *(1, positions, channels, 1, positions, filters), *(1, width, 1, 1, 1, 1, 0, pad, 1)
        )
        multipliers, shifts = range(2**30, 2**30 + 12345 * filters, 12345), range(-10, filters - 10)
        out: Out = Requant(7, oracle.Rounding.FLOOR, -100, 127) if kind.fixed else Range(0.0)
        if kind in (A8, A16_NARROW):
            out = Affine(tuple(multipliers), tuple(shifts), -5 if kind is A8 else 0, -128, 127)
        run(library, kind, s, out, seed, min(kind.w_bits, 9), 1 + seed % 2)


@pytest.mark.parametrize("positions", [1, 7])
@pytest.mark.parametrize("end", [-1, 1])
def test_sums_of_more_than_32_bits(library: Library, positions: int, end: int) -> None:
    """Sums that leave 32 bits at the end; on the way only; in the second of three pairs of filters alone."""
    largest, filters, channels = 2**15 - 1, 6, 12
    x = np.full((1, positions, channels), largest, np.int64)
    w = np.zeros((filters, 1, 1, channels), np.int64)
    w[2], w[3, ..., :6], w[3, ..., 6:] = end * largest, end * largest, -end * largest
    w[4:, ..., :1] = end
    bias = np.array([5, -5, 0, 2**31 - 1, -(2**31), 9], np.int64)
    s = oracle.ConvShape(1, positions, channels, 1, positions, filters, *(1, 1, 1, 1, 1, 1, 0, 0, 1))
    sums = oracle.conv(x, w, bias, s)
    assert abs(sums[..., 2]).min() > 2**33 and abs(sums[..., 3]).max() < 2**31
    for shift in (0, 16, 21):
        out = Requant(shift, oracle.Rounding.FLOOR, -(2**15), 2**15 - 1)
        expected = finished(sums, out, Q16_WIDE_SIMD)
        y = Output(expected.shape, np.int16)
        words = scratch_bytes(channels, positions, 2) // 4
        library.call(
            "nn_conv_q16_wide_simd",
            *(x.astype(np.int16), arrange_groups(w.astype(np.int16), 2, 1), bias.astype(np.int32)),
            *(shape_to_c(oracle.fields(s)), out, np.empty(words, np.uint32), y.array),
        )
        assert y.checked().tobytes() == expected.tobytes()


def run_depthwise(library: Library, kind: Kind, s: oracle.ConvShape, out: Out, seed: int) -> None:
    """Compare with the oracle; lines along the longer side of the output."""
    s = replace(s, x_zero=0) if kind in (F32, A16_NARROW) else s
    shape = (s.out_c, s.k_h, s.k_w, 1)
    x, w, bias = operands(seed, kind, kind.w_bits, (s.in_h, s.in_w, s.in_c), shape, s.out_c)
    expected = finished(oracle.conv(x, w, bias, s), out, kind)
    window = Window((s.k_h, s.k_w), (s.stride_h, s.stride_w), dilation=(s.dilation_h, s.dilation_w))
    bytes_ = depthwise_scratch(window, expected.shape, kind.bits // 8)
    down = depthwise_down(expected.shape)
    y, scratch = Output(expected.shape, kind.dtype), Output((bytes_ // 4,), np.uint32)
    more = [int(down), scratch.array] if kind.fixed else []
    table = arrange_depthwise(w[..., 0].astype(kind.w_dtype or kind.dtype), down)
    library.call(
        f"nn_conv_{kind.name}_depthwise",
        *(x.astype(kind.dtype), table, bias.astype(kind.acc), shape_to_c(oracle.fields(s)), out),
        *(*more, y.array),
    )
    scratch.checked()
    assert y.checked().tobytes() == expected.tobytes()


def turned(s: oracle.ConvShape) -> oracle.ConvShape:
    """Height and width exchanged."""
    return oracle.ConvShape(
        *(s.in_w, s.in_h, s.in_c, s.out_w, s.out_h, s.out_c, s.k_w, s.k_h, s.stride_w, s.stride_h),
        *(s.dilation_w, s.dilation_h, s.pad_left, s.pad_top, s.groups, s.x_zero),
    )


@pytest.mark.parametrize("kind", DEPTHWISE_KINDS, ids=lambda kind: kind.name)
def test_depthwise(library: Library, kind: Kind) -> None:
    @settings(max_examples=300, deadline=None)
    @given(st.data(), conv_shapes(), st.sampled_from([1, 1, 2, 3]), st.booleans(), SEEDS)
    def check(data: st.DataObject, s: oracle.ConvShape, multiplier: int, turn: bool, seed: int) -> None:
        s = replace(s, groups=s.in_c, out_c=multiplier * s.in_c)
        run_depthwise(library, kind, turned(s) if turn else s, data.draw(outs(kind, s.out_c)), seed)

    check()


@pytest.mark.parametrize("kind", DEPTHWISE_KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("kernel", [(3, 3), (1, 3), (1, 9), (1, 16), (2, 33), (5, 5)])
def test_long_lines(library: Library, kind: Kind, stride: int, kernel: tuple[int, int]) -> None:
    """Several blocks of a line, lines of several pieces, windows of three lines, on both sides."""
    rows, columns = (1, 1) if kernel[0] == 1 else (4, 3), (140, 70)
    out_h, out_w = rows[1], columns[1]
    for seed, (channels, zero) in enumerate([(2, 0), (3, -7), (9, 5)]):
        s = oracle.ConvShape(
            *(rows[0], columns[0], channels, out_h, out_w, channels, *kernel),
            *(1, stride, 1, 1, kernel[0] // 2, kernel[1] // 2, channels, zero),
        )
        out: Out = Requant(7, oracle.Rounding.FLOOR, -100, 127) if kind.fixed else Range(-1.0, 2.0)
        if kind in (A8, A16_NARROW):
            multipliers, shifts = range(2**30, 2**30 + channels), range(-10, channels - 10)
            out = Affine(tuple(multipliers), tuple(shifts), -5 if kind is A8 else 0, -128, 127)
        run_depthwise(library, kind, s, out, seed)
        run_depthwise(library, kind, turned(s), out, seed)
