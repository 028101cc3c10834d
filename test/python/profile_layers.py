"""Cycles of each layer of ResNetv1-6 on a virtual board: the tables of docs/performance.md and docs/memory.md.

PYTHONPATH=test python -m python.profile_layers int8 80 [size | ram | balanced | speed [ARENA_LIMIT [BOARD]]]

ARENA_LIMIT in bytes, 0 for none; BOARD: the Nucleo if absent.
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
from microai.codegen.host import pack
from microai.codegen.pipeline import Compiled, compile_graph, scheme_for
from microai.codegen.reference import outputs, stored
from microai.codegen.render import render
from microai.firmware import build_image

from .resnet import inputs, resnetv1_6

CLOCK_HZ = 48_000_000


def measured(
    kind: str,
    filters: int,
    board: Board,
    clock_hz: int,
    folder: Path,
    optimize: Optimize = "speed",
    arena_limit: int = 0,
) -> tuple[Compiled, Measurement]:
    """Generate, build and run the network in one number type; int16 is the paper's Q7.9."""
    scheme = scheme_for(kind, **({"scale": "network", "frac": 9} if kind == "int16" else {}))
    compiled = compile_graph(
        resnetv1_6(filters), scheme, inputs(16), optimize=optimize, arena_limit=arena_limit
    )
    emit(render(compiled.program), folder / "nn_model")
    elf = build_image(folder / "nn_model", board, clock_hz, folder / "build")
    vectors = pack(stored(compiled.quantized, inputs(1)), compiled.program.inputs)
    return compiled, measure(elf, board, [bytes(row) for row in vectors])


def main(kind: str, filters: int, optimize: Optimize, limit: int, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        board = load_board(name)
        compiled, m = measured(kind, filters, board, CLOCK_HZ, Path(folder), optimize, limit)
    program, cycles = compiled.program, m.cycles[0]
    expected = outputs(compiled.quantized, stored(compiled.quantized, inputs(1)))[0]
    found = np.frombuffer(m.outputs[0], program.outputs[0].type.format.dtype).reshape(expected.shape)
    largest = np.abs(found - expected).max()
    print(f"ResNetv1-6 f={filters} {kind}, {optimize}: {cycles} cycles, {cycles / CLOCK_HZ * 1000:.1f} ms,")
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
        int(sys.argv[2]),
        next(known for known in GOALS if known == goal),
        int((sys.argv[4:] or "0")[0]),
        (sys.argv[5:] or ["nucleo_l452re"])[0],
    )
