"""Adjusting each layer to the errors of all before it: bias correction and adaptive rounding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..formats import Array, Fixed, FixedWeights
from ..graph import Graph, Node
from ..ops.base import Op
from ..ops.conv import Conv
from ..ops.dense import Dense
from ..reference import tensors
from ..requant import Rounding
from .adaptive import adapted, second_moments
from .bias_correction import corrected_bias
from .calibration import spread

SAMPLES = 256


@dataclass
class Layerwise:
    """Runs the integer graph on calibration samples while it is built.

    adaptive: weights are rounded by `adaptive.adapted`. bias: biases are corrected.
    """

    formats: Mapping[str, Fixed]
    adaptive: bool
    bias: bool
    means: Mapping[str, Array]
    """Mean of each float tensor over the samples: [1, *shape]."""
    values: dict[str, Array] = field(default_factory=dict)
    """The samples of each integer tensor made so far: [N, *shape]."""

    @staticmethod
    def start(
        graph: Graph, inputs: Sequence[Array], formats: Mapping[str, Fixed], adaptive: bool, bias: bool
    ) -> Layerwise:
        """`inputs`: real, one array [N, *shape] per graph input, of which SAMPLES evenly spread are used."""
        chosen = spread(len(inputs[0]), SAMPLES)
        few = [x[chosen] for x in inputs]
        means = {
            name: values.mean(axis=0, keepdims=True, dtype=np.float64)
            for name, values in tensors(graph, few).items()
        }
        stored = {name: formats[name].quantize(x) for name, x in zip(graph.inputs, few, strict=True)}
        return Layerwise(formats, adaptive, bias, means, stored)

    def adjusted(self, op: Op, source: str, weights: FixedWeights | None, rounding: Rounding) -> Op:
        """The float operation whose weights and bias, rounded, are those wanted; source: its input."""
        if not isinstance(op, (Conv, Dense)):
            return op
        assert weights is not None
        kernel = op.kernel
        x = self.formats[source].dequantize(self.values[source])
        if self.adaptive:
            kernel = adapted(op, weights, second_moments(op, x, self.bias))
        if not self.bias:
            return replace(op, kernel=kernel)
        made = weights.dequantize(weights.quantize(kernel, rounding))
        return replace(
            op,
            kernel=kernel,
            bias=corrected_bias(op, made, self.means[source], x.mean(axis=0, keepdims=True)),
        )

    def run(self, node: Node) -> None:
        """Execute an integer node on the samples."""
        y = node.op.run([self.values[source] for source in node.inputs])
        self.values[node.name] = y.astype(self.formats[node.name].dtype)
