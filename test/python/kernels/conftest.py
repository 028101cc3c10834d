"""The compiled runtime, shared by the kernel tests."""

from __future__ import annotations

import pytest

from .library import Library


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return Library(tmp_path_factory.mktemp("nn_runtime"))
