"""The calibration program must find the constants that its virtual board was given."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from microai.boards.board import Board, load_board
from microai.boards.timing import CoreTiming, RamTiming
from microai.boards.virtual import Stop, VirtualBoard

from .conftest import ROOT, compile_to, need_gcc

try:
    import tomllib
except ModuleNotFoundError:
    import tomli as tomllib

OTHER = CoreTiming(load_use=2, taken_branch=3, divide=9, fp_divide=11, multiply_accumulate=4, fp_use=2)


def program(folder: Path, board: Board) -> Path:
    need_gcc()
    here = board.path.parent
    includes = (ROOT / "lib/nn_runtime/include", ROOT / "firmware", here)
    sources = [
        ROOT / "test/test_calibrate/main.c",
        ROOT / "firmware/startup.c",
        ROOT / "firmware/frame.c",
        here / "board.c",
        ROOT / "lib/nn_runtime/src/nn_crc32.c",
    ]
    return compile_to(
        folder / "calibrate.elf",
        f'-DBOARD_NAME="{board.name}"',
        f"-DBOARD_CLOCK_HZ={board.default_clock_hz}",
        "-DUART_BAUD=115200",
        *(f"-I{path}" for path in includes),
        *map(str, sources),
        "-nostartfiles",
        "--specs=nano.specs",
        f"-L{ROOT / 'firmware'}",
        f"-T{here / board.ld_script}",
    )


@pytest.mark.parametrize("name", ["nucleo_l452re", "sparkfun_edge"])
@pytest.mark.parametrize("changed", [False, True], ids=["as described", "other constants"])
def test_the_constants_are_recovered(tmp_path: Path, name: str, changed: bool) -> None:
    board = load_board(name, ROOT / "boards")
    timing = board.timing
    if changed:
        flash = dataclasses.replace(timing.flash, data_wait_share=timing.flash.data_wait_share * 1.5)
        ram = None if timing.ram is None else RamTiming(timing.ram.fast_bytes, 3)
        timing = dataclasses.replace(timing, core=OTHER, flash=flash, ram=ram)
        board = dataclasses.replace(board, timing=timing)
    machine = VirtualBoard(board, program(tmp_path, board))
    assert machine.run(max_seconds=60) is Stop.HALTED
    text = machine.line.take().decode()
    assert text.count(":PASS: ") == 15 and ":FAIL:" not in text, text
    found = tomllib.loads(text[text.index("[timing.core]") : text.index("\n15 Tests")])["timing"]
    assert found["core"] == dataclasses.asdict(timing.core)
    wait = timing.flash.data_wait_share * (timing.flash.wait_states or 1)
    flash = found["flash"]
    assert flash["data_wait_share"] * (flash["wait_states"] or 1) == pytest.approx(wait, rel=0.02)
    assert bool(flash["wait_states"]) == bool(timing.flash.wait_states)
    assert found["ram"]["slow_wait"] == pytest.approx(
        0 if timing.ram is None else timing.ram.slow_wait, abs=0.02
    )
