"""What a network costs on a board: `microai profile`, from an experiment, a model file or a firmware image.

The image runs on the virtual board, which counts cycles block by block; the figures are put together here, printed and
drawn by report/profile.py, and written as JSON (docs/profile.md lists the fields).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .boards.board import Board
from .boards.elf import Image, load_image
from .boards.energy import Energy, energy
from .boards.link import DeviceLink, VirtualPort
from .boards.mmio import BoardFault
from .boards.profile import BlockCost, Bracket, Mark, Recorder, Share, Span, add
from .boards.rom import Footprint, footprint
from .boards.stack import StackBound, stack_bound
from .boards.virtual import Stop, VirtualBoard
from .codegen.emit import emit
from .codegen.formats import Array
from .codegen.graph import Graph
from .codegen.host import pack
from .codegen.lower import Program
from .codegen.pipeline import Compiled, Scheme, compile_graph, scheme_for
from .codegen.plan import Stream
from .codegen.plan.layout import lay_out
from .codegen.reference import stored
from .codegen.render import render
from .errors import UserError
from .files import write_text
from .firmware import build_image
from .selection import Chooser, Goal

if TYPE_CHECKING:
    from .experiment import Experiment

VERSION = 2
BUILD = Path("build")
RANDOM_VECTORS = 32
MAX_SECONDS = 300.0


@dataclass(frozen=True)
class Subject:
    """An image to profile; `program` and `vector` (one input in the model's format) where it was built here.

    `scratch`: bytes that the kernels' scratch memory adds to the arena.
    """

    elf: Path
    board: Board
    type: str | None = None
    program: Program | None = None
    vector: bytes | None = None
    scratch: int = 0


@dataclass(frozen=True)
class Cost:
    """A layer or a function: what it executed and what that cost.

    cycles, cycles_low, cycles_high: expected and its bounds. share: cycles by kind; they sum to the cycles of the
    blocks that belong here. code_misses, data_misses: reads of flash that had to be waited for. kernel and macs:
    of layers.
    """

    name: str
    kernel: str
    macs: int
    instructions: int
    cycles: int
    cycles_low: int
    cycles_high: int
    share: Share
    code_misses: int
    data_misses: int


@dataclass(frozen=True)
class Profile:
    """One inference (of an image that is not this project's firmware: its whole run) on a board.

    Sizes in bytes; `stack_used` is the high-water mark, `stack_bound` the static bound. `type`, `arena` and `macs` are
    None where the image does not tell. `scratch`: by how much `arena`, which includes it, would be smaller if no kernel
    needed scratch memory. `blocks`: the most expensive first.
    """

    board: Board
    clock_hz: int
    model: str
    type: str | None
    macs: int | None
    cycles: Bracket
    instructions: int
    energy: Energy
    footprint: Footprint
    arena: int | None
    scratch: int
    stack_used: int | None
    stack_bound: StackBound
    share: Share
    layers: tuple[Cost, ...]
    functions: tuple[Cost, ...]
    blocks: tuple[BlockCost, ...]
    image: Image

    @property
    def ms(self) -> float:
        return 1e3 * self.cycles.expected / self.clock_hz


# ---- from what is given to an image ----


def of_image(elf: Path, board: Board) -> Subject:
    """An image that is there already."""
    return Subject(elf, board)


def of_graph(
    graph: Graph,
    scheme: Scheme | None,
    kind: str,
    calibration: Sequence[Array],
    board: Board,
    clock_hz: int,
    folder: Path,
    prefix: str = "model",
    goal: Goal | None = None,
) -> Subject:
    """Generate and build an image of a graph in a type; calibration [N, *shape] per input, the first vector is run.

    goal: what kernels are measured for; None is the fastest by the rule.
    """
    compiled = compile_graph(
        graph,
        scheme,
        calibration if scheme is not None else [],
        prefix,
        optimize="speed" if goal is None else goal.optimize,
        chooser=None if goal is None else Chooser(goal),
    )
    emit(render(compiled.program), folder / "nn_model")
    elf = build_image(folder / "nn_model", board, clock_hz, folder / board.name)
    return built(elf, board, kind, compiled, calibration)


def built(elf: Path, board: Board, kind: str, compiled: Compiled, inputs: Sequence[Array]) -> Subject:
    """An image of a compiled model, to run with the first vector of `inputs`."""
    first = stored(compiled.quantized, [array[:1] for array in inputs])
    program = compiled.program
    parts = [block.schedule if isinstance(block, Stream) else block for block in program.plan.blocks]
    scratch = program.plan.arena_bytes - lay_out(program.graph, parts).arena_bytes
    vector = bytes(pack(list(first), program.inputs)[0])
    return Subject(elf, board, kind, program, vector, max(scratch, 0))


def random_inputs(graph: Graph) -> list[Array]:
    """Normal numbers, one array [N, *shape] for each input."""
    rng = np.random.default_rng(1)
    shapes = [graph.tensors[name].shape for name in graph.inputs]
    return [rng.normal(size=(RANDOM_VECTORS, *shape)).astype(np.float32) for shape in shapes]


def of_model(path: Path, kind: str, calibration: Sequence[Array], board: Board, clock_hz: int) -> Subject:
    """A model file; without calibration data it gets random ones, which decide formats but hardly any time."""
    from .codegen.frontends import import_model

    graph = import_model(path, path.stem)
    inputs = list(calibration) or random_inputs(graph)
    return of_graph(
        graph, scheme_for(kind), kind, inputs, board, clock_hz, BUILD / "profile" / path.stem / kind
    )


def of_experiment(
    path: Path, overrides: Sequence[str], kind: str, board: Board, model: str | None, without_data: bool
) -> Subject:
    """The first (or the named) model of an experiment, trained, or with random weights and no data set."""
    overrides = [*overrides, f'deploy.quantize=["{kind}"]', f'deploy.target=["{board.name}"]']
    if without_data:
        return _untrained(path, overrides, kind, board, model)
    from .deploy import compile_variant, prepare_deploy, prepare_experiment, select
    from .evaluate import image_of

    settings, prepared, items = prepare_experiment(path, overrides)
    variant = select(items, model)[0]
    prepare_deploy(settings, prepared, variant)
    compiled = compile_variant(settings, prepared, variant)
    return built(image_of(settings, variant, board), board, kind, compiled, [prepared.x_test])


def _untrained(path: Path, overrides: Sequence[str], kind: str, board: Board, model: str | None) -> Subject:
    from .deploy import goal_of, scheme_of

    settings, name, graph, x = untrained_model(path, overrides, kind, model)
    return of_graph(
        graph,
        scheme_of(settings, kind),
        kind,
        [x],
        board,
        settings.deploy.clock_hz or board.default_clock_hz,
        BUILD / name,
        settings.deploy.prefix,
        goal_of(settings),
    )


def untrained_model(
    path: Path, overrides: Sequence[str], kind: str, model: str | None
) -> tuple[Experiment, str, Graph, Array]:
    """An experiment and its first (or the named) model with random weights: name, graph, random inputs [N, *shape]."""
    from .codegen.frontends.keras import import_keras

    settings, network, x = untrained_experiment(path, overrides, model)
    chosen = model or settings.models[0].name
    name = f"{settings.bench.name}/{chosen}/untrained/{kind}"
    return settings, name, import_keras(network, name), x


def untrained_experiment(
    path: Path, overrides: Sequence[str], model: str | None
) -> tuple[Experiment, Any, Array]:
    """An experiment, the `keras.Model` of its first (or the named) model with random weights, random inputs."""
    from .experiment import load_experiment
    from .train.untrained import random_data, untrained

    settings = load_experiment(path, overrides)
    chosen = next((m for m in settings.models if model in (None, m.name)), None)
    if chosen is None:
        raise UserError(
            path, f"has no model {model}", f"choose from {', '.join(m.name for m in settings.models)}"
        )
    x = random_data(settings)
    return settings, untrained(settings, chosen, x), x


# ---- from an image to figures ----


def profile(subject: Subject, max_seconds: float = MAX_SECONDS) -> Profile:
    """Run the image and take its cycles apart.

    Raises UserError for an image that the board does not take, that faults, or that neither halts nor asks for input
    within `max_seconds`.
    """
    image = load_image(subject.elf)
    machine = VirtualBoard(subject.board, image)
    recorder = Recorder(machine)
    counter = machine.cycle_counter
    assert counter is not None
    if machine.run(max_seconds=max_seconds) is Stop.HALTED:
        span = Span(counter, None, Mark(machine.clock.cycles, counter.counts()))
        return _profile(subject, image, machine, span, [], "", None, None)
    link = DeviceLink(VirtualPort(machine, max_seconds), image, retries=0)
    try:
        info = link.info()
    except BoardFault:
        raise
    except UserError:
        raise UserError(
            subject.elf,
            "waits for input and does not speak this project's protocol",
            "give firmware of this project, or a program that ends with WFI",
        ) from None
    vector = subject.vector if subject.vector is not None else bytes(info.input_bytes)
    link.run(vector)  # fills the caches
    recorder.clear()
    span = recorder.span_of_run(link.run(vector).cycles)
    recorder.clear()
    traced = link.trace(vector)[1]
    spans = recorder.spans_of_layers([layer.cycles for layer in traced])
    info = link.info()
    names = [(f"layer {layer.index}", "", 0) for layer in traced]
    if subject.program is not None:
        names = [(layer.name, ", ".join(layer.kernels), layer.macs) for layer in subject.program.layers]
    layers = [cost(*name, s.bracket(), s.blocks()) for name, s in zip(names, spans, strict=True)]
    return _profile(subject, image, machine, span, layers, info.model, info.arena_bytes, info.stack_used)


def _profile(
    subject: Subject,
    image: Image,
    machine: VirtualBoard,
    span: Span,
    layers: list[Cost],
    model: str,
    arena: int | None,
    stack_used: int | None,
) -> Profile:
    blocks, bracket = span.blocks(), span.bracket()
    clock_hz = machine.clock.hz
    return Profile(
        board=subject.board,
        clock_hz=clock_hz,
        model=model or subject.elf.name,
        type=subject.type,
        macs=None if subject.program is None else subject.program.macs,
        cycles=bracket,
        instructions=sum(block.instructions for block in blocks),
        energy=energy(subject.board.power, clock_hz, bracket.expected),
        footprint=footprint(image),
        arena=arena,
        scratch=subject.scratch,
        stack_used=stack_used,
        stack_bound=stack_bound(image),
        share=add([block.share for block in blocks]),
        layers=tuple(layers),
        functions=tuple(by_function(image, blocks)),
        blocks=tuple(blocks),
        image=image,
    )


def cost(name: str, kernel: str, macs: int, bracket: Bracket, blocks: Sequence[BlockCost]) -> Cost:
    """What some blocks cost together."""
    return Cost(
        name,
        kernel,
        macs,
        sum(block.instructions for block in blocks),
        bracket.expected,
        bracket.low,
        bracket.high,
        add([block.share for block in blocks]),
        sum(block.code_misses for block in blocks),
        sum(block.data_misses for block in blocks),
    )


def by_function(image: Image, blocks: Iterable[BlockCost]) -> list[Cost]:
    """Blocks by the function that they lie in, by address where the image has no symbols; most expensive first."""
    groups: dict[str, list[BlockCost]] = {}
    for block in blocks:
        function = image.function_at(block.block.address)
        name = f"0x{block.block.address:08x}" if function is None else function.name
        groups.setdefault(name, []).append(block)
    costs = []
    for name, group in groups.items():
        low, cycles, high = (
            round(sum(getattr(b, what) for b in group)) for what in ("low", "cycles", "high")
        )
        costs.append(cost(name, "", 0, Bracket(min(low, cycles), cycles, max(high, cycles)), group))
    return sorted(costs, key=lambda c: (-c.cycles, c.name))


# ---- as JSON ----


def as_json(p: Profile) -> dict[str, Any]:
    """The fields that docs/profile.md lists."""
    return {
        "version": VERSION,
        "kind": "emulated",
        "board": p.board.name,
        "clock_hz": p.clock_hz,
        "model": p.model,
        "type": p.type,
        "macs": p.macs,
        "instructions": p.instructions,
        "cycles": asdict(p.cycles),
        "ms": p.ms,
        "energy_uwh": p.energy.uwh,
        "energy_uj": p.energy.uj,
        "energy_uncertainty": p.energy.uncertainty,
        "rom": {"total": p.footprint.rom, "weights": p.footprint.weights, "code": p.footprint.code},
        "ram": {
            "arena": (p.arena or 0) - p.scratch,
            "scratch": p.scratch,
            "static": p.footprint.ram_static - (p.arena or 0),
            "stack": p.footprint.stack,
            "total": p.footprint.ram,
        },
        "stack": {"used": p.stack_used, "bound": p.stack_bound.bytes, "reserved": p.footprint.stack},
        "share": asdict(p.share),
        "layers": [asdict(layer) for layer in p.layers],
        "functions": [asdict(function) for function in p.functions],
    }


def write(p: Profile, path: Path) -> None:
    """Write the JSON file; its folder must be there."""
    try:
        write_text(path, json.dumps(as_json(p), indent=1) + "\n")
    except OSError as error:
        raise UserError(path, f"cannot be written ({error.strerror})", "choose another place") from None
