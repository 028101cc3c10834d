"""Layouts and scratch memory of the convolutions with packed weights (nn_conv_packed_T in nn_runtime.h)."""

from __future__ import annotations

import numpy as np

from .formats import Array


def rounded_up(count: int, to: int) -> int:
    return -(-count // to) * to


def pack_weights(kernel: Array) -> Array:
    """The table that nn_conv_packed_T reads, from weights [F, ...] of type int8, int16 or float32.

    uint32 [F/2, K/4, 2] (int8), uint32 [F/2, K/2, 2] (int16) or float32 [F/4, K, 4], rounded up with zeros.
    """
    filters = kernel.reshape(len(kernel), -1)
    together, group = {1: (2, 4), 2: (2, 2), 4: (4, 1)}[kernel.itemsize]
    f, k = filters.shape
    padded = np.zeros((rounded_up(f, together), rounded_up(k, group)), kernel.dtype)
    padded[:f, :k] = filters
    groups = padded.reshape(len(padded) // together, together, -1, group).transpose(0, 2, 1, 3)
    if kernel.dtype == np.float32:
        return np.ascontiguousarray(groups.reshape(*groups.shape[:2], together))
    if kernel.dtype == np.int8:
        # [f, k] of a group -> a word of (0, 0) (1, 0) (0, 2) (1, 2), a word of (0, 1) (1, 1) (0, 3) (1, 3)
        groups = groups[..., [0, 2, 1, 3]].transpose(0, 1, 3, 2)
    words: Array = np.ascontiguousarray(groups.reshape(*groups.shape[:2], -1)).view(np.uint32)
    return words


def scratch_bytes(elements: int, positions: int, itemsize: int) -> int:
    """Scratch memory for `elements` under a window (K), `positions` of the output, elements of `itemsize` bytes."""
    if itemsize == 4:
        return 0
    group = 4 // itemsize
    pairs = rounded_up(elements, group) // 2
    width = 4 if positions > 1 else 1
    return 4 * width * pairs + rounded_up(elements * itemsize, 4)
