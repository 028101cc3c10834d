"""The experiment file: one TOML file that says everything, from the data set to the board.

docs/experiments.md describes each key. Sections have the names of the paper's successor; sections for which
there is no feature here are not accepted.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import Field, SerializeAsAny, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from .boards.board import board_names
from .errors import UserError
from .toml import load_toml
from .train.augmentation import AUGMENTATIONS, AugmentationKind
from .train.dataset import DatasetKind
from .train.datasets import DATASETS
from .train.model import ModelKind
from .train.models import MODELS
from .train.optimizer import OPTIMIZERS, SCHEDULERS, OptimizerKind, SchedulerKind
from .train.postprocessing import POSTPROCESSING, PostprocessingKind
from .train.preprocessing import PREPROCESSING, PreprocessingKind
from .train.section import Section, nearest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Number = Literal["float32", "int16", "int8"]
Rounding = Literal["nearest", "floor", "trunc"]

# Names become folders under build/ and parts of `--set` paths, hence no separators and no dots.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]

KindT = TypeVar("KindT", bound=Section)


class Component(Section, Generic[KindT]):
    """`kind` names an entry of a registry; `params` is that entry, made from the table of the same name."""

    kind: str
    params: SerializeAsAny[KindT]


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


class Optimizer(Component[OptimizerKind]):
    """[model_template.optimizer]"""

    scheduler: Component[SchedulerKind] | None = None


class Model(Component[ModelKind]):
    """[[model]], after the keys of [model_template] that it does not override have been filled in.

    load: path of a .keras or .h5 file, from the current folder; that model is taken as it is instead of
    training one. disabled: left out.
    """

    name: Name
    epochs: Annotated[int, Field(ge=1)] | None = None
    batch_size: Annotated[int, Field(ge=1)] = 32
    load: str | None = None
    optimizer: Optimizer | None = None
    disabled: bool = False

    @model_validator(mode="after")
    def _trainable(self) -> Model:
        if self.load is None and (self.epochs is None or self.optimizer is None):
            raise ValueError("needs epochs and an optimizer, or load")
        return self


class FixedPoint(Section):
    """[quantization.int16] or [quantization.int8]: real = q * 2^-frac.

    scale: "network" is one frac for all tensors, "layer" one for each layer's weights and one for its output.
    frac: forced for the whole network (paper: 9 for int16, Q7.9); None is found from the calibration vectors.
    weights_rounding: of float weights to integers, when generating; the paper truncates.
    activations_rounding: of accumulators to outputs, on the target.
    calibration_vectors: how many training vectors the ranges of activations are taken from, the first ones of
    the training part; None is all.
    """

    scale: Literal["network", "layer"]
    frac: Annotated[int, Field(ge=-16, le=31)] | None = None
    weights_rounding: Rounding = "nearest"
    activations_rounding: Rounding = "nearest"
    calibration_vectors: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _frac_is_for_the_network(self) -> FixedPoint:
        if self.frac is not None and self.scale != "network":
            raise ValueError('frac is one for the whole network: set scale = "network" or remove frac')
        return self


class Float(Section):
    """[quantization.float32]: nothing to choose."""


class Quantization(Section):
    """[quantization]: how each type of number is used. Types that are not mentioned have these defaults."""

    float32: Float = Float()
    int16: FixedPoint = FixedPoint(scale="network")
    int8: FixedPoint = FixedPoint(scale="layer")


class Deploy(Section):
    """[deploy]: what is generated, for which boards.

    target: names of folders under boards/; a single name may stand without brackets. quantize: the types to
    generate. clock_hz: core clock; None is the board's default. prefix: of all names in the generated C.
    optimize: which kernels are chosen.
    """

    target: Annotated[tuple[Name, ...], Field(min_length=1)] = ("nucleo_l452re",)
    quantize: Annotated[tuple[Number, ...], Field(min_length=1)] = ("int8",)
    clock_hz: Annotated[int, Field(ge=1)] | None = None
    prefix: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] = "model"
    optimize: Literal["speed", "size"] = "speed"

    @field_validator("target", mode="before")
    @classmethod
    def _one_target(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


class Evaluate(Section):
    """[evaluate]: what is run.

    vectors: test vectors run on each board (paper: 50). limit: test vectors run on the host, the first ones
    of the test part; None is all.
    """

    vectors: Annotated[int, Field(ge=1)] = 50
    limit: Annotated[int, Field(ge=1)] | None = None


class Experiment(Section):
    """A whole experiment file. `model` holds all models; `models` those that are not disabled."""

    bench: Bench
    learningframework: LearningFramework = LearningFramework()
    dataset: Component[DatasetKind]
    preprocessing: tuple[Component[PreprocessingKind], ...] = ()
    data_augmentation: tuple[Component[AugmentationKind], ...] = ()
    postprocessing: tuple[Component[PostprocessingKind], ...] = ()
    model: Annotated[tuple[Model, ...], Field(min_length=1)]
    quantization: Quantization = Quantization()
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
    return experiment


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
            _resolve(raw, (key, index), registry, path, written)
            if key == "model":
                _resolve(raw, (key, index, "optimizer"), OPTIMIZERS, path, written)
                _resolve(raw, (key, index, "optimizer", "scheduler"), SCHEDULERS, path, written)


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
        "tuple_type": "a list",
        "too_short": "at least one element",
        "string_pattern_mismatch": f"text that matches {detail.get('ctx', {}).get('pattern')}",
    }.get(detail["type"], detail["msg"].removeprefix("Input should be "))
    return f"expected {expected}, got {detail['input']!r}"


def _keys(root: type[Section], at: _Path) -> list[str]:
    """The valid keys of the table at `at`, found by walking the types of the fields."""
    section = root
    for part in at:
        if isinstance(part, str):
            section = _section_of(section.model_fields[part].annotation)
    return list(section.model_fields)


def _section_of(annotation: Any) -> type[Section]:
    """The section in `X`, `X | None` or `tuple[X, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(
        section
        for section in (_section_of(argument) for argument in getattr(annotation, "__args__", ()))
        if section is not Section
    )
