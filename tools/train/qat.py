"""Quantization-aware training (`[[postprocessing]] kind = "quantization_aware_training"`); docs/qat.md.

Novac et al. 2021, section 4.3. build/<experiment>/<model>/run<k>/ gets qat_<type>.npz (float32 kernels and biases
by node of the simplified graph) and qat_<type>.json (frozen formats, history, accuracy), which the generator
takes instead of the float weights and of post-training quantization.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..codegen.formats import Affine, Array, Fixed, FixedWeights
from ..codegen.frontends import import_model
from ..codegen.graph import Graph
from ..codegen.ops.base import FloatOp
from ..codegen.ops.batchnorm import BatchNorm
from ..codegen.ops.conv import Conv
from ..codegen.ops.dense import Dense
from ..codegen.passes import simplify
from ..codegen.passes.drop_identities import drop_identities
from ..codegen.passes.edit import only_reader
from ..codegen.passes.fold_batchnorm import folded
from ..codegen.passes.fuse_padding import fuse_padding
from ..codegen.passes.remove_softmax import remove_softmax
from ..codegen.pipeline import Scheme
from ..codegen.quantize.affine import AffineChosen, AffineScheme
from ..codegen.quantize.affine import choose as choose_affine
from ..codegen.quantize.affine import ranges as affine_ranges
from ..codegen.quantize.calibration import calibrate, extremes
from ..codegen.quantize.fixed_point import Chosen, FixedPoint, check_layers, choose_formats, roots
from ..codegen.quantize.fixed_point import ranges as fixed_ranges
from ..codegen.quantize.frozen import Frozen
from ..errors import UserError
from ..files import code_key, key_of, write_atomically
from .postprocessing import QuantizationAwareTraining
from .stages import PreparedData, TrainedModel, progress_bar
from .trainer import Epoch, Plan, accuracy, fit_scores

if TYPE_CHECKING:
    from ..experiment import Experiment
    from .simulation import Network, Norm, Ranges


@dataclass(frozen=True, eq=False)
class Tuned:
    """A model after quantization-aware training for one type of numbers.

    Accuracies 0..1 of the simulated integers, equal to those of the generated C: test part, validation part
    (None without). seconds: spent training. key: of all that decides it.
    """

    type: str
    key: str
    path: Path
    frozen: Frozen
    valid_accuracy: float | None
    test_accuracy: float
    history: tuple[Epoch, ...]
    seconds: float


def tune(
    experiment: Experiment,
    prepared: PreparedData,
    trained: TrainedModel,
    step: QuantizationAwareTraining,
    scheme: Scheme,
    calibration: Sequence[Array],
) -> Tuned:
    """Train one model further for one type, or return what is kept from before; an interrupted run is resumed.

    scheme, calibration: of the post-training quantization that gives widths, signs and the first ranges.
    Raises UserError for a model or scheme that cannot be trained so, and where training diverges.
    """
    model = next(item for item in experiment.models if item.name == trained.name)
    optimizer = step.optimizer if step.optimizer is not None else model.optimizer
    where = (
        f"{experiment.bench.name}/{trained.name}/run{trained.run}: quantization-aware training of {step.type}"
    )
    if optimizer is None:
        raise UserError(where, "the model was loaded and has no optimizer", "give params.optimizer")
    if isinstance(scheme, FixedPoint) and scheme.scale == "network" and step.ranges != "frozen":
        raise UserError(
            where,
            f"one scale for the network cannot follow ranges = {step.ranges!r}",
            'set ranges = "frozen" or the scale to "layer"',
        )
    seed = experiment.bench.seed + trained.run
    batch_size = model.batch_size if step.batch_size is None else step.batch_size
    key = key_of(
        trained=trained.key,
        step=step.model_dump(),
        optimizer=optimizer.model_dump(),
        batch_size=batch_size,
        augmentation=[item.model_dump() for item in experiment.data_augmentation],
        scheme=repr(scheme),
        calibration=hashlib.sha256(b"".join(x.tobytes() for x in calibration)).hexdigest(),
        seed=seed,
        code=code_key(*_modules()),
        versions=[version(package) for package in ("keras", "numpy", "tensorflow")],
    )
    kept = read(trained.path.parent, step.type)
    if kept is not None and kept.key == key:
        return kept

    from .backend import keras

    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    graph, norms = trainable(import_model(trained.path, trained.name))
    network = simulation(graph, scheme, calibration, step.ranges, norms)
    plan = Plan(
        x_train=prepared.x_train,
        y_train=prepared.y_train,
        x_valid=prepared.x_valid,
        y_valid=prepared.y_valid,
        classes=len(prepared.classes),
        epochs=step.epochs,
        batch_size=batch_size,
        seed=seed,
        optimizer=optimizer.params,
        scheduler=optimizer.scheduler.params if optimizer.scheduler is not None else None,
        augmentation=[item.params for item in experiment.data_augmentation],
    )
    checkpoint = trained.path.with_name(f"qat_{step.type}.checkpoint.npz")
    with progress_bar(
        f"{experiment.bench.name}/{trained.name}/run{trained.run} {step.type}", step.epochs
    ) as progress:
        done = fit_scores(
            network,
            plan,
            checkpoint,
            key,
            progress,
            lambda epoch: network.begin_epoch(settled=epoch >= step.epochs - step.settle),
            network.undecayed,
        )
    frozen = network.export()
    final = inference(graph, frozen, scheme)
    tuned = Tuned(
        type=step.type,
        key=key,
        path=trained.path.with_name(f"qat_{step.type}.json"),
        frozen=frozen,
        valid_accuracy=accuracy(final, prepared.x_valid, prepared.y_valid) if len(prepared.x_valid) else None,
        test_accuracy=accuracy(final, prepared.x_test, prepared.y_test),
        history=done.history,
        seconds=done.seconds,
    )
    _write(tuned)
    checkpoint.unlink(missing_ok=True)
    return tuned


def simulation(
    graph: Graph,
    scheme: Scheme,
    calibration: Sequence[Array],
    ranges: Ranges,
    norms: Mapping[str, Norm] | None = None,
) -> Network:
    """The network to train, in the formats of post-training quantization. `graph`: as `trainable` makes it.

    Raises UserError where the model or the scheme cannot be trained, or the generator refuses.
    """
    if isinstance(scheme, AffineScheme):
        from .affine_simulation import AffineSimulation

        spans = extremes(graph, calibration)
        chosen = choose_affine(graph, affine_ranges(graph, calibration, scheme), scheme.bits)
        affine = AffineSimulation(graph, chosen, ranges, norms, spans)
        affine.export().quantized(graph, calibration, scheme)
        return affine
    from .simulation import Rules, Simulation

    check_layers(graph, scheme)
    fixed = choose_formats(graph, fixed_ranges(graph, calibration, scheme), scheme)
    formats = signed_where_ranges_decide(graph, fixed)
    rules = Rules(scheme.weight_rounding, scheme.rounding, ranges)
    return Simulation(graph, formats, rules, norms, calibrate(graph, calibration))


def inference(graph: Graph, frozen: Frozen, scheme: Scheme) -> Network:
    """What the generator makes of `frozen`, for `graph` as it was trained."""
    applied = frozen.applied(graph)
    if isinstance(frozen.formats, AffineChosen):
        from .affine_simulation import AffineSimulation

        return AffineSimulation(applied, frozen.formats, "frozen")
    from .simulation import Rules, Simulation

    assert isinstance(scheme, FixedPoint)
    return Simulation(applied, frozen.formats, Rules(scheme.weight_rounding, scheme.rounding, "frozen"))


def trainable(graph: Graph) -> tuple[Graph, Mapping[str, Norm]]:
    """The simplified graph up to the scores, and the batch normalizations that are folded into its layers.

    One that is not folded (it follows no convolution or dense layer of its own) is trained as the depthwise
    convolution that it becomes.
    """
    from .simulation import Norm

    graph = remove_softmax(graph)
    before = None
    while graph is not before:
        before = graph
        graph = fuse_padding(drop_identities(graph))
    simplified = simplify(graph)
    norms: dict[str, Norm] = {}
    for node in graph.nodes:
        layer = graph.producer(node.inputs[0])
        if not isinstance(node.op, BatchNorm) or layer is None or not only_reader(graph, layer, node):
            continue
        assert isinstance(layer.op, FloatOp)
        together = folded(layer.op, node.op)
        name = node.name if node.name in graph.outputs else layer.name
        found = simplified.producer(name)
        if together is None or found is None or not isinstance(layer.op, (Conv, Dense)):
            continue
        op = found.op
        if isinstance(op, (Conv, Dense)) and np.array_equal(op.kernel, together.weights):  # type: ignore[attr-defined]
            norms[name] = Norm(layer.op, node.op)
    return simplified, norms


def signed_where_ranges_decide(graph: Graph, formats: Chosen) -> Chosen:
    """The formats without those unsigned ones that an operation takes only at some scales.

    Sums of products take unsigned inputs, and make unsigned outputs after a ReLU, at any scale; Add, Concat
    and pooling to a mean only where the zero points happen to meet, which moving ranges would undo.
    """
    root = roots(graph)
    signed: set[str] = set()
    for node in graph.nodes:
        assert isinstance(node.op, FloatOp)
        if not isinstance(node.op, (Conv, Dense)) and not node.op.keeps_format:
            signed |= {root[name] for name in (node.name, *node.inputs)}
    tensors = {
        name: Fixed(fmt.bits, fmt.frac - 1) if fmt.unsigned and root[name] in signed else fmt
        for name, fmt in formats.tensors.items()
    }
    return replace(formats, tensors=tensors)


def read(folder: Path, kind: str) -> Tuned | None:
    """What quantization-aware training of a type left in `folder`; None where there is nothing whole."""
    path = folder / f"qat_{kind}.json"
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as file:
            if str(file["key"]) != meta["key"]:
                return None
            arrays: dict[str, dict[str, Array]] = {}
            for index, (node, name) in enumerate(meta["arrays"]):
                arrays.setdefault(node, {})[name] = file[str(index)]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    frozen = Frozen(arrays, _formats(meta))
    history = tuple(Epoch(**epoch) for epoch in meta["history"])
    accuracies = {name: meta[name] for name in ("valid_accuracy", "test_accuracy", "seconds")}
    return Tuned(meta["type"], meta["key"], path, frozen, history=history, **accuracies)


def _formats(meta: Mapping[str, Any]) -> Chosen | AffineChosen:
    """The formats that `_write` wrote."""
    if meta.get("affine"):
        return AffineChosen(
            {name: Affine(**fmt) for name, fmt in meta["tensors"].items()},
            {name: tuple(scales) for name, scales in meta["weights"].items()},
        )
    return Chosen(
        {name: Fixed(**fmt) for name, fmt in meta["tensors"].items()},
        {
            name: FixedWeights(fmt["bits"], tuple(fmt["fracs"]), fmt["packed"])
            for name, fmt in meta["weights"].items()
        },
    )


def _write(tuned: Tuned) -> None:
    """The arrays, then what makes them valid."""
    frozen = tuned.frozen
    names = [(node, name) for node, arrays in frozen.arrays.items() for name in arrays]
    values: dict[str, Any] = {
        str(index): frozen.arrays[node][name] for index, (node, name) in enumerate(names)
    }
    with write_atomically(tuned.path.with_suffix(".npz")) as file:
        np.savez(file, allow_pickle=False, key=np.array(tuned.key), **values)
    meta = {
        "type": tuned.type,
        "key": tuned.key,
        "valid_accuracy": tuned.valid_accuracy,
        "test_accuracy": tuned.test_accuracy,
        "seconds": tuned.seconds,
        "arrays": names,
        "affine": isinstance(frozen.formats, AffineChosen),
        "tensors": {name: asdict(fmt) for name, fmt in frozen.formats.tensors.items()},
        "weights": {
            name: asdict(fmt) if isinstance(fmt, FixedWeights) else fmt
            for name, fmt in frozen.formats.weights.items()
        },
        "history": [asdict(epoch) for epoch in tuned.history],
    }
    with write_atomically(tuned.path) as file:
        file.write(json.dumps(meta, indent=1).encode())


def _modules() -> list[str]:
    """The modules whose code decides what is trained: these here, and of the generator all up to quantization."""
    generator = Path(__file__).parents[1] / "codegen"
    package = (__package__ or "").rpartition(".")[0]
    files = [
        generator / name
        for name in ("affine_math.py", "formats.py", "graph.py", "reference.py", "requant.py")
    ]
    for folder in ("frontends", "ops", "passes", "quantize"):
        files += sorted((generator / folder).glob("*.py"))
    names = ("affine_simulation", "augmentation", "backend", "optimizer", "qat", "simulation", "trainer")
    return [
        *(f"{__package__}.{name}" for name in names),
        *(f"{package}.codegen.{'.'.join(f.relative_to(generator).with_suffix('').parts)}" for f in files),
    ]
