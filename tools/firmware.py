"""Building a firmware image of a board around a generated model, through CMake."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .boards.board import Board
from .boards.elf import load_image
from .boards.stack import stack_bound
from .codegen.kernels import runtime_folder
from .codegen.lower import CompileFor
from .errors import UserError
from .files import code_key, key_of

CROSS_COMPILER = "arm-none-eabi-gcc"
# What an exception puts on the stack, the FPU's registers and the word that aligns included (ARMv7-M B1.5.7).
FAULT_FRAME = 108


@dataclass(frozen=True)
class Toolchain:
    """What compiled an image: compiler with version, and the flags that matter for speed and size."""

    compiler: str
    flags: str


def checkout() -> Path:
    """The folder with CMakeLists.txt, firmware/ and lib/."""
    return runtime_folder().parents[1]


def require(program: str, package: str) -> None:
    if shutil.which(program) is None:
        raise UserError(program, "is not on the PATH", f"install it: apt install {package}")


def flag_groups() -> dict[str, str]:
    """The compiler flags of platform/flags.txt by group."""
    text = (checkout() / "platform" / "flags.txt").read_text(encoding="utf-8")
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line and line[0] != "#")


def toolchain(compile_for: CompileFor = "speed") -> Toolchain:
    """The cross compiler's name and version and the flags of platform/flags.txt.

    Raises UserError when there is no cross compiler.
    """
    require(CROSS_COMPILER, "gcc-arm-none-eabi libnewlib-arm-none-eabi")
    output = subprocess.run([CROSS_COMPILER, "--version"], capture_output=True, text=True, check=True).stdout
    groups = flag_groups()
    return Toolchain(
        output.splitlines()[0],
        " ".join(groups[name] for name in (compile_for, "object", "numeric", "cortex-m4f")),
    )


def machine_key() -> str:
    """Hash of all that decides what a generated model does on a virtual board: C sources, emulator, compiler.

    Raises UserError when there is no cross compiler.
    """
    root = checkout()
    sources = hashlib.sha256()
    for folder in ("lib/nn_runtime", "firmware", "boards", "platform", "cmake"):
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                sources.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    package = __package__ or ""
    emulator = [f"{package}.boards.{path.stem}" for path in (root / "tools" / "boards").glob("*.py")]
    return key_of(
        sources=sources.hexdigest(),
        code=code_key(*emulator, f"{package}.firmware"),
        compiler=toolchain().compiler,
    )


def check_memory(library: Path, board: Board) -> None:
    """Raise UserError when a generated model alone exceeds the board's memory: no need to ask the linker."""
    manifest = json.loads((library / "manifest.json").read_text(encoding="utf-8"))
    for what, key, memory in (
        ("activations", "arena_bytes", board.ram),
        ("weights", "weights_bytes", board.flash),
    ):
        needed = manifest[key]
        if needed > memory.size:
            raise UserError(
                board.name,
                f"the model's {what} need {needed} bytes, {needed - memory.size} more than its {memory.name} "
                f"of {memory.size}",
                "use fewer filters, a narrower type or a larger board",
            )


def build_image(model: Path, board: Board, clock_hz: int, folder: Path) -> Path:
    """Compile and link firmware.elf for `board` with the generated library in `model`; returns its path.

    The stack gets what the image's own bound says and room for the frame of a fault; an image without a bound keeps
    what the linker script reserves. `folder` is the build folder, kept for incremental builds. Raises UserError with
    the compiler's or the linker's own line when it fails, for example when the model is too large for the board.
    """
    require(CROSS_COMPILER, "gcc-arm-none-eabi libnewlib-arm-none-eabi")
    require("cmake", "cmake")
    check_memory(model, board)
    root = checkout()
    drop_moved(folder, root)
    configure = [
        "cmake",
        *("-S", str(root), "-B", str(folder.resolve())),
        f"-DCMAKE_TOOLCHAIN_FILE={root / 'cmake' / 'arm-none-eabi.cmake'}",
        f"-DBOARD={board.name}",
        f"-DBOARD_CLOCK_HZ={clock_hz}",
        f"-DMICROAI_MODEL_DIR={model.resolve()}",
    ]
    elf = folder / "firmware.elf"
    stack = reserved(elf) if elf.is_file() else None  # what the last build came to, most likely still right
    for _ in range(2):
        # Always given: CMake would keep the value of an earlier build.
        size = f"-DSTACK_BYTES={'' if stack is None else stack}"
        for command in (
            [*configure, size],
            ["cmake", "--build", str(folder.resolve()), "--target", "firmware"],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise UserError(f"{board.name} firmware", failure(done.stdout + done.stderr), "see above")
        wanted = stack_of(elf)
        if wanted == stack:
            break
        stack = wanted
    return elf


def drop_moved(folder: Path, root: Path) -> None:
    """Delete a build folder that was configured in another place: CMake refuses it after a checkout was moved."""
    cache = folder / "CMakeCache.txt"
    if not cache.is_file():
        return
    lines = cache.read_text(encoding="utf-8").splitlines()
    known = {f"CMAKE_HOME_DIRECTORY:INTERNAL={root}", f"CMAKE_CACHEFILE_DIR:INTERNAL={folder.resolve()}"}
    if not known <= set(lines):
        shutil.rmtree(folder)


def reserved(elf: Path) -> int | None:
    """Bytes of stack that an image reserves; None where it cannot be read or does not say."""
    try:
        return load_image(elf).labels.get("_stack_size")
    except UserError:
        return None


def stack_of(elf: Path) -> int | None:
    """Bytes of stack that an image needs at most, a fault included; None where it has no bound."""
    bound = stack_bound(load_image(elf)).bytes
    return None if bound is None else -(-(bound + FAULT_FRAME) // 8) * 8


def failure(output: str) -> str:
    """The line of a build's output that says what went wrong."""
    lines = [line.strip() for line in output.splitlines() if re.search(r"\berror\b", line, re.IGNORECASE)]
    told = [line for line in lines if line.startswith("error: ")] or lines or output.splitlines()[-1:]
    return told[0].removeprefix("error: ") if told else "the build failed without a message"
