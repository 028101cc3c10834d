"""A firmware image and test vectors in, numbers out: on a virtual board or on a real one, by the same requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import UserError
from .board import Board
from .elf import Image, load_image
from .link import DeviceLink, SerialPort, VirtualPort
from .rom import Footprint, footprint
from .virtual import VirtualBoard

if TYPE_CHECKING:
    from .profile import Recorder


@dataclass(frozen=True)
class LayerCycles:
    """Core cycles of a layer, with size and CRC-32 of its output for the first vector.

    `low` and `high`: bounds of emulated cycles (cycles.py); measured cycles are their own.
    """

    index: int
    cycles: int
    size: int
    crc: int
    low: int
    high: int


@dataclass(frozen=True)
class Measurement:
    """What an image did on a board. Sizes in bytes, times in core cycles at `clock_hz`.

    `kind` says where the cycles are from: "measured" on hardware, "emulated" on a virtual board, "untimed" on
    one that does not count (`cycles` and `layers` are then empty). `outputs` has one entry for each vector, and so have
    `low` and `high`, the bounds of emulated cycles (cycles.py); measured cycles are their own bounds.
    """

    board: str
    kind: Literal["measured", "emulated", "untimed"]
    clock_hz: int
    model: str
    model_hash: int
    compiler: str
    outputs: tuple[bytes, ...]
    cycles: tuple[int, ...]
    low: tuple[int, ...]
    high: tuple[int, ...]
    layers: tuple[LayerCycles, ...]
    arena_bytes: int
    stack_bytes: int
    stack_used: int
    footprint: Footprint

    @property
    def mean_cycles(self) -> float:
        """Mean over the vectors; 0 when untimed."""
        return sum(self.cycles) / len(self.cycles) if self.cycles else 0.0

    @property
    def mean_ms(self) -> float:
        """Mean time of one run in ms; 0 when untimed."""
        return 1000 * self.mean_cycles / self.clock_hz


def connect(image: Image, board: Board, port: str | None = None, count_cycles: bool = True) -> DeviceLink:
    """A link to hardware on a serial port or socket:// URL; without one, to a new virtual board that runs `image`."""
    if port is not None:
        return DeviceLink(SerialPort(port, board.uart.baud), image)
    return DeviceLink(VirtualPort(VirtualBoard(board, image, count_cycles=count_cycles)), image)


class Stopwatch:
    """Bounds of the cycles that a link's device has just reported: of emulated cycles; measured ones are certain."""

    def __init__(self, link: DeviceLink) -> None:
        self._recorder: Recorder | None = None
        if isinstance(link.port, VirtualPort) and link.port.board.counts_cycles:
            from .profile import Recorder  # only who counts cycles pays for loading the compiler

            self._recorder = Recorder(link.port.board)

    def bounds(self, cycles: Sequence[int], layers: bool) -> list[tuple[int, int]]:
        """(low, high) of a run, or of each layer of a traced one."""
        recorder = self._recorder
        if recorder is None:
            return [(c, c) for c in cycles]
        spans = recorder.spans_of_layers(cycles) if layers else [recorder.span_of_run(cycles[0])]
        brackets = [span.bracket() for span in spans]
        recorder.clear()
        return [(bracket.low, bracket.high) for bracket in brackets]


def measure(
    elf: Path,
    board: Board,
    vectors: Sequence[bytes],
    *,
    port: str | None = None,
    count_cycles: bool = True,
    trace: bool = True,
    progress: Callable[[int], None] = lambda done: None,
) -> Measurement:
    """Run every vector (all inputs of the model, in its number format) through the firmware.

    `port` is a serial port or socket:// URL of hardware that runs `elf`; None is a virtual board. `trace`
    adds the cycles of each layer, by one more run of the first vector. `progress` is called with the number
    of vectors done. Raises UserError if the vectors do not fit the model or the device does not answer.
    """
    image = load_image(elf)
    if not vectors:
        raise UserError(elf, "no vectors to run", "give at least one")
    with connect(image, board, port, count_cycles) as link:
        info = link.info()
        for index, vector in enumerate(vectors):
            if len(vector) != info.input_bytes:
                raise UserError(
                    f"vector {index}",
                    f"has {len(vector)} bytes, {info.model} takes {info.input_bytes}",
                    "quantize it so",
                )
        if info.board != board.name:
            raise UserError(
                port or board.name,
                f"is a {info.board}, not a {board.name}",
                "choose the board that is connected",
            )
        timed = port is not None or count_cycles
        watch = Stopwatch(link)
        runs, bounds = [], []
        for done, vector in enumerate(vectors, 1):
            runs.append(link.run(vector))
            bounds += watch.bounds([runs[-1].cycles], layers=False)
            progress(done)
        layers = link.trace(vectors[0])[1] if trace and timed else ()
        layer_bounds = watch.bounds([layer.cycles for layer in layers], layers=True) if layers else []
        # Only now has the stack been as deep as it gets.
        info = link.info()
    return Measurement(
        board=info.board,
        kind="measured" if port is not None else "emulated" if count_cycles else "untimed",
        clock_hz=info.clock_hz,
        model=info.model,
        model_hash=info.model_hash,
        compiler=info.compiler,
        outputs=tuple(run.output for run in runs),
        cycles=tuple(run.cycles for run in runs) if timed else (),
        low=tuple(low for low, _ in bounds) if timed else (),
        high=tuple(high for _, high in bounds) if timed else (),
        layers=tuple(
            LayerCycles(layer.index, layer.cycles, layer.size, layer.crc, *ends)
            for layer, ends in zip(layers, layer_bounds, strict=True)
        ),
        arena_bytes=info.arena_bytes,
        stack_bytes=info.stack_bytes,
        stack_used=info.stack_used,
        footprint=footprint(image),
    )
