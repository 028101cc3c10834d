"""Ranges of the activations of a float graph over calibration data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...errors import UserError
from ..formats import Array
from ..graph import Graph
from ..reference import check_shapes, execute


def calibrate(graph: Graph, inputs: Sequence[Array]) -> Mapping[str, float]:
    """Largest magnitude of every tensor over the calibration data.

    `inputs`: one float array [N, *shape] per graph input. Raises UserError when a shape is wrong, there
    is no sample, or a value is not finite.
    """
    check_shapes(graph, inputs)
    if len(inputs[0]) == 0:
        raise UserError("calibration data", "has no sample", "give at least one")
    for name, array in zip(graph.inputs, inputs, strict=True):
        if not np.isfinite(array).all():
            raise UserError("calibration data", f"input {name} has NaN or infinite values", "clean the data")
    maxima = dict.fromkeys(graph.tensors, 0.0)
    for batch in execute(graph, inputs, graph.tensors):
        for name, values in batch.items():
            peak = float(np.abs(values).max(initial=0.0))
            if not np.isfinite(peak):
                raise UserError(
                    f"{graph.name}: layer {name}",
                    "its output is NaN or infinite on the calibration data",
                    "check the weights and the scale of the data",
                )
            maxima[name] = max(maxima[name], peak)
    return maxima
