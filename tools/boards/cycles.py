"""Core cycles of a Cortex-M4, block by block, from a static decode.

Every basic block is decoded once and given a cost; running it adds that cost. The rules, with memories that
answer at once (waiting for flash is not in here):

- 1 cycle an instruction; an IT behind a 16-bit instruction is folded into it and free.
- N more for a load or store of N words (LDM, STM, LDRD, STRD, PUSH, POP, VLDM, VSTM, VPUSH, VPOP; TRM, table 3-1).
- 5 more for SDIV and UDIV (the TRM's 2 to 12 depend on the operands), 13 more for VDIV and VSQRT (TRM, table 7-1).
- 1 more for an integer load whose result the next instruction needs; not if that only stores it as data.
- 2 more for a multiply-accumulate of the FPU, less one for each cycle of integer instructions right behind it: they
  overlap with it. A branch hides both.
- 1 more when the FPU's next instruction needs the result of its one-cycle arithmetic.
- 1 more for a branch taken, of any kind.

TRM: Arm Cortex-M4 Technical Reference Manual r0p1. The load, overlap and branch rules are calibrated: together with
a model of flash misses, which is not in here, they give 14 on-board times of 3-wide convolutions (Novac et al. 2021,
table A4, STM32L452, integer types; 3 of them were used to choose the rules) within 6 %.
"""

from __future__ import annotations

import bisect
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .mmio import Clock
from .untyped import arm, capstone, unicorn

TAKEN_BRANCH = 1

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
_MULTIPLY_ACCUMULATE = {"vfma", "vfms", "vfnma", "vfnms", "vmla", "vmls", "vnmla", "vnmls"}
_FP_ARITHMETIC = {"vadd", "vsub", "vmul", "vnmul", "vabs", "vneg", "vcvt", "vcvtr", "vcvtb", "vcvtt"}
# Instructions that are looked at behind the end of a block: as far as a multiply-accumulate can overlap.
_AHEAD = 3


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

    @property
    def is_fp(self) -> bool:
        """The FPU takes part."""
        return self.name.startswith("v")


class Block:
    """A run of instructions that the emulator executes in one go, with its cost in cycles.

    `count` is how often it was executed; `before[i]` are the cycles in front of the instruction at
    `addresses[i]`.
    """

    __slots__ = ("address", "addresses", "before", "count", "cycles", "end", "size")

    def __init__(self, address: int, size: int, addresses: list[int], costs: list[int]) -> None:
        self.address = address
        self.size = size
        self.end = address + size
        self.cycles = sum(costs)
        self.count = 0
        self.addresses = addresses
        self.before = [sum(costs[:i]) for i in range(len(costs))]


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
    return Instruction(insn.address, insn.size, name, words, loaded, needs, reads, writes, is_branch)


def _is_double(register: int) -> bool:
    return bool(arm.ARM_REG_D0 <= register <= arm.ARM_REG_D31)


def cost(instructions: list[Instruction], i: int) -> int:
    """Cycles of instruction `i`, if it is no branch that is taken; up to three behind it decide its stalls."""
    this = instructions[i]
    if _folded(instructions, i):
        return 0
    cycles = 1 + this.words
    # A folded IT is not there for the pipeline.
    follow = i + 2 if i + 1 < len(instructions) and _folded(instructions, i + 1) else i + 1
    behind = instructions[follow] if follow < len(instructions) else None
    if this.name in ("sdiv", "udiv"):
        cycles += 5
    elif this.name in ("vdiv", "vsqrt"):
        cycles += 13
    elif this.name in _MULTIPLY_ACCUMULATE:
        cycles += 2 - _overlapped(instructions, i)
    elif behind is not None and (
        this.loaded in behind.needs
        or (this.name in _FP_ARITHMETIC and behind.is_fp and this.writes & behind.reads)
    ):
        cycles += 1
    return cycles


def _folded(instructions: list[Instruction], i: int) -> bool:
    return instructions[i].name == "it" and i > 0 and instructions[i - 1].size == 2


def _overlapped(instructions: list[Instruction], i: int) -> int:
    """Cycles, at most 2, that the integer instructions behind instruction `i` run beside it."""
    cycles = 0
    for j in range(i + 1, len(instructions)):
        if cycles >= 2 or instructions[j].is_fp:
            break
        cycles += 2 if instructions[j].is_branch else cost(instructions, j)
    return min(cycles, 2)


class CycleCounter:
    """Counts the cycles of an emulated core on `clock`, by a hook on every block.

    `blocks` maps the address of each block executed to its `Block`. `on_decode(instructions)` sees each new
    block; `on_limit()` is called when the clock's limit is passed and must stop the emulator.
    """

    def __init__(
        self,
        uc: Any,
        clock: Clock,
        on_decode: Callable[[list[Instruction]], None],
        on_limit: Callable[[], None],
    ) -> None:
        self.blocks: dict[int, Block] = {}
        self._uc = uc
        self._clock = clock
        self._on_decode = on_decode
        self._on_limit = on_limit
        self._block = Block(0, 0, [], [])
        uc.hook_add(unicorn.UC_HOOK_BLOCK, self._make_hook())

    def now(self, address: int) -> int:
        """Cycles before the instruction at `address`, in the block that is running."""
        block = self._block
        index = bisect.bisect_left(block.addresses, address)
        rest = block.cycles - block.before[index] if index < len(block.before) else 0
        return self._clock.cycles - rest

    def interrupted(self, address: int) -> None:
        """The emulator has stopped in front of `address`: take back what was counted and not executed.

        Unicorn stops either in front of the block whose hook ran last, or in it, in front of an access.
        """
        block = self._block
        if block.address <= address < block.end:
            self._clock.cycles = self.now(address)
            if address == block.address:
                block.count -= 1
            # What comes next follows without a branch, or has had its branch counted.
            self._block = Block(address, 0, [], [])

    def _make_hook(self) -> Callable[[Any, int, int, object], None]:
        # The innermost loop of the emulator: about 0.6 us a block, most of it the call itself.
        clock, find = self._clock, self.blocks.get

        def on_block(_uc: Any, address: int, size: int, _: object) -> None:
            block = find(address)
            if block is None or block.size != size:
                block = self._decode(address, size)
            cycles = clock.cycles + block.cycles
            if address != self._block.end:
                cycles += TAKEN_BRANCH
            block.count += 1
            self._block = block
            clock.cycles = cycles
            if cycles > clock.limit:
                self._on_limit()

        return on_block

    def _decode(self, address: int, size: int) -> Block:
        instructions = decode(bytes(self._uc.mem_read(address, size)), address)
        own = len(instructions)
        self._on_decode(instructions)
        if own and not instructions[-1].is_branch:
            # The block ends without a branch: what lies behind it follows for certain.
            with contextlib.suppress(unicorn.UcError):
                code = bytes(self._uc.mem_read(address, size + 4 * _AHEAD))
                instructions = decode(code, address)
        costs = [cost(instructions, i) for i in range(own)]
        block = Block(address, size, [i.address for i in instructions[:own]], costs)
        known = self.blocks.get(address)
        if known is not None:
            # The emulator has cut the code anew (after a stop in the middle): the counts stay.
            block.count = known.count
        self.blocks[address] = block
        return block
