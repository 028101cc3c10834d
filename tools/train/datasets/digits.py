"""Handwritten digits that scikit-learn carries: 1797 images of 8 x 8, there without a download."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dataset import Dataset, DatasetKind
from ..sources import version_of

_TEST_SHARE = 0.25


class Digits(DatasetKind):
    """x: float32 [N, 8, 8, 1], ink 0..16.

    The data have no split of their own: a quarter of each class is the test part, always the same one.
    """

    vector = (8, 8, 1)
    class_count = 10

    def load(self) -> Dataset:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]
        from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]

        source: Any = load_digits()
        x_train, x_test, y_train, y_test = train_test_split(
            source.images.astype(np.float32)[..., np.newaxis],
            source.target.astype(np.int32),
            test_size=_TEST_SHARE,
            stratify=source.target,
            random_state=0,
        )
        return Dataset(
            name="digits",
            x_train=x_train,
            y_train=y_train,
            x_test=x_test,
            y_test=y_test,
            classes=tuple("0123456789"),
            unit="ink, 0..16",
            rate=None,
            subjects_train=None,
            subjects_test=None,
            licence="CC BY 4.0",
            citation="E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, "
            "UCI Machine Learning Repository, 1998 (its test part, as scikit-learn carries it)",
        )

    def fingerprint(self) -> str:
        return version_of("scikit-learn", "data set digits")
