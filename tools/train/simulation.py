"""What an integer graph computes, in TensorFlow and with gradients: the network of quantization-aware training.

Numbers stay real (q * 2^-frac) and are rounded and saturated exactly where the integers are: input, weights,
biases at the accumulator's scale, and the output of each layer after its fused ReLU (Novac et al. 2021, section
4.3, Figure 2). A power of two changes no digit, so the simulated numbers are the integers' as long as every
accumulator fits the significand: 2^53 in inference (float64), 2^24 in training (float32).

Import it inside functions: it imports TensorFlow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ..codegen.formats import Array, Fixed, FixedWeights
from ..codegen.graph import Graph, Node
from ..codegen.ops.add import Add
from ..codegen.ops.base import Activation, hwc
from ..codegen.ops.batchnorm import BatchNorm
from ..codegen.ops.conv import Conv, Window
from ..codegen.ops.copy import Clamp, Concat, Pad, Reshape
from ..codegen.ops.dense import Dense
from ..codegen.ops.pool import AvgPool, MaxPool, counts
from ..codegen.quantize.fixed_point import LARGEST_SHIFT, Chosen, activation_of, roots
from ..codegen.quantize.frozen import Frozen
from ..codegen.requant import Rounding
from ..errors import UserError
from .backend import keras, tf

Ranges = Literal["batch", "moving", "learned", "frozen"]

# The finest and the coarsest scale: 2^frac and 2^-frac are normal float32 numbers.
LARGEST_FRAC = 120
MOVING = 0.99  # share of the old value in a moving maximum, at each step


@dataclass(frozen=True, eq=False)
class Norm:
    """A batch normalization and the layer, as it was before, that it is folded into.

    momentum: share of the old value in the moving averages. Below Keras's 0.99, since a few epochs must do.
    """

    layer: Conv | Dense
    norm: BatchNorm
    momentum: float = 0.9


@dataclass(frozen=True)
class Rules:
    """How the numbers of a simulation become integers and where the scales come from."""

    weight_rounding: Rounding
    rounding: Rounding
    ranges: Ranges


def rounded(v: Any, rounding: Rounding) -> Any:
    """`v` as a whole number. Exact: adding 1/2 first would round twice where `v` has all 24 digits."""
    below = tf.floor(v)
    if rounding is Rounding.FLOOR:
        return below
    if rounding is Rounding.TRUNC:
        return tf.where(v < 0, tf.math.ceil(v), below)
    return below + tf.cast(v - below >= 0.5, v.dtype)


def power_of_two(exponent: Any, dtype: Any) -> Any:
    """2^exponent, exactly, for float32 tensors of whole numbers from -126 to 127."""
    bits = tf.bitwise.left_shift(tf.cast(exponent, tf.int32) + 127, 23)
    return tf.cast(tf.bitcast(bits, tf.float32), dtype)


def integer_bits(maximum: Any) -> Any:
    """``m = 1 + floor(log2(maximum))`` as float32, exactly: the exponent field. 0 for 0."""
    exponent = tf.bitwise.right_shift(tf.bitcast(maximum, tf.int32), 23) - 126
    return tf.where(maximum > 0, tf.cast(exponent, tf.float32), 0.0)


def limits(fmt: Fixed | FixedWeights) -> tuple[float, float]:
    """Smallest and largest number of a format in units of 2^-frac."""
    if isinstance(fmt, Fixed):
        return float(fmt.low - fmt.zero), float(fmt.high - fmt.zero)
    return -(2.0 ** (fmt.bits - 1)), 2.0 ** (fmt.bits - 1) - 1


def frac_of(maximum: Any, fmt: Fixed | FixedWeights) -> Any:
    """Fraction bits of the finest format, of the width and sign of `fmt`, that holds `maximum`."""
    unsigned = isinstance(fmt, Fixed) and fmt.unsigned
    frac = float(fmt.bits - (not unsigned)) - integer_bits(maximum)
    return tf.clip_by_value(frac, -LARGEST_FRAC, LARGEST_FRAC)


def snapped(
    x: Any,
    frac: Any,
    bounds: tuple[Any, Any],
    rounding: Rounding,
    open_ends: tuple[bool, bool] = (True, True),
) -> Any:
    """``clamp(round(x * 2^frac), bounds) * 2^-frac``; bounds in units of 2^-frac; frac broadcasts to x.

    Gradient straight through, zero where clamped. An open end is the end of the format, not of an activation:
    what is less than one unit beyond it was only rounded there and keeps its gradient.
    """
    scale, unit = power_of_two(frac, x.dtype), power_of_two(-frac, x.dtype)
    low, high = (tf.cast(bound, x.dtype) for bound in bounds)
    v = x * scale
    value = tf.clip_by_value(rounded(v, rounding), low, high) * unit
    return straight_through(x, value, inside(v, (low, high), open_ends))


def inside(v: Any, bounds: tuple[Any, Any], open_ends: tuple[bool, bool] = (True, True)) -> Any:
    """Where `v`, in steps, keeps its gradient between `bounds`; see `snapped`."""
    below, above = (tf.cast(1.0 if end else 0.0, v.dtype) for end in open_ends)
    return (v > bounds[0] - below) & (v < bounds[1] + above)


def straight_through(x: Any, value: Any, where: Any) -> Any:
    """`value`, with the gradient of `x` at the places that `where` has."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def passed(x: Any) -> Any:
        return tf.stop_gradient(value), lambda dy: dy * tf.cast(where, dy.dtype)

    return passed(x)


def learnable(x: Any, log_step: Any, step: Any, bounds: tuple[Any, Any], rounding: Rounding) -> Any:
    """Zeros of x's shape, to be added to x rounded to whole steps: they carry the gradient of the step.

    Learned step size (Esser et al., arXiv:1902.08153). log_step: base-2 logarithm, one for all of x or one for
    each index of its first axis; step: what is made of it. bounds: in steps. The gradient is scaled so that
    the step changes by the share by which it would change there, and is clipped to -1..1.
    """
    x = tf.convert_to_tensor(x)  # a variable may not be met inside
    step = tf.cast(step, x.dtype)
    largest = tf.cast(tf.maximum(bounds[1], -1 - bounds[0]), x.dtype)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def carrier(log_step: Any) -> Any:
        def gradient(dy: Any) -> Any:
            shape = tf.concat([tf.shape(log_step), tf.ones([tf.rank(x) - tf.rank(log_step)], tf.int32)], 0)
            unit = tf.reshape(step, shape) if log_step.shape.rank else step
            v = x / unit
            low, high = (tf.cast(bound, x.dtype) for bound in bounds)
            q = tf.clip_by_value(rounded(v, rounding), low, high)
            terms = dy * (q - tf.cast(inside(v, (low, high)), x.dtype) * v)
            axes = list(range(log_step.shape.rank, x.shape.rank))
            size = tf.cast(tf.size(x), x.dtype) / tf.cast(tf.maximum(tf.size(log_step), 1), x.dtype)
            share = tf.reduce_sum(terms, axes) / (tf.sqrt(size * largest) * step * float(np.log(2)))
            return tf.clip_by_value(share, -1.0, 1.0)

        return tf.zeros_like(x), gradient

    return carrier(log_step)


class Network(keras.Model):  # type: ignore[misc]
    """A network whose numbers are the integers of a graph: what all kinds of integers have in common.

    graph: simplified, one input, one output, without softmax; its parameters are where training starts.
    roots: for each tensor the one whose format it has. ranges: where formats come from while training: "batch"
    the maximum of the batch, "moving" a moving maximum, "learned" a trained step, "frozen" nowhere. norms:
    batch normalizations to train, by the node that they are folded into: batch statistics in training, moving
    averages in inference.
    Call: x float32 [N, *shape] -> scores float32 [N, classes].
    """

    def __init__(
        self, graph: Graph, roots: Mapping[str, str], ranges: Ranges, norms: Mapping[str, Norm] | None
    ) -> None:
        super().__init__(name="simulation")
        self.graph, self.roots, self.ranges, self.norms = graph, roots, ranges, norms or {}
        _check(graph)
        ranged = [name for name, root in roots.items() if name == root]
        self.places = {name: index for index, name in enumerate(ranged)}
        self.parameters_of = {
            node.name: self._make_parameters(node.name, node.op)
            for node in graph.nodes
            if isinstance(node.op, (Conv, Dense))
        }
        self.settled = self.state("settled", np.array(ranges == "frozen"))
        self.log_steps: dict[str, Any] = {}
        self.undecayed: list[Any] = []

    def state(self, name: str, value: Any, trainable: bool = False) -> Any:
        value = np.asarray(value)
        return self.add_weight(
            shape=value.shape,
            initializer=lambda shape, dtype=None: tf.constant(value),
            dtype=value.dtype.name,
            trainable=trainable,
            name=name.replace("/", "."),
        )

    def learn(self, log_steps: Mapping[str, Any]) -> None:
        """Make the base-2 logarithms of steps trainable, by tensor and by `<node>/weights`."""
        for name, value in log_steps.items():
            self.log_steps[name] = self.state(f"{name}/log_step", np.asarray(value, np.float32), True)
        self.undecayed = list(self.log_steps.values())

    def _make_parameters(self, name: str, op: Conv | Dense) -> dict[str, Any]:
        norm = self.norms.get(name)
        source = op if norm is None else norm.layer
        made = {
            "kernel": self.state(f"{name}/kernel", source.kernel, True),
            "bias": self.state(f"{name}/bias", source.bias, True),
        }
        if norm is not None:
            made |= {
                "gamma": self.state(f"{name}/gamma", norm.norm.gamma.astype(np.float32), True),
                "beta": self.state(f"{name}/beta", norm.norm.beta.astype(np.float32), True),
                "mean": self.state(f"{name}/mean", norm.norm.mean.astype(np.float32)),
                "variance": self.state(f"{name}/variance", norm.norm.variance.astype(np.float32)),
            }
        return made

    def begin_epoch(self, settled: bool) -> None:
        """To be called before each epoch. settled: formats and batch statistics change no more."""
        self.settled.assign(settled or self.ranges == "frozen")
        if self.ranges == "batch" and not settled:
            self.forget_ranges()

    @abstractmethod
    def forget_ranges(self) -> None:
        """Begin anew to collect the largest values met."""

    @abstractmethod
    def run(self, x: Any, training: bool) -> Run:
        """One pass over a batch [N, *shape], float32 in training, float64 in inference."""

    @abstractmethod
    def export(self) -> Frozen:
        """The parameters, batch normalization folded, and the formats of inference."""

    def call(self, x: Any, training: bool = False) -> Any:
        run = self.run(tf.cast(x, tf.float32 if training else tf.float64), training)
        return tf.cast(run.real(self.graph.outputs[0]), tf.float32)

    def folded(self) -> dict[str, dict[str, Array]]:
        """float32 kernel and bias of each layer, batch normalization folded in float64."""
        arrays = {}
        for name, parameters in self.parameters_of.items():
            values = {key: np.asarray(value, np.float64) for key, value in parameters.items()}
            kernel, bias = values["kernel"], values["bias"]
            if name in self.norms:
                factor = values["gamma"] / np.sqrt(values["variance"] + self.norms[name].norm.epsilon)
                kernel = kernel * factor.reshape(-1, *(1,) * (kernel.ndim - 1))
                bias = (bias - values["mean"]) * factor + values["beta"]
            arrays[name] = {"kernel": kernel.astype(np.float32), "bias": bias.astype(np.float32)}
        return arrays


class Simulation(Network):
    """A network of real numbers that are the fixed-point integers of `graph` in the formats of `formats`.

    formats: of all tensors and weights; widths and signs stay, fraction bits follow the ranges while training
    (`rules.ranges`). Weights follow their own maximum ("learned": their own step).
    """

    def __init__(
        self,
        graph: Graph,
        formats: Chosen,
        rules: Rules,
        norms: Mapping[str, Norm] | None = None,
        maxima: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(graph, roots(graph), rules.ranges, norms)
        self.formats, self.rules = formats, rules
        fracs = [formats.tensors[name].frac for name in self.places]
        self.fracs = self.state("fracs", np.array(fracs, np.float32))
        initial = [0.0 if maxima is None else maxima[name] for name in self.places]
        self.maxima = self.state("maxima", np.array(initial, np.float32))
        if rules.ranges == "learned":
            self.learn({name: -formats.tensors[name].frac for name in self.places})
            self.learn(
                {
                    f"{name}/weights": np.negative(fmt.fracs if len(fmt.fracs) > 1 else fmt.fracs[0])
                    for name, fmt in formats.weights.items()
                }
            )

    def forget_ranges(self) -> None:
        self.maxima.assign(tf.zeros_like(self.maxima))

    def run(self, x: Any, training: bool) -> Run:
        return _FixedRun(self, x, training)

    def in_reach(self, fracs: Any, source: Any, output: Any) -> Any:
        """Fraction bits of weights for which the kernel can shift from accumulator to output."""
        return tf.clip_by_value(fracs, output - source - LARGEST_SHIFT, output - source + LARGEST_SHIFT)

    def export(self) -> Frozen:
        weights = {}
        fracs = {name: int(self.fracs[index]) for name, index in self.places.items()}
        tensors = {
            name: replace(self.formats.tensors[root], frac=fracs[root]) for name, root in self.roots.items()
        }
        arrays = self.folded()
        for node in self.graph.nodes:
            if node.name not in arrays:
                continue
            fmt = self.formats.weights[node.name]
            found = self.in_reach(
                self.weight_fracs(node.name, tf.constant(arrays[node.name]["kernel"])),
                float(tensors[node.inputs[0]].frac),
                float(tensors[node.name].frac),
            )
            weights[node.name] = FixedWeights(fmt.bits, tuple(int(f) for f in np.ravel(found)), fmt.packed)
        return Frozen(arrays, Chosen(tensors, weights))

    def weight_fracs(self, name: str, kernel: Any) -> Any:
        """Fraction bits of a layer's float32 weights: [F] with a scale per filter, else [] (one for all)."""
        fmt = self.formats.weights[name]
        each = len(fmt.fracs) > 1
        if self.rules.ranges == "frozen":
            return tf.constant(fmt.fracs if each else fmt.fracs[0], tf.float32)
        if self.rules.ranges == "learned":
            return -tf.round(tf.stop_gradient(self.log_steps[f"{name}/weights"]))
        axes = list(range(1, kernel.shape.rank)) if each else None
        return frac_of(tf.reduce_max(tf.abs(kernel), axes), fmt)


def _check(graph: Graph) -> None:
    known = (Conv, Dense, Add, MaxPool, AvgPool, Clamp, Concat, Pad, Reshape)
    where = f"{graph.name}: quantization-aware training"
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise UserError(where, "the model has several inputs or outputs", "train a model with one of each")
    for node in graph.nodes:
        if not isinstance(node.op, known):
            raise UserError(
                where,
                f"layer {node.name} ({node.op.kind}) cannot be trained with",
                "move it out of the model",
            )


class Run(ABC):
    """One pass through a graph: the values of its tensors, of the dtype of x [N, *shape]."""

    def __init__(self, network: Network, x: Any, training: bool) -> None:
        self.network, self.training, self.dtype = network, training, x.dtype
        self.graph = network.graph
        self.values: dict[str, Any] = {}
        self.collects = training and network.ranges != "frozen"
        self.input(self.graph.inputs[0], x)
        for node in self.graph.nodes:
            _RULES[type(node.op)](self, node)
        if self.collects:
            self.keep_ranges()

    @abstractmethod
    def keep_ranges(self) -> None:
        """Store what this batch says of the ranges of the tensors."""

    @abstractmethod
    def real(self, name: str) -> Any:
        """What a tensor means."""

    @abstractmethod
    def stored(self, name: str) -> Array:
        """What a tensor is on the target: integers of its format's dtype."""

    @abstractmethod
    def input(self, name: str, x: Any) -> None:
        """Quantize the input, as the host does."""

    @abstractmethod
    def layer(self, node: Node, linear: Callable[[Any, Any], Any], activation: Activation) -> None:
        """A convolution or dense layer: ``linear(x, kernel)`` are its sums of products."""

    @abstractmethod
    def add(self, node: Node) -> None: ...

    @abstractmethod
    def average(self, node: Node) -> None: ...

    @abstractmethod
    def clamp(self, node: Node) -> None: ...

    @abstractmethod
    def concat(self, node: Node) -> None: ...

    @abstractmethod
    def kept(self, name: str, source: str, value: Any, activation: Activation) -> None:
        """Give tensor `name` a value in the format of `source`, clamped."""

    def parameters(self, name: str, x: Any, linear: Callable[[Any, Any], Any]) -> tuple[Any, Any]:
        """Kernel and bias of a node as they are quantized: batch normalization folded."""
        parameters = {key: value.value for key, value in self.network.parameters_of[name].items()}
        kernel, bias = parameters["kernel"], parameters["bias"]
        norm = self.network.norms.get(name)
        if norm is None:
            return kernel, bias
        mean, variance = parameters["mean"], parameters["variance"]
        if self.training:
            sums = linear(x, kernel) + bias
            batch = tf.nn.moments(sums, list(range(sums.shape.rank - 1)))
            settled = self.network.settled.value
            for key, old, new in zip(("mean", "variance"), (mean, variance), batch, strict=True):
                moved = norm.momentum * old + (1 - norm.momentum) * tf.stop_gradient(new)
                self.network.parameters_of[name][key].assign(tf.where(settled, old, moved))
            mean, variance = (
                tf.where(settled, old, new) for old, new in zip((mean, variance), batch, strict=True)
            )
        factor = parameters["gamma"] / tf.sqrt(variance + norm.norm.epsilon)
        column = tf.reshape(factor, [-1] + [1] * (kernel.shape.rank - 1))
        return kernel * column, (bias - mean) * factor + parameters["beta"]


class _FixedRun(Run):
    """Values are real numbers; `frac` has the fraction bits of each."""

    network: Simulation

    def __init__(self, network: Simulation, x: Any, training: bool) -> None:
        self.rules = network.rules
        self.frac: dict[str, Any] = {}
        self.maxima: dict[str, Any] = {}
        super().__init__(network, x, training)

    def input(self, name: str, x: Any) -> None:
        # Inputs are converted by the host, which rounds to nearest whatever the layers do.
        self.quantized(name, x, Activation(), Rounding.NEAREST)

    def real(self, name: str) -> Any:
        return self.values[name]

    def stored(self, name: str) -> Array:
        fmt = self.network.formats.tensors[self.network.roots[name]]
        stored = np.ldexp(np.asarray(self.values[name]), int(self.frac[name])) + fmt.zero
        integers: Array = stored.astype(fmt.dtype)
        return integers

    def keep_ranges(self) -> None:
        network = self.network
        met = tf.stack([self.maxima[name] for name in network.places])
        found = tf.stack([self.frac[name] for name in network.places])
        settled = network.settled.value
        if self.rules.ranges in ("batch", "moving"):
            after = tf.maximum(network.maxima, met) if self.rules.ranges == "batch" else met
            network.maxima.assign(tf.where(settled, network.maxima, after))
            fmts = [network.formats.tensors[name] for name in network.places]
            parts = tf.unstack(after, num=len(fmts))
            found = tf.stack([frac_of(part, fmt) for part, fmt in zip(parts, fmts, strict=True)])
        network.fracs.assign(tf.where(settled, network.fracs, found))

    def quantized(
        self, name: str, real: Any, activation: Activation, rounding: Rounding | None = None
    ) -> None:
        """Give tensor `name` the value `real`, clamped, rounded and saturated to its format."""
        network = self.network
        rounding = self.rules.rounding if rounding is None else rounding
        fmt, place = network.formats.tensors[name], network.places[name]
        frac = network.fracs[place]
        if self.collects:
            met = tf.stop_gradient(tf.reduce_max(tf.abs(activated(real, activation))))
            if self.rules.ranges == "moving":
                met = MOVING * network.maxima[place] + (1 - MOVING) * met
            self.maxima[name] = met
            if self.rules.ranges == "learned":
                log_step = network.log_steps[name]
                fresh = -tf.round(tf.stop_gradient(log_step))
            else:
                fresh = frac_of(met, fmt)
            frac = tf.where(network.settled.value, frac, fresh)
        self.frac[name] = frac
        bounds, open_ends = self.bounds(fmt, frac, activation)
        value = snapped(real, frac, bounds, rounding, open_ends)
        if self.training and self.rules.ranges == "learned":
            value += learnable(
                activated(real, activation),
                log_step,
                power_of_two(tf.round(log_step), tf.float32),
                limits(fmt),
                rounding,
            )
        self.values[name] = value

    def bounds(
        self, fmt: Fixed, frac: Any, activation: Activation
    ) -> tuple[tuple[Any, Any], tuple[bool, bool]]:
        """Clamp of the activation in units of 2^-frac, inside the format; which ends are the format's own."""
        low, high = limits(fmt)
        ends = []
        for value, otherwise in ((activation.low, low), (activation.high, high)):
            if value is None:
                ends.append(tf.constant(otherwise, tf.float32))
            else:
                scaled = tf.constant(value, tf.float32) * power_of_two(frac, tf.float32)
                ends.append(tf.clip_by_value(rounded(scaled, Rounding.NEAREST), low, high))
        return (ends[0], ends[1]), (activation.low is None, activation.high is None)

    def kept(self, name: str, source: str, value: Any, activation: Activation) -> None:
        root = self.network.roots[source]
        frac = self.frac[source]
        if activation:
            (low, high), _ = self.bounds(self.network.formats.tensors[root], frac, activation)
            unit = power_of_two(-frac, self.dtype)
            value = tf.clip_by_value(value, tf.cast(low, self.dtype) * unit, tf.cast(high, self.dtype) * unit)
        self.values[name], self.frac[name] = value, frac

    def layer(self, node: Node, linear: Callable[[Any, Any], Any], activation: Activation) -> None:
        network = self.network
        (source,) = node.inputs
        x = self.values[source]
        kernel, bias = self.parameters(node.name, x, linear)
        fmt = network.formats.weights[node.name]
        fracs = network.weight_fracs(node.name, tf.stop_gradient(kernel))
        if not self.training:
            fracs = network.in_reach(fracs, self.frac[source], network.fracs[network.places[node.name]])
        column = tf.reshape(fracs, [-1] + [1] * (kernel.shape.rank - 1))
        weights = snapped(kernel, column, limits(fmt), self.rules.weight_rounding)
        if self.training and self.rules.ranges == "learned":
            log_step = network.log_steps[f"{node.name}/weights"]
            weights += learnable(
                kernel,
                log_step,
                power_of_two(tf.round(log_step), tf.float32),
                limits(fmt),
                self.rules.weight_rounding,
            )
        endless = (-np.inf, np.inf)
        bias = snapped(bias, fracs + self.frac[source], endless, Rounding.NEAREST)
        sums = linear(x, tf.cast(weights, self.dtype)) + tf.cast(bias, self.dtype)
        self.quantized(node.name, sums, activation)

    def add(self, node: Node) -> None:
        a, b = (self.values[source] for source in node.inputs)
        self.quantized(node.name, a + b, activation_of(node))

    def average(self, node: Node) -> None:
        # One rounding of the exact quotient: the quotient is the nearest number to it, and on its side of any half.
        self.quantized(node.name, mean(self, node), activation_of(node))

    def clamp(self, node: Node) -> None:
        self.kept(node.name, node.inputs[0], self.values[node.inputs[0]], activation_of(node))

    def concat(self, node: Node) -> None:
        assert isinstance(node.op, Concat)
        parts = [self.values[source] for source in node.inputs]
        self.quantized(node.name, tf.concat(parts, node.op.axis + 1), Activation())


def activated(x: Any, activation: Activation) -> Any:
    """`x` clamped by the activation, unrounded."""
    if activation.low is not None:
        x = tf.maximum(x, tf.cast(activation.low, x.dtype))
    if activation.high is not None:
        x = tf.minimum(x, tf.cast(activation.high, x.dtype))
    return x


def image(x: Any) -> Any:
    """A batch [N, *shape] as [N, H, W, C]."""
    return tf.reshape(x, [-1, *hwc(tuple(x.shape[1:]))])


def padded(x: Any, window: Window, fill: float = 0.0) -> Any:
    top, bottom, left, right = window.padding
    if not any(window.padding):
        return x
    return tf.pad(x, [[0, 0], [top, bottom], [left, right], [0, 0]], constant_values=tf.cast(fill, x.dtype))


def taps(x: Any, window: Window, fill: float = 0.0) -> list[Any]:
    """For each tap of the window, in order, what it meets at all positions: [N, OH, OW, C]."""
    height, width = window.output(x.shape[1], x.shape[2])
    (sh, sw), (dh, dw) = window.strides, window.dilation
    whole = padded(x, window, fill)
    return [
        whole[:, i * dh : i * dh + (height - 1) * sh + 1 : sh, j * dw : j * dw + (width - 1) * sw + 1 : sw]
        for i in range(window.kernel[0])
        for j in range(window.kernel[1])
    ]


def convolved(x: Any, kernel: Any, window: Window, groups: int) -> Any:
    """Sums of products: x [N, H, W, C], kernel [F, KH, KW, C/G] -> [N, OH, OW, F]."""
    filters, kh, kw, depth = kernel.shape
    if groups == 1 and window.dilation == (1, 1):
        return tf.nn.conv2d(
            padded(x, window), tf.transpose(kernel, [1, 2, 3, 0]), window.strides, padding="VALID"
        )
    matrix = tf.transpose(tf.reshape(kernel, [groups, filters // groups, kh * kw, depth]), [2, 0, 3, 1])
    sums: Any = 0.0
    for index, tap in enumerate(taps(x, window)):
        split = tf.reshape(tap, [-1, tap.shape[1], tap.shape[2], groups, depth])
        sums += tf.einsum("nhwgd,gdf->nhwgf", split, matrix[index])
    return tf.reshape(sums, [-1, *sums.shape[1:3], filters])


def _conv(run: Run, node: Node) -> None:
    op, shape = node.op, run.graph.tensors[node.name].shape
    assert isinstance(op, Conv)

    def linear(x: Any, kernel: Any) -> Any:
        return tf.reshape(convolved(image(x), kernel, op.window, op.groups), [-1, *shape])

    run.layer(node, linear, op.activation)


def _dense(run: Run, node: Node) -> None:
    assert isinstance(node.op, Dense)
    run.layer(node, lambda x, kernel: tf.matmul(x, kernel, transpose_b=True), node.op.activation)


def mean(run: Run, node: Node) -> Any:
    """The unrounded averages of an average pooling, [N, *shape]."""
    op, (source,) = node.op, node.inputs
    assert isinstance(op, AvgPool)
    x = image(run.values[source])
    count = counts(op.window, run.graph.tensors[source].shape)
    whole = op.window.kernel == tuple(x.shape[1:3]) and not any(op.window.padding)
    total = tf.reduce_sum(x, [1, 2], keepdims=True) if whole else tf.add_n(taps(x, op.window))
    y = total / tf.constant(count.astype(np.float32), run.dtype)
    return tf.reshape(y, [-1, *run.graph.tensors[node.name].shape])


def _pool_max(run: Run, node: Node) -> None:
    op, (source,) = node.op, node.inputs
    assert isinstance(op, MaxPool)
    x = padded(image(run.values[source]), op.window, -np.inf)
    y = tf.nn.max_pool2d(x, op.window.kernel, op.window.strides, "VALID")
    run.kept(node.name, source, tf.reshape(y, [-1, *run.graph.tensors[node.name].shape]), op.activation)


def _pad(run: Run, node: Node) -> None:
    assert isinstance(node.op, Pad)
    top, bottom, left, right = node.op.amount
    x = tf.pad(image(run.values[node.inputs[0]]), [[0, 0], [top, bottom], [left, right], [0, 0]])
    shape = run.graph.tensors[node.name].shape
    run.kept(node.name, node.inputs[0], tf.reshape(x, [-1, *shape]), Activation())


def _reshape(run: Run, node: Node) -> None:
    assert isinstance(node.op, Reshape)
    x = tf.reshape(run.values[node.inputs[0]], [-1, *node.op.shape])
    run.kept(node.name, node.inputs[0], x, Activation())


_RULES: Mapping[type, Callable[[Run, Node], None]] = {
    Conv: _conv,
    Dense: _dense,
    Add: lambda run, node: run.add(node),
    MaxPool: _pool_max,
    AvgPool: lambda run, node: run.average(node),
    Clamp: lambda run, node: run.clamp(node),
    Concat: lambda run, node: run.concat(node),
    Pad: _pad,
    Reshape: _reshape,
}


def tensors(network: Network, x: Array) -> dict[str, Array]:
    """Every tensor of inference on x float32 [N, *shape], as the stored integers that it stands for."""
    run = network.run(tf.cast(x, tf.float64), False)
    return {name: run.stored(name) for name in run.values}
