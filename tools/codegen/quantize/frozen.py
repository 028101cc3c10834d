"""What quantization-aware training hands to the generator: parameters and number formats, decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ...errors import UserError
from ..formats import Array, fixed_for
from ..graph import Graph, Node
from ..ops.conv import Conv
from ..ops.dense import Dense
from ..ops.softmax import Softmax
from .fixed_point import Chosen, FixedPoint, quantize


@dataclass(frozen=True, eq=False)
class Frozen:
    """Parameters by node and array name (float32, shaped as the operation's), formats of tensors and weights."""

    arrays: Mapping[str, Mapping[str, Array]]
    formats: Chosen

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

    def quantized(self, graph: Graph, calibration: Sequence[Array], scheme: FixedPoint) -> Graph:
        """The integer graph of the simplified `graph` with these parameters, in these formats.

        A softmax at the end, which is not trained with, gets the format that it always has. Raises UserError
        as `quantize` does, and where the parameters are of another model.
        """
        tensors = dict(self.formats.tensors)
        for name in graph.inputs:
            if name not in tensors:
                raise _of_another_model(graph, name)
        for node in graph.nodes:
            if isinstance(node.op, Softmax):
                tensors[node.name] = fixed_for(node.op.maximum, tensors[node.inputs[0]].bits)
            elif node.name not in tensors:
                raise _of_another_model(graph, node.name)
        return quantize(self.applied(graph), calibration, scheme, Chosen(tensors, self.formats.weights))


def _of_another_model(graph: Graph, name: str) -> UserError:
    return UserError(
        f"{graph.name}: layer {name}", "quantization-aware training was of another model", "train again"
    )
