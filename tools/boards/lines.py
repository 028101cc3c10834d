"""Which line of C an instruction is from, as the image's debug information tells."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from pathlib import Path

from elftools.dwarf.compileunit import CompileUnit
from elftools.dwarf.lineprogram import LineProgram
from elftools.elf.elffile import ELFFile

from .elf import Image


class Lines:
    """`at(address)` gives (file, line), None where the image does not tell."""

    def __init__(self, image: Image) -> None:
        rows: list[tuple[int, str, int]] = []
        low = min((segment.address for segment in image.segments), default=0)
        with image.path.open("rb") as stream:
            elf = ELFFile(stream)
            if elf.has_dwarf_info():
                dwarf = elf.get_dwarf_info()
                for unit in dwarf.iter_CUs():
                    program = dwarf.line_program_for_CU(unit)
                    if program is not None:
                        # What the linker has left out is at address 0.
                        rows += [row for row in _rows(unit, program) if row[0] >= low]
        rows.sort(key=lambda row: row[0])
        self._addresses = [row[0] for row in rows]
        self._places = [row[1:] for row in rows]

    def at(self, address: int) -> tuple[str, int] | None:
        index = bisect.bisect_right(self._addresses, address) - 1
        if index < 0 or not self._places[index][1]:
            return None
        return self._places[index]


def _rows(unit: CompileUnit, program: LineProgram) -> Iterator[tuple[int, str, int]]:
    """(address, file, line); line 0 ends a sequence."""
    header = program.header
    first = 0 if header.version >= 5 else 1  # files are counted from 1 before DWARF 5
    folder = unit.get_top_DIE().attributes.get("DW_AT_comp_dir")
    base = Path(folder.value.decode(errors="replace") if folder is not None else ".")

    def name(index: int) -> str:
        entry = header.file_entry[index - first]
        file = Path(entry.name.decode(errors="replace"))
        number = entry.dir_index - (1 - (header.version >= 5))
        if 0 <= number < len(header.include_directory):
            file = Path(header.include_directory[number].decode(errors="replace")) / file
        return str(base / file)

    for entry in program.get_entries():
        state = entry.state
        if state is not None:
            yield state.address, name(state.file), 0 if state.end_sequence else state.line
