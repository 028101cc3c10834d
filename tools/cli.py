"""The command `microai`: each stage alone, all of them with `run`, and the generator for a model of your own.

The paper's order of words works too: `microai EXPERIMENT.toml train`.
"""

from __future__ import annotations

import os
import sys
import zipfile
import zlib
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from .errors import UserError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
data_app = typer.Typer(no_args_is_help=True, help="Data sets: list them, fetch one.")
app.add_typer(data_app, name="data")
# Not a terminal: wide enough for the tables, whatever reads it.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)

ExperimentPath = Annotated[Path, typer.Argument(metavar="EXPERIMENT", help="experiment file, TOML")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="override a key of the experiment, e.g. model_template.epochs=3"
    ),
]
ModelName = Annotated[
    str | None, typer.Option("--model", help="name of a model of the experiment (default: the first)")
]
Run = Annotated[int | None, typer.Option("--run", help="number of the run (default: the first)")]


class Aim(Enum):
    """What kernels are chosen for."""

    speed = "speed"
    size = "size"
    ram = "ram"
    balanced = "balanced"


class Stage(Enum):
    """Stages after which a graph can be shown."""

    import_ = "import"
    simplify = "simplify"
    quantize = "quantize"
    plan = "plan"
    lower = "lower"


TypeOption = Annotated[
    str, typer.Option("--type", help="float32, int16, int8 or the name of a [quantization] section")
]


@app.command()
def run(
    experiment: ExperimentPath,
    set: Overrides = None,
    port: Annotated[
        str | None,
        typer.Option(help="serial port of a real board, e.g. /dev/ttyACM0 (default: the virtual board)"),
    ] = None,
) -> None:
    """All stages: data, training, generation, firmware, evaluation, report."""
    _deploy_and_evaluate(experiment, set, port)


@app.command()
def preprocess_data(experiment: ExperimentPath, set: Overrides = None) -> None:
    """Load and preprocess the data set of an experiment."""
    from .experiment import load_experiment
    from .train.stages import preprocess_data as preprocess

    prepared = preprocess(load_experiment(experiment, set or ()))
    shapes = ", ".join(
        f"{name} {getattr(prepared, f'x_{name}').shape}" for name in ("train", "valid", "test")
    )
    console.print(f"{prepared.path}: {shapes}, {len(prepared.classes)} classes")


@app.command()
def train(experiment: ExperimentPath, set: Overrides = None) -> None:
    """Train all models of an experiment, or load those that are trained already."""
    from .deploy import tune
    from .experiment import load_experiment
    from .train.stages import preprocess_data as preprocess
    from .train.stages import train as train_all

    settings = load_experiment(experiment, set or ())
    prepared = preprocess(settings)
    models = train_all(settings, prepared)
    for model in models:
        console.print(
            f"{model.path}: {model.parameters} parameters, float32 test accuracy {100 * model.test_accuracy:.2f} %"
        )
    for _, tuned in tune(settings, prepared, models):
        console.print(f"{tuned.path}: {tuned.type} test accuracy {100 * tuned.test_accuracy:.2f} %")


@app.command()
def prepare_deploy(experiment: ExperimentPath, set: Overrides = None) -> None:
    """Quantize all models of an experiment and generate their C."""
    from .deploy import prepare_deploy as prepare
    from .deploy import prepare_experiment

    settings, prepared, items = prepare_experiment(experiment, set or ())
    for variant in items:
        made = prepare(settings, prepared, variant)
        console.print(f"{variant.library}: {'generated' if made else 'up to date'}")


@app.command()
def deploy_and_evaluate(
    experiment: ExperimentPath,
    set: Overrides = None,
    port: Annotated[str | None, typer.Option(help="serial port of a real board")] = None,
) -> None:
    """Build the firmware, run it on the boards, report."""
    _deploy_and_evaluate(experiment, set, port)


def _deploy_and_evaluate(path: Path, overrides: Sequence[str] | None, port: str | None) -> None:
    from .evaluate import deploy_and_evaluate as deploy
    from .report.terminal import print_layers, print_report

    report, location, cached = deploy(path, overrides or (), console, port)
    print_report(console, report)
    for result in report.results:
        if result.run == report.results[0].run:  # other runs take the same cycles, but for clamps
            print_layers(console, result)
    console.print(f"{'nothing changed since ' if cached else 'wrote '}{location}")
    if not all(result.bits_equal_host and result.bits_equal_board for result in report.results):
        raise UserError(location, "reference, host and board do not agree", "see `microai check`")


@app.command()
def check(
    experiment: ExperimentPath,
    set: Overrides = None,
    model: ModelName = None,
    run: Run = None,
    board: Annotated[
        str | None, typer.Option(help="one board (default: all targets of the experiment)")
    ] = None,
    vectors: Annotated[
        int | None, typer.Option(min=1, help="vectors on each board (default: as the experiment says)")
    ] = None,
    port: Annotated[str | None, typer.Option(help="serial port of a real board")] = None,
) -> None:
    """Compare reference, host C and board tensor by tensor; name the first layer and element that differ."""
    from .evaluate import check as check_all

    if not check_all(experiment, set or (), console, model, run, board, vectors, port):
        raise typer.Exit(1)


@app.command()
def show(
    experiment: ExperimentPath,
    stage: Annotated[Stage, typer.Option(help="after which stage")] = Stage.quantize,
    type: TypeOption = "int8",
    set: Overrides = None,
    model: ModelName = None,
    run: Run = None,
    plot: Annotated[
        Path | None, typer.Option(help="of stage plan: draw the arena over time (.png, .svg, .pdf)")
    ] = None,
) -> None:
    """Print the graph of a model as a table after a stage."""
    from .deploy import compile_variant, prepare_experiment, select
    from .report import terminal

    settings, prepared, items = prepare_experiment(experiment, [*(set or ()), f'deploy.quantize=["{type}"]'])
    compiled = compile_variant(settings, prepared, select(items, model, run)[0])
    match stage:
        case Stage.import_:
            terminal.print_graph(console, compiled.imported, "import")
        case Stage.simplify:
            terminal.print_graph(console, compiled.simplified, "simplify")
        case Stage.quantize:
            terminal.print_graph(console, compiled.quantized, "quantize")
        case Stage.plan:
            terminal.print_plan(console, compiled.program)
            if plot is not None:
                from .report.memory import plot_memory

                plot_memory(compiled.program, plot)
        case Stage.lower:
            terminal.print_program(console, compiled.program)


@app.command()
def choose(
    experiment: ExperimentPath,
    type: Annotated[
        str | None, typer.Option("--type", help="one type (default: all that [deploy] has)")
    ] = None,
    board: Annotated[str | None, typer.Option(help="the board (default: the first target)")] = None,
    untrained: Annotated[
        bool, typer.Option("--untrained", help="random weights, no data set, no training")
    ] = False,
    set: Overrides = None,
    model: ModelName = None,
    run: Run = None,
    json: Annotated[Path | None, typer.Option("--json", help="write the figures to this file")] = None,
) -> None:
    """Which kernel computes each layer, what it beat, and why."""
    from . import deploy
    from .experiment import load_experiment
    from .report import choices

    overrides = [*(set or ())]
    overrides += [f'deploy.quantize=["{type}"]'] if type is not None else []
    overrides += [f'deploy.target=["{board}"]'] if board is not None else []
    if untrained:
        kinds = load_experiment(experiment, overrides).deploy.quantize
        found = [deploy.choose_untrained(experiment, overrides, kind, model) for kind in kinds]
    else:
        settings, prepared, items = deploy.prepare_experiment(experiment, overrides)
        found = [
            (variant.name, deploy.compile_and_choose(settings, prepared, variant)[1])
            for variant in deploy.select(items, model, run)
        ]
    for name, selection in found:
        choices.print_selection(console, name, selection)
    if json is not None:
        choices.write(found, json)


@app.command()
def quantize(
    experiment: ExperimentPath,
    report: Annotated[
        bool, typer.Option("--report", help="explain one type layer by layer, and try others")
    ] = False,
    type: Annotated[
        str | None, typer.Option("--type", help="type to report on (default: the first of integers)")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="write a plot of the report: .png, .svg or .pdf")] = None,
    vectors: Annotated[int, typer.Option(min=1, help="test vectors of the report")] = 512,
    set: Overrides = None,
    model: ModelName = None,
    run: Run = None,
) -> None:
    """Accuracy of every type in numpy, without C; with --report what quantization does to each layer."""
    from .deploy import prepare_experiment, select
    from .quantize import compare_types, explain

    overrides = [*(set or ()), *([f'deploy.quantize=["{type}"]'] if type is not None else [])]
    settings, prepared, items = prepare_experiment(experiment, overrides)
    if report or plot is not None:
        explain(settings, prepared, select(items, model, run), console, vectors, plot)
    else:
        compare_types(settings, prepared, items, console)


@app.command()
def build(
    experiment: ExperimentPath,
    out: Annotated[Path, typer.Option(help="folder of the generated library")] = Path("lib/nn_model"),
    type: TypeOption = "int8",
    model: ModelName = None,
    run: Run = None,
    board: Annotated[str | None, typer.Option(help="check that the model fits this board")] = None,
    set: Overrides = None,
) -> None:
    """Train or load one model and generate its C; does nothing when nothing changed. Used by `pio run`."""
    from .boards.board import load_board
    from .deploy import prepare_deploy as prepare
    from .deploy import prepare_experiment, select
    from .firmware import check_memory

    settings, prepared, items = prepare_experiment(experiment, [*(set or ()), f'deploy.quantize=["{type}"]'])
    variant = select(items, model, run)[0]
    target = None if board is None else load_board(board)
    made = prepare(settings, prepared, variant, out)
    if target is not None:
        check_memory(out, target)
    console.print(f"{out}: {settings.bench.name}/{variant.name} {'generated' if made else 'up to date'}")


@app.command()
def generate(
    model: Annotated[Path, typer.Argument(help="trained model (.keras, .h5)")],
    out: Annotated[Path, typer.Option(help="folder of the generated library")],
    type: Annotated[str, typer.Option("--type", help="float32, int16, int8, affine8 or affine16x8")] = "int8",
    calibration: Annotated[
        Path | None, typer.Option(help=".npz or .npy with real inputs, N samples first, one array per input")
    ] = None,
    scale: Annotated[str, typer.Option(help='"layer", "filter" or "network"')] = "layer",
    frac: Annotated[
        int | None, typer.Option(help="fraction bits for the whole network (with --scale network)")
    ] = None,
    rounding: Annotated[
        str, typer.Option(help="of weights and of outputs: nearest, floor or trunc")
    ] = "nearest",
    prefix: Annotated[
        str, typer.Option(help="of all C names; a different one for each model in an image")
    ] = "model",
    remove_softmax: Annotated[bool, typer.Option(help="leave out a softmax at the end")] = False,
    optimize: Annotated[
        Aim, typer.Option(help="kernels: fewest cycles, least ROM, least RAM, or the least product of these")
    ] = Aim.speed,
    board: Annotated[
        str | None,
        typer.Option(help="measure kernels on this board's virtual twin; check that the model fits"),
    ] = None,
) -> None:
    """Generate C from a model of your own, without an experiment."""
    from .boards.board import load_board
    from .codegen.emit import emit
    from .codegen.pipeline import compile_model, scheme_for
    from .codegen.render import render
    from .firmware import check_memory
    from .selection import Chooser, Goal, Limits

    target = None if board is None else load_board(board)
    chooser = None
    if target is not None:
        chooser = Chooser(Goal(optimize.value, Limits(), target, target.default_clock_hz))
    scheme = scheme_for(type, scale, frac, rounding)
    arrays = [] if calibration is None else load_calibration(calibration)
    program = compile_model(
        model,
        model.stem,
        scheme,
        arrays,
        prefix,
        remove_softmax,
        optimize=optimize.value,
        chooser=chooser,
    ).program
    emit(render(program), out)
    if target is not None:
        check_memory(out, target)
    console.print(
        f"{out}: {len(program.layers)} layers, {program.macs} MACs, weights {program.weights_bytes} bytes, "
        f"arena {program.plan.arena_bytes} bytes"
    )


def load_calibration(path: Path) -> list[np.ndarray]:
    """The arrays of an .npz (in the file's order) or the one of an .npy. Raises UserError for anything else."""
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = [loaded] if isinstance(loaded, np.ndarray) else [loaded[name] for name in loaded.files]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            path, f"is not readable as .npz or .npy ({error})", "save it with numpy.savez"
        ) from None
    if not all(np.issubdtype(array.dtype, np.number) for array in arrays):
        raise UserError(path, "has an array that is not of numbers", "save only the model's inputs")
    return [array.astype(np.float32) for array in arrays]


@app.command()
def profile(
    subject: Annotated[
        Path,
        typer.Argument(
            metavar="EXPERIMENT|MODEL|IMAGE", help="experiment (.toml), model (.keras, .h5) or image (.elf)"
        ),
    ],
    board: Annotated[str, typer.Option(help="the board that is emulated")],
    type: TypeOption = "int8",
    untrained: Annotated[
        bool, typer.Option("--untrained", help="of an experiment: random weights, no data set, no training")
    ] = False,
    set: Overrides = None,
    model: ModelName = None,
    calibration: Annotated[
        Path | None, typer.Option(help="of a model file: .npz or .npy with inputs (default: random ones)")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="write the figures to this file")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="draw cycles by layer and memory over time (.png, .svg, .pdf)")
    ] = None,
    top: Annotated[int, typer.Option(min=0, help="show so many of the most expensive blocks")] = 0,
    rate: Annotated[
        float | None, typer.Option(min=0.0, help="inferences a second: mean current and battery life")
    ] = None,
    battery: Annotated[
        float, typer.Option(min=0.0, help="capacity of the battery in mAh (with --rate)")
    ] = 225.0,
    max_seconds: Annotated[float, typer.Option(help="give up on an image after this time")] = 300.0,
) -> None:
    """What a network costs on a board: cycles by layer and function, energy, ROM, RAM, stack."""
    from . import profile as profiler
    from .boards.board import load_board
    from .report.profile import plot_profile, print_profile

    target = load_board(board)
    kind = subject.suffix
    for given, wanted, name in (
        (untrained or bool(set) or model is not None, ".toml", "--untrained, --set and --model are"),
        (calibration is not None, None, "--calibration is"),
    ):
        if given and (kind != wanted if wanted else kind in (".toml", ".elf")):
            raise UserError(
                subject, f"{name} not for it", f"give {'an experiment' if wanted else 'a model file'}"
            )
    if kind == ".toml":
        made = profiler.of_experiment(subject, set or (), type, target, model, untrained)
    elif kind in (".keras", ".h5", ".hdf5"):
        arrays = [] if calibration is None else load_calibration(calibration)
        made = profiler.of_model(subject, type, arrays, target, target.default_clock_hz)
    else:
        made = profiler.of_image(subject, target)
    found = profiler.profile(made, max_seconds)
    print_profile(console, found, top, rate, battery)
    if json is not None:
        profiler.write(found, json)
    if plot is not None:
        plot_profile(found, made.program, plot)


@app.command()
def bench(
    board: Annotated[str, typer.Option(help="the board that is emulated")] = "nucleo_l452re",
    clock: Annotated[int | None, typer.Option(help="core clock in Hz (default: the board's)")] = None,
    type: Annotated[list[str] | None, typer.Option("--type", help="types (default: four)")] = None,
    filters: Annotated[list[int] | None, typer.Option(help="widths of the network (default: 16, 80)")] = None,
    optimize: Annotated[list[Aim] | None, typer.Option(help="what kernels are chosen for")] = None,
    peer: Annotated[bool, typer.Option(help="run Qualia-CodeGen too where it is installed")] = True,
    json: Annotated[Path | None, typer.Option("--json", help="write the figures to this file")] = None,
) -> None:
    """The paper's network in this engine beside other systems: cycles, time, ROM, RAM, ratios."""
    from . import bench as benchmark
    from .boards.board import load_board

    target = load_board(board)
    with console.status("") as status:
        found = benchmark.run(
            target,
            clock or target.default_clock_hz,
            type or benchmark.TYPES,
            filters or benchmark.FILTERS,
            [aim.value for aim in optimize or (Aim.speed,)],
            peer,
            status.update,
        )
    benchmark.print_bench(console, found)
    if json is not None:
        benchmark.write(found, json)


@data_app.command("list")
def data_list() -> None:
    """The data sets that experiments can name, and which of them are here."""
    from .train.datasets import status

    for name, problem in status().items():
        console.print(f"{name}: {'here' if problem is None else problem}", markup=False)


@data_app.command("fetch")
def data_fetch(name: Annotated[str, typer.Argument(help="name of the data set")]) -> None:
    """Download a data set and verify it; the only command that uses the network."""
    from .train.datasets import fetch

    folder = fetch(name)
    console.print(f"{name}: {'comes with an installed package' if folder is None else folder}", markup=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point; UserErrors become one line on standard error and exit code 1."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if len(words) > 1 and words[0].endswith(".toml"):
        words[:2] = [words[1].replace("_", "-"), words[0]]
    elif words:
        words[0] = words[0].replace("_", "-")
    try:
        app(words, prog_name="microai")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
