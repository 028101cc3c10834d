"""`microai bench`: what it reads of others, how it orders, and one narrow network through all of it."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from microai import bench
from microai.boards.board import load_board
from microai.errors import UserError
from rich.console import Console

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "benchmarks" / "peers.toml"
BOARD = load_board("nucleo_l452re")
CLOCK_HZ = 48_000_000
needs_compiler = pytest.mark.skipif(
    shutil.which("arm-none-eabi-gcc") is None, reason="needs arm-none-eabi-gcc, see README"
)


def row(low: int, cycles: int, high: int) -> bench.Row:
    return bench.Row("other", "", "emulated", "int8", 16, low, cycles, high, True, None, None, False)


def test_every_row_of_the_peers_is_whole() -> None:
    rows = bench.read_peers(PEERS, BOARD, CLOCK_HZ)
    assert {(r.type, r.filters) for r in rows} == {(t, f) for t in bench.TYPES for f in bench.FILTERS}
    for r in rows:
        assert r.source and r.kind in ("emulated", "measured") and 0 < r.low <= r.cycles <= r.high
        assert r.bounded or r.low == r.high
    cube = next(r for r in rows if r.system.startswith("STM32Cube") and (r.type, r.filters) == ("int8", 80))
    assert cube.cycles == round(0.3521 * CLOCK_HZ)
    assert not bench.read_peers(PEERS, BOARD, 80_000_000)
    assert not bench.read_peers(PEERS, load_board("sparkfun_edge"), CLOCK_HZ)


@pytest.mark.parametrize("line", ["filters = 16", 'types = ["int8"]\nfilters = 16\ncycles = [1, 2]'])
def test_a_row_that_lacks_something_is_named(tmp_path: Path, line: str) -> None:
    head = 'name = "X"\nsource = ""\nkind = "emulated"\nboard = "nucleo_l452re"\nclock_hz = 48000000\n'
    path = tmp_path / "peers.toml"
    path.write_text(f"[[system]]\n{head}[[system.row]]\n{line}\n", encoding="utf-8")
    with pytest.raises(UserError, match="a row of X is wrong"):
        bench.read_peers(path, BOARD, CLOCK_HZ)


@pytest.mark.parametrize(
    ("other", "who", "ratios"),
    [
        (row(220, 240, 260), "ours", (2.0, 2.4, 260 / 90)),
        (row(105, 240, 260), "", (105 / 110, 2.4, 260 / 90)),
        (row(50, 60, 89), "theirs", (50 / 110, 0.6, 89 / 90)),
        (row(50, 60, 90), "", (50 / 110, 0.6, 1.0)),
    ],
)
def test_no_winner_where_brackets_overlap(
    other: bench.Row, who: str, ratios: tuple[float, float, float]
) -> None:
    own = row(90, 100, 110)
    assert bench.winner(own, other) == who
    assert bench.ratio(own, other) == pytest.approx(ratios)


@needs_compiler
def test_a_clock_that_the_board_does_not_have() -> None:
    with pytest.raises(UserError, match="does not run at 1000 Hz; choose from 48000000, 80000000"):
        bench.run(BOARD, 1000, ["int8"], [16], ["speed"], with_peer=False)


@needs_compiler
def test_a_narrow_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the other generator where it is installed."""
    pytest.importorskip("keras")
    monkeypatch.setattr(bench, "BUILD", tmp_path)
    found = bench.run(BOARD, CLOCK_HZ, ["int8"], [4], ["speed"], with_peer=True)
    [(own, others)] = found.groups
    assert own.low <= own.cycles <= own.high and own.whole and own.rom and own.ram
    assert found.macs == {4: 1472 * 16 + 3462 * 4}
    installed = find_spec("qualia_codegen_core") is not None
    assert [r.system for r in others] == ([bench.PEER] if installed else [])
    assert installed or "is not installed" in found.notes[0]
    for other in others:
        assert other.low <= other.cycles <= other.high and other.cycles > own.cycles / 2

    added = replace(found, groups=((own, (*others, replace(own, system="twin"))),))
    console = Console(width=200, record=True, file=io.StringIO())
    bench.print_bench(console, added)
    text = console.export_text()
    assert f"{own.cycles:,}" in text and "int8 f=4" in text
    bench.write(added, tmp_path / "b.json")
    content = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))
    assert content["version"] == bench.VERSION and content["board"] == BOARD.name
    assert content["rows"][0]["cycles"] == own.cycles
    assert content["rows"][0]["others"][-1]["winner"] == ""
