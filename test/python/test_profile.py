# ruff: noqa: F811  (fixtures are imported)
"""`microai profile` from experiments, model files and images, right ones and wrong ones."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from microai.boards.board import Board
from microai.experiment import load_experiment
from microai.train.datasets import DATASETS, status
from microai.train.untrained import random_data

from .boards.conftest import Build, build, firmware, nucleo  # noqa: F401  (fixtures)
from .test_cli import DIGITS, Run, models, one_line, run  # noqa: F401  (fixtures)

PAPER = DIGITS.with_name("uci_har_paper.toml")
BOARD = ("--board", "nucleo_l452re")
pytestmark = pytest.mark.skipif(
    shutil.which("arm-none-eabi-gcc") is None, reason="skipped: needs arm-none-eabi-gcc, see README"
)


def check_fields(p: dict, kind: str) -> None:
    """What docs/profile.md says of the file."""
    assert (p["version"], p["kind"], p["board"], p["type"]) == (2, "emulated", "nucleo_l452re", kind)
    cycles = p["cycles"]
    assert 0 < cycles["low"] <= cycles["expected"] <= cycles["high"] < 2 * cycles["low"]
    assert p["ms"] == pytest.approx(1e3 * cycles["expected"] / p["clock_hz"])
    assert p["energy_uwh"] == pytest.approx(p["ms"] * 4.8 * 3.3 / 3600)
    assert p["rom"]["total"] == p["rom"]["weights"] + p["rom"]["code"]
    ram = p["ram"]
    assert ram["total"] == ram["arena"] + ram["scratch"] + ram["static"] + ram["stack"] and ram["arena"] > 0
    assert p["stack"]["used"] <= p["stack"]["bound"] <= p["stack"]["reserved"]
    assert p["macs"] == sum(layer["macs"] for layer in p["layers"]) > 0
    assert all({"name", "kernel", "macs", "cycles"} <= layer.keys() for layer in p["layers"])
    assert sum(layer["cycles"] for layer in p["layers"]) == pytest.approx(cycles["expected"], rel=0.05)
    assert sum(f["instructions"] for f in p["functions"]) == p["instructions"] < cycles["expected"]


@pytest.mark.parametrize("kind", ["int8", "int16", "float32"])
def test_untrained_needs_no_data(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("MICROAI_DATA", str(tmp_path / "none"))
    words = ("profile", PAPER, *BOARD, "--untrained", "--type", kind, "--json", "p.json")
    words += ("--set", "model.0.params.filters=[8, 8, 8]")
    code, out, err = run(*words, "--top", "2", "--rate", "1", "--plot", "p.svg")
    assert code == 0, err
    p = json.loads((tmp_path / "p.json").read_text())
    check_fields(p, kind)
    assert p["macs"] == 1472 * 64 + 3462 * 8  # docs/cycle_model.md: 1472 f^2 + 3462 f
    assert "per MAC" in out and "days from 225 mAh" in out and "nn_conv" in out and "times" in out
    assert p["ram"]["scratch"] > 0, "of these layers, Winograd's need more than is free anyway"
    assert "<svg" in (tmp_path / "p.svg").read_text()
    run(*words)
    assert json.loads((tmp_path / "p.json").read_text()) == p, "the same each time"


def test_a_model_file(run: Run, models: Path, tmp_path: Path) -> None:
    words = ("profile", models / "good.keras", *BOARD, "--json", "p.json")
    code, _, err = run(*words)
    assert code == 0, err
    check_fields(json.loads((tmp_path / "p.json").read_text()), "int8")
    assert run(*words, "--calibration", models / "data.npz", "--type", "int16")[0] == 0
    check_fields(json.loads((tmp_path / "p.json").read_text()), "int16")


def test_random_data_have_the_shape_of_the_real_ones() -> None:
    for name, kind in DATASETS.items():
        assert len(kind.vector) in (2, 3) and kind.class_count > 1
        if status()[name] is None:
            data = kind().load()
            assert (data.x_train.shape[1:], len(data.classes)) == (kind.vector, kind.class_count)
    x = random_data(load_experiment(PAPER))
    assert x.shape[1:] == (128, 9) and x.dtype == np.float32
    assert abs(x.mean()) < 0.01 and abs(x.std() - 1) < 0.01


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["absent.elf", *BOARD], ["absent.elf", "cannot be read"]),
        (["absent.keras", *BOARD], ["absent.keras", "no such file"]),
        (["absent.toml", *BOARD], ["absent.toml"]),
        ([DIGITS, "--board", "nucleo"], ["nucleo", "did you mean"]),
        (["x.elf", *BOARD, "--untrained"], ["x.elf", "not for it", "experiment"]),
        (["x.keras", *BOARD, "--set", "bench.seed=3"], ["x.keras", "not for it"]),
        (["x.elf", *BOARD, "--calibration", "x.npy"], ["x.elf", "not for it", "model file"]),
        ([DIGITS, *BOARD, "--untrained", "--model", "other"], ["no model other", "choose from"]),
    ],
)
def test_bad_input(run: Run, words: list[object], parts: list[str]) -> None:
    one_line(run("profile", *words), *parts)


def test_bad_images(run: Run, build: Build, tmp_path: Path) -> None:
    def profile(elf: Path, *more: str) -> tuple[int, str, str]:
        return run("profile", elf, *BOARD, *more)

    (tmp_path / "host.c").write_text("int main(void) { return 0; }")
    if shutil.which("gcc") is not None:
        subprocess.run(["gcc", "host.c", "-o", "host.elf"], cwd=tmp_path, check=True)
        one_line(profile(tmp_path / "host.elf"), "host.elf", "not a 32-bit Arm core")
    loop = "__attribute__((noinline)) int spin(void) { for (volatile int i = 0; i < 1; i = 0) {} return 0; }"
    endless = build(loop + "int main(void) { return spin() + 1; }")
    one_line(profile(endless, "--max-seconds", "0.3"), "in spin", "still running after 0.3 s")
    table = build("int main(void) { return 0; }", "-DSTACK=(uint32_t*)0x30000000")
    one_line(profile(table), "no vector table")
    large = build("const char big[600000] = {1}; int main(void) { return ((volatile const char *)big)[9]; }")
    one_line(profile(large), "600", "programs of nucleo_l452re lie in")
    crash = build("int main(void) { return (int)REG(0x30000000); }")
    one_line(profile(crash), "in main", "read of 4 bytes at 0x30000000")


def test_an_image_that_waits_for_something_else(run: Run, build: Build) -> None:
    from .boards.test_cli import HELLO

    elf = build(
        HELLO + "int main(void) { uart(); for (;;) (void)(REG(0x4000441C) & 0x20 && REG(0x40004424)); }"
    )
    one_line(run("profile", elf, *BOARD), "does not speak this project's protocol")


def test_an_image_of_the_firmware_without_symbols(run: Run, firmware, nucleo: Board, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    shutil.copy(firmware(nucleo), tmp_path / "bare.elf")
    subprocess.run(["arm-none-eabi-strip", str(tmp_path / "bare.elf")], check=True)
    code, out, err = run("profile", tmp_path / "bare.elf", *BOARD, "--json", "p.json", "--top", "1")
    assert code == 0, err
    assert "layer 1" in out and "no bound (the image has no symbols)" in out and "0x080" in out
    p = json.loads((tmp_path / "p.json").read_text())
    assert (p["type"], p["macs"], len(p["layers"])) == (None, None, 2)
    assert p["functions"][0]["name"].startswith("0x08")
