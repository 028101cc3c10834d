"""What happens when things go wrong: a noisy line, a reset, a bit of RAM that flips.

`campaign` repeats one request under one kind of fault and counts how it ended. The protocol must make of every fault of
the line and of every reset a right answer or an error; a flipped bit of RAM may change the answer, as nothing
on these chips notices it.
"""

from __future__ import annotations

import enum
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ..errors import UserError
from .board import Board
from .elf import Image, load_image
from .link import DeviceLink, VirtualPort
from .uart import SerialLine
from .virtual import VirtualBoard

# Asks of an empty line, of about 50 us each, that a delayed byte takes at most.
_LONGEST_DELAY = 60
# Bytes of the frames around a vector and its answer, about; and seconds on the host after which a board hangs.
_FRAMES = 24
_PATIENCE = 20.0


class Fault(enum.Enum):
    """What goes wrong in a trial, once."""

    DROP = "a byte is lost"
    REPEAT = "a byte comes twice"
    FLIP = "a bit of a byte flips"
    DELAY = "the rest of the request comes late"
    RESET = "reset at any moment"
    RAM = "a bit of RAM flips at any moment"


class Outcome(enum.Enum):
    """How a request ended."""

    RIGHT = "right"
    RETRIED = "right after asking again"
    REPORTED = "reported"
    WRONG = "wrong"


class NoisyLine(SerialLine):
    """A line that damages one byte: the one that passes when `countdown` reaches 0, in either direction."""

    def __init__(self, fault: Fault, countdown: int, rng: random.Random) -> None:
        super().__init__()
        self.fault = fault
        self.countdown = countdown
        self._rng = rng
        self._late = b""
        self._asks = 0

    def send(self, data: bytes) -> None:
        """Host to board."""
        sent = bytearray()
        for index, byte in enumerate(data):
            self.countdown -= 1
            if self.countdown == 0 and self.fault is Fault.DELAY:
                self._late, self._asks = bytes(data[index:]), self._rng.randrange(1, _LONGEST_DELAY)
                break
            sent += self._damaged(byte)
        super().send(bytes(sent))

    def put(self, byte: int) -> None:
        """Board to host."""
        self.countdown -= 1
        for one in self._damaged(byte):
            super().put(one)

    def ask(self) -> None:
        """The board looks at an empty line: a late byte is nearer."""
        if self._late and not self.to_board:
            self._asks -= 1
            if self._asks <= 0:
                late, self._late = self._late, b""
                self.to_board.extend(late)

    def _damaged(self, byte: int) -> bytes:
        if self.countdown != 0:
            return bytes([byte])
        if self.fault is Fault.DROP:
            return b""
        if self.fault is Fault.REPEAT:
            return bytes([byte, byte])
        return bytes([byte ^ 1 << self._rng.randrange(8)]) if self.fault is Fault.FLIP else bytes([byte])


class DisturbedPort(VirtualPort):
    """A port whose board is disturbed once, `after` cycles after a request was sent."""

    def __init__(self, board: VirtualBoard, after: int, disturb: Callable[[], None]) -> None:
        super().__init__(board, _PATIENCE)
        self._after: int | None = after
        self._disturb = disturb

    def read(self, timeout: float) -> bytes:
        """Bytes of the board; the first call disturbs it."""
        after, self._after = self._after, None
        if after is not None and self.board.run_for(after):
            self._disturb()
        return super().read(timeout)


def campaign(
    elf: Path | Image, board: Board, vector: bytes, fault: Fault, trials: int, seed: int = 1
) -> Counter[Outcome]:
    """RUN with `vector`, `trials` times, each on a fresh board with one fault at a random moment."""
    image = elf if isinstance(elf, Image) else load_image(elf)
    machine = VirtualBoard(board, image)
    with DeviceLink(VirtualPort(machine)) as link:
        good = link.run(vector).output
    rng = random.Random(seed)
    length = machine.clock.cycles
    return Counter(_trial(image, board, vector, fault, rng, length, good) for _ in range(trials))


def _trial(
    image: Image,
    board: Board,
    vector: bytes,
    fault: Fault,
    rng: random.Random,
    length: int,
    good: bytes,
) -> Outcome:
    # A fault of the line is somewhere in the request or in its answer.
    of_line = fault not in (Fault.RESET, Fault.RAM)
    line = NoisyLine(fault, rng.randrange(1, len(vector) + len(good) + _FRAMES), rng) if of_line else None
    machine = VirtualBoard(board, image, deliver_faults=True, line=line)
    disturb = {Fault.RESET: machine.reset, Fault.RAM: lambda: _flip(machine, image, rng)}.get(fault)
    port = VirtualPort(machine, _PATIENCE)
    if disturb is not None:
        port = DisturbedPort(machine, rng.randrange(1, length), disturb)
    with DeviceLink(port, image) as link:
        try:
            output = link.run(vector).output
        except UserError:
            return Outcome.REPORTED
    if output != good:
        return Outcome.WRONG
    return Outcome.RIGHT if link.asked == 1 else Outcome.RETRIED


def _flip(machine: VirtualBoard, image: Image, rng: random.Random) -> None:
    """One bit of the image's data or stack."""
    places = [
        (s.address, s.size) for s in image.sections if s.address in machine.board.ram and s.name != ".stack"
    ]
    stack = image.labels.get("_stack_size", 0)
    if stack:
        places.append((image.labels["_estack"] - stack, stack))
    chosen = rng.randrange(sum(size for _, size in places))
    for start, size in places:
        if chosen < size:
            byte = machine.read_memory(start + chosen, 1)[0] ^ 1 << rng.randrange(8)
            machine.write_memory(start + chosen, bytes([byte]))
            return
        chosen -= size
