"""Accuracy of TensorFlow Lite's own post-training quantization beside ours, for one trained model.

    python scripts/tflite_accuracy.py build/uci_har/resnetv1_6_f16/run1/model.keras build/uci_har/data.npz

Both take ranges from the same training vectors. TensorFlow Lite: its converter, all integers, run by its reference
kernels. "same class": test vectors that keep the float32 model's answer.
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
from microai.codegen.reference import outputs, stored
from microai.train.backend import keras


def tflite_scores(model: Any, calibration: Array, x: Array, bits: int) -> Array:
    """Integer scores [N, classes] of the converted model."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([calibration[i : i + 1]] for i in range(len(calibration)))
    sets = tf.lite.OpsSet
    wide = sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    converter.target_spec.supported_ops = [wide if bits == 16 else sets.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int16 if bits == 16 else tf.int8
    interpreter = tf.lite.Interpreter(
        model_content=converter.convert(),
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF,
    )
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero_point = source["quantization"]
    scores = []
    for vector in Affine(bits, float(np.float32(scale)), int(zero_point)).quantize(x):
        interpreter.set_tensor(source["index"], vector[np.newaxis])
        interpreter.invoke()
        scores.append(interpreter.get_tensor(target["index"]).ravel())
    return np.array(scores)


def main(
    model: Annotated[Path, typer.Argument(help="trained model (.keras)")],
    data: Annotated[Path, typer.Argument(help="data.npz of the experiment: x_train, x_test, y_test")],
    vectors: Annotated[
        int, typer.Option(min=1, help="training vectors for the ranges, the first ones")
    ] = 500,
) -> None:
    with np.load(data) as arrays:
        x, y, calibration = arrays["x_test"], arrays["y_test"], arrays["x_train"][:vectors]
    graph = simplify(import_model(model, model.stem), remove_softmax=True)
    real = outputs(graph, [x])[0].reshape(len(x), -1)
    found = {"float32": real}
    trained = keras.models.load_model(model, compile=False)
    for kind, bits in (("affine8", 8), ("affine16x8", 16)):
        affine = quantize(graph, [calibration], scheme_for(kind))
        found[kind] = outputs(affine, stored(affine, [x]))[0].reshape(len(x), -1)
        found[f"TensorFlow Lite {'int8' if bits == 8 else '16x8'}"] = tflite_scores(
            trained, calibration, x, bits
        )
    for name, scores in found.items():
        print(
            f"{name:20} {100 * accuracy(scores, y):6.2f} %  same class {100 * agreement(real, scores):6.2f} %"
        )


if __name__ == "__main__":
    typer.run(main)
