"""What a data set is. Each one is a module of `datasets/`."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .section import Section

Floats = NDArray[np.float32]
Labels = NDArray[np.int32]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in memory, as published: no normalisation, official split.

    x_*: float32 [N, T, C] (signals) or [N, H, W, C] (images), in `unit`. y_*: int32 [N], index into
    `classes`. rate: samples a second along T, None for images. subjects_*: int32 [N], who or what the vector
    comes from (a person, one traffic sign), or None. set_aside: bool [N] of the training part, True where the
    publisher sets the vector aside for validation, or None. sha256: of shapes and values, so the same data
    read from another container give the same one.
    """

    name: str
    x_train: Floats
    y_train: Labels
    x_test: Floats
    y_test: Labels
    classes: tuple[str, ...]
    unit: str
    rate: float | None
    subjects_train: Labels | None
    subjects_test: Labels | None
    licence: str
    citation: str
    set_aside: Flags | None = None

    def __post_init__(self) -> None:
        """Raises UserError where arrays and labels do not belong together or a value is not finite."""
        for part, x, y, subjects in (
            ("train", self.x_train, self.y_train, self.subjects_train),
            ("test", self.x_test, self.y_test, self.subjects_test),
        ):
            where = f"data set {self.name}, {part} part"
            mend = "get the data again"
            if len(x) == 0 or len(x) != len(y) or (subjects is not None and len(x) != len(subjects)):
                raise UserError(where, f"has {len(x)} vectors and {len(y)} labels", mend)
            if not np.isfinite(x).all():
                raise UserError(where, f"vector {_first_not_finite(x)} has a value that is not finite", mend)
            if y.min() < 0 or y.max() >= len(self.classes):
                raise UserError(
                    where, f"has labels {y.min()}..{y.max()} for {len(self.classes)} classes", mend
                )

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of all arrays."""
        arrays = [self.x_train, self.y_train, self.x_test, self.y_test]
        more = (self.subjects_train, self.subjects_test, self.set_aside)
        return digest(*arrays, *(array for array in more if array is not None))


def _first_not_finite(x: Floats) -> int:
    return int(np.argmin(np.isfinite(x).reshape(len(x), -1).all(axis=1)))


def digest(*arrays: NDArray[np.generic]) -> str:
    """Hexadecimal SHA-256 of the types, shapes and values of `arrays`, in order."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


class DatasetKind(Section, ABC):
    """The parameters of a data set (`[dataset] params`), and how to read it.

    vector: shape of one vector, (T, C) or (H, W, C), and class_count: both are known without the data.
    """

    vector: ClassVar[tuple[int, ...]]
    class_count: ClassVar[int]

    @abstractmethod
    def load(self) -> Dataset:
        """Read the data. Raises UserError, saying what to do, where they are absent or damaged."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Changes whenever `load` may give something else; found without reading the data.

        Raises UserError where the data are absent.
        """

    def fetch(self) -> Path | None:
        """Download the data into `data_folder()` and verify them; None where there is nothing to download."""
        return None


def data_folder() -> Path:
    """Where data sets are looked for: the folder that the variable MICROAI_DATA names, else `data/`."""
    return Path(os.environ.get("MICROAI_DATA") or "data")
