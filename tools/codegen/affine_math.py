"""Affine integer arithmetic: the numpy twins of the a8 and a16 kernels.

``real = scale * (q - zero_point)``. The arithmetic is that of TensorFlow Lite's reference kernels (the 8-bit
and 16x8 quantization specification): two roundings for 32-bit accumulators (`multiply`), a 16-bit multiplier
and one rounding for 64-bit ones (`multiply_wide`), one rounding in fully connected layers (`multiply_once`).
Where that arithmetic would wrap around, this one saturates: the results are equal wherever TensorFlow Lite's
are defined.

All functions take integer arrays of any shape (broadcast) and return int64 arrays; what fits how many bits is
said at each. lib/nn_runtime/SPEC.md is normative for the C.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Integers: TypeAlias = NDArray[Any]
Int64: TypeAlias = NDArray[np.int64]
Reals: TypeAlias = NDArray[Any]

INT32_LOW, INT32_HIGH = -(2**31), 2**31 - 1


class Multiplier(NamedTuple):
    """A positive real number as ``multiplier * 2**(shift - 31)``, multiplier from 2**30 to 2**31 - 1, or zero."""

    multiplier: int
    shift: int


def quantize_multiplier(real: float) -> Multiplier:
    """The nearest `Multiplier` (halves away from zero) of a number >= 0; below 2**-32 it is zero.

    Raises ValueError where the shift would be above 31.
    """
    if not 0 <= real < math.inf:
        raise ValueError(f"a multiplier of {real:g}")
    if real == 0:
        return Multiplier(0, 0)
    mantissa, shift = math.frexp(real)
    multiplier = math.floor(mantissa * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    if shift < -31:
        return Multiplier(0, 0)
    if shift > 31:
        raise ValueError(f"a multiplier of {real:g}, which is not below 2^31")
    return Multiplier(multiplier, shift)


def high_mul(a: Integers, b: Integers | int) -> Int64:
    """``a * b * 2**-31``, rounded to nearest, halves up, saturating; both and the result fit int32."""
    product = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    rounded: Int64 = np.minimum((product + 2**30) >> 31, INT32_HIGH)
    return rounded


def divide_by_pot(x: Integers, exponent: Integers | int) -> Int64:
    """``x * 2**-exponent`` rounded to nearest, halves away from zero; exponent 0 to 31."""
    x = np.asarray(x, np.int64)
    mask = (np.int64(1) << np.asarray(exponent, np.int64)) - 1
    threshold = (mask >> 1) + (x < 0)
    rounded: Int64 = (x >> exponent) + ((x & mask) > threshold)
    return rounded


def multiply(x: Integers, multiplier: Integers | int, shift: Integers | int) -> Int64:
    """``x * multiplier * 2**(shift - 31)`` for 32-bit accumulators; shift -31 to 31; fits int32.

    A positive shift is applied first, saturating to int32; a negative one last: two roundings.
    """
    shift = np.asarray(shift, np.int64)
    shifted = np.clip(np.asarray(x, np.int64) << np.maximum(shift, 0), INT32_LOW, INT32_HIGH)
    return divide_by_pot(high_mul(shifted, multiplier), np.maximum(-shift, 0))


def multiply_wide(x: Integers, multiplier: Integers | int, shift: Integers | int) -> Int64:
    """``x * multiplier * 2**(shift - 31)`` for 64-bit accumulators |x| < 2**47; shift -31 to 7.

    The multiplier is rounded to 15 bits (at most 0x7FFF), then one rounding, halves up. The result may exceed
    int32: the caller clamps it.
    """
    multiplier = np.asarray(multiplier, np.int64)
    reduced = np.minimum((multiplier + 2**15) >> 16, 0x7FFF)
    total = 15 - np.asarray(shift, np.int64)
    rounded: Int64 = (np.asarray(x, np.int64) * reduced + (np.int64(1) << (total - 1))) >> total
    return rounded


def multiply_once(x: Integers, multiplier: Integers | int, shift: Integers | int) -> Int64:
    """``x * multiplier * 2**(shift - 31)`` with all bits of the multiplier and one rounding, halves up.

    |x| < 2**47; shift -31 to 7, or to 30 where |x| < 2**31. The result may exceed int32: the caller clamps it.
    """
    x, multiplier = np.asarray(x, np.int64), np.asarray(multiplier, np.int64)
    right = 31 - np.asarray(shift, np.int64)
    high, low = (x >> 31) * multiplier, (x & INT32_HIGH) * multiplier + (np.int64(1) << (right - 1))
    small = (high + (low >> 31)) >> np.maximum(right - 31, 0)
    large = (high << np.maximum(31 - right, 0)) + (low >> right)
    result: Int64 = np.where(right >= 31, small, large)
    return result


def add(
    a: Integers,
    b: Integers,
    left: int,
    zeros: tuple[int, int],
    operands: tuple[Multiplier, Multiplier],
    output: Multiplier,
    zero_point: int,
    low: int,
    high: int,
) -> Int64:
    """``clamp(zero_point + output * (operands[0] * (a - zeros[0]) * 2**left + the same of b))``.

    `left` is 20 for 8 bits and 15 for 16 bits (whose zero points are 0); all shifts are <= 0. See
    `add_multipliers`.
    """
    total = sum(
        multiply((np.asarray(x, np.int64) - zero) << left, *multiplier)
        for x, zero, multiplier in zip((a, b), zeros, operands, strict=True)
    )
    return np.clip(multiply(np.asarray(total), *output) + zero_point, low, high)


def add_multipliers(
    left: int, scales: tuple[float, float], output: float
) -> tuple[tuple[Multiplier, Multiplier], Multiplier]:
    """The multipliers of `add` for the scales of its operands and of its output.

    Each operand is brought to twice the larger of both scales. Raises ValueError where the output's scale is so
    small beside them that its multiplier is not below 1.
    """
    common = 2.0 * max(scales)
    back = quantize_multiplier(common / ((1 << left) * output))
    if back.shift > 0:
        raise ValueError(
            f"its inputs of scales {scales[0]:g} and {scales[1]:g} with an output of scale {output:g}"
        )
    return (quantize_multiplier(scales[0] / common), quantize_multiplier(scales[1] / common)), back


def pool_average(total: Integers, count: Integers | int, low: int, high: int) -> Int64:
    """Average pooling: ``clamp(total / count)``, halves away from zero; total of stored integers, count >= 1.

    Input and output have the same scale and zero point.
    """
    total, half = np.asarray(total, np.int64), np.asarray(count, np.int64) // 2
    magnitude = (np.abs(total) + half) // count
    return np.clip(np.where(total > 0, magnitude, -magnitude), low, high)


def mean_multiplier(real: float, count: int) -> Multiplier:
    """``real / count`` as the mean over all positions takes it: `real` (input scale / output scale) is quantized
    first, then divided, toward zero, by the count, which may leave a multiplier between 2**29 and 2**30.
    """
    multiplier, shift = quantize_multiplier(real)
    halvings = min(count.bit_length() - 1, 32, 31 + shift)
    return Multiplier((multiplier << halvings) // count, shift - halvings)


def mean(
    total: Integers, count: int, zero_in: int, multiplier: Multiplier, zero_out: int, low: int, high: int
) -> Int64:
    """Global average pooling with a scale of its own: ``clamp(zero_out + multiply(total - count * zero_in))``.

    `total` is the sum of `count` stored integers; it fits int32. `multiplier`: `mean_multiplier`.
    """
    return np.clip(multiply(np.asarray(total, np.int64) - count * zero_in, *multiplier) + zero_out, low, high)


def requantize(
    x: Integers, zero_in: int, multiplier: Multiplier, zero_out: int, low: int, high: int
) -> Int64:
    """Another scale and zero point: ``clamp(zero_out + multiply(x - zero_in))``, for 8 and 16 bits alike."""
    return np.clip(multiply(np.asarray(x, np.int64) - zero_in, *multiplier) + zero_out, low, high)


# Softmax of 8 bits: exponentials in Q5.26 -> Q0.31, their sum in Q12.19.

DIFFERENCE_BITS = 5
SUM_BITS = 12
LONGEST_SOFTMAX = 511
"""Elements of a row for which the last shift (SUM_BITS + 23 - leading zeros of the sum) is sure to be at most 31."""

EXP_MINUS_EIGHTH = 1895147668
"""exp(-1/8) in Q0.31."""
THIRD = 715827883
"""1/3 in Q0.31."""
EXP_POWERS = (
    (-2, 1672461947),
    (-1, 1302514674),
    (0, 790015084),
    (1, 290630308),
    (2, 39332535),
    (3, 720401),
    (4, 242),
)
"""k and exp(-2**k) in Q0.31."""


class SoftmaxScale(NamedTuple):
    """Parameters of `softmax_a8`: differences below `smallest` (<= 0) contribute nothing."""

    multiplier: int
    left: int
    smallest: int


def softmax_scale(scale: float) -> SoftmaxScale:
    """From the scale of the input. Raises ValueError where it is below 2**-26."""
    multiplier, left = quantize_multiplier(min(scale * 2.0 ** (31 - DIFFERENCE_BITS), 2.0**31 - 1))
    if left < 0 or not multiplier:
        raise ValueError(f"an input of scale {scale:g}, below 2^-26")
    largest = ((1 << DIFFERENCE_BITS) - 1) * 2.0 ** (31 - DIFFERENCE_BITS) / 2.0**left
    return SoftmaxScale(multiplier, left, -math.floor(largest))


def exp_q26(x: Integers) -> Int64:
    """``exp(x)`` in Q0.31 for x <= 0 in Q5.26."""
    x = np.asarray(x, np.int64)
    quarter = 1 << 24
    remainder = (x & (quarter - 1)) - quarter  # in [-1/4, 0)
    f = (remainder << DIFFERENCE_BITS) + (1 << 28)  # plus 1/8, in Q0.31
    f2 = high_mul(f, f)
    f3, f4 = high_mul(f2, f), high_mul(f2, f2)
    series = divide_by_pot(high_mul(divide_by_pot(f4, 2) + f3, THIRD) + f2, 1)
    y = EXP_MINUS_EIGHTH + high_mul(f + series, EXP_MINUS_EIGHTH)
    for power, factor in EXP_POWERS:
        y = np.where((remainder - x) & (1 << (26 + power)), high_mul(y, factor), y)
    result: Int64 = np.where(x == 0, INT32_HIGH, y)
    return result


def reciprocal(x: Integers) -> Int64:
    """``1 / (1 + x)`` for x in [0, 1), both in Q0.31: three steps of Newton and Raphson in Q2.29."""
    half = (np.asarray(x, np.int64) + INT32_HIGH + 1) // 2
    y = 1515870810 + high_mul(half, -1010580540)  # 48/17 - 32/17 half
    for _ in range(3):
        y = y + np.clip(high_mul(y, (1 << 29) - high_mul(half, y)) << 2, INT32_LOW, INT32_HIGH)
    clamped: Int64 = np.clip(y << 1, INT32_LOW, INT32_HIGH)
    return clamped


def leading_zeros(x: Integers) -> Int64:
    """Leading zero bits of integers from 1 to 2**32 - 1 as 32-bit words."""
    zeros: Int64 = 32 - np.frexp(np.asarray(x, np.float64))[1].astype(np.int64)
    return zeros


def softmax_a8(x: Integers, scale: SoftmaxScale) -> Int64:
    """Softmax of each row of int8 `x` [rows, row]; the output has scale 1/256 and zero point -128.

    At most `LONGEST_SOFTMAX` elements a row.
    """
    x = np.asarray(x, np.int64)
    difference = x - x.max(axis=-1, keepdims=True)
    counted = difference >= scale.smallest
    e = exp_q26(high_mul(np.maximum(difference, scale.smallest) << scale.left, scale.multiplier))
    total = np.where(counted, divide_by_pot(e, SUM_BITS), 0).sum(axis=-1, keepdims=True)
    zeros = leading_zeros(total)
    factor = reciprocal((total << zeros) - 2**31)
    y = divide_by_pot(high_mul(e, factor), SUM_BITS - zeros + 31 - 8)
    clamped: Int64 = np.clip(np.where(counted, y, 0) - 128, -128, 127)
    return clamped


# Softmax of 16 bits: two tables of 513 values, interpolated linearly.

LONGEST_SOFTMAX_16 = 65535
"""Elements of a row whose sum of exponentials, each up to 32767, fits int32."""


def table_of_512_steps(function: Callable[[Reals], Reals], low: float, high: float) -> Int64:
    """`function` from `low` to `high` in Q0.15: int64 [513], each value corrected by half the error of the middle."""
    step = (high - low) / 512
    starts = low + np.arange(512) * step
    values = round_half_away(function(starts) * 32768)
    interpolated = round_half_away((function(low + np.arange(1, 513) * step) * 32768 + values) / 2)
    errors = interpolated - round_half_away(function(starts + step / 2) * 32768)
    last = round_half_away(function(np.array([high])) * 32768)
    table = np.append(values - round_half_away(errors / 2), last)
    clamped: Int64 = np.clip(table, -32768, 32767).astype(np.int64)
    return clamped


def round_half_away(x: Reals) -> Reals:
    """To the nearest integer, halves away from zero."""
    return np.copysign(np.floor(np.abs(x) + 0.5), x)


@cache
def exp_table() -> Int64:
    """exp(x) for x from -10 to 0."""
    return table_of_512_steps(np.exp, -10.0, 0.0)


@cache
def reciprocal_table() -> Int64:
    """1 / (1 + x) for x from 0 to 1."""
    return table_of_512_steps(lambda x: 1.0 / (1.0 + x), 0.0, 1.0)


def look_up(x: Integers, table: Integers) -> Int64:
    """A table's value at x from -32768 (first value) to 32767 (just before the last), interpolated."""
    index, offset = 256 + (x >> 7), x & 127
    value: Int64 = table[index] + ((offset * (table[index + 1] - table[index]) + 64) >> 7)
    return value


def softmax_a16_multiplier(scale: float) -> Multiplier:
    """From the scale of the input: differences in steps of 10/65535."""
    return quantize_multiplier(scale / (10.0 / 65535.0))


def softmax_a16(x: Integers, multiplier: Multiplier) -> Int64:
    """Softmax of each row of int16 `x` [rows, row]; the output has scale 1/32768 and zero point 0.

    At most `LONGEST_SOFTMAX_16` elements a row.
    """
    x = np.asarray(x, np.int64)
    difference = multiply(x - x.max(axis=-1, keepdims=True), *multiplier)
    e = look_up(np.clip(difference + 32767, -32768, 32767), exp_table())
    total = e.sum(axis=-1, keepdims=True)
    zeros = leading_zeros(total)
    mantissa = ((total << (zeros - 1)) + (1 << 13)) >> 14  # 1 to 2 in Q1.16
    factor = look_up(np.clip(mantissa - (1 << 15) - (1 << 16), -32768, 32767), reciprocal_table())
    shift = 31 - zeros
    clamped: Int64 = np.clip((e * factor + (np.int64(1) << (shift - 1))) >> shift, 0, 32767)
    return clamped
