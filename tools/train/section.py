"""What every table of an experiment file has in common, and how the kinds of a folder are found."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, SerializeAsAny


class Section(BaseModel):
    """A table of an experiment file: unknown keys and wrong types are errors; it never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def nearest(word: str, valid: Iterable[str]) -> str:
    """How to mend a misspelt name: the nearest valid one, or all of them."""
    names = sorted(valid)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"valid are: {', '.join(names) or '(none)'}"


Kind = TypeVar("Kind", bound=Section)


class Component(Section, Generic[Kind]):
    """`kind` names an entry of a registry; `params` is that entry, made from the table of the same name."""

    kind: str
    params: SerializeAsAny[Kind]


def kinds_in(package: str, base: type[Kind]) -> Mapping[str, type[Kind]]:
    """The kinds of a folder: each module `name.py` in `package` defines one public subclass of `base`.

    A new data set or model is therefore one new file, known to the experiment reader and to the tests
    as soon as it exists.
    """
    folder: Any = importlib.import_module(package)
    found: dict[str, type[Kind]] = {}
    for info in sorted(pkgutil.iter_modules(folder.__path__), key=lambda item: item.name):
        module = importlib.import_module(f"{package}.{info.name}")
        classes = [
            value
            for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
        ]
        if len(classes) != 1:
            raise TypeError(f"{module.__name__} must define exactly one {base.__name__}, not {len(classes)}")
        found[info.name] = classes[0]
    return MappingProxyType(found)
