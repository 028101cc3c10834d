"""Post-training quantization to fixed point with power-of-two scales.

Novac et al. 2021, sections 4.1 and 4.2: symmetric range, one scale per network, per layer (weights and
activations apart) or per filter, ``m = 1 + floor(log2(max |x|))``, ``n = w - m - 1``. docs/quantization.md
describes what goes beyond the paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...errors import UserError
from ..formats import Array, Fixed, FixedWeights, fixed_for
from ..graph import Graph, Node, TensorType
from ..ops.base import NONE, Activation, FixedFormats, FloatOp
from ..requant import Rounding
from .calibration import calibrate, check_method, cut, histograms
from .equalization import equalize
from .layerwise import Layerwise
from .proof import proved

LARGEST_SHIFT = 31
SCALES = ("network", "layer", "filter")


@dataclass(frozen=True)
class Widths:
    """Widths of one layer in bits; None is the scheme's."""

    weights: int | None = None
    activations: int | None = None


@dataclass(frozen=True)
class FixedPoint:
    """How to quantize.

    bits: width of activations, and of weights where `weight_bits` is None. scale: "network" is one format for
    all; "layer" one for each tensor; "filter" one for each filter's weights too. frac: forced fraction bits of
    the network-wide format (Q7.9 is bits=16, frac=9). unsigned: outputs of ReLU without a sign bit, where all
    that read them can. packed: weights of other widths than 8 and 16 bits are packed in flash. calibration,
    percentile: where activations are cut (`calibration.cut`); weight_calibration: "minmax" or "mse". adaptive:
    weights are rounded together (quantize/adaptive.py); weight_rounding is to the nearest then. layers: widths
    of single layers, by name; a layer's activations are its output.
    """

    bits: int
    scale: str = "layer"
    frac: int | None = None
    weight_rounding: Rounding = Rounding.NEAREST
    rounding: Rounding = Rounding.NEAREST
    weight_bits: int | None = None
    unsigned: bool = False
    packed: bool = True
    calibration: str = "minmax"
    percentile: float = 99.99
    weight_calibration: str = "minmax"
    bias_correction: bool = False
    equalization: bool = False
    adaptive: bool = False
    layers: Mapping[str, Widths] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = "quantization"
        for layer, widths in {"": Widths(self.weight_bits, self.bits), **self.layers}.items():
            at = f"{where}: layer {layer}" if layer else where
            for width in (widths.weights, widths.activations):
                if width is not None and not 2 <= width <= 16:
                    raise UserError(at, f"a width of {width} bits", "choose from 2 to 16")
            if widths.activations is not None and (widths.activations <= 8) != (self.bits <= 8):
                raise UserError(
                    at,
                    f"activations of {widths.activations} bits beside {self.bits} bits elsewhere",
                    "let all have up to 8 bits or all have more: there is no kernel between the two",
                )
        for what, word, known in (
            ("scale", self.scale, SCALES),
            ("weights_calibration", self.weight_calibration, ("minmax", "mse")),
        ):
            if word not in known:
                raise UserError(what, f"{word!r} is unknown", f"choose from {', '.join(known)}")
        check_method(self.calibration, self.percentile)
        if self.frac is not None and self.scale != "network":
            raise UserError(
                where, f"frac = {self.frac} is given with scale = {self.scale!r}", 'set scale = "network"'
            )
        if self.scale == "network" and (
            self.layers or self.unsigned or self.weight_bits not in (None, self.bits)
        ):
            raise UserError(
                where,
                "a scale for the network has one format for all tensors",
                'set scale = "layer" or "filter"',
            )
        if self.adaptive and self.weight_rounding is not Rounding.NEAREST:
            raise UserError(where, "adaptive rounding of weights with another rounding", "choose one")
        if self.unsigned and self.rounding is Rounding.TRUNC:
            raise UserError(
                where, "unsigned outputs cannot be rounded toward zero", "round to nearest or floor"
            )

    def activation_bits(self, tensor: str) -> int:
        return self.layers.get(tensor, Widths()).activations or self.bits

    def weights_bits(self, layer: str) -> int:
        return self.layers.get(layer, Widths()).weights or self.weight_bits or self.bits


@dataclass(frozen=True)
class Chosen:
    """The format of every tensor and of every layer's weights."""

    tensors: Mapping[str, Fixed]
    weights: Mapping[str, FixedWeights]


def prepare(graph: Graph, scheme: FixedPoint) -> Graph:
    """The float graph that is quantized: the one given, equalized where the scheme says so."""
    return equalize(graph) if scheme.equalization else graph


def quantize(
    graph: Graph, calibration: Sequence[Array], scheme: FixedPoint, forced: Chosen | None = None
) -> Graph:
    """The integer graph; `calibration` is one float array [N, *shape] per graph input.

    `forced`: formats decided elsewhere (quantization-aware training), for parameters that are taken as they
    are; of the scheme only the roundings count then.
    Raises UserError naming the layer that does not exist, or whose numbers no accumulator can hold.
    """
    if forced is not None:
        return _integers(graph, forced, scheme, None)
    return quantize_nodes(prepare(graph, scheme), calibration, scheme)


def quantize_nodes(graph: Graph, calibration: Sequence[Array], scheme: FixedPoint) -> Graph:
    """`quantize` for a graph that `prepare` has made."""
    check_layers(graph, scheme)
    chosen = choose_formats(graph, ranges(graph, calibration, scheme), scheme)
    layerwise = None
    if scheme.adaptive or scheme.bias_correction:
        layerwise = Layerwise.start(
            graph, calibration, chosen.tensors, scheme.adaptive, scheme.bias_correction
        )
    return _integers(graph, chosen, scheme, layerwise)


def _integers(graph: Graph, chosen: Chosen, scheme: FixedPoint, layerwise: Layerwise | None) -> Graph:
    formats = chosen.tensors
    inputs = {name: TensorType(graph.tensors[name].shape, formats[name]) for name in graph.inputs}
    nodes = []
    for node in graph.nodes:
        weights = chosen.weights.get(node.name)
        op = node.op
        if layerwise is not None:
            op = layerwise.adjusted(op, node.inputs[0], weights, scheme.weight_rounding)
        assert isinstance(op, FloatOp)
        sources = tuple(formats[source] for source in node.inputs)
        layer = FixedFormats(sources, formats[node.name], weights, scheme.weight_rounding, scheme.rounding)
        try:
            fixed = Node(node.name, op.to_fixed(layer, graph.input_shapes(node)), node.inputs)
        except ValueError as error:
            raise unrepresentable(graph, node, error) from None
        if layerwise is not None:
            layerwise.run(fixed)
        nodes.append(fixed)
    return proved(Graph.build(graph.name, inputs, nodes, graph.outputs, formats))


def unrepresentable(graph: Graph, node: Node, error: ValueError) -> UserError:
    return UserError(
        f"{graph.name}: layer {node.name}", str(error), "retrain with smaller weights or use float32"
    )


def check_layers(graph: Graph, scheme: FixedPoint) -> None:
    """Raise UserError unless every layer that has a width of its own exists and can have it."""
    weighted = {
        node.name for node in graph.nodes if isinstance(node.op, FloatOp) and node.op.weights is not None
    }
    own = {
        *graph.inputs,
        *(n.name for n in graph.nodes if isinstance(n.op, FloatOp) and not n.op.keeps_format),
    }
    for what, names in (
        ("weights", [(name, widths.weights) for name, widths in scheme.layers.items()]),
        ("activations", [(name, widths.activations) for name, widths in scheme.layers.items()]),
    ):
        known = weighted if what == "weights" else own
        for name, width in names:
            if name not in graph.tensors:
                raise UserError(
                    f"quantization: layer {name}",
                    f"{graph.name} has no such layer",
                    f"its layers are: {', '.join(graph.tensors)}",
                )
            if width is not None and name not in known:
                reason = "has no weights" if what == "weights" else "keeps the format of its input"
                raise UserError(
                    f"quantization: layer {name}",
                    reason,
                    f"layers whose {what} have a width: {', '.join(sorted(known))}",
                )


def ranges(graph: Graph, calibration: Sequence[Array], scheme: FixedPoint) -> Mapping[str, float]:
    """The magnitude that the format of each tensor must hold."""
    maxima = calibrate(graph, calibration)
    if scheme.calibration == "minmax":
        return maxima
    unsigned = candidates(graph) if scheme.unsigned else set()
    return {
        name: cut(
            histogram, scheme.calibration, scheme.activation_bits(name), name in unsigned, scheme.percentile
        )
        for name, histogram in histograms(graph, calibration, maxima).items()
    }


def roots(graph: Graph) -> Mapping[str, str]:
    """For each tensor the one whose format it takes: itself but for operations that keep their input's."""
    root = {name: name for name in graph.inputs}
    for node in graph.nodes:
        assert isinstance(node.op, FloatOp)
        root[node.name] = root[node.inputs[0]] if node.op.keeps_format else node.name
    return root


def candidates(graph: Graph) -> set[str]:
    """Tensors that no negative number can enter, by the activation of the operation that makes them."""
    return {node.name for node in graph.nodes if (low := activation_of(node).low) is not None and low >= 0}


def activation_of(node: Node) -> Activation:
    activation: Activation = getattr(node.op, "activation", NONE)
    return activation


def choose_formats(graph: Graph, maxima: Mapping[str, float], scheme: FixedPoint) -> Chosen:
    """The format of every tensor and of all weights."""
    if scheme.scale == "network":
        return network_formats(graph, maxima, scheme)
    root = roots(graph)
    unsigned = candidates(graph) - {root[name] for name in graph.outputs} if scheme.unsigned else set()
    while True:
        formats: dict[str, Fixed] = {}
        weights: dict[str, FixedWeights] = {}
        for name in graph.inputs:
            formats[name] = fixed_for(maxima[name], scheme.activation_bits(name))
        for node in graph.nodes:
            assert isinstance(node.op, FloatOp)
            if node.op.keeps_format:
                formats[node.name] = formats[root[node.name]]
            else:
                maximum = maxima[node.name] if node.op.maximum is None else node.op.maximum
                bits = scheme.activation_bits(node.name)
                formats[node.name] = fixed_for(maximum, bits, node.name in unsigned)
            if node.op.weights is not None:
                try:
                    weights[node.name] = weight_format(
                        node.op.weights,
                        formats[node.inputs[0]],
                        formats[node.name],
                        scheme.weights_bits(node.name),
                        scheme,
                    )
                except ValueError as error:
                    raise unrepresentable(graph, node, error) from None
        refused = {
            root[name]
            for node in graph.nodes
            if not unsigned_fits(node, formats, weights.get(node.name))
            for name in (*node.inputs, node.name)
        }
        if not refused & unsigned:
            return Chosen(formats, weights)
        unsigned -= refused


def unsigned_fits(node: Node, formats: Mapping[str, Fixed], weights: FixedWeights | None) -> bool:
    """Whether an operation can compute in the formats around it, as far as some of them are unsigned."""
    assert isinstance(node.op, FloatOp)
    sources, output = [formats[name] for name in node.inputs], formats[node.name]
    if not any(fmt.unsigned for fmt in (*sources, output)):
        return True
    if output.unsigned and weights is not None:  # its zero point must be a whole number in the accumulator
        shift = sources[0].frac + min(weights.fracs) - output.frac
        if shift <= -output.bits:
            return False
    return node.op.takes_unsigned(sources, output)


def network_formats(graph: Graph, maxima: Mapping[str, float], scheme: FixedPoint) -> Chosen:
    """One format for all tensors and weights."""
    layers = {node.name: node.op for node in graph.nodes if isinstance(node.op, FloatOp)}
    parameters = [
        float(np.abs(array).max(initial=0.0)) for op in layers.values() for array in op.arrays().values()
    ]
    whole = fixed_for(max([*maxima.values(), *parameters]), scheme.bits)
    if scheme.frac is not None:
        whole = Fixed(scheme.bits, scheme.frac)
    weights = FixedWeights(scheme.bits, (whole.frac,), scheme.packed)
    return Chosen(
        dict.fromkeys(graph.tensors, whole),
        {name: weights for name, op in layers.items() if op.weights is not None},
    )


def weight_format(
    weights: Array, source: Fixed, output: Fixed, bits: int, scheme: FixedPoint
) -> FixedWeights:
    """Format of the weights [F, ...] of a layer.

    The kernel shifts the accumulator by ``frac_x + frac_w - frac_y``, which must be -31 to 31. Finer weights
    than that allows would add less than the output's resolution; coarser ones are refused with a ValueError.
    Weights that are all zero take the scale at which the bias has the output's resolution.
    """
    rows = weights.reshape(len(weights) if scheme.scale == "filter" else 1, -1)
    unit = output.frac - source.frac
    fracs = []
    for row in rows:
        frac = unit if not row.any() else weight_frac(row, bits, scheme)
        if frac < unit - LARGEST_SHIFT:
            raise ValueError("its outputs are too small for its weights and inputs (more than 31 bits apart)")
        fracs.append(min(frac, unit + LARGEST_SHIFT))
    return FixedWeights(bits, tuple(fracs), scheme.packed)


def weight_frac(row: Array, bits: int, scheme: FixedPoint) -> int:
    """Fraction bits for weights that are not all zero: the most that hold the largest, or, by "mse", those of
    the least square error."""
    best = fixed_for(float(np.abs(row).max()), bits)
    if scheme.weight_calibration == "minmax":
        return best.frac
    formats = [Fixed(bits, best.frac + halvings) for halvings in range(bits)]
    errors = [
        float(((row - fmt.dequantize(fmt.quantize(row, scheme.weight_rounding))) ** 2).sum())
        for fmt in formats
    ]
    return formats[int(np.argmin(errors))].frac
