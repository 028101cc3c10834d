"""Weights packed to their width in flash: the numpy twin of the kernels that unpack them."""

from __future__ import annotations

import numpy as np

from .formats import Array


def pack_bits(integers: Array, bits: int) -> Array:
    """Two's complement of `bits` bits (2 to 16) each, least significant bit first: uint8 [bytes].

    integers [F, ...]: filter after filter, each filter from a new byte; unused bits are 0.
    """
    rows = integers.reshape(len(integers), -1).astype(np.int64)
    bit = (rows[:, :, None] >> np.arange(bits)) & 1
    packed: Array = np.packbits(
        bit.astype(np.uint8).reshape(len(rows), -1), axis=1, bitorder="little"
    ).ravel()
    return packed


def unpack_bits(packed: Array, bits: int, shape: tuple[int, ...]) -> Array:
    """The int16 integers [F, ...] of `shape` that `pack_bits` packed."""
    filters = shape[0]
    count = int(np.prod(shape[1:]))
    bit = np.unpackbits(packed.reshape(filters, -1), axis=1, count=count * bits, bitorder="little")
    values = (bit.reshape(filters, count, bits).astype(np.int32) << np.arange(bits)).sum(axis=2)
    sign = 1 << (bits - 1)
    integers: Array = ((values ^ sign) - sign).astype(np.int16).reshape(shape)
    return integers
