"""The one meaning of a graph: execution in numpy, of float graphs and of integer graphs alike.

The generated C must give, tensor by tensor, the bits that an integer graph gives here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from ..errors import UserError
from .formats import Array, Float32
from .graph import Graph

BATCH = 256


def stored(graph: Graph, reals: Sequence[Array]) -> tuple[Array, ...]:
    """Real inputs [N, *shape], one per graph input, in the number formats of the inputs (saturating)."""
    check_shapes(graph, reals)
    return tuple(graph.tensors[name].format.quantize(x) for name, x in zip(graph.inputs, reals, strict=True))


def outputs(graph: Graph, inputs: Sequence[Array], batch: int = BATCH) -> tuple[Array, ...]:
    """The graph's outputs, in their order, for all samples; see `execute`."""
    values = _joined(execute(graph, inputs, graph.outputs, batch))
    return tuple(values[name] for name in graph.outputs)


def tensors(graph: Graph, inputs: Sequence[Array], batch: int = BATCH) -> dict[str, Array]:
    """Every tensor by name, the inputs first and the others in order of execution; see `execute`."""
    return _joined(execute(graph, inputs, graph.tensors, batch))


def execute(
    graph: Graph, inputs: Sequence[Array], keep: Collection[str], batch: int = BATCH
) -> Iterator[dict[str, Array]]:
    """Run the graph on `batch` samples at a time and yield the tensors named in `keep` for each batch.

    `inputs` has one array [N, *shape] per graph input: real numbers for float32 inputs, stored integers for
    the others. Tensors have the dtype of their format; those not kept are released after their last
    use. No samples make one empty batch. Raises UserError where the inputs do not fit.
    """
    check_shapes(graph, inputs)
    arrays = [_as_stored(graph, name, x) for name, x in zip(graph.inputs, inputs, strict=True)]
    last_use = {source: node.name for node in graph.nodes for source in node.inputs}
    for start in range(0, max(len(arrays[0]), 1), batch):
        values = {name: x[start : start + batch] for name, x in zip(graph.inputs, arrays, strict=True)}
        for node in graph.nodes:
            y = node.op.run([values[source] for source in node.inputs])
            tensor = graph.tensors[node.name]
            assert y.shape[1:] == tensor.shape, f"{node.name}: made {y.shape[1:]} instead of {tensor.shape}"
            if not isinstance(tensor.format, Float32):
                low, high = y.min(initial=0), y.max(initial=0)
                inside = tensor.format.low <= low and high <= tensor.format.high
                assert inside, f"{node.name}: {low}..{high} is outside {tensor.format}"
            values[node.name] = y.astype(tensor.format.dtype, copy=False)
            for source in set(node.inputs):
                if last_use[source] == node.name and source not in keep:
                    del values[source]
        yield {name: values[name] for name in graph.tensors if name in keep}


def check_shapes(graph: Graph, inputs: Sequence[Array]) -> None:
    """Raise UserError unless `inputs` has one array [N, *shape] per graph input, all with the same N."""
    where = f"data for {graph.name}"
    if len(inputs) != len(graph.inputs):
        raise UserError(
            where,
            f"there are {len(inputs)} arrays and the model has {len(graph.inputs)} inputs",
            f"give one array for each of {', '.join(graph.inputs)}",
        )
    for name, x in zip(graph.inputs, inputs, strict=True):
        shape = graph.tensors[name].shape
        if x.shape[1:] != shape or x.ndim == 0:
            expected = f"(N, {', '.join(map(str, shape))})"
            raise UserError(
                where,
                f"the array for input {name} has shape {x.shape} and the model expects {expected}",
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
    if not isinstance(fmt, Float32):
        if not np.issubdtype(x.dtype, np.integer):
            raise UserError(
                f"data for {graph.name}",
                f"the array for input {name} is {x.dtype} and the input is stored as integers ({fmt})",
                "convert it with reference.stored",
            )
        if x.size and not (fmt.low <= x.min() and x.max() <= fmt.high):
            raise UserError(
                f"data for {graph.name}",
                f"input {name} has values from {x.min()} to {x.max()}, outside {fmt.low}..{fmt.high}",
                "convert it with reference.stored",
            )
    return x.astype(fmt.dtype, copy=False)


def _joined(batches: Iterator[dict[str, Array]]) -> dict[str, Array]:
    parts = list(batches)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
