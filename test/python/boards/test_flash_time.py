"""Waiting for flash and RAM: caches and prefetch alone, then what a program reads from its cycle counter."""

from __future__ import annotations

import dataclasses
import struct

import numpy as np
import pytest
from microai.boards import native
from microai.boards.board import Board
from microai.boards.counter import CycleCounter
from microai.boards.mmio import BoardFault
from microai.boards.timing import PARTS, CacheShape, FlashPath
from microai.boards.virtual import Stop, VirtualBoard

from .conftest import Build
from .test_cycles import TIMER

DATA = native.CACHES + native.CACHE_WORDS
ART = CacheShape(lines=8, ways=8, line_bytes=32, piece_bytes=8)
TWO_WAY = CacheShape(lines=4, ways=2, line_bytes=16, piece_bytes=16)


def state(build: Build, board: Board, path: FlashPath) -> np.ndarray:
    """The state of a counter whose flash is reached by `path`."""
    machine = VirtualBoard(board, build("int main(void) { return 0; }"))
    assert isinstance(machine.cycle_counter, CycleCounter)
    machine.clock.set_flash(path)
    return machine.cycle_counter._state


def hits(s: np.ndarray, pieces: list[int]) -> list[bool]:
    return [bool(native.lookup(s, DATA, piece)) for piece in pieces]


def test_a_line_is_filled_piece_by_piece(build: Build, nucleo: Board) -> None:
    s = state(build, nucleo, FlashPath(data_cache=ART))
    assert hits(s, [0, 0, 1, 2, 0, 1, 2, 3, 3]) == [False, True, False, False, True, True, True, False, True]


def test_the_line_used_longest_ago_is_replaced(build: Build, nucleo: Board) -> None:
    s = state(build, nucleo, FlashPath(data_cache=ART))
    lines = [4 * i for i in range(8)]
    assert not any(hits(s, lines))
    assert hits(s, [lines[0]]) == [True]
    assert hits(s, [100]) == [False]  # takes the place of line 1
    assert hits(s, [lines[0], *lines[2:]]) == [True] * 7
    assert hits(s, [lines[1]]) == [False]


def test_nine_lines_in_turn_never_hit(build: Build, nucleo: Board) -> None:
    s = state(build, nucleo, FlashPath(data_cache=ART))
    assert not any(hits(s, [4 * i for i in range(9)] * 3))


def test_ways_and_sets(build: Build, edge: Board) -> None:
    s = state(lambda c: build(c, board=edge), edge, FlashPath(data_cache=TWO_WAY, piece_bytes=16))
    # Pieces 0, 2, 4 fall into set 0 of two ways; 1 into the other.
    assert hits(s, [0, 2, 1, 0, 4, 2, 1]) == [False, False, False, True, False, False, True]


def test_without_a_cache_nothing_hits(build: Build, nucleo: Board) -> None:
    assert hits(state(build, nucleo, FlashPath()), [0, 0]) == [False, False]


def test_fetch_waits_and_prefetch_hides_them(build: Build, nucleo: Board) -> None:
    s = state(build, nucleo, FlashPath(fetch_wait=2))
    # The piece in the buffer is free; every other one waits.
    assert [native.fetch(s, p, 0) // PARTS for p in (10, 10, 11, 12, 10)] == [2, 0, 2, 2, 2]
    s = state(build, nucleo, FlashPath(fetch_wait=2, prefetch=True))
    # Piece 10 is there at 2; piece 11, asked for then, 3 cycles later: at 5.
    for now, wait in ((5, 0), (4, 1), (3, 2), (2, 2)):
        s[native.NEXT_PIECE] = s[native.LAST_PIECE] = -1
        assert native.fetch(s, 10, 0) == 2 * PARTS
        assert native.fetch(s, 11, now * PARTS) == wait * PARTS
    # A jump elsewhere waits in full.
    assert native.fetch(s, 50, 100 * PARTS) == 2 * PARTS


READ = """
__attribute__((aligned(32))) static const uint32_t table[256] = {1};
static uint32_t pass(uint32_t words) {
    uint32_t a, b, *p = (uint32_t *)table;
    __asm__ volatile("ldr r0, [%4]\\n 1: ldr r2, [%2], #4\\n subs %3, #1\\n bne 1b\\n ldr r1, [%4]\\n mov %0, r0\\n"
                     "mov %1, r1" : "=&r"(a), "=&r"(b), "+r"(p), "+r"(words) : "r"(0xE0001004) : "r0","r1","r2","cc");
    return b - a;
}
int main(void) {
    start(); REG(0x40022000) = ACR;
    pass(WORDS); pass(WORDS); results[0] = pass(WORDS); HALT;
}"""
CACHED = 0x700


@pytest.mark.parametrize(
    ("acr", "words", "misses"),
    [
        (0 | CACHED, 256, 0),  # no wait states
        (2 | CACHED, 64, 0),  # 256 bytes: all in the cache since the first pass
        (2 | CACHED, 72, 36),  # one line too many: each piece of two words misses once
        (2 | CACHED, 256, 128),
        (4 | CACHED, 256, 128),
        (2 | 0x300, 64, 64),  # no data cache: every word waits
        (3 | 0x300, 64, 64),
    ],
)
def test_a_program_waits_for_data_in_flash(
    build: Build, nucleo: Board, acr: int, words: int, misses: int
) -> None:
    machine = VirtualBoard(nucleo, build(TIMER + READ, f"-DACR={acr}", f"-DWORDS={words}"))
    assert machine.run(max_seconds=20) is Stop.HALTED
    (cycles,) = struct.unpack("<I", machine.read_memory(nucleo.ram.origin, 4))
    flat = 1 + 3 * words + (words - 1) * nucleo.timing.core.taken_branch
    wait = nucleo.timing.flash.data_wait_share * (acr & 7)
    assert cycles == pytest.approx(flat + misses * wait, abs=1)


@pytest.mark.parametrize(
    ("acr", "least", "most"),
    [(2, 26, 26), (3, 39, 39), (2 | 0x200, 0, 0), (4 | 0x200, 0, 0), (2 | 0x100, 0, 4), (4 | 0x100, 11, 16)],
)
def test_a_program_waits_for_instructions(
    build: Build, nucleo: Board, acr: int, least: int, most: int
) -> None:
    """13 pieces of 4 instructions: each waits without a cache; one that is asked for early takes LATENCY + 1."""
    source = """
        static uint32_t pass(void) {
            uint32_t a, b;
            __asm__ volatile(".balign 8\\n ldr r0, [%2]\\n b 2f\\n .balign 8\\n 2: .rept 46\\n nop\\n .endr\\n b 3f\\n"
                             "nop\\n .balign 8\\n 3: ldr r1, [%2]\\n b 4f\\n nop\\n 4: mov %0, r0\\n mov %1, r1"
                             : "=&r"(a), "=&r"(b) : "r"(0xE0001004) : "r0", "r1");
            return b - a;
        }
        int main(void) { start(); REG(0x40022000) = ACR; pass(); results[0] = pass(); HALT; }"""
    machine = VirtualBoard(nucleo, build(TIMER + source, f"-DACR={acr}"))
    assert machine.run(max_seconds=20) is Stop.HALTED
    (cycles,) = struct.unpack("<I", machine.read_memory(nucleo.ram.origin, 4))
    assert least <= cycles - (1 + 2 + 46 + 2) <= most


def test_too_few_wait_states_stop_the_board(build: Build, nucleo: Board) -> None:
    source = (
        "int main(void) { REG(0x40021000) |= 0x100; REG(0x40021008) = 1; REG(0x40021000) = 0x1B1; return 0; }"
    )
    assert VirtualBoard(nucleo, build(source)).run(max_seconds=20) is Stop.HALTED  # HSI16 needs none
    faster = "int main(void) { REG(0x40021000) = 0xBB; return 0; }"  # MSI at 48 MHz
    with pytest.raises(BoardFault, match="flash has 0 wait states at 48000000 Hz, it needs 2"):
        VirtualBoard(nucleo, build(faster)).run(max_seconds=20)


def test_ram_beyond_the_coupled_part_is_slower(build: Build, edge: Board) -> None:
    source = (
        TIMER
        + """
        static uint32_t pass(uint32_t *p) {
            uint32_t a, b;
            __asm__ volatile("ldr r0, [%3]\\n str r0, [%2]\\n ldr r1, [%3]\\n mov %0, r0\\n mov %1, r1"
                             : "=&r"(a), "=&r"(b) : "r"(p), "r"(0xE0001004) : "r0", "r1", "memory");
            return b - a;
        }
        int main(void) { start(); results[0] = pass((uint32_t *)0x1000FFFC);
            results[1] = pass((uint32_t *)0x10010000); HALT; }"""
    )
    machine = VirtualBoard(edge, build(source, board=edge))
    assert machine.run(max_seconds=20) is Stop.HALTED
    fast, slow = struct.unpack("<2I", machine.read_memory(edge.ram.origin, 8))
    assert edge.timing.ram is not None
    assert slow == fast + edge.timing.ram.slow_wait


def test_constants_are_used(build: Build, nucleo: Board) -> None:
    """Another load_use in board.toml is another time."""
    source = (
        TIMER
        + """
        int main(void) {
            uint32_t a, b; start();
            __asm__ volatile("ldr r0, [%2]\\n ldr r2, [%2]\\n adds r2, #1\\n ldr r1, [%2]\\n mov %0, r0\\n mov %1, r1"
                             : "=&r"(a), "=&r"(b) : "r"(0xE0001004) : "r0", "r1", "r2", "cc");
            results[0] = b - a; HALT;
        }"""
    )
    elf = build(source)
    cycles = []
    for load_use in (0, 1, 5):
        core = dataclasses.replace(nucleo.timing.core, load_use=load_use)
        board = dataclasses.replace(nucleo, timing=dataclasses.replace(nucleo.timing, core=core))
        machine = VirtualBoard(board, elf)
        machine.run(max_seconds=20)
        cycles.append(struct.unpack("<I", machine.read_memory(nucleo.ram.origin, 4))[0])
    assert cycles == [3, 4, 8]
