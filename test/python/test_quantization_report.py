"""The report on quantization: its numbers on constructed cases, its JSON, its plot, its advice."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from microai.cli import main
from microai.codegen.formats import FLOAT32, Fixed
from microai.codegen.graph import Graph, Node, TensorType
from microai.codegen.ops.base import RELU
from microai.codegen.ops.conv import Conv, Window
from microai.codegen.ops.copy import Reshape
from microai.codegen.ops.dense import Dense
from microai.codegen.quantize import affine
from microai.codegen.quantize.affine import AffineScheme, affine_weights
from microai.codegen.quantize.fixed_point import FixedPoint, Widths, quantize
from microai.codegen.reference import outputs
from microai.errors import UserError
from microai.report.quantization import (
    QuantizationReport,
    alternatives,
    analyse,
    outside,
    plot_quantization,
    sqnr,
    tried,
)

DIGITS = Path(__file__).parents[2] / "experiments" / "digits.toml"


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def network() -> Graph:
    nodes = [
        Node("first", Conv(normal(1, 6, 1, 3, 2) / 2, normal(2, 6) / 9, Window((1, 3)), 1, RELU), ("x",)),
        Node(
            "second", Conv(normal(3, 6, 1, 3, 6) / 4, normal(4, 6) / 9, Window((1, 3)), 1, RELU), ("first",)
        ),
        Node("flat", Reshape((36,)), ("second",)),
        Node("scores", Dense(normal(5, 4, 36) / 6, normal(6, 4) / 9), ("flat",)),
    ]
    return Graph.build("network", {"x": TensorType((10, 2))}, nodes, ["scores"])


def report(scheme: FixedPoint) -> QuantizationReport:
    graph, x = network(), normal(7, 300, 10, 2)
    labels = outputs(graph, [x])[0].argmax(axis=1)
    return analyse(graph, quantize(graph, [x], scheme), x, labels)


def test_ratio_of_signal_to_noise() -> None:
    x = np.array([3.0, -4.0])
    assert sqnr(x, x) is None
    assert sqnr(x, x + 0.5) == pytest.approx(10 * math.log10(25 / 0.5))
    assert sqnr(np.zeros(2), x) is None


def test_share_outside_a_format() -> None:
    """-8 to 7.9375 in steps of 1/16: half a step beyond is still rounded to the end."""
    values = np.array([-8.04, -8.02, 0.0, 7.95, 7.98])
    assert outside(values, Fixed(8, 4)) == pytest.approx(2 / 5)
    assert outside(np.array([-0.1, 0.0, 15.9]), Fixed(8, 4, unsigned=True)) == pytest.approx(1 / 3)
    assert outside(values, FLOAT32) == 0


def test_the_layer_made_bad_costs_the_most() -> None:
    found = report(FixedPoint(16, weight_bits=12, layers={"second": Widths(weights=2)}))
    layers = {layer.name: layer for layer in found.layers}
    assert list(layers) == ["x", "first", "second", "flat", "scores"]
    assert found.costliest.name == found.worst_weights == "second"
    assert layers["second"].agreement_alone < 0.97 < layers["first"].agreement_alone
    assert found.accuracy_float == 1.0 and found.agreement == found.accuracy
    bad, good = layers["second"], layers["first"]
    assert bad.sqnr_weights is not None and good.sqnr_weights is not None
    assert bad.sqnr_weights < 15 < 50 < good.sqnr_weights
    assert good.sqnr is not None and bad.sqnr is not None and bad.sqnr < good.sqnr
    assert (bad.output[0], bad.weights[0], bad.kind) == ("Q", "Q", "conv")
    assert bad.bound > 0 and bad.accumulator_bits == 32
    assert 2.0**31 / bad.bound == pytest.approx(2**bad.headroom_bits)


@pytest.mark.parametrize("bits", [8, 16])
def test_affine_weights_are_seen(bits: int) -> None:
    """127 steps to the largest weight of each filter: some 44 dB; alone they are part of a layer's noise."""
    graph, x = network(), normal(7, 300, 10, 2)
    labels = outputs(graph, [x])[0].argmax(axis=1)
    integers = affine.quantize(graph, [x], AffineScheme(bits))
    found = {layer.name: layer for layer in analyse(graph, integers, x, labels).layers}
    for node in graph.nodes:
        layer = found[node.name]
        if not isinstance(node.op, (Conv, Dense)):
            assert layer.weights == "" and layer.sqnr_weights is None
            continue
        wanted = affine_weights(node.op, integers.tensors[node.inputs[0]].format)  # type: ignore[arg-type]
        real = wanted.kernel * wanted.scales.reshape(-1, *(1,) * (wanted.kernel.ndim - 1))
        assert layer.sqnr_weights == pytest.approx(sqnr(node.op.kernel, real), abs=1e-3)
        assert 38 < (layer.sqnr_weights or 0) < 50 and layer.weights.startswith("8 bits, scale ")
        assert layer.sqnr_alone is not None and layer.sqnr_alone < 60
    changes = alternatives(AffineScheme(8, "mse"), None)
    assert set(changes) == {f'calibration = "{m}"' for m in ("minmax", "percentile", "kl")} | {
        "activations_bits = 16"
    }
    assert len(tried(graph, [x], changes, x, labels)) == 4


def test_saturation_is_seen() -> None:
    clipped = report(FixedPoint(8, calibration="percentile", percentile=70.0))
    assert max(layer.saturated for layer in clipped.layers) > 0.05
    assert max(layer.saturated for layer in report(FixedPoint(8)).layers) == 0


def test_wider_means_less_noise_in_every_layer() -> None:
    for narrow, wide in zip(report(FixedPoint(6)).layers, report(FixedPoint(8)).layers, strict=True):
        assert narrow.sqnr is not None and wide.sqnr is not None and wide.sqnr > narrow.sqnr + 6


def test_advice_is_tried() -> None:
    graph, x = network(), normal(7, 300, 10, 2)
    labels = outputs(graph, [x])[0].argmax(axis=1)
    scheme = FixedPoint(8, weight_bits=12, layers={"second": Widths(weights=2)})
    trials = tried(graph, [x], alternatives(scheme, "second"), x, labels)
    gains = [trial.agreement for trial in trials]
    assert gains == sorted(gains, reverse=True)
    by_change = {trial.change: trial for trial in trials}
    assert by_change["layers.second.weights_bits = 4"].agreement > report(scheme).agreement
    assert "activations_bits = 16" in by_change and 'scale = "filter"' in by_change
    assert set(alternatives(FixedPoint(16, "network", 9), None)) == {'scale = "layer"', 'scale = "filter"'}
    best = FixedPoint(16, "filter", calibration="mse", bias_correction=True, equalization=True, unsigned=True)
    changes = alternatives(replace(best, weight_calibration="mse"), None)
    assert all("true" not in change and "16" not in change for change in changes)


def test_json_and_plot(tmp_path: Path) -> None:
    found = report(FixedPoint(8))
    found.write(tmp_path / "report.json")
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["version"] == 1 and written["layers"][1]["name"] == "first"
    assert written["layers"][1]["sqnr"] == found.layers[1].sqnr
    pytest.importorskip("matplotlib")
    plot_quantization(found, tmp_path / "report.svg")
    assert "<svg" in (tmp_path / "report.svg").read_text()
    with pytest.raises(UserError, match="cannot be written"):
        plot_quantization(found, tmp_path / "absent" / "report.svg")
    with pytest.raises(UserError, match="cannot be written"):
        plot_quantization(found, tmp_path / "report.nothing")


def test_a_plot_without_matplotlib_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UserError, match=r"pip install microai\[report\]"):
        plot_quantization(report(FixedPoint(8)), tmp_path / "report.svg")


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `microai quantize` on the digits, one epoch, in an empty folder; exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["quantize", str(DIGITS), "--set", "model_template.epochs=1", *words])
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return run


def test_command_compares_types_and_shares_their_training(command: Command, tmp_path: Path) -> None:
    """Two models in four types: each model is trained once."""
    settings = ["--set", 'model=[{name="a"}, {name="b", params={filters=[4, 4, 4]}}]']
    settings += ["--set", 'quantization.w4={weights_bits=4, scale="filter"}']
    settings += ["--set", 'deploy.quantize=["float32", "int8", "w4", "int16"]']
    code, out, _ = command(*settings)
    assert code == 0
    rows = [line.replace("│", " ").split() for line in out.splitlines() if "run1" in line and "│" in line]
    assert [row[:2] for row in rows] == [
        [f"{model}/run1", kind] for model in "ab" for kind in ("float32", "int8", "w4", "int16")
    ]
    weights = {tuple(row[:2]): int(row[-1]) for row in rows}
    assert weights["a/run1", "w4"] < weights["a/run1", "int8"] < weights["a/run1", "int16"]
    assert float(rows[0][2]) == float(rows[0][3]), "float32 is the float model"
    models = sorted((tmp_path / "build/digits").rglob("model.keras"))
    assert [path.parts[-3] for path in models] == ["a", "b"]
    before = [path.stat().st_mtime_ns for path in models]
    assert command(*settings)[0] == 0
    assert [path.stat().st_mtime_ns for path in models] == before, "nothing is trained again"


def test_command_reports(command: Command, tmp_path: Path) -> None:
    code, out, _ = command("--report", "--vectors", "50")
    assert code == 0
    written = json.loads((tmp_path / "build/digits/resnetv1_6_f16/run1/int16/quantization.json").read_text())
    assert written["vectors"] == 50 and written["trials"]
    assert "costs the most" in out and "conv1" in out and "what to try" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--report", "--type", "float32"], "float32 is not quantized"),
        (["--report", "--type", "int7"], "unknown type 'int7'"),
        (["--type", "mixed", "--set", "quantization.mixed.layers.conv9.weights_bits=4"], "no such layer"),
        (["--set", "quantization.int8.weights_bits=1"], "greater than or equal to 2, got 1"),
    ],
)
def test_command_with_bad_input_is_one_line(command: Command, words: list[str], message: str) -> None:
    code, _, err = command(*words)
    assert code == 1 and message in err
    assert err.count("error: ") == 1 and err.endswith("\n")
