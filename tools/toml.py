"""Reading TOML files, with the mistakes a user can make turned into one line each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from .errors import UserError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def load_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises UserError if the file is missing, unreadable or not TOML; the message has line and column.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check the path") from None
    except UnicodeDecodeError as error:
        raise UserError(path, f"is not UTF-8 text (byte {error.start})", "save it as UTF-8") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(path, f"is not valid TOML: {error}", "correct that line") from None
