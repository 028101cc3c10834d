"""The trainer and the two stages: the same bits each time, resumed or not; nothing done twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from microai.errors import UserError
from microai.experiment import Experiment, load_experiment
from microai.files import code_key, write_atomically
from microai.train import stages, trainer
from microai.train.augmentation import Blend, Mixup
from microai.train.optimizer import Adam, Sgd, Step
from microai.train.stages import TrainedModel, preprocess_data, train

EXPERIMENT = """
bench = { name = "tiny", seed = 3 }
dataset.kind = "digits"
preprocessing = [{ kind = "zscore" }, { kind = "validation_split", params = { by = "vector" } }]
data_augmentation = [{ kind = "mixup" }]
postprocessing = [{ kind = "remove_softmax" }]

[model_template]
kind = "cnn"
params = { filters = [4], kernel_sizes = [3], strides = [1], paddings = [1], pool_sizes = [2], batch_norm = true }
epochs = 4
batch_size = 100
optimizer.kind = "sgd"
optimizer.params = { learning_rate = 0.05, weight_decay = 5e-4 }
optimizer.scheduler = { kind = "step", params = { milestones = [2] } }

[[model]]
name = "net"
"""


def read(tmp_path: Path, *overrides: str) -> Experiment:
    path = tmp_path / "tiny.toml"
    path.write_text(EXPERIMENT, encoding="utf-8")
    return load_experiment(path, overrides)


def run(experiment: Experiment, build: Path) -> TrainedModel:
    (trained,) = train(experiment, preprocess_data(experiment, build), build)
    return trained


def weights(trained: TrainedModel) -> list[np.ndarray]:
    from microai.train.backend import keras

    return [
        np.asarray(variable) for variable in keras.saving.load_model(trained.path, compile=False).variables
    ]


def same(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainedModel]:
    """The tiny experiment, trained once without interruption."""
    folder = tmp_path_factory.mktemp("reference")
    return folder, run(read(folder), folder)


def test_a_trained_model_says_what_it_is(reference: tuple[Path, TrainedModel]) -> None:
    folder, trained = reference
    assert trained.path == folder / "tiny" / "net" / "run1" / "model.keras"
    assert (trained.name, trained.run, len(trained.history)) == ("net", 1, 4)
    assert [epoch.learning_rate for epoch in trained.history] == pytest.approx([0.05, 0.05, 0.005, 0.005])
    assert trained.history[-1].loss < trained.history[0].loss
    assert trained.test_accuracy > 0.5 and trained.valid_accuracy == trained.history[-1].valid_accuracy
    from microai.train.backend import keras

    model = keras.saving.load_model(trained.path, compile=False)
    assert model.layers[-1].name == "scores" and model.count_params() == trained.parameters
    data = preprocess_data(read(folder), folder)
    right = model.predict(data.x_test, verbose=0).argmax(1) == data.y_test
    assert trained.test_accuracy == pytest.approx(right.mean())
    assert not list(trained.path.parent.glob("checkpoint*"))


def test_nothing_is_done_twice(reference: tuple[Path, TrainedModel], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, trained = reference

    def never(*_: object, **__: object) -> None:
        raise AssertionError("done again")

    monkeypatch.setattr(stages, "fit", never)
    monkeypatch.setattr("microai.train.datasets.digits.Digits.load", never)
    assert run(read(folder), folder) == trained
    with pytest.raises(AssertionError, match="done again"):
        run(read(folder, "model_template.epochs=5"), folder)
    with pytest.raises(AssertionError, match="done again"):
        run(read(folder, "bench.seed=4"), folder)


def test_the_same_seed_gives_the_same_weights(reference: tuple[Path, TrainedModel], tmp_path: Path) -> None:
    _, trained = reference
    assert same(weights(run(read(tmp_path), tmp_path)), weights(trained))
    other = run(read(tmp_path, "bench.seed=4"), tmp_path)
    assert not same(weights(other), weights(trained))


def test_runs_of_a_bench_are_the_seeds_that_follow(
    reference: tuple[Path, TrainedModel], tmp_path: Path
) -> None:
    _, trained = reference
    experiment = read(tmp_path, "bench.seed=1", "bench.first_run=2", "bench.last_run=2")
    second = run(experiment, tmp_path)
    assert second.path.parent.name == "run2"
    assert not same(weights(second), weights(trained))
    moved = run(read(tmp_path, "bench.seed=2", "bench.first_run=2", "bench.last_run=2"), tmp_path)
    assert same(weights(moved), weights(trained))  # seed + run is the same number


KILLED = """
import os, signal, sys
from pathlib import Path
from microai.experiment import load_experiment
from microai.train import stages, trainer

keep, count = trainer._keep, 0
def keep_twice_then_die(*args):
    global count
    keep(*args)
    count += 1
    if count == 2:
        os.kill(os.getpid(), signal.SIGKILL)
trainer._keep = keep_twice_then_die
folder = Path(sys.argv[1])
experiment = load_experiment(folder / "tiny.toml", sys.argv[2:])
stages.train(experiment, stages.preprocess_data(experiment, folder), folder)
"""


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_killed_run_ends_with_the_same_bits(
    reference: tuple[Path, TrainedModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    if optimizer == "sgd":
        uninterrupted, overrides = reference[1], ()
    else:
        overrides = ('model_template.optimizer={kind="adam", params={learning_rate=1e-2}}',)
        uninterrupted = run(read(tmp_path, *overrides), tmp_path / "whole")
    read(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), *overrides], check=False, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    folder = tmp_path / "tiny" / "net" / "run1"
    assert [path.name for path in folder.iterdir()] == ["checkpoint.npz"]

    epochs: list[int] = []
    fit = trainer.fit

    def watched(*args: Any) -> Any:
        return fit(*args[:-1], lambda done, last: epochs.append(done))

    monkeypatch.setattr(stages, "fit", watched)
    resumed = run(read(tmp_path, *overrides), tmp_path)
    assert epochs == [3, 4]
    assert same(weights(resumed), weights(uninterrupted))
    assert resumed.history == uninterrupted.history


def test_a_checkpoint_of_something_else_or_damaged_is_not_resumed(
    reference: tuple[Path, TrainedModel], tmp_path: Path
) -> None:
    checkpoint = tmp_path / "tiny" / "net" / "run1" / "checkpoint.npz"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"PK\x03\x04 not a whole zip")
    assert same(weights(run(read(tmp_path), tmp_path)), weights(reference[1]))


@pytest.mark.parametrize("form", ["keras", "h5"])
def test_load_takes_a_model_as_it_is(reference: tuple[Path, TrainedModel], tmp_path: Path, form: str) -> None:
    from microai.train.backend import keras

    path = tmp_path / f"given.{form}"
    keras.saving.load_model(reference[1].path, compile=False).save(path)
    loaded = run(read(tmp_path, f'model.net.load="{path}"'), tmp_path)
    assert same(weights(loaded), weights(reference[1]))
    assert (loaded.history, loaded.seconds) == ((), 0)
    assert loaded.test_accuracy == reference[1].test_accuracy


def test_load_again_when_the_file_changes(reference: tuple[Path, TrainedModel], tmp_path: Path) -> None:
    from microai.train.backend import keras

    path = tmp_path / "given.keras"
    model = keras.saving.load_model(reference[1].path, compile=False)
    model.save(path)
    first = run(read(tmp_path, f'model.net.load="{path}"'), tmp_path)
    model.layers[-1].kernel.assign(model.layers[-1].kernel * 0)
    model.save(path)
    second = run(read(tmp_path, f'model.net.load="{path}"'), tmp_path)
    assert second.key != first.key and second.test_accuracy < first.test_accuracy


def test_load_mistakes(reference: tuple[Path, TrainedModel], tmp_path: Path) -> None:
    from microai.train.backend import keras

    path = tmp_path / "given.keras"
    experiment = read(tmp_path, f'model.net.load="{path}"')
    with pytest.raises(UserError, match=r"given\.keras: there is no such model file"):
        run(experiment, tmp_path)
    whole = reference[1].path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be read as a Keras model") as caught:
        run(experiment, tmp_path)
    assert "\n" not in str(caught.value)
    model = keras.saving.load_model(reference[1].path, compile=False)
    model.layers[-1].bias.assign([np.nan] * 10)
    model.save(path)
    with pytest.raises(UserError, match="bias has values that are not finite"):
        run(experiment, tmp_path)
    inputs = keras.Input((8, 1))
    keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs))).save(path)
    with pytest.raises(
        UserError, match=r"is a model \(8, 1\) -> \(3,\), but the data need \(8, 8, 1\) -> \(10,\)"
    ):
        run(experiment, tmp_path)


def test_remove_softmax_of_an_activation(tmp_path: Path) -> None:
    """A foreign model whose last dense layer carries the softmax: the scores are what softmax was taken of."""
    from microai.train.backend import keras, scores

    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    output = np.asarray(scores(model)(x))
    np.testing.assert_allclose(np.asarray(keras.ops.softmax(output)), np.asarray(model(x)), rtol=1e-6)
    assert scores(scores(model)).layers[-1].activation is keras.activations.linear


def test_divergence_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training, epoch \d+: the loss is .*; use a smaller learning_rate"):
        run(read(tmp_path, "model_template.optimizer.params.learning_rate=1e30"), tmp_path)


def test_a_build_folder_that_cannot_be_written(tmp_path: Path) -> None:
    experiment = read(tmp_path)
    (tmp_path / "tiny").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot be written"):
        preprocess_data(experiment, tmp_path)


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), write_atomically(path) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_comments_and_docstrings_are_not_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    keys = []
    texts = (
        '"""One."""\ndef f():\n    """Two."""\n    return 1\n',
        "# other\ndef f():  # words\n    return 1\n",
        "def f():\n    return 2\n",
    )
    for number, text in enumerate(texts):
        (tmp_path / f"written{number}.py").write_text(text)
        keys.append(code_key(f"written{number}"))
    assert keys[0] == keys[1] != keys[2]


def test_step_schedule_is_multisteplr() -> None:
    """The paper's schedule; PyTorch's MultiStepLR changes the rate of the epoch numbered like the milestone."""
    schedule = Step(milestones=(100, 200, 250), factor=0.13)
    for epoch, power in ((0, 0), (99, 0), (100, 1), (199, 1), (200, 2), (249, 2), (250, 3), (299, 3)):
        assert schedule.factor_at(epoch) == pytest.approx(0.13**power)


def test_mixup_mixes_pairs_anew_each_epoch() -> None:
    order = np.random.default_rng(0).permutation(5000).astype(np.int32)
    plain = Blend(order, order, np.ones(5000, np.float32))
    one, same_again, other = (
        Mixup(alpha=0.2).apply(plain, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert (one.first == order).all() and sorted(one.second) == list(range(5000))
    assert np.array_equal(one.share, same_again.share) and not np.array_equal(one.share, other.share)
    assert one.share.dtype == np.float32 and one.share.min() >= 0 and one.share.max() <= 1
    assert one.share.var() == pytest.approx(1 / (4 * (2 * 0.2 + 1)), rel=0.05)  # of Beta(a, a)


def blended(plan: trainer.Plan, number: int) -> tuple[np.ndarray, np.ndarray]:
    """What an epoch's vectors and labels must be, by definition."""
    random = np.random.default_rng((plan.seed, number))
    order = random.permutation(len(plan.x_train)).astype(np.int32)
    blend = Blend(order, order, np.ones(len(order), np.float32))
    for augmentation in plan.augmentation:
        blend = augmentation.apply(blend, random)
    share = blend.share[:, None].astype(np.float64)
    one_hot = np.eye(plan.classes)
    return (
        share * plan.x_train[blend.first] + (1 - share) * plan.x_train[blend.second],
        share * one_hot[plan.y_train[blend.first]] + (1 - share) * one_hot[plan.y_train[blend.second]],
    )


@pytest.mark.parametrize("mixup", [False, True])
def test_training_follows_the_formulas(tmp_path: Path, mixup: bool) -> None:
    """Softmax regression trained for 2 epochs of 3 batches (the last one smaller), against numpy in float64:

    g = dL/dw + weight_decay * w; v = momentum * v - rate * g; w += v.
    """
    from microai.train.backend import keras

    random = np.random.default_rng(7)
    x, y = random.normal(size=(25, 4)).astype(np.float32), random.integers(0, 3, 25).astype(np.int32)
    plan = trainer.Plan(
        x_train=x, y_train=y, x_valid=x[:0], y_valid=y[:0], classes=3, epochs=2, batch_size=10, seed=11,
        optimizer=Sgd(learning_rate=0.1, momentum=0.9, weight_decay=0.05), scheduler=None,
        augmentation=[Mixup(alpha=0.5)] if mixup else [],
    )  # fmt: skip
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Softmax()(keras.layers.Dense(3)(inputs)))
    w, b = (np.asarray(variable, np.float64) for variable in model.trainable_variables)
    done = trainer.fit(model, plan, tmp_path / "c.npz", "key")

    vw, vb, losses = np.zeros_like(w), np.zeros_like(b), []
    for number in range(2):
        xs, ys = blended(plan, number)
        total = 0.0
        for start in (0, 10, 20):
            xb, yb = xs[start : start + 10], ys[start : start + 10]
            scores = xb @ w + b
            p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
            total -= (yb * np.log(p)).sum()
            vw = 0.9 * vw - 0.1 * (xb.T @ (p - yb) / len(xb) + 0.05 * w)
            vb = 0.9 * vb - 0.1 * ((p - yb).mean(0) + 0.05 * b)
            w, b = w + vw, b + vb
        losses.append(total / 25)
    np.testing.assert_allclose([epoch.loss for epoch in done.history], losses, rtol=1e-5)
    for ours, numpy in zip(model.trainable_variables, (w, b), strict=True):
        np.testing.assert_allclose(np.asarray(ours), numpy, rtol=1e-4, atol=1e-6)


def test_adam_takes_its_parameters() -> None:
    adam = Adam(learning_rate=0.01, beta_1=0.8, beta_2=0.9, epsilon=1e-4).build()
    assert (adam.beta_1, adam.beta_2, adam.epsilon) == (0.8, 0.9, 1e-4)


def test_validation_vectors_are_not_trained_on(reference: tuple[Path, TrainedModel], tmp_path: Path) -> None:
    experiment = read(tmp_path)
    data = preprocess_data(experiment, tmp_path)
    assert len(data.x_train) + len(data.x_valid) == 1347 and len(data.x_valid) > 200
    spoilt = replace(data, x_valid=data.x_valid * 0)
    (trained,) = train(experiment, spoilt, tmp_path)
    assert same(weights(trained), weights(reference[1]))


def test_the_digits_experiment_is_good(tmp_path: Path) -> None:
    path = Path(__file__).resolve().parents[3] / "experiments" / "digits.toml"
    assert run(load_experiment(path), tmp_path).test_accuracy > 0.96


def test_without_tensorflow_one_line_says_what_to_install() -> None:
    code = "import sys; sys.modules['tensorflow'] = None; import microai.train.backend"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "UserError: training: tensorflow is not installed; pip install 'microai[train]'" in done.stderr
