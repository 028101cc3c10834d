"""Cycles of each layer of ResNetv1-6 or DS-CNN on a virtual board: tables of docs/performance.md and docs/memory.md.

PYTHONPATH=test python -m python.profile_layers int8 (80 | ds_cnn) [size | ram | balanced | speed [ARENA_LIMIT [BOARD]]]

ARENA_LIMIT in bytes, 0 for none; BOARD: the Nucleo if absent.
Types beside those of `microai generate --type`: int9 and w4, as experiments/uci_har_accuracy.toml has them, w8a16, and
int16_layer: 16 bits with a scale for each layer.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from microai.boards.board import Board, load_board
from microai.boards.measure import Measurement, measure
from microai.codegen.choose import GOALS, Optimize
from microai.codegen.emit import emit
from microai.codegen.graph import Graph
from microai.codegen.host import pack
from microai.codegen.pipeline import Compiled, Scheme, compile_graph, scheme_for
from microai.codegen.quantize.fixed_point import FixedPoint
from microai.codegen.reference import outputs, stored
from microai.codegen.render import render
from microai.firmware import build_image

from .ds_cnn import ds_cnn
from .resnet import resnetv1_6

CLOCK_HZ = 48_000_000
MIXED = {
    "int9": FixedPoint(9, "filter", unsigned=True),
    "w4": FixedPoint(8, "filter", weight_bits=4, unsigned=True),
    "w8a16": FixedPoint(16, "filter", weight_bits=8),
    "int16_layer": FixedPoint(16, "layer"),
}


def scheme_of(kind: str) -> Scheme | None:
    """The scheme of a type; int16 is the paper's Q7.9."""
    if kind in MIXED:
        return MIXED[kind]
    return scheme_for(kind, **({"scale": "network", "frac": 9} if kind == "int16" else {}))


def network(name: str | int) -> Graph:
    """ResNetv1-6 by its number of filters, or "ds_cnn"."""
    return ds_cnn() if name == "ds_cnn" else resnetv1_6(int(name))


def samples(graph: Graph, count: int) -> list[np.ndarray]:
    """Normal samples [count, ...] for a network of one input."""
    (name,) = graph.inputs
    return [np.random.default_rng(2).normal(size=(count, *graph.tensors[name].shape)).astype(np.float32)]


def measured(
    kind: str,
    name: str | int,
    board: Board,
    clock_hz: int,
    folder: Path,
    optimize: Optimize = "speed",
    arena_limit: int = 0,
) -> tuple[Compiled, Measurement]:
    """Generate, build and run the network in one number type."""
    graph, scheme = network(name), scheme_of(kind)
    compiled = compile_graph(graph, scheme, samples(graph, 16), optimize=optimize, arena_limit=arena_limit)
    emit(render(compiled.program), folder / "nn_model")
    elf = build_image(folder / "nn_model", board, clock_hz, folder / "build")
    vectors = pack(stored(compiled.quantized, samples(graph, 1)), compiled.program.inputs)
    return compiled, measure(elf, board, [bytes(row) for row in vectors])


def main(kind: str, name: str, optimize: Optimize, limit: int, board_name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        board = load_board(board_name)
        compiled, m = measured(kind, name, board, CLOCK_HZ, Path(folder), optimize, limit)
    program, cycles = compiled.program, m.cycles[0]
    expected = outputs(compiled.quantized, stored(compiled.quantized, samples(compiled.imported, 1)))[0]
    found = np.frombuffer(m.outputs[0], program.outputs[0].type.format.dtype).reshape(expected.shape)
    largest = np.abs(found - expected).max()
    print(f"{program.title} {kind}, {optimize}: {cycles} cycles, {cycles / CLOCK_HZ * 1000:.1f} ms,")
    print(f"{cycles / program.macs:.3f} cycles a MAC; ROM {m.footprint.rom}, RAM {m.footprint.ram} (arena")
    print(
        f"{program.plan.arena_bytes}), stack {m.stack_used} bytes; largest difference from the reference {largest:g}"
    )
    print("\n| layer | kernel | cycles | MACs | cycles a MAC | an output |\n|---|---|---|---|---|---|")
    for layer, done in zip(program.layers, m.layers, strict=True):
        elements = program.graph.tensors[layer.tensor].elements
        rate = f"{done.cycles / layer.macs:.3f}" if layer.macs else ""
        kernels = ", ".join(kernel.removeprefix("nn_") for kernel in layer.kernels)
        print(
            f"| {layer.name} | {kernels} | {done.cycles} | {layer.macs} | {rate} | {done.cycles / elements:.1f} |"
        )


if __name__ == "__main__":
    goal = sys.argv[3] if len(sys.argv) > 3 else "speed"
    main(
        sys.argv[1],
        sys.argv[2],
        next(known for known in GOALS if known == goal),
        int((sys.argv[4:] or "0")[0]),
        (sys.argv[5:] or ["nucleo_l452re"])[0],
    )
