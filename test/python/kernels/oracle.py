"""What the kernels should compute, written as plainly as possible: Python integers, loops over taps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from microai.codegen.requant import Rounding

from .library import Array, Range, Requant


@dataclass(frozen=True)
class ConvShape:
    """The C structure nn_conv_shape."""

    in_h: int
    in_w: int
    in_c: int
    out_h: int
    out_w: int
    out_c: int
    k_h: int
    k_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    pad_top: int
    pad_left: int
    groups: int
    x_zero: int = 0


@dataclass(frozen=True)
class PoolShape:
    """The C structure nn_pool_shape."""

    in_h: int
    in_w: int
    channels: int
    out_h: int
    out_w: int
    k_h: int
    k_w: int
    stride_h: int
    stride_w: int
    pad_top: int
    pad_left: int


def fields(shape: ConvShape | PoolShape) -> Sequence[int]:
    return astuple(shape)


def round_quotient(numerator: int, denominator: int, rounding: Rounding) -> int:
    """numerator / denominator as an integer; Python's // is floor."""
    if rounding is Rounding.NEAREST:
        return (2 * numerator + denominator) // (2 * denominator)
    if rounding is Rounding.TRUNC and numerator < 0:
        return -(-numerator // denominator)
    return numerator // denominator


def requant_exact(acc: int, r: Requant, count: int = 1) -> int:
    """clamp(round(acc * 2^-shift / count), low, high)."""
    up, down = max(-r.shift, 0), max(r.shift, 0)
    return min(max(round_quotient(acc << up, count << down, r.rounding), r.low), r.high)


def finish(acc: Array, out: Requant | Range, dtype: type[np.generic]) -> Array:
    """The kernels' last step for each accumulator."""
    if isinstance(out, Range):
        low, high = np.float32(out.low), np.float32(out.high)
        return np.where(acc < low, low, np.where(acc > high, high, acc))
    return np.array([requant_exact(int(a), out) for a in acc.reshape(-1)], dtype).reshape(acc.shape)


def finish_filters(acc: Array, out: Requant | Range, dtype: type[np.generic]) -> Array:
    """The last step of convolution and dense: accumulators [..., F]."""
    if isinstance(out, Range):
        return finish(acc, out, dtype)
    return np.stack([finish(acc[..., f], out.of_filter(f), dtype) for f in range(acc.shape[-1])], axis=-1)


def inside(out: int, stride: int, pad: int, tap: int, size: int) -> tuple[list[int], list[int]]:
    """Output positions along one axis whose tap (times dilation) lies inside the input, and where it lies."""
    pairs = [(o, o * stride - pad + tap) for o in range(out)]
    pairs = [(o, i) for o, i in pairs if 0 <= i < size]
    return [o for o, _ in pairs], [i for _, i in pairs]


def conv(x: Array, w: Array, bias: Array, s: ConvShape) -> Array:
    """Accumulators [out_h, out_w, F] of the convolution of x [H, W, C] with w [F, KH, KW, C/G].

    x is s.x_zero in the padding: the sum over all taps is that of x - x_zero, which is 0 there, and
    x_zero * (sum of w).
    """
    if s.x_zero:
        x, bias = x - s.x_zero, bias + s.x_zero * w.sum(axis=(1, 2, 3))
    acc = np.tile(bias, (s.out_h, s.out_w, 1))
    first_channel = np.arange(s.out_c) // (s.out_c // s.groups) * (s.in_c // s.groups)
    for kh in range(s.k_h):
        oh, ih = inside(s.out_h, s.stride_h, s.pad_top, kh * s.dilation_h, s.in_h)
        for kw in range(s.k_w):
            ow, iw = inside(s.out_w, s.stride_w, s.pad_left, kw * s.dilation_w, s.in_w)
            for c in range(s.in_c // s.groups):
                acc[np.ix_(oh, ow)] += x[np.ix_(ih, iw, first_channel + c)] * w[:, kh, kw, c]
    return acc


def windows(x: Array, s: PoolShape) -> list[tuple[tuple[int, int, int], Array]]:
    """For each output (oh, ow, c): the elements of its window inside the input, in the order kh, kw."""
    result = []
    for oh in range(s.out_h):
        rows = [oh * s.stride_h - s.pad_top + k for k in range(s.k_h)]
        for ow in range(s.out_w):
            cols = [ow * s.stride_w - s.pad_left + k for k in range(s.k_w)]
            at = [(i, j) for i in rows for j in cols if 0 <= i < s.in_h and 0 <= j < s.in_w]
            for c in range(s.channels):
                result.append(((oh, ow, c), np.array([x[i, j, c] for i, j in at], x.dtype)))
    return result
