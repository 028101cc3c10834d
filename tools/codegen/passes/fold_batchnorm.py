"""Batch normalization folded into the convolution or dense layer that it follows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..graph import Graph
from ..ops.base import FloatOp, Op
from ..ops.batchnorm import BatchNorm
from ..ops.conv import Conv
from ..ops.dense import Dense
from .edit import fuse_followers


def fold_batchnorm(graph: Graph) -> Graph:
    """Fold where the layer has no activation of its own and nothing else reads its output.

    ``scale * (w x + b) + offset = (scale w) x + (scale b + offset)``, per filter, computed in float64.
    Novac et al. 2021, section 5.7.
    """
    return fuse_followers(graph, folded)


def folded(layer: FloatOp, norm: FloatOp) -> Op | None:
    """The layer with the normalization in it; None where it cannot take it."""
    if not isinstance(norm, BatchNorm) or not isinstance(layer, (Conv, Dense)) or layer.activation:
        return None
    scale = norm.scale.reshape(-1, *(1,) * (layer.kernel.ndim - 1))
    return replace(
        layer,
        kernel=(layer.kernel * scale).astype(np.float32),
        bias=(layer.bias * norm.scale + norm.offset).astype(np.float32),
    )
