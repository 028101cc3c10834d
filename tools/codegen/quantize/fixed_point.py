"""Post-training quantization to fixed point with power-of-two scales.

Novac et al. 2021, sections 4.1 and 4.2: symmetric range, one scale per network or per layer (weights and
activations apart), ``m = 1 + floor(log2(max |x|))``, ``n = w - m - 1``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import UserError
from ..formats import Array, Fixed, fixed_for
from ..graph import Graph, Node, TensorType
from ..ops.base import FixedFormats, FloatOp
from ..requant import Rounding
from .calibration import calibrate

LARGEST_SHIFT = 31


@dataclass(frozen=True)
class FixedPoint:
    """How to quantize: width in bits, granularity of the scale, forced fraction bits, roundings.

    `scale` "network": one format for all weights and activations; "layer": one for each tensor. `frac`
    forces the fraction bits of the network-wide format (Q7.9 is bits=16, frac=9).
    """

    bits: int
    scale: str = "layer"
    frac: int | None = None
    weight_rounding: Rounding = Rounding.NEAREST
    rounding: Rounding = Rounding.NEAREST

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise UserError("quantization", f"a width of {self.bits} bits", "choose from 2 to 16")
        if self.frac is not None and self.scale != "network":
            raise UserError(
                "quantization",
                f"frac = {self.frac} is given with scale = {self.scale!r}",
                'set scale = "network"',
            )


def quantize(graph: Graph, calibration: Sequence[Array], scheme: FixedPoint) -> Graph:
    """The integer graph; `calibration` is one float array [N, *shape] per graph input.

    Raises UserError naming the layer whose numbers no accumulator can hold.
    """
    maxima = calibrate(graph, calibration)
    formats = choose_formats(graph, maxima, scheme)
    inputs = {name: TensorType(graph.tensors[name].shape, formats[name]) for name in graph.inputs}
    nodes = []
    for node in graph.nodes:
        assert isinstance(node.op, FloatOp)
        chosen = FixedFormats(
            inputs=tuple(formats[source] for source in node.inputs),
            output=formats[node.name],
            weights=weight_format(node.op, [formats[s] for s in node.inputs], formats[node.name], scheme),
            weight_rounding=scheme.weight_rounding,
            rounding=scheme.rounding,
        )
        try:
            op = node.op.to_fixed(chosen, graph.input_shapes(node))
        except ValueError as error:
            raise UserError(
                f"{graph.name}: layer {node.name}", str(error), "retrain with smaller weights or use float32"
            ) from None
        nodes.append(Node(node.name, op, node.inputs))
    return Graph.build(graph.name, inputs, nodes, graph.outputs, formats)


def choose_formats(graph: Graph, maxima: Mapping[str, float], scheme: FixedPoint) -> dict[str, Fixed]:
    """The format of every tensor."""
    if scheme.scale == "network":
        parameters = [
            float(np.abs(array).max(initial=0.0))
            for node in graph.nodes
            if isinstance(node.op, FloatOp)
            for array in node.op.arrays().values()
        ]
        whole = fixed_for(max([*maxima.values(), *parameters]), scheme.bits)
        if scheme.frac is not None:
            whole = Fixed(scheme.bits, scheme.frac)
        return dict.fromkeys(graph.tensors, whole)
    formats: dict[str, Fixed] = {name: fixed_for(maxima[name], scheme.bits) for name in graph.inputs}
    for node in graph.nodes:
        assert isinstance(node.op, FloatOp)
        if node.op.keeps_format:
            formats[node.name] = formats[node.inputs[0]]
        else:
            maximum = maxima[node.name] if node.op.maximum is None else node.op.maximum
            formats[node.name] = fixed_for(maximum, scheme.bits)
    return formats


def weight_format(op: FloatOp, inputs: Sequence[Fixed], output: Fixed, scheme: FixedPoint) -> Fixed | None:
    """Format of a layer's weights, None when it has none."""
    if op.weights is None:
        return None
    if scheme.scale == "network":
        return output
    best = fixed_for(float(np.abs(op.weights).max(initial=0.0)), scheme.bits)
    # Finer than this, the kernel would have to shift the accumulator right by more than 31 bits: what such
    # weights add is below the output's resolution anyway.
    return Fixed(scheme.bits, min(best.frac, output.frac - inputs[0].frac + LARGEST_SHIFT))
