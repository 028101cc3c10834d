"""A profile on the terminal and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ..boards.cycles import DISASSEMBLER
from ..boards.energy import active_ma, duty
from ..boards.lines import Lines
from ..boards.profile import Share
from ..codegen.lower import Program
from ..profile import Cost, Profile
from .memory import draw_memory, figures, save
from .terminal import columns, number

# Of the cycles, in %: the kinds of Share in its order.
_KINDS = ("load", "store", "branch", "arith", "stall", "fetch", "flash", "RAM")


def _shares(share: Share) -> list[str]:
    values = list(vars(share).values())
    total = sum(values) or 1.0
    return [f"{100 * value / total:.1f}" if value else "" for value in values]


def print_profile(console: Console, p: Profile, top: int, rate: float | None, battery_mah: float) -> None:
    """Tables of layers and functions, the totals, and the `top` most expensive blocks with their instructions."""
    if p.layers:
        _print_costs(
            console, f"{p.model} on {p.board.name} at {p.clock_hz / 1e6:g} MHz, emulated: layers", p.layers
        )
    _print_costs(console, "functions", p.functions)
    c = p.cycles
    per_mac = f", {c.expected / p.macs:.2f} per MAC" if p.macs else ""
    console.print(
        f"cycles {number(c.expected)} (low {number(c.low)}, high {number(c.high)}){per_mac}; "
        f"{number(p.instructions)} instructions; {p.ms:.2f} ms"
    )
    power = p.board.power
    console.print(
        f"energy {p.energy.uwh:.3g} µWh = {p.energy.uj:.4g} µJ, ±{100 * p.energy.uncertainty:.0f} %: "
        f"{active_ma(power, p.clock_hz):.3g} mA at {power.voltage:g} V ({power.source})"
    )
    if rate is not None:
        d = duty(power, p.clock_hz, c.expected, rate, battery_mah)
        if d is None:
            console.print(f"at {rate:g} a second: the board cannot keep up")
        else:
            console.print(
                f"at {rate:g} a second: awake {100 * d.awake:.2f} %, {d.average_ua:.4g} µA on average, "
                f"{d.days:.0f} days from {battery_mah:g} mAh; asleep {power.sleep_ua:g} µA ({power.sleep_source})"
            )
    f = p.footprint
    console.print(
        f"ROM {number(f.rom)} (weights {number(f.weights)}, code {number(f.code)}); RAM {number(f.ram)} "
        f"(arena {number((p.arena or 0) - p.scratch)}, scratch {number(p.scratch)}, "
        f"static {number(f.ram_static - (p.arena or 0))}, stack {number(f.stack)})"
    )
    bound = p.stack_bound
    told = f"at most {number(bound.bytes)}" if bound.bytes is not None else f"no bound ({bound.problem})"
    used = "" if p.stack_used is None else f"used {number(p.stack_used)}, "
    console.print(f"stack {used}{told}: {' > '.join(bound.path)}", soft_wrap=True)
    if top:
        _print_blocks(console, p, top)


def _print_costs(console: Console, title: str, costs: Sequence[Cost]) -> None:
    table = Table(title=title, pad_edge=False)
    names = ["name", "kernel"] if any(c.kernel for c in costs) else ["name"]
    columns(
        table,
        names,
        ["instr.", "cycles", "low", "high", "MACs", "cyc/MAC", *(f"{kind} %" for kind in _KINDS)],
    )
    for c in costs:
        ratio = f"{c.cycles / c.macs:.2f}" if c.macs else ""
        table.add_row(
            *(c.name, c.kernel)[: len(names)],
            *(number(value) for value in (c.instructions, c.cycles, c.cycles_low, c.cycles_high)),
            number(c.macs) if c.macs else "",
            ratio,
            *_shares(c.share),
        )
    console.print(table)


def _print_blocks(console: Console, p: Profile, top: int) -> None:
    lines, sources = Lines(p.image), _Sources()
    for cost in p.blocks[:top]:
        block = cost.block
        waited = cost.share.flash_code + cost.share.flash_data + cost.share.ram
        console.print(
            f"\n{p.image.place(block.address)}: {number(cost.runs)} times, {number(cost.cycles)} cycles "
            f"({100 * cost.cycles / max(p.cycles.expected, 1):.1f} %), {number(waited)} of them waiting for memory",
            markup=False,
        )
        code = b"".join(
            segment.data[block.address - segment.address : block.end - segment.address]
            for segment in p.image.segments
            if segment.address <= block.address < segment.end
        )
        last = None
        for insn, cycles in zip(DISASSEMBLER.disasm(code, block.address), block.costs, strict=False):
            place = lines.at(insn.address)
            if place is not None and place != last:
                console.print(f"  {Path(place[0]).name}:{place[1]}: {sources.line(*place)}", markup=False)
                last = place
            console.print(
                f"    0x{insn.address:08x}  {cycles:2}  {insn.mnemonic} {insn.op_str}", markup=False
            )


class _Sources:
    """Lines of C files, each file read once."""

    def __init__(self) -> None:
        self._files: dict[str, list[str]] = {}

    def line(self, path: str, number: int) -> str:
        if path not in self._files:
            file = Path(path)
            self._files[path] = file.read_text(errors="replace").splitlines() if file.is_file() else []
        lines = self._files[path]
        return lines[number - 1].strip() if 0 < number <= len(lines) else ""


def plot_profile(p: Profile, program: Program | None, path: Path) -> None:
    """Cycles by layer with their bounds and, where the memory plan is known, the arena's use over time."""
    costs = p.layers or p.functions[:20]
    figure, axes = figures().subplots(
        1, 1 if program is None else 2, figsize=(12, 0.35 * len(costs) + 2), squeeze=False
    )
    left = axes[0][0]
    names, cycles = [c.name for c in costs], [c.cycles for c in costs]
    ends = [[c.cycles - c.cycles_low for c in costs], [c.cycles_high - c.cycles for c in costs]]
    left.barh(names, cycles, xerr=ends, color="#4477aa", ecolor="#bb5566")
    left.invert_yaxis()
    left.set_xlabel("core cycles (lines: low to high)")
    left.set_title(f"{p.model} on {p.board.name}, {p.clock_hz / 1e6:g} MHz, emulated")
    if program is not None:
        draw_memory(axes[0][1], program.plan)
    save(figure, path)
