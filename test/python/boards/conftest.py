"""Programs for virtual boards, built on the spot: a few lines of C or assembly, or the real firmware."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from microai.boards.board import Board, load_board

ROOT = Path(__file__).resolve().parents[3]
GCC = "arm-none-eabi-gcc"
FLAGS = [
    "-mcpu=cortex-m4",
    "-mthumb",
    "-mfpu=fpv4-sp-d16",
    "-mfloat-abi=hard",
    "-O2",
    "-std=c99",
    "-ffp-contract=off",
]

# Registers are named as in the reference manuals; a program starts at main with the FPU off.
PRELUDE = """
#include <stdint.h>
#define REG(a) (*(volatile uint32_t *)(a))
#define HALT for (;;) __asm__ volatile("wfi")
__attribute__((noinline)) int main(void);
void fault(void);
extern uint32_t _estack[];
#ifdef STACK
#define TOP STACK
#else
#define TOP _estack
#endif
void reset_handler(void) { main(); HALT; }
void stop(void) { HALT; }
__attribute__((section(".isr_vector"), used)) void *const vectors[16] = {
    (void *)TOP, reset_handler, fault, fault, 0, 0, 0, 0, 0, 0, 0, fault};
"""
LINKER = """
SECTIONS {{
  .isr_vector {flash} : {{ KEEP(*(.isr_vector)) }}
  .text : {{ *(.text*) *(.rodata*) }}
  .noinit {ram} (NOLOAD) : {{ *(.noinit*) *(.bss*) }}
  /DISCARD/ : {{ *(.ARM.ex*) }}
}}
_estack = {ram} + 0x4000;
PROVIDE(fault = stop);
"""

Build = Callable[..., Path]


def need_gcc() -> None:
    if shutil.which(GCC) is None:
        pytest.skip(f"needs {GCC}, see README")


def compile_to(out: Path, *arguments: str) -> Path:
    result = subprocess.run([GCC, *FLAGS, *arguments, "-o", str(out)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return out


@pytest.fixture(scope="session")
def nucleo() -> Board:
    return load_board("nucleo_l452re", ROOT / "boards")


@pytest.fixture(scope="session")
def edge() -> Board:
    return load_board("sparkfun_edge", ROOT / "boards")


@pytest.fixture
def build(tmp_path: Path, nucleo: Board) -> Build:
    """build(c_source, *gcc_arguments, board=...) -> path of the ELF file."""
    need_gcc()

    def make(source: str, *arguments: str, board: Board = nucleo) -> Path:
        (tmp_path / "p.c").write_text(PRELUDE + source)
        (tmp_path / "p.ld").write_text(LINKER.format(flash=hex(board.app_origin), ram=hex(board.ram.origin)))
        script = str(tmp_path / "p.ld")
        return compile_to(
            tmp_path / "p.elf",
            *arguments,
            str(tmp_path / "p.c"),
            "-nostdlib",
            "-T",
            script,
            "-Wl,--no-warn-rwx-segments",
        )

    return make


# A model of two layers, without the generator. Byte 0 of the input chooses to misbehave: 0xEE reads outside memory,
# 0xEF is an undefined instruction.
MODEL_H = """
#ifndef MODEL_H
#define MODEL_H
#include <stdbool.h>
#include "nn_runtime.h"
#define MODEL_NAME "test/two_layers/int8"
#define MODEL_HASH 0x1234abcdu
#define MODEL_INPUT_BYTES 4608u
#define MODEL_OUTPUT_BYTES 8u
#define MODEL_LAYERS 2u
#define MODEL_ARENA_BYTES 8192u
typedef union { uint32_t words[MODEL_ARENA_BYTES / 4]; int8_t q8[MODEL_ARENA_BYTES]; } model_arena_t;
void model_run(model_arena_t *arena);
void model_run_observed(model_arena_t *arena, nn_observer_t after_layer, void *context);
bool model_selftest(model_arena_t *arena);
#define MODEL_INPUT_SPANS { { 0u, 4608u } }
#define MODEL_OUTPUT_SPANS { { 8000u, 8u } }
#endif
"""
MODEL_C = """
#include "model.h"
static const int8_t model_w_layer0[3000] = {1, 2, 3};
__attribute__((noinline)) void crash(void) { (void)*(volatile uint32_t *)0x30000000; }
static void layer0(model_arena_t *a) {
    if (a->q8[0] == (int8_t)0xEE) crash();
    if (a->q8[0] == (int8_t)0xEF) __asm__ volatile("udf #0");
    for (int i = 0; i < 3000; i++) a->q8[4608 + i] = (int8_t)(a->q8[i] * 3 + model_w_layer0[i]);
}
static void layer1(model_arena_t *a) {
    uint32_t sum = 0, hash = 1;
    for (int i = 0; i < 3000; i++) { sum += (uint32_t)a->q8[4608 + i]; hash = hash * 31u + (uint32_t)a->q8[i]; }
    a->words[2000] = sum;
    a->words[2001] = hash;
}
void model_run(model_arena_t *a) { layer0(a); layer1(a); }
void model_run_observed(model_arena_t *a, nn_observer_t after_layer, void *context) {
    layer0(a); after_layer(context, 0, &a->q8[4608], 3000);
    layer1(a); after_layer(context, 1, &a->words[2000], 8);
}
bool model_selftest(model_arena_t *a) {
    for (int i = 0; i < 3000; i++) a->q8[i] = (int8_t)(i & 63);
    model_run(a);
    return a->words[2000] != 0u;
}
"""


def model_twin(inputs: bytes) -> tuple[bytes, bytes]:
    """Outputs of both layers, as the C above computes them."""
    weights = [1, 2, 3] + [0] * 2997
    signed = [byte - 256 if byte > 127 else byte for byte in inputs[:3000]]
    first = bytes((x * 3 + w) & 0xFF for x, w in zip(signed, weights, strict=True))
    total = sum(byte - 256 if byte > 127 else byte for byte in first) & 0xFFFFFFFF
    value = 1
    for x in signed:
        value = (value * 31 + x) & 0xFFFFFFFF
    return first, total.to_bytes(4, "little") + value.to_bytes(4, "little")


@pytest.fixture(scope="session")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Board], Path]:
    """firmware(board) -> the real firmware around the model above; each board is built once."""
    need_gcc()
    built: dict[str, Path] = {}

    def make(board: Board, clock_hz: int = 0) -> Path:
        clock = clock_hz or board.default_clock_hz
        key = f"{board.name}-{clock}"
        if key not in built:
            folder = tmp_path_factory.mktemp(key)
            (folder / "model.h").write_text(MODEL_H)
            (folder / "model.c").write_text(MODEL_C)
            here = board.path.parent
            sources = [
                *(ROOT / "firmware").glob("*.c"),
                here / "board.c",
                ROOT / "lib/nn_runtime/src/nn_crc32.c",
            ]
            built[key] = compile_to(
                folder / "firmware.elf",
                f'-DBOARD_NAME="{board.name}"',
                f"-DBOARD_CLOCK_HZ={clock}",
                "-DUART_BAUD=115200",
                *(f"-I{p}" for p in (folder, ROOT / "lib/nn_runtime/include", ROOT / "firmware", here)),
                "-ffunction-sections",
                "-fdata-sections",
                "-fno-strict-aliasing",
                *map(str, sources),
                str(folder / "model.c"),
                "-nostartfiles",
                "--specs=nano.specs",
                "-Wl,--gc-sections",
                f"-L{ROOT / 'firmware'}",
                f"-T{here / board.ld_script}",
            )
        return built[key]

    return make
