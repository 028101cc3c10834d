"""The experiment file: one TOML file that says everything, from the data set to the board.

docs/experiments.md describes each key. Sections have the names of the paper's successor; sections for which
there is no feature here are not accepted.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from .boards.board import board_names
from .codegen.choose import Optimize
from .codegen.quantize.affine import AffineScheme
from .codegen.quantize.fixed_point import FixedPoint as FixedPointScheme
from .codegen.quantize.fixed_point import Widths
from .codegen.requant import Rounding as RoundingMode
from .errors import UserError
from .toml import load_toml
from .train.augmentation import AUGMENTATIONS, AugmentationKind
from .train.dataset import DatasetKind
from .train.datasets import DATASETS
from .train.model import ModelKind
from .train.models import MODELS
from .train.optimizer import OPTIMIZERS, SCHEDULERS, Optimizer
from .train.postprocessing import POSTPROCESSING, PostprocessingKind, QuantizationAwareTraining
from .train.preprocessing import PREPROCESSING, PreprocessingKind
from .train.section import Component, Section, nearest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Bits = Annotated[int, Field(ge=2, le=16)]
Rounding = Literal["nearest", "floor", "trunc"]

# Names become folders under build/ and parts of `--set` paths, hence no separators and no dots.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


class Bench(Section):
    """[bench]: the experiment as a whole.

    name: folder under build/. seed: of everything random. Run k (first_run..last_run) trains with seed + k.
    """

    name: Name
    seed: Annotated[int, Field(ge=0)] = 0
    first_run: Annotated[int, Field(ge=1)] = 1
    last_run: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _runs_in_order(self) -> Bench:
        if self.last_run < self.first_run:
            raise ValueError("last_run must not be below first_run")
        return self

    @property
    def runs(self) -> range:
        """The numbers of the runs."""
        return range(self.first_run, self.last_run + 1)


class LearningFramework(Section):
    """[learningframework]: what trains the models."""

    kind: Literal["keras"] = "keras"


class Model(Component[ModelKind]):
    """[[model]], after the keys of [model_template] that it does not override have been filled in.

    load: path of a .keras or .h5 file, from the current folder; that model is taken as it is instead of
    training one. epochs: 0 leaves it untrained, for quantization-aware training from scratch. disabled: left
    out.
    """

    name: Name
    epochs: Annotated[int, Field(ge=0)] | None = None
    batch_size: Annotated[int, Field(ge=1)] = 32
    load: str | None = None
    optimizer: Optimizer | None = None
    disabled: bool = False

    @model_validator(mode="after")
    def _trainable(self) -> Model:
        if self.load is None and (self.epochs is None or self.optimizer is None):
            raise ValueError("needs epochs and an optimizer, or load")
        return self


class QuantizationKind(Section):
    """[quantization.<type>]: how a type of number is used; `kind` there names a subclass in QUANTIZATIONS."""


class LayerWidths(Section):
    """[quantization.<type>.layers.<layer>]: widths of one layer in bits; None is the type's.

    weights_bits: of its weights. activations_bits: of its output (an input of the model has one too).
    """

    weights_bits: Bits | None = None
    activations_bits: Bits | None = None


class FixedPoint(QuantizationKind):
    """kind = "fixed_point": real = q * 2^-frac.

    weights_bits, activations_bits: widths. layers: other widths for single layers.
    scale: "network" is one frac for all tensors, "layer" one for each layer's weights and one for its output,
    "filter" one for each filter's weights.
    frac: forced for the whole network (paper: 9 for int16, Q7.9); None is found from the calibration vectors.
    unsigned: outputs of ReLU have no sign bit and one more bit of precision, where their readers allow it.
    packed: weights of other widths than 8 and 16 bits take that many bits of flash; false: 8 or 16, and faster.
    weights_rounding: of float weights to integers, when generating; the paper truncates; "adaptive": not each
    for itself, but so that the layer's output keeps its values over the calibration vectors.
    activations_rounding: of accumulators to outputs, on the target.
    calibration_vectors: how many training vectors the ranges of activations are taken from, evenly
    spaced in the training part; None is all.
    calibration: where a range ends: "minmax", "percentile" (of magnitudes, percentile), "mse", "kl".
    weights_calibration: "minmax", or "mse": large weights saturate where that makes the mean square error less.
    bias_correction: the mean error of weights and inputs is taken out of each bias.
    equalization: factors are moved between layers until their channels have equal ranges.
    """

    weights_bits: Bits = 8
    activations_bits: Bits = 8
    scale: Literal["network", "layer", "filter"] = "layer"
    frac: Annotated[int, Field(ge=-16, le=31)] | None = None
    unsigned: bool = False
    packed: bool = True
    weights_rounding: Literal["nearest", "floor", "trunc", "adaptive"] = "nearest"
    activations_rounding: Rounding = "nearest"
    calibration_vectors: Annotated[int, Field(ge=1)] | None = None
    calibration: Literal["minmax", "percentile", "mse", "kl"] = "minmax"
    percentile: Annotated[float, Field(gt=0, le=100)] = 99.99
    weights_calibration: Literal["minmax", "mse"] = "minmax"
    bias_correction: bool = False
    equalization: bool = False
    layers: Mapping[str, LayerWidths] = {}

    @model_validator(mode="after")
    def _can_be_made(self) -> FixedPoint:
        if self.frac is not None and self.scale != "network":
            raise ValueError('frac is one for the whole network: set scale = "network" or remove frac')
        try:
            self.scheme()
        except UserError as error:
            raise ValueError(f"{error.what}; {error.mend}") from None
        return self

    def scheme(self) -> FixedPointScheme:
        """What the generator is told."""
        adaptive = self.weights_rounding == "adaptive"
        return FixedPointScheme(
            bits=self.activations_bits,
            scale=self.scale,
            frac=self.frac,
            weight_rounding=RoundingMode["NEAREST" if adaptive else self.weights_rounding.upper()],
            rounding=RoundingMode[self.activations_rounding.upper()],
            weight_bits=self.weights_bits,
            unsigned=self.unsigned,
            packed=self.packed,
            calibration=self.calibration,
            percentile=self.percentile,
            weight_calibration=self.weights_calibration,
            bias_correction=self.bias_correction,
            equalization=self.equalization,
            adaptive=adaptive,
            layers={
                name: Widths(widths.weights_bits, widths.activations_bits)
                for name, widths in self.layers.items()
            },
        )


class Affine(QuantizationKind):
    """kind = "affine": real = scale * (q - zero point), TensorFlow Lite's specification.

    activations_bits: 8, or 16 (symmetric). Weights have 8, with a scale for each filter.
    calibration_vectors: how many training vectors the ranges of activations are taken from, evenly
    spaced in the training part; None is all.
    calibration: where a range ends: "minmax", "percentile" (of magnitudes, percentile), "mse", "kl".
    """

    activations_bits: Literal[8, 16] = 8
    calibration_vectors: Annotated[int, Field(ge=1)] | None = None
    calibration: Literal["minmax", "percentile", "mse", "kl"] = "minmax"
    percentile: Annotated[float, Field(gt=0, le=100)] = 99.99

    def scheme(self) -> AffineScheme:
        """What the generator is told."""
        return AffineScheme(self.activations_bits, self.calibration, self.percentile)


class Float(QuantizationKind):
    """kind = "float32": nothing to choose."""


QUANTIZATIONS: Mapping[str, type[QuantizationKind]] = {
    "fixed_point": FixedPoint,
    "affine": Affine,
    "float32": Float,
}

# The types that need no section, as the keys of one; a section of that name changes single keys.
TYPES: Mapping[str, Mapping[str, object]] = {
    "float32": {"kind": "float32"},
    "int16": {"weights_bits": 16, "activations_bits": 16, "scale": "network"},
    "int8": {"weights_bits": 8, "activations_bits": 8, "scale": "layer"},
    "affine8": {"kind": "affine", "activations_bits": 8},
    "affine16x8": {"kind": "affine", "activations_bits": 16},
}


class Deploy(Section):
    """[deploy]: what is generated, for which boards.

    target: names of folders under boards/; a single name may stand without brackets. quantize: the types to
    generate, float32, int16, int8, affine8, affine16x8 or names of [quantization] sections. clock_hz: core
    clock; None is the board's default. prefix: of all names in the generated C.
    optimize: what kernels are chosen for: "speed" fewest cycles, "size" least ROM, "ram" least RAM, "balanced"
    the least product of the three. rom_bytes, ram_bytes, ms: limits of the whole image and of one inference on
    the first target. measure: costs of kernels are measured on that target's virtual board; false: a rule.
    """

    target: Annotated[tuple[Name, ...], Field(min_length=1)] = ("nucleo_l452re",)
    quantize: Annotated[tuple[Name, ...], Field(min_length=1)] = ("int8",)
    clock_hz: Annotated[int, Field(ge=1)] | None = None
    prefix: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] = "model"
    optimize: Optimize = "speed"
    rom_bytes: Annotated[int, Field(ge=1)] | None = None
    ram_bytes: Annotated[int, Field(ge=1)] | None = None
    ms: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    measure: bool = True

    @field_validator("target", mode="before")
    @classmethod
    def _one_target(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _limits_are_measured(self) -> Deploy:
        limits = {"rom_bytes": self.rom_bytes, "ram_bytes": self.ram_bytes, "ms": self.ms}
        given = [name for name, limit in limits.items() if limit is not None]
        if given and not self.measure:
            raise ValueError(f"{given[0]} needs measured kernels: remove it or measure = false")
        return self


class Evaluate(Section):
    """[evaluate]: what is run.

    vectors: test vectors run on each board (paper: 50). limit: test vectors run on the host, the first ones
    of the test part; None is all.
    """

    vectors: Annotated[int, Field(ge=1)] = 50
    limit: Annotated[int, Field(ge=1)] | None = None


class Experiment(Section):
    """A whole experiment file. `model` holds all models; `models` those that are not disabled.

    `quantization` has every type of TYPES and of the file by name.
    """

    bench: Bench
    learningframework: LearningFramework = LearningFramework()
    dataset: Component[DatasetKind]
    preprocessing: tuple[Component[PreprocessingKind], ...] = ()
    data_augmentation: tuple[Component[AugmentationKind], ...] = ()
    postprocessing: tuple[Component[PostprocessingKind], ...] = ()
    model: Annotated[tuple[Model, ...], Field(min_length=1)]
    quantization: Mapping[Name, SerializeAsAny[QuantizationKind]]
    deploy: Deploy = Deploy()
    evaluate: Evaluate = Evaluate()

    @model_validator(mode="after")
    def _models_make_sense(self) -> Experiment:
        names = [model.name for model in self.model]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"two models have the name {min(twice)!r}")
        if not self.models:
            raise ValueError("all models are disabled")
        return self

    @property
    def quantization_aware_training(self) -> tuple[QuantizationAwareTraining, ...]:
        """The steps of [[postprocessing]] that train a type of numbers."""
        steps = (step.params for step in self.postprocessing)
        return tuple(step for step in steps if isinstance(step, QuantizationAwareTraining))

    @property
    def models(self) -> tuple[Model, ...]:
        """The models that are not disabled, in the file's order."""
        return tuple(model for model in self.model if not model.disabled)


def load_experiment(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment file, change it by `overrides` ("a.b=value"), check it.

    Raises UserError, naming file and key, for the first mistake found.
    """
    raw = load_toml(path)
    for override in overrides:
        _override(raw, override)
    merged = _merge_template(raw, path)
    checked = _frozen(merged)
    _resolve_kinds(checked, path, raw)
    try:
        experiment = Experiment.model_validate(checked)
    except ValidationError as error:
        raise _explain(error, Experiment, (), path, raw) from None
    _boards_exist(experiment.deploy, path)
    _trained_types_exist(experiment, path)
    for index, kind in enumerate(experiment.deploy.quantize):
        if kind not in experiment.quantization:
            where = f"{path}: deploy.quantize[{index}]"
            raise UserError(where, f"unknown type {kind!r}", nearest(kind, experiment.quantization))
    return experiment


def _trained_types_exist(experiment: Experiment, path: Path) -> None:
    integers = [name for name, section in experiment.quantization.items() if not isinstance(section, Float)]
    trained: list[str] = []
    for index, step in enumerate(experiment.postprocessing):
        if isinstance(step.params, QuantizationAwareTraining):
            where, kind = f"{path}: postprocessing[{index}].params.type", step.params.type
            if kind not in integers:
                raise UserError(where, f"{kind!r} is no type of integers", nearest(kind, integers))
            if kind in trained:
                raise UserError(where, f"{kind!r} is trained by an earlier step too", "remove one of them")
            trained.append(kind)


def _boards_exist(deploy: Deploy, path: Path) -> None:
    try:
        boards = board_names()
    except UserError:
        return  # no boards/ folder here: who only trains needs none, who deploys is told so then
    for target in deploy.target:
        if target not in boards:
            raise UserError(f"{path}: deploy.target", f"unknown board {target!r}", nearest(target, boards))


def _override(raw: dict[str, Any], override: str) -> None:
    """Set one value: "a.b=value". A list element is named by its number, a [[model]] also by its name."""
    key, equals, text = override.partition("=")
    where = f"--set {override}"
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts):
        raise UserError(
            where, "is not of the form key=value", "write for example --set model_template.epochs=3"
        )
    try:
        value = tomllib.loads(f"value = {text}")
        if list(value) != ["value"]:
            raise ValueError
    except ValueError:  # TOMLDecodeError is one
        raise UserError(
            where, f"{text!r} is not a TOML value", f"text needs quotes: --set '{key}=\"{text}\"'"
        ) from None
    at: Any = raw
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        if isinstance(at, list):
            index = _element(at, part)
            if index is None:
                names = [str(e["name"]) for e in at if isinstance(e, dict) and "name" in e]
                near = ", ".join([*(str(i) for i in range(len(at))), *names])
                raise UserError(
                    where, f"{'.'.join(parts[:depth])} has no element {part!r}", f"there are: {near}"
                )
            if last:
                at[index] = value["value"]
            else:
                at = at[index]
        elif isinstance(at, dict):
            if last:
                at[part] = value["value"]
            else:
                at = at.setdefault(part, {})
        else:
            raise UserError(where, f"{'.'.join(parts[:depth])} is a value, not a table", "shorten the key")


def _element(items: list[Any], part: str) -> int | None:
    if part.isdecimal() and int(part) < len(items):
        return int(part)
    return next((i for i, e in enumerate(items) if isinstance(e, dict) and e.get("name") == part), None)


def _merge_template(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """[model_template] below each [[model]]; without any [[model]] it is the only one, named by its kind."""
    merged = {key: value for key, value in raw.items() if key != "model_template"}
    template = raw.get("model_template", {})
    if not isinstance(template, dict):
        raise UserError(f"{path}: model_template", "is not a table", "write it as [model_template]")
    for key, mend in (("name", "name each [[model]]"), ("disabled", "disable each [[model]]")):
        if key in template:
            raise UserError(f"{path}: model_template.{key}", "does not belong to the template", mend)
    if "model" not in raw and template:
        merged["model"] = [{**template, "name": template.get("kind", "model")}]
    elif isinstance(raw.get("model"), list):
        merged["model"] = [_merge(template, model) for model in raw["model"]]
    return merged


def _merge(template: object, model: object) -> Any:
    """`model` over `template`, table by table; `params` of another kind are not inherited."""
    if not isinstance(template, dict) or not isinstance(model, dict):
        return model
    if "kind" in model and model["kind"] != template.get("kind"):
        template = {key: value for key, value in template.items() if key != "params"}
    return {
        **template,
        **{key: _merge(template[key], value) if key in template else value for key, value in model.items()},
    }


def _frozen(value: Any) -> Any:
    """TOML lists as tuples: what is read cannot change, and strict validation takes them."""
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


_Path = tuple[int | str, ...]


def _resolve_kinds(raw: dict[str, Any], path: Path, written: dict[str, Any]) -> None:
    """Replace each `params` table by the registry entry that `kind` names, in place."""
    _resolve(raw, ("dataset",), DATASETS, path, written)
    lists: tuple[tuple[str, Mapping[str, type[Section]]], ...] = (
        ("preprocessing", PREPROCESSING),
        ("data_augmentation", AUGMENTATIONS),
        ("postprocessing", POSTPROCESSING),
        ("model", MODELS),
    )
    for key, registry in lists:
        for index in range(len(raw[key]) if isinstance(raw.get(key), tuple) else 0):
            if key == "postprocessing":
                _resolve(raw, (key, index, "params", "optimizer"), OPTIMIZERS, path, written)
                _resolve(raw, (key, index, "params", "optimizer", "scheduler"), SCHEDULERS, path, written)
            _resolve(raw, (key, index), registry, path, written)
            if key == "model":
                _resolve(raw, (key, index, "optimizer"), OPTIMIZERS, path, written)
                _resolve(raw, (key, index, "optimizer", "scheduler"), SCHEDULERS, path, written)
    raw["quantization"] = _resolve_types(raw.get("quantization", {}), path, written)


def _resolve_types(tables: object, path: Path, written: dict[str, Any]) -> object:
    """Every type of TYPES and of [quantization] as the entry of QUANTIZATIONS that its `kind` names."""
    if not isinstance(tables, dict):
        return tables  # the validation of the whole tells so
    sections: dict[str, QuantizationKind] = {}
    for name in {**TYPES, **tables}:
        table = tables.get(name, {})
        at: _Path = ("quantization", name)
        if not isinstance(table, dict):
            raise UserError(_where(path, at, written), f"expected a table, got {table!r}", "correct it")
        table = {"kind": "fixed_point", **TYPES.get(name, {}), **table}
        word = table.pop("kind")
        kind = QUANTIZATIONS.get(word) if isinstance(word, str) else None
        if kind is None:
            where = _where(path, (*at, "kind"), written)
            raise UserError(where, f"unknown kind {word!r}", nearest(str(word), QUANTIZATIONS))
        try:
            sections[name] = kind.model_validate(table)
        except ValidationError as error:
            raise _explain(error, kind, at, path, written) from None
    return sections


def _resolve(
    raw: dict[str, Any], at: _Path, registry: Mapping[str, type[Section]], path: Path, written: dict[str, Any]
) -> None:
    table = _lookup(raw, at)
    if not isinstance(table, dict) or not isinstance(table.get("kind"), str):
        return  # absent or of the wrong type: the validation of the whole tells so
    kind = registry.get(table["kind"])
    if kind is None:
        raise UserError(
            _where(path, (*at, "kind"), written),
            f"unknown kind {table['kind']!r}",
            nearest(table["kind"], registry),
        )
    try:
        table["params"] = kind.model_validate(table.get("params", {}))
    except ValidationError as error:
        raise _explain(error, kind, (*at, "params"), path, written) from None


def _lookup(raw: object, at: _Path) -> object:
    for part in at:
        if isinstance(part, int):
            raw = raw[part] if isinstance(raw, (tuple, list)) and part < len(raw) else None
        else:
            raw = raw.get(part) if isinstance(raw, dict) else None
    return raw


def _where(path: Path, at: _Path, written: dict[str, Any]) -> str:
    """File and key, where the user wrote it: what a model inherited stands in the template."""
    if at[:1] == ("model",) and "model" not in written and "model_template" in written:
        at = ("model_template", *at[2:])
    elif len(at) > 2 and at[0] == "model" and _lookup(written, at) is None:
        inherited: _Path = ("model_template", *at[2:])
        table_is_inherited = (
            _lookup(written, at[:-1]) is None and _lookup(written, inherited[:-1]) is not None
        )
        if table_is_inherited or _lookup(written, inherited) is not None:
            at = inherited
    key = ""
    for part in at:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else part
    return f"{path}: {key}" if key else str(path)


def _explain(
    error: ValidationError, root: type[Section], prefix: _Path, path: Path, written: dict[str, Any]
) -> UserError:
    """The first mistake as one line. Unknown keys come first: they explain missing ones."""
    details = sorted(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden")
    detail = details[0]
    where = _where(path, prefix + detail["loc"], written)
    if detail["type"] == "extra_forbidden":
        keys = _keys(root, detail["loc"][:-1])
        if not prefix and len(detail["loc"]) == 1:
            keys = [*keys, "model_template"]
        return UserError(where, "unknown key", nearest(str(detail["loc"][-1]), keys))
    if detail["type"] == "missing":
        return UserError(where, "is missing", "add it")
    return UserError(where, _complaint(detail), "correct it")


def _complaint(detail: ErrorDetails) -> str:
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    expected = {
        "model_type": "a table",
        "dict_type": "a table",
        "tuple_type": "a list",
        "too_short": "at least one element",
        "string_pattern_mismatch": f"text that matches {detail.get('ctx', {}).get('pattern')}",
    }.get(detail["type"], detail["msg"].removeprefix("Input should be "))
    return f"expected {expected}, got {detail['input']!r}"


def _keys(root: type[Section], at: _Path) -> list[str]:
    """The valid keys of the table at `at`, found by walking the types of the fields."""
    section = root
    for part in at:
        if part in section.model_fields:  # else it is a number of a list or a name of a mapping
            section = _section_of(section.model_fields[str(part)].annotation)
    return list(section.model_fields)


def _section_of(annotation: Any) -> type[Section]:
    """The section in `X`, `X | None`, `tuple[X, ...]` or `Mapping[str, X]`; none: `Section` itself."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    found = (_section_of(argument) for argument in getattr(annotation, "__args__", ()))
    return next((section for section in found if section is not Section), Section)
