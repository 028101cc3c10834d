"""Core cycles of Cortex-M4 instructions, from a static decode: the rules, each alone.

The rules (constants in board.toml, [timing.core], with their sources; waiting for memories is not in here but in
native.py):

- 1 cycle an instruction; an IT behind a 16-bit instruction is folded into it and free.
- N more for a load or store of N words (LDM, STM, LDRD, STRD, PUSH, POP, VLDM, VSTM, VPUSH, VPOP; TRM, table 3-1).
- `divide` more for SDIV and UDIV (the TRM's 2 to 12 depend on the operands), `fp_divide` more for VDIV and VSQRT (TRM,
  table 7-1).
- `load_use` more for an integer load whose result the next instruction needs; not if that only stores it as data.
- `multiply_accumulate` more for a multiply-accumulate of the FPU, less one for each cycle of integer instructions right
  behind it: they overlap with it. A branch hides all.
- `fp_use` more when the FPU's next instruction needs the result of its one-cycle arithmetic.
- `taken_branch` more for a branch taken, of any kind.

That is `interlock`, the variant that a board's cycle counter shows. Two others bracket it: `onecycle` has no load-use
stall; `trm` reads the manual literally: a load costs 2 unless a load or store follows, a multiply-accumulate hides
behind nothing, and a branch to a 32-bit instruction that is not aligned to 4 costs one more.

TRM: Arm Cortex-M4 Technical Reference Manual r0p1.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from .timing import CoreTiming
from .untyped import arm, capstone

_BLOCK_TRANSFERS = {
    "ldm",
    "ldmdb",
    "stm",
    "stmdb",
    "push",
    "pop",
    "vldmia",
    "vldmdb",
    "vstmia",
    "vstmdb",
    "vpush",
    "vpop",
}
_INT_LOADS = {"ldr", "ldrb", "ldrh", "ldrsb", "ldrsh"}
# Their destination is also a source, which capstone 5 does not say.
_ACCUMULATE_64 = ("smlal", "umlal", "umaal", "smlsld")
_STORES = {"str", "strb", "strh", "strd", "vstr"}
_LOAD_NAMES, _STORE_NAMES = (
    ("ldr", "ldm", "pop", "vldr", "vldm", "vpop"),
    ("str", "stm", "push", "vstr", "vstm", "vpush"),
)
_MULTIPLY_ACCUMULATE = {"vfma", "vfms", "vfnma", "vfnms", "vmla", "vmls", "vnmla", "vnmls"}
_FP_ARITHMETIC = {"vadd", "vsub", "vmul", "vnmul", "vabs", "vneg", "vcvt", "vcvtr", "vcvtb", "vcvtt"}
_MEMORY = _INT_LOADS | _STORES | _BLOCK_TRANSFERS | {"ldrd", "vldr"}


class Variant(enum.Enum):
    """Readings of the rules: the expected one between a lower and an upper bound."""

    ONECYCLE = "onecycle"
    INTERLOCK = "interlock"
    TRM = "trm"


@dataclass(frozen=True)
class Instruction:
    """What the rules ask of an instruction; registers are capstone's numbers.

    `words` are moved to or from memory by a multiple load or store, `loaded` is the register of a single
    integer load; `needs` must be ready when the instruction starts (the data of a store need not), `reads`
    while it runs.
    """

    address: int
    size: int
    name: str
    words: int
    loaded: int
    needs: frozenset[int]
    reads: frozenset[int]
    writes: frozenset[int]
    is_branch: bool
    is_conditional: bool = False

    @property
    def is_fp(self) -> bool:
        """The FPU takes part."""
        return self.name.startswith("v")

    @property
    def kind(self) -> str:
        """ "branches", "loads", "stores" or "arithmetic"."""
        if self.is_branch:
            return "branches"
        if self.name.startswith(_LOAD_NAMES):
            return "loads"
        return "stores" if self.name.startswith(_STORE_NAMES) else "arithmetic"


def _make_disassembler() -> Any:
    disassembler = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS)
    disassembler.detail = True
    return disassembler


DISASSEMBLER = _make_disassembler()
_CONDITIONS = {
    getattr(arm, f"ARM_CC_{c.upper()}"): c
    for c in ("eq", "ne", "hs", "lo", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le")
}


def decode(code: bytes, address: int) -> list[Instruction]:
    """Thumb-2 instructions of `code`, which lies at `address`, up to the first bytes that are none."""
    return [_instruction(i) for i in DISASSEMBLER.disasm(code, address)]


def _instruction(insn: Any) -> Instruction:
    # "ldrheq.w" and "vfma.f32" are ldrh and vfma; "itte" is it.
    name = insn.mnemonic.split(".")[0]
    if insn.id == arm.ARM_INS_IT:
        name = "it"
    elif insn.cc in _CONDITIONS:
        name = name.removesuffix(_CONDITIONS[insn.cc])
    read, written = insn.regs_access()
    reads, writes = frozenset(read), frozenset(written)
    registers = [o.reg for o in insn.operands if o.type == arm.ARM_OP_REG]
    if name.startswith(_ACCUMULATE_64):
        reads |= set(registers[:2])
    words = 0
    if name in _BLOCK_TRANSFERS:
        listed = registers if name in ("push", "pop", "vpush", "vpop") else registers[1:]
        words = len(listed) + sum(map(_is_double, listed))
    elif name in ("ldrd", "strd") or (name in ("vldr", "vstr") and _is_double(registers[0])):
        words = 2
    needs = reads
    if name in _STORES:
        memory = [o.mem for o in insn.operands if o.type == arm.ARM_OP_MEM]
        needs = reads & {r for m in memory for r in (m.base, m.index)}
    is_branch = name in ("b", "bl", "blx", "bx", "cbz", "cbnz", "tbb", "tbh") or arm.ARM_REG_PC in writes
    loaded = registers[0] if name in _INT_LOADS and not is_branch else 0
    return Instruction(
        insn.address, insn.size, name, words, loaded, needs, reads, writes, is_branch, insn.cc in _CONDITIONS
    )


def _is_double(register: int) -> bool:
    return bool(arm.ARM_REG_D0 <= register <= arm.ARM_REG_D31)


def cost(
    instructions: list[Instruction], i: int, core: CoreTiming, variant: Variant = Variant.INTERLOCK
) -> int:
    """Cycles of instruction `i`, if it is no branch that is taken; up to three behind it decide its stalls."""
    this = instructions[i]
    if _folded(instructions, i):
        return 0
    return 1 + this.words + stall(instructions, i, core, variant)


def stall(instructions: list[Instruction], i: int, core: CoreTiming, variant: Variant) -> int:
    """Cycles that instruction `i` takes beyond its issue and the words that it moves."""
    this = instructions[i]
    # A folded IT is not there for the pipeline.
    follow = i + 2 if i + 1 < len(instructions) and _folded(instructions, i + 1) else i + 1
    behind = instructions[follow] if follow < len(instructions) else None
    if this.name in ("sdiv", "udiv"):
        return core.divide
    if this.name in ("vdiv", "vsqrt"):
        return core.fp_divide
    if this.name in _MULTIPLY_ACCUMULATE:
        if variant is Variant.TRM:
            return core.multiply_accumulate
        return core.multiply_accumulate - _overlapped(instructions, i, core, variant)
    if this.loaded:
        if variant is Variant.TRM:
            return int(behind is None or behind.name not in _MEMORY)
        used = behind is not None and this.loaded in behind.needs
        return core.load_use if used and variant is Variant.INTERLOCK else 0
    if this.name in _FP_ARITHMETIC and behind is not None and behind.is_fp and this.writes & behind.reads:
        return core.fp_use
    return 0


def is_far_target(first: Instruction) -> bool:
    """A 32-bit instruction that does not lie on a multiple of 4: `trm` charges a cycle for branching to it."""
    return first.size == 4 and first.address % 4 == 2


def _folded(instructions: list[Instruction], i: int) -> bool:
    return instructions[i].name == "it" and i > 0 and instructions[i - 1].size == 2


def _overlapped(instructions: list[Instruction], i: int, core: CoreTiming, variant: Variant) -> int:
    """Cycles that the integer instructions behind multiply-accumulate `i` run beside it."""
    cycles, most = 0, core.multiply_accumulate
    for j in range(i + 1, len(instructions)):
        if cycles >= most or instructions[j].is_fp:
            break
        cycles += most if instructions[j].is_branch else cost(instructions, j, core, variant)
    return min(cycles, most)
