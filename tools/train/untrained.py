"""A model of an experiment as it is before training, without its data set: what a network would cost.

Weights are Keras's random ones, by the experiment's seed; the vectors are random numbers of the data set's shape, taken
through the experiment's preprocessing. Times of a network hardly depend on either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .dataset import Dataset, Floats
from .preprocessing import Split

if TYPE_CHECKING:
    from ..experiment import Experiment, Model

VECTORS = 128


def random_data(experiment: Experiment) -> Floats:
    """x float32 [N, T, C] or [N, H, W, C]: normal numbers, preprocessed as the experiment's training part."""
    kind = experiment.dataset.params
    classes = kind.class_count
    count = classes * -(-VECTORS // classes)
    rng = np.random.default_rng(experiment.bench.seed)
    x = rng.normal(size=(count, *kind.vector)).astype(np.float32)
    y = np.arange(count, dtype=np.int32) % classes
    # Each class has vectors of several subjects, and some that are set aside: any split finds what it needs.
    subjects = (np.arange(count, dtype=np.int32) // classes) % 8
    names = tuple(str(i) for i in range(classes))
    dataset = Dataset(
        name=experiment.dataset.kind,
        x_train=x,
        y_train=y,
        x_test=x,
        y_test=y,
        classes=names,
        unit="random",
        rate=None,
        subjects_train=subjects,
        subjects_test=subjects,
        licence="",
        citation="",
        set_aside=subjects == 0,
    )
    data = Split.of(dataset)
    for step in experiment.preprocessing:
        data = step.params.apply(data)
    return data.x_train


def untrained(experiment: Experiment, model: Model, x: Floats) -> Any:
    """The `keras.Model` of a [[model]] with its first random weights, after [[postprocessing]]; x as above."""
    from .backend import keras

    keras.backend.clear_session()
    keras.utils.set_random_seed(experiment.bench.seed + experiment.bench.first_run)
    network = model.params.build(x.shape[1:], experiment.dataset.params.class_count)
    for step in experiment.postprocessing:
        network = step.params.apply(network)
    return network
