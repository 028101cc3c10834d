"""Talking to the firmware: on a real port, on a virtual board behind a pty or TCP port, or on one in this process."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, TypeVar

import serial
from serial.tools import list_ports

from ..errors import UserError
from . import protocol
from .elf import Image
from .protocol import ErrorCode, Frame, Notice, Request
from .virtual import Stop, VirtualBoard

T = TypeVar("T")
# Bits of the Configurable Fault Status Register (ARMv7-M B3.2.15) in words.
_CFSR = {
    0: "instruction fetch from memory that holds no code",
    1: "access that memory protection forbids",
    8: "instruction fetch failed on the bus",
    9: "data access failed on the bus",
    10: "write failed on the bus, some instructions earlier",
    12: "the stack is outside memory",
    16: "undefined instruction",
    17: "jump to an even address",
    18: "bad return from an exception",
    19: "FPU instruction while the FPU is off",
    24: "unaligned access",
    25: "division by zero",
}


class DeviceFault(UserError):
    """The firmware on the device had a hard fault."""


class Port(Protocol):
    """Where bytes go to a device and come from."""

    name: str

    def write(self, data: bytes) -> None:
        """Send."""

    def read(self, timeout: float) -> bytes:
        """What has come; waits up to `timeout` seconds for the first byte. Empty: nothing came, or never will."""

    def transfer_seconds(self, count: int) -> float:
        """How long `count` bytes are on their way."""

    def close(self) -> None:
        """Give the port back."""


class SerialPort:
    """A port that pyserial opens: /dev/ttyACM0, COM3, socket://127.0.0.1:1234, ...

    Raises UserError if there is no such port, naming those that exist.
    """

    def __init__(self, url: str, baud: int = 115200) -> None:
        self.name = url
        self._baud = baud
        try:
            self._serial = serial.serial_for_url(url, baudrate=baud, timeout=0)
        except (serial.SerialException, ValueError, OSError) as error:
            ports = ", ".join(port.device for port in list_ports.comports()) or "none"
            reason = str(error).splitlines()[0]
            raise UserError(f"port {url}", f"cannot be opened ({reason})", f"ports here: {ports}") from None

    def write(self, data: bytes) -> None:
        try:
            self._serial.write(data)
        except serial.SerialException as error:
            raise self._lost(error) from None

    def read(self, timeout: float) -> bytes:
        try:
            self._serial.timeout = timeout
            first = bytes(self._serial.read(1))
            return first + bytes(self._serial.read(self._serial.in_waiting)) if first else b""
        except (serial.SerialException, OSError) as error:
            raise self._lost(error) from None

    def _lost(self, error: Exception) -> UserError:
        return UserError(f"port {self.name}", f"was lost ({error})", "check the cable and the board")

    def transfer_seconds(self, count: int) -> float:
        return 10 * count / self._baud

    def close(self) -> None:
        self._serial.close()


class VirtualPort:
    """The line of a virtual board in this process. Nothing waits: reading runs the board until it waits itself.

    `max_seconds` limits how long the board may run on the host without waiting for input, `max_cycles` how many cycles.
    """

    def __init__(self, board: VirtualBoard, max_seconds: float = 300, max_cycles: int | None = None) -> None:
        self.name = f"virtual {board.board.name}"
        self.board = board
        self._max_seconds = max_seconds
        self._max_cycles = max_cycles

    def write(self, data: bytes) -> None:
        self.board.line.send(data)

    def read(self, timeout: float) -> bytes:
        stop = self.board.run(self._max_cycles, self._max_seconds)
        data = self.board.line.take()
        if stop is Stop.HALTED and not data:
            raise UserError(
                self.name, "the firmware has halted and will not answer", "is this the right image?"
            )
        return data

    def transfer_seconds(self, count: int) -> float:
        return 0.0

    def close(self) -> None:
        self.board.switch_off()


class DeviceLink:
    """Requests to the firmware and their answers.

    `image` names functions in fault reports. `timeout` is what the device may take for one run of the model,
    in seconds. A damaged or lost frame is asked for again, `retries` times (`asked` is how often the last request was
    sent, `confirmations` how many runs `run_confirmed` took after the first). All requests raise UserError when no
    good answer comes and DeviceFault when the firmware crashes.
    """

    def __init__(
        self, port: Port, image: Image | None = None, timeout: float = 10.0, retries: int = 3
    ) -> None:
        self.port = port
        self._image = image
        self._timeout = timeout
        self._retries = retries
        self._seq = 0
        self.asked = 0
        self.confirmations = 0
        self._decoder = protocol.Decoder()

    def __enter__(self) -> DeviceLink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.port.close()

    def info(self) -> protocol.Info:
        """What is on the device. UserError if it speaks another version of the protocol."""
        info, _ = self._ask(Request.INFO, b"", protocol.Info.parse)
        if info.version != protocol.VERSION:
            raise UserError(
                self.port.name,
                f"the firmware speaks version {info.version} of the protocol, this program {protocol.VERSION}",
                "build and upload the firmware of this checkout",
            )
        return info

    def run(self, inputs: bytes) -> protocol.Run:
        """Run the model once on all its inputs, in order, in the model's number format."""
        return self._ask(Request.RUN, inputs, protocol.Run.parse)[0]

    def run_confirmed(self, inputs: bytes) -> protocol.Run:
        """Run the model until two answers in a row agree: what happens to RAM by chance does not happen twice.

        Raises UserError when `retries` + 2 runs bring no two such answers.
        """
        last = self.run(inputs)
        for confirmations in range(1, self._retries + 2):
            self.confirmations = confirmations
            run = self.run(inputs)
            if run.output == last.output:
                return run
            last = run
        raise UserError(
            self.port.name,
            f"gave another answer to the same input each time ({self._retries + 2} runs)",
            "is its RAM or its supply damaged?",
        )

    def bench(self, inputs: bytes, runs: int) -> protocol.Bench:
        """Run the model `runs` times (1..65535)."""
        return self._ask(Request.BENCH, struct.pack("<H", runs) + inputs, protocol.Bench.parse, runs)[0]

    def trace(self, inputs: bytes) -> tuple[protocol.Run, tuple[protocol.Layer, ...]]:
        """Run the model once, layer by layer."""
        run, frames = self._ask(Request.TRACE, inputs, protocol.Run.parse)
        layers = tuple(self._parse(protocol.Layer.parse, f) for f in frames if f.type == Notice.LAYER)
        if [layer.index for layer in layers] != list(range(len(layers))):
            raise self._confused("layers are missing in TRACE")
        return run, layers

    def tensor(self, layer: int, inputs: bytes) -> bytes:
        """Run the model once and fetch the output of one layer."""
        _, frames = self._ask(Request.TENSOR, struct.pack("<H", layer) + inputs, protocol.Run.parse)
        data = b""
        for frame in frames:
            if frame.type == Notice.DATA:
                if len(frame.payload) < 4 or int.from_bytes(frame.payload[:4], "little") != len(data):
                    raise self._confused("a piece of a tensor is missing")
                data += frame.payload[4:]
        return data

    def selftest(self) -> protocol.SelfTest:
        """Let the model compare itself with the generator's reference."""
        return self._ask(Request.SELFTEST, b"", protocol.SelfTest.parse)[0]

    # ---- below: one request ----

    def _ask(
        self, request: Request, payload: bytes, parse: Callable[[bytes], T], runs: int = 1
    ) -> tuple[T, list[Frame]]:
        """Send a request until it is answered; the response, parsed, and the frames that came before it."""
        problem = ""
        self.asked = 0
        while self.asked <= self._retries:
            self.asked += 1
            self._seq = self._seq % 255 + 1
            wire = protocol.encode(Frame(request, self._seq, payload))
            self.port.write(wire)
            seconds = self._timeout * runs + self.port.transfer_seconds(len(wire))
            frames: list[Frame] = []
            try:
                for frame in self._frames(seconds):
                    if frame.type == request | protocol.RESPONSE:
                        return self._parse(parse, frame), frames
                    frames.append(frame)
            except _Again as again:
                problem = str(again)
        raise UserError(
            self.port.name,
            f"no good answer to {request.name} ({problem}), asked {1 + self._retries} times",
            "is the firmware of this project running there, and at this baud rate?",
        )

    def _frames(self, seconds: float) -> Iterator[Frame]:
        """Frames that belong to the request; raises _Again when it should be repeated."""
        while True:
            deadline = time.monotonic() + seconds
            data = b""
            while not data and (left := deadline - time.monotonic()) > 0:
                data = self.port.read(left)
                if not data and isinstance(self.port, VirtualPort):
                    break
            if not data:
                raise _Again("silence")
            for frame in self._decoder.feed(data):
                if frame is None:
                    raise _Again("a damaged frame")
                if frame.type == Notice.FAULT:
                    raise self._fault(self._parse(protocol.Fault.parse, frame))
                if frame.type == Notice.ERROR and frame.seq in (0, self._seq):
                    self._error(self._parse(protocol.Error.parse, frame))
                elif frame.seq == self._seq:
                    yield frame

    def _error(self, error: protocol.Error) -> None:
        if error.code == ErrorCode.UNKNOWN_TYPE:
            raise UserError(
                self.port.name, "the firmware does not know this request", "upload a newer firmware"
            )
        if error.code == ErrorCode.BAD_VALUE:
            raise UserError(
                self.port.name, f"the firmware refuses the value {error.detail}", "check the request"
            )
        if error.code in (ErrorCode.TOO_LONG, ErrorCode.TOO_SHORT):
            raise _Again(f"it expects {error.detail} bytes")
        raise _Again("it got a damaged frame" if error.code == ErrorCode.BAD_CRC else f"error {error.code}")

    def _fault(self, fault: protocol.Fault) -> DeviceFault:
        causes = [text for bit, text in _CFSR.items() if fault.cfsr >> bit & 1]
        what = "hard fault: " + (", ".join(causes) or f"CFSR 0x{fault.cfsr:08x}, HFSR 0x{fault.hfsr:08x}")
        if fault.cfsr >> 15 & 1:
            what += f" at 0x{fault.bfar:08x}"
        elif fault.cfsr >> 7 & 1:
            what += f" at 0x{fault.mmfar:08x}"
        place, caller = self._place(fault.pc), self._place(fault.lr)
        return DeviceFault(
            f"{self.port.name}, {place}", f"{what} (returns to {caller})", "the board has restarted"
        )

    def _place(self, address: int) -> str:
        return self._image.place(address) if self._image is not None else f"0x{address:08x}"

    def _parse(self, parse: Callable[[bytes], T], frame: Frame) -> T:
        try:
            return parse(frame.payload)
        except ValueError as error:
            raise self._confused(f"frame 0x{frame.type:02x} is malformed: {error}") from None

    def _confused(self, what: str) -> UserError:
        return UserError(
            self.port.name, what, "the firmware does not follow the protocol: upload this checkout's"
        )


class _Again(Exception):
    """The request should be sent again."""


@contextmanager
def open_link(
    url: str, baud: int = 115200, image: Image | None = None, timeout: float = 10.0
) -> Iterator[DeviceLink]:
    """A link to the device on a serial port or socket:// URL, closed at the end of the block."""
    with DeviceLink(SerialPort(url, baud), image, timeout) as link:
        yield link
