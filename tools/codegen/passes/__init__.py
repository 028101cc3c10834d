"""Simplification of a float graph: equal outputs from fewer operations, all of which have kernels.

A pass is a pure function from graph to graph, in its own file; it returns the very graph that it was given
when it finds nothing to do. `Graph.build` verifies each result.
"""

from __future__ import annotations

from collections.abc import Callable

from ..graph import Graph
from .batchnorm_to_conv import batchnorm_to_conv
from .drop_identities import drop_identities
from .fold_batchnorm import fold_batchnorm
from .fuse_activation import fuse_activation
from .fuse_padding import fuse_padding
from .remove_softmax import remove_softmax as without_softmax

PASSES: tuple[Callable[[Graph], Graph], ...] = (
    drop_identities,
    fuse_padding,
    fold_batchnorm,
    batchnorm_to_conv,
    fuse_activation,
)


def simplify(graph: Graph, *, remove_softmax: bool = False) -> Graph:
    """Run the passes in order until none finds anything more.

    Names of inputs stay; names of outputs stay but for softmax outputs that `remove_softmax` takes away: in
    their places are the tensors before the softmax, under their own names.
    """
    if remove_softmax:
        graph = without_softmax(graph)
    while True:
        before = graph
        for simplification in PASSES:
            graph = simplification(graph)
        if graph is before:
            return graph
