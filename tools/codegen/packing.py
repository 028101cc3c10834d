"""Weights packed to their width in flash: the numpy twin of the kernels that unpack them."""

from __future__ import annotations

import numpy as np

from .formats import Array
from .simd import arrange_simd, in_fours, pad
from .winograd import arrange as arrange_wino


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


def pack_halves(words: Array, bits: int) -> Array:
    """Words uint32 [F/2, ...] of two int16 of `bits` bits as the kernels by SIMD and Winograd's algorithm read them.

    Half after half, low ones first, as value + 2**(bits - 1); the halves of two filters from a new word. The word
    behind the last is there because the kernels read a little too far.
    """
    halves = np.ascontiguousarray(words).reshape(len(words), -1).view(np.int16).astype(np.int64)
    bit = ((halves + (1 << (bits - 1)))[:, :, None] >> np.arange(bits)) & 1
    rows = bit.astype(np.uint8).reshape(len(words), -1)
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 32)))
    packed = np.packbits(rows, axis=1, bitorder="little").view(np.uint32).ravel()
    result: Array = np.append(packed, np.uint32(0))
    return result


def arrange_packed(kernel: Array, bits: int, algorithm: str, itemsize: int) -> Array:
    """The table of nn_conv_T_packed_`algorithm` for weights [F, KH, KW, C] of `bits` bits and x of `itemsize` bytes."""
    wide = kernel.astype(np.int16)
    if algorithm == "simd":
        rows = wide.reshape(len(wide), -1)
        return pack_halves(arrange_simd(in_fours(rows) if itemsize == 1 else rows), bits)
    if itemsize == 2 and algorithm == "wino":
        words = arrange_wino(wide)
        return pack_halves(words.reshape(len(words) // 2, -1), bits)
    words = arrange_wino(in_fours(wide) if itemsize == 1 else pad(wide, 4))
    return pack_halves(words.reshape(len(words) // 2, 2, -1, 3).transpose(0, 2, 1, 3), bits)
