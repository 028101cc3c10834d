"""The builds, in a copy of the project: PlatformIO, CMake, the set-up script, and how each of them fails.

A program that writes a small model of a chosen size and logs its arguments replaces `microai build`, so that nothing
is trained here; the firmware, the boards, the runtime and the build files are the project's own.
"""

import json
import os
import re
import shutil
import site
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PARTS = ("boards", "cmake", "firmware", "lib/nn_runtime", "platform", "scripts", "test/test_kernels")
FILES = (
    "CMakeLists.txt",
    "platformio.ini",
    "pyproject.toml",
    "requirements.txt",
    "test/test_custom_runner.py",
)
BOARDS = {"nucleo_l452re": 0x08000000, "sparkfun_edge": 0xC000}  # where the image starts: board.toml

MICROAI = '''
"""Takes the place of the package: `build` writes a model whose sizes come from the environment."""
import os, sys
from pathlib import Path

arguments = sys.argv[1:]
with open(os.environ["LOG"], "a") as log:
    print(*arguments, file=log)
if os.environ.get("FAIL"):
    sys.exit("error: experiments/digits.toml: unknown key 'modle'; did you mean 'model'?")
out = Path(arguments[arguments.index("--out") + 1])
weights, arena = (int(os.environ.get(name, "256")) for name in ("WEIGHTS", "ARENA"))

def write(name, text):
    path = out / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)

write("manifest.json", '{"compile_for": "%s"}' % os.environ.get("COMPILE_FOR", "speed"))
write("library.json", '{"name": "nn_model", "version": "0.1.0"}')
write("include/model.h", f"""#ifndef MODEL_H
#define MODEL_H
#include <stdbool.h>
#include "nn_runtime.h"
#define MODEL_NAME "small/int8"
#define MODEL_HASH 0x1234abcdu
#define MODEL_INPUT_BYTES 64u
#define MODEL_OUTPUT_BYTES 10u
#define MODEL_LAYERS 1u
#define MODEL_WEIGHTS_BYTES {weights}u
#define MODEL_ARENA_BYTES {arena}u
#define MODEL_INPUT_SPANS {{ {{ 0u, 64u }} }}
#define MODEL_OUTPUT_SPANS {{ {{ 64u, 10u }} }}
typedef union {{ uint32_t words[MODEL_ARENA_BYTES / 4u]; int8_t q8[MODEL_ARENA_BYTES]; }} model_arena_t;
void model_run(model_arena_t *arena);
void model_run_observed(model_arena_t *arena, nn_observer_t after_layer, void *context);
bool model_selftest(model_arena_t *arena);
#endif
""")
write("src/model.c", """#include "model.h"
static const int8_t weights[MODEL_WEIGHTS_BYTES] = {1, 2, 3};
void model_run(model_arena_t *arena) {
    nn_fill_q8(weights[(uint8_t)arena->q8[0] & 3u], 10u, &arena->q8[64]);
}
void model_run_observed(model_arena_t *arena, nn_observer_t after_layer, void *context) {
    model_run(arena);
    after_layer(context, 0u, &arena->q8[64], 10u);
}
bool model_selftest(model_arena_t *arena) {
    arena->q8[0] = 2;
    model_run(arena);
    return arena->q8[73] == 3;
}
""")
print("model: written")
'''

UPLOADER = """
import os, sys
with open(os.environ["LOG"], "a") as log:
    print("uploader", *sys.argv[1:], file=log)
"""


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@dataclass
class Copy:
    """A copy of the project with its own PlatformIO home; `log` has what the stand-in programs were called with."""

    root: Path
    project: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        return self.root / "log"

    def run(self, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("")
        return subprocess.run(
            command,
            cwd=self.project,
            env={**os.environ, **self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )

    def pio(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "platformio", *arguments, **environment)

    def built(self, *arguments: str, **environment: str) -> str:
        done = self.pio("run", *arguments, **environment)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def image(self, environment: str, name: str = "firmware.elf") -> Path:
        return self.project / ".pio/build" / environment / name


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    root = tmp_path_factory.mktemp("build with a space")
    project = root / "project"
    for part in PARTS:
        shutil.copytree(PROJECT / part, project / part)
    for name in FILES:
        shutil.copy(PROJECT / name, project / name)
    for name, text in (("__init__", ""), ("__main__", MICROAI), ("boards/__init__", "")):
        path = root / "stand-in/microai" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "stand-in/microai/boards/apollo3_upload.py").write_text(UPLOADER)
    (root / "bin").mkdir()
    executable(root / "bin/openocd", '#!/bin/sh\necho openocd "$@" >>"$LOG"\n')
    return Copy(
        root,
        project,
        {
            "LOG": str(root / "log"),
            "PATH": f"{root / 'bin'}:{os.environ['PATH']}",
            "PLATFORMIO_BUILD_CACHE_DIR": str(root / "cache"),
            "PLATFORMIO_CORE_DIR": str(root / "core"),
            "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no",
            "PYTHONPATH": str(root / "stand-in"),
        },
    )


def flags(*groups: str) -> set[str]:
    text = (PROJECT / "platform/flags.txt").read_text()
    found = {flag for group in groups for flag in re.search(rf"^{group}: (.*)$", text, re.M)[1].split()}  # type: ignore[index]
    assert found
    return found


def compile_flags(database: Path, source: str) -> set[str]:
    """The compiler's options for the one entry of compile_commands.json whose file ends in `source`."""
    (entry,) = [e for e in json.loads(database.read_text()) if e["file"].endswith(source)]
    return {word for word in entry["command"].split() if re.match(r"-[fgmOW]|-std|-DNN_", word)}


# PlatformIO


@pytest.mark.parametrize("board", BOARDS)
def test_pio_builds_the_image(copy: Copy, board: str) -> None:
    output = copy.built("-e", board)
    assert "model: written" in output and "Flash:" in output
    (call,) = copy.log.read_text().splitlines()
    assert call.startswith("build experiments/digits.toml --type int8 ") and call.endswith(
        f" --board {board}"
    )
    assert copy.image(board, "firmware.bin").stat().st_size > 1000
    headers = copy.run("arm-none-eabi-readelf", "-S", copy.image(board)).stdout
    vectors = re.search(r"\.isr_vector\s+PROGBITS\s+([0-9a-f]+)", headers)
    assert vectors and int(vectors[1], 16) == BOARDS[board]


def test_pio_targets(copy: Copy) -> None:
    copy.built()  # generated files are new to PlatformIO, which rebuilds once
    assert re.search(r"text\s+data\s+bss", copy.built("-t", "size"))
    copy.built("-t", "compiledb")
    database = copy.project / "compile_commands.json"
    for source in ("firmware/main.c", "board.c", "nn_fill_q8.c", "model.c"):
        assert compile_flags(database, source) >= flags("numeric", "speed", "object", "warn", "cortex-m4f")
    assert copy.image("nucleo_l452re").is_file()
    copy.built("-t", "clean")
    assert not copy.image("nucleo_l452re").exists()
    assert copy.log.read_text() == "", "cleaning must not generate"


def test_ide_indexing_generates_nothing(copy: Copy) -> None:
    assert '"cc_flags"' in copy.built("-t", "idedata")
    done = copy.pio("project", "init", "--ide", "vscode")
    assert done.returncode == 0 and (copy.project / ".vscode/c_cpp_properties.json").is_file(), done.stdout
    assert copy.log.read_text() == ""


def test_options_choose_what_is_built(copy: Copy) -> None:
    with (copy.project / "platformio.ini").open("a") as ini:
        ini.write(
            "[env:other]\nextends = env:sparkfun_edge\nupload_protocol = svl\ncustom_clock_hz = 96000000\n"
        )
        ini.write("custom_experiment = experiments/other.toml\ncustom_model = small\ncustom_type = int16\n")
    copy.built("-e", "other")
    call = copy.log.read_text()
    assert (
        "build experiments/other.toml --type int16" in call and "--model small --board sparkfun_edge" in call
    )
    assert re.search(
        r"\.isr_vector\s+PROGBITS\s+0*10000 ",
        copy.run("arm-none-eabi-readelf", "-S", copy.image("other")).stdout,
    )
    copy.built("-e", "other", "-t", "compiledb")
    assert "-DBOARD_CLOCK_HZ=96000000u" in (copy.project / "compile_commands.json").read_text()
    done = copy.pio("run", "-e", "other", "-t", "upload", "--upload-port", "/dev/ttyUSB7")
    assert done.returncode == 0, done.stdout
    assert "--protocol svl --port /dev/ttyUSB7 --baud 115200 --address 0x10000" in copy.log.read_text()


def test_upload(copy: Copy) -> None:
    copy.built("-t", "upload")
    assert re.search(
        r"openocd .*stlink\.cfg .*stm32l4x\.cfg .*program \{.*firmware\.elf\} verify reset",
        copy.log.read_text(),
    )
    copy.built("-e", "sparkfun_edge", "-t", "upload", "--upload-port", "/dev/ttyUSB7")
    assert re.search(
        r"uploader --protocol asb --port /dev/ttyUSB7 .* --address 0xc000 .*firmware\.bin",
        copy.log.read_text(),
    )
    done = copy.pio("run", "-e", "sparkfun_edge", "-t", "upload")
    assert (
        done.returncode == 1
        and "error: sparkfun_edge: no serial port given; add --upload-port" in done.stdout
    )


def test_pio_check(copy: Copy) -> None:
    assert copy.pio("run", "-e", "nucleo_l452re").returncode == 0  # the model's code is checked too
    done = copy.pio("check", "--fail-on-defect=high")
    assert done.returncode == 0, done.stdout
    with (copy.project / "firmware/main.c").open("a") as source:
        source.write("int bad(void);\nint bad(void) {\n    int a[2] = {0, 0};\n    return a[3];\n}\n")
    done = copy.pio("check", "--fail-on-defect=high")
    shutil.copy(PROJECT / "firmware/main.c", copy.project / "firmware/main.c")
    assert done.returncode == 1 and "arrayIndexOutOfBounds" in done.stdout, done.stdout


@pytest.mark.skipif(
    not shutil.which("gdb-multiarch") and not shutil.which("arm-none-eabi-gdb"), reason="no GDB for Arm"
)
def test_pio_debug_starts_the_server(copy: Copy) -> None:
    done = copy.pio("debug", "--interface=gdb", "--", "-x", ".pioinit", "-batch")
    assert re.search(r"openocd .*interface/stlink\.cfg .*target/stm32l4x\.cfg", copy.log.read_text()), (
        done.stdout
    )


def test_pio_monitor(copy: Copy) -> None:
    """The monitor needs a terminal and a port; it shows what the port says."""
    board, port = os.openpty()
    terminal, ours = os.openpty()
    name = os.ttyname(port)
    monitor = subprocess.Popen(
        [sys.executable, "-m", "platformio", "device", "monitor", "-p", name, "--no-reconnect"],
        cwd=copy.project,
        env={**os.environ, **copy.environment},
        stdin=ours,
        stdout=ours,
        stderr=ours,
    )
    try:
        seen = b""
        while b"Quit:" not in seen:
            seen += os.read(terminal, 4096)
        os.write(board, b"hello from the board\r\n")
        while b"hello from the board" not in seen:
            seen += os.read(terminal, 4096)
    finally:
        monitor.terminate()
        monitor.wait()


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        (
            {"WEIGHTS": "600000"},
            r"error: nucleo_l452re: FLASH is too small by (\d+) bytes \(needs \d+, has 524288\); "
            r"a model with at most (\d+) bytes of weights fits, this one has 600000: .*filters",
        ),
        (
            {"ARENA": "200000"},
            r"error: nucleo_l452re: RAM is too small by (\d+) bytes \(needs \d+, has 163840\); "
            r"a model with at most (\d+) bytes of activation arena fits, this one has 200000: .*filters",
        ),
    ],
)
def test_a_model_too_large(copy: Copy, environment: dict[str, str], line: str) -> None:
    done = copy.pio("run", **environment)
    assert done.returncode == 1
    said = re.search(line, done.stdout)
    assert said, done.stdout
    # What the line promises is so: the largest model it names fits (to alignment), one 64 bytes larger does not.
    name, largest = next(iter(environment)), int(said[2]) & ~7
    copy.built(**{name: str(largest)})
    assert copy.pio("run", **{name: str(largest + 64)}).returncode == 1


def test_a_failing_generator(copy: Copy) -> None:
    done = copy.pio("run", FAIL="1")
    assert done.returncode == 1 and "unknown key 'modle'" in done.stdout
    assert "Traceback" not in done.stdout and "Compiling" not in done.stdout


def test_no_python_with_microai(copy: Copy) -> None:
    """PlatformIO in an interpreter without MicroAI, in a checkout without .venv: one line, no build."""
    base = Path(sys._base_executable)  # type: ignore[attr-defined]
    packages = os.pathsep.join(site.getsitepackages())  # no .pth is read from there, so no editable install
    done = copy.run(base, "-m", "platformio", "run", PYTHONPATH=packages, VIRTUAL_ENV="")
    assert done.returncode == 1 and "run `make setup` in the project's folder" in done.stdout, done.stdout
    assert "Traceback" not in done.stdout and "Compiling" not in done.stdout


def test_native_program_and_kernel_tests(copy: Copy) -> None:
    copy.built("-e", "native")
    done = copy.run(copy.image("native", "program"))
    assert (done.returncode, done.stdout) == (0, "small/int8: self-test passed\n")
    done = copy.pio("test", "-e", "native")
    assert done.returncode == 0 and "PASSED" in done.stdout, done.stdout
    assert copy.log.read_text() == "", "kernel tests need no model"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (
            'puts("a.c:9:bad:FAIL: 3 is not 4"); puts("1 Tests 1 Failures 0 Ignored"); return 1;',
            "3 is not 4",
        ),
        ('puts("a.c:7:good:PASS"); return 0;', "ended without its summary"),
        ('puts("a.c:7:good:PASS"); fflush(stdout); abort();', "failed; its last line: a.c:7:good:PASS"),
    ],
)
def test_a_failing_kernel_test(copy: Copy, body: str, says: str) -> None:
    folder = copy.project / "test/test_kernels"
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "test.c").write_text(f"#include <stdio.h>\n#include <stdlib.h>\nint main(void) {{ {body} }}\n")
    try:
        done = copy.pio("test", "-e", "native")
    finally:
        shutil.rmtree(folder)
        shutil.copytree(PROJECT / "test/test_kernels", folder)
    assert done.returncode == 1 and says in done.stdout, done.stdout


# CMake


@pytest.fixture(scope="module")
def model(copy: Copy) -> Path:
    folder = copy.root / "model"
    done = copy.run(sys.executable, "-m", "microai", "build", "--out", folder)
    assert done.returncode == 0, done.stdout
    return folder


def cmake(copy: Copy, build: Path, *options: str, target: str = "all") -> subprocess.CompletedProcess[str]:
    done = copy.run("cmake", "-S", ".", "-B", build, "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", *options)
    return done if done.returncode else copy.run("cmake", "--build", build, "--target", target)


def test_cmake_on_the_host(copy: Copy, model: Path) -> None:
    build = copy.root / "host"
    done = cmake(copy, build, f"-DMICROAI_MODEL_DIR={model}", target="model_selftest")
    assert done.returncode == 0, done.stdout
    done = copy.run("ctest", "--test-dir", build, "-R", "model_selftest")
    assert done.returncode == 0 and "100% tests passed" in done.stdout, done.stdout
    assert compile_flags(build / "compile_commands.json", "nn_fill_q8.c") == flags(
        "numeric", "speed", "object", "warn"
    )


def test_compiled_for_what_the_model_asks(copy: Copy) -> None:
    copy.built("-t", "compiledb", COMPILE_FOR="size")
    build, model = copy.root / "size", copy.project / "lib/nn_model"
    arm = ("-DCMAKE_TOOLCHAIN_FILE=cmake/arm-none-eabi.cmake", "-DBOARD=nucleo_l452re")
    done = cmake(copy, build, *arm, target="firmware")
    assert done.returncode == 0, done.stdout
    for database in (copy.project / "compile_commands.json", build / "compile_commands.json"):
        for source in ("firmware/main.c", "nn_fill_q8.c", "model.c"):
            found = compile_flags(database, source)
            assert found >= flags("size") and not found & flags("speed")
    (model / "manifest.json").write_text("{}")  # of a generator that asked for nothing
    assert copy.run("cmake", "--build", build).returncode == 0
    assert compile_flags(build / "compile_commands.json", "model.c") >= flags("speed")


@pytest.mark.parametrize("board", BOARDS)
def test_cmake_firmware_is_platformios(copy: Copy, model: Path, board: str) -> None:
    build = copy.root / f"cmake-{board}"
    arm = "-DCMAKE_TOOLCHAIN_FILE=cmake/arm-none-eabi.cmake"
    done = cmake(copy, build, arm, f"-DBOARD={board}", f"-DMICROAI_MODEL_DIR={model}", target="firmware")
    assert done.returncode == 0, done.stdout
    copy.built("-e", board)
    sizes = [
        copy.run("arm-none-eabi-size", "-A", image).stdout.splitlines()[2:7]
        for image in (build / "firmware.elf", copy.image(board))
    ]
    assert sizes[0] == sizes[1]


def test_cmake_says_what_does_not_fit(copy: Copy) -> None:
    model = copy.root / "large"
    copy.run(sys.executable, "-m", "microai", "build", "--out", model, WEIGHTS="600000")
    arm = "-DCMAKE_TOOLCHAIN_FILE=cmake/arm-none-eabi.cmake"
    build = copy.root / "cmake-large"
    done = cmake(copy, build, arm, "-DBOARD=nucleo_l452re", f"-DMICROAI_MODEL_DIR={model}", target="firmware")
    assert done.returncode and "error: nucleo_l452re: FLASH is too small by" in done.stdout, done.stdout


def test_cmake_board_mistakes(copy: Copy) -> None:
    done = cmake(copy, copy.root / "cmake-mistake", "-DBOARD=nucleo_l452re")
    assert done.returncode and "needs -DCMAKE_TOOLCHAIN_FILE" in done.stdout
    arm = "-DCMAKE_TOOLCHAIN_FILE=cmake/arm-none-eabi.cmake"
    done = cmake(copy, copy.root / "cmake-mistake-2", arm, "-DBOARD=nucleo")
    assert done.returncode and "there is no board nucleo" in done.stdout


MAIN = """
#include "model.h"
static model_arena_t arena;
int main(void) { return model_selftest(&arena) ? 0 : 1; }
"""


def test_model_in_another_cmake_project(copy: Copy, model: Path) -> None:
    other = copy.root / "other"
    other.mkdir()
    (other / "main.c").write_text(MAIN)
    (other / "CMakeLists.txt").write_text(
        textwrap.dedent(f"""
        cmake_minimum_required(VERSION 3.21)
        project(other C)
        add_subdirectory("{copy.project}" microai)
        microai_add_model(gestures "{model}")
        add_executable(program main.c)
        target_link_libraries(program PRIVATE microai::gestures microai::nn_runtime)
        """)
    )
    for command in (
        ("-S", other, "-B", other / "build"),
        ("--build", other / "build", "--target", "program"),
    ):
        done = copy.run("cmake", *command)
        assert done.returncode == 0, done.stdout
    assert copy.run(other / "build/program").returncode == 0


@pytest.mark.parametrize("optimisation", ["-O0", "-O3"])
def test_two_copied_folders_are_enough(copy: Copy, model: Path, optimisation: str) -> None:
    place = copy.root / f"two folders {optimisation}"
    shutil.copytree(model, place / "nn_model")
    shutil.copytree(PROJECT / "lib/nn_runtime", place / "nn_runtime")
    (place / "main.c").write_text(MAIN)
    sources = [place / "main.c", *sorted(place.glob("nn_*/src/*.c"))]
    program = place / "program"
    include = ("-I", place / "nn_runtime/include", "-I", place / "nn_model/include")
    done = copy.run(
        "gcc", "-std=c99", optimisation, "-Wall", "-Wextra", "-Werror", *include, *sources, "-o", program
    )
    assert done.returncode == 0, done.stdout
    assert copy.run(program).returncode == 0


# The set-up script


@pytest.fixture
def machine(copy: Copy, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs scripts/setup.sh on a machine that has only these commands on its PATH, as this user id."""

    def run(*absent: str, user: int, apt: str = "exit 0") -> subprocess.CompletedProcess[str]:
        for name in ("sh", "cat", "cksum", "dirname", "gcc", "make", "cmake", "arm-none-eabi-gcc", "test"):
            found = shutil.which(name)
            if name not in absent and found and not (tmp_path / name).exists():
                (tmp_path / name).symlink_to(found)
        executable(tmp_path / "python3", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        executable(tmp_path / "id", f"#!/bin/sh\necho {user}\n")
        executable(tmp_path / "apt-get", f'#!/bin/sh\necho apt-get "$@" >>"$LOG"\n{apt}\n')
        return copy.run(copy.project / "scripts/setup.sh", PATH=str(tmp_path), PYTHON="python3")

    return run


def test_setup_tells_a_user_what_to_install(
    copy: Copy, machine: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = machine("cmake", "arm-none-eabi-gcc", user=1000)
    packages = "cmake gcc-arm-none-eabi libnewlib-arm-none-eabi"
    line = f"error: setup: system packages are missing; run: sudo apt-get install {packages}\n"
    assert (done.returncode, done.stdout) == (1, line)
    assert copy.log.read_text() == ""


def test_setup_installs_for_root(
    copy: Copy, machine: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = machine("cmake", user=0, apt='[ "$1" = update ]')
    assert done.returncode == 1 and "error: setup: apt-get could not install cmake" in done.stdout
    assert re.search(r"update.*\n.*apt-get install -y .* cmake\n", copy.log.read_text())


def test_setup_does_nothing_twice(
    copy: Copy, machine: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    venv = copy.project / ".venv"
    (venv / "bin").mkdir(parents=True)
    executable(venv / "bin/python", "#!/bin/sh\nexit 1\n")
    pip = f'#!/bin/sh\n[ "$1" = --version ] && echo "pip 26 from {venv}/lib" || echo pip "$@" >>"$LOG"\n'
    executable(venv / "bin/pip", pip)
    try:
        assert machine(user=1000).returncode == 0
        assert "-r requirements.txt" in copy.log.read_text() and "--no-deps -e ." in copy.log.read_text()
        done = machine(user=1000)
        assert (done.returncode, done.stdout, copy.log.read_text()) == (0, "", "")
    finally:
        shutil.rmtree(venv)
