"""Bias correction: the mean error that quantized weights and inputs make is taken out of the bias.

Nagel et al. 2019 (Data-Free Quantization), section 4.2, with means over calibration data.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..formats import Array
from ..ops.base import NONE
from ..ops.conv import Conv
from ..ops.dense import Dense


def corrected_bias(op: Conv | Dense, kernel: Array, exact: Array, found: Array) -> Array:
    """The bias with which `kernel` and inputs of the mean `found` give the mean output that op gives for `exact`.

    Sums of products are linear: the mean of a layer's output is the layer's output for the mean input.
    exact, found: [1, *shape].
    """
    linear = replace(op, bias=np.zeros(len(op.bias)), activation=NONE)
    wanted = linear.run([exact.astype(np.float64)])
    made = replace(linear, kernel=kernel.astype(np.float64)).run([found.astype(np.float64)])
    error = (wanted - made).reshape(-1, len(op.bias)).mean(axis=0)
    bias: Array = (op.bias + error).astype(op.bias.dtype)
    return bias
