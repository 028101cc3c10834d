"""Packed weights: the bits where SPEC.md, section 3, says; the kernels read them in test_sums.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from microai.codegen.packing import pack_bits, unpack_bits

from .shapes import SEEDS


@given(st.integers(1, 4), st.integers(1, 20), st.integers(2, 16), SEEDS)
def test_bits_are_where_the_specification_says(filters: int, per_filter: int, bits: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    w = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (filters, per_filter, 1))
    packed = pack_bits(w, bits)
    size = (per_filter * bits + 7) // 8
    assert packed.dtype == np.uint8 and packed.shape == (filters * size,)
    for f in range(filters):
        number = int.from_bytes(packed[f * size : (f + 1) * size].tobytes(), "little")
        assert [number >> n * bits & (2**bits - 1) for n in range(per_filter)] == [
            int(v) & (2**bits - 1) for v in w[f, :, 0]
        ]
        assert number >> per_filter * bits == 0
    assert (unpack_bits(packed, bits, w.shape) == w).all()


@pytest.mark.parametrize(("bits", "bytes_of_filter"), [(2, 3), (4, 5), (9, 11), (16, 18)])
def test_nine_weights_take_their_bits(bits: int, bytes_of_filter: int) -> None:
    assert len(pack_bits(np.zeros((3, 3, 3), int), bits)) == 3 * bytes_of_filter
