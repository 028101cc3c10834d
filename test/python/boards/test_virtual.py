"""What a virtual board does with programs, right ones and wrong ones."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from microai.boards.board import Board
from microai.boards.cycles import DISASSEMBLER
from microai.boards.mmio import BoardFault
from microai.boards.virtual import Stop, VirtualBoard
from microai.errors import UserError

from .conftest import Build, compile_to

RESULTS = '__attribute__((section(".noinit"))) volatile uint32_t results[16];\n'
COUNTED = pytest.mark.parametrize("count", [True, False], ids=["counted", "uncounted"])


def words(board: VirtualBoard, count: int) -> tuple[int, ...]:
    return struct.unpack(f"<{count}I", board.read_memory(board.board.ram.origin, 4 * count))


@COUNTED
def test_boots_and_halts(build: Build, nucleo: Board, edge: Board, count: bool) -> None:
    for board in (nucleo, edge):
        elf = build(RESULTS + "int main(void) { results[0] = 42; return 0; }", board=board)
        machine = VirtualBoard(board, elf, count_cycles=count)
        assert machine.run(max_seconds=20) is Stop.HALTED
        assert words(machine, 1) == (42,)


# name: (program, what the message must say)
WRONG = {
    "read outside memory": (
        "int main(void) { return (int)REG(0x30000000); }",
        r"0x0800\w{4} in main\+0x\w+: read of 4 bytes at 0x30000000, outside the memories of nucleo_l452re",
    ),
    "write of a byte outside memory": (
        "int main(void) { *(volatile uint8_t *)0x20028000 = 1; return 0; }",
        r"in main\+.*write of 1 bytes at 0x20028000, outside",
    ),
    "null pointer": (
        "int main(void) { volatile uint32_t *volatile p = 0; return (int)*p; }",
        r"in main\+.*read of 4 bytes at 0x00000000",
    ),
    "write to flash": (
        "int main(void) { REG(0x08000100) = 1; return 0; }",
        r"in main\+.*write of 4 bytes to flash at 0x08000100",
    ),
    "unmodelled peripheral": (
        "int main(void) { return (int)REG(0x40005400); }",
        r"in main\+.*read of 4 bytes at I2C1\+0x0 \(0x40005400\).*no such register",
    ),
    "unmodelled register": (
        "int main(void) { REG(0x40021010) = 1; return 0; }",
        r"in main\+.*write of 4 bytes at RCC\+0x10 \(0x40021010\).*no such register",
    ),
    "unmodelled bit": (
        "int main(void) { REG(0x40021000) |= 1u << 16; return 0; }",
        r"write of 4 bytes at RCC_CR \(0x40021000\).*changes bits 0x00010000",
    ),
    "NVIC": ("int main(void) { REG(0xE000E100) = 1; return 0; }", r"in main\+.*NVIC\+0x0"),
    "DWT without TRCENA": (
        "int main(void) { return (int)REG(0xE0001004); }",
        r"DWT_CYCCNT.*DEMCR.TRCENA is 0",
    ),
    "peripheral without a clock": (
        "int main(void) { REG(0x40004400) = 1; return 0; }",
        r"USART2_CR1.*USART2 does not answer: it has no clock \(RCC_APB1ENR1 bit 17",
    ),
    "jump into RAM": (
        "int main(void) { ((void (*)(void))0x20000001)(); return 0; }",
        r"jump to 0x20000000, where no program is \(called from main\)",
    ),
    "jump nowhere": ("int main(void) { ((void (*)(void))0x30000001)(); return 0; }", r"jump to 0x30000000"),
    "jump to an even address": (
        "int main(void) { ((void (*)(void))0x08000040)(); return 0; }",
        "even address",
    ),
    "undefined instruction": (
        'int main(void) { __asm__ volatile("udf #0"); return 0; }',
        r"in main\+.*undefined",
    ),
    "SVC": ('int main(void) { __asm__ volatile("svc #0"); return 0; }', "supervisor call"),
    "BKPT": ('int main(void) { __asm__ volatile("bkpt #0"); return 0; }', r"in main\+0x0: breakpoint"),
    "exception return": (
        'int main(void) { __asm__ volatile("bx %0" :: "r"(0xFFFFFFF9)); return 0; }',
        "exception",
    ),
}


# The emulator alone lets these pass; the board sees them while it counts cycles. name: (program, message).
AT = '__asm__ volatile("%s" :: "r"(%s) : "r0", "r1", "r2", "r3", "s0", "memory"); return 0; }'
RAM_2 = "(uint32_t *)((char *)results + 2)"
FPU_ON = 'REG(0xE000ED88) |= 0xFu << 20; __asm__ volatile("dsb\\n isb"); '
TRAPS = {
    **{
        name: (
            RESULTS
            + "int main(void) { results[0] = results[1] = results[2] = 0; "
            + before
            + AT % (code, where),
            rf"in main\+.*{name} at 0x\w+2, which is not a multiple of 4",
        )
        for name, before, code, where in (
            ("LDM", "", "mov r3, %0\\n ldm r3, {r0, r1}", RAM_2),
            ("STM", "", "mov r3, %0\\n stm r3!, {r0, r1}", RAM_2),
            ("LDRD", "", "ldrd r0, r1, [%0]", RAM_2),
            ("STRD", "", "strd r0, r1, [%0]", RAM_2),
            ("VLDR", FPU_ON, "vldr s0, [%0]", RAM_2),
            ("VSTR", FPU_ON, "vstr s0, [%0]", RAM_2),
            ("POP", "", "mov sp, %0\\n pop {r0, r1}", RAM_2.replace("results", "&results[0]")),
        )
    },
    "LDRD of flash": (
        "static const uint32_t t[4] = {1, 2, 3, 4};"
        "int main(void) { " + AT % ("ldrd r0, r1, [%0]", "(const char *)t + 1"),
        r"in main\+.*LDRD at 0x0800\w{4}, which is not a multiple of 4",
    ),
    "read of RAM that nobody has written": (
        "__attribute__((noinline)) static int look(void) { return (int)REG(0x20002344); }"
        "int main(void) { return look() + 1; }",
        r"in look\+.*read of RAM at 0x20002344, which was never written",
    ),
    "execution of data": (
        "static const uint16_t t[4] = {0x4770, 0x4770, 0x4770, 0x4770};"
        "int main(void) { ((void (*)(void))((uintptr_t)t | 1))(); return 0; }",
        r"jump to 0x0800\w{4}, which lies in no function: data are executed",
    ),
}


@pytest.mark.parametrize("name", TRAPS)
def test_what_the_core_would_not_forgive(build: Build, nucleo: Board, name: str) -> None:
    source, message = TRAPS[name]
    with pytest.raises(BoardFault, match=message):
        VirtualBoard(nucleo, build(source)).run(max_seconds=20)


@pytest.mark.parametrize("name", TRAPS)
def test_traps_where_the_firmware_handles_faults(build: Build, nucleo: Board, name: str) -> None:
    """The core faults on what is not aligned: the handler gets it. The rest it would not notice: the board stops."""
    source, message = TRAPS[name]
    machine = VirtualBoard(nucleo, build(FAULT_HANDLER + source.removeprefix(RESULTS)), deliver_faults=True)
    if "multiple of 4" not in message or name == "POP":  # whose bad stack has no room for the frame
        with pytest.raises(BoardFault, match=message if name != "POP" else r"in main\+.*the core locks up"):
            machine.run(max_seconds=20)
        return
    assert machine.run(max_seconds=20) is Stop.HALTED
    pc, cfsr, hfsr = (words(machine, 9)[i] for i in (3, 7, 8))
    insn = next(DISASSEMBLER.disasm(machine.read_memory(pc, 4), pc))
    assert insn.mnemonic.split(".")[0].upper() == name.split()[0]
    assert machine.image.place(pc).split()[2].startswith("main+")
    assert (cfsr, hfsr) == (1 << 24, 1 << 30)


def test_an_unaligned_access_faults_before_it_changes_anything(build: Build, nucleo: Board) -> None:
    source = """
        int main(void) {
            __asm__ volatile("ldr r0, =0x20000102\\n ldr r2, =0x12345678\\n mov r3, r2\\n"
                             "ldmia r0!, {r2, r3}\\n b .\\n .ltorg"); return 0; }"""
    machine = VirtualBoard(nucleo, build(FAULT_HANDLER + source), deliver_faults=True)
    assert machine.run(max_seconds=20) is Stop.HALTED
    frame = words(machine, 7)
    assert frame[6] == 0x12345678  # the stacked R2
    r0 = int.from_bytes(machine.read_memory(frame[2], 4), "little")
    assert r0 == 0x20000102


def test_what_the_core_forgives(build: Build, nucleo: Board) -> None:
    """Single words and halfwords may lie anywhere; RAM seen through its alias is the same RAM."""
    source = """int main(void) {
        *(volatile uint32_t *)0x20000001 = 0x11223344; *(volatile uint16_t *)0x20000007 = 0x5566;
        results[3] = *(volatile uint32_t *)0x20000001; results[4] = *(volatile uint16_t *)0x20000007;
        REG(0x10000010) = 99; results[5] = REG(0x20020010); REG(0x20020020) = 7; results[6] = REG(0x10000020);
        return 0; }"""
    machine = VirtualBoard(nucleo, build(RESULTS + source))
    assert machine.run(max_seconds=20) is Stop.HALTED
    assert words(machine, 7)[3:] == (0x11223344, 0x5566, 99, 7)


# In Unicorn 2.1 a hook on an access in an IT block leaves its state behind: what follows would be conditional too.
IT = {
    "store": "strmi r1, [r3]",
    "load": "ldrmi r1, [r3]",
    "store of the FPU": "vstrmi s0, [r3]",
    "load of a constant": "ldrmi r1, constant",
    "load of the cycle counter": "ldrmi r1, [r4]",
    "store of several": "stmiami r3, {r1, r2}",
}


@COUNTED
@pytest.mark.parametrize("name", IT)
def test_conditional_access(build: Build, nucleo: Board, name: str, count: bool) -> None:
    """A loop whose last rounds access memory under a condition; unconditional instructions behind it must run."""
    source = (
        RESULTS
        + """
        __attribute__((naked)) int loop(void) {
            __asm__ volatile("push {r4, lr}\\n movs r0, #6\\n movs r2, #0\\n mov r1, r2\\n ldr r3, =results\\n"
                "ldr r4, =0xE0001004\\n vmov s0, r1\\n"
                "str r1, [r3]\\n str r1, [r3, #4]\\n"
                "1: subs r0, #1\\n cmp r0, #3\\n it mi\\n ACCESS\\n adds r2, #1\\n cmp r0, #0\\n bne 1b\\n"
                "adds r2, #16\\n mov r0, r2\\n pop {r4, pc}\\n .balign 4\\n constant: .word 5\\n .ltorg");
        }
        int main(void) {
            REG(0xE000ED88) |= 0xFu << 20; __asm__ volatile("dsb\\n isb");
            REG(0xE000EDFC) |= 1u << 24; REG(0xE0001000) |= 1;
            results[5] = (uint32_t)loop(); return 0; }"""
    ).replace("ACCESS", IT[name])
    machine = VirtualBoard(nucleo, build(source), count_cycles=count)
    assert machine.run(max_seconds=20) is Stop.HALTED
    assert words(machine, 6)[5] == 6 + 16


STACK = """
    extern char _enoinit[], _stack_limit[];
    __attribute__((noinline)) static int dig(int n) {
        volatile int room[30]; room[n % 30] = n; return n ? dig(n - 1) + room[n % 30] : 0;
    }
"""
LIMITS = ("-Wl,--defsym=_enoinit=0x20001000", "-Wl,--defsym=_stack_limit=0x20003C00")


def test_a_stack_that_is_full(build: Build, nucleo: Board) -> None:
    for depth, good in ((3, True), (40, False)):
        machine = VirtualBoard(nucleo, build(STACK + f"int main(void) {{ return dig({depth}); }}", *LIMITS))
        if good:
            assert machine.run(max_seconds=20) is Stop.HALTED
        else:
            with pytest.raises(
                BoardFault, match=r"in dig\+.*the stack is full: SP is 0x20003b.., its limit 0x20003c00"
            ):
                machine.run(max_seconds=20)
    # One frame that reaches over the gap: no write hits it.
    large = """__attribute__((noinline)) static int big(int n) {
            volatile char room[0x3000]; for (int i = 0; i < n; i++) room[i] = 1; return n; }
        int main(void) { return big((int)REG(0x08000004) & 7); }"""
    for deliver in (False, True):
        with pytest.raises(BoardFault, match=r"in big.*the stack is full: SP is 0x20000...,"):
            VirtualBoard(nucleo, build(large, *LIMITS), deliver_faults=deliver).run(max_seconds=20)
    wild = build("int main(void) { REG(0x20002000) = 1; return 0; }", *LIMITS)
    with pytest.raises(BoardFault, match=r"in main\+.*write to RAM at 0x20002000, between data and stack"):
        VirtualBoard(nucleo, wild).run(max_seconds=20)


@COUNTED
@pytest.mark.parametrize("name", WRONG)
def test_wrong_program_stops_with_its_place(build: Build, nucleo: Board, name: str, count: bool) -> None:
    source, message = WRONG[name]
    with pytest.raises(BoardFault, match=message):
        VirtualBoard(nucleo, build(source), count_cycles=count).run(max_seconds=20)


def test_place_of_a_refused_access_is_the_instruction(build: Build, nucleo: Board) -> None:
    source = """
        __attribute__((noinline)) int touch(void) {
            int a; __asm__ volatile("nop\\n nop\\n ldr %0, [%1, #16]" : "=r"(a) : "r"(0x40021000)); return a;
        }
        int main(void) { return touch(); }"""
    for count in (True, False):
        machine = VirtualBoard(nucleo, build(source), count_cycles=count)
        touch = next(s for s in machine.image.symbols if s.name == "touch")
        with pytest.raises(BoardFault) as error:
            machine.run(max_seconds=20)
        place = int(error.value.where.split("0x")[1].split()[0], 16)
        # The literal is loaded first; LDR.W or LDR follows two NOPs.
        assert touch.address + 4 < place <= touch.address + 10


def test_endless_loop_ends_with_its_place(build: Build, nucleo: Board) -> None:
    elf = build(
        """__attribute__((noinline)) int spin(void) { for (volatile int i = 0; i < 1; i = 0) {} return 0; }
        int main(void) { return spin() + 1; }"""
    )
    with pytest.raises(BoardFault, match=r"in spin.*after 50000 cycles \(called from main\)"):
        VirtualBoard(nucleo, elf).run(max_cycles=50_000)
    with pytest.raises(BoardFault, match=r"in spin.*still running after 0.2 s"):
        VirtualBoard(nucleo, elf, count_cycles=False).run(max_seconds=0.2)


def test_system_reset_keeps_ram_and_clears_registers(build: Build, nucleo: Board) -> None:
    elf = build(
        RESULTS
        + """
        int main(void) {
            if (results[0] != 0x12345678) {
                results[0] = 0x12345678; REG(0x4002104C) = 1;
                REG(0xE000ED0C) = 4;                /* no key: nothing happens */
                REG(0xE000ED0C) = 0x05FA0004;
                for (;;) {}
            }
            results[1] = REG(0x4002104C); results[2] = REG(0xE000ED00); results[3] = REG(0x40021000);
            return 0;
        }"""
    )
    machine = VirtualBoard(nucleo, elf)
    assert machine.run(max_seconds=20) is Stop.HALTED
    assert machine.resets == 1
    assert words(machine, 4) == (0x12345678, 0, 0x410FC241, 0x63)


@COUNTED
def test_a_condition_ends_with_its_block(build: Build, nucleo: Board, count: bool) -> None:
    """A load and a store in an IT block, then a branch: Unicorn starts the next block under the condition again."""
    elf = build(
        RESULTS
        + """
        int main(void) {
            results[1] = 77u;
            for (uint32_t n = 0; n < 2u; n++) {
                uint32_t left = 5u;
                __asm__ volatile(".syntax unified; lsls r3, %2, #31; itt ne; ldrne r3, [%1]; strne r3, [%1, #4];"
                                 "b 1f; nop; 1: subs %0, #5; bne 2f; adds %0, #1; 2:"
                                 : "+l"(left) : "l"(results + 1), "l"(n) : "r3", "cc", "memory");
                results[3u + n] = left;
            }
            return 0;
        }"""
    )
    machine = VirtualBoard(nucleo, elf, count_cycles=count)
    assert machine.run(max_seconds=20) is Stop.HALTED
    assert words(machine, 5)[1:] == (77, 77, 1, 1)


def test_ram_at_power_on_is_the_same_rubbish_each_time(build: Build, nucleo: Board) -> None:
    elf = build("int main(void) { return 0; }")
    first, second = (VirtualBoard(nucleo, elf).read_memory(nucleo.ram.origin, 4096) for _ in range(2))
    assert first == second
    assert len(set(first)) > 200


def test_memory_alias(build: Build, nucleo: Board) -> None:
    elf = build(RESULTS + "int main(void) { REG(0x20020010) = 77; results[0] = REG(0x10000010); return 0; }")
    machine = VirtualBoard(nucleo, elf)
    machine.run(max_seconds=20)
    assert words(machine, 1) == (77,)


def test_clock_follows_the_registers(build: Build, nucleo: Board) -> None:
    pll = "REG(0x40021000) |= 1u << 8;"
    pll += " REG(0x4002100C) = 2u | 12u << 8 | 1u << 24 | 1u << 25; REG(0x40021000) |= 1u << 24;"
    good = build(f"int main(void) {{ REG(0x40022000) = 0x602; {pll} REG(0x40021008) = 3; return 0; }}")
    machine = VirtualBoard(nucleo, good)
    assert machine.clock.hz == 4_000_000
    machine.run(max_seconds=20)
    assert machine.clock.hz == 48_000_000
    few = build(f"int main(void) {{ REG(0x40022000) = 0x601; {pll} REG(0x40021008) = 3; return 0; }}")
    with pytest.raises(BoardFault, match="flash has 1 wait states at 48000000 Hz, it needs 2"):
        VirtualBoard(nucleo, few).run(max_seconds=20)
    late = build(f"int main(void) {{ {pll} REG(0x40021008) = 3; REG(0x40022000) = 0x602; return 0; }}")
    with pytest.raises(BoardFault, match=r"RCC_CFGR.*flash has 0 wait states"):
        VirtualBoard(nucleo, late).run(max_seconds=20)


def test_real_board_code_at_the_highest_clock(firmware, nucleo: Board, edge: Board) -> None:  # type: ignore[no-untyped-def]
    for board in (nucleo, edge):
        machine = VirtualBoard(board, firmware(board, board.clocks_hz[-1]))
        assert machine.run(max_seconds=60) is Stop.IDLE
        assert machine.clock.hz == board.clocks_hz[-1]


FAULT_HANDLER = (
    RESULTS
    + """
    __attribute__((naked)) void fault(void) {
        __asm__ volatile("ldr r2, =results\\n str lr, [r2]\\n tst lr, #4\\n ite eq\\n mrseq r0, msp\\n mrsne r0, psp\\n"
                         "mrs r1, ipsr\\n str r1, [r2, #4]\\n"
                         "str r0, [r2, #8]\\n ldr r1, [r0, #24]\\n str r1, [r2, #12]\\n"
                         "ldr r1, [r0, #20]\\n str r1, [r2, #16]\\n ldr r1, [r0, #28]\\n str r1, [r2, #20]\\n"
                         "ldr r1, [r0, #8]\\n str r1, [r2, #24]\\n b fault_c");
    }
    __attribute__((used)) void fault_c(void) {
        results[7] = REG(0xE000ED28); results[8] = REG(0xE000ED2C); results[9] = REG(0xE000ED38);
        REG(0xE000ED28) = 0xFFFFFFFF; results[10] = REG(0xE000ED28);
        HALT;
    }
    """
)


@COUNTED
def test_delivered_bus_fault(build: Build, nucleo: Board, count: bool) -> None:
    elf = build(
        FAULT_HANDLER
        + """
        __attribute__((naked)) int bad(void) { __asm__ volatile("movw r2, #0x1234\\n"
                                               "movs r3, #0x30\\n lsls r3, r3, #24\\n"
                                               "ldr r0, [r3]\\n bx lr"); }
        int main(void) { return bad(); }"""
    )
    machine = VirtualBoard(nucleo, elf, count_cycles=count, deliver_faults=True)
    assert machine.run(max_seconds=20) is Stop.HALTED
    ret, ipsr, sp, pc, lr, xpsr, r2, cfsr, hfsr, bfar, cleared = words(machine, 11)
    bad = next(s for s in machine.image.symbols if s.name == "bad")
    main = next(s for s in machine.image.symbols if s.name == "main")
    assert ret == 0xFFFFFFF9
    assert ipsr == 3
    assert sp % 8 == 0
    assert pc == bad.address + 8
    assert machine.image.function_at(lr & ~1) in (main, machine.image.function_at(lr & ~1))
    assert xpsr >> 24 & 1 == 1
    assert r2 == 0x1234
    assert (cfsr, hfsr, bfar) == (0x8200, 0x40000000, 0x30000000)
    assert cleared == 0


def test_delivered_undefined_instruction_with_fpu_frame(build: Build, nucleo: Board) -> None:
    elf = build(
        FAULT_HANDLER
        + """
        int main(void) {
            REG(0xE000ED88) |= 0xFu << 20; __asm__ volatile("dsb\\n isb\\n vmov.f32 s0, #1.0\\n udf #0"); return 0;
        }"""
    )
    machine = VirtualBoard(nucleo, elf, deliver_faults=True)
    assert machine.run(max_seconds=20) is Stop.HALTED
    ret, _, sp, pc, _, _, _, cfsr = words(machine, 8)
    # EXC_RETURN bit 4 is 0: the frame has room for the FPU's registers, 104 bytes in all.
    assert ret == 0xFFFFFFE9
    assert sp + 104 in (0x20004000, 0x20003FF8)
    assert machine.read_memory(pc, 2) == b"\x00\xde"
    assert cfsr == 0x10000


def test_delivered_fault_inside_the_handler_locks_up(build: Build, nucleo: Board) -> None:
    source = "void fault(void) { REG(0x30000000) = 1; } int main(void) { REG(0x30000000) = 1; return 0; }"
    with pytest.raises(BoardFault, match=r"in fault.*inside the fault handler: the core locks up"):
        VirtualBoard(nucleo, build(source), deliver_faults=True).run(max_seconds=20)


def test_stack_running_out_of_ram_locks_up(build: Build, nucleo: Board) -> None:
    # The frame of the fault cannot be stacked either.
    source = 'int main(void) { __asm__ volatile("mov sp, %0\\n push {r0}" :: "r"(0x20000000)); return 0; }'
    with pytest.raises(BoardFault, match="stack pointer at 0x20000000: the core locks up"):
        VirtualBoard(nucleo, build(source), deliver_faults=True).run(max_seconds=20)


def test_images_that_do_not_fit(build: Build, nucleo: Board, edge: Board, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"programs of sparkfun_edge lie in 0x0000c000"):
        VirtualBoard(edge, build("int main(void) { return 0; }"))
    with pytest.raises(UserError, match="no vector table at 0x08000000"):
        VirtualBoard(nucleo, build("int main(void) { return 0; }", "-DSTACK=(uint32_t*)0x30000000"))
    with pytest.raises(UserError, match="No such file"):
        VirtualBoard(nucleo, tmp_path / "none.elf")
    (tmp_path / "text.elf").write_text("hello")
    with pytest.raises(UserError, match="is not an ELF file"):
        VirtualBoard(nucleo, tmp_path / "text.elf")
    (tmp_path / "o.c").write_text("int x;")
    with pytest.raises(UserError, match="is not a linked program"):
        VirtualBoard(nucleo, compile_to(tmp_path / "o.o", "-c", str(tmp_path / "o.c")))


@pytest.mark.parametrize(
    ("flags", "cpu"),
    [
        (("-mcpu=cortex-a9", "-marm", "-mfpu=neon"), "[Cc]ortex-[Aa]9|7-A"),
        (("-mcpu=cortex-m7", "-mfpu=fpv5-d16"), "fp_arch"),
        (("-mcpu=cortex-m33", "-mfpu=fpv5-sp-d16"), "8-M"),
    ],
    ids=["A9", "M7", "M33"],
)
def test_images_for_other_cores(build: Build, nucleo: Board, flags: tuple[str, ...], cpu: str) -> None:
    elf = build("float f = 1; int main(void) { f *= 2; return (int)f; }", *flags)
    with pytest.raises(UserError, match=rf"is for .*({cpu}).*, not for a Cortex-M4F; build it with"):
        VirtualBoard(nucleo, elf)


def test_images_for_smaller_cores_run(build: Build, nucleo: Board) -> None:
    elf = build("int main(void) { return 0; }", "-mcpu=cortex-m0", "-mfloat-abi=soft", "-mfpu=auto")
    assert VirtualBoard(nucleo, elf).run(max_seconds=20) is Stop.HALTED
