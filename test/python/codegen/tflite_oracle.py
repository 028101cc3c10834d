"""TensorFlow Lite as the oracle of affine integers: its converter's parameters and its reference kernels' answers.

A Keras model is converted with post-training quantization (int8, or 16x8) and run by the interpreter with the
kernels of `OpResolverType.BUILTIN_REF`; all tensors are kept. `Oracle.affine` is our graph of the same model with the
integers of the converted one: scales, zero points, weights, biases.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from microai.codegen.formats import Affine, Array
from microai.codegen.frontends.keras import import_keras
from microai.codegen.graph import Graph
from microai.codegen.ops.affine import AffineWeights
from microai.codegen.ops.conv import Conv
from microai.codegen.ops.dense import Dense
from microai.codegen.passes import simplify
from microai.codegen.quantize.affine import with_formats

KINDS = {
    "conv": ("CONV_2D", "DEPTHWISE_CONV_2D"),
    "dense": ("FULLY_CONNECTED",),
    "add": ("ADD",),
    "pool_max": ("MAX_POOL_2D", "REDUCE_MAX"),
    "pool_avg": ("AVERAGE_POOL_2D", "MEAN"),
    "concat": ("CONCATENATION",),
    "softmax": ("SOFTMAX",),
    "activation": ("RELU", "RELU6"),
    "pad": ("PAD",),
}


def convert(model: Any, calibration: list[Array], wide: bool) -> bytes:
    """The .tflite of a Keras model, all integers; calibration: one float array [N, *shape] per input."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    names = [x.name for x in model.inputs]
    converter.representative_dataset = lambda: (
        {name: x[i : i + 1] for name, x in zip(names, calibration, strict=True)}
        for i in range(len(calibration[0]))
    )
    sets = tf.lite.OpsSet
    converter.target_spec.supported_ops = [
        sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        if wide
        else sets.TFLITE_BUILTINS_INT8
    ]
    converter.inference_input_type = converter.inference_output_type = tf.int16 if wide else tf.int8
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bytes(converter.convert())


class Oracle:
    """A converted model, its interpreter, and our graph of the same model with the same integers."""

    def __init__(self, model: Any, calibration: list[Array], wide: bool) -> None:
        self.model, self.wide = model, wide
        self.content = convert(model, calibration, wide)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.interpreter = tf.lite.Interpreter(
                model_content=self.content,
                experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF,
                experimental_preserve_all_tensors=True,
            )
        self.interpreter.allocate_tensors()
        self.details = {d["index"]: d for d in self.interpreter.get_tensor_details()}
        self.ops = [op for op in self.interpreter._get_ops_details() if op["op_name"] != "DELEGATE"]
        self.graph = simplify(import_keras(model, "net"))
        self.places = self.match()
        """Our tensors by name: the index of the tensor of the converted model that says the same."""

    def format(self, index: int) -> Affine:
        parameters = self.details[index]["quantization_parameters"]
        return Affine(
            16 if self.wide else 8, float(parameters["scales"][0]), int(parameters["zero_points"][0])
        )

    def match(self) -> dict[str, int]:
        found = {d["name"]: d["index"] for d in self.interpreter.get_input_details()}
        keras_names = [f"serving_default_{x.name}:0" for x in self.model.inputs]
        places = {name: found[keras] for name, keras in zip(self.graph.inputs, keras_names, strict=True)}
        for node in self.graph.nodes:
            if node.op.kind == "reshape":
                places[node.name] = places[node.inputs[0]]
                continue
            candidates = [op for op in self.ops if op["op_name"] in KINDS[node.op.kind]]
            if isinstance(node.op, (Conv, Dense)):
                distances = [self.distance(op, node.op) for op in candidates]
                candidates = [candidates[int(np.argmin(distances))]]
            outputs = [int(op["outputs"][0]) for op in candidates]
            places[node.name] = next(index for index in outputs if index not in places.values())
        return places

    def integers(self, op: Any) -> AffineWeights:
        """Weights and bias of an operation as they stand in the file."""
        _, kernel, *rest = (int(i) for i in op["inputs"])
        weights = self.interpreter.get_tensor(kernel)
        if op["op_name"] == "DEPTHWISE_CONV_2D":
            weights = weights.transpose(3, 1, 2, 0)
        scales = self.details[kernel]["quantization_parameters"]["scales"]
        if len(scales) == 1:
            scales = np.repeat(scales, len(weights))
        bias = np.zeros(len(weights), np.int64)
        if rest and rest[0] >= 0:
            bias = self.interpreter.get_tensor(rest[0]).astype(np.int64)
        return AffineWeights(np.ascontiguousarray(weights), bias, scales)

    def distance(self, op: Any, ours: Conv | Dense) -> float:
        """How far the weights of an operation are from those of one of ours; infinite for other shapes."""
        found = self.integers(op)
        if found.kernel.shape != ours.kernel.shape:
            return float("inf")
        scales = found.scales.reshape(-1, *(1,) * (found.kernel.ndim - 1))
        return float(np.abs(found.kernel * scales - ours.kernel).max())

    def affine(self) -> Graph:
        """Our graph in the integers of the converted model."""
        makers = {int(op["outputs"][0]): op for op in self.ops}
        return with_formats(
            self.graph,
            {name: self.format(index) for name, index in self.places.items()},
            {
                node.name: self.integers(makers[self.places[node.name]])
                for node in self.graph.nodes
                if isinstance(node.op, (Conv, Dense))
            },
        )

    def run(self, inputs: list[Array]) -> dict[str, Array]:
        """Every tensor that has one of ours, for stored inputs [N, *shape] in our order; our shapes."""
        found: dict[str, list[Array]] = {name: [] for name in self.places}
        for i in range(len(inputs[0])):
            for name, x in zip(self.graph.inputs, inputs, strict=True):
                self.interpreter.set_tensor(self.places[name], x[i : i + 1])
            self.interpreter.invoke()
            for name, index in self.places.items():
                found[name].append(
                    self.interpreter.get_tensor(self.final(index)).reshape(self.graph.tensors[name].shape)
                )
        return {name: np.stack(parts) for name, parts in found.items()}

    def final(self, index: int) -> int:
        """The tensor after the moves of a dilated convolution that follow this one: the same values, in place."""
        for op in self.ops:
            if op["inputs"][0] == index and self.dilation_ends_after(op):
                return self.final(int(op["outputs"][0]))
        return index

    def dilation_ends_after(self, op: Any) -> bool:
        if op["op_name"] == "BATCH_TO_SPACE_ND":
            return True
        readers = [o for o in self.ops if o["inputs"][0] == op["outputs"][0]]
        return op["op_name"] == "RESHAPE" and any(o["op_name"] == "BATCH_TO_SPACE_ND" for o in readers)
