"""The training loop: one compiled function an epoch, a checkpoint after each, the same bits each time."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..files import write_atomically
from .augmentation import AugmentationKind, Blend
from .dataset import Floats, Labels
from .optimizer import OptimizerKind, SchedulerKind


@dataclass(frozen=True)
class Epoch:
    """One epoch of training. loss (nats) and train_accuracy are of the augmented vectors, met as the
    weights change.

    Accuracies 0..1; of a vector that is a blend of two, the class with the larger share counts.
    valid_accuracy: None without validation vectors.
    """

    loss: float
    train_accuracy: float
    valid_accuracy: float | None
    learning_rate: float


@dataclass(frozen=True, eq=False)
class Plan:
    """All that a training run is: with the same plan and the same untrained model come the same weights.

    x_*: float32 [N, ...]; y_*: int32 [N] below `classes`; x_valid may have N = 0. seed: of order and
    augmentation.
    """

    x_train: Floats
    y_train: Labels
    x_valid: Floats
    y_valid: Labels
    classes: int
    epochs: int
    batch_size: int
    seed: int
    optimizer: OptimizerKind
    scheduler: SchedulerKind | None
    augmentation: Sequence[AugmentationKind]


@dataclass(frozen=True)
class Fit:
    """What `fit` did. history: of all epochs, also those before a resumption. seconds: spent in all of
    them.
    """

    history: tuple[Epoch, ...]
    seconds: float


def fit(
    model: Any, plan: Plan, checkpoint: Path, key: str, progress: Callable[[int, Epoch], None] | None = None
) -> Fit:
    """Train `model` (a `keras.Model`, from its scores before any softmax) in place, with softmax
    cross-entropy.

    checkpoint: written after each epoch; one that carries the same `key` is resumed, and the weights at the
    end are then bit for bit those of a run that was never interrupted. progress(epochs done, the last one)
    is called after each epoch. Raises UserError where the loss is no longer finite.
    """
    from .backend import scores

    return fit_scores(scores(model), plan, checkpoint, key, progress)


def fit_scores(
    network: Any,
    plan: Plan,
    checkpoint: Path,
    key: str,
    progress: Callable[[int, Epoch], None] | None = None,
    begin: Callable[[int], None] | None = None,
    undecayed: Sequence[Any] = (),
) -> Fit:
    """`fit` for a `keras.Model` of any kind whose output are the scores.

    begin(epoch, 0 the first) is called before each epoch. undecayed: variables without weight decay.
    """
    from .backend import tf

    optimizer = plan.optimizer.build()
    optimizer.build(network.trainable_variables)
    state = [*network.variables, *optimizer.variables]
    decays = [
        0.0 if any(variable is other for other in undecayed) else plan.optimizer.weight_decay
        for variable in network.trainable_variables
    ]
    history, seconds = _resume(checkpoint, key, state)
    x, y = tf.constant(plan.x_train), tf.one_hot(plan.y_train, plan.classes)

    def epoch(first: Any, second: Any, share: Any) -> tuple[Any, Any]:
        """All batches in turn; sums over the vectors of loss and of hits."""
        loss_sum = hit_sum = tf.constant(0.0)
        for start in tf.range(0, tf.size(first), plan.batch_size):
            batch = slice(start, start + plan.batch_size)
            a, b, part = first[batch], second[batch], share[batch]
            part_x = tf.reshape(part, [-1] + [1] * (len(x.shape) - 1))
            batch_x = part_x * tf.gather(x, a) + (1 - part_x) * tf.gather(x, b)
            batch_y = part[:, None] * tf.gather(y, a) + (1 - part[:, None]) * tf.gather(y, b)
            with tf.GradientTape() as tape:
                output = network(batch_x, training=True)
                losses = tf.nn.softmax_cross_entropy_with_logits(batch_y, output)
                loss = tf.reduce_mean(losses)
            variables = network.trainable_variables
            gradients = tape.gradient(loss, variables)
            decayed = [g + decay * v for g, v, decay in zip(gradients, variables, decays, strict=True)]
            optimizer.apply(decayed, variables)
            loss_sum += tf.reduce_sum(losses)
            hits = tf.equal(tf.argmax(output, 1), tf.argmax(batch_y, 1))
            hit_sum += tf.reduce_sum(tf.cast(hits, tf.float32))
        return loss_sum, hit_sum

    compiled = tf.function(epoch)
    count = len(plan.x_train)
    for number in range(len(history), plan.epochs):
        began = time.monotonic()
        if begin is not None:
            begin(number)
        # A generator for each epoch: a resumed run needs no state of the epochs before.
        random = np.random.default_rng((plan.seed, number))
        order = random.permutation(count).astype(np.int32)
        blend = Blend(order, order, np.ones(count, np.float32))
        for augmentation in plan.augmentation:
            blend = augmentation.apply(blend, random)
        factor = plan.scheduler.factor_at(number) if plan.scheduler is not None else 1.0
        optimizer.learning_rate.assign(plan.optimizer.learning_rate * factor)
        loss, hits = compiled(*(tf.constant(part) for part in (blend.first, blend.second, blend.share)))
        if not np.isfinite(float(loss)):
            raise UserError(
                f"training, epoch {number + 1}", f"the loss is {float(loss)}", "use a smaller learning_rate"
            )
        valid = accuracy(network, plan.x_valid, plan.y_valid) if len(plan.x_valid) else None
        history += (
            Epoch(
                loss=float(loss) / count,
                train_accuracy=float(hits) / count,
                valid_accuracy=valid,
                learning_rate=plan.optimizer.learning_rate * factor,
            ),
        )
        seconds += time.monotonic() - began
        _keep(checkpoint, key, state, history, seconds)
        if progress is not None:
            progress(len(history), history[-1])
    return Fit(history, seconds)


def accuracy(model: Any, x: Floats, y: Labels) -> float:
    """Share (0..1) of vectors whose largest output of `model` is at index y. x: [N, ...], y: [N]."""
    return float(np.mean(predict(model, x).argmax(axis=1) == y))


def predict(model: Any, x: Floats) -> Floats:
    """Outputs of a `keras.Model` in float32, [N, classes]."""
    return np.asarray(model.predict(x, batch_size=256, verbose=0), np.float32)


def _keep(checkpoint: Path, key: str, state: Sequence[Any], history: Sequence[Epoch], seconds: float) -> None:
    meta = {"key": key, "seconds": seconds, "history": [asdict(epoch) for epoch in history]}
    arrays = {str(index): np.asarray(variable) for index, variable in enumerate(state)}
    with write_atomically(checkpoint) as file:
        np.savez(file, allow_pickle=False, meta=np.array(json.dumps(meta)), **arrays)


def _resume(checkpoint: Path, key: str, state: Sequence[Any]) -> tuple[tuple[Epoch, ...], float]:
    """Put the checkpoint's values into `state`; history and seconds so far. Without a good one: nothing so
    far.
    """
    try:
        with np.load(checkpoint, allow_pickle=False) as file:
            meta = json.loads(str(file["meta"]))
            if meta["key"] != key:
                return (), 0.0
            values = [file[str(index)] for index in range(len(state))]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return (), 0.0
    for variable, value in zip(state, values, strict=True):
        variable.assign(value)
    return tuple(Epoch(**epoch) for epoch in meta["history"]), float(meta["seconds"])
