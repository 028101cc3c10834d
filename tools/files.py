"""Files that are whole or absent, and keys that tell whether one is still good."""

from __future__ import annotations

import ast
import contextlib
import errno
import hashlib
import importlib.util
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .errors import UserError


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that takes the place of `path` when the block ends well, and vanishes when it does not.

    A reader, or a run after a crash, sees the old file or the new one, never a part. Makes the folder.
    Raises UserError where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False)  # noqa: SIM115
    except OSError as error:
        raise UserError(path, f"cannot be written ({error.strerror})", "make its folder writable") from None
    partial = Path(file.name)
    try:
        with file:
            yield file
        partial.chmod(0o644)
        partial.replace(path)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EISDIR):
            raise  # not the file's fault but the block's, such as a lost connection
        raise UserError(
            path, f"cannot be written ({error.strerror})", "free some space or choose another folder"
        ) from None
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> bool:
    """Write a text file whole, or leave it where it says this already; returns whether it was written.

    Raises UserError as write_atomically does.
    """
    with contextlib.suppress(OSError, ValueError):
        if path.read_text(encoding="utf-8") == text:
            return False
    with write_atomically(path) as file:
        file.write(text.encode())
    return True


def key_of(**parts: Any) -> str:
    """Hexadecimal SHA-256 of what decides a result: JSON values, by name."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def code_key(*modules: str) -> str:
    """Hexadecimal SHA-256 of what the named modules do: their syntax trees, so comments and docstrings do
    not count.
    """
    total = hashlib.sha256()
    for module in sorted(set(modules)):
        spec = importlib.util.find_spec(module)
        assert spec is not None and spec.origin is not None
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            match node:
                case ast.Module() | ast.ClassDef() | ast.FunctionDef() if ast.get_docstring(node) is not None:
                    node.body = node.body[1:]
        total.update(ast.dump(tree).encode())
    return total.hexdigest()
