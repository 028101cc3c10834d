"""Chains of layers by rows on the virtual boards: the bits of the reference, tensor by tensor.

One build folder for each board: only the model is compiled anew.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from microai.boards.board import Board, load_board
from microai.boards.measure import measure
from microai.codegen import choose
from microai.codegen.choose import Choice, candidates
from microai.codegen.emit import emit
from microai.codegen.graph import Graph, Node, TensorType
from microai.codegen.host import build_host, pack
from microai.codegen.ops.add import Add
from microai.codegen.ops.base import RELU
from microai.codegen.ops.conv import Conv, Window
from microai.codegen.pipeline import Compiled, compile_graph, plan_memory
from microai.codegen.plan import MemoryPlan, Stream, search
from microai.codegen.quantize.affine import AffineScheme
from microai.codegen.quantize.fixed_point import FixedPoint
from microai.codegen.reference import stored, tensors
from microai.codegen.render import render
from microai.firmware import build_image

from ..codegen.random_graphs import chains, samples
from .conftest import need_gcc

SCHEMES: dict[str, Any] = {
    "float32": None,
    "int8": FixedPoint(8),
    "int16 unsigned": FixedPoint(16, unsigned=True),
    "affine8": AffineScheme(8),
}
BOARDS = ("nucleo_l452re", "sparkfun_edge")


@pytest.fixture(scope="module", params=BOARDS)
def board(request: pytest.FixtureRequest) -> Board:
    need_gcc()
    return load_board(request.param)


@pytest.fixture(scope="module")
def folder(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp(board.name)


def equals_reference(compiled: Compiled, board: Board, folder: Path) -> None:
    """Every tensor that exists as a whole; floats, whose sums have another order there, against C on the host."""
    program = compiled.program
    x = [3 * array for array in samples(compiled.imported, 2, 1)]  # beyond the calibrated range
    x = list(stored(compiled.quantized, x))
    emit(render(program), folder / "model")
    elf = build_image(folder / "model", board, 48_000_000, folder / "build")
    found = measure(elf, board, [bytes(row) for row in pack(x, program.inputs)])
    expected = tensors(compiled.quantized, x)
    if program.is_float:
        expected = build_host(program, folder / f"{program.model_hash:08x}", "-O1").trace(x, 0x55)
    crcs = {
        layer.tensor: zlib.crc32(np.ascontiguousarray(expected[layer.tensor]).tobytes())
        for layer in program.layers
    }
    for layer, there in zip(program.layers, found.layers, strict=True):
        assert there.crc == crcs[layer.tensor], f"{layer.name} on {board.name}"


@settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(graph=chains(), scheme=st.sampled_from(sorted(SCHEMES)))
def test_random_chains(
    board: Board, folder: Path, monkeypatch: pytest.MonkeyPatch, graph: Graph, scheme: str
) -> None:
    monkeypatch.setattr(choose, "WINO_CHANNELS", dict.fromkeys((1, 2, 4), 1))
    monkeypatch.setattr(search, "FREE", 10.0)  # these graphs are small: calls count
    compiled = compile_graph(graph, SCHEMES[scheme], samples(graph, 1, 8))
    assume(any(isinstance(block, Stream) for block in compiled.program.plan.blocks))
    equals_reference(compiled, board, folder)


def residual_block() -> Graph:
    """40 positions of 12 channels, two convolutions of width 3 and their shortcut."""
    rng = np.random.default_rng(3)

    def conv(depth: int) -> Conv:
        weights = rng.normal(size=(12, 1, 3, depth)).astype(np.float32) / np.float32(6)
        bias = rng.normal(size=12).astype(np.float32)
        return Conv(weights, bias, Window((1, 3), padding=(0, 0, 1, 1)), activation=RELU)

    nodes = [
        Node("first", conv(4), ("x",)),
        Node("second", conv(12), ("first",)),
        Node("third", conv(12), ("second",)),
        Node("sum", Add(), ("third", "first")),
    ]
    return Graph.build("block", {"x": TensorType((40, 4))}, nodes, ["sum"])


@pytest.mark.parametrize("scheme", ["float32", "int8"])
def test_strips_written_over_their_input(board: Board, folder: Path, scheme: str) -> None:
    """Winograd's algorithm reads a block before it writes it; some limit of the arena makes use of that."""
    graph = residual_block()
    limit = 10**6

    def winograd(graph: Graph) -> tuple[dict[str, Choice], MemoryPlan]:
        found = {
            node.name: option
            for node in graph.nodes
            for option in candidates(graph, node)
            if option.kernel == "wino" and option.groups == 1
        }
        return found, plan_memory(graph, found, "speed", limit)

    while True:
        compiled = compile_graph(graph, SCHEMES[scheme], samples(graph, 1, 8), chooser=winograd)
        plan = compiled.program.plan
        assert plan.arena_bytes <= limit, "no plan writes strips over their input"
        if any(isinstance(block, Stream) and block.onto for block in plan.blocks):
            break
        limit = plan.arena_bytes - 8
    equals_reference(compiled, board, folder)
