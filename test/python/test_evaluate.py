"""Evaluation: a wrong bit anywhere is named; a report says everything and is not made twice."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from microai.boards.board import load_board
from microai.cli import main
from microai.codegen.emit import emit
from microai.codegen.graph import Graph
from microai.codegen.host import build_host
from microai.codegen.ops.conv import Conv
from microai.codegen.pipeline import Compiled, compile_graph, scheme_for
from microai.codegen.quantize.calibration import spread
from microai.codegen.render import render
from microai.evaluate import compare_board, evaluate_board, evaluate_host
from microai.firmware import build_image, reserved, stack_of

from .resnet import inputs, resnetv1_6

DIGITS = Path(__file__).parents[2] / "experiments" / "digits.toml"
pytestmark = pytest.mark.skipif(
    shutil.which("arm-none-eabi-gcc") is None, reason="needs arm-none-eabi-gcc, see README"
)


def compiled(graph: Graph) -> Compiled:
    """Layer after layer: every layer's output is compared."""
    return compile_graph(graph, scheme_for("int8"), inputs(16), optimize="size")


def with_other_weight(graph: Graph, layer: str) -> Graph:
    """The same network but for the largest weight of one layer, negated."""
    nodes = []
    for node in graph.nodes:
        if node.name == layer:
            assert isinstance(node.op, Conv)
            kernel = node.op.kernel.copy()
            kernel.flat[np.abs(kernel).argmax()] *= -1
            node = replace(node, op=replace(node.op, kernel=kernel))
        nodes.append(node)
    return graph.rebuilt(nodes)


def test_a_wrong_weight_is_found_on_host_and_board(tmp_path: Path) -> None:
    graph = resnetv1_6(4)
    good, bad = compiled(graph), compiled(with_other_weight(graph, "block1_conv2"))
    host, wrong_host = build_host(good.program, tmp_path / "good"), build_host(bad.program, tmp_path / "bad")
    x, labels = inputs(3)[0], np.zeros(3, np.int32)
    assert evaluate_host(good, host, x, labels).difference is None
    found = evaluate_host(good, wrong_host, x, labels).difference
    assert found is not None and found.tensor.startswith("block1_conv2"), str(found)

    board = load_board("nucleo_l452re")
    emit(render(bad.program), tmp_path / "nn_model")
    elf = build_image(tmp_path / "nn_model", board, board.default_clock_hz, tmp_path / "firmware")
    assert reserved(elf) == stack_of(elf), "the stack that is reserved is the image's own bound"
    assert compare_board(bad, wrong_host, elf, board, x, None) is None
    named = compare_board(good, host, elf, board, x, None)
    assert named is not None and named.tensor.startswith("block1_"), str(named)
    assert evaluate_board(bad, wrong_host, elf, board, x, labels).difference is None
    assert evaluate_board(good, host, elf, board, x, labels).difference is not None


def test_a_build_folder_that_was_moved_is_made_anew(tmp_path: Path) -> None:
    board = load_board("nucleo_l452re")
    emit(render(compiled(resnetv1_6(4)).program), tmp_path / "nn_model")

    def build(folder: str) -> Path:
        return build_image(tmp_path / "nn_model", board, board.default_clock_hz, tmp_path / folder)

    build("here").unlink()
    (tmp_path / "here").rename(tmp_path / "there")
    assert build("there").is_file()


def test_spread_is_even_and_within() -> None:
    assert spread(10, 5).tolist() == [0, 2, 4, 6, 8]
    assert spread(3, 50).tolist() == [0, 1, 2] == spread(3, None).tolist()
    assert spread(0, 5).tolist() == []


def test_report_is_complete_and_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    changes = ("model_template.epochs=1", 'deploy.quantize=["int8"]', 'deploy.target="nucleo_l452re"')
    words = ["run", str(DIGITS), "--set", "evaluate.limit=20", "--set", "evaluate.vectors=2"]
    words += [word for change in changes for word in ("--set", change)]

    def run(*more: str) -> str:
        with pytest.raises(SystemExit) as end:
            main([*words, *more])
        assert not end.value.code
        return capsys.readouterr().out

    variant = tmp_path / "build/digits/resnetv1_6_f16/run1/int8"
    assert "wrote" in run()
    built = variant.stat().st_mtime_ns
    assert "nothing changed since" in run()
    (tmp_path / "build/digits/report.json").unlink()  # as if killed after this variant
    assert "wrote" in run() and variant.stat().st_mtime_ns == built
    assert "mean over runs" in run("--set", "bench.last_run=2")
    shutil.rmtree(tmp_path / "build/digits/resnetv1_6_f16/run2")
    run()
    (result,) = json.loads((tmp_path / "build/digits/report.json").read_text())["results"]
    assert (
        result["kind"] == "emulated"
        and result["board"] == "nucleo_l452re"
        and result["clock_hz"] == 48_000_000
    )
    assert result["bits_equal_host"] and result["bits_equal_board"]
    assert (result["vectors_host"], result["vectors_board"]) == (20, 2)
    memory = result["memory"]
    assert memory["rom_total"] == memory["rom_weights"] + memory["rom_code"] > 0 < memory["rom_weights"]
    assert memory["ram_total"] == memory["ram_arena"] + memory["ram_static"] + memory["ram_stack"]
    assert 0 < memory["ram_stack_used"] <= memory["ram_stack"]
    assert result["cycles_low"] < result["cycles_mean"] < result["cycles_high"]
    assert all(c["cycles_low"] <= c["cycles"] <= c["cycles_high"] for c in result["layers"])
    assert result["energy_uwh"] == pytest.approx(result["ms"] * 4.8 * 3.3 / 3600)
    # Layers are timed in a run of their own, with an observer between them.
    assert sum(layer["cycles"] for layer in result["layers"]) == pytest.approx(
        result["cycles_mean"], rel=0.01
    )
    assert result["ms"] == pytest.approx(1e3 * result["cycles_mean"] / 48e6)
