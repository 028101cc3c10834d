"""The data sets, by name: one module each."""

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from ...errors import UserError
from ..dataset import DatasetKind
from ..section import kinds_in, nearest

DATASETS: Mapping[str, type[DatasetKind]] = kinds_in(__name__, DatasetKind)  # type: ignore[type-abstract]


def fetch(name: str) -> Path | None:
    """Download a data set into the data folder and verify it; None where it needs no download.

    name: of the data set, or "name:source" where it can come from several. Raises UserError for an unknown
    name or source, without internet, and for a download that is not the published data.
    """
    where = f"data fetch {name}"
    name, _, source = name.partition(":")
    if name not in DATASETS:
        raise UserError(where, "unknown data set", nearest(name, DATASETS))
    kind = DATASETS[name]
    if not source:
        return kind().fetch()
    field = kind.model_fields.get("source")
    sources = get_args(field.annotation) if field is not None else ()
    if source not in sources:
        raise UserError(where, f"{name} has no source {source!r}", nearest(source, sources))
    return kind.model_validate({"source": source}).fetch()


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
