"""Running what was generated, on this computer and on boards: the last stage of an experiment."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from .boards.board import Board, load_board
from .boards.elf import load_image
from .boards.energy import energy
from .boards.measure import Measurement, connect, measure
from .codegen import reference
from .codegen.compare import Difference, accuracy, agreement, first_difference
from .codegen.formats import Array
from .codegen.host import HostModel, build_host, pack, unpack
from .codegen.pipeline import COMPILE_FOR, Compiled
from .codegen.quantize.calibration import spread
from .deploy import Variant, compile_variant, generation_key, prepare_deploy, prepare_experiment, select
from .experiment import Experiment
from .files import code_key, key_of
from .firmware import build_image, machine_key, toolchain
from .report.results import VERSION, LayerCost, Memory, Report, Result, commit, read_report
from .train.stages import BUILD, PreparedData

PROGRESS = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
FLOAT_TOLERANCE = 1e-5  # relative to the largest value of a tensor: float32 sums in another order
BATCH = 256
TIMED = 5  # vectors with counted cycles on a virtual board: they differ by clamps alone, and counting is slow


@dataclass(frozen=True)
class HostResult:
    """One variant on this computer, over `vectors` test vectors. Accuracies 0..1.

    accuracy_float: the float graph; accuracy_reference: the deployed graph in numpy; difference: where host C
    leaves the reference first (None: nowhere; every tensor of every vector compared).
    """

    vectors: int
    accuracy_float: float
    accuracy_reference: float
    agreement: float
    difference: Difference | None


def evaluate_host(compiled: Compiled, host: HostModel, x: Array, labels: Array) -> HostResult:
    """Run float graph, reference and host C over test vectors x [N, *shape] and compare every tensor."""
    graph = compiled.quantized
    tolerance = FLOAT_TOLERANCE if compiled.program.is_float else 0.0
    floats, scores = [], []
    difference = None
    for start in range(0, len(x), BATCH):
        batch = [x[start : start + BATCH]]
        floats.append(reference.outputs(compiled.simplified, batch)[0])
        stored = list(reference.stored(graph, batch))
        wanted = reference.tensors(graph, stored)
        scores.append(wanted[graph.outputs[0]])
        if difference is None:
            found = first_difference(wanted, host.trace(stored), tolerance)
            if found is not None:
                difference = replace(found, vector=found.vector + start)
    real, quantized = np.concatenate(floats), np.concatenate(scores)
    return HostResult(
        vectors=len(x),
        accuracy_float=accuracy(real, labels),
        accuracy_reference=accuracy(quantized, labels),
        agreement=agreement(real, quantized),
        difference=difference,
    )


@dataclass(frozen=True)
class BoardResult:
    """One variant on one board over `vectors` test vectors; difference: where its outputs leave host C first."""

    measurement: Measurement
    vectors: int
    accuracy: float
    difference: Difference | None


def evaluate_board(
    compiled: Compiled,
    host: HostModel,
    elf: Path,
    board: Board,
    x: Array,
    labels: Array,
    port: str | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> BoardResult:
    """Run test vectors x [N, *shape] on the board (virtual without `port`); outputs must have host C's bits.

    A virtual board counts the cycles of the first TIMED of them. progress is called with the number of vectors
    done.
    """
    program = compiled.program
    stored = list(reference.stored(compiled.quantized, [x]))
    vectors = [bytes(row) for row in pack(stored, program.inputs)]
    timed = len(vectors) if port is not None else TIMED
    measurement = measure(elf, board, vectors[:timed], port=port, progress=progress)
    if vectors[timed:]:
        others = measure(
            elf,
            board,
            vectors[timed:],
            count_cycles=False,
            trace=False,
            progress=lambda done: progress(timed + done),
        )
        measurement = replace(
            measurement,
            outputs=measurement.outputs + others.outputs,
            stack_used=max(measurement.stack_used, others.stack_used),
        )
    data = np.frombuffer(b"".join(measurement.outputs), np.uint8).reshape(len(x), -1)
    found = unpack(data, program.outputs)
    names = compiled.quantized.outputs
    wanted = host.run(stored)
    return BoardResult(
        measurement=measurement,
        vectors=len(x),
        accuracy=accuracy(found[0], labels),
        difference=first_difference(
            dict(zip(names, wanted, strict=True)), dict(zip(names, found, strict=True))
        ),
    )


def image_of(experiment: Experiment, variant: Variant, board: Board) -> Path:
    """The firmware image of a generated variant for a board, built where it is out of date."""
    clock = experiment.deploy.clock_hz or board.default_clock_hz
    return build_image(variant.library, board, clock, variant.folder / board.name)


def evaluation_key(experiment: Experiment, prepared: PreparedData, items: Sequence[Variant]) -> str:
    """Hash of all that decides a report: models, settings, generator, C sources, emulator, compiler."""
    return key_of(
        variants=[generation_key(experiment, prepared, item) for item in items],
        deploy=experiment.deploy.model_dump(exclude={"quantize"}),  # the variants say it
        evaluate=experiment.evaluate.model_dump(),
        code=code_key(f"{__package__ or ''}.evaluate"),
        machine=machine_key(),
    )


def deploy_and_evaluate(
    path: Path, overrides: Sequence[str], console: Console, port: str | None = None
) -> tuple[Report, Path, bool]:
    """Generate, build and evaluate every variant on every board; returns the report, its file, and whether it
    was there already with nothing changed since. A run that was killed goes on after its last whole variant.

    With `port` the one board of the experiment is real and is measured; it must already run the image.
    """
    experiment, prepared, items = prepare_experiment(path, overrides)
    boards = [load_board(name) for name in experiment.deploy.target]
    location = BUILD / experiment.bench.name / "report.json"
    key = evaluation_key(experiment, prepared, items)
    if port is None:
        kept = read_report(location, key)
        if kept is not None:
            return kept, location, True
    tools = toolchain(COMPILE_FOR[experiment.deploy.optimize])
    x, labels = prepared.x_test[: experiment.evaluate.limit], prepared.y_test[: experiment.evaluate.limit]
    few = spread(len(x), experiment.evaluate.vectors)

    def made(key: str, results: Sequence[Result]) -> Report:
        name = experiment.bench.name
        return Report(VERSION, key, name, commit(), tools.compiler, tools.flags, tuple(results))

    results: list[Result] = []
    with Progress(*PROGRESS, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(items) * (1 + len(boards)))
        for item in items:
            progress.update(task, description=f"{item.name}: reference and host C")
            own = evaluation_key(experiment, prepared, [item])
            done = read_report(item.folder / "report.json", own) if port is None else None
            if done is not None:
                results += done.results
                progress.advance(task, 1 + len(boards))
                continue
            prepare_deploy(experiment, prepared, item)
            compiled = compile_variant(experiment, prepared, item)
            host = build_host(compiled.program, item.folder / "host")
            on_host = evaluate_host(compiled, host, x, labels)
            progress.advance(task)
            for board in boards:
                progress.update(task, description=f"{item.name}: {board.name}, {len(few)} vectors")
                elf = image_of(experiment, item, board)
                vectors = progress.add_task("", total=len(few))
                on_board = evaluate_board(
                    compiled,
                    host,
                    elf,
                    board,
                    x[few],
                    labels[few],
                    port,
                    lambda done, bar=vectors: progress.update(bar, completed=done),  # type: ignore[misc]
                )
                progress.remove_task(vectors)
                results.append(result_of(item, board, compiled, on_host, on_board))
                progress.advance(task)
            if port is None:
                made(own, results[-len(boards) :]).write(item.folder / "report.json")
    report = made(key, results)
    report.write(location)
    return report, location, False


def result_of(
    item: Variant, board: Board, compiled: Compiled, on_host: HostResult, on_board: BoardResult
) -> Result:
    """One line of the report."""
    m, program = on_board.measurement, compiled.program
    difference = on_host.difference or on_board.difference
    return Result(
        model=item.model.name,
        run=item.model.run,
        type=item.type,
        board=board.name,
        clock_hz=m.clock_hz,
        kind=m.kind,
        parameters=item.model.parameters,
        macs=program.macs,
        accuracy_float=on_host.accuracy_float,
        accuracy_reference=on_host.accuracy_reference,
        accuracy_board=on_board.accuracy,
        vectors_host=on_host.vectors,
        vectors_board=on_board.vectors,
        agreement=on_host.agreement,
        bits_equal_host=on_host.difference is None,
        bits_equal_board=on_board.difference is None,
        difference=None if difference is None else str(difference),
        cycles_mean=float(np.mean(m.cycles)),
        cycles_min=min(m.cycles),
        cycles_max=max(m.cycles),
        cycles_low=float(np.mean(m.low)),
        cycles_high=float(np.mean(m.high)),
        energy_uwh=energy(board.power, m.clock_hz, float(np.mean(m.cycles))).uwh,
        ms=1e3 * float(np.mean(m.cycles)) / m.clock_hz,
        memory=Memory(
            rom_total=m.footprint.rom,
            rom_weights=m.footprint.weights,
            rom_code=m.footprint.code,
            ram_total=m.footprint.ram,
            ram_arena=program.plan.arena_bytes,
            ram_static=m.footprint.ram_static - program.plan.arena_bytes,
            ram_stack=m.footprint.stack,
            ram_stack_used=m.stack_used,
        ),
        layers=tuple(
            LayerCost(layer.name, ", ".join(layer.kernels), layer.macs, cost.cycles, cost.low, cost.high)
            for layer, cost in zip(program.layers, m.layers, strict=True)
        ),
    )


def check(
    path: Path,
    overrides: Sequence[str],
    console: Console,
    model: str | None = None,
    run: int | None = None,
    board: str | None = None,
    vectors: int | None = None,
    port: str | None = None,
) -> bool:
    """Compare reference, host C and board tensor by tensor and print one line each; True when all agree."""
    experiment, prepared, items = prepare_experiment(path, overrides)
    boards = [load_board(name) for name in ([board] if board else experiment.deploy.target)]
    x = prepared.x_test[: experiment.evaluate.limit]
    few = x[spread(len(x), vectors or experiment.evaluate.vectors)]
    good = True
    for item in select(items, model, run):
        prepare_deploy(experiment, prepared, item)
        compiled = compile_variant(experiment, prepared, item)
        host = build_host(compiled.program, item.folder / "host")
        labels = prepared.y_test[: len(x)]
        found = evaluate_host(compiled, host, x, labels).difference
        good &= tell(console, f"{item.name}: host C, {len(x)} vectors, every tensor", found)
        for target in boards:
            elf = image_of(experiment, item, target)
            found = compare_board(compiled, host, elf, target, few, port)
            good &= tell(console, f"{item.name}: {target.name}, {len(few)} vectors, every layer", found)
    return good


def tell(console: Console, what: str, difference: Difference | None) -> bool:
    console.print(f"{what}: {'equal' if difference is None else difference}")
    return difference is None


def compare_board(
    compiled: Compiled, host: HostModel, elf: Path, board: Board, x: Array, port: str | None
) -> Difference | None:
    """The first layer and element in which the board's outputs differ from host C's, vector by vector.

    Layers are compared by CRC-32; the tensor of the first that differs is fetched from the board.
    """
    program = compiled.program
    stored = list(reference.stored(compiled.quantized, [x]))
    wanted = host.trace(stored)
    with connect(load_image(elf), board, port, count_cycles=False) as link:
        for number, vector in enumerate(pack(stored, program.inputs)):
            for layer, traced in zip(program.layers, link.trace(bytes(vector))[1], strict=True):
                tensor = wanted[layer.tensor][number]
                if traced.crc == zlib.crc32(np.ascontiguousarray(tensor).tobytes()):
                    continue
                data = np.frombuffer(link.tensor(layer.index, bytes(vector)), tensor.dtype)
                found = first_difference(
                    {layer.tensor: tensor[None]}, {layer.tensor: data.reshape(1, *tensor.shape)}
                )
                return None if found is None else replace(found, vector=number)
    return None
