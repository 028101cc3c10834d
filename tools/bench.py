"""`make bench`: the paper's network in this project's engine beside other systems, on the same virtual board.

Ours and, where it is installed, the successor's generator (Qualia-CodeGen) are generated, built and run here;
benchmarks/peers.toml has what others took. Two systems are ordered only where their brackets do not overlap.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from .boards.board import Board
from .boards.measure import Measurement, measure
from .codegen.choose import Optimize
from .codegen.emit import emit
from .codegen.formats import FLOAT32, Fixed, Format
from .codegen.graph import Graph, TensorType
from .codegen.host import pack
from .codegen.kernels import kernel_table
from .codegen.lower import lower
from .codegen.pipeline import compile_graph
from .codegen.plan import plan
from .codegen.reference import stored
from .codegen.render import render
from .deploy import scheme_of
from .errors import UserError
from .files import write_text
from .firmware import CROSS_COMPILER, build_image, checkout, failure, flag_groups, require, toolchain
from .profile import untrained_experiment
from .report.terminal import columns, number
from .selection import Chooser, Goal, Limits
from .toml import load_toml

VERSION = 1
BUILD = Path("build") / "bench"
EXPERIMENT = "experiments/uci_har.toml"
TYPES = ("int8", "int16", "float32", "affine8")
FILTERS = (16, 80)
GENERATOR = "qualia-codegen-core"
PEER = "Qualia-CodeGen"
# Fraction bits of weights and activations, and bits of an accumulator; 16 bits, its default for int8, overflow at f=80.
PEER_FORMATS = {"int8": (8, 6, 4, 32), "int16": (16, 9, 9, 32), "float32": (32, 0, 0, 32)}
PEER_FLAGS = "-Ofast -ffunction-sections -fdata-sections -DSINGLE_FILE -w"


@dataclass(frozen=True)
class Row:
    """One inference of the network in a system. Cycles with their bounds; bytes, None where nobody tells.

    kind: "here" (built and emulated in this run), "emulated" or "measured" elsewhere. whole: ROM and RAM are those of
    the whole measurement firmware. bounded: the bounds are known.
    """

    system: str
    source: str
    kind: str
    type: str
    filters: int
    low: int
    cycles: int
    high: int
    bounded: bool
    rom: int | None
    ram: int | None
    whole: bool


@dataclass(frozen=True)
class Bench:
    """What one run found: the rows of ours by (type, filters), each with the others' rows."""

    board: Board
    clock_hz: int
    compiler: str
    macs: dict[int, int]
    groups: tuple[tuple[Row, tuple[Row, ...]], ...]
    notes: tuple[str, ...]


def run(
    board: Board,
    clock_hz: int,
    types: Sequence[str],
    filters: Sequence[int],
    optimize: Sequence[Optimize],
    with_peer: bool,
    progress: Callable[[str], None] = lambda what: None,
) -> Bench:
    """Generate, build and run all rows.

    Raises UserError for a type that the experiment does not have, or without the cross compiler.
    """
    require(CROSS_COMPILER, "gcc-arm-none-eabi libnewlib-arm-none-eabi")
    if clock_hz not in board.clocks_hz:
        known = ", ".join(str(clock) for clock in board.clocks_hz)
        raise UserError("--clock", f"{board.name} does not run at {clock_hz} Hz", f"choose from {known}")
    peers = read_peers(checkout() / "benchmarks" / "peers.toml", board, clock_hz)
    notes = []
    if with_peer and find_spec("qualia_codegen_core") is None:
        with_peer = False
        notes.append(f"{PEER} is not installed: pip install -e .[bench] measures it here too")
    groups: list[tuple[Row, tuple[Row, ...]]] = []
    macs = {}
    for kind in types:
        for f in filters:
            others = [row for row in peers if (row.type, row.filters) == (kind, f)]
            if with_peer and kind in PEER_FORMATS:
                progress(f"{PEER} {kind} f={f}")
                others.insert(0, peer_row(kind, f, board, clock_hz))
            for goal in optimize:
                progress(f"{kind} f={f} {goal}")
                row, macs[f] = own_row(kind, f, goal, board, clock_hz)
                groups.append((row, tuple(others)))
    return Bench(board, clock_hz, toolchain().compiler, macs, tuple(groups), tuple(notes))


def settings_of(kind: str, filters: int) -> tuple[Path, list[str]]:
    """The experiment of the paper's network, changed to a width and a type."""
    overrides = [f"model.0.params.filters=[{filters}, {filters}, {filters}]", f'deploy.quantize=["{kind}"]']
    return checkout() / EXPERIMENT, overrides


def row_of(system: str, source: str, kind: str, filters: int, m: Measurement) -> Row:
    return Row(
        system, source, "here", kind, filters, m.low[0], m.cycles[0], m.high[0], True,
        m.footprint.rom, m.footprint.ram, True,
    )  # fmt: skip


# ---- ours ----


def own_row(kind: str, filters: int, optimize: Optimize, board: Board, clock_hz: int) -> tuple[Row, int]:
    """This project's engine with random weights, and its multiply-accumulates."""
    from .codegen.frontends.keras import import_keras

    settings, network, x = untrained_experiment(*settings_of(kind, filters), None)
    scheme = scheme_of(settings, kind)
    name = f"bench/{kind}/{filters}"
    compiled = compile_graph(
        import_keras(network, name),
        scheme,
        [] if scheme is None else [x],
        optimize=optimize,
        chooser=Chooser(Goal(optimize, Limits(), board, clock_hz)),
    )
    folder = BUILD / f"{kind}-{filters}"
    emit(render(compiled.program), folder / "nn_model")
    elf = build_image(folder / "nn_model", board, clock_hz, folder / f"{board.name}-{clock_hz}")
    vector = pack(list(stored(compiled.quantized, [x[:1]])), compiled.program.inputs)[0]
    m = measure(elf, board, [bytes(vector)], trace=False)
    return row_of(f"MicroAI, {optimize}", "this checkout", kind, filters, m), compiled.program.macs


# ---- the other generator ----


def peer_row(kind: str, filters: int, board: Board, clock_hz: int) -> Row:
    """Qualia-CodeGen's plain C of the same network in this project's firmware, built with its own flags."""
    _, network, x = untrained_experiment(*settings_of(kind, filters), None)
    folder = BUILD / f"peer-{kind}-{filters}"
    source = peer_source(network, kind, folder / "generated")
    elf = build_peer(kind, x.shape[1:], source, board, clock_hz, folder)
    bits, _, frac, _ = PEER_FORMATS[kind]
    vector = x[0]
    if kind != "float32":
        most = 2 ** (bits - 1)
        vector = np.clip(np.floor(np.ldexp(x[0], frac)), -most, most - 1).astype(f"int{bits}")
    m = measure(elf, board, [vector.tobytes()], trace=False)
    return row_of(PEER, f"{GENERATOR} {version(GENERATOR)}, plain C, {PEER_FLAGS}", kind, filters, m)


def peer_source(network: Any, kind: str, folder: Path) -> str:
    """The one file that it generates from a Keras model. Raises UserError when it cannot."""
    from .train.backend import keras

    # By name: it is not typed, and mypy must not care whether it is installed.
    core = import_module("qualia_codegen_core")
    nodes = import_module("qualia_codegen_core.graph")
    round_mode = import_module("qualia_codegen_core.graph.RoundMode").RoundMode
    frontend = import_module("qualia_codegen_core.graph.KerasModelGraph")

    def known(layer: Any) -> Any:
        """It takes an activation, not a ReLU layer."""
        if isinstance(layer, keras.layers.ReLU):
            return keras.layers.Activation("relu", name=layer.name)
        return type(layer).from_config(layer.get_config())

    clone = keras.models.clone_model(network, clone_function=known)
    clone.set_weights(network.get_weights())
    graph = frontend.KerasModelGraph(clone).convert()
    if graph is None:
        raise UserError(PEER, "does not take the network", "leave it out with --no-peer")
    bits, weights, activations, accumulator = PEER_FORMATS[kind]
    integer = kind != "float32"
    rounding = round_mode.FLOOR if integer else round_mode.NONE
    for node in graph.nodes:
        node.q = nodes.Quantization(
            number_type=int if integer else float,
            width=bits,
            long_width=accumulator,
            weights_width=bits,
            bias_width=bits,
            output_width=bits,
            weights_scale_factor=weights,
            bias_scale_factor=weights if integer else None,
            output_scale_factor=activations,
            weights_round_mode=rounding,
            output_round_mode=rounding,
        )
    text = core.Converter(output_path=folder).convert_model(graph)
    if not isinstance(text, str):
        raise UserError(PEER, "generates nothing for the network", "leave it out with --no-peer")
    return text


def build_peer(
    kind: str, shape: tuple[int, ...], source: str, board: Board, clock_hz: int, folder: Path
) -> Path:
    """The measurement firmware around full_model.h; returns firmware.elf."""
    root = checkout()
    bits, _, frac, _ = PEER_FORMATS[kind]
    number: Format = FLOAT32 if kind == "float32" else Fixed(bits, frac)
    # A graph without nodes has what the firmware must know: its input, and its output as if it were one too.
    tensors = {"x": TensorType(shape, number), "y": TensorType((6,), number)}
    graph = Graph("peer", ("x", "y"), ("y",), (), tensors)
    program = lower(graph, plan(graph), kernel_table())
    header = render(replace(program, inputs=program.inputs[:1]))["include/model.h"]
    write_text(
        folder / "include" / "model.h", header.replace("#define MODEL_LAYERS 0u", "#define MODEL_LAYERS 1u")
    )
    write_text(folder / "generated" / "full_model.h", source)
    groups = flag_groups()
    own = " ".join(groups[name] for name in ("numeric", "speed", "object", "link"))
    core = shlex.split(groups["cortex-m4f"])
    harness = root / "benchmarks" / "peer"
    made, elf = folder / "peer.o", folder / "firmware.elf"
    compile_peer = [
        *(CROSS_COMPILER, *core, *shlex.split(PEER_FLAGS)),
        *(f"-I{folder / 'generated'}", f"-I{harness}", "-c", harness / "peer.c", "-o", made),
    ]
    place = root / "boards" / board.name
    link = [
        *(CROSS_COMPILER, *core, *shlex.split(own)),
        *(
            f"-I{root / 'firmware'}",
            f"-I{root / 'lib/nn_runtime/include'}",
            f"-I{folder / 'include'}",
            f"-I{harness}",
        ),
        *(f'-DBOARD_NAME="{board.name}"', f"-DBOARD_CLOCK_HZ={clock_hz}u", f"-DUART_BAUD={board.uart.baud}u"),
        *sorted((root / "firmware").glob("*.c")),
        *(place / "board.c", harness / "model.c", root / "lib/nn_runtime/src/nn_crc32.c", made),
        *("-T", place / board.ld_script, f"-L{root / 'firmware'}", "-lm", "-o", elf),
    ]
    for command in (compile_peer, link):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserError(f"{PEER} on {board.name}", failure(done.stdout + done.stderr), "use --no-peer")
    return elf


# ---- what others took ----


def read_peers(path: Path, board: Board, clock_hz: int) -> list[Row]:
    """The rows of benchmarks/peers.toml for a board and a clock. Raises UserError for a row that lacks something."""
    rows = []
    for system in load_toml(path).get("system", []):
        if (system.get("board"), system.get("clock_hz")) != (board.name, clock_hz):
            continue
        for row in system.get("row", []):
            try:
                cycles = row["cycles"] if "cycles" in row else [round(row["ms"] * clock_hz / 1e3)]
                low, expected, high = cycles if len(cycles) == 3 else cycles * 3
                for kind in row["types"]:
                    rows.append(
                        Row(
                            system["name"],
                            system["source"],
                            system["kind"],
                            kind,
                            row["filters"],
                            low,
                            expected,
                            high,
                            len(cycles) == 3 or system["kind"] == "measured",
                            row.get("rom"),
                            row.get("ram"),
                            False,
                        )
                    )
            except (KeyError, TypeError, ValueError) as error:
                raise UserError(
                    path, f"a row of {system.get('name')} is wrong ({error})", "see its head"
                ) from None
    return rows


def ratio(own: Row, other: Row) -> tuple[float, float, float]:
    """How many times the cycles of ours the other takes: at least, expected, at most."""
    return other.low / own.high, other.cycles / own.cycles, other.high / own.low


def winner(own: Row, other: Row) -> str:
    """ "ours" or "theirs" where all of one bracket lies below the other; else ""."""
    if own.high < other.low:
        return "ours"
    return "theirs" if other.high < own.low else ""


# ---- the table ----


def print_bench(console: Console, bench: Bench) -> None:
    """A table for each type and width: ours, then the others with their ratios."""
    table = Table(
        title=f"ResNetv1-6 on {bench.board.name} at {bench.clock_hz / 1e6:g} MHz; {bench.compiler}",
        caption="ROM and RAM in bytes; * without the serial firmware. Ratio: cycles by ours, lowest, expected, "
        "highest. No winner where brackets overlap; ~ bounds unknown.",
    )
    columns(
        table,
        ("network", "system", "cycles are"),
        ("low", "cycles", "high", "ms", "cyc/MAC", "ROM", "RAM", "ratio"),
    )
    table.add_column("fewer cycles")

    def line(name: str, row: Row, *rest: str) -> None:
        mark = "" if row.whole else "*"
        table.add_row(
            name,
            row.system,
            {"here": "emulated here"}.get(row.kind, row.kind),
            *(
                [number(row.low), number(row.cycles), number(row.high)]
                if row.bounded
                else ["~", number(row.cycles), "~"]
            ),
            f"{1e3 * row.cycles / bench.clock_hz:.1f}",
            f"{row.cycles / bench.macs[row.filters]:.2f}",
            *("" if size is None else f"{number(size)}{mark}" for size in (row.rom, row.ram)),
            *rest,
        )

    before: tuple[Row, ...] = ()
    for own, others in bench.groups:
        line(f"{own.type} f={own.filters}", own, "", "")
        if others != before or not others:
            for other in others:
                low, expected, high = ratio(own, other)
                line("", other, f"{low:.2f} {expected:.2f} {high:.2f}", winner(own, other))
        before = others
    console.print(table)
    for system, source in dict.fromkeys((r.system, r.source) for _, rows in bench.groups for r in rows):
        console.print(f"{system}: {source}")
    for note in bench.notes:
        console.print(note, markup=False)


def as_json(bench: Bench) -> dict[str, Any]:
    """The fields that docs/command_line.md lists."""

    def figures(row: Row) -> dict[str, Any]:
        ms = 1e3 * row.cycles / bench.clock_hz
        return {**asdict(row), "ms": ms, "cycles_per_mac": row.cycles / bench.macs[row.filters]}

    return {
        "version": VERSION,
        "board": bench.board.name,
        "clock_hz": bench.clock_hz,
        "compiler": bench.compiler,
        "macs": bench.macs,
        "notes": bench.notes,
        "rows": [
            {
                **figures(own),
                "others": [
                    {**figures(other), "ratio": ratio(own, other), "winner": winner(own, other)}
                    for other in others
                ],
            }
            for own, others in bench.groups
        ],
    }


def write(bench: Bench, path: Path) -> None:
    """Write the JSON file."""
    write_text(path, json.dumps(as_json(bench), indent=1) + "\n")
