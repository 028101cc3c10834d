"""Finds the Python that has MicroAI installed: PlatformIO may itself run in another one (an IDE brings its own)."""

import importlib.util
import subprocess
import sys
from pathlib import Path


def find_python(project_dir: Path) -> str:
    """Path of an interpreter that can import microai: the running one, else the project's `.venv`; without one, ends this program with one line."""
    if importlib.util.find_spec("microai"):
        return sys.executable
    for python in (project_dir / ".venv/bin/python", project_dir / ".venv/Scripts/python.exe"):
        if (
            python.is_file()
            and subprocess.run([python, "-c", "import microai"], capture_output=True).returncode == 0
        ):
            return str(python)
    raise SystemExit(
        f"error: {sys.executable}: the package microai is installed neither there nor in {project_dir / '.venv'}; "
        "run `make setup` in the project's folder"
    )
