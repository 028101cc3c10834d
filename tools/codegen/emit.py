"""Writing generated files: only what changed, all or nothing a file, stale files removed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ..errors import UserError


def write_atomic(path: Path, text: str) -> bool:
    """Write a text file so that it is never seen half-written; returns False when it already said this.

    Raises UserError when the folder or file cannot be written.
    """
    try:
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(
            path, f"cannot be written ({error.strerror})", "choose a writable output folder"
        ) from None
    return True


def emit(files: Mapping[str, str], folder: Path) -> list[Path]:
    """Write the files of one generated library below `folder`; returns those that changed.

    Files of an earlier generation that are no longer made (another prefix) are removed from src/ and
    include/, so that two models never mix in one library.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(folder, "is not a folder", "choose another output folder")
    changed = [folder / path for path, text in files.items() if write_atomic(folder / path, text)]
    for stale in [*folder.glob("src/*.[ch]"), *folder.glob("include/*.h")]:
        if stale.relative_to(folder).as_posix() not in files:
            stale.unlink()
            changed.append(stale)
    return changed
