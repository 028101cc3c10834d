"""lib/nn_runtime as a shared library of this computer, called with numpy arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from microai.codegen.host import compile_c, runtime_sources
from microai.codegen.kernels import runtime_folder
from microai.codegen.packing import pack_bits
from microai.codegen.requant import Rounding
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
GUARD_BYTES = 64
GUARD = 0xA5

# The inline functions of nn_requant.h, for whole arrays.
WRAPPER = """
#include "nn_requant.h"
void map_requant_i32(const int64_t *acc, uint32_t n, const nn_requant *r, int32_t *y);
void map_requant_i64(const int64_t *acc, uint32_t n, const nn_requant *r, int32_t *y);
void map_divide(const int64_t *sum, const int64_t *count, uint32_t n, const nn_requant *r, int32_t *y);
void map_multiply(const int32_t *x, uint32_t n, int32_t multiplier, int32_t shift, int32_t *y);
void map_multiply_wide(const int64_t *x, uint32_t n, int32_t multiplier, int32_t shift, int64_t *y);
void map_multiply_once(const int64_t *x, uint32_t n, int32_t multiplier, int32_t shift, int64_t *y);
void map_exp(const float *x, uint32_t n, float *y);
void map_round(const float *x, uint32_t n, int32_t min, int32_t max, int32_t *y);
void map_requant_i32(const int64_t *acc, uint32_t n, const nn_requant *r, int32_t *y) {
    for (uint32_t i = 0; i < n; i++) y[i] = nn_requant_i32((int32_t)acc[i], r);
}
void map_requant_i64(const int64_t *acc, uint32_t n, const nn_requant *r, int32_t *y) {
    for (uint32_t i = 0; i < n; i++) y[i] = nn_requant_i64(acc[i], r);
}
void map_divide(const int64_t *sum, const int64_t *count, uint32_t n, const nn_requant *r, int32_t *y) {
    for (uint32_t i = 0; i < n; i++) y[i] = nn_divide_i32((int32_t)sum[i], (int32_t)count[i], r);
}
void map_multiply(const int32_t *x, uint32_t n, int32_t multiplier, int32_t shift, int32_t *y) {
    for (uint32_t i = 0; i < n; i++) y[i] = nn_multiply_i32(x[i], multiplier, shift);
}
void map_multiply_wide(const int64_t *x, uint32_t n, int32_t multiplier, int32_t shift, int64_t *y) {
    for (uint32_t i = 0; i < n; i++) y[i] = nn_multiply_i64(x[i], multiplier, shift);
}
void map_multiply_once(const int64_t *x, uint32_t n, int32_t multiplier, int32_t shift, int64_t *y) {
    for (uint32_t i = 0; i < n; i++) y[i] = nn_multiply_once(x[i], multiplier, shift);
}
void map_exp(const float *x, uint32_t n, float *y) {
    for (uint32_t i = 0; i < n; i++) y[i] = nn_exp_f32(x[i]);
}
void map_round(const float *x, uint32_t n, int32_t min, int32_t max, int32_t *y) {
    for (uint32_t i = 0; i < n; i++) y[i] = nn_round_f32(x[i], min, max);
}
"""


@dataclass(frozen=True)
class Kind:
    """A type of kernel: storage, accumulator, and widths of w and bias that keep small sums inside it.

    `w_dtype`: storage of w where it is not that of x. `packed`: w of any width up to `w_bits`.
    """

    name: str
    dtype: type[np.generic]
    acc: type[np.generic]
    w_bits: int = 0
    bias_bits: int = 0
    w_dtype: type[np.generic] | None = None
    packed: bool = False

    @property
    def fixed(self) -> bool:
        return self.name != "f32"

    @property
    def bits(self) -> int:
        return 8 * np.dtype(self.dtype).itemsize

    def weights(self, w: Array, bits: int) -> tuple[Any, ...]:
        """The kernel's arguments for the weights w [F, ...] of `bits` bits."""
        return (pack_bits(w, bits), bits) if self.packed else (w.astype(self.w_dtype or self.dtype),)


Q8 = Kind("q8", np.int8, np.int32, w_bits=8, bias_bits=20)
Q8_WIDE = Kind("q8_wide", np.int8, np.int64, w_bits=8, bias_bits=50)
Q16 = Kind("q16", np.int16, np.int32, w_bits=6, bias_bits=24)
Q16_WIDE = Kind("q16_wide", np.int16, np.int64, w_bits=16, bias_bits=55)
F32 = Kind("f32", np.float32, np.float32)
Q16_W8 = Kind("q16_w8", np.int16, np.int32, w_bits=8, bias_bits=24, w_dtype=np.int8)
Q16_W8_WIDE = Kind("q16_w8_wide", np.int16, np.int64, w_bits=8, bias_bits=55, w_dtype=np.int8)
Q8_PACKED = Kind("q8_packed", np.int8, np.int32, w_bits=16, bias_bits=24, packed=True)
Q8_PACKED_WIDE = Kind("q8_packed_wide", np.int8, np.int64, w_bits=16, bias_bits=50, packed=True)
Q16_PACKED = Kind("q16_packed", np.int16, np.int32, w_bits=8, bias_bits=24, packed=True)
Q16_PACKED_WIDE = Kind("q16_packed_wide", np.int16, np.int64, w_bits=16, bias_bits=55, packed=True)
KINDS = (
    *(Q8, Q8_WIDE, Q16, Q16_WIDE, F32, Q16_W8, Q16_W8_WIDE),
    *(Q8_PACKED, Q8_PACKED_WIDE, Q16_PACKED, Q16_PACKED_WIDE),
)
STORAGE_KINDS = (Q8, Q16, F32)
A8 = Kind("a8", np.int8, np.int32, w_bits=8, bias_bits=20)
A16 = Kind("a16", np.int16, np.int64, w_bits=8, bias_bits=40, w_dtype=np.int8)
AFFINE_KINDS = (A8, A16)


@dataclass(frozen=True)
class Requant:
    """The C structure nn_requant."""

    shift: int
    rounding: Rounding
    low: int
    high: int
    shifts: tuple[int, ...] | None = None

    def to_c(self) -> ctypes.Structure:
        shifts = None if self.shifts is None else (ctypes.c_int8 * len(self.shifts))(*self.shifts)
        return CRequant(self.shift, self.rounding, self.low, self.high, shifts)

    def of_filter(self, f: int) -> Requant:
        return self if self.shifts is None else replace(self, shift=self.shifts[f], shifts=None)


@dataclass(frozen=True)
class Affine:
    """The C structure nn_requant_affine."""

    multipliers: tuple[int, ...]
    shifts: tuple[int, ...]
    zero: int
    low: int
    high: int

    def to_c(self) -> ctypes.Structure:
        count = len(self.shifts)
        multipliers, shifts = (
            (ctypes.c_int32 * count)(*self.multipliers),
            (ctypes.c_int8 * count)(*self.shifts),
        )
        return CAffine(multipliers, shifts, self.zero, self.low, self.high)


@dataclass(frozen=True)
class AffineAdd:
    """The C structure nn_add_affine: zero points and multipliers of a, b and y, shifts alike."""

    zeros: tuple[int, int]
    multipliers: tuple[int, int, int]
    shifts: tuple[int, int, int]
    zero: int
    low: int
    high: int

    def to_c(self) -> ctypes.Structure:
        return CAffineAdd(self.zeros, self.multipliers, self.shifts, self.zero, self.low, self.high)


@dataclass(frozen=True)
class Range:
    """The C structure nn_range_f32."""

    low: float = -np.inf
    high: float = np.inf

    def to_c(self) -> ctypes.Structure:
        return CRange(self.low, self.high)


class CRequant(ctypes.Structure):
    _fields_ = (
        ("shift", ctypes.c_int8),
        ("rounding", ctypes.c_uint8),
        ("min", ctypes.c_int32),
        ("max", ctypes.c_int32),
        ("shifts", ctypes.POINTER(ctypes.c_int8)),
    )


class CAffine(ctypes.Structure):
    _fields_ = (
        ("multipliers", ctypes.POINTER(ctypes.c_int32)),
        ("shifts", ctypes.POINTER(ctypes.c_int8)),
        ("zero_point", ctypes.c_int32),
        ("min", ctypes.c_int32),
        ("max", ctypes.c_int32),
    )


class CAffineAdd(ctypes.Structure):
    _fields_ = (
        ("zeros", ctypes.c_int32 * 2),
        ("multipliers", ctypes.c_int32 * 3),
        ("shifts", ctypes.c_int8 * 3),
        ("zero_point", ctypes.c_int32),
        ("min", ctypes.c_int32),
        ("max", ctypes.c_int32),
    )


class CRange(ctypes.Structure):
    _fields_ = (("min", ctypes.c_float), ("max", ctypes.c_float))


def shape_to_c(values: Sequence[int]) -> Any:
    """nn_conv_shape and nn_pool_shape are 16 and 11 numbers of 16 bits; x_zero, the last of the 16, is signed."""
    return (ctypes.c_uint16 * len(values))(*(value & 0xFFFF for value in values))


class Output:
    """An array for a kernel to write into, with guard bytes before and behind it."""

    def __init__(self, shape: Sequence[int], dtype: type[np.generic], start: Array | None = None) -> None:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self.bytes = np.full(size + 2 * GUARD_BYTES, GUARD, np.uint8)
        self.array: Array = self.bytes[GUARD_BYTES : GUARD_BYTES + size].view(dtype).reshape(shape)
        if start is not None:
            self.array[...] = start

    def checked(self) -> Array:
        """The array, after checking that nothing was written outside it."""
        outside = np.concatenate([self.bytes[:GUARD_BYTES], self.bytes[-GUARD_BYTES:]])
        assert (outside == GUARD).all(), "the kernel wrote outside its output"
        return self.array


class Library:
    """The compiled runtime; `call` passes arrays as pointers and Python numbers as the C types given."""

    def __init__(self, folder: Path, flag: str = "-O2") -> None:
        wrapper = folder / "wrapper.c"
        wrapper.write_text(WRAPPER, encoding="utf-8")
        path = folder / "nn_runtime.so"
        includes = [runtime_folder() / "include"]
        compile_c([wrapper, *runtime_sources()], includes, path, flag, "-fPIC", "-shared")
        self.library = ctypes.CDLL(str(path))

    def call(self, function: str, *arguments: Any) -> None:
        converted = []
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                assert argument.flags.c_contiguous
                converted.append(argument.ctypes.data_as(ctypes.c_void_p))
            elif isinstance(argument, Requant | Range | Affine | AffineAdd):
                converted.append(ctypes.byref(argument.to_c()))
            elif isinstance(argument, ctypes.Array):
                converted.append(ctypes.byref(argument))
            else:
                converted.append(argument)
        getattr(self.library, function)(*converted)
