"""Profiles: the sums fit, the bounds hold, places are named; the bound of the stack is a bound."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest
from microai.boards.board import Board
from microai.boards.counter import CycleCounter
from microai.boards.elf import load_image
from microai.boards.energy import active_ma, duty, energy
from microai.boards.lines import Lines
from microai.boards.measure import measure
from microai.boards.profile import Mark, Recorder, Span, add
from microai.boards.stack import heap_symbols, stack_bound
from microai.boards.virtual import Stop, VirtualBoard
from microai.profile import by_function, of_image, profile

from .conftest import Build
from .test_link import Firmware

WORK = """
static uint32_t table[64];
__attribute__((noinline)) static uint32_t square(uint32_t x) { return x * x / (x | 1u); }
__attribute__((noinline)) static uint32_t total(void) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < 64; i++) { table[i] = square(i); sum += table[63 - i]; }
    return sum;
}
int main(void) { REG(0x40022000) = 2; uint32_t n = 0; for (int i = 0; i < 10; i++) n += total(); return (int)n; }"""


def whole(machine: VirtualBoard) -> Span:
    """Everything since power-on."""
    assert machine.run(max_seconds=20) is Stop.HALTED
    assert isinstance(machine.cycle_counter, CycleCounter)
    return Span(machine.cycle_counter, None, Mark(machine.clock.cycles, machine.cycle_counter.counts()))


def test_blocks_add_up_to_the_cycles(build: Build, nucleo: Board) -> None:
    span = whole(VirtualBoard(nucleo, build(WORK)))
    blocks = span.blocks()
    for block in blocks:
        assert sum(vars(block.share).values()) == pytest.approx(block.cycles)
        assert block.low <= block.cycles <= block.high
    assert sum(block.cycles for block in blocks) == pytest.approx(span.cycles, abs=2)
    share = add([block.share for block in blocks])
    assert min(share.loads, share.stores, share.branches, share.arithmetic, share.stalls) > 0
    assert share.flash_code > 0  # two wait states, neither cache nor prefetch
    bracket = span.bracket()
    assert bracket.low <= bracket.expected == span.cycles < bracket.high


def test_functions_are_named_and_without_symbols_addresses(build: Build, nucleo: Board) -> None:
    elf = build(WORK, "-g")
    found = profile(of_image(elf, nucleo))
    names = [cost.name for cost in found.functions]
    assert names[:2] == ["total", "square"] or names[:2] == ["square", "total"]
    square = next(cost for cost in found.functions if cost.name == "square")
    assert square.instructions % 640 == 0 and square.cycles_low <= square.cycles <= square.cycles_high
    assert found.layers == () and found.macs is None
    subprocess.run(["arm-none-eabi-strip", str(elf)], check=True)
    bare = profile(of_image(elf, nucleo))
    assert bare.cycles == found.cycles
    assert all(cost.name.startswith("0x08") for cost in bare.functions)
    assert bare.stack_bound.bytes is None and "no symbols" in bare.stack_bound.problem


def test_lines_of_c(build: Build, nucleo: Board) -> None:
    image = load_image(build(WORK, "-g"))
    lines = Lines(image)
    square = next(s for s in image.symbols if s.name == "square")
    place = lines.at(square.address)
    assert place is not None and Path(place[0]).name == "p.c"
    source = Path(place[0]).read_text().splitlines()
    assert "square" in source[place[1] - 1]
    assert lines.at(0) is None
    assert Lines(load_image(build(WORK))).at(square.address) is None


def test_layers_of_the_firmware(firmware: Firmware, nucleo: Board, edge: Board) -> None:
    for board in (nucleo, edge):
        found = profile(of_image(firmware(board), board))
        assert [layer.name for layer in found.layers] == ["layer 0", "layer 1"]
        assert sum(layer.cycles for layer in found.layers) == pytest.approx(found.cycles.expected, rel=0.02)
        for layer in found.layers:
            assert layer.cycles_low <= layer.cycles <= layer.cycles_high
            assert sum(vars(layer.share).values()) == pytest.approx(layer.cycles, abs=40)
        assert found.stack_used is not None


def test_measured_cycles_have_bounds(firmware: Firmware, nucleo: Board) -> None:
    m = measure(firmware(nucleo), nucleo, [bytes(4608)] * 2)
    for low, cycles, high in zip(m.low, m.cycles, m.high, strict=True):
        assert 0.5 * cycles < low <= cycles <= high < 2 * cycles
    assert all(layer.low <= layer.cycles <= layer.high for layer in m.layers)
    untimed = measure(firmware(nucleo), nucleo, [bytes(4608)], count_cycles=False)
    assert untimed.low == untimed.high == ()


def test_a_recorder_needs_cycles(build: Build, nucleo: Board) -> None:
    with pytest.raises(ValueError, match="does not count"):
        Recorder(VirtualBoard(nucleo, build(WORK), count_cycles=False))


def test_energy(nucleo: Board, edge: Board) -> None:
    # 48e6 cycles are one second: 4.8 mA at 3.3 V.
    one_second = energy(nucleo.power, 48_000_000, 48e6)
    assert one_second.uj == pytest.approx(15840)
    assert one_second.uwh == pytest.approx(4.4)
    # The same work at another clock takes the same energy: the current follows the clock.
    assert energy(nucleo.power, 80_000_000, 48e6).uj == pytest.approx(15840)
    assert active_ma(nucleo.power, 80_000_000) == pytest.approx(8.0)
    assert energy(edge.power, 48_000_000, 48e6).uj == pytest.approx(2706)


def test_duty(nucleo: Board) -> None:
    power = dataclasses.replace(nucleo.power, sleep_ua=2.0)
    idle = duty(power, 48_000_000, 48e6, 0.0, 240.0)
    assert idle is not None and (idle.awake, idle.average_ua, idle.days) == (0, 2.0, 5000.0)
    half = duty(power, 48_000_000, 24e6, 1.0, 240.0)
    assert half is not None and half.awake == 0.5 and half.average_ua == pytest.approx(2401)
    assert duty(power, 48_000_000, 48e6, 1.1, 240.0) is None


DEEP = """
__attribute__((noinline)) static int leaf(int n) { volatile char room[200]; room[n] = 1; return room[n / 2]; }
__attribute__((noinline)) static int branch(int n) { volatile char room[40]; room[n] = 1; return leaf(n) + room[0]; }
"""


@pytest.mark.parametrize(
    ("main", "least", "way"),
    [
        ("return leaf(1);", 200, ["main", "leaf"]),
        ("return leaf(1) + branch(2);", 248, ["main", "branch", "leaf"]),
        ("return ((int (*)(int))table[0])(3) + 1;", 248, ["main", "branch", "leaf"]),
    ],
)
def test_the_bound_of_the_stack(build: Build, nucleo: Board, main: str, least: int, way: list[str]) -> None:
    source = DEEP + "static int (*const volatile table[1])(int) = {branch};"
    source += f"int main(void) {{ {main} }}"
    elf = build(source, "-fstack-usage")
    machine = VirtualBoard(nucleo, elf)
    machine.write_memory(nucleo.ram.origin, b"\xa5" * 0x4000)
    assert machine.run(max_seconds=20) is Stop.HALTED
    used = len(machine.read_memory(nucleo.ram.origin, 0x4000).lstrip(b"\xa5"))
    for keep in (True, False):  # with the compiler's figures, then from the instructions alone
        if not keep:
            for path in elf.parent.glob("*.su"):
                path.unlink()
        bound = stack_bound(load_image(elf))
        assert bound.bytes is not None and least <= used <= bound.bytes <= used + 64, bound
        assert [name for name in bound.path if name in way] == way


UNROLLED = """
__attribute__((naked, noinline)) static int unrolled(int n) {
    __asm__ volatile("push {r4, r5, lr}\\n sub sp, #40\\n cmp r0, #7\\n bhi 2f\\n"
        "adr r1, 1f\\n orr r1, r1, #1\\n add r1, r1, r0, lsl #2\\n str r1, [sp]\\n ldr r2, [sp]\\n bx r2\\n"
        ".balign 4\\n 1: .rept 8\\n add.w r0, r0, #1\\n .endr\\n"
        "vpush {d0}\\n vpop {d0}\\n 2: add sp, #40\\n pop {r4, r5, pc}");
}
static int (*const volatile table[1])(int) = {unrolled};
"""


def test_a_jump_into_an_unrolled_loop_is_no_call(build: Build, nucleo: Board) -> None:
    source = UNROLLED + "int main(void) { REG(0xE000ED88) |= 0xFu << 20; return table[0](3); }"
    elf = build(source, "-fstack-usage")  # which says 0 of a naked function
    bound = stack_bound(load_image(elf))
    assert bound.bytes is not None and bound.path[-2:] == ("main", "unrolled"), bound
    machine = VirtualBoard(nucleo, elf)
    machine.write_memory(nucleo.ram.origin, b"\xa5" * 0x4000)
    assert machine.run(max_seconds=20) is Stop.HALTED
    used = len(machine.read_memory(nucleo.ram.origin, 0x4000).lstrip(b"\xa5"))
    assert 12 + 40 + 8 <= used <= bound.bytes <= used + 16


def test_leaving_by_a_jump_is_a_call(build: Build) -> None:
    source = DEEP + "static int (*const volatile table[1])(int) = {branch};"
    source += """
        __attribute__((noinline)) static int tail(int n) { return table[0](n); }
        __attribute__((naked, noinline)) static int jump(void) {
            __asm__ volatile("push {r4, lr}\\n cmp r0, #1\\n itt eq\\n addeq r0, #1\\n popeq {r4, pc}\\n"
                             "pop {r4, lr}\\n ldr pc, [r0]");
        }
        int main(void) { return REG(0x20000000) ? tail(1) : 2; }
        void other(void) { jump(); }"""
    image = load_image(build(source + "int (*const volatile keep)(void) = jump;"))
    bound = stack_bound(image)
    assert bound.bytes is None and "jump -> jump" in bound.problem  # a table's word may be any function
    bound = stack_bound(load_image(build(source)))
    assert [name.split(".")[0] for name in bound.path[-3:]] == ["tail", "branch", "leaf"]


def test_recursion_has_no_bound(build: Build) -> None:
    source = """
        int down(int n);
        __attribute__((noinline)) static int up(int n) { return n ? 1 + down(n - 1) : 0; }
        __attribute__((noinline)) int down(int n) { return n ? 2 + up(n - 1) : 1; }
        int main(void) { return up(REG(0x20000000)); }"""
    bound = stack_bound(load_image(build(source)))
    assert bound.bytes is None
    assert "recursion: " in bound.problem and "up" in bound.problem and "down" in bound.problem


def test_the_firmware_has_no_heap_and_a_bound(firmware: Firmware, nucleo: Board) -> None:
    image = load_image(firmware(nucleo))
    assert heap_symbols(image) == ()
    bound = stack_bound(image)
    used = profile(of_image(image.path, nucleo)).stack_used
    assert bound.bytes is not None and used is not None and used <= bound.bytes < 1024


def test_a_heap_is_found(build: Build) -> None:
    source = "void *malloc(unsigned n) { return (void *)n; } int main(void) { return malloc(3) != 0; }"
    assert heap_symbols(load_image(build(source, "-O0", "-fno-builtin"))) == ("malloc",)


def test_groups_are_sorted(build: Build, nucleo: Board) -> None:
    machine = VirtualBoard(nucleo, build(WORK))
    costs = [cost.cycles for cost in by_function(machine.image, whole(machine).blocks())]
    assert costs == sorted(costs, reverse=True)
