"""Awkward shapes, data and output formats for the kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from hypothesis import strategies as st
from microai.codegen.requant import Rounding

from .library import Array, Kind, Range, Requant
from .oracle import ConvShape, PoolShape

Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]
CHANNELS = st.sampled_from([1, 2, 3, 5, 9])
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def axes(draw: Draw, dilated: bool) -> tuple[int, int, int, int, int, int]:
    """One axis: input size, output size, kernel, stride, dilation, padding before; padding is often uneven."""
    size = draw(st.integers(1, 7))
    kernel = draw(st.integers(1, 5))
    stride = draw(st.integers(1, 3))
    dilation = draw(st.integers(1, 3)) if dilated else 1
    before = draw(st.integers(0, kernel + 1))
    after = draw(st.integers(0, kernel + 1))
    room = size + before + after - (kernel - 1) * dilation - 1
    return size, max(room, 0) // stride + 1, kernel, stride, dilation, before


LINE = st.just((1, 1, 1, 1, 1, 0))


@st.composite
def conv_shapes(draw: Draw) -> ConvShape:
    h = draw(st.one_of(LINE, axes(True)))
    w = draw(axes(True))
    grouping = draw(st.sampled_from(["one", "one", "depthwise", "groups"]))
    groups = {"one": 1, "depthwise": draw(CHANNELS), "groups": draw(st.integers(1, 3))}[grouping]
    per_group = 1 if grouping == "depthwise" else draw(CHANNELS)
    filters = draw(st.integers(1, 3)) if groups > 1 else draw(CHANNELS)
    return ConvShape(
        *(h[0], w[0], groups * per_group),
        *(h[1], w[1], groups * filters),
        *(h[2], w[2], h[3], w[3], h[4], w[4], h[5], w[5]),
        groups,
        draw(st.sampled_from([0, 0, -128, 127, 3])),
    )


@st.composite
def pool_shapes(draw: Draw, padded: bool = True) -> PoolShape:
    h = draw(st.one_of(LINE, axes(False)))
    w = draw(axes(False))
    if not padded:
        h, w = ((*a[:1], max(a[0] - a[2], 0) // a[3] + 1, *a[2:5], 0) for a in (h, w))
    return PoolShape(h[0], w[0], draw(CHANNELS), h[1], w[1], h[2], w[2], h[3], w[3], h[5], w[5])


@st.composite
def outs(draw: Draw, kind: Kind, shifts: tuple[int, int]) -> Requant | Range:
    """An output format: for fixed point a shift in `shifts`, any rounding, a clamp that is often narrower."""
    if not kind.fixed:
        return draw(st.sampled_from([Range(), Range(0.0), Range(-0.25, 0.5), Range(0.0, 6.0)]))
    highest = 2 ** (kind.bits - 1) - 1
    low, high = draw(
        st.sampled_from([(-highest - 1, highest), (0, highest), (-highest // 3, highest // 5), (3, 3)])
    )
    return Requant(draw(st.integers(*shifts)), draw(st.sampled_from(Rounding)), low, high)


@st.composite
def filter_outs(draw: Draw, kind: Kind, shifts: tuple[int, int], filters: int) -> Requant | Range:
    """An output format of a convolution or dense layer, often with a shift for each filter."""
    out = draw(outs(kind, shifts))
    if isinstance(out, Range) or draw(st.booleans()):
        return out
    own = draw(st.lists(st.integers(*shifts), min_size=filters, max_size=filters))
    return replace(out, shifts=tuple(own))


def numbers(rng: np.random.Generator, shape: tuple[int, ...], kind: Kind, bits: int) -> Array:
    """Values of up to `bits` bits, now and then only the two ends of that range."""
    if not kind.fixed:
        return rng.standard_normal(shape, np.float32)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if rng.random() < 0.2:
        return rng.choice([low, high], shape).astype(np.int64)
    return rng.integers(low, high, shape, np.int64, endpoint=True)
