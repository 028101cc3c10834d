"""What an operation is: shape inference, execution, cost and lowering, in one class each.

Activations of a batch are arrays [N, *shape], float32 for float operations and int64 for integer ones
(int64 only in the arithmetic of the reference; the format says how many bits are stored).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from ..formats import Array, Fixed, FixedWeights, Float32, Format
from ..requant import Rounding, requant

if TYPE_CHECKING:
    from ..lower import CallBuilder

Shape: TypeAlias = tuple[int, ...]


def same_format(inputs: Sequence[Fixed], output: Fixed) -> bool:
    """Whether stored integers pass as they are, whatever number they mean."""
    return all(source == output for source in inputs)


def elements(shape: Shape) -> int:
    return math.prod(shape)


def hwc(shape: Shape) -> tuple[int, int, int]:
    """A sample's shape as (H, W, C): (T, C) is one row of T positions, (C,) one position."""
    if len(shape) > 3:
        raise ValueError(
            f"shape {shape} has more than three dimensions; (C,), (T, C) and (H, W, C) are supported"
        )
    return (1,) * (3 - len(shape)) + shape  # type: ignore[return-value]


def unhwc(h: int, w: int, c: int, rank: int) -> Shape:
    """(H, W, C) back to a shape of `rank` dimensions."""
    return (h, w, c)[3 - rank :]


@dataclass(frozen=True)
class Activation:
    """A fused activation: clamp of the output to [low, high], None = no bound. ReLU is (0, None)."""

    low: float | None = None
    high: float | None = None

    def apply(self, x: Array) -> Array:
        if self.low is None and self.high is None:
            return x
        return np.clip(x, self.low, self.high)

    def then(self, other: Activation) -> Activation:
        """This clamp followed by another one."""

        def clip(value: float | None, lowest: float | None, highest: float | None) -> float | None:
            if value is not None and lowest is not None:
                value = max(value, lowest)
            if value is not None and highest is not None:
                value = min(value, highest)
            return value

        low = other.low if self.low is None else clip(self.low, other.low, other.high)
        high = other.high if self.high is None else clip(self.high, other.low, other.high)
        return Activation(low, high)

    def bounds(self, output: Fixed) -> tuple[int, int]:
        """The clamp as stored integers of the output format, inside the format's own range."""
        low, high = output.low, output.high
        if self.low is not None:
            low = int(output.quantize(np.asarray(self.low)))
        if self.high is not None:
            high = int(output.quantize(np.asarray(self.high)))
        return low, high

    def __bool__(self) -> bool:
        return self != NONE

    def __str__(self) -> str:
        if self == RELU:
            return "ReLU"
        if not self:
            return ""
        return f"clamp {'' if self.low is None else f'{self.low:g}'}..{'' if self.high is None else f'{self.high:g}'}"


NONE = Activation()
RELU = Activation(low=0.0)


@dataclass(frozen=True)
class Requant:
    """``y = clamp(round(acc * 2**-shift), low, high)``: from the accumulator to the stored output.

    `shifts`: one shift for each filter (last axis of the accumulator) in place of `shift`; empty: `shift` for
    all.
    """

    shift: int
    rounding: Rounding
    low: int
    high: int
    shifts: tuple[int, ...] = ()

    def __call__(self, accumulator: Array) -> Array:
        if not self.shifts:
            return requant(accumulator, self.shift, self.rounding, self.low, self.high)
        y = np.empty(accumulator.shape, np.int64)
        for shift in set(self.shifts):
            filters = np.array(self.shifts) == shift
            y[..., filters] = requant(accumulator[..., filters], shift, self.rounding, self.low, self.high)
        return y

    def c_fields(self) -> dict[str, object]:
        """Fields of the C structure nn_requant, the table of shifts excepted."""
        return {
            ".shift": self.shift,
            ".rounding": f"NN_ROUND_{self.rounding.name}",
            ".min": self.low,
            ".max": self.high,
        }


@dataclass(frozen=True)
class FixedFormats:
    """What a fixed-point scheme chose for one node: formats, roundings."""

    inputs: tuple[Fixed, ...]
    output: Fixed
    weights: FixedWeights | None
    weight_rounding: Rounding
    rounding: Rounding


@dataclass(frozen=True)
class Accumulator:
    """Proof that the accumulator of an integer operation cannot overflow.

    `bound` is the largest magnitude, over all filters, of ``sum |w| * max |x| + |b|`` (for x that are never
    negative, of the weights of one sign); `bits` is 32 or 64, the narrowest that holds it. Rounding adds nothing
    to it: nn_requant.h rounds after the shift.
    """

    bound: int

    LIMIT: ClassVar[Mapping[int, int]] = {32: (1 << 31) - 1, 64: (1 << 63) - 1}

    @property
    def bits(self) -> int:
        for bits, limit in self.LIMIT.items():
            if self.bound <= limit:
                return bits
        raise ValueError(f"the accumulator can reach {self.bound}, which does not fit 64 bits")

    @property
    def suffix(self) -> str:
        """Suffix of the kernels that accumulate this wide."""
        return "" if self.bits == 32 else "_wide"

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(f"int{self.bits}")

    @property
    def headroom_bits(self) -> float:
        return math.log2((self.LIMIT[self.bits] + 1) / max(self.bound, 1))

    def __str__(self) -> str:
        return f"|accumulator| <= {self.bound} < 2^{self.bits - 1}"


@dataclass(frozen=True, eq=False)
class Op(ABC):
    """An operation with its attributes; instances are immutable."""

    kind: ClassVar[str]

    @abstractmethod
    def infer(self, inputs: Sequence[Shape]) -> Shape:
        """Shape of the output. Raises ValueError saying what does not fit."""

    @abstractmethod
    def run(self, inputs: Sequence[Array]) -> Array:
        """Execute on a batch."""

    @abstractmethod
    def lower(self, call: CallBuilder) -> None:
        """Emit the kernel calls that compute this operation."""

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        """Multiply-accumulates for one sample."""
        return 0

    def in_place(self) -> tuple[int, ...]:
        """Indices of the inputs whose memory the output may take over."""
        return ()

    def check(self, inputs: Sequence[Format], output: Format) -> str | None:
        """A sentence saying which format this operation cannot take, or None."""
        wrong = [str(fmt) for fmt in (*inputs, output) if not isinstance(fmt, Float32)]
        return f"a float operation has a tensor in {wrong[0]}" if wrong else None

    def describe(self) -> str:
        """Attributes in a few words for tables and comments."""
        return ""


@dataclass(frozen=True, eq=False)
class SameShape(Op):
    """An operation whose output has the shape of its only input and may take over its memory."""

    def infer(self, inputs: Sequence[Shape]) -> Shape:
        (shape,) = inputs
        return shape

    def in_place(self) -> tuple[int, ...]:
        return (0,)


@dataclass(frozen=True, eq=False)
class FloatOp(Op):
    """An operation on real numbers, as a frontend makes it."""

    @property
    def keeps_format(self) -> bool:
        """True when the output can only hold values of the inputs: it takes their fixed-point format."""
        return False

    @property
    def maximum(self) -> float | None:
        """Largest magnitude of the output where the operation itself bounds it, else None."""
        return None

    @property
    def weights(self) -> Array | None:
        """The array whose range sets the format of the weights, None without weights."""
        return None

    def takes_unsigned(self, inputs: Sequence[Fixed], output: Fixed) -> bool:
        """Whether the integer operation can compute in these formats, of which one is unsigned."""
        return False

    @abstractmethod
    def to_fixed(self, formats: FixedFormats, shapes: Sequence[Shape]) -> Op:
        """The same operation in integers."""

    def with_activation(self, activation: Activation) -> FloatOp | None:
        """This operation followed by a clamp, fused; None when it cannot take one."""
        return None

    def arrays(self) -> Mapping[str, Array]:
        """All parameters by name, for checks and for the hash of the model."""
        return {}


@dataclass(frozen=True, eq=False)
class FixedOp(Op):
    """An operation on fixed-point integers."""

    accumulator: Accumulator = field(kw_only=True, default=Accumulator(0))

    def check(self, inputs: Sequence[Format], output: Format) -> str | None:
        wrong = [str(fmt) for fmt in (*inputs, output) if not isinstance(fmt, Fixed)]
        if wrong:
            return f"an integer operation has a tensor in {wrong[0]}"
        if len({fmt.bytes for fmt in (*inputs, output)}) != 1:
            return "its tensors are stored in different widths"
        return None
