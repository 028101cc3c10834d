"""The data sets, by name: one module each."""

from collections.abc import Mapping

from ..dataset import DatasetKind
from ..section import kinds_in

DATASETS: Mapping[str, type[DatasetKind]] = kinds_in(__name__, DatasetKind)  # type: ignore[type-abstract]
