"""Number formats of tensors: float32 and signed fixed point ``real = q * 2**-frac``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

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


@dataclass(frozen=True)
class Fixed:
    """Signed fixed point of `bits` bits (2 to 16, sign included): ``real = q * 2**-frac``.

    `frac` may be negative (the last integer bits are lost) or larger than `bits` (leading fraction bits
    are all equal). Stored in int8 up to 8 bits, in int16 above. Novac et al. 2021, section 4.1.
    """

    bits: int
    frac: int

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise ValueError(f"fixed point of {self.bits} bits: the width must be from 2 to 16")

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
        return np.clip(rounded, self.low, self.high).astype(self.dtype)

    def dequantize(self, stored: Array) -> Array:
        return np.ldexp(stored.astype(np.float32), -self.frac)

    def __str__(self) -> str:
        return f"Q{self.bits - self.frac}.{self.frac}"


Format: TypeAlias = Float32 | Fixed
FLOAT32 = Float32()


def integer_bits(maximum: float) -> int:
    """Bits m of the unsigned integer part for values up to `maximum` in magnitude.

    ``m = 1 + floor(log2(maximum))``; negative when the leading fraction bits are unused; 0 for all-zero
    data. Novac et al. 2021, section 4.1.4.
    """
    return math.frexp(maximum)[1] if maximum > 0 else 0


def fixed_for(maximum: float, bits: int) -> Fixed:
    """Format of `bits` bits with the most fraction bits that still holds `maximum`: ``n = bits - m - 1``."""
    return Fixed(bits, bits - integer_bits(maximum) - 1)
