"""The board under test: the one at `--port=/dev/ttyACM0`, else a virtual one that runs the image of `pio run`."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--board", default="nucleo_l452re", help="environment of platformio.ini (default: %(default)s)"
    )


@pytest.fixture(scope="session")
def board(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("board"))


@pytest.fixture(scope="session")
def firmware(board: str) -> Path:
    """The ELF of `pio run`, brought up to date: kernel tests leave theirs at the same place."""
    done = subprocess.run(
        [sys.executable, "-m", "platformio", "run", "-d", PROJECT, "-e", board],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return PROJECT / ".pio/build" / board / "firmware.elf"


@pytest.fixture
def port(request: pytest.FixtureRequest, board: str, firmware: Path) -> Iterator[str]:
    """The serial port. Write `--port=...` with the equals sign: pytest takes a lone existing path for a test."""
    if given := request.config.getoption("port"):
        yield str(given)
        return
    command = [sys.executable, "-m", "microai.boards", "run", firmware, "--board", board, "--pty"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT) as emulator:
        assert emulator.stdout
        line = emulator.stdout.readline()
        assert "/dev/" in line, f"the virtual board did not start: {line}"
        yield "/dev/" + line.split("/dev/")[1].split()[0]
        emulator.terminate()
