"""How `pio test` runs the C tests, which print Unity's `file:line:name:PASS|FAIL: message` and summary."""

import sys
from pathlib import Path

from platformio.test.exception import UnitTestError
from platformio.test.result import TestStatus
from platformio.test.runners.unity import UnityTestRunner

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "platform"))
from host_python import find_python  # noqa: E402

MAX_SECONDS = 120  # they take two; cycles are not counted, which would take ten times as long


class CustomTestRunner(UnityTestRunner):
    EXTRA_LIB_DEPS = None  # the tests have their own few lines of Unity

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.summary_seen = False
        self.last_line = ""

    def configure_build_env(self, env):
        return env

    def stage_testing(self):
        """Runs the test; a program that ends before its summary line has failed, whatever its exit status."""
        section = f"env:{self.test_suite.env_name}"
        if self.project_config.get(section, "custom_virtual", "no") == "yes":
            elf = (
                Path(self.project_config.get("platformio", "build_dir"))
                / self.test_suite.env_name
                / "firmware.elf"
            )
            board = self.project_config.get(section, "board")
            line = [find_python(PROJECT), "-m", "microai.boards", "run", str(elf), "--board", board]
            line += ["--stdio", "--max-seconds", str(MAX_SECONDS)]
            if self.test_suite.test_name != "test_calibrate":  # the one that measures cycles
                line.append("--no-cycles")
            self.project_config.set(section, "test_testing_command", "\n".join(line))
        try:
            super().stage_testing()
        except UnitTestError as error:
            # PlatformIO takes the exit status for a signal; where cases failed, it is their number.
            if not any(case.status == TestStatus.FAILED for case in self.test_suite.cases):
                raise UnitTestError(f"the test program failed; its last line: {self.last_line}") from error
        if not self.options.without_testing and not self.summary_seen:
            raise UnitTestError(
                f"the test program ended without its summary; its last line: {self.last_line}"
            )

    def on_testing_line_output(self, line):
        if all(word in line for word in ("Tests", "Failures", "Ignored")):
            self.summary_seen = True
        self.last_line = line.strip() or self.last_line
        super().on_testing_line_output(line)
