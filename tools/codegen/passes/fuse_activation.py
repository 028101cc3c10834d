"""ReLU and other clamps fused into the operation that they follow."""

from __future__ import annotations

from ..graph import Graph
from ..ops.base import FloatOp, Op
from ..ops.copy import Clamp
from .edit import fuse_followers


def fuse_activation(graph: Graph) -> Graph:
    """Fuse where nothing else reads the operation's output and the operation can take a clamp."""
    return fuse_followers(graph, _fuse)


def _fuse(layer: FloatOp, clamp: FloatOp) -> Op | None:
    return layer.with_activation(clamp.activation) if isinstance(clamp, Clamp) else None
