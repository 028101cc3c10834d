"""What reading any published data set takes: finding it, telling whether it changed, downloading it."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import wrap_file

from ..errors import UserError
from ..files import write_atomically


def stamp(*paths: Path) -> str:
    """Names, sizes and times of files, and of all files below folders: changes when any of them does."""
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    found = [(str(file), file.stat()) for file in files if file.is_file()]
    return str([(name, status.st_size, status.st_mtime_ns) for name, status in found])


def version_of(package: str, where: str) -> str:
    """The installed version of a package that reading a data set needs.

    Raises UserError where it is not installed.
    """
    try:
        return f"{package} {installed_version(package)}"
    except PackageNotFoundError:
        raise UserError(where, f"{package} is not installed", "pip install 'microai[train]'") from None


def read_npz(path: Path, *names: str) -> dict[str, NDArray[np.generic]]:
    """The named arrays of an .npz file. Raises UserError for a damaged file or where one is absent."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except KeyError as error:
        raise UserError(path, f"lacks an array ({error.args[0]})", "see docs/datasets.md") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        raise UserError(path, "is not a whole .npz file", "copy or download it again") from None


def download(url: str, path: Path, verify: Callable[[Path], object], mend: str) -> Path:
    """Download `url` to `path`, which appears only once `verify` has found no fault with the file.

    verify: raises UserError for a file that is not the published one. mend: where else to get it. Raises
    UserError without internet and for what `verify` refuses.
    """
    try:
        with urllib.request.urlopen(url, timeout=30) as answer, write_atomically(path) as file:
            size = int(answer.headers.get("Content-Length", 0))
            with wrap_file(answer, size, description=path.name) as shown:
                shutil.copyfileobj(shown, file)
            file.flush()
            try:
                verify(Path(file.name))
            except UserError as error:
                raise UserError(url, f"did not give the published data: {error.what}", "try again") from None
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise UserError(path.name, f"cannot download {url} ({reason})", mend) from None
    return path


def must_have_hash(path: Path, algorithm: str, expected: str) -> None:
    """Raises UserError unless the file's hash (hexadecimal) is the expected one."""
    with path.open("rb") as file:
        total = hashlib.new(algorithm, usedforsecurity=False)
        for block in iter(lambda: file.read(1 << 20), b""):
            total.update(block)
    if total.hexdigest() != expected:
        raise UserError(
            path, f"is not the published file (its {algorithm} differs)", "download the data again"
        )
