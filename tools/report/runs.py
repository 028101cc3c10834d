"""Accuracy over the runs of an experiment: means, with the interval that a few seeds allow to claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Accuracies:
    """Of one run of a model in one type, over the same test vectors, 0..1: the float graph, the type, and the
    vectors that keep the float graph's answer.
    """

    model: str
    run: int
    type: str
    exact: float
    accuracy: float
    agreement: float


@dataclass(frozen=True)
class Mean:
    """Mean of one number a run, and half the width of its 95 % confidence interval (Student's t; None for one run)."""

    mean: float
    half: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        found = np.asarray(values, np.float64)
        if len(found) < 2:
            return cls(float(found.mean()), None)
        from scipy import stats  # type: ignore[import-untyped]

        t = stats.t.ppf((1 + CONFIDENCE) / 2, len(found) - 1)
        return cls(float(found.mean()), float(t * found.std(ddof=1) / np.sqrt(len(found))))

    def __str__(self) -> str:
        """In percent."""
        half = "" if self.half is None else f" ± {100 * self.half:.2f}"
        return f"{100 * self.mean:.2f}{half}"
