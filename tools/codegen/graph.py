"""The graph of a network: what every stage between the frontend and the lowering takes and returns.

A tensor has the shape of one sample: (C,), (T, C) or (H, W, C), channels last. Every node makes one
tensor, which bears the node's name. The float graph of a frontend and the integer graph of a quantization
scheme are the same type; they differ in the formats of their tensors and in the operations that fit them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from ..errors import UserError
from .formats import FLOAT32, Format
from .ops.base import Op, Shape, elements


@dataclass(frozen=True)
class TensorType:
    """Shape of one sample and number format of a tensor."""

    shape: Shape
    format: Format = FLOAT32

    @property
    def elements(self) -> int:
        return elements(self.shape)

    @cached_property
    def bytes(self) -> int:
        return self.elements * self.format.bytes

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.shape))} {self.format}"


@dataclass(frozen=True)
class Node:
    """One operation; its output tensor bears its name."""

    name: str
    op: Op
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """A network: nodes in the order of execution and the types of all tensors.

    Use `build` to make one: it infers the shapes and verifies the whole.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    tensors: Mapping[str, TensorType]

    @staticmethod
    def build(
        name: str,
        inputs: Mapping[str, TensorType],
        nodes: Iterable[Node],
        outputs: Iterable[str],
        formats: Mapping[str, Format] | None = None,
    ) -> Graph:
        """Infer every tensor's shape in order of execution and verify the graph.

        `formats` gives the number formats of tensors that are not float32. Raises UserError where a node
        cannot take its inputs.
        """
        formats = formats or {}
        tensors = dict(inputs)
        nodes = tuple(nodes)
        for node in nodes:
            if node.name in tensors:
                raise UserError(f"{name}: layer {node.name}", "two layers have this name", "rename one")
            missing = [source for source in node.inputs if source not in tensors]
            if missing:
                raise UserError(
                    f"{name}: layer {node.name}",
                    f"its input {missing[0]} is made by no earlier layer",
                    "order the layers by execution",
                )
            try:
                shape = node.op.infer([tensors[source].shape for source in node.inputs])
            except ValueError as error:
                raise UserError(
                    f"{name}: layer {node.name} ({node.op.kind})", str(error), "correct the model"
                ) from None
            tensors[node.name] = TensorType(shape, formats.get(node.name, FLOAT32))
        graph = Graph(name, tuple(inputs), tuple(outputs), nodes, tensors)
        graph.verify()
        return graph

    def verify(self) -> None:
        """Check what every stage relies on. Raises UserError naming the first tensor that breaks it."""
        for output in self.outputs:
            if output not in self.tensors:
                raise UserError(self.name, f"output {output} is made by no layer", "correct the model")
        if not self.outputs:
            raise UserError(self.name, "the model has no output", "correct the model")
        used = {source for node in self.nodes for source in node.inputs} | set(self.outputs)
        for node in self.nodes:
            if node.name not in used:
                raise UserError(
                    f"{self.name}: layer {node.name}", "its output is used by nothing", "remove the layer"
                )
            problem = node.op.check(
                [self.tensors[source].format for source in node.inputs], self.tensors[node.name].format
            )
            if problem:
                raise UserError(f"{self.name}: layer {node.name} ({node.op.kind})", problem, "report this")

    def consumers(self, tensor: str) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if tensor in node.inputs)

    def producer(self, tensor: str) -> Node | None:
        """The node that makes a tensor, None for a graph input."""
        return next((node for node in self.nodes if node.name == tensor), None)

    def input_shapes(self, node: Node) -> list[Shape]:
        return [self.tensors[source].shape for source in node.inputs]

    def macs(self, node: Node) -> int:
        """Multiply-accumulates of one node for one sample, taps in the padding included."""
        return node.op.macs(self.input_shapes(node), self.tensors[node.name].shape)

    def rebuilt(self, nodes: Iterable[Node], outputs: Iterable[str] | None = None) -> Graph:
        """The float graph with other nodes (shapes inferred and verified anew); used by the passes."""
        return Graph.build(
            self.name,
            {tensor: self.tensors[tensor] for tensor in self.inputs},
            nodes,
            self.outputs if outputs is None else outputs,
        )

    def renamed(self, name: str) -> Graph:
        return replace(self, name=name)
