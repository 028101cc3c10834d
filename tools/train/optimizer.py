"""Optimizers and learning rate schedules (`[model_template.optimizer]`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from .section import Component, Section


class SchedulerKind(Section, ABC):
    """The parameters of a schedule, and the schedule itself."""

    @abstractmethod
    def factor_at(self, epoch: int) -> float:
        """What the initial learning rate is multiplied by in `epoch` (0 is the first)."""


class Step(SchedulerKind):
    """The rate is multiplied by `factor` at each of `milestones` (epochs), as PyTorch's MultiStepLR does:

    milestone 100 takes effect in the epoch that comes after 100 whole epochs.
    """

    milestones: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]
    factor: Annotated[float, Field(gt=0)] = 0.1

    @model_validator(mode="after")
    def _in_order(self) -> Step:
        if any(a >= b for a, b in zip(self.milestones, self.milestones[1:], strict=False)):
            raise ValueError("milestones must be in increasing order")
        return self

    def factor_at(self, epoch: int) -> float:
        return self.factor ** bisect_right(self.milestones, epoch)


class OptimizerKind(Section, ABC):
    """The parameters of an optimizer, and how to make it.

    weight_decay: L2 regularisation as in torch.optim.SGD and Adam, which the paper used: weight_decay * w is
    added to the gradient of each trainable variable, biases included, before momentum. (Decoupled decay, as
    Keras's own option does it, is about 1 / (1 - momentum) = 10 times weaker for the same number.)
    """

    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)] = 0.0

    @abstractmethod
    def build(self) -> Any:
        """The `keras.optimizers.Optimizer`, without weight decay, which the trainer adds to the gradient."""


class Sgd(OptimizerKind):
    """Stochastic gradient descent with momentum."""

    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False

    def build(self) -> Any:
        from .backend import keras

        return keras.optimizers.SGD(self.learning_rate, momentum=self.momentum, nesterov=self.nesterov)


class Adam(OptimizerKind):
    """Adam (Kingma and Ba, arXiv:1412.6980)."""

    beta_1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta_2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    epsilon: Annotated[float, Field(gt=0)] = 1e-8

    def build(self) -> Any:
        from .backend import keras

        return keras.optimizers.Adam(self.learning_rate, self.beta_1, self.beta_2, self.epsilon)


class Optimizer(Component[OptimizerKind]):
    """[model_template.optimizer], and of a quantization-aware training."""

    scheduler: Component[SchedulerKind] | None = None


OPTIMIZERS: Mapping[str, type[OptimizerKind]] = {"sgd": Sgd, "adam": Adam}
SCHEDULERS: Mapping[str, type[SchedulerKind]] = {"step": Step}
