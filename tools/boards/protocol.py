"""The serial protocol of the firmware, seen from the host. firmware/PROTOCOL.md is normative."""

from __future__ import annotations

import enum
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from .untyped import cobs

VERSION = 1
RESPONSE = 0x80
_HEAD_AND_CRC_BYTES = 6
# Longer than any frame: 16-bit sizes of the generator bound what a device sends in one.
_MAX_FRAME_BYTES = 1 << 20


class Request(enum.IntEnum):
    """Types of requests; the response has bit 7 set."""

    INFO = 0x01
    RUN = 0x02
    BENCH = 0x03
    TRACE = 0x04
    TENSOR = 0x05
    SELFTEST = 0x06


class Notice(enum.IntEnum):
    """Types of the other frames that a device sends."""

    LAYER = 0x94
    DATA = 0x95
    FAULT = 0x7E
    ERROR = 0x7F


class ErrorCode(enum.IntEnum):
    """Why a device dropped a frame."""

    BAD_CRC = 1
    TOO_LONG = 2
    TOO_SHORT = 3
    UNKNOWN_TYPE = 4
    BAD_VALUE = 5


@dataclass(frozen=True)
class Frame:
    """A frame whose CRC was right."""

    type: int
    seq: int
    payload: bytes


def encode(frame: Frame) -> bytes:
    """A frame as it goes over the line, with both delimiters."""
    body = struct.pack("<BB", frame.type, frame.seq) + frame.payload
    return b"\0" + bytes(cobs.encode(body + struct.pack("<I", zlib.crc32(body)))) + b"\0"


class Decoder:
    """Finds frames in a stream of bytes, whatever else is in it."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame | None]:
        """The frames that `data` completes; None for one that was damaged."""
        for piece in data.split(b"\0")[:-1] if b"\0" in data else []:
            self._pending += piece
            whole, self._pending = bytes(self._pending), bytearray()
            if whole:
                yield _decode(whole)
        self._pending += data.rpartition(b"\0")[2]
        del self._pending[:-_MAX_FRAME_BYTES]


def _decode(stuffed: bytes) -> Frame | None:
    try:
        body = cobs.decode(stuffed)
    except cobs.DecodeError:
        return None
    if len(body) < _HEAD_AND_CRC_BYTES or zlib.crc32(body[:-4]) != struct.unpack("<I", body[-4:])[0]:
        return None
    return Frame(body[0], body[1], body[2:-4])


@dataclass(frozen=True)
class Info:
    """What a device says about itself and its model. Sizes in bytes, clock in Hz."""

    version: int
    runtime: int
    model_hash: int
    clock_hz: int
    input_bytes: int
    output_bytes: int
    arena_bytes: int
    layers: int
    stack_bytes: int
    stack_used: int
    last_fault_pc: int
    board: str
    model: str
    compiler: str

    _FIXED: ClassVar[struct.Struct] = struct.Struct("<HHIIIIIHIII")

    @classmethod
    def parse(cls, payload: bytes) -> Info:
        """Read INFO's response; ValueError if it is malformed."""
        numbers = _unpack(cls._FIXED, payload)
        names = payload[cls._FIXED.size :].split(b"\0")
        if len(names) < 4:
            raise ValueError("three strings expected")
        return cls(*numbers, *(name.decode("utf-8", "replace") for name in names[:3]))


@dataclass(frozen=True)
class Run:
    """RUN's response: core cycles of the model, and all its outputs in order."""

    cycles: int
    output: bytes

    @classmethod
    def parse(cls, payload: bytes) -> Run:
        """Read the response of RUN, TRACE or TENSOR; ValueError if it is malformed."""
        (cycles,) = _unpack(struct.Struct("<I"), payload)
        return cls(cycles, payload[4:])


@dataclass(frozen=True)
class Bench:
    """BENCH's response: cycles of the fastest and the slowest run and of all, and the outputs of the first."""

    minimum: int
    maximum: int
    total: int
    output: bytes

    @classmethod
    def parse(cls, payload: bytes) -> Bench:
        """Read BENCH's response; ValueError if it is malformed."""
        minimum, maximum, total = _unpack(struct.Struct("<IIQ"), payload)
        return cls(minimum, maximum, total, payload[16:])


@dataclass(frozen=True)
class Layer:
    """A LAYER frame of TRACE: cycles of the layer, size and CRC-32 of its output."""

    index: int
    cycles: int
    size: int
    crc: int

    @classmethod
    def parse(cls, payload: bytes) -> Layer:
        """Read a LAYER frame; ValueError if it is malformed."""
        return cls(*_unpack(struct.Struct("<HIII"), payload))


@dataclass(frozen=True)
class SelfTest:
    """SELFTEST's response."""

    ok: bool
    cycles: int

    @classmethod
    def parse(cls, payload: bytes) -> SelfTest:
        """Read SELFTEST's response; ValueError if it is malformed."""
        ok, cycles = _unpack(struct.Struct("<BI"), payload)
        return cls(bool(ok), cycles)


@dataclass(frozen=True)
class Fault:
    """A FAULT frame: registers at a hard fault."""

    pc: int
    lr: int
    cfsr: int
    hfsr: int
    mmfar: int
    bfar: int
    sp: int

    @classmethod
    def parse(cls, payload: bytes) -> Fault:
        """Read a FAULT frame; ValueError if it is malformed."""
        return cls(*_unpack(struct.Struct("<7I"), payload))


@dataclass(frozen=True)
class Error:
    """An ERROR frame."""

    code: int
    detail: int

    @classmethod
    def parse(cls, payload: bytes) -> Error:
        """Read an ERROR frame; ValueError if it is malformed."""
        return cls(*_unpack(struct.Struct("<BI"), payload))


def _unpack(layout: struct.Struct, payload: bytes) -> tuple[Any, ...]:
    if len(payload) < layout.size:
        raise ValueError(f"{len(payload)} bytes where {layout.size} were expected")
    return layout.unpack_from(payload)
