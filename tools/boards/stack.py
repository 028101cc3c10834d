"""The deepest stack that an image can need, from its call graph; and whether a heap is linked.

A frame is what a function's instructions take off the stack pointer on the deepest way through them, or the most that
the compiler says of a function of that name (-fstack-usage, .su files beside the image's objects) where it says
something else. Calls are read from the image's
instructions; a call through a pointer may reach every function whose address is stored in flash outside the
vector table. A jump through a register is a call too, where a function leaves with it; one that still has
things on the stack cannot leave (they would be lost): it jumps within itself, as into an unrolled loop.
No interrupt is enabled in this project's firmware: the bound starts at the reset handler.
"""

from __future__ import annotations

import bisect
import itertools
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from .cycles import DISASSEMBLER
from .elf import Image, Symbol
from .untyped import arm

_VECTORS = 16
# No frame is so large: more RAM than any of the boards has.
_DEEPEST = 1 << 20
_HEAP = {
    "malloc",
    "calloc",
    "realloc",
    "free",
    "_sbrk",
    "_malloc_r",
    "_free_r",
    "_sbrk_r",
    "__malloc_sbrk_start",
}


@dataclass(frozen=True)
class StackBound:
    """`bytes` is the bound, None where there is none (`problem` says why); `path` are the calls that need most."""

    bytes: int | None
    path: tuple[str, ...]
    problem: str = ""


@dataclass(frozen=True)
class _Function:
    frame: int
    calls: frozenset[int]
    indirect: bool


def heap_symbols(image: Image) -> tuple[str, ...]:
    """Functions and variables of a heap that are linked."""
    names = {symbol.name for symbol in image.symbols} | set(image.labels)
    return tuple(sorted(names & _HEAP))


def stack_bound(image: Image) -> StackBound:
    """The bound of an image with symbols."""
    functions = {symbol.address: symbol for symbol in image.symbols if symbol.is_function and symbol.size}
    words = _words(image)
    entry = words[1] & ~1 if len(words) > 1 else 0
    if entry not in functions:
        return StackBound(None, (), "the image has no symbols")
    told = _stack_usage(image.path.parent)
    code = _Code(image)
    pointed = {word & ~1 for word in words[_VECTORS:] if word & 1} & functions.keys()
    graph = {
        address: _function(symbol, code, functions, told.get(symbol.name, set()))
        for address, symbol in functions.items()
    }
    try:
        size, path = _deepest(entry, graph, frozenset(pointed), {}, ())
    except _Recursion as error:
        names = " -> ".join(functions[address].name for address in error.path)
        return StackBound(None, (), f"recursion: {names}")
    return StackBound(size, tuple(functions[address].name for address in path))


def calls(image: Image) -> dict[Symbol, frozenset[Symbol]]:
    """The functions that each function of an image calls, by name or through a pointer among its own constants."""
    functions = {symbol.address: symbol for symbol in image.symbols if symbol.is_function and symbol.size}
    code = _Code(image)
    found = {}
    for symbol in functions.values():
        function = _function(symbol, code, functions, set())
        pointers = {word & ~1 for word in code.constants(symbol) if word & 1} if function.indirect else set()
        found[symbol] = frozenset(functions[a] for a in function.calls | pointers & functions.keys())
    return found


class _Recursion(Exception):
    def __init__(self, path: tuple[int, ...]) -> None:
        super().__init__()
        self.path = path


def _deepest(
    address: int,
    graph: dict[int, _Function],
    pointed: frozenset[int],
    known: dict[int, tuple[int, tuple[int, ...]]],
    above: tuple[int, ...],
) -> tuple[int, tuple[int, ...]]:
    """Bytes and calls of the most expensive way down from a function."""
    if address in above:
        raise _Recursion((*above[above.index(address) :], address))
    if address not in known:
        function = graph[address]
        callees = function.calls | (pointed if function.indirect else frozenset())
        ways = [_deepest(callee, graph, pointed, known, (*above, address)) for callee in sorted(callees)]
        size, path = max(ways, default=(0, ()), key=lambda way: way[0])
        known[address] = (function.frame + size, (address, *path))
    return known[address]


def _words(image: Image) -> list[int]:
    """All aligned words of flash; the vector table comes first."""
    words: list[int] = []
    for segment in sorted(image.segments, key=lambda s: s.address):
        words += struct.unpack(f"<{len(segment.data) // 4}I", segment.data[: len(segment.data) & ~3])
    return words


def _stack_usage(folder: Path) -> dict[str, set[int]]:
    """Frames by function name: several files may have a function of that name."""
    frames: dict[str, set[int]] = {}
    for path in folder.rglob("*.su"):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            place, size, _ = line.split("\t")
            name = place.rsplit(":", 1)[-1]
            frames.setdefault(name, set()).add(int(size))
    return frames


class _Code:
    """The image's instructions without the constants between them, which mapping symbols ($t, $d) tell apart."""

    def __init__(self, image: Image) -> None:
        self._segments = image.segments
        marks: list[tuple[int, bool]] = []
        with image.path.open("rb") as stream:
            table = ELFFile(stream).get_section_by_name(".symtab")
            if isinstance(table, SymbolTableSection):
                marks = [
                    (s["st_value"], s.name[1] == "t")
                    for s in table.iter_symbols()
                    if s.name[:2] in ("$t", "$d")
                ]
        self._marks = sorted(marks)

    def instructions(self, symbol: Symbol) -> list[Any]:
        return [
            instruction
            for low, high, is_code in self._parts(symbol)
            if is_code
            for instruction in DISASSEMBLER.disasm(self._bytes(low, high), low)
        ]

    def constants(self, symbol: Symbol) -> list[int]:
        """The words of its literal pools."""
        words: list[int] = []
        for low, high, is_code in self._parts(symbol):
            if not is_code:
                data = self._bytes((low + 3) & ~3, high)
                words += struct.unpack(f"<{len(data) // 4}I", data[: len(data) & ~3])
        return words

    def _parts(self, symbol: Symbol) -> list[tuple[int, int, bool]]:
        """From, to and whether it is code."""
        start, end = symbol.address, symbol.address + symbol.size
        index = max(bisect.bisect_right(self._marks, (start, True)) - 1, 0)
        cuts = [
            (start, True),
            *((a, is_code) for a, is_code in self._marks[index:] if start < a < end),
            (end, False),
        ]
        return [(low, high, is_code) for (low, is_code), (high, _) in itertools.pairwise(cuts)]

    def _bytes(self, low: int, high: int) -> bytes:
        for segment in self._segments:
            if segment.address <= low < segment.end:
                return segment.data[low - segment.address : high - segment.address]
        return b""


def _function(symbol: Symbol, code: _Code, functions: dict[int, Symbol], told: set[int]) -> _Function:
    calls: set[int] = set()
    indirect = False
    instructions = code.instructions(symbol)
    depths = _depths(symbol, instructions)
    for insn in instructions:
        target = _target(insn)
        if target is not None:
            if target in functions and (target != symbol.address or insn.id == arm.ARM_INS_BL):
                calls.add(target)
        elif insn.id == arm.ARM_INS_BLX or (_is_computed(insn) and depths[insn.address] == 0):
            indirect = True
    deepest = max((depths[i.address] + max(_pushed(i), 0) for i in instructions), default=0)
    frame = deepest if deepest in told else max(told | {deepest})
    return _Function(frame, frozenset(calls), indirect)


_BRANCHES = (
    arm.ARM_INS_B,
    arm.ARM_INS_BL,
    arm.ARM_INS_BLX,
    arm.ARM_INS_BX,
    arm.ARM_INS_CBZ,
    arm.ARM_INS_CBNZ,
)


def _target(insn: Any) -> int | None:
    """Where a branch to a known place goes."""
    if insn.id not in _BRANCHES or insn.operands[-1].type != arm.ARM_OP_IMM:
        return None
    return cast(int, insn.operands[-1].imm) & ~1


def _is_computed(insn: Any) -> bool:
    """A jump, not a call, to what a register or a word of a table says; a return is none."""
    first: Any = insn.operands[0] if insn.operands else None
    if insn.id == arm.ARM_INS_BX:
        return first is not None and first.reg != arm.ARM_REG_LR
    if insn.id in (arm.ARM_INS_TBB, arm.ARM_INS_TBH):
        return True
    return (
        insn.id in (arm.ARM_INS_MOV, arm.ARM_INS_ADD, arm.ARM_INS_LDR)
        and first is not None
        and first.type == arm.ARM_OP_REG
        and first.reg == arm.ARM_REG_PC
        and not _pushed(insn)
    )


def _pushed(insn: Any) -> int:
    """Bytes that an instruction puts on the stack; negative: takes from it."""
    name = insn.mnemonic.split(".")[0]
    operands = insn.operands
    registers = [o.reg for o in operands if o.type == arm.ARM_OP_REG]
    size = sum(8 if arm.ARM_REG_D0 <= r <= arm.ARM_REG_D31 else 4 for r in registers)
    on_sp = registers[:1] == [arm.ARM_REG_SP]
    if name.startswith(("push", "vpush")):
        return size
    if name.startswith(("pop", "vpop")):
        return -size
    if name.startswith("stmdb") and on_sp and insn.writeback:
        return size - 4
    if name.startswith("ldm") and on_sp and insn.writeback:
        return 4 - size
    if on_sp and operands[-1].type == arm.ARM_OP_IMM and name.startswith(("sub", "add")):
        return cast(int, operands[-1].imm) * (1 if name.startswith("sub") else -1)
    memory = next((o.mem for o in operands if o.type == arm.ARM_OP_MEM), None)
    if insn.writeback and memory is not None and memory.base == arm.ARM_REG_SP:
        # Behind the address ([sp], #8) capstone has the step as the displacement too.
        return -cast(int, memory.disp)
    return 0


def _depths(symbol: Symbol, instructions: Sequence[Any]) -> dict[int, int]:
    """Bytes that the function has on the stack before each of its instructions, the most of all ways there.

    Where a computed jump goes is not known: what no other way reaches is taken to be as deep as the deepest of them.
    """
    by_address = {insn.address: insn for insn in instructions}
    depths: dict[int, int] = {}
    jumped = 0
    work = [(symbol.address, 0)]
    while True:
        while work:
            address, depth = work.pop()
            insn = by_address.get(address)
            # Deeper than any frame: a loop that pushes, which has no bound; the call graph's sum shows it.
            if insn is None or depth <= depths.get(address, -1) or depth > _DEEPEST:
                continue
            depths[address] = depth
            if _is_computed(insn):
                jumped = max(jumped, depth)
            target, always = _target(insn), insn.cc in (arm.ARM_CC_AL, arm.ARM_CC_INVALID)
            calls = insn.id in (arm.ARM_INS_BL, arm.ARM_INS_BLX)
            if target is not None and not calls:
                work.append((target, depth))
            leaves = _is_computed(insn) or _returns(insn) or insn.id == arm.ARM_INS_B
            if not (leaves and always):
                step = _pushed(insn) if not _returns(insn) else 0
                # A conditional pop may not happen.
                work.append((address + insn.size, max(depth + (step if always else max(step, 0)), 0)))
        left = min(by_address.keys() - depths.keys(), default=None)
        if left is None:
            return depths
        work.append((left, jumped))


def _returns(insn: Any) -> bool:
    if insn.id == arm.ARM_INS_BX:
        return bool(insn.operands[0].reg == arm.ARM_REG_LR)
    return _pushed(insn) < 0 and any(
        o.type == arm.ARM_OP_REG and o.reg == arm.ARM_REG_PC for o in insn.operands
    )
