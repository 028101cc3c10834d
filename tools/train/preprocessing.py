"""Steps between the data set as published and the arrays that the models see (`[[preprocessing]]`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ..errors import UserError
from .dataset import Dataset, Floats, Labels
from .section import Section


@dataclass(frozen=True, eq=False)
class Split:
    """Arrays on their way through the steps; shapes as in `Dataset`.

    x_valid, y_valid: empty (N = 0) without a validation split. subjects: of the training vectors, or None.
    mean, scale: float32, broadcastable to one vector: x = (x as published - mean) / scale.
    """

    name: str
    x_train: Floats
    y_train: Labels
    x_valid: Floats
    y_valid: Labels
    x_test: Floats
    y_test: Labels
    subjects: Labels | None
    mean: Floats
    scale: Floats

    @classmethod
    def of(cls, dataset: Dataset) -> Split:
        """The data set as published: nothing split off, nothing scaled."""
        one = (1,) * (dataset.x_train.ndim - 1)
        return cls(
            name=dataset.name,
            x_train=dataset.x_train,
            y_train=dataset.y_train,
            x_valid=dataset.x_train[:0],
            y_valid=dataset.y_train[:0],
            x_test=dataset.x_test,
            y_test=dataset.y_test,
            subjects=dataset.subjects_train,
            mean=np.zeros(one, np.float32),
            scale=np.ones(one, np.float32),
        )


class PreprocessingKind(Section, ABC):
    """The parameters of a step, and the step itself."""

    @abstractmethod
    def apply(self, data: Split) -> Split:
        """The data after this step. Raises UserError where the step does not fit the data."""


class ZScore(PreprocessingKind):
    """(x - mean) / standard deviation, both of the training part, applied to all parts (paper, section 6).

    axis: "channel" takes them per channel (last axis), "all" over everything. A constant channel, whose
    deviation is 0, is only centred.
    """

    axis: Literal["channel", "all"] = "channel"

    def apply(self, data: Split) -> Split:
        x = data.x_train
        over = tuple(range(x.ndim - 1)) if self.axis == "channel" else tuple(range(x.ndim))
        # float64 sums: a float32 sum over a million samples is short of digits.
        mean = x.mean(axis=over, dtype=np.float64, keepdims=True)[0].astype(np.float32)
        deviation = x.std(axis=over, dtype=np.float64, keepdims=True)[0].astype(np.float32)
        scale = np.where(deviation > 0, deviation, np.float32(1))
        return replace(
            data,
            x_train=(data.x_train - mean) / scale,
            x_valid=(data.x_valid - mean) / scale,
            x_test=(data.x_test - mean) / scale,
            mean=data.mean + data.scale * mean,
            scale=data.scale * scale,
        )


class ValidationSplit(PreprocessingKind):
    """Takes vectors off the training part for validation; the test part is never touched.

    by: "subject" moves whole subjects (windows of one person overlap and resemble each other, so a split by
    window would flatter the result), "vector" moves single vectors, the same share of each class.
    fraction: of the training vectors, reached as closely as whole subjects allow without exceeding it, at
    least one subject or one vector of each class. seed: chooses which.
    """

    by: Literal["subject", "vector"] = "subject"
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    seed: Annotated[int, Field(ge=0)] = 0

    def apply(self, data: Split) -> Split:
        where = "preprocessing validation_split"
        if len(data.x_valid):
            raise UserError(where, "is given twice", "keep one")
        order = np.random.default_rng(self.seed)
        chosen = np.zeros(len(data.x_train), bool)
        if self.by == "subject":
            if data.subjects is None:
                raise UserError(where, f"data set {data.name} has no subjects", 'set params.by = "vector"')
            people = order.permutation(np.unique(data.subjects))
            if len(people) < 2:
                raise UserError(where, f"data set {data.name} has one subject", 'set params.by = "vector"')
            for person in people[:-1]:
                his = data.subjects == person
                if not chosen.any() or (chosen | his).sum() <= self.fraction * len(chosen):
                    chosen |= his
        else:
            for label in np.unique(data.y_train):
                members = order.permutation(np.flatnonzero(data.y_train == label))
                if len(members) < 2:
                    raise UserError(where, f"class {label} has one vector", "remove the class or the step")
                chosen[members[: max(1, int(self.fraction * len(members)))]] = True
        return replace(
            data,
            x_train=data.x_train[~chosen],
            y_train=data.y_train[~chosen],
            x_valid=data.x_train[chosen],
            y_valid=data.y_train[chosen],
            subjects=None if data.subjects is None else data.subjects[~chosen],
        )


PREPROCESSING: Mapping[str, type[PreprocessingKind]] = {
    "zscore": ZScore,
    "validation_split": ValidationSplit,
}
