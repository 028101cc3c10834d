"""Post-training quantization to affine integers: TensorFlow Lite's int8 and 16x8 specification.

Activations: ``real = scale * (q - zero_point)``, of 8 bits with any zero point or of 16 bits, symmetric. Weights:
8 bits, symmetric (-127 to 127), a scale for each filter. Biases: 32 or 64 bits at the scale of the accumulator.
Ranges are the least and largest values over the calibration data, 0 included, or narrower ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import UserError
from ..affine_math import round_half_away
from ..formats import TINY, Affine, Array, affine_for
from ..graph import Graph, Node, TensorType
from ..ops.affine import (
    LARGEST_WEIGHT,
    SOFTMAX_OUTPUT,
    AffineFormats,
    AffineWeights,
    covers_all,
    to_affine,
)
from ..ops.batchnorm import BatchNorm
from ..ops.conv import Conv
from ..ops.copy import Concat, Pad, Reshape
from ..ops.dense import Dense
from ..ops.pool import AvgPool, MaxPool
from ..ops.softmax import Softmax
from .calibration import check_method, cut_anywhere, extremes, histograms
from .proof import proved

LARGEST_BIAS = 1 << 30
"""Half of what 32 bits hold; in 64 bits more would make the multiplier of the output too small for its shift."""


@dataclass(frozen=True)
class AffineChosen:
    """The format of every tensor, and the scales [F] (float32 numbers) of every layer's weights."""

    tensors: Mapping[str, Affine]
    weights: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class AffineScheme:
    """bits: of the activations, 8 or 16; weights always have 8. calibration, percentile: where ranges of
    activations end (`calibration.cut_anywhere`).
    """

    bits: int
    calibration: str = "minmax"
    percentile: float = 99.99

    def __post_init__(self) -> None:
        if self.bits not in (8, 16):
            raise UserError("quantization", f"affine activations of {self.bits} bits", "choose 8 or 16")
        check_method(self.calibration, self.percentile)


def quantize(graph: Graph, calibration: Sequence[Array], scheme: AffineScheme) -> Graph:
    """The affine graph; `calibration` is one float array [N, *shape] per graph input.

    Raises UserError naming the layer that affine integers cannot compute.
    """
    return with_formats(graph, choose_formats(graph, ranges(graph, calibration, scheme), scheme.bits))


def ranges(
    graph: Graph, calibration: Sequence[Array], scheme: AffineScheme
) -> Mapping[str, tuple[float, float]]:
    """The range that the format of each tensor must hold."""
    spans = extremes(graph, calibration)
    if scheme.calibration == "minmax":
        return spans
    maxima = {name: max(-low, high) for name, (low, high) in spans.items()}
    return {
        name: cut_anywhere(histogram, spans[name], scheme.calibration, scheme.bits, scheme.percentile)
        for name, histogram in histograms(graph, calibration, maxima).items()
    }


def with_formats(
    graph: Graph, formats: Mapping[str, Affine], weights: Mapping[str, AffineWeights] | None = None
) -> Graph:
    """The affine graph with formats decided before; `weights` by node replace those of the float graph.

    Raises UserError naming the layer that cannot be computed with them.
    """
    inputs = {name: TensorType(graph.tensors[name].shape, formats[name]) for name in graph.inputs}
    nodes = []
    for node in graph.nodes:
        chosen = AffineFormats(tuple(formats[source] for source in node.inputs), formats[node.name])
        parameters = (weights or {}).get(node.name)
        if parameters is None and isinstance(node.op, (Conv, Dense, BatchNorm)):
            parameters = affine_weights(node.op, chosen.inputs[0])
        try:
            op = to_affine(node.op, chosen, parameters, graph.input_shapes(node))
        except ValueError as error:
            raise UserError(
                f"{graph.name}: layer {node.name}",
                str(error),
                "use int16, which has no such limit, or float32",
            ) from None
        nodes.append(Node(node.name, op, node.inputs))
    return proved(Graph.build(graph.name, inputs, nodes, graph.outputs, formats))


def affine_weights(
    op: Conv | Dense | BatchNorm, source: Affine, scales: Sequence[float] | None = None
) -> AffineWeights:
    """Weights and bias of a layer in integers.

    A filter's scale is that of `scales`, or its largest magnitude / 127; more where its bias would not fit the
    accumulator.
    """
    if isinstance(op, BatchNorm):
        op = op.as_conv()
    rows = op.kernel.reshape(len(op.kernel), -1).astype(np.float64)
    bias = op.bias.astype(np.float64)
    wanted = np.abs(rows).max(axis=1) / LARGEST_WEIGHT if scales is None else np.array(scales, np.float64)
    exact = weight_scales(wanted, bias, source.scale).astype(np.float64)
    integers = np.clip(round_half_away(rows / exact[:, np.newaxis]), -LARGEST_WEIGHT, LARGEST_WEIGHT)
    return AffineWeights(
        integers.astype(np.int8).reshape(op.kernel.shape),
        round_half_away(bias / (exact * source.scale)).astype(np.int32 if source.bits == 8 else np.int64),
        exact.astype(np.float32),
    )


def weight_scales(wanted: Array, bias: Array, source: float) -> Array:
    """Scales [F] float32 that are those wanted where the biases [F] then fit; source: scale of the input."""
    scales = np.maximum(wanted, np.abs(bias) / (source * LARGEST_BIAS))
    return np.where(scales < TINY, 1.0, scales).astype(np.float32)  # weights and bias 0: any will do


def choose_formats(graph: Graph, ranges: Mapping[str, tuple[float, float]], bits: int) -> dict[str, Affine]:
    """The format of every tensor; operations that the specification has keep scale and zero point do so."""
    groups = same_formats(graph)
    formats = {}
    for group in {id(members): members for members in groups.values()}.values():
        fixed = any(isinstance(node.op, Softmax) for node in graph.nodes if node.name in group)
        made = [node.name for node in graph.nodes if node.name in group and is_rounded(graph, node)]
        spans = [ranges[name] for name in (*made, *graph.inputs) if name in group]
        low, high = min((low for low, _ in spans), default=0.0), max((high for _, high in spans), default=0.0)
        chosen = SOFTMAX_OUTPUT[bits] if fixed else affine_for(low, high, bits)
        formats.update(dict.fromkeys(group, chosen))
    return formats


def choose(graph: Graph, ranges: Mapping[str, tuple[float, float]], bits: int) -> AffineChosen:
    """The format of every tensor, and the scales of every layer's weights."""
    tensors = choose_formats(graph, ranges, bits)
    weights = {
        node.name: tuple(affine_weights(node.op, tensors[node.inputs[0]]).scales.tolist())
        for node in graph.nodes
        if isinstance(node.op, (Conv, Dense, BatchNorm))
    }
    return AffineChosen(tensors, weights)


def is_rounded(graph: Graph, node: Node) -> bool:
    """Whether an operation has a range of its own: all but those that pass integers on in their input's format."""
    if isinstance(node.op, AvgPool):
        return covers_all(node.op.window, graph.input_shapes(node)[0])
    return not isinstance(node.op, (MaxPool, Pad, Reshape, Concat))


def same_formats(graph: Graph) -> dict[str, set[str]]:
    """For each tensor the tensors, itself among them, that share its scale and zero point.

    Pooling, padding and change of shape keep the input's; the inputs of a concatenation share the output's,
    but for the outputs of softmax, whose format is given. A mean over all positions has its own.
    """
    groups = {name: {name} for name in graph.tensors}
    given: set[str] = set()
    for node in graph.nodes:
        sources = () if is_rounded(graph, node) else node.inputs
        if isinstance(node.op, Concat):
            sources = tuple(source for source in sources if source not in given)
        if isinstance(node.op, Softmax) or any(source in given for source in sources):
            given.add(node.name)
        for source in sources:
            joined = groups[source] | groups[node.name]
            groups.update(dict.fromkeys(joined, joined))
    return groups
