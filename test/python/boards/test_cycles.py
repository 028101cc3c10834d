"""Each rule of the cycle count on a few instructions, then what a program reads from its cycle counter."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from microai.boards.board import Board
from microai.boards.cycles import Variant, cost, decode, is_far_target
from microai.boards.mmio import BoardFault
from microai.boards.native import BLOCK_RUNS
from microai.boards.virtual import Stop, VirtualBoard

from .conftest import Build, compile_to, need_gcc

# name: (assembly, cycles). Branches are not taken here.
RULES = {
    "one cycle each": ("adds r0, r1\n lsls r2, r0, #3\n nop\n mul r3, r0, r2", 4),
    "DSP instructions": (
        "smlad r0, r1, r2, r0\n smlabb r0, r1, r2, r0\n sxtb16 r3, r4\n umull r0, r1, r2, r3",
        4,
    ),
    "IT is folded into a 16-bit instruction": ("cmp r0, r1\n it eq\n moveq r0, r2", 2),
    "IT behind a 32-bit instruction": ("cmp.w r0, r1\n it eq\n moveq r0, r2", 3),
    "IT in front": ("it eq\n moveq r0, r2", 2),
    "LDM": ("ldm r0, {r1, r2, r3}\n nop", 5),
    "STM": ("stm r0!, {r1, r2, r3, r4, r5}", 6),
    "PUSH": ("push {r4, r5, r6, lr}", 5),
    "POP": ("pop {r4, r5}", 3),
    "LDRD": ("ldrd r0, r1, [r2]", 3),
    "STRD": ("strd r0, r1, [r2], #8", 3),
    "VLDM": ("vldmia r0!, {s0-s3}\n nop", 6),
    "VLDM of doubles": ("vldmia r0, {d0-d1}\n nop", 6),
    "VSTM of one": ("vstmia r0!, {s1}", 2),
    "VPUSH": ("vpush {d8-d9}", 5),
    "VPOP": ("vpop {s16}", 2),
    "SDIV": ("sdiv r0, r1, r2", 6),
    "UDIV": ("udiv r0, r1, r2", 6),
    "VDIV": ("vdiv.f32 s0, s1, s2", 14),
    "VSQRT": ("vsqrt.f32 s0, s1", 14),
    "lone load": ("ldr r0, [r1]\n nop\n adds r0, #1", 3),
    "load and use": ("ldr r0, [r1]\n adds r0, #1", 3),
    "load byte and use": ("ldrsb.w r0, [r1, #4]\n smlabb r2, r0, r3, r2", 3),
    "load and use as address": ("ldr r0, [r1]\n ldr r2, [r0]\n nop", 4),
    "load and use as index": ("ldr r0, [r1]\n ldr r2, [r3, r0, lsl #2]\n nop", 4),
    "load and store its value": ("ldr r0, [r1]\n str r0, [r2]", 2),
    "load and store to its address": ("ldr r0, [r1]\n str r2, [r0]", 3),
    "load and store halfword of its value": ("ldrh r0, [r1]\n strh r0, [r2, r3]", 2),
    "post-indexed load, address used": ("ldr r0, [r1], #4\n adds r1, #1", 2),
    "load and use in another register": ("ldr r0, [r1]\n adds r2, #1", 2),
    "load and use behind a folded IT": ("ldr r0, [r1]\n it eq\n addeq r0, #1", 3),
    "load and accumulate into it, 64 bits": ("ldr.w r0, [r2]\n smlal r0, r1, r3, r4", 3),
    "load and move to the FPU": ("ldr r0, [r1]\n vmov s0, r0", 3),
    "VLDR has no load-use stall": ("vldr s0, [r1]\n vadd.f32 s2, s0, s0", 2),
    "VLDR of a double": ("vldr d0, [r1]", 3),
    "VFMA alone": ("vfma.f32 s0, s1, s2\n vldr s4, [r1]", 4),
    "VFMA, one integer": ("vfma.f32 s0, s1, s2\n adds r0, #1\n vldr s4, [r1]", 4),
    "VFMA, two integers": ("vfma.f32 s0, s1, s2\n adds r0, #1\n adds r1, #1\n vldr s4, [r1]", 4),
    "VFMA, three integers": ("vfma.f32 s0, s1, s2\n adds r0, #1\n adds r1, #1\n adds r2, #1", 4),
    "VFMA and a long integer instruction": ("vfma.f32 s0, s1, s2\n sdiv r0, r1, r2", 7),
    "VFMA and a branch": ("1: vfma.f32 s0, s1, s2\n bne 1b", 2),
    "VMLA, VFMS, VNMLS": ("vmla.f32 s0, s1, s2\n vfms.f32 s3, s4, s5\n vnmls.f32 s6, s7, s8", 9),
    "conditional VFMA": ("cmp.w r0, r1\n it ne\n vfmane.f32 s0, s1, s2\n vldr s4, [r1]", 6),
    "VADD and use": ("vadd.f32 s0, s1, s2\n vmul.f32 s3, s0, s0", 3),
    "VADD and use one later": ("vadd.f32 s0, s1, s2\n nop\n vmul.f32 s3, s0, s0", 3),
    "VADD without use": ("vadd.f32 s0, s1, s2\n vmul.f32 s3, s4, s4", 2),
    "VCVT and use": ("vcvt.f32.s32 s0, s1\n vadd.f32 s2, s0, s3", 3),
    "VMOV is no arithmetic": ("vmov.f32 s0, s1\n vadd.f32 s2, s0, s3", 2),
    "branch not taken": ("1: cmp r0, #0\n bne 1b", 2),
    "CBZ not taken": ("cbz r0, 1f\n nop\n 1: nop", 3),
}


@pytest.fixture(scope="module")
def snippets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    need_gcc()
    folder = tmp_path_factory.mktemp("rules")
    lines = [".syntax unified", ".thumb"]
    for index, (text, _) in enumerate(RULES.values()):
        lines += [f'.section .t{index}, "ax"', text]
    (folder / "rules.s").write_text("\n".join(lines) + "\n")
    with compile_to(folder / "rules.o", "-c", str(folder / "rules.s")).open("rb") as stream:
        elf = ELFFile(stream)
        return {name: elf.get_section_by_name(f".t{i}").data() for i, name in enumerate(RULES)}


@pytest.mark.parametrize("name", RULES)
def test_rule(name: str, snippets: dict[str, bytes], nucleo: Board) -> None:
    instructions = decode(snippets[name], 0x08000000)
    assert sum(i.size for i in instructions) == len(snippets[name])
    core = nucleo.timing.core
    assert sum(cost(instructions, i, core) for i in range(len(instructions))) == RULES[name][1]


# name: (assembly, cycles as onecycle, interlock, trm).
BRACKET = {
    "lone load": ("ldr r0, [r1]\n nop\n adds r0, #1", (3, 3, 4)),
    "load and use": ("ldr r0, [r1]\n adds r0, #1", (2, 3, 3)),
    "loads in a row": ("ldr r0, [r1]\n ldr r2, [r1]\n nop", (3, 3, 4)),
    "VFMA and integers": ("vfma.f32 s0, s1, s2\n adds r0, #1\n adds r1, #1\n nop", (4, 4, 6)),
    "the rest": (
        "sdiv r0, r1, r2\n ldm r0, {r1, r2}\n vdiv.f32 s0, s1, s2\n vadd.f32 s1, s0, s0\n nop",
        (25, 25, 25),
    ),
}


@pytest.mark.parametrize("name", BRACKET)
def test_variants(name: str, tmp_path: Path, nucleo: Board) -> None:
    need_gcc()
    text, cycles = BRACKET[name]
    (tmp_path / "t.s").write_text(f".syntax unified\n.thumb\n{text}\n")
    with compile_to(tmp_path / "t.o", "-c", str(tmp_path / "t.s")).open("rb") as stream:
        code = decode(ELFFile(stream).get_section_by_name(".text").data(), 0x08000000)
    core = nucleo.timing.core
    found = tuple(sum(cost(code, i, core, variant) for i in range(len(code))) for variant in Variant)
    assert found == cycles


def test_trm_charges_for_branches_to_32_bit_instructions_off_the_grid() -> None:
    wide, narrow = b"\x01\xf1\x01\x01", b"\x00\xbf"  # ADD.W, NOP
    assert [is_far_target(decode(code, address)[0]) for code in (wide, narrow) for address in (0, 2)] == [
        False,
        True,
        False,
        False,
    ]


TIMER = """
#define CYCCNT REG(0xE0001004)
static void start(void) {
    REG(0xE000EDFC) |= 1u << 24; REG(0xE0001000) |= 1;
    REG(0xE000ED88) |= 0xFu << 20; __asm__ volatile("dsb\\n isb");
}
__attribute__((section(".noinit"))) volatile uint32_t results[16];
"""


def read_words(board: VirtualBoard, count: int) -> list[int]:
    return list(struct.unpack(f"<{count}I", board.read_memory(board.board.ram.origin, 4 * count)))


def test_cycle_counter_is_exact_inside_a_block(build: Build, nucleo: Board) -> None:
    # Two readings in one straight piece of code: LDR, snippet, LDR. The first load's result waits for nobody.
    kernels = {
        "": 1,
        "nop\\n": 2,
        "nop\\n nop\\n nop\\n": 4,
        "sdiv r3, r3, r3\\n": 7,
        "push {r4-r7}\\n pop {r4-r7}\\n": 11,
    }
    body = "".join(
        f'__asm__ volatile("ldr r0, [%2]\\n {text} ldr r1, [%2]\\n mov %0, r0\\n mov %1, r1" : "=&r"(a), "=&r"(b)'
        f' : "r"(0xE0001004) : "r0", "r1", "r3", "memory"); results[{i}] = b - a;'
        for i, text in enumerate(kernels)
    )
    elf = build(TIMER + f"int main(void) {{ uint32_t a, b; start(); {body} HALT; }}")
    board = VirtualBoard(nucleo, elf)
    assert board.run(max_seconds=20) is Stop.HALTED
    assert read_words(board, len(kernels)) == list(kernels.values())


def test_loop_and_calls(build: Build, nucleo: Board) -> None:
    elf = build(
        TIMER
        + """
        int main(void) {
            uint32_t a, b; start();
            __asm__ volatile("mov r2, #100\\n b 2f\\n 2: ldr r0, [%2]\\n 1: subs r2, #1\\n bne 1b\\n ldr r1, [%2]\\n"
                             "mov %0, r0\\n mov %1, r1" : "=&r"(a), "=&r"(b) : "r"(0xE0001004) : "r0","r1","r2","cc");
            results[0] = b - a;
            __asm__ volatile("b 3f\\n 3: ldr r0, [%2]\\n bl 1f\\n ldr r1, [%2]\\n b 2f\\n 1: nop\\n bx lr\\n 2:"
                             "mov %0, r0\\n mov %1, r1" : "=&r"(a), "=&r"(b) : "r"(0xE0001004) : "r0","r1","lr");
            results[1] = b - a;
            HALT;
        }"""
    )
    board = VirtualBoard(nucleo, elf)
    assert board.run(max_seconds=20) is Stop.HALTED
    taken = nucleo.timing.core.taken_branch
    # 100 * (SUBS + BNE), taken 99 times; BL, NOP and BX, both taken. And the first LDR itself.
    assert read_words(board, 2) == [1 + 200 + 99 * taken, 1 + 3 + 2 * taken]


def test_counting_changes_nothing_else_and_repeats(build: Build, nucleo: Board) -> None:
    elf = build(
        TIMER
        + """
        int main(void) {
            start();
            uint32_t from = CYCCNT, x = 12345; float y = 1.0f;
            for (int i = 0; i < 2000; i++) {
                x = x * 1664525u + 1013904223u;
                if (x >> 31) y = y * 0.5f + (float)(x & 7);
            }
            results[1] = x; results[2] = (uint32_t)(y * 1000.0f); results[0] = CYCCNT - from;
            HALT;
        }"""
    )
    runs = []
    for count in (True, True, False):
        board = VirtualBoard(nucleo, elf, count_cycles=count)
        board.run(max_seconds=20)
        runs.append(read_words(board, 3))
    assert runs[0] == runs[1]
    assert runs[0][1:] == runs[2][1:]
    assert runs[0][0] > 2000 * 5


def test_stops_do_not_change_the_count(build: Build, nucleo: Board) -> None:
    """The counter must not depend on where the host interrupts the emulator."""
    elf = build(
        TIMER
        + """
        int main(void) {
            start();
            uint32_t from = CYCCNT, x = 1;
            for (int i = 0; i < 3000; i++) { x = x * 31u + (uint32_t)i; if (x & 64) x ^= 5; }
            results[1] = x; results[0] = CYCCNT - from;
            HALT;
        }"""
    )
    whole = VirtualBoard(nucleo, elf)
    whole.run(max_seconds=20)
    pieces = VirtualBoard(nucleo, elf)
    random_cycles, stops = random.Random(3), 0
    while True:
        try:
            assert pieces.run(max_cycles=random_cycles.randrange(1, 400)) is Stop.HALTED
            break
        except BoardFault:
            stops += 1
    assert stops > 50
    assert read_words(pieces, 2) == read_words(whole, 2)


def test_fpu_off(build: Build, nucleo: Board) -> None:
    elf = build("volatile float f = 0; int main(void) { f = f * 2.0f; HALT; }")
    with pytest.raises(BoardFault, match="FPU is off"):
        VirtualBoard(nucleo, elf).run(max_seconds=20)


def test_blocks_are_counted(build: Build, nucleo: Board) -> None:
    elf = build('int main(void) { for (int i = 0; i < 500; i++) __asm__ volatile(""); HALT; }', "-O1")
    board = VirtualBoard(nucleo, elf)
    board.run(max_seconds=20)
    assert board.cycle_counter is not None
    assert board.cycle_counter.counts()[:, BLOCK_RUNS].max() in (499, 500)
