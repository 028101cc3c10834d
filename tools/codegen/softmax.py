"""Softmax in integers and in float32: the numpy twins of nn_softmax_q8, _q16, _f32 and nn_exp_f32.

The same bits as the C functions; lib/nn_runtime/SPEC.md, sections 6 and 7, is normative for both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LOG2_E_Q30 = 1549082005
"""log2(e) * 2**30, rounded."""

EXP2_Q30 = (1008016, 9866197, 59356150, 257882925, 744255827, 1073741744)
"""Coefficients of the polynomial for 2**-f in Q30, signs alternating, highest power first."""


def _exp_q30(d: NDArray[np.int64], frac: int) -> NDArray[np.int64]:
    """``exp(-d * 2**-frac)`` in Q30 for d = 0 to 65535."""
    frac = min(max(frac, -15), 47)  # beyond, all results but that of d = 0 are 0, or all are 1
    scaled = d * LOG2_E_Q30
    power = scaled << -frac if frac < 0 else scaled >> frac
    halvings = power >> 30
    f = power & (2**30 - 1)
    result = np.full_like(d, EXP2_Q30[0])
    for coefficient in EXP2_Q30[1:]:
        result = coefficient - (result * f >> 30)
    return np.where(halvings > 30, 0, result >> np.minimum(halvings, 30))


def softmax_fixed(x: NDArray[Any], frac_in: int, frac_out: int, bits: int) -> NDArray[np.int64]:
    """Softmax of each row of `x` (integers [rows, row], format ``x * 2**-frac_in``).

    Returns integers of `bits` bits in the format ``y * 2**-frac_out``, from 0 to ``2**frac_out - 1`` (only 0
    for ``frac_out <= 0``), `frac_out` at most 31. A width other than 8 or 16 needs ``frac_out < bits``, since
    the C function clamps to its storage type only. At most 2**31 elements a row.
    """
    if bits not in (8, 16) and frac_out >= bits:
        raise ValueError(f"softmax of {bits} bits with {frac_out} fraction bits: at most {bits - 1}")
    frac_out = max(frac_out, 0)
    high = min(2**frac_out, 2 ** (bits - 1)) - 1
    x = x.astype(np.int64)
    e = _exp_q30(x.max(axis=-1, keepdims=True) - x, frac_in)
    total = e.sum(axis=-1, keepdims=True)
    quotient, rest = np.divmod(e << frac_out, total)
    quotient += rest >= total - rest
    clamped: NDArray[np.int64] = np.minimum(quotient, high)
    return clamped


LOG2_E = np.float32(float.fromhex("0x1.715476p+0"))
LN2_HIGH = np.float32(float.fromhex("0x1.62e4p-1"))
LN2_LOW = np.float32(float.fromhex("0x1.7f7d1cp-20"))
EXP_F32 = tuple(
    np.float32(float.fromhex(coefficient))
    for coefficient in (
        "0x1.a1cf7ep-13",
        "0x1.6e031ep-10",
        "0x1.11106cp-7",
        "0x1.5553e0p-5",
        "0x1.555556p-3",
        "0x1p-1",
    )
)
"""Coefficients of (exp(r) - 1 - r) / r**2, highest power first."""
EXP_LOWEST, EXP_HIGHEST = np.float32(-87.0), np.float32(88.72283)
"""Below it the result is 0, above it infinite."""


def exp_f32(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """``exp(x)`` element by element with the bits of nn_exp_f32; relative error below 2**-22."""
    inside = np.clip(np.where(np.isnan(x), np.float32(0), x), EXP_LOWEST, EXP_HIGHEST)
    half = np.where(inside < 0, np.float32(-0.5), np.float32(0.5))
    n = np.trunc(inside * LOG2_E + half)
    r = inside - n * LN2_HIGH - n * LN2_LOW
    p = np.full_like(r, EXP_F32[0])
    for coefficient in EXP_F32[1:]:
        p = p * r + coefficient
    p = p * (r * r) + r + np.float32(1)
    result = np.ldexp(p, n.astype(np.int32)).astype(np.float32)
    result[x < EXP_LOWEST] = 0
    result[x > EXP_HIGHEST] = np.inf
    result[np.isnan(x)] = np.nan
    return result


def softmax_f32(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax of each row of `x` (finite float32 [rows, row]), the sum taken from left to right."""
    e = exp_f32(x - x.max(axis=-1, keepdims=True))
    total = np.add.accumulate(e, axis=-1, dtype=np.float32)[:, -1:]
    return (e / total).astype(np.float32)
