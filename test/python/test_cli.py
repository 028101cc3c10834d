"""The command line: what users get wrong is one clear line on standard error, exit code 1, and nothing half-written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from microai.cli import main

DIGITS = Path(__file__).parents[2] / "experiments" / "digits.toml"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in an empty folder; returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return run


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good model, one with an unknown layer, one with NaN, one too large, one cut off."""
    from microai.train.backend import keras

    folder = tmp_path_factory.mktemp("models")

    def save(name: str, *layers: object) -> object:
        model = keras.Sequential([keras.Input((8, 3)), *layers])
        model.save(folder / f"{name}.keras")
        return model

    save("good", keras.layers.Conv1D(4, 3, name="c"), keras.layers.Flatten(), keras.layers.Dense(2))
    save("lstm", keras.layers.Conv1D(4, 3, name="c"), keras.layers.LSTM(5, name="memory"))
    bad = keras.Sequential([keras.Input((8, 3)), keras.layers.Conv1D(4, 3, name="c")])
    bad.layers[0].set_weights([np.full((3, 3, 4), np.nan), np.zeros(4)])
    bad.save(folder / "nan.keras")
    save("large", keras.layers.Flatten(), keras.layers.Dense(30000, name="wide"))
    (folder / "cut.keras").write_bytes((folder / "good.keras").read_bytes()[:1000])
    (folder / "text.keras").write_text("not a model")
    rng = np.random.default_rng(1)
    np.savez(folder / "data.npz", x=rng.normal(size=(20, 8, 3)).astype(np.float32))
    np.savez(folder / "wrong.npz", x=np.zeros((20, 9, 3), np.float32))
    return folder


def one_line(result: tuple[int, str, str], *parts: str) -> None:
    code, _, err = result
    assert code == 1
    assert err.startswith("error: ") and err.count("\n") == 1, err
    for part in parts:
        assert part in err


def test_generate_writes_a_library_that_names_what_it_is(run: Run, models: Path, tmp_path: Path) -> None:
    code, out, err = run(
        "generate", models / "good.keras", "--calibration", models / "data.npz", "--out", "lib"
    )
    assert (code, err) == (0, "")
    assert "2 layers" in out or "layers" in out
    written = {path.relative_to(tmp_path / "lib").as_posix() for path in (tmp_path / "lib").rglob("*.*")}
    assert {
        "include/model.h",
        "src/model.c",
        "src/model_weights.c",
        "library.json",
        "manifest.json",
    } <= written


@pytest.mark.parametrize(
    ("model", "options", "parts"),
    [
        ("lstm", ["--type", "float32"], ["memory", "LSTM", "supported"]),
        ("nan", ["--type", "float32"], ["c", "kernel", "NaN"]),
        ("cut", ["--type", "float32"], ["cut.keras"]),
        ("text", ["--type", "float32"], ["text.keras"]),
        ("absent", ["--type", "float32"], ["absent.keras", "no such file"]),
        ("good", ["--type", "int8"], ["calibration"]),
        ("good", ["--calibration", "wrong.npz"], ["(20, 9, 3)", "(N, 8, 3)"]),
        ("good", ["--calibration", "absent.npz"], ["absent.npz"]),
        ("good", ["--calibration", "cut.keras"], ["cut.keras"]),
        ("good", ["--type", "float32", "--prefix", "My Model"], ["prefix", "identifier"]),
        ("good", ["--calibration", "data.npz", "--scale", "channel"], ["scale", "network, layer, filter"]),
        ("good", ["--calibration", "data.npz", "--frac", "9"], ["frac", "network"]),
        (
            "large",
            ["--type", "float32", "--board", "nucleo_l452re"],
            ["nucleo_l452re", "more than its flash", "fewer"],
        ),
        ("good", ["--type", "float32", "--board", "nucleo_l452"], ["nucleo_l452re"]),
    ],
)
def test_bad_input_of_generate(
    run: Run, models: Path, tmp_path: Path, model: str, options: list[str], parts: list[str]
) -> None:
    options = [str(models / word) if word.endswith((".npz", ".keras")) else word for word in options]
    one_line(run("generate", models / f"{model}.keras", "--out", "lib", *options), *parts)
    if model != "large":
        assert not (tmp_path / "lib").exists(), "nothing half-written"


def test_output_folder_that_cannot_be_written(run: Run, models: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    words = ["generate", models / "good.keras", "--type", "float32", "--out"]
    one_line(run(*words, "file"), "file", "not a folder")
    one_line(run(*words, "file/lib"), "cannot be written")
    one_line(run(*words, "/proc/lib"), "/proc/lib", "cannot be written")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[bench\nname = 'x'", ["x.toml", "line 1"]),
        (
            "[bench]\nname = 'x'\nsed = 3\n[dataset]\nkind='digits'",
            ["bench.sed", "seed"],
        ),
        ("[bench]\nname = 'x'\n[dataset]\nkind='digit'", ["dataset.kind", "digits"]),
    ],
)
@pytest.mark.parametrize("order", ["command first", "experiment first"])
def test_bad_experiment_files(run: Run, tmp_path: Path, text: str, parts: list[str], order: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    words = ["train", "x.toml"] if order == "command first" else ["x.toml", "train"]
    one_line(run(*words), *parts)
    assert not (tmp_path / "build").exists()


def test_missing_data_set(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROAI_DATA", str(tmp_path))
    one_line(
        run(DIGITS.with_name("uci_har.toml"), "preprocess_data"), "UCI-HAR", "microai data fetch uci_har"
    )


def test_missing_experiment_and_unknown_override(run: Run) -> None:
    one_line(run("run", "absent.toml"), "absent.toml")
    one_line(run("train", DIGITS, "--set", "model_template.epoch=3"), "epoch", "epochs")


def test_a_port_that_does_not_exist(run: Run, models: Path) -> None:
    settings = [
        "--set",
        "model_template.epochs=1",
        "--set",
        'deploy.quantize=["int8"]',
        "--set",
        "evaluate.limit=20",
    ]
    settings += ["--set", 'deploy.target="nucleo_l452re"', "--port", "/dev/absent"]
    one_line(run("deploy_and_evaluate", DIGITS, *settings), "/dev/absent")


def test_second_build_does_nothing(run: Run, tmp_path: Path) -> None:
    words = ["build", DIGITS, "--out", "lib", "--set", "model_template.epochs=1"]
    assert "generated" in run(*words)[1]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "lib").rglob("*") if path.is_file()}
    assert "up to date" in run(*words)[1]
    assert before == {
        path: path.stat().st_mtime_ns for path in (tmp_path / "lib").rglob("*") if path.is_file()
    }
    assert "generated" in run(*words, "--type", "int16")[1]


@pytest.mark.parametrize("stage", ["import", "simplify", "quantize", "plan", "lower"])
def test_show_prints_a_table_after_each_stage(run: Run, stage: str) -> None:
    code, out, _ = run("show", DIGITS, "--stage", stage, "--set", "model_template.epochs=1")
    assert code == 0
    assert "conv1" in out and "digits/resnetv1_6_f16" in out


def test_data_list_names_every_data_set(run: Run) -> None:
    code, out, _ = run("data", "list")
    assert code == 0 and "digits" in out and "uci_har" in out
    one_line(run("data", "fetch", "uci"), "uci_har")
