"""The library as a whole: its table, its C tests under sanitizers, both compilers, its CRC."""

from __future__ import annotations

import re
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from microai.codegen.host import compile_c, compiler_flags, runtime_sources
from microai.codegen.kernels import kernel_table, runtime_folder

from .library import AFFINE_KINDS, KINDS, STORAGE_KINDS, Library

INCLUDE = runtime_folder() / "include"
C_TESTS = runtime_folder().parents[1] / "test" / "test_kernels"


def test_table_is_complete() -> None:
    """What this folder tests is what the table has and what the header declares."""
    tested = {(op, kind.name) for op in ("conv", "dense") for kind in KINDS}
    tested |= {
        (op, kind.name)
        for op in ("pool_max", "pool_avg", "add", "copy", "fill", "softmax")
        for kind in STORAGE_KINDS
    }
    tested.add(("add", "q16_wide"))
    tested |= {
        (op, kind.name)
        for op in ("conv", "dense", "add", "pool_avg", "mean", "requantize", "softmax")
        for kind in AFFINE_KINDS
    }
    tested |= {("conv", f"{kind}_wino") for kind in ("q8", "q16", "f32", "a8")}
    tested |= {("conv", f"{kind}_depthwise") for kind in ("q8", "q16", "f32", "a8", "a16")}
    tested |= {("conv", f"{kind}_wino_3x3") for kind in ("q8", "a8")}
    tested |= {(op, f"{kind.name}_simd") for op in ("conv", "dense") for kind in AFFINE_KINDS}
    tested |= {("conv", f"{kind.name}_simd") for kind in STORAGE_KINDS}
    tested |= {("conv", f"{kind}_packed_{how}") for kind in ("q8", "q16") for how in ("simd", "wino")}
    tested |= {("conv", kind) for kind in ("q16_wide_simd", "q16_wide_depthwise", "q16_packed_wino4")}
    functions = kernel_table().functions
    assert set(functions) == tested
    assert all(name == f"nn_{op}_{kind}" for (op, kind), name in functions.items())
    header = (INCLUDE / "nn_runtime.h").read_text(encoding="utf-8")
    assert set(re.findall(r"\bvoid (nn_\w+)\(", header)) == set(functions.values())


def test_crc32(library: Library) -> None:
    data = np.random.default_rng(0).integers(0, 256, 1000, np.uint8)
    function = library.library.nn_crc32
    function.restype = np.ctypeslib.as_ctypes_type(np.uint32)
    for length in (0, 1, 2, 9, 1000):
        part = data[:length].tobytes()
        assert function(0, part, length) == zlib.crc32(part)
        assert function(12345, part, length) == zlib.crc32(part, 12345)


def test_c_tests_under_sanitizers(tmp_path: Path) -> None:
    program = tmp_path / "test_kernels"
    flags = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    compile_c([*sorted(C_TESTS.glob("*.c")), *runtime_sources()], [INCLUDE], program, *flags)
    run = subprocess.run([program], capture_output=True, text=True, timeout=60)
    lines = run.stdout.splitlines()
    assert run.returncode == 0, run.stdout + run.stderr
    assert lines[-1] == "OK" and re.fullmatch(r"\d+ Tests 0 Failures 0 Ignored", lines[-2])
    passed = {line.split(":")[2] for line in lines if line.endswith(":PASS")}
    assert {f"test_{name}" for name in kernel_table().functions.values()} <= passed


def test_c_tests_report_failures(tmp_path: Path) -> None:
    """A kernel that is wrong in one bit fails its test, its name and the exit status say so."""
    sources = [path for path in runtime_sources() if path.name != "nn_fill_q8.c"]
    wrong = tmp_path / "nn_fill_q8.c"
    wrong.write_text(
        (runtime_folder() / "src" / "nn_fill_q8.c")
        .read_text(encoding="utf-8")
        .replace("= value", "= (int8_t)(value ^ 1)"),
        encoding="utf-8",
    )
    program = tmp_path / "test_kernels"
    compile_c([*sorted(C_TESTS.glob("*.c")), *sources, wrong], [INCLUDE], program, "-O1")
    run = subprocess.run([program], capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert re.search(
        r"^\S+:\d+:test_nn_fill_q8:FAIL: case 1 element 0 is -?\d+, expected -?\d+$", run.stdout, re.M
    )
    assert run.stdout.endswith(" Tests 1 Failures 0 Ignored\nFAIL\n")


@pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="needs arm-none-eabi-gcc, see README")
def test_compiles_for_cortex_m4(tmp_path: Path) -> None:
    """All warnings are errors there too; no double, no allocation, little stack."""
    core = ["-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"]
    flags = [*compiler_flags(), "-O2", "-Wstack-usage=320", "-Wpedantic", f"-I{INCLUDE}", *core]
    output = tmp_path / "runtime.o"
    sources = [str(path) for path in runtime_sources()]
    subprocess.run(["arm-none-eabi-gcc", *flags, "-r", "-nostdlib", "-o", str(output), *sources], check=True)
    listing = subprocess.run(
        ["arm-none-eabi-nm", "-u", str(output)], check=True, capture_output=True, text=True
    ).stdout
    assert set(listing.split()) - {"U"} <= {"memset", "memcpy"}
