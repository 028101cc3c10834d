"""Adaptive rounding: weights to the integers that keep a layer's output, not to those that are nearest each.

An error of a weight can be made good by errors of others that meet similar inputs. With H the second moments of
the inputs that a filter's weights w meet together, quantized as they will be, the integers q are those of a
local minimum of (s q - w)' H (s q - w), which is the mean square error of the filter's sums: first one weight after the
other is rounded and its error spread over those still to come (Frantar et al., arXiv:2210.17323), then each is
chosen anew, the others given, until none changes.
"""

from __future__ import annotations

import numpy as np

from ..formats import Array, FixedWeights
from ..ops.conv import Conv
from ..ops.dense import Dense
from ..ops.pool import image

BATCH = 16  # samples whose windows are in memory together
PASSES = 20
DAMPING = 0.01  # of the mean of H's diagonal: inputs that always vanish together


def second_moments(op: Conv | Dense, x: Array, centred: bool) -> Array:
    """[G, K, K]: of the K inputs that the weights of a filter of each group meet, over samples x [N, *shape].

    centred: about their means, for a layer whose bias makes good the mean error.
    """
    if isinstance(op, Dense):
        met = x.astype(np.float64)[np.newaxis]
        total, mean = met.transpose(0, 2, 1) @ met / len(x), met.mean(axis=1)
    else:
        _, kh, kw, depth = op.kernel.shape
        size = kh * kw * depth
        total, mean = np.zeros((op.groups, size, size)), np.zeros((op.groups, size))
        for start in range(0, len(x), BATCH):
            view = op.window.windows(
                image(x[start : start + BATCH]).astype(np.float64)
            )  # [N, OH, OW, C, KH, KW]
            n, oh, ow = view.shape[:3]
            rows = view.transpose(0, 1, 2, 4, 5, 3).reshape(n * oh * ow, kh * kw, op.groups, depth)
            met = rows.transpose(2, 0, 1, 3).reshape(op.groups, n * oh * ow, size)
            total += met.transpose(0, 2, 1) @ met / (len(x) * oh * ow)
            mean += met.sum(axis=1) / (len(x) * oh * ow)
    return total - mean[:, :, np.newaxis] * mean[:, np.newaxis, :] if centred else total


def adapted(op: Conv | Dense, weights: FixedWeights, moments: Array) -> Array:
    """The kernel [F, ...] in numbers of the format `weights`."""
    rows = op.kernel.reshape(len(moments), len(op.kernel) // len(moments), -1).astype(np.float64)
    fracs = np.broadcast_to(np.array(weights.fracs), len(op.kernel)).reshape(rows.shape[:2])
    steps = np.ldexp(1.0, -fracs)
    limits = (-(2.0 ** (weights.bits - 1)), 2.0 ** (weights.bits - 1) - 1)
    groups = [
        step[:, np.newaxis] * rounded(row / step[:, np.newaxis], moment, limits)
        for row, step, moment in zip(rows, steps, moments, strict=True)
    ]
    return np.concatenate(groups).reshape(op.kernel.shape).astype(np.float32)


def rounded(v: Array, moments: Array, limits: tuple[float, float]) -> Array:
    """Whole numbers [F, K] within `limits` for v [F, K], by the moments [K, K] of what they are multiplied with."""
    damped = moments + DAMPING * max(float(np.diag(moments).mean()), 1e-30) * np.eye(len(moments))
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    q, rest = np.empty_like(v), v.copy()
    for k in range(v.shape[1]):
        q[:, k] = np.clip(np.floor(rest[:, k] + 0.5), *limits)
        error = (rest[:, k] - q[:, k]) / upper[k, k]
        rest[:, k:] -= error[:, np.newaxis] * upper[k, k:]
    for _ in range(PASSES):
        before = q.copy()
        for k in range(v.shape[1]):
            pull = (q - v) @ damped[:, k] / damped[k, k]  # by how much q[:, k] is too large
            q[:, k] = np.clip(np.floor(q[:, k] - pull + 0.5), *limits)
        if np.array_equal(q, before):
            break
    return q
