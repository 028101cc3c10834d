"""Bias correction: the mean error that quantized weights and inputs make is taken out of the bias.

Nagel et al. 2019 (Data-Free Quantization), section 4.2, with means over calibration data, layer after layer:
each layer is corrected for the errors of all before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..formats import Array, Fixed, FixedWeights
from ..graph import Graph, Node
from ..ops.base import NONE, Op
from ..ops.conv import Conv
from ..ops.dense import Dense
from ..reference import tensors
from ..requant import Rounding
from .calibration import spread

SAMPLES = 256


@dataclass
class BiasCorrection:
    """Runs the integer graph on calibration samples while it is built.

    Sums of products are linear: the mean of a layer's output is the layer's output for the mean input.
    """

    formats: Mapping[str, Fixed]
    means: Mapping[str, Array]
    """Mean of each float tensor over the samples: [1, *shape]."""
    values: dict[str, Array] = field(default_factory=dict)
    """The samples of each integer tensor made so far: [N, *shape]."""

    @staticmethod
    def start(graph: Graph, inputs: Sequence[Array], formats: Mapping[str, Fixed]) -> BiasCorrection:
        """`inputs`: real, one array [N, *shape] per graph input, of which SAMPLES evenly spread are used."""
        chosen = spread(len(inputs[0]), SAMPLES)
        few = [x[chosen] for x in inputs]
        means = {
            name: values.mean(axis=0, keepdims=True, dtype=np.float64)
            for name, values in tensors(graph, few).items()
        }
        stored = {name: formats[name].quantize(x) for name, x in zip(graph.inputs, few, strict=True)}
        return BiasCorrection(formats, means, stored)

    def corrected(self, op: Op, source: str, weights: FixedWeights | None, rounding: Rounding) -> Op:
        """The float operation with the bias that gives the integer one the float one's mean, filter by filter."""
        if not isinstance(op, (Conv, Dense)):
            return op
        assert weights is not None
        kernel = weights.dequantize(weights.quantize(op.kernel, rounding)).astype(np.float64)
        mean = self.formats[source].dequantize(self.values[source]).mean(axis=0, keepdims=True)
        linear = replace(op, bias=np.zeros(len(op.bias)), activation=NONE)
        exact = linear.run([self.means[source]])
        found = replace(linear, kernel=kernel).run([mean.astype(np.float64)])
        error = (exact - found).reshape(-1, len(op.bias)).mean(axis=0)
        return replace(op, bias=(op.bias + error).astype(op.bias.dtype))

    def run(self, node: Node) -> None:
        """Execute an integer node on the samples."""
        y = node.op.run([self.values[source] for source in node.inputs])
        self.values[node.name] = y.astype(self.formats[node.name].dtype)
