"""Means over runs."""

from __future__ import annotations

import io

import pytest
from microai.report.runs import Accuracies, Mean
from microai.report.terminal import print_runs
from rich.console import Console


def test_interval_is_students() -> None:
    # Student's own sleep data, group 1: mean 0.75, standard error 0.5657, t(9) = 2.262.
    found = Mean.of([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
    assert found.mean == pytest.approx(0.75)
    assert found.half == pytest.approx(1.2798, abs=1e-4)


def test_one_run_has_no_interval() -> None:
    assert Mean.of([0.5]) == Mean(0.5, None)
    assert str(Mean.of([0.5])) == "50.00"


def test_table_pairs_runs_and_leaves_out_single_ones() -> None:
    rows = [
        Accuracies("a", run, kind, value, value - loss, 0.99)
        for run, value in ((1, 0.90), (2, 0.94))
        for kind, loss in (("int8", 0.01), ("int16", 0.0))
    ] + [Accuracies("b", 1, "int8", 0.8, 0.8, 1.0)]
    out = io.StringIO()
    print_runs(Console(file=out, width=120), "net", rows)
    lines = [line.replace("│", " ").split() for line in out.getvalue().splitlines()]
    assert next(line for line in lines if "int8" in line)[:3] == ["a", "int8", "2"]
    text = " ".join(next(line for line in lines if "int8" in line))
    assert "92.00 ± 25.41" in text and "91.00 ± 25.41" in text and "1.00 ± 0.00" in text
    assert not any(line[:1] == ["b"] for line in lines)
