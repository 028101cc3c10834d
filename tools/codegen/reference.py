"""The one meaning of a graph: execution in numpy, of float graphs and of integer graphs alike.

The generated C must give, tensor by tensor, the bits that an integer graph gives here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..errors import UserError
from .formats import Array, Fixed
from .graph import Graph

BATCH = 256


def stored(graph: Graph, reals: Sequence[Array]) -> tuple[Array, ...]:
    """Real inputs [N, *shape], one per graph input, in the number formats of the inputs (saturating)."""
    check_inputs(graph, reals)
    return tuple(graph.tensors[name].format.quantize(x) for name, x in zip(graph.inputs, reals, strict=True))


def outputs(graph: Graph, inputs: Sequence[Array], batch: int = BATCH) -> tuple[Array, ...]:
    """The graph's outputs [N, *shape], in their order; `inputs` as for `execute`, run `batch` at a time."""
    check_inputs(graph, inputs)
    parts: dict[str, list[Array]] = {name: [] for name in graph.outputs}
    for start in range(0, max(len(inputs[0]), 1), batch):
        for name, values in execute(graph, [x[start : start + batch] for x in inputs]):
            if name in parts:
                parts[name].append(values)
    return tuple(np.concatenate(parts[name]) for name in graph.outputs)


def tensors(graph: Graph, inputs: Sequence[Array]) -> dict[str, Array]:
    """Every tensor by name, graph inputs first, then in order of execution; all are held at once."""
    return dict(execute(graph, inputs))


def execute(graph: Graph, inputs: Sequence[Array]) -> Iterator[tuple[str, Array]]:
    """Run the graph on all samples at once and yield each tensor's name and values as soon as it is made.

    `inputs` has one array [N, *shape] per graph input: real numbers for float32 inputs, stored integers for
    fixed-point ones. Values [N, *shape] have the dtype of their format and are released after their last
    use. Raises UserError where the inputs do not fit.
    """
    check_inputs(graph, inputs)
    last_use = {source: node.name for node in graph.nodes for source in node.inputs}
    values = {name: _as_stored(graph, name, x) for name, x in zip(graph.inputs, inputs, strict=True)}
    yield from tuple(values.items())
    for node in graph.nodes:
        y = node.op.run([values[source] for source in node.inputs])
        tensor = graph.tensors[node.name]
        assert y.shape[1:] == tensor.shape, f"{node.name}: made {y.shape[1:]} instead of {tensor.shape}"
        if isinstance(tensor.format, Fixed):
            low, high = y.min(initial=0), y.max(initial=0)
            inside = tensor.format.low <= low and high <= tensor.format.high
            assert inside, f"{node.name}: {low}..{high} is outside {tensor.format}"
        values[node.name] = y.astype(tensor.format.dtype, copy=False)
        yield node.name, values[node.name]
        for source in {node.name, *node.inputs}:
            if last_use.get(source, node.name) == node.name:
                del values[source]


def check_inputs(graph: Graph, inputs: Sequence[Array], where: str = "input data") -> None:
    """Raise UserError unless `inputs` has one array [N, *shape] per graph input, all with the same N."""
    if len(inputs) != len(graph.inputs):
        raise UserError(
            where,
            f"there are {len(inputs)} arrays and {graph.name} has {len(graph.inputs)} inputs",
            f"give one array for each of {', '.join(graph.inputs)}",
        )
    for name, x in zip(graph.inputs, inputs, strict=True):
        shape = graph.tensors[name].shape
        if x.ndim == 0 or x.shape[1:] != shape:
            raise UserError(
                where,
                f"the array for input {name} has shape {x.shape} and {graph.name} expects "
                f"(N, {', '.join(map(str, shape))})",
                "give data prepared as the training data were",
            )
        if len(x) != len(inputs[0]):
            raise UserError(
                where,
                f"input {name} has {len(x)} samples and input {graph.inputs[0]} has {len(inputs[0])}",
                "give every input the same number of samples",
            )


def _as_stored(graph: Graph, name: str, x: Array) -> Array:
    """An input in the dtype of its format, checked to be representable."""
    fmt = graph.tensors[name].format
    if isinstance(fmt, Fixed):
        if not np.issubdtype(x.dtype, np.integer):
            raise UserError(
                "input data",
                f"the array for input {name} is {x.dtype} and the input is stored as integers ({fmt})",
                "convert it with reference.stored",
            )
        if x.size and not (fmt.low <= x.min() and x.max() <= fmt.high):
            raise UserError(
                "input data",
                f"input {name} has values from {x.min()} to {x.max()}, outside {fmt.low}..{fmt.high}",
                "convert it with reference.stored",
            )
    return x.astype(fmt.dtype, copy=False)
