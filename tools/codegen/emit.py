"""Writing generated files: only what changed, all or nothing a file, stale files removed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import UserError
from ..files import write_text


def emit(files: Mapping[str, str], folder: Path) -> list[Path]:
    """Write the files of one generated library below `folder`; returns those that changed.

    Files of an earlier generation that are no longer made (another prefix) are removed from src/ and
    include/, so that two models never mix in one library.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(folder, "is not a folder", "choose another output folder")
    changed = [folder / path for path, text in files.items() if write_text(folder / path, text)]
    for stale in [*folder.glob("src/*.[ch]"), *folder.glob("include/*.h")]:
        if stale.relative_to(folder).as_posix() not in files:
            stale.unlink()
            changed.append(stale)
    return changed
