"""Cycles, ROM, RAM and stack of whole images against test/budgets.toml.

On a virtual board they are repeatable. Cycles within 0.5 % and bytes exactly: a better figure fails too, so
that the budget is tightened (`pytest test/python/test_budgets.py --update-budgets` rewrites the file).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from microai.boards.board import load_board
from microai.firmware import toolchain
from microai.toml import load_toml

from .profile_layers import measured

FILE = Path(__file__).parents[1] / "budgets.toml"
TOLERANCE = 0.005
BUDGETS = load_toml(FILE)
FIGURES = ("cycles", "rom", "ram", "stack")


def name_of(budget: dict) -> str:
    """For example nucleo_l452re-int8-f16-speed."""
    return f"{budget['board']}-{budget['type']}-f{budget['filters']}-{budget['optimize']}"


def figures(budget: dict, folder: Path) -> dict[str, int]:
    board = load_board(budget["board"])
    _, m = measured(budget["type"], budget["filters"], board, budget["clock_hz"], folder, budget["optimize"])
    return {"cycles": m.cycles[0], "rom": m.footprint.rom, "ram": m.footprint.ram, "stack": m.stack_used}


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="needs arm-none-eabi-gcc, see README")
@pytest.mark.parametrize("budget", BUDGETS["budget"], ids=name_of)
def test_budget(budget: dict, tmp_path: Path, update_budgets: dict) -> None:
    if BUDGETS["compiler"] not in toolchain().compiler:
        pytest.skip(f"budgets are for {BUDGETS['compiler']}, see README")
    found = figures(budget, tmp_path)
    if update_budgets is not None:
        update_budgets[budget["board"], budget["type"], budget["filters"], budget["optimize"]] = found
        return
    for name in FIGURES:
        limit = budget[name] * TOLERANCE if name == "cycles" else 0
        assert abs(found[name] - budget[name]) <= limit, f"{name}: {found[name]} instead of {budget[name]}"
