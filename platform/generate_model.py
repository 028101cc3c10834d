"""Pre-build script: makes lib/nn_model from the environment's experiment.

Returns at once when an IDE asks for the project's structure, when cleaning, and for kernel tests, which
need no model. Downloads and installs nothing; `microai build` does nothing when its inputs have not changed.
"""

import subprocess
import sys
from pathlib import Path

from SCons.Script import COMMAND_LINE_TARGETS

Import("env")  # noqa: F821


def model_is_needed(env) -> bool:
    if env.IsIntegrationDump() or env.IsCleanTarget() or "nobuild" in COMMAND_LINE_TARGETS:
        return False
    return "test" not in env["BUILD_TYPE"]


def command(env) -> list[str]:
    project = Path(env.subst("$PROJECT_DIR"))
    sys.path.insert(0, env.PioPlatform().get_dir())
    from host_python import find_python

    line = [find_python(project), "-m", "microai", "build", env.GetProjectOption("custom_experiment")]
    line += ["--type", env.GetProjectOption("custom_type"), "--out", str(project / "lib/nn_model")]
    if model := env.GetProjectOption("custom_model", ""):
        line += ["--model", model]
    if "BOARD" in env:
        line += ["--board", env["BOARD"]]
    return line


if model_is_needed(env) and subprocess.run(command(env), cwd=env.subst("$PROJECT_DIR")).returncode:  # noqa: F821
    env.Exit(1)  # noqa: F821
