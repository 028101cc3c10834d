"""The model templates, by name: one module each."""

from collections.abc import Mapping

from ..model import ModelKind
from ..section import kinds_in

MODELS: Mapping[str, type[ModelKind]] = kinds_in(__name__, ModelKind)  # type: ignore[type-abstract]
