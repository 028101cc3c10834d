"""What an affine integer graph computes, with gradients: `simulation.Network` for affine8 and affine16x8.

Scales are any real numbers here, so values are kept as the integers that they are, less the zero point: whole
numbers in float32 (training, exact to 2^24) or float64 (inference, exact to 2^53). Sums of products are
TensorFlow's; every rounding is made by the integer operations of the generator, called from inside the graph,
in training as in inference.

Import it inside functions: it imports TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..codegen import affine_math
from ..codegen.affine_math import quantize_multiplier
from ..codegen.formats import SMALLEST_RANGE, TINY, Affine, Array
from ..codegen.graph import Graph, Node
from ..codegen.ops.affine import LARGEST_WEIGHT, AffineFormats, AffineRequant, to_affine
from ..codegen.ops.base import NONE, Activation
from ..codegen.ops.copy import Concat
from ..codegen.ops.dense import Dense
from ..codegen.quantize.affine import LARGEST_BIAS, AffineChosen, is_rounded, same_formats
from ..codegen.quantize.fixed_point import activation_of
from ..codegen.quantize.frozen import Frozen
from ..codegen.requant import Rounding
from .backend import tf
from .simulation import (
    MOVING,
    Network,
    Norm,
    Ranges,
    Run,
    activated,
    inside,
    learnable,
    mean,
    straight_through,
)


class AffineSimulation(Network):
    """A network of the affine integers of `graph` in the formats of `formats`.

    formats: of all tensors, and scales of all weights; the width of activations stays. While training, ranges
    are from the least to the largest value of a tensor, 0 included, and weights follow their own maximum.
    "learned": steps of tensors and of filters are trained, zero points stay. extremes: the ranges of the tensors
    before the first step.
    """

    def __init__(
        self,
        graph: Graph,
        formats: AffineChosen,
        ranges: Ranges,
        norms: Mapping[str, Norm] | None = None,
        extremes: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        groups = same_formats(graph)
        root = {
            name: next(other for other in graph.tensors if other in groups[name]) for name in graph.tensors
        }
        super().__init__(graph, root, ranges, norms)
        self.supports_jit = False  # the generator's own code is called
        self.formats = formats
        made = [root[name] for name in graph.inputs]
        made += [root[node.name] for node in graph.nodes if is_rounded(graph, node)]
        # Tensors of several layers with one format: it is that of the steps before, as none knows the others' values.
        self.shared = {name for name in made if made.count(name) > 1}
        self.bits = formats.tensors[graph.inputs[0]].bits
        chosen = [formats.tensors[name] for name in self.places]
        self.scales = self.state("scales", np.array([fmt.scale for fmt in chosen], np.float32))
        self.zeros = self.state("zeros", np.array([fmt.zero_point for fmt in chosen], np.float64))
        met = [(0.0, 0.0) if extremes is None else extremes[name] for name in self.places]
        self.lows = self.state("lows", np.array([low for low, _ in met], np.float32))
        self.highs = self.state("highs", np.array([high for _, high in met], np.float32))
        if ranges == "learned":
            self.learn({name: np.log2(formats.tensors[name].scale) for name in self.places})
            self.learn({f"{name}/weights": np.log2(scales) for name, scales in formats.weights.items()})

    def forget_ranges(self) -> None:
        self.lows.assign(tf.zeros_like(self.lows))
        self.highs.assign(tf.zeros_like(self.highs))

    def run(self, x: Any, training: bool) -> Run:
        return _AffineRun(self, x, training)

    def export(self) -> Frozen:
        arrays = self.folded()
        scales, zeros = np.asarray(self.scales), np.asarray(self.zeros)
        tensors = {
            name: Affine(self.bits, float(scales[self.places[root]]), int(zeros[self.places[root]]))
            for name, root in self.roots.items()
        }
        weights = {}
        for node in self.graph.nodes:
            if node.name in arrays:
                source = tf.constant(tensors[node.inputs[0]].scale, tf.float32)
                kernel, bias = (tf.constant(arrays[node.name][key]) for key in ("kernel", "bias"))
                found = np.asarray(self.weight_scales(node.name, kernel, bias, source))
                weights[node.name] = tuple(float(scale) for scale in found)
        return Frozen(arrays, AffineChosen(tensors, weights))

    def weight_scales(self, name: str, kernel: Any, bias: Any, source: Any) -> Any:
        """Scales [F] float32 of a layer's weights; source: of its input. As `quantize.affine.weight_scales`."""
        if self.ranges == "frozen":
            wanted = tf.constant(self.formats.weights[name], tf.float64)
        elif self.ranges == "learned":
            wanted = tf.cast(tf.pow(2.0, self.log_steps[f"{name}/weights"]), tf.float64)
        else:
            axes = list(range(1, kernel.shape.rank))
            wanted = tf.reduce_max(tf.abs(tf.cast(kernel, tf.float64)), axes) / LARGEST_WEIGHT
        of_bias = tf.abs(tf.cast(bias, tf.float64)) / (tf.cast(source, tf.float64) * LARGEST_BIAS)
        scales = tf.maximum(tf.stop_gradient(wanted), of_bias)
        return tf.cast(tf.where(scales < TINY, tf.ones_like(scales), scales), tf.float32)


def affine_of(low: Any, high: Any, bits: int) -> tuple[Any, Any]:
    """Scales (float32) and zero points (float64) for ranges [...], as `formats.affine_for`."""
    low, high = (tf.cast(end, tf.float64) for end in (tf.minimum(low, 0.0), tf.maximum(high, 0.0)))
    narrow = high - low < SMALLEST_RANGE
    low, high = tf.where(narrow, -tf.ones_like(low), low), tf.where(narrow, tf.ones_like(high), high)
    if bits == 16:
        return tf.cast(tf.maximum(-low, high) / 32767, tf.float32), tf.zeros_like(low)
    scale = tf.cast((high - low) / 255, tf.float32)
    return scale, tf.clip_by_value(half_away(-128 - low / tf.cast(scale, tf.float64)), -128.0, 127.0)


def half_away(v: Any) -> Any:
    """To the nearest whole number, halves away from zero."""
    return tf.sign(v) * tf.floor(tf.abs(v) + 0.5)


def in_steps(real: Any, scale: Any) -> Any:
    """Real numbers as whole numbers of steps, float64: as `Affine.quantize` has them, divided in float32."""
    return half_away(tf.cast(tf.cast(real, tf.float32) / scale, tf.float64))


class _AffineRun(Run):
    """Values are stored integers less the zero point; `scale` (float32) and `zero` (float64) are of each."""

    network: AffineSimulation

    def __init__(self, network: AffineSimulation, x: Any, training: bool) -> None:
        self.scale: dict[str, Any] = {}
        self.zero: dict[str, Any] = {}
        self.met: dict[str, tuple[Any, Any]] = {}
        super().__init__(network, x, training)

    def real(self, name: str) -> Any:
        return self.values[name] * tf.cast(self.scale[name], self.dtype)

    def stored(self, name: str) -> Array:
        integers = np.asarray(self.values[name], np.int64) + int(self.zero[name])
        return integers.astype(f"int{self.network.bits}")

    def keep_ranges(self) -> None:
        network = self.network
        lows = tf.stack([self.met[name][0] for name in network.places])
        highs = tf.stack([self.met[name][1] for name in network.places])
        if network.ranges == "moving":
            lows = MOVING * network.lows + (1 - MOVING) * lows
            highs = MOVING * network.highs + (1 - MOVING) * highs
        else:
            lows, highs = tf.minimum(network.lows, lows), tf.maximum(network.highs, highs)
        if network.ranges == "learned":
            scales = tf.stack([tf.pow(2.0, network.log_steps[name]) for name in network.places])
            zeros = network.zeros.value
        else:
            scales, zeros = affine_of(lows, highs, network.bits)
        settled = network.settled.value
        for state, found in (
            (network.lows, lows),
            (network.highs, highs),
            (network.scales, scales),
            (network.zeros, zeros),
        ):
            state.assign(tf.where(settled, state, found))

    def format_for(self, name: str, real: Any, activation: Activation) -> tuple[Any, Any]:
        """Scale and zero point of tensor `name` whose unrounded values are `real`."""
        network = self.network
        root = network.roots[name]
        place = network.places[root]
        scale, zero = network.scales[place], network.zeros[place]
        if not self.collects:
            return scale, zero
        values = tf.stop_gradient(activated(real, activation))
        low, high = tf.reduce_min(values), tf.reduce_max(values)
        before = self.met.get(root, (low, high))
        self.met[root] = tf.minimum(before[0], low), tf.maximum(before[1], high)
        if network.ranges == "learned":
            fresh = tf.pow(2.0, tf.stop_gradient(network.log_steps[root])), zero
        elif root in network.shared:
            return scale, zero
        else:
            if network.ranges == "moving":
                low = MOVING * network.lows[place] + (1 - MOVING) * low
                high = MOVING * network.highs[place] + (1 - MOVING) * high
            fresh = affine_of(low, high, network.bits)
        settled = network.settled.value
        return tf.where(settled, scale, fresh[0]), tf.where(settled, zero, fresh[1])

    def limits(
        self, scale: Any, zero: Any, activation: Activation
    ) -> tuple[tuple[Any, Any], tuple[bool, bool]]:
        """Clamp of the activation in steps from zero, inside the format; which ends are the format's own."""
        half = 1 << (self.network.bits - 1)
        low, high = -half - zero, half - 1 - zero
        ends = [
            otherwise if value is None else tf.clip_by_value(in_steps(value, scale), low, high)
            for value, otherwise in ((activation.low, low), (activation.high, high))
        ]
        return (ends[0], ends[1]), (activation.low is None, activation.high is None)

    def rounded(
        self, name: str, real: Any, whole: Any, scale: Any, zero: Any, activation: Activation
    ) -> None:
        """Give tensor `name` the value `whole` (clamped whole numbers), with the gradient of `real`."""
        bounds, open_ends = self.limits(scale, zero, activation)
        bounds = tf.cast(bounds[0], self.dtype), tf.cast(bounds[1], self.dtype)
        unit = tf.cast(scale, self.dtype)
        v = real / unit
        value = straight_through(v, tf.cast(whole, self.dtype), inside(v, bounds, open_ends))
        if self.collects and self.network.ranges == "learned":
            log_step = self.network.log_steps[self.network.roots[name]]
            rounded = learnable(activated(real, activation), log_step, scale, bounds, Rounding.NEAREST)
            value += rounded / unit
        self.values[name], self.scale[name], self.zero[name] = value, scale, zero

    def input(self, name: str, x: Any) -> None:
        scale, zero = self.format_for(name, x, NONE)
        (low, high), _ = self.limits(scale, zero, NONE)
        self.rounded(name, x, tf.clip_by_value(in_steps(x, scale), low, high), scale, zero, NONE)

    def layer(self, node: Node, linear: Callable[[Any, Any], Any], activation: Activation) -> None:
        network = self.network
        (source,) = node.inputs
        x, source_scale = self.values[source], self.scale[source]
        kernel, bias = self.parameters(node.name, self.real(source), linear)
        scales = network.weight_scales(
            node.name, tf.stop_gradient(kernel), tf.stop_gradient(bias), source_scale
        )
        unit = tf.cast(scales, tf.float64) * tf.cast(source_scale, tf.float64)
        weights = self.weights(node.name, kernel, scales)
        biases = tf.cast(bias, tf.float64) / unit
        biases = straight_through(biases, half_away(biases), tf.ones_like(biases, tf.bool))
        sums = linear(x, tf.cast(weights, self.dtype)) + tf.cast(biases, self.dtype)
        real = sums * tf.cast(unit, self.dtype)
        scale, zero = self.format_for(node.name, real, activation)
        if isinstance(node.op, Dense):
            multiply = affine_math.multiply_once
        else:
            multiply = affine_math.multiply if network.bits == 8 else affine_math.multiply_wide

        def requantized(sums: Array, output: Affine, source_scale: Array, scales: Array) -> Array:
            multipliers = [
                quantize_multiplier(float(source_scale) * float(each) / output.scale) for each in scales
            ]
            return AffineRequant.of(multipliers, output, activation, multiply)(sums.astype(np.int64))

        whole = self.exactly(requantized, sums.shape, scale, zero, sums, source_scale, scales)
        self.rounded(node.name, real, whole, scale, zero, activation)

    def weights(self, name: str, kernel: Any, scales: Any) -> Any:
        """Weights as whole numbers, float64; kernel [F, ...], scales [F]."""
        column = tf.reshape(scales, [-1] + [1] * (kernel.shape.rank - 1))
        v = tf.cast(kernel, tf.float64) / tf.cast(column, tf.float64)
        bounds = (tf.constant(-LARGEST_WEIGHT, tf.float64), tf.constant(LARGEST_WEIGHT, tf.float64))
        value = straight_through(v, tf.clip_by_value(half_away(v), *bounds), inside(v, bounds))
        if self.collects and self.network.ranges == "learned":
            log_step = self.network.log_steps[f"{name}/weights"]
            rounded = learnable(kernel, log_step, scales, bounds, Rounding.NEAREST)
            value += tf.cast(rounded / column, tf.float64)
        return value

    def exactly(
        self, function: Callable[..., Array], shape: Any, scale: Any, zero: Any, *arguments: Any
    ) -> Any:
        """Whole numbers that ``function(sums, output format, ...)`` of the generator stores, less the zero point.

        Without a gradient. NaN where an argument is no longer finite or the generator refuses: the loss then
        tells so.
        """
        bits = self.network.bits

        def computed(scale: Array, zero: Array, first: Array, *others: Array) -> Array:
            if not all(np.isfinite(array).all() for array in (scale, zero, first, *others)):
                return np.full(first.shape, np.nan)
            output = Affine(bits, float(scale), int(zero))
            try:
                return function(first, output, *others).astype(np.float64) - output.zero_point
            except ValueError:
                return np.full(first.shape, np.nan)

        found = tf.numpy_function(
            computed, [tf.stop_gradient(part) for part in (scale, zero, *arguments)], tf.float64, False
        )
        return tf.ensure_shape(found, shape)

    def operation(self, node: Node, real: Any, scale: Any, zero: Any) -> None:
        """An operation without weights, computed on integers by the generator's own; real: unrounded."""
        bits, shapes, count = self.network.bits, self.graph.input_shapes(node), len(node.inputs)

        def result(first: Array, output: Affine, *others: Array) -> Array:
            values = (first, *others[: count - 1])
            scales, zeros = others[count - 1 : 2 * count - 1], others[2 * count - 1 :]
            formats = tuple(Affine(bits, float(s), int(z)) for s, z in zip(scales, zeros, strict=True))
            op = to_affine(node.op, AffineFormats(formats, output), None, shapes)
            stored = [
                (value.astype(np.int64) + fmt.zero_point).astype(fmt.dtype)
                for value, fmt in zip(values, formats, strict=True)
            ]
            return op.run(stored)

        sources = (table[name] for table in (self.values, self.scale, self.zero) for name in node.inputs)
        whole = self.exactly(result, real.shape, scale, zero, *sources)
        self.rounded(node.name, real, whole, scale, zero, activation_of(node))

    def add(self, node: Node) -> None:
        a, b = (self.real(source) for source in node.inputs)
        self.operation(node, a + b, *self.format_for(node.name, a + b, activation_of(node)))

    def average(self, node: Node) -> None:
        (source,) = node.inputs
        real = mean(self, node) * tf.cast(self.scale[source], self.dtype)
        if is_rounded(self.graph, node):
            formats = self.format_for(node.name, real, activation_of(node))
        else:
            formats = self.scale[source], self.zero[source]
        self.operation(node, real, *formats)

    def clamp(self, node: Node) -> None:
        real = self.real(node.inputs[0])
        self.operation(node, real, *self.format_for(node.name, real, activation_of(node)))

    def concat(self, node: Node) -> None:
        assert isinstance(node.op, Concat)
        parts = [self.values[source] for source in node.inputs]
        self.kept(node.name, node.inputs[0], tf.concat(parts, node.op.axis + 1), NONE)

    def kept(self, name: str, source: str, value: Any, activation: Activation) -> None:
        scale, zero = self.scale[source], self.zero[source]
        if activation:
            (low, high), _ = self.limits(scale, zero, activation)
            value = tf.clip_by_value(value, tf.cast(low, self.dtype), tf.cast(high, self.dtype))
        self.values[name], self.scale[name], self.zero[name] = value, scale, zero
