"""The cycle model against the on-board times of Table A4 of Novac et al., Sensors 2021, 21, 2984.

    python benchmarks/backtest/backtest.py [--gcc COMPILER] [--board B] [--type T] [--filters 16,80] [--json F]

builds ResNetv1-6 from plain C in the manner of the paper's generator (main.c, conv.inc), runs it on the virtual
boards and prints predicted and measured ms, the error, and mean and largest error by board and type. `--gcc` compiles
main.c; the board's code, assembler and linker are always arm-none-eabi-gcc's.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from microai.boards.board import Board, load_board
from microai.boards.counter import CycleCounter
from microai.boards.profile import Recorder, Span
from microai.boards.virtual import Stop, VirtualBoard
from microai.errors import UserError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LINKER = "arm-none-eabi-gcc"
FILTERS = (16, 24, 32, 40, 48, 64, 80)
INPUTS, TIME, CLASSES = 9, 128, 6
CLOCK_HZ = 48_000_000
# Rows "MicroAI" of Table A4: ms for one input, by filters.
MEASURED = {
    ("nucleo_l452re", "int8"): (43.003, 107.705, 180.830, 272.986, 383.761, 659.996, 1034.033),
    ("nucleo_l452re", "int16"): (44.915, 120.308, 205.499, 318.310, 459.880, 796.310, 1223.513),
    ("nucleo_l452re", "float32"): (55.762, 152.426, 259.160, 395.721, 559.249, 976.732, 1512.143),
    ("sparkfun_edge", "int8"): (39.417, 101.704, 172.551, 259.830, 375.840, 658.441, 1003.365),
    ("sparkfun_edge", "int16"): (40.867, 113.035, 191.439, 287.655, 389.450, 667.547, 1041.617),
    ("sparkfun_edge", "float32"): (53.247, 153.732, 259.212, 394.494, 569.852, 1017.118, 1561.264),
}
# (name, channels of the input or None for the filters, filters or classes, taps)
LAYERS = (
    ("1", INPUTS, None, 3),
    ("2", None, None, 3),
    ("3", None, None, 3),
    ("4", None, None, 3),
    ("5", None, None, 3),
    ("6", None, None, 1),
    ("7", None, CLASSES, 0),
)
SHIFT = {"int8": 7, "int16": 9}

Array = np.ndarray[Any, np.dtype[Any]]


# ---- the network: constants, and what it must compute ----


@dataclass(frozen=True)
class Network:
    """Random constants of ResNetv1-6: input [9, 128], weights [F, C, taps] or [6, F], biases [F]."""

    kind: str
    filters: int
    x: Array
    weights: tuple[Array, ...]
    biases: tuple[Array, ...]

    @classmethod
    def random(cls, kind: str, filters: int) -> Network:
        rng = np.random.default_rng(filters)
        weights, biases = [], []
        for _, channels, outputs, taps in LAYERS:
            shape = (outputs or filters, channels or filters, *([taps] if taps else []))
            deviation = np.sqrt(2 / np.prod(shape[1:]))
            weights.append(rng.normal(0, deviation, shape))
            biases.append(rng.normal(0, 0.1, shape[0]))
        x = rng.normal(0, 1, (INPUTS, TIME))
        return cls(
            kind,
            filters,
            _stored(x, kind, 4),
            tuple(_stored(w, kind) for w in weights),
            tuple(_stored(b, kind, 4) for b in biases),
        )

    def header(self) -> str:
        """weights.h: const arrays of main.c's type `number`."""
        arrays = [("input", self.x)]
        for (name, *_), w, b in zip(LAYERS, self.weights, self.biases, strict=True):
            arrays += [(f"w{name}", w), (f"b{name}", b)]
        return "".join(
            f"static const number {name}{''.join(f'[{n}]' for n in a.shape)} = {_braced(a)};\n"
            for name, a in arrays
        )

    def output(self) -> Array:
        """What main.c must print, [6]; of float32 up to the order of sums."""
        w, b = self.weights, self.biases
        first = self._conv(self.x, 0, relu=True)
        third = self._conv(self._conv(first, 1, relu=True), 2)
        first = self._add(first, third)
        second = self._conv(np.maximum(_pooled(self._conv(first, 3)), 0), 4)
        last = self._add(second, _pooled(self._conv(first, 5))).max(axis=1)
        return self._narrowed(w[6].astype(self._wide) @ last.astype(self._wide), b[6])

    @property
    def _wide(self) -> type:
        return np.float64 if self.kind == "float32" else np.int64

    def _conv(self, x: Array, layer: int, relu: bool = False) -> Array:
        w = self.weights[layer].astype(self._wide)
        taps = w.shape[2]
        padded = np.pad(x.astype(self._wide), ((0, 0), (taps // 2, taps // 2)))
        sums = sum(w[:, :, t] @ padded[:, t : t + x.shape[1]] for t in range(taps))
        y = self._narrowed(sums, self.biases[layer][:, None])
        return np.maximum(y, 0) if relu else y

    def _narrowed(self, sums: Any, bias: Array) -> Array:
        if self.kind == "float32":
            return np.asarray(sums + bias)
        return self._clamped((sums >> SHIFT[self.kind]) + bias)

    def _add(self, a: Array, b: Array) -> Array:
        total = a.astype(self._wide) + b.astype(self._wide)
        return np.maximum(total if self.kind == "float32" else self._clamped(total), 0)

    def _clamped(self, values: Array) -> Array:
        limits = np.iinfo(self.kind)
        return np.clip(values, limits.min, limits.max)


def _pooled(x: Array) -> Array:
    return x.reshape(len(x), -1, 2).max(axis=2)


def _stored(values: Array, kind: str, fraction: int | None = None) -> Array:
    """In the number format: weights with SHIFT fraction bits, activations and biases with 4 (int8) or 9."""
    if kind == "float32":
        return values.astype(np.float32)
    bits = SHIFT[kind] if fraction is None or kind == "int16" else fraction
    limits = np.iinfo(kind)
    return np.clip(np.round(values * 2.0**bits), limits.min, limits.max).astype(kind)


def _braced(values: Array) -> str:
    if values.ndim == 0:
        return f"{float(values)!r}f" if values.dtype.kind == "f" else str(int(values))
    return "{" + ",".join(_braced(v) for v in values) + "}"


# ---- built and run ----

CORE = ("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard")
# The last ones undo what compilers for Linux do by default: they compile for the same core as well.
KERNEL_FLAGS = (
    *("-std=c99", "-Ofast", "-ffunction-sections", "-fdata-sections", "-ffreestanding"),
    *("-fno-pie", "-fno-stack-protector", "-fshort-enums", "-fno-asynchronous-unwind-tables"),
)


@dataclass(frozen=True)
class Cell:
    """One time of the table: ms, predicted with its bounds, and measured on the board."""

    board: str
    type: str
    filters: int
    low: float
    predicted: float
    high: float
    measured: float

    @property
    def error(self) -> float:
        """Of the prediction, in %."""
        return 100 * (self.predicted / self.measured - 1)


def build(network: Network, board: Board, gcc: str, flags: Sequence[str], folder: Path) -> Path:
    """The image of a network; raises UserError with the compiler's own line."""
    (folder / "weights.h").write_text(network.header())
    here = board.path.parent
    common = [
        *CORE,
        f'-DBOARD_NAME="{board.name}"',
        f"-DBOARD_CLOCK_HZ={CLOCK_HZ}",
        f"-DUART_BAUD={board.uart.baud}",
        *(f"-I{path}" for path in (folder, ROOT / "lib/nn_runtime/include", ROOT / "firmware", here)),
    ]
    bits = {"int8": 8, "int16": 16, "float32": 32}[network.kind]
    numbers = (f"-DTYPE={bits}", f"-DFILTERS={network.filters}")
    _call(
        [
            gcc,
            *common,
            *KERNEL_FLAGS,
            *flags,
            *numbers,
            "-S",
            str(HERE / "main.c"),
            "-o",
            str(folder / "main.s"),
        ]
    )
    elf = folder / "backtest.elf"
    sources = [
        *(ROOT / "firmware" / name for name in ("startup.c", "frame.c")),
        here / "board.c",
        ROOT / "lib/nn_runtime/src/nn_crc32.c",
        folder / "main.s",
    ]
    _call(
        [
            *(LINKER, *common, "-std=c99", "-O2", "-ffunction-sections", "-fdata-sections"),
            *map(str, sources),
            *("-nostartfiles", "--specs=nano.specs", "-Wl,--gc-sections,--no-warn-mismatch"),
            *(f"-L{ROOT / 'firmware'}", f"-T{here / board.ld_script}", "-o", str(elf)),
        ]
    )
    return elf


def _call(command: Sequence[str]) -> None:
    if shutil.which(command[0]) is None:
        raise UserError(command[0], "is not on the PATH", "install it, or give another with --gcc")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()[
            -1:
        ]
        raise UserError(command[0], lines[0] if lines else "failed", "see the compiler's manual")


def run(network: Network, board: Board, elf: Path) -> Cell:
    """Its time on the virtual board. Raises UserError when it computes something else than Network.output()."""
    machine = VirtualBoard(board, elf)
    recorder = Recorder(machine)
    if machine.run(max_seconds=300) is not Stop.HALTED:
        raise UserError(elf, "did not end", "report this")
    words = [int(word, 16) for word in machine.line.take().split()]
    cycles, printed, expected = words[0], np.array(words[1:], np.uint32), network.output()
    if network.kind == "float32":
        is_right = np.allclose(printed.view(np.float32), expected, rtol=1e-3, atol=1e-3)
    else:
        is_right = np.array_equal(printed.astype(network.kind), expected)
    if not is_right:
        raise UserError(elf, f"computed {printed.tolist()}", f"must be {expected.tolist()}: report this")
    counter = machine.cycle_counter
    assert isinstance(counter, CycleCounter)
    start, end = recorder.marks[-2:]
    bracket = Span(counter, start, end).bracket()
    assert bracket.expected == cycles
    ms = 1e3 / machine.clock.hz
    return Cell(
        board.name,
        network.kind,
        network.filters,
        bracket.low * ms,
        cycles * ms,
        bracket.high * ms,
        MEASURED[board.name, network.kind][FILTERS.index(network.filters)],
    )


def summary(cells: Sequence[Cell]) -> str:
    """A Markdown table: one row a board and type."""
    lines = ["| board | type | " + " | ".join(f"f={f}" for f in FILTERS) + " | mean % | largest % |"]
    lines.append("|---" * (len(FILTERS) + 4) + "|")
    for key in MEASURED:
        row = {c.filters: c for c in cells if (c.board, c.type) == key}
        if not row:
            continue
        shown = [f"{row[f].predicted:.1f} ({row[f].error:+.1f})" if f in row else "" for f in FILTERS]
        errors = [abs(c.error) for c in row.values()]
        lines.append(
            f"| {key[0]} | {key[1]} | {' | '.join(shown)} | {np.mean(errors):.1f} | {max(errors):.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gcc", default=LINKER, help="compiler of main.c (default: %(default)s)")
    parser.add_argument("--flags", default="", help="more of its options, or others: -O2")
    parser.add_argument("--board", choices=sorted({b for b, _ in MEASURED}), action="append")
    parser.add_argument("--type", choices=("int8", "int16", "float32"), action="append")
    parser.add_argument("--filters", default=",".join(map(str, FILTERS)))
    parser.add_argument("--json", type=Path, help="write predicted, measured, bounds and errors")
    options = parser.parse_args()
    filters = [int(f) for f in options.filters.split(",")]
    if unknown := set(filters) - set(FILTERS):
        raise UserError("--filters", f"{min(unknown)} was not measured", f"choose from {FILTERS}")
    cells = []
    for name, kind in MEASURED:
        if name not in (options.board or [name]) or kind not in (options.type or [kind]):
            continue
        board = load_board(name, ROOT / "boards")
        for f in filters:
            network = Network.random(kind, f)
            with tempfile.TemporaryDirectory() as folder:
                elf = build(network, board, options.gcc, options.flags.split(), Path(folder))
                cells.append(run(network, board, elf))
            c = cells[-1]
            print(
                f"{name} {kind} f={f}: predicted {c.predicted:.1f} ms ({c.low:.1f} to {c.high:.1f}), "
                f"measured {c.measured:.1f} ms, error {c.error:+.1f} %",
                file=sys.stderr,
                flush=True,
            )
    print(summary(cells))
    if options.json is not None:
        rows = [{**vars(c), "error_percent": c.error} for c in cells]
        options.json.write_text(json.dumps({"gcc": options.gcc, "cells": rows}, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
