"""The back-test's program computes what numpy does, and its command says what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, need_gcc


def backtest(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/backtest/backtest.py", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)


@pytest.mark.parametrize("kind", ["int8", "int16", "float32"])
def test_a_time_of_each_type(tmp_path: Path, kind: str) -> None:
    need_gcc()
    out = tmp_path / "b.json"
    done = backtest("--board", "nucleo_l452re", "--type", kind, "--filters", "16", "--json", str(out))
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads(out.read_text())["cells"]
    assert (cell["board"], cell["type"], cell["filters"]) == ("nucleo_l452re", kind, 16)
    assert 0 < cell["low"] <= cell["predicted"] <= cell["high"] < 2 * cell["measured"]
    assert cell["error_percent"] == pytest.approx(100 * (cell["predicted"] / cell["measured"] - 1))
    assert f"| nucleo_l452re | {kind} | {cell['predicted']:.1f} (" in done.stdout


def test_mistakes() -> None:
    absent = backtest("--gcc", "no-such-gcc", "--filters", "16")
    assert absent.returncode == 1
    assert absent.stderr == "error: no-such-gcc: is not on the PATH; install it, or give another with --gcc\n"
    width = backtest("--filters", "16,17")
    assert width.returncode == 1 and "17 was not measured" in width.stderr
    need_gcc()
    flag = backtest("--flags=-fno-such-flag", "--filters", "16")
    assert flag.returncode == 1 and "-fno-such-flag" in flag.stderr and flag.stderr.count("\n") == 1
