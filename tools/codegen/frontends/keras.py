"""Keras 3 models, Sequential and functional, as graphs. Nothing else in the generator knows Keras.

A layer becomes the operation of the same meaning under the layer's own name. Where one layer needs several
operations, those besides its main one are called "layer/part"; layers of a nested model "model/layer"; the
second use of a shared layer "layer/use2" (Keras allows no slash in a name).
"""

from __future__ import annotations

import math
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ...errors import UserError
from ..formats import Array
from ..graph import Graph, Node, TensorType
from ..ops.add import Add
from ..ops.base import NONE, RELU, Activation, FloatOp, Shape, hwc
from ..ops.batchnorm import BatchNorm
from ..ops.conv import Conv, Window
from ..ops.copy import Clamp, Concat, Pad, Reshape
from ..ops.dense import Dense
from ..ops.pool import AvgPool, MaxPool
from ..ops.softmax import Softmax

CLAMPS: Mapping[str, Activation] = {"linear": NONE, "relu": RELU, "relu6": Activation(0.0, 6.0)}


def import_keras(source: Any, name: str) -> Graph:
    """The float graph, called `name`, of a Keras model or of a .keras or .h5 file (a Path).

    Raises UserError, one line, for a file that is not a model, a layer or option that is not supported
    (with its place), weights that are not finite, and dimensions that are not fixed.
    """
    model, where = (_load(source), str(source)) if isinstance(source, Path) else (source, name)
    if not isinstance(model, _keras().Model) or not getattr(model, "outputs", None):
        raise UserError(
            where,
            "is neither a Sequential nor a functional model of known input shape",
            "start it with keras.Input",
        )
    inputs = {}
    for tensor in model.inputs:
        layer = tensor._keras_history.operation.name
        inputs[layer] = TensorType(_shape(tensor, f"{where}: input {layer}"))
    nodes: list[Node] = []
    return Graph.build(name, inputs, nodes, _convert(model, tuple(inputs), where, "", nodes))


def _keras() -> Any:
    """The module keras, imported when it is first needed: it takes seconds."""
    try:
        from ...train.backend import keras
    except ImportError as error:
        raise UserError("Keras", f"cannot be imported ({error})", "pip install 'microai[train]'") from None
    return keras


def _load(path: Path) -> Any:
    if not path.is_file():
        raise UserError(path, "there is no such file", "check the path")
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise UserError(path, "is not a Keras 3 model, or is truncated", "save or copy it again")
    try:
        return _keras().models.load_model(path, compile=False)
    except UserError:
        raise
    except Exception as error:  # Keras raises whatever the damage or the unknown object leads to
        reason = next(iter(str(error).splitlines()), type(error).__name__).split(". ")[0].rstrip(".:")
        mend = "save it again with Keras 3, with layers of Keras only"
        raise UserError(path, f"Keras cannot load it ({reason})", mend) from None


def _shape(tensor: Any, where: str) -> Shape:
    """Shape of one sample of a Keras tensor."""
    shape = tuple(tensor.shape[1:])
    if None in shape:
        text = ", ".join("?" if extent is None else str(extent) for extent in shape)
        raise UserError(
            where, f"its shape ({text}) is not fixed", "give every dimension but the batch a size"
        )
    if not 1 <= len(shape) <= 3:
        raise UserError(where, f"a sample has shape {shape}", "use (C,), (T, C) or (H, W, C)")
    return shape


@dataclass(frozen=True)
class Call:
    """One use of a layer: what its converter reads (Keras's layer, names and shapes) and where it writes."""

    layer: Any
    name: str
    where: str
    inputs: tuple[str, ...]
    shapes: tuple[Shape, ...]
    output: Shape
    nodes: list[Node]

    def emit(self, op: FloatOp, *inputs: str, part: str = "") -> str:
        """Append a node that reads `inputs` (default: those of the layer); returns its name."""
        name = f"{self.name}/{part}" if part else self.name
        self.nodes.append(Node(name, op, inputs or self.inputs))
        return name

    def refuse(self, what: str, mend: str) -> UserError:
        return UserError(self.where, what, mend)

    def weights(self, attribute: str, shape: Shape = (), default: float = 0.0) -> Array:
        """A weight as float32; `default` everywhere where the layer has none."""
        variable = getattr(self.layer, attribute)
        if variable is None:
            return np.full(shape, default, np.float32)
        return np.asarray(variable, dtype=np.float32)

    def option(self, option: str, *allowed: Any) -> None:
        """Refuse the layer unless one of its options, where it has it at all, has an allowed value."""
        value = getattr(self.layer, option, allowed[0])
        if value not in allowed:
            supported = " or ".join(f"{option}={choice!r}" for choice in allowed)
            raise self.refuse(f"{option}={value!r} is not supported", f"use {supported}")

    def pair(self, option: str) -> tuple[int, int]:
        """An option of one number per spatial axis, as (H, W)."""
        value = tuple(getattr(self.layer, option))
        return (1, value[0]) if len(value) == 1 else (value[0], value[1])

    def activated(self, op: FloatOp) -> str:
        """Emit a convolution or dense layer with the activation argument of the Keras layer."""
        activation = self.activation()
        if activation is None:
            return self.emit(Softmax(), self.emit(op), part="softmax")
        with_activation = op.with_activation(activation)
        assert with_activation is not None
        return self.emit(with_activation)

    def activation(self) -> Activation | None:
        """The clamp that the layer's activation is; None for softmax."""
        functions = _keras().activations
        for name, clamp in CLAMPS.items():
            if self.layer.activation is getattr(functions, name):
                return clamp
        if self.layer.activation is functions.softmax:
            return None
        name = getattr(self.layer.activation, "__name__", type(self.layer.activation).__name__)
        raise self.refuse(f"activation {name} is not supported", f"use one of {', '.join(CLAMPS)}, softmax")


Converter: TypeAlias = Callable[[Call], str]


def _convert(
    model: Any, inputs: Sequence[str], where: str, prefix: str, nodes: list[Node]
) -> tuple[str, ...]:
    """Append the nodes of a model, applied to the tensors `inputs`; returns the names of its outputs.

    Each tensor is converted after those that it is made of, one branch after the other, so that few tensors
    are alive at a time.
    """
    known = {id(tensor): name for tensor, name in zip(model.inputs, inputs, strict=True)}
    uses: Counter[int] = Counter()
    pending = list(reversed(model.outputs))
    while pending:
        tensor = pending[-1]
        history = tensor._keras_history
        keras_node = history.operation._inbound_nodes[history.node_index]
        missing = [source for source in keras_node.input_tensors if id(source) not in known]
        if id(tensor) in known:
            pending.pop()
        elif missing:
            pending.extend(reversed(missing))
        else:
            layer = history.operation
            uses[id(layer)] += 1
            name = prefix + layer.name + (f"/use{uses[id(layer)]}" if uses[id(layer)] > 1 else "")
            sources = tuple(known[id(source)] for source in keras_node.input_tensors)
            made = _convert_layer(model, layer, name, where, sources, keras_node, nodes)
            known.update((id(output), made[i]) for i, output in enumerate(keras_node.outputs))
    return tuple(known[id(tensor)] for tensor in model.outputs)


def _convert_layer(
    model: Any, layer: Any, name: str, where: str, inputs: tuple[str, ...], keras_node: Any, nodes: list[Node]
) -> tuple[str, ...]:
    """Append the nodes of one use of a layer; returns the names of its outputs."""
    keras = _keras()
    kind = (
        type(layer).__name__ if isinstance(layer, keras.layers.Layer) else f"operation {type(layer).__name__}"
    )
    if isinstance(layer, keras.Model) and getattr(layer, "outputs", None):
        return _convert(layer, inputs, where, f"{name}/", nodes)
    layers = [each for each in model.layers if not isinstance(each, keras.layers.InputLayer)]
    position = f", layer {layers.index(layer) + 1} of {len(layers)}" if layer in layers else ""
    place = f"{where}: layer {name} ({kind}{position}, after {', '.join(inputs)})"
    converter = CONVERTERS.get(kind)
    if converter is None or type(layer) is not getattr(keras.layers, kind, None):
        raise UserError(place, "is not supported", f"use {', '.join(sorted(CONVERTERS))}")
    for variable in layer.weights:
        finite = np.isfinite(np.asarray(variable))
        if not finite.all():
            raise UserError(
                place,
                f"its array {variable.name} has {np.size(finite) - finite.sum()} NaN or infinite values "
                f"of {np.size(finite)}",
                "train it again",
            )
    shapes = tuple(_shape(source, place) for source in keras_node.input_tensors)
    (output,) = keras_node.outputs
    call = Call(layer, name, place, inputs, shapes, _shape(output, place), nodes)
    call.option("data_format", "channels_last")
    call.option("quantization_mode", None)
    return (converter(call),)


def _window(call: Call, kernel: tuple[int, int], dilation: tuple[int, int] = (1, 1)) -> Window:
    """Where a Keras layer looks; "same" puts the odd position of padding after, as TensorFlow does."""
    strides = call.pair("strides")
    extents = hwc(call.shapes[0])
    padding: list[int] = []
    for axis in (0, 1):
        span = dilation[axis] * (kernel[axis] - 1) + 1
        total = 0
        if call.layer.padding == "same":
            total = max(
                (math.ceil(extents[axis] / strides[axis]) - 1) * strides[axis] + span - extents[axis], 0
            )
        elif call.layer.padding == "causal":
            total = span - 1
        before = total if call.layer.padding == "causal" else total // 2
        padding += [before, total - before]
    return Window(kernel, strides, (padding[0], padding[1], padding[2], padding[3]), dilation)


def _four(kernel: Array) -> Array:
    """A kernel [(H,) W, ...] of Keras with the H axis in any case."""
    return kernel if kernel.ndim == 4 else kernel[np.newaxis]


def _conv(call: Call) -> str:
    kernel = _four(call.weights("kernel")).transpose(3, 0, 1, 2)  # [KH, KW, C/G, F] -> [F, KH, KW, C/G]
    window = _window(call, call.pair("kernel_size"), call.pair("dilation_rate"))
    return call.activated(Conv(kernel, call.weights("bias", (len(kernel),)), window, call.layer.groups))


def _depthwise_op(call: Call, kernel: Array, bias: Array | None) -> Conv:
    """kernel [(KH,) KW, C, M] -> [C * M, KH, KW, 1]: the M filters of a channel are neighbours."""
    kernel = _four(kernel)
    kh, kw, channels, multiplier = kernel.shape
    filters = channels * multiplier
    kernel = kernel.transpose(2, 3, 0, 1).reshape(filters, kh, kw, 1)
    window = _window(call, (kh, kw), call.pair("dilation_rate"))
    return Conv(kernel, np.zeros(filters, np.float32) if bias is None else bias, window, channels)


def _depthwise(call: Call) -> str:
    kernel = call.weights("kernel")
    bias = call.weights("bias", (kernel.shape[-2] * kernel.shape[-1],))
    return call.activated(_depthwise_op(call, kernel, bias))


def _separable(call: Call) -> str:
    middle = call.emit(_depthwise_op(call, call.weights("depthwise_kernel"), None), part="depthwise")
    kernel = _four(call.weights("pointwise_kernel")).transpose(3, 0, 1, 2)
    point = Conv(kernel, call.weights("bias", (len(kernel),)), Window((1, 1)))
    inner = Call(call.layer, call.name, call.where, (middle,), call.shapes, call.output, call.nodes)
    return inner.activated(point)


def _dense(call: Call) -> str:
    kernel = call.weights("kernel").T  # [C, F] -> [F, C]
    bias = call.weights("bias", (len(kernel),))
    if len(call.shapes[0]) == 1:
        return call.activated(Dense(kernel, bias))
    return call.activated(Conv(kernel.reshape(len(kernel), 1, 1, -1), bias, Window((1, 1))))


def _last_axis(call: Call) -> None:
    """Refuse a layer that does not work along the channels; axes of Keras count the batch."""
    axis = call.layer.axis
    (axis,) = axis if isinstance(axis, (list, tuple)) and len(axis) == 1 else (axis,)
    if axis not in (-1, len(call.shapes[0])):
        raise call.refuse(f"axis={axis} is not supported", "use the last axis, axis=-1")


def _batchnorm(call: Call) -> str:
    _last_axis(call)
    size = call.shapes[0][-1:]
    variance = call.weights("moving_variance")
    if (variance.astype(np.float64) + call.layer.epsilon <= 0).any():
        raise call.refuse("its array moving_variance has negative values", "train it again")
    return call.emit(
        BatchNorm(
            call.weights("gamma", size, 1.0),
            call.weights("beta", size),
            call.weights("moving_mean"),
            variance,
            float(call.layer.epsilon),
        )
    )


def _relu(call: Call) -> str:
    call.option("negative_slope", 0.0)
    call.option("threshold", 0.0)
    maximum = call.layer.max_value
    return call.emit(Clamp(Activation(0.0, None if maximum is None else float(maximum))))


def _activation(call: Call) -> str:
    activation = call.activation()
    return call.emit(Softmax() if activation is None else Clamp(activation))


def _softmax(call: Call) -> str:
    _last_axis(call)
    return call.emit(Softmax())


def _max_pool(call: Call) -> str:
    return call.emit(MaxPool(_window(call, call.pair("pool_size"))))


def _avg_pool(call: Call) -> str:
    return call.emit(AvgPool(_window(call, call.pair("pool_size"))))


def _global(pool: Callable[[Window], FloatOp]) -> Converter:
    def convert(call: Call) -> str:
        h, w, _ = hwc(call.shapes[0])
        pooled = call.emit(pool(Window((h, w), (h, w))))
        return pooled if call.layer.keepdims else call.emit(Reshape(call.output), pooled, part="reshape")

    return convert


def _add(call: Call) -> str:
    for shape in call.shapes:
        if shape != call.output:
            raise call.refuse(f"it adds shapes {call.shapes[0]} and {shape}", "add tensors of equal shape")
    total = call.inputs[0]
    for index, term in enumerate(call.inputs[1:], start=2):
        last = index == len(call.inputs)
        total = call.emit(Add(), total, term, part="" if last else f"sum{index}")
    return total


def _concatenate(call: Call) -> str:
    axis = call.layer.axis
    return call.emit(Concat(axis - 1 if axis > 0 else axis + len(call.output)))


def _zero_padding(call: Call) -> str:
    padding = call.layer.padding
    (top, bottom), (left, right) = ((0, 0), padding) if len(call.output) == 2 else padding
    return call.emit(Pad((top, bottom, left, right)))


def _reshape(call: Call) -> str:
    return call.emit(Reshape(call.output))


def _rescaling(call: Call) -> str:
    size = call.shapes[0][-1:]
    try:
        scale, offset = (
            np.broadcast_to(np.asarray(value, np.float32), size)
            for value in (call.layer.scale, call.layer.offset)
        )
    except ValueError:
        raise call.refuse(
            "its scale and offset differ along other axes than the last", "use one per channel"
        ) from None
    zeros = np.zeros(size, np.float32)
    return call.emit(BatchNorm(scale, offset, zeros, zeros + 1, 0.0))


def _identity(call: Call) -> str:
    """A layer that does nothing after the training."""
    return call.inputs[0]


CONVERTERS: Mapping[str, Converter] = {
    "Activation": _activation,
    "ActivityRegularization": _identity,
    "Add": _add,
    "AlphaDropout": _identity,
    "AveragePooling1D": _avg_pool,
    "AveragePooling2D": _avg_pool,
    "BatchNormalization": _batchnorm,
    "Concatenate": _concatenate,
    "Conv1D": _conv,
    "Conv2D": _conv,
    "Dense": _dense,
    "DepthwiseConv1D": _depthwise,
    "DepthwiseConv2D": _depthwise,
    "Dropout": _identity,
    "Flatten": _reshape,
    "GaussianDropout": _identity,
    "GaussianNoise": _identity,
    "GlobalAveragePooling1D": _global(AvgPool),
    "GlobalAveragePooling2D": _global(AvgPool),
    "GlobalMaxPooling1D": _global(MaxPool),
    "GlobalMaxPooling2D": _global(MaxPool),
    "Identity": _identity,
    "MaxPooling1D": _max_pool,
    "MaxPooling2D": _max_pool,
    "ReLU": _relu,
    "Rescaling": _rescaling,
    "Reshape": _reshape,
    "SeparableConv1D": _separable,
    "SeparableConv2D": _separable,
    "Softmax": _softmax,
    "SpatialDropout1D": _identity,
    "SpatialDropout2D": _identity,
    "ZeroPadding1D": _zero_padding,
    "ZeroPadding2D": _zero_padding,
}
