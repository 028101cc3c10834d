"""Generated C on this computer: compiled with the host's compiler and called through ctypes."""

from __future__ import annotations

import ctypes
import hashlib
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ..errors import UserError
from .emit import emit
from .formats import Array
from .kernels import runtime_folder
from .lower import Port, Program
from .render import render, render_host


@cache
def compiler_flags() -> tuple[str, ...]:
    """The flags that all builds share, from platform/flags.txt."""
    path = runtime_folder().parents[1] / "platform" / "flags.txt"
    groups = dict(
        line.split(": ", 1) for line in path.read_text(encoding="utf-8").splitlines() if ": " in line
    )
    return tuple(shlex.split(f"{groups['numeric']} {groups['warn']}"))


def compiler() -> str:
    """Path of the host's C compiler. Raises UserError when there is none."""
    for name in ("cc", "gcc", "clang"):
        path = shutil.which(name)
        if path:
            return path
    raise UserError(
        "host compiler", "neither cc, gcc nor clang is on the PATH", "install gcc (apt install gcc)"
    )


def compile_c(sources: Sequence[Path], includes: Sequence[Path], output: Path, *flags: str) -> None:
    """Compile C files with the project's flags. Raises UserError with the compiler's first message."""
    options = [*compiler_flags(), *flags, *(f"-I{path}" for path in includes), "-o", str(output)]
    command = [compiler(), *options, *map(str, sources)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if "error" in line] or result.stderr.splitlines()
        raise UserError(
            output.name, f"does not compile: {lines[0] if lines else 'no message'}", "report this"
        )


def runtime_sources() -> list[Path]:
    return sorted((runtime_folder() / "src").glob("*.c"))


def build_runtime(cache: Path, *flags: str) -> Path:
    """The runtime as a static library for this computer, built once per content and flags; returns its path."""
    folder = runtime_folder()
    digest = hashlib.sha256(" ".join([compiler(), *compiler_flags(), *flags]).encode())
    for path in sorted(folder.rglob("*.[ch]")) + sorted(folder.rglob("*.inc")):
        digest.update(path.read_bytes())
    library = cache / f"libnn_runtime-{digest.hexdigest()[:16]}.o"
    if not library.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        partial = library.with_suffix(f".{np.random.default_rng().integers(1 << 62)}.o")
        compile_c(runtime_sources(), [folder / "include"], partial, "-O2", "-fPIC", "-r", "-nostdlib", *flags)
        partial.replace(library)
    return library


@dataclass(frozen=True, eq=False)
class HostModel:
    """A generated model loaded into this process. Arrays hold stored integers (or floats)."""

    program: Program
    library: ctypes.CDLL

    def run(self, inputs: Sequence[Array], fill: int = 0) -> list[Array]:
        """Outputs, one array [N, *shape] each, for inputs of one array [N, *shape] each."""
        return self._call(inputs, fill, layers=False)[0]

    def trace(self, inputs: Sequence[Array], fill: int = 0) -> Mapping[str, Array]:
        """Every layer's output [N, *shape] by tensor name (reshapes, which have no call, excepted)."""
        return self._call(inputs, fill, layers=True)[1]

    def _call(self, inputs: Sequence[Array], fill: int, layers: bool) -> tuple[list[Array], dict[str, Array]]:
        program = self.program
        count = len(inputs[0])
        packed = pack(inputs, program.inputs)
        sizes = [program.graph.tensors[layer.tensor].bytes for layer in program.layers] if layers else []
        y = np.zeros((count, sum(port.type.bytes for port in program.outputs)), np.uint8)
        dump = np.zeros((count, sum(sizes)), np.uint8)
        arena = np.zeros(program.plan.arena_bytes // 8 + 1, np.uint64)
        self.library.host_run(
            arena.ctypes.data_as(ctypes.c_void_p),
            packed.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_uint32(count),
            ctypes.c_uint8(fill),
            y.ctypes.data_as(ctypes.c_void_p),
            dump.ctypes.data_as(ctypes.c_void_p) if layers else None,
        )
        tensors: dict[str, Array] = {}
        start = 0
        for layer, size in zip(program.layers, sizes, strict=False):
            kind = program.graph.tensors[layer.tensor]
            part = np.ascontiguousarray(dump[:, start : start + size])
            tensors[layer.tensor] = part.view(kind.format.dtype).reshape(count, *kind.shape)
            start += size
        return unpack(y, program.outputs), tensors


def pack(inputs: Sequence[Array], ports: Sequence[Port]) -> Array:
    """Stored inputs as the bytes of each vector: uint8 [N, bytes of all inputs]."""
    rows = []
    for array, port in zip(inputs, ports, strict=True):
        stored = np.ascontiguousarray(array, dtype=port.type.format.dtype)
        rows.append(stored.reshape(len(stored), -1).view(np.uint8))
    return np.ascontiguousarray(np.concatenate(rows, axis=1))


def unpack(data: Array, ports: Sequence[Port]) -> list[Array]:
    """The bytes of each vector's outputs, uint8 [N, bytes], as one array [N, *shape] per output."""
    arrays, start = [], 0
    for port in ports:
        part = np.ascontiguousarray(data[:, start : start + port.type.bytes])
        arrays.append(part.view(port.type.format.dtype).reshape(len(data), *port.type.shape))
        start += port.type.bytes
    return arrays


def build_host(program: Program, folder: Path, *flags: str) -> HostModel:
    """Generate the model into `folder`, compile it and load it."""
    files = dict(render(program)) | {"host/host.c": render_host(program)}
    emit(files, folder)
    library = folder / "host" / f"model-{program.model_hash:08x}.so"
    runtime = build_runtime(folder.parent / "host_runtime")
    sources = [*sorted((folder / "src").glob("*.c")), folder / "host" / "host.c"]
    includes = [folder / "include", folder / "src", runtime_folder() / "include"]
    compile_c([*sources, runtime], includes, library, "-O2", "-fPIC", "-shared", *flags)
    return HostModel(program, ctypes.CDLL(str(library.resolve())))
