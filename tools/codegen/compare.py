"""Where two executions of one graph differ first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .formats import Array


@dataclass(frozen=True)
class Difference:
    """The first element that differs: layer in order of execution, then vector, then position."""

    tensor: str
    vector: int
    index: tuple[int, ...]
    expected: float
    found: float

    def __str__(self) -> str:
        place = "".join(f"[{i}]" for i in self.index)
        where = f"layer {self.tensor}, vector {self.vector}, element {place}"
        return f"{where}: {self.found:g} instead of {self.expected:g}"


def first_difference(
    expected: Mapping[str, Array], found: Mapping[str, Array], tolerance: float = 0.0
) -> Difference | None:
    """Compare tensors [N, *shape] in the order of `found`; None when all are equal.

    `tolerance` is relative to the tensor's largest magnitude; 0 asks for equal values. NaN equals nothing.
    """
    for name, actual in found.items():
        wanted = expected[name]
        if tolerance:
            limit = tolerance * float(np.abs(wanted).max(initial=0.0))
            wrong = ~(np.abs(actual.astype(np.float64) - wanted.astype(np.float64)) <= limit)
        else:
            wrong = actual != wanted
        if wrong.any():
            at = tuple(int(i) for i in np.argwhere(wrong)[0])
            return Difference(name, at[0], at[1:], float(wanted[at]), float(actual[at]))
    return None


def agreement(expected: Array, found: Array) -> float:
    """Share of vectors [N, classes] whose largest score is at the same place."""
    return float((expected.argmax(axis=-1) == found.argmax(axis=-1)).mean())


def accuracy(scores: Array, labels: Array) -> float:
    """Share of vectors [N, classes] whose largest score is at the label [N]; the first of equal scores counts."""
    return float((scores.reshape(len(scores), -1).argmax(axis=-1) == labels).mean())
