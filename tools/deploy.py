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

from .codegen.emit import emit, write_atomic
from .codegen.formats import Array
from .codegen.pipeline import Compiled, compile_model, scheme_for
from .codegen.quantize.fixed_point import FixedPoint
from .codegen.render import render
from .errors import UserError
from .experiment import Experiment, load_experiment
from .experiment import FixedPoint as FixedPointSection
from .train.files import code_key, key_of
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


def scheme_of(experiment: Experiment, kind: str) -> FixedPoint | None:
    """How to quantize to a type, from its [quantization.<type>] section; None for float32."""
    if kind == "float32":
        return None
    section: FixedPointSection = getattr(experiment.quantization, kind)
    return scheme_for(
        kind, section.scale, section.frac, section.weights_rounding, section.activations_rounding
    )


def compile_variant(experiment: Experiment, prepared: PreparedData, variant: Variant) -> Compiled:
    """Run the generator for one variant; calibrates with the first training vectors."""
    scheme = scheme_of(experiment, variant.type)
    calibration: list[Array] = []
    if scheme is not None:
        section: FixedPointSection = getattr(experiment.quantization, variant.type)
        calibration = [prepared.x_train[: section.calibration_vectors]]
    name = f"{experiment.bench.name}/{variant.name}"
    return compile_model(variant.model.path, name, scheme, calibration, experiment.deploy.prefix)


def generation_key(experiment: Experiment, prepared: PreparedData, variant: Variant) -> str:
    """Hash of all that decides the generated files of a variant."""
    section = getattr(experiment.quantization, variant.type)
    return key_of(
        model=hashlib.sha256(variant.model.path.read_bytes()).hexdigest(),
        data=prepared.sha256,
        name=f"{experiment.bench.name}/{variant.name}",
        type=variant.type,
        section=section.model_dump(),
        prefix=experiment.deploy.prefix,
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
        code=code_key(*modules), text=text.hexdigest(), numpy=version("numpy"), jinja=version("jinja2")
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
    write_atomic(stamp, "generating\n")  # a run that is killed from here on leaves no valid key
    emit({**render(program), "key": key}, folder)
    return True


def prepare_experiment(
    path: Path, overrides: Sequence[str]
) -> tuple[Experiment, PreparedData, list[Variant]]:
    """Load an experiment, prepare its data, train or load its models; what is done already is not done again."""
    experiment = load_experiment(path, overrides)
    prepared = preprocess_data(experiment)
    return experiment, prepared, variants(experiment, train(experiment, prepared))


def select(items: Sequence[Variant], model: str | None = None, run: int | None = None) -> list[Variant]:
    """The variants of one model and run; without a name, of the first. Raises UserError for an unknown one."""
    name = items[0].model.name if model is None else model
    number = items[0].model.run if run is None else run
    chosen = [item for item in items if item.model.name == name and item.model.run == number]
    if not chosen:
        known = sorted({f"{item.model.name} run {item.model.run}" for item in items})
        raise UserError("experiment", f"has no model {name} run {number}", f"choose from {', '.join(known)}")
    return chosen
