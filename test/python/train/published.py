"""What the tests of several data sets need: the real data where they are, archives of made-up ones."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

import pytest
from microai.errors import UserError
from microai.train.dataset import Dataset
from microai.train.datasets import DATASETS

TITLES = {"uci_har": "UCI-HAR", "gtsrb": "GTSRB", "spoken_digits": "spoken digits"}


def load_or_skip(name: str, **params: object) -> Dataset:
    """The real data set; the calling test is skipped where it is not on this machine."""
    kind = DATASETS[name].model_validate(params)
    try:
        kind.fingerprint()
    except UserError:
        pytest.skip(f"needs {TITLES.get(name, name)}, see README")
    return kind.load()


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()
