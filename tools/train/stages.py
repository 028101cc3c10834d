"""The two stages of this package, `preprocess_data` and `train`, with what they hand on; files under
build/.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ..errors import UserError
from ..files import code_key, key_of, write_atomically
from .dataset import Floats, Labels, digest
from .postprocessing import QuantizationAwareTraining
from .preprocessing import Split
from .trainer import Epoch, Plan, accuracy, fit

if TYPE_CHECKING:
    from ..experiment import Experiment, Model

BUILD = Path("build")


@dataclass(frozen=True, eq=False)
class PreparedData:
    """The arrays that models are trained and evaluated with, after preprocessing.

    x_*: float32 [N, T, C] or [N, H, W, C]. y_*: int32 [N]. x_valid, y_valid: N = 0 without a validation
    split. mean, scale: float32, broadcastable to one vector: x = (x as published, in `unit`, - mean) /
    scale. rate: samples a second, or None. sha256: of all arrays. path: where it is kept.
    """

    path: Path
    x_train: Floats
    y_train: Labels
    x_valid: Floats
    y_valid: Labels
    x_test: Floats
    y_test: Labels
    mean: Floats
    scale: Floats
    classes: tuple[str, ...]
    unit: str
    rate: float | None
    sha256: str

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(T, C) or (H, W, C)."""
        return self.x_train.shape[1:]


_ARRAYS = ("x_train", "y_train", "x_valid", "y_valid", "x_test", "y_test", "mean", "scale")


@dataclass(frozen=True)
class TrainedModel:
    """A trained model as kept in build/<experiment>/<name>/run<run>/model.keras, after postprocessing.

    Accuracies 0..1 by Keras in float32, of the vectors without augmentation; valid_accuracy None without a
    validation split. history: empty for a loaded model. key: of all that decides the weights. seconds: spent
    training.
    """

    name: str
    run: int
    path: Path
    key: str
    parameters: int
    train_accuracy: float
    valid_accuracy: float | None
    test_accuracy: float
    history: tuple[Epoch, ...]
    seconds: float


def preprocess_data(experiment: Experiment, build: Path = BUILD) -> PreparedData:
    """Load the data set, apply [[preprocessing]], keep the result in build/<experiment>/data.npz.

    Nothing is computed again while data, steps and code are the same. Raises UserError where the data are
    absent or a step does not fit them.
    """
    path = build / experiment.bench.name / "data.npz"
    kind = experiment.dataset.params
    steps = [step.params for step in experiment.preprocessing]
    key = key_of(
        dataset=[experiment.dataset.kind, kind.model_dump(), kind.fingerprint()],
        steps=[[step.kind, step.params.model_dump()] for step in experiment.preprocessing],
        code=code_key(*(type(part).__module__ for part in (kind, *steps))),
        numpy=version("numpy"),
    )
    kept = _read_prepared(path, key)
    if kept is not None:
        return kept
    dataset = kind.load()
    data = Split.of(dataset)
    for step in steps:
        data = step.apply(data)
    arrays = {name: np.ascontiguousarray(getattr(data, name)) for name in _ARRAYS}
    meta = {
        "key": key,
        "classes": dataset.classes,
        "unit": dataset.unit,
        "rate": dataset.rate,
        "sha256": digest(*arrays.values()),
    }
    with write_atomically(path) as file:
        np.savez(file, allow_pickle=False, meta=np.array(json.dumps(meta)), **arrays)
    prepared = _read_prepared(path, key)
    assert prepared is not None
    return prepared


def _read_prepared(path: Path, key: str) -> PreparedData | None:
    """The prepared data at `path`; None where there are none, or they are damaged or made from something
    else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            meta = json.loads(str(file["meta"]))
            if meta["key"] != key:
                return None
            arrays: dict[str, Any] = {name: file[name] for name in _ARRAYS}
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    return PreparedData(
        path=path,
        classes=tuple(meta["classes"]),
        unit=meta["unit"],
        rate=meta["rate"],
        sha256=meta["sha256"],
        **arrays,
    )


def train(experiment: Experiment, prepared: PreparedData, build: Path = BUILD) -> list[TrainedModel]:
    """Train each model that is not disabled, each run, and evaluate it in float32 on the test part.

    A model whose key has not changed is not trained again, one that was interrupted is resumed. Order:
    models as in the file, the runs of each in turn. Raises UserError where a model does not fit the data,
    where a file to load is missing or damaged, or where training diverges.
    """
    return [
        _train_run(experiment, model, run, prepared, build / experiment.bench.name / model.name / f"run{run}")
        for model in experiment.models
        for run in experiment.bench.runs
    ]


def _train_run(
    experiment: Experiment, model: Model, run: int, prepared: PreparedData, folder: Path
) -> TrainedModel:
    seed = experiment.bench.seed + run
    key = key_of(
        data=prepared.sha256,
        model=model.model_dump(exclude={"name", "disabled"}),
        loaded=_file_key(model.load) if model.load is not None else None,
        augmentation=[step.model_dump() for step in experiment.data_augmentation],
        postprocessing=[
            step.model_dump()
            for step in experiment.postprocessing
            if not isinstance(step.params, QuantizationAwareTraining)
        ],
        seed=seed,
        code=code_key(type(model.params).__module__, *_TRAINING_CODE),
        versions=[version(package) for package in ("keras", "numpy", "tensorflow")],
    )
    kept = _read_trained(folder, key)
    if kept is not None:
        return kept

    from .backend import keras

    where = f"{experiment.bench.name}/{model.name}/run{run}"
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    history: tuple[Epoch, ...] = ()
    seconds = 0.0
    if model.load is not None:
        network = load_model(Path(model.load), prepared.input_shape, len(prepared.classes))
    else:
        assert model.optimizer is not None and model.epochs is not None  # Model's own validation
        network = model.params.build(prepared.input_shape, len(prepared.classes))
        plan = Plan(
            x_train=prepared.x_train,
            y_train=prepared.y_train,
            x_valid=prepared.x_valid,
            y_valid=prepared.y_valid,
            classes=len(prepared.classes),
            epochs=model.epochs,
            batch_size=model.batch_size,
            seed=seed,
            optimizer=model.optimizer.params,
            scheduler=model.optimizer.scheduler.params if model.optimizer.scheduler is not None else None,
            augmentation=[step.params for step in experiment.data_augmentation],
        )
        with progress_bar(where, model.epochs) as progress:
            done = fit(network, plan, folder / "checkpoint.npz", key, progress)
        history, seconds = done.history, done.seconds
    for step in experiment.postprocessing:
        network = step.params.apply(network)

    trained = TrainedModel(
        name=model.name,
        run=run,
        path=folder / "model.keras",
        key=key,
        parameters=int(network.count_params()),
        train_accuracy=accuracy(network, prepared.x_train, prepared.y_train),
        valid_accuracy=accuracy(network, prepared.x_valid, prepared.y_valid)
        if len(prepared.x_valid)
        else None,
        test_accuracy=accuracy(network, prepared.x_test, prepared.y_test),
        history=history,
        seconds=seconds,
    )
    _write_trained(trained, network)
    return trained


# The modules whose code decides the weights, besides the model template's own.
_TRAINING_CODE = tuple(
    f"{__package__}.{name}"
    for name in ("augmentation", "backend", "layers", "optimizer", "postprocessing", "trainer")
)


def load_model(path: Path, input_shape: tuple[int, ...], classes: int) -> Any:
    """The `keras.Model` in a .keras or .h5 file, whatever trained it.

    Raises UserError where there is none, it is damaged, its shapes do not fit the data or a weight is not
    finite.
    """
    from .backend import keras

    if not path.is_file():
        raise UserError(path, "there is no such model file", "check load in the experiment")
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras, zipfile and h5py raise a dozen kinds
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(path, f"cannot be read as a Keras model ({reason})", "save it again") from None
    has = [tuple(tensor.shape[1:]) for tensor in (*model.inputs, *model.outputs)]
    if has != [input_shape, (classes,)]:
        shapes = " -> ".join(map(str, has))
        wanted = f"{input_shape} -> {(classes,)}"
        raise UserError(
            path, f"is a model {shapes}, but the data need {wanted}", "load one made for these data"
        )
    for variable in model.variables:
        if not np.isfinite(np.asarray(variable)).all():
            raise UserError(path, f"{variable.path} has values that are not finite", "train it again")
    return model


def _file_key(name: str) -> str | None:
    path = Path(name)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _read_trained(folder: Path, key: str) -> TrainedModel | None:
    """The trained model kept in `folder`; None where there is none, or it was made from something else."""
    try:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    path = folder / "model.keras"
    if result.get("key") != key or not path.is_file():
        return None
    return TrainedModel(
        **{**result, "path": path, "history": tuple(Epoch(**epoch) for epoch in result["history"])}
    )


def _write_trained(trained: TrainedModel, network: Any) -> None:
    """model.keras, then result.json, which makes it valid; then the checkpoint has done its work."""
    partial = trained.path.with_name("partial.keras")
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        network.save(partial)
        partial.replace(trained.path)
    except OSError as error:
        raise UserError(
            trained.path, f"cannot be written ({error.strerror})", "make its folder writable"
        ) from None
    result = {**asdict(trained), "path": trained.path.name}
    with write_atomically(trained.path.with_name("result.json")) as file:
        file.write(json.dumps(result, indent=1).encode())
    trained.path.with_name("checkpoint.npz").unlink(missing_ok=True)


@contextlib.contextmanager
def progress_bar(what: str, epochs: int) -> Iterator[Callable[[int, Epoch], None]]:
    """A bar on a terminal; elsewhere only its last state is printed."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as bar:
        task = bar.add_task(what, total=epochs, state="")

        def show(done: int, last: Epoch) -> None:
            state = f"loss {last.loss:.3f}, accuracy {100 * last.train_accuracy:.1f} %"
            if last.valid_accuracy is not None:
                state += f", validation {100 * last.valid_accuracy:.1f} %"
            bar.update(task, completed=done, state=state)

        yield show
