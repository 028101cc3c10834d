"""Options and fixtures of all Python tests."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite test/golden from the generator")
    parser.addoption("--update-budgets", action="store_true", help="rewrite test/budgets.toml from this run")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture
def golden() -> Path:
    """Generated files under version control, test/golden."""
    return Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="session")
def update_budgets(
    request: pytest.FixtureRequest,
) -> Iterator[dict[tuple[str, str, int, str], dict[str, int]] | None]:
    """With --update-budgets: collects figures by (board, type, filters, optimize), written at the end."""
    if not request.config.getoption("--update-budgets"):
        yield None
        return
    found: dict[tuple[str, str, int, str], dict[str, int]] = {}
    yield found
    path = Path(__file__).parents[1] / "budgets.toml"
    head, *entries = path.read_text(encoding="utf-8").split("[[budget]]\n")
    for index, entry in enumerate(entries):
        values = tomllib.loads(entry)
        key = values["board"], values["type"], values["filters"], values["optimize"]
        for name, value in found.get(key, {}).items():
            entry = re.sub(rf"^{name} = .*$", f"{name} = {value}", entry, flags=re.M)
        entries[index] = entry
    path.write_text("[[budget]]\n".join([head, *entries]), encoding="utf-8")
