"""Steps between the data set as published and the arrays that the models see (`[[preprocessing]]`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ..errors import UserError
from .dataset import Dataset, Flags, Floats, Labels
from .section import Section


@dataclass(frozen=True, eq=False)
class Split:
    """Arrays on their way through the steps; shapes as in `Dataset`.

    x_valid, y_valid: empty (N = 0) without a validation split. subjects, set_aside: of the training
    vectors, or None. mean, scale: float32, broadcastable to one vector: x = (x as published - mean) / scale.
    """

    name: str
    x_train: Floats
    y_train: Labels
    x_valid: Floats
    y_valid: Labels
    x_test: Floats
    y_test: Labels
    subjects: Labels | None
    set_aside: Flags | None
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
            set_aside=dataset.set_aside,
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

    by: "subject" moves whole subjects, "vector" moves single vectors, the same share of each class,
    "published" those that the publisher sets aside. Vectors of one subject resemble each other (windows of
    one person overlap, frames show one traffic sign, recordings are duplicated), so a split by vector
    flatters the result. Where each subject has vectors of one class only, whole subjects are moved within
    each class, and a split by vector, which would mean copies on both sides, is refused.
    fraction: of the training vectors (or of each class), reached as closely as whole subjects allow without
    exceeding it, at least one. seed: chooses which. Neither matters to "published".
    """

    by: Literal["subject", "vector", "published"] = "subject"
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    seed: Annotated[int, Field(ge=0)] = 0

    def apply(self, data: Split) -> Split:
        if len(data.x_valid):
            raise UserError(_SPLIT, "is given twice", "keep one")
        chosen = self._published(data) if self.by == "published" else self._drawn(data)
        return replace(
            data,
            x_train=data.x_train[~chosen],
            y_train=data.y_train[~chosen],
            x_valid=data.x_train[chosen],
            y_valid=data.y_train[chosen],
            subjects=None if data.subjects is None else data.subjects[~chosen],
            set_aside=None,
        )

    def _published(self, data: Split) -> Flags:
        if data.set_aside is None or not data.set_aside.any():
            raise UserError(
                _SPLIT, f"data set {data.name} has no validation part of its own", "set another params.by"
            )
        return data.set_aside

    def _drawn(self, data: Split) -> Flags:
        """Which vectors to move, bool [N]."""
        mend = 'set params.by = "vector"'
        things, copies = np.arange(len(data.y_train)), False
        if data.subjects is not None:
            _, first, things_of = np.unique(data.subjects, return_index=True, return_inverse=True)
            one_class_each = (data.y_train == data.y_train[first][things_of]).all()
            copies = bool(one_class_each and len(first) < len(data.subjects))
            if self.by == "subject":
                things = things_of
            elif copies:
                raise UserError(
                    _SPLIT,
                    f"vectors of data set {data.name} come several from one subject",
                    'set params.by = "subject"',
                )
        elif self.by == "subject":
            raise UserError(_SPLIT, f"data set {data.name} has no subjects", mend)
        pools = data.y_train if self.by == "vector" or copies else np.zeros_like(data.y_train)
        order = np.random.default_rng(self.seed)
        moved: list[int] = []
        for pool in np.unique(pools):
            members, sizes = np.unique(things[pools == pool], return_counts=True)
            if len(members) < 2:
                alone = f"class {pool}" if pools is data.y_train else f"data set {data.name}"
                raise UserError(_SPLIT, f"{alone} has one {self.by}", "remove the step or get more data")
            room = self.fraction * sizes.sum()
            before = len(moved)
            for index in order.permutation(len(members))[:-1]:
                if len(moved) == before or sizes[index] <= room:
                    moved.append(int(members[index]))
                    room -= sizes[index]
        return np.isin(things, moved)


_SPLIT = "preprocessing validation_split"


PREPROCESSING: Mapping[str, type[PreprocessingKind]] = {
    "zscore": ZScore,
    "validation_split": ValidationSplit,
}
