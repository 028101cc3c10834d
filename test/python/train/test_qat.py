"""Quantization-aware training: what it simulates is what the generator makes; its gradients; its files."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from microai.codegen import formats, reference
from microai.codegen.compare import accuracy
from microai.codegen.formats import Fixed
from microai.codegen.graph import Graph, Node, TensorType
from microai.codegen.ops.add import Add
from microai.codegen.ops.base import NONE, RELU
from microai.codegen.ops.batchnorm import BatchNorm
from microai.codegen.ops.conv import Conv, Window
from microai.codegen.ops.dense import Dense
from microai.codegen.ops.pool import AvgPool, MaxPool
from microai.codegen.ops.softmax import Softmax
from microai.codegen.passes import simplify
from microai.codegen.pipeline import Scheme
from microai.codegen.quantize.affine import AffineScheme
from microai.codegen.quantize.calibration import calibrate
from microai.codegen.quantize.fixed_point import FixedPoint, choose_formats
from microai.codegen.requant import Rounding
from microai.deploy import calibration_of, compile_variant, generation_key, scheme_of, tune, variants
from microai.errors import UserError
from microai.experiment import Experiment, load_experiment
from microai.train import qat
from microai.train.stages import PreparedData, TrainedModel, preprocess_data, train

EXPERIMENT = """
bench = { name = "tiny", seed = 3 }
dataset.kind = "digits"
preprocessing = [{ kind = "zscore" }, { kind = "validation_split", params = { by = "vector" } }]
data_augmentation = [{ kind = "mixup" }]
deploy.quantize = ["w2", "int8"]

[[postprocessing]]
kind = "quantization_aware_training"

[postprocessing.params]
type = "w2"
epochs = 5
batch_size = 100
settle = 1
optimizer.kind = "sgd"
optimizer.params = { learning_rate = 0.02, weight_decay = 5e-4 }
optimizer.scheduler = { kind = "step", params = { milestones = [2] } }

[quantization.w2]
weights_bits = 2
scale = "filter"
unsigned = true

[model_template]
kind = "cnn"
params = { filters = [4], kernel_sizes = [3], strides = [1], paddings = [1], pool_sizes = [2], batch_norm = true }
epochs = 3
batch_size = 100
optimizer.kind = "sgd"
optimizer.params = { learning_rate = 0.05 }

[[model]]
name = "net"
"""
STEP = "postprocessing.0.params"


def read(tmp_path: Path, *overrides: str) -> Experiment:
    path = tmp_path / "tiny.toml"
    path.write_text(EXPERIMENT, encoding="utf-8")
    return load_experiment(path, overrides)


def run(experiment: Experiment, build: Path) -> tuple[PreparedData, TrainedModel, list[qat.Tuned]]:
    prepared = preprocess_data(experiment, build)
    (trained,) = train(experiment, prepared, build)
    return prepared, trained, [tuned for _, tuned in tune(experiment, prepared, [trained])]


Whole = tuple[Path, PreparedData, TrainedModel, qat.Tuned]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The tiny experiment with 2-bit weights, trained once without interruption."""
    folder = tmp_path_factory.mktemp("whole")
    prepared, trained, (tuned,) = run(read(folder), folder)
    return folder, prepared, trained, tuned


def simulation(graph: Graph, scheme: Scheme, x: np.ndarray, ranges: Any = "batch") -> Any:
    return qat.simulation(graph, scheme, [x], ranges)


def test_exported_integers_reach_the_simulated_accuracy(whole: Whole) -> None:
    """Every score of every test vector has the same bits; the accuracy is that of the file."""
    from microai.train.simulation import Rules, Simulation

    folder, prepared, trained, tuned = whole
    experiment = read(folder)
    (variant,) = [item for item in variants(experiment, [trained]) if item.type == "w2"]
    compiled = compile_variant(experiment, prepared, variant)
    graph = compiled.quantized
    scores = reference.outputs(graph, list(reference.stored(graph, [prepared.x_test])))[0]
    assert accuracy(scores, prepared.y_test) == tuned.test_accuracy
    final = Simulation(
        tuned.frozen.applied(simplify(compiled.imported, remove_softmax=True)),
        tuned.frozen.formats,
        Rules(Rounding.NEAREST, Rounding.NEAREST, "frozen"),
    )
    simulated = final.predict(prepared.x_test, verbose=0)
    logits = compiled.quantized.nodes[-2].name  # the last node is the softmax
    before = reference.tensors(graph, list(reference.stored(graph, [prepared.x_test])))[logits]
    np.testing.assert_array_equal(graph.tensors[logits].format.dequantize(before), simulated)
    widths = {node.op.weights.bits for node in graph.nodes if hasattr(node.op, "weights")}
    assert widths == {2}
    assert any(isinstance(t.format, Fixed) and t.format.unsigned for t in graph.tensors.values())


@pytest.mark.parametrize(
    "overrides",
    [
        ("quantization.w2={weights_bits=3, scale='filter'}", f"{STEP}.ranges='learned'"),
        (
            "quantization.w2={weights_bits=16, activations_bits=16, scale='network', frac=9}",
            f"{STEP}.ranges='frozen'",
        ),
    ],
)
def test_other_ranges_and_widths_are_exact_too(
    whole: Whole, tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    shutil.copytree(whole[0], tmp_path, ignore=shutil.ignore_patterns("qat_*"), dirs_exist_ok=True)
    experiment = read(tmp_path, *overrides, f"{STEP}.epochs=2")
    prepared, trained, (tuned,) = run(experiment, tmp_path)
    (variant,) = [item for item in variants(experiment, [trained]) if item.type == "w2"]
    graph = compile_variant(experiment, prepared, variant).quantized
    scores = reference.outputs(graph, list(reference.stored(graph, [prepared.x_test])))[0]
    assert accuracy(scores, prepared.y_test) == tuned.test_accuracy
    if "frozen" in overrides[1]:
        assert {fmt.frac for fmt in tuned.frozen.formats.tensors.values()} == {9}


@pytest.mark.parametrize(
    ("kind", "ranges"),
    [*(("affine8", ranges) for ranges in ("batch", "moving", "learned", "frozen")), ("affine16x8", "batch")],
)
def test_affine_integers_reach_the_simulated_accuracy(
    whole: Whole, tmp_path: Path, kind: str, ranges: str
) -> None:
    """Every score of every test vector, of the network that was trained and read again from its files."""
    from microai.train.simulation import tensors

    shutil.copytree(whole[0], tmp_path, ignore=shutil.ignore_patterns("qat_*"), dirs_exist_ok=True)
    changes = (f"{STEP}.type='{kind}'", f"{STEP}.ranges='{ranges}'", f"{STEP}.epochs=3")
    experiment = read(tmp_path, f"deploy.quantize=['{kind}']", *changes)
    prepared, trained, (tuned,) = run(experiment, tmp_path)
    (variant,) = variants(experiment, [trained])
    compiled = compile_variant(experiment, prepared, variant)
    graph = compiled.quantized
    stored = list(reference.stored(graph, [prepared.x_test]))
    wanted = reference.tensors(graph, stored)
    assert accuracy(wanted[graph.outputs[0]], prepared.y_test) == tuned.test_accuracy > 0.5
    scheme = scheme_of(experiment, kind)
    assert scheme is not None
    network = qat.inference(qat.trainable(compiled.imported)[0], tuned.frozen, scheme)
    found = tensors(network, prepared.x_test)
    for name, values in found.items():
        np.testing.assert_array_equal(values, wanted[name], err_msg=name)
    assert tuned.history[-1].loss < tuned.history[0].loss
    before = compile_variant(
        read(tmp_path, f"deploy.quantize=['{kind}']", "postprocessing=[]"), prepared, variant
    )
    same_formats = all(
        graph.tensors[name].format == tensor.format for name, tensor in before.quantized.tensors.items()
    )
    assert same_formats == (ranges == "frozen")


def test_calibration_vectors_are_evenly_spaced(whole: Whole) -> None:
    """A data set may be sorted by class."""
    folder, prepared, _, _ = whole
    count = len(prepared.x_train)
    (few,) = calibration_of(read(folder, "quantization.w2.calibration_vectors=10"), "w2", prepared)
    assert np.array_equal(few, prepared.x_train[[i * count // 10 for i in range(10)]])
    (all_of_them,) = calibration_of(read(folder), "w2", prepared)
    assert np.array_equal(all_of_them, prepared.x_train)
    assert calibration_of(read(folder), "float32", prepared) == []


def test_training_recovers_what_two_bits_cost(whole: Whole) -> None:
    folder, prepared, trained, tuned = whole
    experiment = read(folder, "postprocessing=[]")
    (variant,) = [item for item in variants(experiment, [trained]) if item.type == "w2"]
    graph = compile_variant(experiment, prepared, variant).quantized
    scores = reference.outputs(graph, list(reference.stored(graph, [prepared.x_test])))[0]
    assert tuned.test_accuracy > accuracy(scores, prepared.y_test) + 0.1
    assert tuned.history[-1].loss < tuned.history[0].loss


def test_it_says_what_it_is_and_is_done_once(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, prepared, trained, tuned = whole
    assert tuned.path == folder / "tiny" / "net" / "run1" / "qat_w2.json" and tuned.type == "w2"
    assert [epoch.learning_rate for epoch in tuned.history] == pytest.approx(
        [0.02, 0.02, 0.002, 0.002, 0.002]
    )
    assert tuned.valid_accuracy is not None and not list(tuned.path.parent.glob("*checkpoint*"))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("done again")

    monkeypatch.setattr(qat, "fit_scores", never)
    _, same_model, (kept,) = run(read(folder), folder)
    assert same_model == trained and kept.key == tuned.key and kept.history == tuned.history
    assert same(kept, tuned) and kept.frozen.formats == tuned.frozen.formats
    for change in (f"{STEP}.epochs=6", f'{STEP}.ranges="moving"', "quantization.w2.weights_bits=3"):
        with pytest.raises(AssertionError, match="done again"):
            run(read(folder, change), folder)
    assert run(read(folder, 'deploy.quantize=["int8"]'), folder)[2] == []
    experiment = read(folder)
    for item in variants(experiment, [trained]):
        changed = generation_key(experiment, prepared, item) != generation_key(
            read(folder, "postprocessing=[]"), prepared, item
        )
        assert changed == (item.type == "w2")


def same(a: qat.Tuned, b: qat.Tuned) -> bool:
    return all(
        np.array_equal(array, b.frozen.arrays[node][name])
        for node, arrays in a.frozen.arrays.items()
        for name, array in arrays.items()
    )


KILLED = """
import os, signal, sys
from pathlib import Path
from microai.deploy import tune
from microai.experiment import load_experiment
from microai.train import stages, trainer

keep, count = trainer._keep, 0
def keep_then_die(checkpoint, *args):
    global count
    keep(checkpoint, *args)
    count += checkpoint.name.startswith("qat")
    if count == 1:
        os.kill(os.getpid(), signal.SIGKILL)
trainer._keep = keep_then_die
folder = Path(sys.argv[1])
experiment = load_experiment(folder / "tiny.toml", sys.argv[2:])
prepared = stages.preprocess_data(experiment, folder)
tune(experiment, prepared, stages.train(experiment, prepared, folder))
"""


def test_a_killed_run_ends_with_the_same_bits(
    whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _, _, uninterrupted = whole
    shutil.copytree(folder, tmp_path, ignore=shutil.ignore_patterns("qat_*"), dirs_exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], check=False, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (tmp_path / "tiny" / "net" / "run1" / "qat_w2.checkpoint.npz").is_file()
    epochs: list[int] = []
    fit = qat.fit_scores

    def watched(network: Any, plan: Any, checkpoint: Any, key: Any, progress: Any, *others: Any) -> Any:
        return fit(network, plan, checkpoint, key, lambda done, last: epochs.append(done), *others)

    monkeypatch.setattr(qat, "fit_scores", watched)
    _, _, (resumed,) = run(read(tmp_path), tmp_path)
    assert epochs == [2, 3, 4, 5]
    assert same(resumed, uninterrupted) and resumed.frozen.formats == uninterrupted.frozen.formats
    assert resumed.history == uninterrupted.history


def test_from_scratch(whole: Whole, tmp_path: Path) -> None:
    """Without epochs the float model stays untrained, and quantization-aware training starts from it."""
    _, trained, (tuned,) = run(read(tmp_path, "model_template.epochs=0", f"{STEP}.epochs=6"), tmp_path)
    assert trained.history == () and trained.test_accuracy < 0.4 < tuned.test_accuracy


@pytest.mark.parametrize(
    ("override", "where", "why"),
    [
        (
            f'{STEP}.type="int9"',
            "postprocessing[0].params.type",
            "'int9' is no type of integers; did you mean",
        ),
        (f'{STEP}.type="float32"', "postprocessing[0].params.type", "is no type of integers"),
        ("quantization.affine8.activations_bits=9", "affine8.activations_bits", "8 or 16, got 9"),
        ("quantization.affine8.calibration='best'", "affine8.calibration", "'minmax', 'percentile'"),
        ("quantization.affine8.layers.conv9.weights_bits=4", "affine8.layers", "unknown key"),
        (
            "quantization.int8.activations_bits=17",
            "int8.activations_bits",
            "less than or equal to 16, got 17",
        ),
        ("quantization.int8.weights_rounding='best'", "int8.weights_rounding", "'trunc' or 'adaptive'"),
        (f"{STEP}.epochs=0", "postprocessing[0].params.epochs", "greater than or equal to 1"),
        (f"{STEP}.epoch=1", "postprocessing[0].params.epoch", "unknown key; did you mean 'epochs'?"),
        (f'{STEP}.ranges="min"', "postprocessing[0].params.ranges", "expected 'batch', 'moving'"),
        (f"{STEP}.settle=5", "postprocessing[0].params", "settle must be below epochs"),
        (f'{STEP}.optimizer.kind="sdg"', "params.optimizer.kind", "did you mean 'sgd'?"),
        (f"{STEP}.optimizer.params.rate=1", "params.optimizer.params.rate", "unknown key"),
        (f'{STEP}.optimizer.scheduler.kind="stp"', "optimizer.scheduler.kind", "did you mean 'step'?"),
        (
            'postprocessing=[{kind="quantization_aware_training", params={type="int8", epochs=1}},'
            '{kind="quantization_aware_training", params={type="int8", epochs=2}}]',
            "postprocessing[1].params.type",
            "'int8' is trained by an earlier step too",
        ),
    ],
)
def test_mistakes_in_the_experiment(tmp_path: Path, override: str, where: str, why: str) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, override)
    assert where in str(caught.value) and why in str(caught.value) and "\n" not in str(caught.value)


def test_what_cannot_be_trained_is_told(whole: Whole, tmp_path: Path) -> None:
    folder, _, trained, _ = whole
    with pytest.raises(UserError, match="one scale for the network cannot follow ranges = 'batch'"):
        run(read(folder, "quantization.w2={scale='network'}"), folder)
    with pytest.raises(UserError, match=r"the model was loaded and has no optimizer; give params\.optimizer"):
        run(
            read(
                folder,
                f'model.net={{name="net", load="{trained.path}"}}',
                "model_template={kind='cnn'}",
                "postprocessing=[{kind='quantization_aware_training', params={type='w2', epochs=1}}]",
            ),
            folder / "loaded",
        )
    x = np.zeros((2, 3), np.float32)
    dense = Dense(np.eye(3, dtype=np.float32), np.zeros(3, np.float32))
    inside = Graph.build(
        "g",
        {"x": TensorType((3,))},
        [Node("a", dense, ("x",)), Node("s", Softmax(), ("a",)), Node("b", dense, ("s",))],
        ["b"],
    )
    with pytest.raises(UserError, match=r"layer s \(softmax\) cannot be trained with"):
        simulation(inside, FixedPoint(8), x)
    two = Graph.build("g", {"x": TensorType((3,))}, [Node(n, dense, ("x",)) for n in "ab"], ["a", "b"])
    with pytest.raises(UserError, match="several inputs or outputs"):
        simulation(two, FixedPoint(8), x)
    with pytest.raises(UserError, match="was of another model; train again"):
        whole[3].frozen.quantized(inside, [x], FixedPoint(8))


def test_a_damaged_result_is_made_again(whole: Whole, tmp_path: Path) -> None:
    path = whole[3].path
    for name, data in (("qat_w2.json", b"{"), ("qat_w2.npz", b"PK")):
        for kept in ("qat_w2.json", "qat_w2.npz"):
            (tmp_path / kept).write_bytes((path.parent / kept).read_bytes())
        assert qat.read(tmp_path, "w2") is not None
        (tmp_path / name).write_bytes(data)
        assert qat.read(tmp_path, "w2") is None
    assert qat.read(tmp_path / "nothing", "w2") is None


def test_the_gradient_goes_straight_through_and_stops_where_clamped() -> None:
    """4 bits, step 1/2: -4..3.5; a value that is only rounded beyond the end keeps its gradient."""
    from microai.train.simulation import snapped, tf

    x = tf.constant([-4.6, -4.4, -0.3, 0.2, 3.9, 4.1])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = snapped(x, tf.constant(1.0), (-8.0, 7.0), Rounding.NEAREST)
        relu = snapped(x, tf.constant(1.0), (0.0, 7.0), Rounding.NEAREST, (False, True))
    assert np.asarray(y).tolist() == [-4, -4, -0.5, 0, 3.5, 3.5]
    assert np.asarray(tape.gradient(y, x)).tolist() == [0, 1, 1, 1, 1, 0]
    assert np.asarray(relu).tolist() == [0, 0, 0, 0, 3.5, 3.5]
    assert np.asarray(tape.gradient(relu, x)).tolist() == [0, 0, 0, 1, 1, 0]


def test_the_learned_step_goes_where_the_error_is_less() -> None:
    """Gradient of the squared error by the step: down where the range is too wide, up where values saturate."""
    from microai.train.simulation import learnable, power_of_two, snapped, tf

    x = tf.constant(np.random.default_rng(0).uniform(-0.9, 0.9, (4, 200)).astype(np.float32))
    signs = []
    for start in (-3.0, -7.0):  # 4 bits: 2^-3 just holds 0.9; 2^-7 saturates at 0.055
        log_step = tf.Variable(start)
        with tf.GradientTape() as tape:
            y = snapped(x, -tf.round(log_step), (-8.0, 7.0), Rounding.NEAREST)
            y += learnable(
                x, log_step, power_of_two(tf.round(log_step), x.dtype), (-8.0, 7.0), Rounding.NEAREST
            )
            loss = tf.reduce_sum((y - x) ** 2)
        assert np.array_equal(np.asarray(y), np.asarray(snapped(x, -log_step, (-8.0, 7.0), Rounding.NEAREST)))
        signs.append(float(tape.gradient(loss, log_step)))
    assert signs[1] < 0, "a step that saturates must grow"
    wide = tf.Variable(0.0)  # step 1 for values below 1: must shrink
    with tf.GradientTape() as tape:
        y = snapped(x, -tf.round(wide), (-8.0, 7.0), Rounding.NEAREST)
        y += learnable(x, wide, power_of_two(tf.round(wide), x.dtype), (-8.0, 7.0), Rounding.NEAREST)
        loss = tf.reduce_sum((y - x) ** 2)
    assert float(tape.gradient(loss, wide)) > 0
    assert float(power_of_two(tf.constant(-3.0), tf.float32)) == 0.125


def layer(random: np.random.Generator, activation: Any = NONE) -> Conv:
    kernel = random.normal(size=(3, 1, 3, 2)).astype(np.float32)
    bias = random.normal(size=3).astype(np.float32)
    return Conv(kernel, bias, Window((1, 3), padding=(0, 0, 1, 1)), activation=activation)


@pytest.mark.parametrize("ranges", ["batch", "moving", "frozen"])
def test_ranges_while_training(ranges: str) -> None:
    """The frac of each tensor after one step, and after a settled one, which changes none."""
    from microai.train.simulation import MOVING

    random = np.random.default_rng(5)
    graph = Graph.build("g", {"x": TensorType((8, 2))}, [Node("c", layer(random, RELU), ("x",))], ["c"])
    x = random.normal(size=(20, 8, 2)).astype(np.float32)
    network = simulation(graph, FixedPoint(8), x, ranges)
    before = calibrate(graph, [x])
    network.begin_epoch(settled=False)
    network(64 * x, training=True)
    peak = float(np.abs(64 * x).max())
    expected = {"batch": peak, "moving": MOVING * before["x"] + (1 - MOVING) * peak, "frozen": before["x"]}
    frac = network.export().formats.tensors["x"].frac
    assert frac == formats.fixed_for(expected[ranges], 8).frac
    network.begin_epoch(settled=True)
    network(4096 * x, training=True)
    assert network.export().formats.tensors["x"].frac == frac
    network.begin_epoch(settled=False)
    network(4096 * x, training=True)
    assert (network.export().formats.tensors["x"].frac < frac) == (ranges != "frozen")


def test_batch_normalization_is_folded_while_training() -> None:
    """In 16 bits: training output as Keras's (batch statistics), moving averages too, and the export."""
    from microai.train.backend import keras
    from microai.train.simulation import Rules, Simulation, tf

    random = np.random.default_rng(6)
    conv = layer(random)
    arrays = [random.uniform(0.5, 2, 3).astype(np.float32) for _ in range(4)]
    norm = BatchNorm(*arrays, epsilon=1e-3)
    graph = Graph.build(
        "g", {"x": TensorType((8, 2))}, [Node("c", conv, ("x",)), Node("n", norm, ("c",))], ["n"]
    )
    simplified, norms = qat.trainable(graph)
    assert list(norms) == ["n"] and len(simplified.nodes) == 1
    x = random.normal(size=(20, 8, 2)).astype(np.float32)
    maxima = calibrate(simplified, [x])
    scheme = FixedPoint(16)
    network = Simulation(
        simplified,
        choose_formats(simplified, maxima, scheme),
        Rules(Rounding.NEAREST, Rounding.NEAREST, "batch"),
        norms,
        maxima,
    )
    theirs = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-3)
    theirs.build((None, 8, 3))
    theirs.set_weights(arrays)
    sums = conv.run([x])
    network.begin_epoch(settled=False)
    np.testing.assert_allclose(network(x, training=True), theirs(sums, training=True), atol=2e-3)
    for key, variable in (("mean", theirs.moving_mean), ("variance", theirs.moving_variance)):
        np.testing.assert_allclose(network.parameters_of["n"][key], variable, rtol=1e-3)
    frozen = network.export()
    moved = replace(norm, mean=np.asarray(theirs.moving_mean), variance=np.asarray(theirs.moving_variance))
    folded = qat.folded(conv, moved)
    assert isinstance(folded, Conv)
    np.testing.assert_allclose(frozen.arrays["n"]["kernel"], folded.kernel, rtol=1e-3)
    np.testing.assert_allclose(frozen.arrays["n"]["bias"], folded.bias, rtol=1e-2, atol=1e-3)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(network(x, training=True) ** 2)
    gradients = tape.gradient(loss, network.trainable_variables)
    assert len(gradients) == 4 and all(np.abs(np.asarray(g)).max() > 0 for g in gradients[2:])


@pytest.mark.parametrize("bits", [8, 16])
def test_affine_gradients_are_those_of_the_float_network(bits: int) -> None:
    """As far as the rounding lets them: of a layer, an addition, pooling and a mean, in fine steps."""
    from microai.train.simulation import tf

    random = np.random.default_rng(7)
    nodes = [
        Node("a", layer(random, RELU), ("x",)),
        Node("b", layer(random), ("x",)),
        Node("sum", Add(RELU), ("a", "b")),
        Node("pool", MaxPool(Window((1, 2), (1, 2))), ("sum",)),
        Node("mean", AvgPool(Window((1, 4), (1, 4))), ("pool",)),
    ]
    graph = Graph.build("g", {"x": TensorType((8, 2))}, nodes, ["mean"])
    x = random.normal(size=(50, 8, 2)).astype(np.float32)
    found = []
    for scheme in (AffineScheme(bits), FixedPoint(16)):
        network = simulation(graph, scheme, x)
        with tf.GradientTape() as tape:
            scores = network(x, training=True)
            loss = tf.reduce_mean((scores - 1) ** 2)
        found.append([np.asarray(g) for g in tape.gradient(loss, network.trainable_variables)])
    for ours, wanted in zip(*found, strict=True):
        np.testing.assert_allclose(ours, wanted, atol={8: 0.05, 16: 2e-3}[bits] * np.abs(wanted).max())


@pytest.mark.parametrize("ranges", ["batch", "moving", "frozen"])
def test_affine_ranges_while_training(ranges: str) -> None:
    """The scale and zero point of a tensor after one step, and after a settled one, which changes none."""
    from microai.train.simulation import MOVING

    random = np.random.default_rng(5)
    graph = Graph.build("g", {"x": TensorType((8, 2))}, [Node("c", layer(random, RELU), ("x",))], ["c"])
    x = random.normal(size=(20, 8, 2)).astype(np.float32)
    low, high = float(x.min()), float(x.max())
    network = simulation(graph, AffineScheme(8), x, ranges)
    network.begin_epoch(settled=False)
    network(64 * x, training=True)
    factor = {"batch": 64, "moving": MOVING + 64 * (1 - MOVING), "frozen": 1}[ranges]
    wanted = formats.affine_for(factor * low, factor * high, 8)
    kept = network.export().formats.tensors["x"]
    assert kept.scale == pytest.approx(wanted.scale) and kept.zero_point == wanted.zero_point
    assert network.export().formats.tensors["c"].zero_point == -128
    network.begin_epoch(settled=True)
    network(4096 * x, training=True)
    assert network.export().formats.tensors["x"] == kept
    network.begin_epoch(settled=False)
    network(4096 * x, training=True)
    assert (network.export().formats.tensors["x"].scale > kept.scale) == (ranges != "frozen")


def test_numbers_that_are_not_finite_make_a_loss_that_is_not() -> None:
    """So that a training that diverges ends with the trainer's line about it."""
    graph = Graph.build(
        "g", {"x": TensorType((8, 2))}, [Node("c", layer(np.random.default_rng(1)), ("x",))], ["c"]
    )
    network = simulation(graph, AffineScheme(8), np.ones((4, 8, 2), np.float32))
    network.parameters_of["c"]["kernel"].assign(np.full((3, 1, 3, 2), np.nan, np.float32))
    assert np.isnan(np.asarray(network(np.ones((4, 8, 2), np.float32), training=True))).all()
