"""The deepest stack that an image can need, from its call graph; and whether a heap is linked.

Frames are what the compiler says (-fstack-usage, .su files beside the image's objects); for functions of
libraries, which have none, what their instructions take off the stack pointer. Calls are read from the image's
instructions; a call through a pointer may reach every function whose address is stored in flash outside the
vector table. No interrupt is enabled in this project's firmware: the bound starts at the reset handler.
"""

from __future__ import annotations

import bisect
import itertools
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from .cycles import DISASSEMBLER
from .elf import Image, Symbol
from .untyped import arm

_VECTORS = 16
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
        address: _function(symbol, code, functions, told.get(symbol.name))
        for address, symbol in functions.items()
    }
    try:
        size, path = _deepest(entry, graph, frozenset(pointed), {}, ())
    except _Recursion as error:
        names = " -> ".join(functions[address].name for address in error.path)
        return StackBound(None, (), f"recursion: {names}")
    return StackBound(size, tuple(functions[address].name for address in path))


def calls(image: Image) -> dict[Symbol, frozenset[Symbol]]:
    """The functions that each function of an image calls by name; calls through pointers are left out."""
    functions = {symbol.address: symbol for symbol in image.symbols if symbol.is_function and symbol.size}
    code = _Code(image)
    return {
        symbol: frozenset(functions[address] for address in _function(symbol, code, functions, None).calls)
        for symbol in functions.values()
    }


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


def _stack_usage(folder: Path) -> dict[str, int]:
    """Frames by function name; the largest where several files have a function of that name."""
    frames: dict[str, int] = {}
    for path in folder.rglob("*.su"):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            place, size, _ = line.split("\t")
            name = place.rsplit(":", 1)[-1]
            frames[name] = max(frames.get(name, 0), int(size))
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
        start, end = symbol.address, symbol.address + symbol.size
        index = max(bisect.bisect_right(self._marks, (start, True)) - 1, 0)
        cuts = [
            (start, True),
            *((a, is_code) for a, is_code in self._marks[index:] if start < a < end),
            (end, False),
        ]
        found: list[Any] = []
        for (low, is_code), (high, _) in itertools.pairwise(cuts):
            if is_code:
                found += DISASSEMBLER.disasm(self._bytes(low, high), low)
        return found

    def _bytes(self, low: int, high: int) -> bytes:
        for segment in self._segments:
            if segment.address <= low < segment.end:
                return segment.data[low - segment.address : high - segment.address]
        return b""


def _function(symbol: Symbol, code: _Code, functions: dict[int, Symbol], told: int | None) -> _Function:
    calls: set[int] = set()
    indirect = False
    taken = 0
    for insn in code.instructions(symbol):
        name = insn.mnemonic.split(".")[0]
        operands = insn.operands
        registers = [o.reg for o in operands if o.type == arm.ARM_OP_REG]
        target = operands[-1].imm & ~1 if operands and operands[-1].type == arm.ARM_OP_IMM else None
        is_jump = insn.id in (arm.ARM_INS_B, arm.ARM_INS_BL, arm.ARM_INS_BLX, arm.ARM_INS_BX)
        if is_jump and target is not None:
            if target in functions and (target != symbol.address or insn.id == arm.ARM_INS_BL):
                calls.add(target)
        elif is_jump and registers and registers[0] != arm.ARM_REG_LR:
            indirect = True
        elif name in ("push", "vpush"):
            taken += sum(8 if arm.ARM_REG_D0 <= r <= arm.ARM_REG_D31 else 4 for r in registers)
        elif name in ("sub", "subw") and registers[:1] == [arm.ARM_REG_SP] and target is not None:
            taken += operands[-1].imm
        elif name in ("str", "strd") and insn.writeback and operands[-1].mem.base == arm.ARM_REG_SP:
            taken += max(-operands[-1].mem.disp, 0)
        elif name == "stmdb" and registers[:1] == [arm.ARM_REG_SP]:
            taken += 4 * (len(registers) - 1)
    return _Function(taken if told is None else told, frozenset(calls), indirect)
