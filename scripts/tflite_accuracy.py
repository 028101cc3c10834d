"""Accuracy of TensorFlow Lite's own post-training quantization beside ours, for the trained models of an experiment.

    python scripts/tflite_accuracy.py experiments/uci_har.toml

Both take ranges from the same training vectors. TensorFlow Lite: its converter, all integers, run by its interpreter as
it comes. "same class": test vectors that keep the float32 model's answer.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import typer
from microai.codegen.compare import accuracy, agreement
from microai.codegen.formats import Affine, Array
from microai.codegen.frontends import import_model
from microai.codegen.passes import simplify
from microai.codegen.pipeline import quantize, scheme_for
from microai.codegen.quantize.calibration import spread
from microai.codegen.reference import outputs, stored
from microai.deploy import prepare_experiment
from microai.report.runs import Accuracies
from microai.report.terminal import print_runs
from microai.train.backend import keras
from rich.console import Console

BATCH = 64


def tflite_scores(model: Any, calibration: Array, x: Array, bits: int) -> Array:
    """Integer scores [N, classes] of the converted model."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([calibration[i : i + 1]] for i in range(len(calibration)))
    sets = tf.lite.OpsSet
    wide = sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    converter.target_spec.supported_ops = [wide if bits == 16 else sets.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int16 if bits == 16 else tf.int8
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero_point = source["quantization"]
    integers = Affine(bits, float(np.float32(scale)), int(zero_point)).quantize(x)
    scores = []
    for start in range(0, len(x), BATCH):
        batch = integers[start : start + BATCH]
        interpreter.resize_tensor_input(source["index"], batch.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(source["index"], batch)
        interpreter.invoke()
        scores.append(interpreter.get_tensor(target["index"]).reshape(len(batch), -1))
    return np.concatenate(scores)


def main(
    experiment: Annotated[Path, typer.Argument(help="experiment; its models are trained where they are not")],
    kind: Annotated[str, typer.Option(help="affine8 or affine16x8")] = "affine8",
    vectors: Annotated[int, typer.Option(min=1, help="training vectors for the ranges, evenly spaced")] = 500,
    set: Annotated[list[str] | None, typer.Option(help="change the experiment: key.path=TOML value")] = None,
) -> None:
    overrides = [*(set or ()), 'deploy.quantize=["float32"]']
    settings, prepared, items = prepare_experiment(experiment, overrides)
    x, y = prepared.x_test, prepared.y_test
    calibration = prepared.x_train[spread(len(prepared.x_train), vectors)]
    bits = {"affine8": 8, "affine16x8": 16}[kind]
    rows = []
    for item in items:
        model = item.model
        graph = simplify(import_model(model.path, model.name), remove_softmax=True)
        real = outputs(graph, [x])[0].reshape(len(x), -1)
        affine = quantize(graph, [calibration], scheme_for(kind))
        found = {
            kind: outputs(affine, stored(affine, [x]))[0].reshape(len(x), -1),
            f"TensorFlow Lite {kind}": tflite_scores(
                keras.models.load_model(model.path, compile=False), calibration, x, bits
            ),
        }
        for name, scores in found.items():
            row = Accuracies(
                model.name, model.run, name, accuracy(real, y), accuracy(scores, y), agreement(real, scores)
            )
            rows.append(row)
            print(
                f"{model.name}/run{model.run} {name:26} {100 * row.accuracy:6.2f} %  float {100 * row.exact:6.2f} %"
                f"  same class {100 * row.agreement:6.2f} %",
                flush=True,
            )
    print_runs(Console(width=120), settings.bench.name, rows)


if __name__ == "__main__":
    typer.run(main)
