"""Ways in: a frontend is one file that makes a `Graph` from a model of one framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ...errors import UserError
from ..graph import Graph
from .keras import import_keras

FRONTENDS: Mapping[str, Callable[[Path, str], Graph]] = {
    ".keras": import_keras,
    ".h5": import_keras,
    ".hdf5": import_keras,
}


def import_model(path: Path, name: str) -> Graph:
    """The float graph, called `name`, of a model file; the file's suffix says which frontend reads it.

    Raises UserError when there is no such file, it is not a model, or the model has what is not supported.
    """
    if path.suffix not in FRONTENDS:
        raise UserError(path, "is not a known kind of model file", f"give one of {', '.join(FRONTENDS)}")
    if not path.is_file():
        raise UserError(path, "there is no such file", "check the path")
    return FRONTENDS[path.suffix](path, name)
