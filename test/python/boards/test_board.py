"""board.toml: what it must hold, and what is said when it does not."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from microai.boards.board import Board, board_names, load_board
from microai.boards.virtual import _make_chip
from microai.errors import UserError

from .conftest import ROOT


def test_every_board_of_the_checkout() -> None:
    names = board_names(ROOT / "boards")
    assert {"nucleo_l452re", "sparkfun_edge"} <= set(names)
    for name in names:
        board = load_board(name, ROOT / "boards")
        assert board.default_clock_hz in board.clocks_hz
        assert board.app_origin in board.flash
        assert (board.path.parent / board.ld_script).is_file()
        script = (board.path.parent / board.ld_script).read_text()
        assert re.search(rf"ORIGIN = 0x{board.ram.origin:08X}, LENGTH = {board.ram.size // 1024}K", script)
        assert board.power.current_ma > 0


def test_boards_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "nucleo_l452re" in board_names()


def test_unknown_board_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'nucleo_l452': is unknown; did you mean 'nucleo_l452re'"):
        load_board("nucleo_l452", ROOT / "boards")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("app_offset = 0x0", ""), "has no key 'app_offset'"),
        (
            ("default_clock_hz = 48000000", "default_clock_hz = true"),
            "default_clock_hz = True is not of type int",
        ),
        (("voltage = 3.3", 'voltage = "3.3"'), "voltage = '3.3' is not of type float"),
        (("[memory.ram]", "[memory.sram]"), r"has no \[memory.ram\]"),
        (('name = "nucleo_l452re"', 'name = "other"'), "calls itself 'other'"),
        (("[power]", "[power"), "is not valid TOML"),
        (("load_use = 1", "use_load = 1"), "has no key 'timing.core.load_use'"),
        (("data_lines = 8", ""), "has no key 'timing.flash.data_lines'"),
        (("taken_branch = 1", "taken_branch = 1.5"), "timing.core.taken_branch = 1.5"),
        (("[timing.flash]", "[timing.flesh]"), "has no key 'timing.flash'"),
        (("uncertainty", "certainty"), "has no key 'uncertainty'"),
    ],
)
def test_mistakes_in_board_toml(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    text = (ROOT / "boards/nucleo_l452re/board.toml").read_text()
    assert change[0] in text
    (tmp_path / "nucleo_l452re").mkdir()
    (tmp_path / "nucleo_l452re/board.toml").write_text(text.replace(*change, 1))
    with pytest.raises(UserError, match=message):
        load_board("nucleo_l452re", tmp_path)


def test_no_boards_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no <board>/board\.toml"):
        load_board("nucleo_l452re", tmp_path)


def test_unknown_emulator_module(nucleo: Board) -> None:
    with pytest.raises(UserError, match="emulator module 'nothing', which does not exist"):
        _make_chip(dataclasses.replace(nucleo, emulator="nothing"), None, None, None)  # type: ignore[arg-type]
