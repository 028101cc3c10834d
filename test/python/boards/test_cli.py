"""`python -m microai.boards`, as `pio test` and people call it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from microai.boards.board import Board

from .conftest import ROOT, Build

# Clock left at 4 MHz: BRR = 4000000 / 115200.
HELLO = """
static void put(const char *s) {
    for (; *s; s++) { while (!(REG(0x4000441C) & 0x80)) {} REG(0x40004428) = (uint32_t)*s; }
}
static void uart(void) {
    REG(0x4002104C) |= 1; REG(0x40021058) |= 1u << 17;
    REG(0x48000020) |= 0x7700; REG(0x48000000) = (REG(0x48000000) & ~0xF0u) | 0xA0;
    REG(0x4000440C) = 35; REG(0x40004400) = 0xD;
}
"""


def boards(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "microai.boards", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, cwd=ROOT)


def run(elf: Path, *options: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return boards("run", str(elf), "--board", "nucleo_l452re", *options, stdin=stdin)


def test_text_on_stdout_and_exit_code(build: Build) -> None:
    elf = build(HELLO + 'int main(void) { uart(); put("1 Tests 0 Failures\\nend"); return 0; }')
    for options in (("--stdio",), ("--stdio", "--no-cycles", "--max-seconds", "30")):
        result = run(elf, *options)
        assert (result.returncode, result.stdout, result.stderr) == (0, "1 Tests 0 Failures\nend", "")


def test_stdin_reaches_the_board(build: Build) -> None:
    echo = """int main(void) { uart(); for (;;) {
        while (!(REG(0x4000441C) & 0x20)) {}
        char c[2] = {(char)REG(0x40004424), 0};
        if (c[0] == '.') HALT;
        put(c);
    } }"""
    elf = build(HELLO + echo)
    result = run(elf, stdin="hello\n.")
    assert (result.returncode, result.stdout) == (0, "hello\n")
    starved = run(elf, stdin="hello\n")
    assert (starved.returncode, starved.stdout) == (1, "hello\n")
    assert starved.stderr.startswith(
        "error: p.elf on nucleo_l452re: waits for input, and there will be none; "
    )


def test_errors_are_one_line(build: Build, edge: Board) -> None:
    bad = run(build(HELLO + 'int main(void) { uart(); put("before\\n"); return (int)REG(0x30000000); }'))
    assert (bad.returncode, bad.stdout, bad.stderr.count("\n")) == (1, "before\n", 1)
    assert "read of 4 bytes at 0x30000000" in bad.stderr
    loop = run(
        build("int main(void) { for (volatile int i = 0; i < 1; i = 0) {} return 0; }"),
        "--max-seconds",
        "0.3",
    )
    assert loop.returncode == 1
    assert "in main+" in loop.stderr
    wrong = run(build(HELLO.replace("= 35", "= 70") + "int main(void) { uart(); return 0; }"))
    assert "USART2 is set to 57143 baud (4000000 Hz / 70), the line runs at 115200" in wrong.stderr
    pins = run(build(HELLO.replace("0xA0", "0x20") + "int main(void) { uart(); return 0; }"))
    assert "PA3 is not connected" in pins.stderr
    full = HELLO + "int main(void) { uart(); for (int i = 0; i < 3; i++) REG(0x40004428) = 65; return 0; }"
    assert "its transmitter is full" in run(build(full)).stderr
    assert "unknown" in boards("run", "x.elf", "--board", "nucleo").stderr
    assert "cannot be read" in run(Path("x.elf")).stderr
    assert "exclude each other" in run(Path("x.elf"), "--pty", "--stdio").stderr


def test_size_and_list(build: Build) -> None:
    assert "nucleo_l452re" in boards("list").stdout
    elf = build(
        "static const int model_w_conv[64] = {1}; int main(void) { return ((volatile const int *)model_w_conv)[5]; }"
    )
    assert "weights 256" in boards("size", str(elf)).stdout
