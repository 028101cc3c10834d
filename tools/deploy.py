"""From trained models to generated C: the variants of an experiment and what each is generated from.

build/<experiment>/<model>/run<k>/<type>/ holds the generated library (nn_model/) and, per board, the
firmware that was built around it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from .boards.board import load_board
from .codegen.emit import emit
from .codegen.formats import Array
from .codegen.pipeline import Compiled, Scheme, compile_graph, compile_model
from .codegen.quantize.calibration import spread
from .codegen.render import render
from .errors import UserError
from .experiment import Affine as AffineSection
from .experiment import Experiment, load_experiment
from .experiment import FixedPoint as FixedPointSection
from .files import code_key, key_of, write_text
from .selection import Chooser, Goal, Limits, Selection, selection_key
from .train import qat
from .train.stages import PreparedData, TrainedModel, preprocess_data, train


@dataclass(frozen=True)
class Variant:
    """One trained model in one number type."""

    model: TrainedModel
    type: str
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.model.name}/run{self.model.run}/{self.type}"

    @property
    def library(self) -> Path:
        """The generated library."""
        return self.folder / "nn_model"


def variants(experiment: Experiment, trained: Sequence[TrainedModel]) -> list[Variant]:
    """Every trained model in every type that [deploy] asks for."""
    return [
        Variant(model, kind, model.path.parent / kind)
        for model in trained
        for kind in experiment.deploy.quantize
    ]


def scheme_of(experiment: Experiment, kind: str) -> Scheme | None:
    """How to quantize to a type, from its [quantization.<type>] section; None for float32."""
    section = experiment.quantization[kind]
    return section.scheme() if isinstance(section, (FixedPointSection, AffineSection)) else None


def calibration_of(experiment: Experiment, kind: str, prepared: PreparedData) -> list[Array]:
    """The training vectors that ranges are taken from, evenly spaced; none for float32."""
    section = experiment.quantization[kind]
    if not isinstance(section, (FixedPointSection, AffineSection)):
        return []
    x = prepared.x_train
    return [x[spread(len(x), section.calibration_vectors)]]


def goal_of(experiment: Experiment) -> Goal:
    """What kernels are chosen for: the first target, its clock, the aim and the limits of [deploy]."""
    deploy = experiment.deploy
    board = load_board(deploy.target[0])
    return Goal(
        deploy.optimize,
        Limits(deploy.rom_bytes, deploy.ram_bytes, deploy.ms),
        board,
        deploy.clock_hz or board.default_clock_hz,
        deploy.measure,
    )


def compile_variant(experiment: Experiment, prepared: PreparedData, variant: Variant) -> Compiled:
    """Run the generator for one variant; calibrates with training vectors."""
    return compile_and_choose(experiment, prepared, variant)[0]


def compile_and_choose(
    experiment: Experiment, prepared: PreparedData, variant: Variant
) -> tuple[Compiled, Selection]:
    """Run the generator for one variant, and tell how its kernels were chosen."""
    scheme = scheme_of(experiment, variant.type)
    calibration = calibration_of(experiment, variant.type, prepared)
    name = f"{experiment.bench.name}/{variant.name}"
    tuned = tuned_of(experiment, variant)
    chooser = Chooser(goal_of(experiment))
    compiled = compile_model(
        variant.model.path,
        name,
        scheme,
        calibration,
        experiment.deploy.prefix,
        frozen=None if tuned is None else tuned.frozen,
        optimize=experiment.deploy.optimize,
        chooser=chooser,
    )
    return compiled, chooser.selection


def tuned_of(experiment: Experiment, variant: Variant) -> qat.Tuned | None:
    """What quantization-aware training made of a variant; None where there is none for its type.

    Raises UserError where there is one and it has not been done.
    """
    if all(step.type != variant.type for step in experiment.quantization_aware_training):
        return None
    tuned = qat.read(variant.model.path.parent, variant.type)
    if tuned is None:
        raise UserError(
            variant.folder, "quantization-aware training left nothing here", "run `microai train`"
        )
    return tuned


def generation_key(experiment: Experiment, prepared: PreparedData, variant: Variant) -> str:
    """Hash of all that decides the generated files of a variant."""
    section = experiment.quantization[variant.type]
    tuned = tuned_of(experiment, variant)
    return key_of(
        tuned=None if tuned is None else tuned.key,
        model=hashlib.sha256(variant.model.path.read_bytes()).hexdigest(),
        data=prepared.sha256,
        name=f"{experiment.bench.name}/{variant.name}",
        type=variant.type,
        section=section.model_dump(),
        prefix=experiment.deploy.prefix,
        kernels=selection_key(goal_of(experiment)),
        code=generator_key(),
    )


def generator_key() -> str:
    """Hash of the generator: its code, templates and table of kernels, and the libraries that it computes with."""
    package = Path(__file__).resolve().parent / "codegen"
    modules = [
        ".".join((__package__, *path.relative_to(package.parent).with_suffix("").parts))
        for path in package.rglob("*.py")
    ]
    text = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(package.rglob("*.j2"))))
    text.update((package.parents[1] / "lib/nn_runtime/nn_kernels.def").read_bytes())
    return key_of(
        code=code_key(*modules, f"{__package__}.selection", f"{__package__}.kernel_costs"),
        text=text.hexdigest(),
        numpy=version("numpy"),
        jinja=version("jinja2"),
    )


def prepare_deploy(
    experiment: Experiment, prepared: PreparedData, variant: Variant, out: Path | None = None
) -> bool:
    """Generate the C of a variant into its folder, or into `out`; False when it was there already.

    A key beside the files says what they were made from; with an equal key nothing is imported or computed.
    """
    folder = variant.library if out is None else out
    key = generation_key(experiment, prepared, variant)
    stamp = folder / "key"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == key:
        return False
    program = compile_variant(experiment, prepared, variant).program
    write_text(stamp, "generating\n")  # a run that is killed from here on leaves no valid key
    emit({**render(program), "key": key}, folder)
    return True


def tune(
    experiment: Experiment, prepared: PreparedData, trained: Sequence[TrainedModel]
) -> list[tuple[TrainedModel, qat.Tuned]]:
    """Quantization-aware training of every trained model, in the types that it is asked for and [deploy] uses."""
    tuned = []
    for model in trained:
        for step in experiment.quantization_aware_training:
            if step.type in experiment.deploy.quantize:
                scheme = scheme_of(experiment, step.type)
                assert scheme is not None  # the experiment reader's check
                calibration = calibration_of(experiment, step.type, prepared)
                tuned.append((model, qat.tune(experiment, prepared, model, step, scheme, calibration)))
    return tuned


def prepare_experiment(
    path: Path, overrides: Sequence[str]
) -> tuple[Experiment, PreparedData, list[Variant]]:
    """Load an experiment, prepare its data, train or load its models; what is done already is not done again."""
    experiment = load_experiment(path, overrides)
    prepared = preprocess_data(experiment)
    trained = train(experiment, prepared)
    tune(experiment, prepared, trained)
    return experiment, prepared, variants(experiment, trained)


def select(items: Sequence[Variant], model: str | None = None, run: int | None = None) -> list[Variant]:
    """The variants of one model and run; without a name, of the first. Raises UserError for an unknown one."""
    name = items[0].model.name if model is None else model
    number = items[0].model.run if run is None else run
    chosen = [item for item in items if item.model.name == name and item.model.run == number]
    if not chosen:
        known = sorted({f"{item.model.name} run {item.model.run}" for item in items})
        raise UserError("experiment", f"has no model {name} run {number}", f"choose from {', '.join(known)}")
    return chosen


def choose_untrained(
    path: Path, overrides: Sequence[str], kind: str, model: str | None
) -> tuple[str, Selection]:
    """How kernels are chosen for the first (or the named) model of an experiment in a type, with random weights."""
    from .profile import untrained_model

    settings, name, graph, x = untrained_model(path, overrides, kind, model)
    scheme = scheme_of(settings, kind)
    chooser = Chooser(goal_of(settings))
    compile_graph(graph, scheme, [] if scheme is None else [x], settings.deploy.prefix, chooser=chooser)
    return name, chooser.selection
