"""Finds the Python that has MicroAI installed: PlatformIO may run in another one (an IDE brings its own).

As a program, prints its path.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path


def find_python(project_dir: Path) -> str:
    """Path of an interpreter that can import microai: the running one, else that of the project's `.venv`.

    Without either, ends the running program with one line on stderr and status 1.
    """
    if importlib.util.find_spec("microai"):
        return sys.executable
    for python in (project_dir / ".venv/bin/python", project_dir / ".venv/Scripts/python.exe"):
        if (
            python.is_file()
            and subprocess.run([python, "-c", "import microai"], capture_output=True).returncode == 0
        ):
            return str(python)
    raise SystemExit(
        f"error: {sys.executable}: microai is installed neither there nor in {project_dir / '.venv'}; "
        "run `make setup` in the project's folder"
    )


if __name__ == "__main__":
    print(find_python(Path(__file__).resolve().parents[1]))
