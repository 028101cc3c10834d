"""The serial line of a virtual board: the bytes in flight, the UART's side of them, and its ends on the host.

Time on the line is board time. A byte takes ten bits; a receiver that is not read in time overruns, as on a
board. But nobody waits for real: when the firmware does nothing but ask for a status that only time will
change, time is moved on to the change, and when the line is empty as well, the board is idle and the emulator
hands back to its host.
"""

from __future__ import annotations

import abc
import os
import select
import socket
import sys
import tty
from collections import deque
from collections.abc import Callable

from ..errors import UserError
from .mmio import AccessError, Clock

# A status read that finds what the one before found, at most this many cycles later, is part of a waiting loop ...
_POLL_SPACING = 2000
# ... which has nothing to wait for when so many of them came in a row on an empty line, each taken as 50 us long
# (3.2 ms in all: a firmware that acts on a quiet line does so well within).
_IDLE_POLLS = 64
_IDLE_POLL_HZ = 20_000
# The end of a line of text and of a frame of the protocol; whatever has neither goes to the sink in pieces.
_PIECE_ENDS = (0x0A, 0x00)
_PIECE_BYTES = 512


class SerialLine:
    """Bytes between the host and a virtual board's UART.

    A host that wants to hear at once sets `sink`, which gets what the board sends in pieces; one that has
    bytes of its own while the board runs sets `source`, which is asked for them and must not block.
    """

    def __init__(self) -> None:
        self.to_board: deque[int] = deque()
        self.from_board = bytearray()
        self.sink: Callable[[bytes], None] | None = None
        self.source: Callable[[], bytes] | None = None

    def send(self, data: bytes) -> None:
        """Host to board."""
        self.to_board.extend(data)

    def take(self) -> bytes:
        """Everything the board has sent since the last call."""
        data = bytes(self.from_board)
        self.from_board.clear()
        return data

    def flush(self) -> None:
        """Give to the sink what it has not got yet."""
        if self.sink is not None and self.from_board:
            self.sink(self.take())

    def put(self, byte: int) -> None:
        """Board to host."""
        self.from_board.append(byte)
        if self.sink is not None and (byte in _PIECE_ENDS or len(self.from_board) >= _PIECE_BYTES):
            self.flush()

    def ask(self) -> None:
        """Get the source's bytes, if nothing is on the line."""
        if self.source is not None and not self.to_board:
            self.to_board.extend(self.source())


class UartCore:
    """Receiver and transmitter, common to all UARTs; a chip's registers are a thin layer over it.

    `depth` is how many received bytes wait to be read, `tx_depth` how many to be sent, before the one in the
    shift register; `on_idle` is called when the firmware waits for a byte that is not on its way.
    """

    def __init__(self, name: str, line: SerialLine, clock: Clock, on_idle: Callable[[], None]) -> None:
        self.name = name
        self.line = line
        self.clock = clock
        self.on_idle = on_idle
        self.depth = 1
        self.tx_depth = 1
        self.byte_cycles = 0
        self.reset()

    def reset(self) -> None:
        """Nothing received, nothing being sent."""
        self.received: deque[int] = deque()
        self.overrun = False
        # When the byte on the line will be complete; None when there is none.
        self._next_arrival: int | None = None
        self._tx_done = 0
        self._polls = 0
        self._last_poll = 0

    def set_speed(self, uart_hz: float, divisor: float, baud: int) -> None:
        """Take the speed that the firmware chose: `uart_hz / divisor` bits per second.

        Raises AccessError if it is more than 2 % off `baud`, the line's speed: the other end would read
        garbage.
        """
        speed = uart_hz / divisor if divisor else 0.0
        if not 0.98 * baud <= speed <= 1.02 * baud:
            raise AccessError(
                f"{self.name} is set to {speed:.0f} baud ({uart_hz:.0f} Hz / {divisor:g}), the line runs at {baud}",
                "correct the divisor, the clock or the board's [uart] baud",
            )
        self.byte_cycles = round(10 * self.clock.hz / speed)

    def _advance(self) -> None:
        """Let the bytes arrive that have arrived by now."""
        line, now = self.line.to_board, self.clock.cycles
        if line and self._next_arrival is None:
            self._next_arrival = now + self.byte_cycles
        while self._next_arrival is not None and self._next_arrival <= now:
            byte = line.popleft()
            if len(self.received) < self.depth:
                self.received.append(byte)
            else:
                self.overrun = True
            # The host's next byte follows at once if it is there, else whenever it comes.
            self._next_arrival = self._next_arrival + self.byte_cycles if line else None

    def poll(self) -> None:
        """The firmware looks at the status: bring it up to date, and move time on if looking is all it does."""
        self.line.ask()
        self._advance()
        clock = self.clock
        if clock.cycles - self._last_poll > _POLL_SPACING:
            self._polls = 0
        self._polls += 1
        if self._polls >= 2 and not self.received:
            sending = clock.cycles < self._tx_done
            if sending:
                clock.skip_to(self._tx_done - self.tx_depth * self.byte_cycles)
                if self._polls > 2:
                    clock.skip_to(self._tx_done)
                self._advance()
            elif self._next_arrival is not None:
                clock.skip_to(self._next_arrival)
                self._advance()
            else:
                clock.skip_to(clock.cycles + clock.hz // _IDLE_POLL_HZ)
                if self._polls >= _IDLE_POLLS:
                    self._polls = 0
                    self.on_idle()
        self._last_poll = clock.cycles

    def read(self) -> int:
        """The firmware takes a byte; 0 when there is none."""
        self._polls = 0
        self._advance()
        return self.received.popleft() if self.received else 0

    def write(self, byte: int) -> None:
        """The firmware sends a byte. Raises AccessError when the transmitter has no room: it would be lost."""
        self._polls = 0
        if not self.room:
            raise AccessError(
                f"byte 0x{byte:02x} is written to {self.name} while its transmitter is full: a byte would be lost",
                "wait for the transmitter first",
            )
        self._tx_done = max(self._tx_done, self.clock.cycles) + self.byte_cycles
        self.line.put(byte & 0xFF)

    @property
    def room(self) -> bool:
        """The transmitter takes another byte."""
        return self._tx_done - self.clock.cycles <= self.tx_depth * self.byte_cycles

    @property
    def sending(self) -> bool:
        """A bit is still on its way out."""
        return self.clock.cycles < self._tx_done


class Endpoint(abc.ABC):
    """A place on the host where the line ends. `name` is what a client opens."""

    name: str

    def __init__(self) -> None:
        self._wake_out, self._wake_in = os.pipe()

    @abc.abstractmethod
    def read(self, timeout: float | None) -> bytes | None:
        """Bytes for the board, b"" when none came within `timeout` seconds, None when none will ever come.

        `timeout` None waits for ever, but for stop().
        """

    @abc.abstractmethod
    def write(self, data: bytes) -> None:
        """Bytes from the board."""

    def stop(self) -> None:
        """Make read() return None from now on; may be called from another thread."""
        os.write(self._wake_in, b"x")

    def close(self) -> None:
        """Give the place back."""
        os.close(self._wake_out)
        os.close(self._wake_in)

    def _ready(self, source: int, timeout: float | None) -> bool | None:
        """`source` can be read: yes, not in time, or None after stop()."""
        ready, _, _ = select.select([source, self._wake_out], [], [], timeout)
        return None if self._wake_out in ready else source in ready


class Pty(Endpoint):
    """A pseudo-terminal: `name` (/dev/pts/N) opens like a board's serial port."""

    def __init__(self) -> None:
        super().__init__()
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        # The slave stays open here, so that programs may come and go.
        self.name = os.ttyname(self._slave)

    def read(self, timeout: float | None) -> bytes | None:
        ready = self._ready(self._master, timeout)
        return os.read(self._master, 65536) if ready else None if ready is None else b""

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._master, data) :]

    def close(self) -> None:
        os.close(self._master)
        os.close(self._slave)
        super().close()


class Tcp(Endpoint):
    """A TCP server for one client at a time, on the loopback interface only: `name` is a URL for pyserial.

    `port` 0 takes any free one. Raises UserError if the port is taken.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__()
        try:
            self._server = socket.create_server(("127.0.0.1", port))
        except OSError as error:
            raise UserError(
                f"TCP port {port}", f"cannot be opened ({error.strerror})", "choose another"
            ) from None
        self._client: socket.socket | None = None
        self.name = f"socket://127.0.0.1:{self._server.getsockname()[1]}"

    def read(self, timeout: float | None) -> bytes | None:
        if self._client is None:
            ready = self._ready(self._server.fileno(), timeout)
            if not ready:
                return None if ready is None else b""
            self._client, _ = self._server.accept()
            self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ready = self._ready(self._client.fileno(), timeout)
        if not ready:
            return None if ready is None else b""
        try:
            data = self._client.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self._hang_up()
        return data

    def write(self, data: bytes) -> None:
        # As on a serial line, bytes are lost when nobody listens.
        if self._client is not None:
            try:
                self._client.sendall(data)
            except ConnectionError:
                self._hang_up()

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def close(self) -> None:
        self._hang_up()
        self._server.close()
        super().close()


class Stdio(Endpoint):
    """Standard input and output."""

    name = "standard input and output"

    def read(self, timeout: float | None) -> bytes | None:
        ready = self._ready(sys.stdin.fileno(), timeout)
        # An empty read is the end of the file.
        return (os.read(sys.stdin.fileno(), 65536) or None) if ready else None if ready is None else b""

    def write(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
