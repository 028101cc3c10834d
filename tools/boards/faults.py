"""What happens when things go wrong: a noisy line, a reset, a brown-out, a bit of RAM that flips.

`campaign` repeats one request under one kind of fault and counts how it ended. The protocol must make of every fault of
the line, every reset and every brown-out a right answer or an error. A flipped bit of RAM may change an answer, which
nothing on these boards notices; two answers in a row that agree (DeviceLink.run_confirmed) are the way to be sure.
"""

from __future__ import annotations

import enum
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..errors import UserError
from . import protocol
from .board import Board
from .elf import Image, load_image
from .link import DeviceLink, VirtualPort
from .mmio import BoardFault, LimitReached
from .protocol import Frame, Request
from .uart import SerialLine
from .virtual import VirtualBoard

# Asks of an empty line, of about 50 us each, that a delayed byte takes at most.
_LONGEST_DELAY = 60
# Bytes of the frames around a vector and its answer, about.
_FRAMES = 24
# A board that runs on for so many times as long as one request takes has hung; without counted cycles, for so many
# seconds on the host.
_PATIENCE, _PATIENCE_SECONDS = 4, 60.0


class Fault(enum.Enum):
    """What goes wrong in a trial, once."""

    DROP = "a byte is lost"
    REPEAT = "a byte comes twice"
    FLIP = "a bit of a byte flips"
    DELAY = "the rest of the request comes late"
    RESET = "reset at any moment"
    BROWN_OUT = "brown-out between two bytes of the request"
    RAM = "a bit of RAM flips at any moment"
    RAM_CONFIRMED = "the same, until two answers agree"


class Outcome(enum.Enum):
    """How a request ended. HUNG: the firmware gave no answer and ran on; on a real port the host gives up in time.

    STOPPED: a trap of the virtual board, for what the chip would not notice.
    """

    RIGHT = "right"
    RETRIED = "right after asking again"
    REPORTED = "error reported"
    HUNG = "no answer"
    STOPPED = "trapped"
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

    def __init__(
        self, board: VirtualBoard, after: int, disturb: Callable[[], None], max_cycles: int | None = None
    ) -> None:
        super().__init__(board, _PATIENCE_SECONDS, max_cycles)
        self._after: int | None = after
        self._disturb = disturb

    def read(self, timeout: float) -> bytes:
        """Bytes of the board; the first call disturbs it."""
        after, self._after = self._after, None
        if after is not None and self.board.run_for(after):
            self._disturb()
        return super().read(timeout)


class BrownOutPort(VirtualPort):
    """A port whose board loses its supply when `position` bytes of the first request have come.

    The other bytes come when it has started again, if `rest_comes`; else they are lost.
    """

    def __init__(self, board: VirtualBoard, position: int, rest_comes: bool, rng: random.Random) -> None:
        super().__init__(board, _PATIENCE_SECONDS)
        self._position: int | None = position
        self._rest_comes = rest_comes
        self._rng = rng

    def write(self, data: bytes) -> None:
        """Send; the first time in two pieces."""
        position, self._position = self._position, None
        if position is None:
            super().write(data)
            return
        super().write(data[:position])
        self.board.run(max_seconds=_PATIENCE_SECONDS)
        self.board.brown_out(self._rng)
        if self._rest_comes:
            super().write(data[position:])


def campaign(
    elf: Path | Image, board: Board, vector: bytes, fault: Fault, trials: int, seed: int = 1
) -> Counter[Outcome]:
    """RUN with `vector`, `trials` times, each on a fresh board with one fault at a random moment.

    The positions of brown-outs are spread evenly: as many trials as the request has bytes try each of them.
    """
    image = elf if isinstance(elf, Image) else load_image(elf)
    machine = VirtualBoard(board, image)
    with DeviceLink(VirtualPort(machine)) as link:
        good = link.run(vector).output
    rng = random.Random(seed)
    length = machine.clock.cycles
    outcomes: Counter[Outcome] = Counter()
    for trial in range(trials):
        if fault is Fault.BROWN_OUT:
            last = len(protocol.encode(Frame(Request.RUN, 1, vector))) - 1
            position = 1 + trial * (last - 1) // max(trials - 1, 1)
            machine = VirtualBoard(board, image, count_cycles=False, deliver_faults=True)
            port: VirtualPort = BrownOutPort(machine, position, trial % 2 == 0, rng)
        elif fault in (Fault.RESET, Fault.RAM, Fault.RAM_CONFIRMED):
            machine = VirtualBoard(board, image, deliver_faults=True)
            disturb = machine.reset if fault is Fault.RESET else partial(_flip, machine, image, rng)
            port = DisturbedPort(machine, rng.randrange(1, length), disturb, _PATIENCE * length)
        else:
            # Somewhere in the request or in its answer.
            line = NoisyLine(fault, rng.randrange(1, len(vector) + len(good) + _FRAMES), rng)
            machine = VirtualBoard(board, image, deliver_faults=True, line=line)
            port = VirtualPort(machine, _PATIENCE_SECONDS, _PATIENCE * length)
        outcomes[_outcome(port, image, vector, good, fault is Fault.RAM_CONFIRMED)] += 1
    return outcomes


def _outcome(port: VirtualPort, image: Image, vector: bytes, good: bytes, confirm: bool) -> Outcome:
    with DeviceLink(port, image) as link:
        try:
            output = (link.run_confirmed(vector) if confirm else link.run(vector)).output
        except LimitReached:
            return Outcome.HUNG
        except BoardFault:
            return Outcome.STOPPED
        except UserError:
            return Outcome.REPORTED
    if output != good:
        return Outcome.WRONG
    return Outcome.RIGHT if link.asked == 1 and link.confirmations <= 1 else Outcome.RETRIED


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
