"""The one place that imports TensorFlow: quiet, deterministic, and only when training or evaluating.

Import it inside functions: it takes seconds.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from ..errors import UserError

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _import_quietly() -> tuple[Any, Any]:
    """TensorFlow's C++ writes notices to standard error before its log level counts: nowhere, meanwhile."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123  (os.devnull is no path)
        os.dup2(nowhere.fileno(), 2)
    try:
        return importlib.import_module("tensorflow"), importlib.import_module("keras")
    except ModuleNotFoundError as error:
        raise UserError(
            "training", f"{error.name} is not installed", "pip install 'microai[train]'"
        ) from None
    finally:
        os.dup2(kept, 2)
        os.close(kept)


tf, keras = _import_quietly()

# Sums in the same order each time: a run repeated or resumed gives the same bits.
tf.config.experimental.enable_op_determinism()


def scores(model: Any) -> Any:
    """`model` without the softmax at its end, which is a layer or the activation of a dense layer.

    The weights are shared where it is a layer, else copied. A model without softmax is returned as it is.
    """
    last = model.layers[-1]
    if isinstance(last, keras.layers.Softmax) or (
        isinstance(last, keras.layers.Activation) and last.activation is keras.activations.softmax
    ):
        return keras.Model(model.inputs, last.input, name=model.name)
    if getattr(last, "activation", None) is keras.activations.softmax:
        linear = type(last).from_config({**last.get_config(), "activation": "linear"})
        output = linear(last.input)
        linear.set_weights(last.get_weights())
        return keras.Model(model.inputs, output, name=model.name)
    return model
