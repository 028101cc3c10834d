"""Tables and proofs of the convolutions by Winograd's algorithm (nn_conv_T_wino in nn_runtime.h)."""

from __future__ import annotations

import numpy as np

from .formats import Array
from .simd import arrange_wino, rounded_up, scratch_bytes_wino

HALF_RANGE = 1 << 15


def padded(kernel: Array, filters: int, channels: int) -> Array:
    """Weights [F, ..., C] with F and C rounded up to multiples by zeros."""
    f, *taps, c = kernel.shape
    more = np.zeros((rounded_up(f, filters), *taps, rounded_up(c, channels)), kernel.dtype)
    more[:f, ..., :c] = kernel
    return more


def arrange(kernel: Array) -> Array:
    """The table that nn_conv_T_wino reads, from weights [F, KH, 3, C] of type int8, int16 or float32.

    uint32 [F/2, C/4 * 2, KH * 3] (int8; KH = 3: that of nn_conv_T_wino_3x3), uint32 [F, KH * C/2, 3] (int16) or
    float32 [F/4, KH * C, 3, 4], rounded up with zeros.
    """
    filters, height, _, channels = kernel.shape
    if kernel.itemsize == 1:
        return arrange_wino(kernel.reshape(filters, -1, channels))
    if kernel.itemsize == 2:
        more = padded(kernel, 2, 2)
        pairs = more.reshape(len(more), height, 3, -1, 2).transpose(0, 1, 3, 2, 4)
        words: Array = np.ascontiguousarray(pairs.reshape(len(more), -1, 3, 2)).view(np.uint32)[..., 0]
        return words
    fours = padded(kernel, 4, 1).reshape(-1, 4, height, 3, channels).transpose(0, 2, 4, 3, 1)
    return np.ascontiguousarray(fours.reshape(len(fours), -1, 3, 4))


def bias_q16(kernel: Array, bias: Array) -> Array:
    """What nn_conv_q16_wino takes for a bias, int32 [F]: twice the bias and what the offset of an input adds."""
    sums = kernel.astype(np.int64).reshape(len(kernel), -1).sum(axis=1)
    found: Array = (2 * bias.astype(np.int64) + HALF_RANGE * sums).astype(np.int32)
    return found


def serves_q16(kernel: Array, bias: Array, highest: int) -> bool:
    """nn_conv_q16_wino computes these sums of inputs 0..highest: transformed weights fit 16 bits, 2 y fits 32.

    kernel [F, KH, 3, C]; bias [F], what rounding adds included.
    """
    a, b, c = kernel.astype(np.int64).transpose(2, 0, 1, 3)
    transformed = np.stack([2 * a, a + b + c, a - b + c, 2 * c])
    taps = kernel.astype(np.int64).reshape(len(kernel), -1)
    most = np.maximum(taps, 0).sum(axis=1) * highest + bias
    least = np.minimum(taps, 0).sum(axis=1) * highest + bias
    narrow = bool((np.abs(2 * transformed + 1) < 2 * HALF_RANGE).all())  # -2^15 .. 2^15 - 1
    return narrow and int(max(most.max(), -least.min())) < 1 << 30


def serves_8_3x3(kernel: Array, magnitude: int) -> bool:
    """The 8-bit nn_conv_T_wino_3x3 compute the sums of inputs up to `magnitude`; kernel [F, 3, 3, C].

    24 times the sums that are transformed along the rows alone fit 32 bits. Then so do 72 times the sums
    themselves: |a| + |b| + |c| <= |a| + |c| + (|a + b + c| + |a - b + c|) / 2, and 72 / (24 * 10) * 3 < 1.
    """
    a, b, c = kernel.astype(np.int64).transpose(2, 0, 1, 3)
    transformed = (a, a + b + c, a - b + c, a + 2 * b + 4 * c, a - 2 * b + 4 * c, c)
    largest = (10, 10, 10, 6, 6, 10)  # of the transformed input, times that of the input
    bounds = [x * np.abs(w).sum(axis=(1, 2)).max() for x, w in zip(largest, transformed, strict=True)]
    return 24 * magnitude * int(max(bounds)) < 1 << 31


def serves_43(kernel: Array, magnitude: int) -> bool:
    """F(4, 3) is exact for these weights and inputs up to `magnitude`: transforms fit 16 bits, 24 times each sum 32.

    kernel [F, 3, C].
    """
    a, b, c = kernel.astype(np.int64).transpose(1, 0, 2)
    transformed = np.stack([a + c + b, a + c - b, a + 4 * c + 2 * b, a + 4 * c - 2 * b])
    narrow = int(np.abs(transformed).max(initial=0)) < HALF_RANGE and 10 * magnitude < HALF_RANGE
    sums = np.abs(kernel.astype(np.int64)).reshape(len(kernel), -1).sum(axis=1)
    return narrow and 24 * int(sums.max(initial=0)) * magnitude < 1 << 31


def scratch_bytes(channels: int, groups: int, itemsize: int, height: int = 1, packed: bool = False) -> int:
    """Scratch memory for blocks of `groups` times 16 positions of elements of `itemsize` bytes.

    height: of the kernel, 1 for 8 bits.
    """
    if itemsize == 1:
        return scratch_bytes_wino(channels, groups)
    if itemsize == 2:
        fixed = 14 * height if packed else 8 * height + 4
        return 4 * (32 * groups * height + fixed) * rounded_up(channels, 2) // 2
    return 4 * 24 * channels * height * (groups + 1)
