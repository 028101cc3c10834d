"""What may know what: frameworks stay behind the frontends and the trainer."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[3] / "tools"
FRAMEWORKS = {"keras", "tensorflow", "torch", "onnx", "tflite"}


def modules() -> list[Path]:
    allowed = (TOOLS / "codegen" / "frontends", TOOLS / "train")
    return [
        path for path in TOOLS.rglob("*.py") if not any(path.is_relative_to(folder) for folder in allowed)
    ]


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(TOOLS).as_posix())
def test_no_framework_outside_frontends_and_training(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imported.add(str(node.module).split(".")[0])
    assert not imported & FRAMEWORKS
