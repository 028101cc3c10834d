"""Layouts and scratch memory of the convolutions by SIMD (nn_conv_T_simd in nn_runtime.h)."""

from __future__ import annotations

import numpy as np

from .formats import Array


def rounded_up(count: int, to: int) -> int:
    return -(-count // to) * to


def arrange_groups(kernel: Array, x_bytes: int, groups: int) -> Array:
    """The tables of `groups` groups, one behind the other; kernel [F, ...]."""
    found: Array = np.concatenate([arrange_simd(part, x_bytes) for part in np.split(kernel, groups)])
    return found


def pad(weights: Array, group: int) -> Array:
    """Weights [..., K] with K rounded up to a multiple of `group` by zeros."""
    return np.pad(weights, [(0, 0)] * (weights.ndim - 1) + [(0, -weights.shape[-1] % group)])


def in_fours(weights: Array) -> Array:
    """Weights [..., K], K rounded up, in the order 0, 2, 1, 3 of each four: that of the halves of 8-bit x."""
    groups = pad(weights, 4).reshape(*weights.shape[:-1], -1, 4)[..., [0, 2, 1, 3]]
    return groups.reshape(*weights.shape[:-1], -1)


def arrange_simd(kernel: Array, x_bytes: int = 0) -> Array:
    """The table that nn_conv_T_simd reads, from weights [F, ...] of type int8, int16 or float32.

    uint32 [F/2, K/4, 2] (int8), uint32 [F/2, K/2, 2] (int16) or float32 [F/4, K, 4], rounded up with zeros. With
    x_bytes = 2, inputs wider than the weights: uint32 [F/2, K/2] from int8.
    """
    filters = kernel.reshape(len(kernel), -1)
    together, group = {1: (2, 4), 2: (2, 2), 4: (4, 1)}[max(kernel.itemsize, x_bytes)]
    f, k = filters.shape
    padded = np.zeros((rounded_up(f, together), rounded_up(k, group)), kernel.dtype)
    padded[:f, :k] = filters
    groups = padded.reshape(len(padded) // together, together, -1, group).transpose(0, 2, 1, 3)
    if kernel.dtype == np.float32:
        return np.ascontiguousarray(groups.reshape(*groups.shape[:2], together))
    if kernel.dtype == np.int8 and group == 2:
        groups = groups.transpose(0, 1, 3, 2)
    elif kernel.dtype == np.int8:
        # [f, k] of a group -> a word of (0, 0) (1, 0) (0, 2) (1, 2), a word of (0, 1) (1, 1) (0, 3) (1, 3)
        groups = groups[..., [0, 2, 1, 3]].transpose(0, 1, 3, 2)
    words: Array = np.ascontiguousarray(groups.reshape(*groups.shape[:2], -1)).view(np.uint32)
    return words


def arrange_wino(kernel: Array) -> Array:
    """The table of the 8-bit nn_conv_T_wino (K = 3) and nn_conv_T_wino_3x3 (K = 9): uint32 [F/2, C/4 * 2, K].

    Weights int8 [F, K, C].
    """
    filters, width, channels = kernel.shape
    padded = np.zeros((rounded_up(filters, 2), width, rounded_up(channels, 4)), np.int8)
    padded[:filters, :, :channels] = kernel
    # [f/2, f, k, c/4, c] with the channels of a group in the order (0, 2), (1, 3)
    groups = padded.reshape(len(padded) // 2, 2, width, -1, 4)[..., [0, 2, 1, 3]]
    groups = groups.reshape(*groups.shape[:4], 2, 2).transpose(0, 3, 4, 2, 5, 1)
    words: Array = np.ascontiguousarray(groups).reshape(len(groups), -1, 4).view(np.uint32)
    return words.reshape(len(words), -1, width)


def scratch_bytes_wino(channels: int, groups: int) -> int:
    """Scratch memory of nn_conv_q8_wino and nn_conv_a8_wino for blocks of `groups` times 16 positions."""
    return 4 * ((48 * groups + 24) * (rounded_up(channels, 4) // 4) + 48 * groups)


def scratch_bytes_wino_3x3(channels: int, groups: int) -> int:
    """Scratch memory of nn_conv_q8_wino_3x3 and nn_conv_a8_wino_3x3 for blocks of `groups` times 64 positions."""
    return 4 * ((288 * groups + 144) * (rounded_up(channels, 4) // 4) + 288 * groups)


def scratch_bytes(elements: int, positions: int, itemsize: int, groups: int = 0) -> int:
    """Scratch memory for `elements` under a window (K), `positions` of the output, elements of `itemsize` bytes.

    groups: of 16 positions, of the kernels with packed weights; 0: the others.
    """
    if itemsize == 4:
        return 0
    group = 4 // itemsize
    pairs = rounded_up(elements, group) // 2
    width = (16 * groups or 4) if positions > 1 else 1
    unpacked = 2 * pairs if groups else 0
    return 4 * (width * pairs + unpacked) + rounded_up(elements * itemsize, 4)


# Of nn_conv_T_depthwise: outputs of a line that it computes before the next line, pairs of taps in a piece of a
# line at most, words of a filter in front of its weights.
DEPTHWISE_BLOCK, DEPTHWISE_PAIRS, DEPTHWISE_FILTER = 64, 8, 8


def runs_down(out_h: int, out_w: int) -> bool:
    """Whether the lines of a depthwise convolution run along the height: the longer side of the output."""
    return out_h > out_w


def arrange_depthwise(kernel: Array, down: bool) -> Array:
    """The table that nn_conv_T_depthwise reads, from weights [F, KH, KW] of type int8, int16 or float32.

    uint32 [F, lines, K/2 + 1] (int8) or [F, lines, K/2 + 1, 2] (int16), float32 [KH, KW, F].
    """
    if kernel.dtype == np.float32:
        return np.ascontiguousarray(kernel.transpose(1, 2, 0))
    taps = kernel.transpose(0, 2, 1) if down else kernel
    f, lines, k = taps.shape
    words = k // 2 + 1
    padded = np.zeros((f, lines, 2 * words + 1), kernel.dtype)
    padded[..., 1 : k + 1] = taps
    even, odd = padded[..., 1:].reshape(f, lines, words, 2), padded[..., :-1].reshape(f, lines, words, 2)
    if kernel.dtype == np.int8:
        table = np.stack([even, odd], -1).reshape(f, lines, words, 4)
    else:
        table = np.stack([even, odd], -2)
    found: Array = np.ascontiguousarray(table).view(np.uint32)[..., 0]
    return found


def scratch_bytes_depthwise(along: tuple[int, int, int, int], across: tuple[int, int], itemsize: int) -> int:
    """Scratch memory of nn_conv_T_depthwise; along: outputs, K, stride, dilation; across: lines, dilation."""
    outputs, k, stride, dilation = along
    lines, apart = across
    n, pieces = rounded_up(min(outputs, DEPTHWISE_BLOCK), 4), -(-(k // 2 + 1) // DEPTHWISE_PAIRS)
    pairs = rounded_up(k // 2 + 1, pieces)
    if dilation == 1 and stride == 1:
        columns = n // 2 - 1 + pairs
    else:
        spacing = stride // 2 if dilation == 1 and stride % 2 == 0 else pairs
        columns = (n - 1) * spacing + pairs
    lanes, slots = 4 // itemsize, (lines - 1) * apart + 1
    # The most of both layouts of weights; the kernel takes the first for three lines of three taps.
    weights = max(10, 2 * lines * pairs)
    return 4 * (lanes * (DEPTHWISE_FILTER + weights + columns * slots) + lines * pieces + 1)
