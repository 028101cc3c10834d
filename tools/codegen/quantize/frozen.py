"""What quantization-aware training hands to the generator: parameters and number formats, decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ...errors import UserError
from ..formats import Array, fixed_for
from ..graph import Graph, Node
from ..ops.affine import SOFTMAX_OUTPUT
from ..ops.conv import Conv
from ..ops.dense import Dense
from ..ops.softmax import Softmax
from . import affine, fixed_point
from .affine import AffineChosen, AffineScheme, affine_weights
from .fixed_point import Chosen, FixedPoint


@dataclass(frozen=True, eq=False)
class Frozen:
    """Parameters by node and array name (float32, shaped as the operation's), formats of tensors and weights."""

    arrays: Mapping[str, Mapping[str, Array]]
    formats: Chosen | AffineChosen

    def applied(self, graph: Graph) -> Graph:
        """The simplified float graph with these parameters. Raises UserError where they are of another model."""
        nodes = []
        for node in graph.nodes:
            if isinstance(node.op, (Conv, Dense)):
                arrays = self.arrays.get(node.name, {})
                shapes = {name: array.shape for name, array in arrays.items()}
                if shapes != {name: array.shape for name, array in node.op.arrays().items()}:
                    raise _of_another_model(graph, node.name)
                node = Node(
                    node.name, replace(node.op, kernel=arrays["kernel"], bias=arrays["bias"]), node.inputs
                )
            nodes.append(node)
        return graph.rebuilt(nodes)

    def quantized(
        self, graph: Graph, calibration: Sequence[Array], scheme: FixedPoint | AffineScheme
    ) -> Graph:
        """The integer graph of the simplified `graph` with these parameters, in these formats.

        A softmax at the end, which is not trained with, gets the format that it always has. Raises UserError
        as `quantize` does, and where the parameters are of another model.
        """
        softmax = {
            node.name: (node.op, node.inputs[0]) for node in graph.nodes if isinstance(node.op, Softmax)
        }
        for name in graph.tensors:
            if name not in self.formats.tensors and name not in softmax:
                raise _of_another_model(graph, name)
        applied = self.applied(graph)
        if isinstance(self.formats, AffineChosen):
            formats = dict(self.formats.tensors)
            for name, (_, source) in softmax.items():
                formats[name] = SOFTMAX_OUTPUT[formats[source].bits]
            weights = {
                node.name: affine_weights(node.op, formats[node.inputs[0]], self.formats.weights[node.name])
                for node in applied.nodes
                if isinstance(node.op, (Conv, Dense))
            }
            return affine.with_formats(applied, formats, weights)
        assert isinstance(scheme, FixedPoint)
        fixed = dict(self.formats.tensors)
        for name, (op, source) in softmax.items():
            fixed[name] = fixed_for(op.maximum, fixed[source].bits)
        return fixed_point.quantize(applied, calibration, scheme, Chosen(fixed, self.formats.weights))


def _of_another_model(graph: Graph, name: str) -> UserError:
    return UserError(
        f"{graph.name}: layer {name}", "quantization-aware training was of another model", "train again"
    )
