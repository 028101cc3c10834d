"""Experiment files: what is accepted, how models inherit, and what each mistake is answered with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from microai.errors import UserError
from microai.experiment import Affine, Experiment, load_experiment
from microai.train.models.mlp import Mlp
from microai.train.models.resnetv1 import ResNetV1
from microai.train.optimizer import Sgd, Step
from pydantic import ValidationError

ROOT = Path(__file__).resolve().parents[2]
GOOD = """
[bench]
name = "small"

[dataset]
kind = "digits"

[[preprocessing]]
kind = "zscore"

[model_template]
kind = "resnetv1"
epochs = 3
params.filters = [4, 4, 4]

[model_template.optimizer]
kind = "sgd"
params.learning_rate = 0.1

[model_template.optimizer.scheduler]
kind = "step"
params.milestones = [2]

[[model]]
name = "first"

[[model]]
name = "second"
epochs = 5
params.postpool = "avg"
optimizer.params.momentum = 0.5
"""


def read(tmp_path: Path, text: str = GOOD, *overrides: str) -> Experiment:
    path = tmp_path / "x.toml"
    path.write_text(text, encoding="utf-8")
    return load_experiment(path, overrides)


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.toml")), ids=lambda path: path.stem)
def test_published_experiments_are_valid(path: Path) -> None:
    assert load_experiment(path).bench.name == path.stem


def test_models_inherit_from_the_template(tmp_path: Path) -> None:
    first, second = read(tmp_path).models
    assert (first.name, first.epochs, second.name, second.epochs) == ("first", 3, "second", 5)
    assert first.params == ResNetV1(filters=(4, 4, 4))
    assert second.params == ResNetV1(filters=(4, 4, 4), postpool="avg")
    assert second.optimizer is not None and second.optimizer.params == Sgd(learning_rate=0.1, momentum=0.5)
    assert second.optimizer.scheduler is not None
    assert second.optimizer.scheduler.params == Step(milestones=(2,), factor=0.1)


def test_params_of_another_kind_are_not_inherited(tmp_path: Path) -> None:
    text = GOOD.replace('name = "first"', 'name = "first"\nkind = "mlp"')
    assert read(tmp_path, text).models[0].params == Mlp()


def test_template_alone_is_one_model_named_by_its_kind(tmp_path: Path) -> None:
    models = read(tmp_path, GOOD[: GOOD.index("[[model]]")]).models
    assert [(model.name, model.epochs) for model in models] == [("resnetv1", 3)]


def test_disabled_models_are_left_out(tmp_path: Path) -> None:
    experiment = read(tmp_path, GOOD, "model.first.disabled=true")
    assert [model.name for model in experiment.models] == ["second"]
    assert len(experiment.model) == 2


def test_defaults_follow_the_paper(tmp_path: Path) -> None:
    experiment = read(tmp_path)
    assert experiment.evaluate.vectors == 50
    assert list(experiment.bench.runs) == [1]
    assert experiment.quantization["int8"].scale == "layer"
    assert experiment.quantization["int16"].scale == "network"
    assert experiment.deploy.target == ("nucleo_l452re",)


def test_one_target_needs_no_brackets(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD, 'deploy.target="sparkfun_edge"').deploy.target == ("sparkfun_edge",)


def affine_is(experiment: Experiment, name: str, bits: int, vectors: int | None) -> bool:
    section = experiment.quantization[name]
    return (
        isinstance(section, Affine)
        and section.scheme().bits == bits
        and section.calibration_vectors == vectors
    )


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("model_template.epochs=7", lambda e: e.models[0].epochs == 7 and e.models[1].epochs == 5),
        ("model.1.epochs = 9", lambda e: e.models[1].epochs == 9),
        ("model.second.epochs=9", lambda e: e.models[1].epochs == 9),
        ("model.second.params.filters=[2, 2, 2]", lambda e: e.models[1].params.filters == (2, 2, 2)),
        ("preprocessing=[]", lambda e: e.preprocessing == ()),
        ("evaluate.limit=10", lambda e: e.evaluate.limit == 10),
        ('quantization.int16={scale="network", frac=9}', lambda e: e.quantization["int16"].frac == 9),
        ("quantization.int16.frac=9", lambda e: e.quantization["int16"].frac == 9),
        ("quantization.int9.weights_bits=9", lambda e: e.quantization["int9"].weights_bits == 9),
        ("quantization.affine16x8.calibration_vectors=9", lambda e: affine_is(e, "affine16x8", 16, 9)),
        ('quantization.mine={kind="affine"}', lambda e: affine_is(e, "mine", 8, None)),
    ],
)
def test_overrides(tmp_path: Path, override: str, value: Any) -> None:
    assert value(read(tmp_path, GOOD, override))


@pytest.mark.parametrize(
    ("override", "key", "message"),
    [
        ("model_template.epochz=3", "model_template.epochz", "unknown key; did you mean 'epochs'?"),
        ("model.0.params.filtres=[1]", "model[0].params.filtres", "unknown key; did you mean 'filters'?"),
        ("model_template.params.filtres=[1]", "model_template.params.filtres", "did you mean 'filters'?"),
        ("evalute.vectors=3", "evalute", "unknown key; did you mean 'evaluate'?"),
        ("bench.sede=3", "bench.sede", "did you mean 'seed'?"),
        (
            "model_template.optimizer.params.lerning_rate=1",
            "optimizer.params.lerning_rate",
            "'learning_rate'?",
        ),
        ("model_template.optimizer.shceduler=1", "model_template.optimizer.shceduler", "'scheduler'?"),
        ("quantization.int8.scael=1", "quantization.int8.scael", "'scale'?"),
        ("quantization.int9.frac=3", "quantization.int9", "one for the whole network"),
        ("quantization.int9.weights_bits=17", "int9.weights_bits", "less than or equal to 16, got 17"),
        ("quantization.int9.activations_bits=1", "int9.activations_bits", "greater than or equal to 2"),
        ("quantization.a.layers.conv1.weights_bits=1", "layers.conv1.weights_bits", "got 1"),
        ("quantization.a.layers.conv1.bits=4", "layers.conv1.bits", "did you mean 'weights_bits'?"),
        ("quantization.a.layers.conv1.activations_bits=9", "quantization.a", "no kernel between the two"),
        ("quantization.a.layers.conv1=9", "quantization.a.layers.conv1", "expected a table"),
        ("quantization.a.layers=9", "quantization.a.layers", "expected a table"),
        ('quantization.a.kind="afine"', "quantization.a.kind", "unknown kind 'afine'"),
        ("quantization.a=3", "quantization.a", "expected a table, got 3"),
        ("quantization=3", "quantization", "expected a table, got 3"),
        ("quantization.int16.unsigned=true", "quantization.int16", "one format for all tensors"),
        ("quantization.int8.percentile=0.0", "quantization.int8.percentile", "expected greater than 0"),
        ('quantization.int8.calibration="max"', "quantization.int8.calibration", "expected 'minmax'"),
        ("deploy.compress=true", "deploy.compress", "unknown key"),
        ("deploy.optimize=true", "deploy.optimize", "expected 'speed', 'size', 'ram' or 'balanced'"),
        ("deploy.optimise=true", "deploy.optimise", "unknown key"),
        ("experimenttracking.kind=1", "experimenttracking", "unknown key"),
        ("dataset.params.path=1", "dataset.params.path", "unknown key"),
        ('dataset.kind="digit"', "dataset.kind", "unknown kind 'digit'; did you mean 'digits'?"),
        ('model_template.kind="resnet"', "model_template.kind", "did you mean 'resnetv1'?"),
        ('model.0.kind="mpl"', "model[0].kind", "did you mean 'mlp'?"),
        ('model_template.optimizer.kind="sdg"', "model_template.optimizer.kind", "did you mean 'sgd'?"),
        ('model_template.optimizer.scheduler.kind="stp"', "optimizer.scheduler.kind", "did you mean 'step'?"),
        ('preprocessing.0.kind="zscor"', "preprocessing[0].kind", "did you mean 'zscore'?"),
        ('data_augmentation=[{kind="mixap"}]', "data_augmentation[0].kind", "did you mean 'mixup'?"),
        (
            'postprocessing=[{kind="x"}]',
            "postprocessing[0].kind",
            "valid are: quantization_aware_training, remove_softmax",
        ),
        ('deploy.target="nucleo_l452"', "deploy.target", "did you mean 'nucleo_l452re'?"),
        ('model_template.epochs="a"', "model_template.epochs", "expected a valid integer, got 'a'"),
        ("model_template.epochs=3.0", "model_template.epochs", "expected a valid integer, got 3.0"),
        ("model_template.epochs=-1", "model_template.epochs", "expected greater than or equal to 0, got -1"),
        ("model.0.params.filters=3", "model[0].params.filters", "expected a list, got 3"),
        ('model.0.params.filters=[1, "a", 2]', "model[0].params.filters[1]", "expected a valid integer"),
        ("model_template.params.strides=[1]", "params", "strides must have 3 elements"),
        ("model.0.optimizer.params.learning_rate=nan", "learning_rate", "expected"),
        ("model.0.optimizer.params.learning_rate=inf", "learning_rate", "expected a finite number"),
        ("dataset=3", "dataset", "expected a table, got 3"),
        ("model_template=3", "model_template", "is not a table"),
        ("model=[]", "model", "expected at least one element"),
        ("dataset.kind=3", "dataset.kind", "expected a valid string, got 3"),
        ('bench.name="a/b"', "bench.name", "expected text that matches"),
        ('bench={name="a", last_run=0}', "bench.last_run", "expected greater than or equal to 1"),
        ('bench={name="a", first_run=2}', "bench", "last_run must not be below first_run"),
        ('model.1.name="first"', "x.toml", "two models have the name 'first'"),
        ('quantization.int8={scale="layer", frac=3}', "quantization.int8", "one for the whole network"),
        ("quantization.affine8.weights_bits=8", "affine8.weights_bits", "unknown key"),
        ("quantization.affine8.activations_bits=9", "affine8.activations_bits", "expected 8 or 16, got 9"),
        ("quantization.affine8.calibration_vectors=0", "affine8.calibration_vectors", "equal to 1, got 0"),
        ('quantization.int8={scale="channel"}', "int8.scale", "expected 'network', 'layer' or 'filter'"),
        (
            'deploy.quantize=["int7"]',
            "deploy.quantize[0]",
            "unknown type 'int7'; did you mean 'int8'?",
        ),
        ('model_template.name="x"', "model_template.name", "does not belong to the template"),
        ('learningframework.kind="torch"', "learningframework.kind", "expected 'keras', got 'torch'"),
        ("model.nope.epochs=3", "--set model.nope.epochs=3", "there are: 0, 1, first, second"),
        ("model.7.epochs=3", "--set model.7.epochs=3", "has no element '7'"),
        ("bench.name.x=3", "--set bench.name.x=3", "bench.name is a value"),
        ("bench.name=small", "--set bench.name=small", "text needs quotes: --set 'bench.name=\"small\"'"),
        ("bench.seed=1\nx=2", "--set", "is not a TOML value"),
        ("seed", "--set seed", "is not of the form key=value"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, override: str, key: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, GOOD, override)
    assert caught.value.where.endswith(key) or (key.startswith("--set") and key in caught.value.where)
    assert message in str(caught.value)
    if "\n" not in override:
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "bench: is missing"),
        ('[bench]\nname = "a"\n[dataset]\nkind = "digits"\n', "model: is missing"),
        (GOOD.replace("epochs = 3\n", ""), "model[0]: needs epochs and an optimizer, or load"),
        (GOOD[: GOOD.index("[[model]]")].replace("epochs = 3\n", ""), "model_template: needs epochs"),
        (GOOD.replace('name = "first"\n', ""), "model[0].name: is missing"),
        (GOOD.replace("params.learning_rate = 0.1\n", ""), "optimizer.params.learning_rate: is missing"),
        ("[bench\n", "is not valid TOML"),
    ],
)
def test_incomplete_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=r"x\.toml") as caught:
        read(tmp_path, text)
    assert message in str(caught.value)


def test_all_models_disabled(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="all models are disabled"):
        read(tmp_path, GOOD, "model.first.disabled=true", "model.second.disabled=true")


def test_an_experiment_never_changes(tmp_path: Path) -> None:
    experiment = read(tmp_path)
    with pytest.raises(ValidationError):
        experiment.bench.seed = 5


def test_reading_does_not_import_tensorflow() -> None:
    code = "import sys, microai.experiment, microai.train.stages; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
