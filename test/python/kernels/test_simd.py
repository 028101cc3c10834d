"""Convolutions by SIMD, bit for bit, over awkward shapes, with guarded scratch memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from microai.codegen.simd import arrange_simd, scratch_bytes

from . import oracle
from .library import F32, Q8, Q16, Kind, Library, Output, Range, Requant, shape_to_c
from .shapes import SEEDS, conv_shapes, filter_outs
from .test_sums import SHIFTS, operands

KINDS = (Q8, Q16, F32)


def served(out: Requant | Range) -> Requant | Range:
    """The nearest output that these kernels make: right shifts, rounded down."""
    if isinstance(out, Range):
        return out
    own = None if out.shifts is None else tuple(max(shift, 0) for shift in out.shifts)
    return replace(out, shift=max(out.shift, 0), rounding=oracle.Rounding.FLOOR, shifts=own)


def run(library: Library, kind: Kind, s: oracle.ConvShape, out: Requant | Range, seed: int) -> None:
    """Compare with the oracle; a requantization is brought into what these kernels do."""
    s = replace(s, x_zero=0)
    out = served(out)
    shape = (s.out_c, s.k_h, s.k_w, s.in_c)
    x, w, bias = operands(seed, kind, kind.w_bits, (s.in_h, s.in_w, s.in_c), shape, s.out_c)
    expected = oracle.finish_filters(oracle.conv(x, w, bias, s), out, kind.dtype)
    y = Output(expected.shape, kind.dtype)
    table = arrange_simd(w.astype(kind.dtype))
    bytes_ = scratch_bytes(s.k_h * s.k_w * s.in_c, s.out_h * s.out_w, np.dtype(kind.dtype).itemsize)
    scratch = Output((bytes_ // 4,), np.uint32)
    more = [scratch.array] if kind.fixed else []
    library.call(
        f"nn_conv_{kind.name}_simd",
        *(x.astype(kind.dtype), table, bias.astype(kind.acc), shape_to_c(oracle.fields(s)), out),
        *(*more, y.array),
    )
    scratch.checked()
    assert y.checked().tobytes() == expected.tobytes()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_conv_simd(library: Library, kind: Kind) -> None:
    @settings(max_examples=200, deadline=None)
    @given(st.data(), conv_shapes().filter(lambda s: s.groups == 1), SEEDS)
    def check(data: st.DataObject, s: oracle.ConvShape, seed: int) -> None:
        out = data.draw(filter_outs(kind, SHIFTS[kind.name], s.out_c))
        run(library, kind, replace(s, dilation_w=1) if kind is F32 else s, out, seed)

    check()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_dense_as_a_convolution(library: Library, kind: Kind) -> None:
    @settings(max_examples=60, deadline=None)
    @given(st.data(), st.integers(1, 70), st.integers(1, 9), SEEDS)
    def check(data: st.DataObject, channels: int, filters: int, seed: int) -> None:
        out = data.draw(filter_outs(kind, SHIFTS[kind.name], filters))
        s = oracle.ConvShape(1, 1, channels, 1, 1, filters, 1, 1, 1, 1, 1, 1, 0, 0, 1)
        run(library, kind, s, out, seed)

    check()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("positions", [6, 13, 24])
def test_long_rows(library: Library, kind: Kind, positions: int) -> None:
    """Blocks of several positions and turns of the unrolled loops."""
    for seed, (channels, filters, width) in enumerate([(9, 7, 3), (16, 8, 3), (33, 5, 1), (2, 3, 5)]):
        pad = width // 2
        s = oracle.ConvShape(
            *(1, positions, channels, 1, positions, filters), *(1, width, 1, 1, 1, 1, 0, pad, 1)
        )
        out = Requant(7, oracle.Rounding.FLOOR, -100, 127) if kind.fixed else Range(0.0)
        run(library, kind, s, out, seed)
