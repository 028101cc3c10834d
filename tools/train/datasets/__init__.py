"""The data sets, by name: one module each."""

from collections.abc import Mapping
from pathlib import Path

from ...errors import UserError
from ..dataset import DatasetKind
from ..section import kinds_in, nearest

DATASETS: Mapping[str, type[DatasetKind]] = kinds_in(__name__, DatasetKind)  # type: ignore[type-abstract]


def fetch(name: str) -> Path | None:
    """Download a data set into the data folder and verify it; None where it needs no download.

    Raises UserError for an unknown name, without internet, and for a download that is not the published data.
    """
    if name not in DATASETS:
        raise UserError(f"data fetch {name}", "unknown data set", nearest(name, DATASETS))
    return DATASETS[name].fetch()


def status() -> dict[str, UserError | None]:
    """Each data set's name, with None where its data are there, else why not and what to do."""
    found: dict[str, UserError | None] = {}
    for name, kind in DATASETS.items():
        try:
            kind().fingerprint()
            found[name] = None
        except UserError as error:
            found[name] = error
    return found
