"""Which kernels were chosen, and what they beat: on the terminal and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ..errors import UserError
from ..files import write_text
from ..selection import Option, Selection
from .terminal import columns, number

VERSION = 1


def print_selection(console: Console, name: str, selection: Selection) -> None:
    """A line for every kernel of every layer that has a choice; the chosen one is marked."""
    goal = selection.goal
    how = "measured on the virtual board" if selection.method == "measured" else f"by rule: {selection.note}"
    table = Table(
        title=f"{name}: optimize {goal.optimize}, {goal.board.name} at {goal.clock_hz / 1e6:g} MHz, {how}"
    )
    columns(table, ("layer", "", "kernel"), ("cycles", "low", "high", "tables", "code", "scratch"))
    table.add_column("why")
    for row in selection.rows:
        if len(row.options) == 1:
            continue
        for index, option in enumerate(row.options):
            chosen = option.choice == row.chosen
            table.add_row(
                "" if index else row.layer,
                "*" if chosen else "",
                str(option.choice),
                *figures(option),
                number(option.choice.scratch),
                row.why if chosen else "",
            )
    console.print(table)
    for what, value in goal.limits.given().items():
        console.print(f"limit {what} = {value:g}")
    if selection.figures is not None:
        f = selection.figures
        ms = 1e3 * f.cycles / goal.clock_hz
        console.print(
            f"whole image: {number(f.cycles)} cycles, {ms:.2f} ms, ROM {number(f.rom)}, RAM {number(f.ram)}"
        )


def figures(option: Option) -> tuple[str, ...]:
    """Cycles with their bounds, bytes of tables, bytes of code; empty where they were not measured."""
    cost = option.cost
    if cost is None:
        return ("",) * 5
    return (*map(number, (cost.cycles, cost.low, cost.high, cost.tables)), number(sum(cost.code.values())))


def as_json(name: str, selection: Selection) -> dict[str, Any]:
    """The fields that docs/command_line.md lists."""
    goal = selection.goal
    return {
        "name": name,
        "optimize": goal.optimize,
        "limits": goal.limits.given(),
        "board": goal.board.name,
        "clock_hz": goal.clock_hz,
        "method": selection.method,
        "note": selection.note,
        "image": None if selection.figures is None else asdict(selection.figures),
        "layers": [
            {
                "name": row.layer,
                "kind": row.kind,
                "kernel": str(row.chosen),
                "why": row.why,
                "options": [
                    {
                        "kernel": str(option.choice),
                        "scratch": option.choice.scratch,
                        **({} if option.cost is None else asdict(option.cost)),
                    }
                    for option in row.options
                ],
            }
            for row in selection.rows
        ],
    }


def write(selections: Sequence[tuple[str, Selection]], path: Path) -> None:
    """Write the JSON file; its folder must be there."""
    content = {"version": VERSION, "models": [as_json(name, selection) for name, selection in selections]}
    if not path.parent.is_dir():
        raise UserError(path, "cannot be written (its folder is not there)", "choose another place")
    write_text(path, json.dumps(content, indent=1) + "\n")
