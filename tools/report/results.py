"""What an experiment measured, as plain values: made once, printed and written as JSON from the same record."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..codegen.kernels import runtime_folder
from ..files import write_text

VERSION = 2


@dataclass(frozen=True)
class LayerCost:
    """One layer: multiply-accumulates and board cycles of one inference, with their bounds."""

    name: str
    kernel: str
    macs: int
    cycles: int
    cycles_low: int
    cycles_high: int


@dataclass(frozen=True)
class Memory:
    """Bytes. rom: programmed flash = weights + code. ram: total = arena + static + stack reserved.

    static: everything in .data and .bss but the arena; stack_used: high-water mark after all vectors.
    """

    rom_total: int
    rom_weights: int
    rom_code: int
    ram_total: int
    ram_arena: int
    ram_static: int
    ram_stack: int
    ram_stack_used: int


@dataclass(frozen=True)
class Result:
    """One model, run, type and board. Accuracies 0..1, each over its own number of vectors.

    bits_equal_host: every tensor of every host vector equal to the reference (float32: within 1e-5 of the
    tensor's largest value); bits_equal_board: every output of the board equal to host C. `kind` says how
    cycles and memory were found: emulated or measured. cycles_mean, _min, _max are over the board's vectors,
    on a virtual board over the first of them (evaluate.TIMED); cycles_low and cycles_high are means of the
    bounds of emulated cycles (docs/cycle_model.md). energy_uwh: of one inference, in microwatt hours.
    """

    model: str
    run: int
    type: str
    board: str
    clock_hz: int
    kind: str
    parameters: int
    macs: int
    accuracy_float: float
    accuracy_reference: float
    accuracy_board: float
    vectors_host: int
    vectors_board: int
    agreement: float
    bits_equal_host: bool
    bits_equal_board: bool
    difference: str | None
    cycles_mean: float
    cycles_min: int
    cycles_max: int
    cycles_low: float
    cycles_high: float
    ms: float
    energy_uwh: float
    memory: Memory
    layers: tuple[LayerCost, ...]


@dataclass(frozen=True)
class Report:
    """All results of an experiment with what they depend on. `key` identifies everything that decided them."""

    version: int
    key: str
    experiment: str
    commit: str
    compiler: str
    flags: str
    results: tuple[Result, ...]

    def write(self, path: Path) -> None:
        write_text(path, json.dumps(asdict(self), indent=1) + "\n")


def read_report(path: Path, key: str | None = None) -> Report | None:
    """The report at `path`; None when there is none, it is damaged, or it was made from something else."""
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if raw["version"] != VERSION or (key is not None and raw["key"] != key):
            return None
        results = tuple(
            Result(
                **{
                    **result,
                    "memory": Memory(**result["memory"]),
                    "layers": tuple(LayerCost(**layer) for layer in result["layers"]),
                }
            )
            for result in raw["results"]
        )
        return Report(**{**raw, "results": results})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def commit() -> str:
    """Short commit of the checkout, with + when files under version control differ; "unknown" without git."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=10"],
            cwd=runtime_folder(),
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
