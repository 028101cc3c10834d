"""Rounding and saturation of fixed-point numbers: the numpy twins of lib/nn_runtime/include/nn_requant.h.

lib/nn_runtime/SPEC.md, section 2, is normative for both.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Rounding(IntEnum):
    """How a value between two integers becomes one of them: the values of C's `nn_rounding`."""

    FLOOR = 0
    """Toward minus infinity."""
    NEAREST = 1
    """floor(v + 1/2): halves go up."""
    TRUNC = 2
    """Toward zero."""


ROUND_FLOOR, ROUND_NEAREST, ROUND_TRUNC = Rounding

INT32_LOW, INT32_HIGH = -(2**31), 2**31 - 1


def requant(acc: NDArray[Any], shift: int, rounding: Rounding, low: int, high: int) -> NDArray[np.int64]:
    """``clamp(round(acc * 2**-shift), low, high)``, exact for every int64 accumulator.

    `acc` has integers of any shape, `shift` is -31 to 62 (negative multiplies), `low` and `high` fit int32.
    """
    acc = acc.astype(np.int64)
    if shift > 0:
        below = acc >> shift
        rest = acc - (below << shift)
        if rounding is Rounding.NEAREST:
            below += rest >> (shift - 1)
        elif rounding is Rounding.TRUNC:
            below += (acc < 0) & (rest != 0)
        acc = below
    elif shift < 0:  # what does not fit int32 lies beyond low or high already and stays there when multiplied
        acc = np.clip(acc, INT32_LOW, INT32_HIGH) << -shift
    clamped: NDArray[np.int64] = np.clip(acc, low, high)
    return clamped


def divide(
    total: NDArray[Any], count: NDArray[Any], shift: int, rounding: Rounding, low: int, high: int
) -> NDArray[np.int64]:
    """``clamp(round(total * 2**-shift / count), low, high)`` with one rounding of the exact quotient.

    `total` has integers that fit int32, `count` positive integers up to 2**30 (shapes broadcast), `shift` is
    -31 to 31.
    """
    dividend = total.astype(np.int64) << max(-shift, 0)
    divisor = count.astype(np.int64) << max(shift, 0)
    quotient, rest = np.divmod(dividend, divisor)
    if rounding is Rounding.NEAREST:
        quotient += rest >= divisor - rest
    elif rounding is Rounding.TRUNC:
        quotient += (dividend < 0) & (rest != 0)
    clamped: NDArray[np.int64] = np.clip(quotient, low, high)
    return clamped
