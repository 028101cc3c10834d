"""Number formats of tensors: float32 and fixed point ``real = (q - zero) * 2**-frac``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .affine_math import round_half_away
from .requant import Rounding

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True)
class Float32:
    """IEEE 754 binary32 (1 sign, 8 exponent and 23 fraction bits)."""

    @property
    def suffix(self) -> str:
        """Suffix of the kernels that compute in this format."""
        return "f32"

    @property
    def c_type(self) -> str:
        return "float"

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32)

    @property
    def bytes(self) -> int:
        return 4

    def quantize(self, real: Array) -> Array:
        return real.astype(np.float32)

    def dequantize(self, stored: Array) -> Array:
        return stored.astype(np.float32)

    def __str__(self) -> str:
        return "float32"


class Stored:
    """Integers of `bits` bits in two's complement."""

    bits: int

    @property
    def low(self) -> int:
        return -(1 << (self.bits - 1))

    @property
    def high(self) -> int:
        return (1 << (self.bits - 1)) - 1

    @property
    def magnitude(self) -> int:
        """Largest absolute value that a stored number can have."""
        return 1 << (self.bits - 1)


@dataclass(frozen=True)
class Fixed(Stored):
    """Fixed point of `bits` bits (2 to 16): ``real = (q - zero) * 2**-frac``.

    Signed: zero is 0. Unsigned (no real number below 0, one more bit for those above): stored with an offset
    as a signed integer, zero is ``-2**(bits-1)``. `frac` may be negative (the last integer bits are lost) or
    larger than `bits` (leading fraction bits are all equal). Stored in int8 up to 8 bits, in int16 above.
    Novac et al. 2021, section 4.1.
    """

    bits: int
    frac: int
    unsigned: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise ValueError(f"fixed point of {self.bits} bits: the width must be from 2 to 16")

    @property
    def zero(self) -> int:
        """The stored number that means 0."""
        return self.low if self.unsigned else 0

    @property
    def bytes(self) -> int:
        return 1 if self.bits <= 8 else 2

    @property
    def suffix(self) -> str:
        return f"q{8 * self.bytes}"

    @property
    def c_type(self) -> str:
        return f"int{8 * self.bytes}_t"

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(f"int{8 * self.bytes}")

    @property
    def step(self) -> float:
        return math.ldexp(1.0, -self.frac)

    def quantize(self, real: Array, rounding: Rounding = Rounding.NEAREST) -> Array:
        """Convert real numbers to stored integers (dtype of the format), saturating at both ends."""
        scaled = np.ldexp(np.asarray(real, dtype=np.float64), self.frac)
        if rounding is Rounding.NEAREST:
            scaled = scaled + 0.5
        rounded = np.trunc(scaled) if rounding is Rounding.TRUNC else np.floor(scaled)
        stored: Array = np.clip(rounded + self.zero, self.low, self.high).astype(self.dtype)
        return stored

    def dequantize(self, stored: Array) -> Array:
        real: Array = np.ldexp(stored.astype(np.float32) - np.float32(self.zero), -self.frac)
        return real

    def __str__(self) -> str:
        return f"{'U' if self.unsigned else ''}Q{self.bits - self.frac}.{self.frac}"


@dataclass(frozen=True)
class FixedWeights:
    """Format of a layer's weights [F, ...]: signed, `bits` wide (2 to 16), fraction bits for each filter.

    `fracs` has one number for all filters (scale per layer or network) or one for each (scale per filter).
    `packed`: widths other than 8 and 16 are stored in flash with exactly `bits` bits each.
    """

    bits: int
    fracs: tuple[int, ...]
    packed: bool = False

    def of_filter(self, index: int) -> Fixed:
        return Fixed(self.bits, self.fracs[index if len(self.fracs) > 1 else 0])

    def quantize(self, weights: Array, rounding: Rounding = Rounding.NEAREST) -> Array:
        """Real weights [F, ...] as stored integers of the same shape, saturating."""
        if len(self.fracs) == 1:
            return self.of_filter(0).quantize(weights, rounding)
        return np.stack([self.of_filter(i).quantize(row, rounding) for i, row in enumerate(weights)])

    def dequantize(self, stored: Array) -> Array:
        fracs = np.array(self.fracs).reshape(-1, *(1,) * (stored.ndim - 1))
        real: Array = np.ldexp(stored.astype(np.float32), -fracs)
        return real

    def __str__(self) -> str:
        low, high = min(self.fracs), max(self.fracs)
        return str(self.of_filter(0)) if low == high else f"{self.bits} bits, frac {low}..{high}"


@dataclass(frozen=True)
class Affine(Stored):
    """Affine integers of the TensorFlow Lite specification: ``real = scale * (q - zero_point)``.

    8 bits: any zero point of int8. 16 bits: zero point 0. `scale` is a positive float32 number.
    """

    bits: int
    scale: float
    zero_point: int = 0

    def __post_init__(self) -> None:
        if self.bits not in (8, 16):
            raise ValueError(f"affine of {self.bits} bits: the width must be 8 or 16")
        if not (0 < self.scale < math.inf and self.scale == float(np.float32(self.scale))):
            raise ValueError(f"a scale of {self.scale!r}: it must be a positive float32 number")
        lowest, highest = (self.low, self.high) if self.bits == 8 else (0, 0)
        if not lowest <= self.zero_point <= highest:
            raise ValueError(f"zero point {self.zero_point}: it must be from {lowest} to {highest}")

    @property
    def bytes(self) -> int:
        return self.bits // 8

    @property
    def step(self) -> float:
        return self.scale

    @property
    def suffix(self) -> str:
        return f"a{self.bits}"

    @property
    def integers(self) -> str:
        """Suffix of the kernels that move or compare integers, whatever they mean."""
        return f"q{self.bits}"

    @property
    def c_type(self) -> str:
        return f"int{self.bits}_t"

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(f"int{self.bits}")

    def quantize(self, real: Array) -> Array:
        """Real numbers to stored integers, halves away from zero, saturating, NaN to the lowest; in float32."""
        with np.errstate(over="ignore"):
            scaled = np.asarray(real, np.float32) / np.float32(self.scale)
        rounded = np.copysign(np.floor(np.abs(scaled.astype(np.float64)) + 0.5), scaled)
        rounded = np.where(np.isnan(rounded), -np.inf, rounded)
        clipped: Array = np.clip(rounded + self.zero_point, self.low, self.high).astype(self.dtype)
        return clipped

    def dequantize(self, stored: Array) -> Array:
        reals: Array = (stored.astype(np.int32) - self.zero_point).astype(np.float32) * np.float32(self.scale)
        return reals

    def __str__(self) -> str:
        return f"{self.scale:.6g}*(q{-self.zero_point:+d})" if self.zero_point else f"{self.scale:.6g}*q"


Format: TypeAlias = Float32 | Fixed | Affine
FLOAT32 = Float32()
TINY = float(np.finfo(np.float32).tiny)
SMALLEST_RANGE = TINY * 2**17
"""What is narrower counts as a tensor of zeros: its scale would be no normal float32 number."""


def integer_bits(maximum: float) -> int:
    """Bits m of the unsigned integer part for values up to `maximum` in magnitude.

    ``m = 1 + floor(log2(maximum))``; negative when the leading fraction bits are unused; 0 for all-zero
    data. Novac et al. 2021, section 4.1.4.
    """
    return math.frexp(maximum)[1] if maximum > 0 else 0


def fixed_for(maximum: float, bits: int, unsigned: bool = False) -> Fixed:
    """Format of `bits` bits with the most fraction bits that still holds `maximum`.

    ``n = bits - m - 1``; without a sign ``n = bits - m``.
    """
    return Fixed(bits, bits - integer_bits(maximum) - (not unsigned), unsigned)


def affine_for(low: float, high: float, bits: int) -> Affine:
    """The format that holds `low` to `high` and, exactly, 0; for a tensor of zeros -1 to 1."""
    low, high = min(low, 0.0), max(high, 0.0)
    if high - low < SMALLEST_RANGE:
        low, high = -1.0, 1.0
    if bits == 16:
        return Affine(16, float(np.float32(max(-low, high) / 32767)))
    scale = float(np.float32((high - low) / 255))
    zero_point = int(round_half_away(np.array(-128 - low / scale)))
    return Affine(8, scale, min(max(zero_point, -128), 127))
