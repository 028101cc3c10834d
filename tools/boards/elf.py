"""A firmware image: what of an ELF file the virtual board loads, names addresses by, and counts."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from ..errors import UserError


@dataclass(frozen=True)
class Segment:
    """Bytes that the programmer writes, at their load address."""

    address: int
    data: bytes

    @property
    def end(self) -> int:
        """First address behind the segment."""
        return self.address + len(self.data)


@dataclass(frozen=True)
class Section:
    """A section that takes room in the address space; `loaded` if its contents are in the file (so in flash)."""

    name: str
    address: int
    size: int
    loaded: bool
    writable: bool


@dataclass(frozen=True)
class Symbol:
    """A function or an object; `source` is the C file's name where the ELF tells it (local symbols), else ''."""

    name: str
    address: int
    size: int
    is_function: bool
    section: str
    source: str


@dataclass(frozen=True)
class Image:
    """An ELF file for an Arm core: segments to load, sections and symbols (empty when stripped)."""

    path: Path
    segments: tuple[Segment, ...]
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]
    labels: dict[str, int]

    @cached_property
    def _functions(self) -> tuple[list[int], list[Symbol]]:
        functions = sorted((s for s in self.symbols if s.is_function), key=lambda s: s.address)
        return [s.address for s in functions], functions

    def function_at(self, address: int) -> Symbol | None:
        """The function that holds `address`; a function without a size (assembly) reaches to the next one."""
        addresses, functions = self._functions
        index = bisect.bisect_right(addresses, address) - 1
        if index < 0:
            return None
        found = functions[index]
        return found if not found.size or address < found.address + found.size else None

    def place(self, address: int) -> str:
        """`address` in words: "0x08000123 in main+0x12", or the address alone where no function is known."""
        function = self.function_at(address & ~1)
        if function is None:
            return f"0x{address:08x}"
        return f"0x{address:08x} in {function.name}+0x{(address & ~1) - function.address:x}"


def load_image(path: Path) -> Image:
    """Read an ELF file.

    Raises UserError if it cannot be read, is no ELF file, or is not a linked 32-bit little-endian Arm
    program.
    """
    try:
        with path.open("rb") as stream:
            return _read(path, ELFFile(stream))
    except OSError as error:
        raise UserError(
            path, f"cannot be read ({error.strerror})", "build the firmware or check the path"
        ) from None
    except (ELFError, ValueError) as error:
        raise UserError(
            path, f"is not an ELF file ({error})", "give the .elf file that the linker wrote"
        ) from None


# Build attributes of the ABI for the Arm architecture (addenda32): what a Cortex-M4F runs. Architectures v7, v6-M,
# v6S-M and v7E-M, profile M, no FPU or VFPv4-D16.
_ARCHITECTURES, _PROFILE, _FPUS = (10, 11, 12, 13), ord("M"), (0, 6)


def _check_core(path: Path, elf: ELFFile) -> None:
    """Raise UserError for a program that says it is for a core that a Cortex-M4F cannot stand in for."""
    section: Any = elf.get_section_by_name(".ARM.attributes")
    if section is None:
        return
    told = {
        attribute.tag: attribute.value
        for vendor in section.iter_subsections()
        for scope in vendor.iter_subsubsections()
        for attribute in scope.iter_attributes()
    }
    for tag, good in (
        ("TAG_CPU_ARCH", _ARCHITECTURES),
        ("TAG_CPU_ARCH_PROFILE", (_PROFILE,)),
        ("TAG_FP_ARCH", _FPUS),
    ):
        if tag in told and told[tag] not in good:
            cpu = told.get("TAG_CPU_NAME", "another core")
            raise UserError(
                path,
                f"is for {cpu} ({tag.removeprefix('TAG_').lower()} {told[tag]}), not for a Cortex-M4F",
                "build it with -mcpu=cortex-m4 -mfpu=fpv4-sp-d16",
            )


def _read(path: Path, elf: ELFFile) -> Image:
    if elf["e_machine"] != "EM_ARM" or elf.elfclass != 32 or not elf.little_endian:
        raise UserError(
            path, f"is for {elf.get_machine_arch()}, not a 32-bit Arm core", "build it for the board"
        )
    if elf["e_type"] != "ET_EXEC":
        raise UserError(path, "is not a linked program", "give the .elf file that the linker wrote")
    _check_core(path, elf)
    segments = tuple(
        Segment(s["p_paddr"], s.data())
        for s in elf.iter_segments()
        if s["p_type"] == "PT_LOAD" and s["p_filesz"]
    )
    sections = tuple(
        Section(s.name, s["sh_addr"], s["sh_size"], s["sh_type"] != "SHT_NOBITS", bool(s["sh_flags"] & 1))
        for s in elf.iter_sections()
        if s["sh_flags"] & 2 and s["sh_size"]
    )
    names = [s.name for s in elf.iter_sections()]
    symbols: list[Symbol] = []
    labels: dict[str, int] = {}
    table = elf.get_section_by_name(".symtab")
    if isinstance(table, SymbolTableSection):
        source = ""
        for symbol in table.iter_symbols():
            kind, index = symbol["st_info"]["type"], symbol["st_shndx"]
            if kind == "STT_FILE":
                source = symbol.name
            elif kind in ("STT_FUNC", "STT_OBJECT") and isinstance(index, int):
                local = symbol["st_info"]["bind"] == "STB_LOCAL"
                is_function = kind == "STT_FUNC"
                address = symbol["st_value"] & ~1 if is_function else symbol["st_value"]
                symbols.append(
                    Symbol(
                        symbol.name,
                        address,
                        symbol["st_size"],
                        is_function,
                        names[index],
                        source if local else "",
                    )
                )
            elif symbol.name and not symbol.name.startswith("$") and index != "SHN_UNDEF":
                labels[symbol.name] = symbol["st_value"]
    return Image(path, segments, sections, tuple(symbols), labels)
