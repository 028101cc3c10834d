"""ROM and RAM of a firmware image, from its sections and symbols alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .elf import Image, load_image

# The generator names every table of constants <prefix>_w_<...> and keeps them in <prefix>_weights.c.
_WEIGHTS = re.compile(r"\w+_w_\w+|.*_weights\.c")


@dataclass(frozen=True)
class Footprint:
    """What an image takes on the chip, in bytes.

    `rom` is all of flash that is programmed; `weights` the tables of the generated model in it; `code` the
    rest of it. `ram_static` is .data, .bss and the like, without the stack; `stack` is what the linker script
    reserves for it. `sections` are (name, bytes) in the order of addresses; `symbols` the (name, bytes,
    section), largest first.
    """

    rom: int
    weights: int
    code: int
    ram_static: int
    stack: int
    sections: tuple[tuple[str, int], ...]
    symbols: tuple[tuple[str, int, str], ...]

    @property
    def ram(self) -> int:
        """Static data and stack."""
        return self.ram_static + self.stack


def footprint(elf: Path | Image) -> Footprint:
    """Sizes of an ELF file (Section 5.4 of the paper reports the same: programmed flash, weights included).

    Raises UserError for a file that is not a firmware image.
    """
    image = elf if isinstance(elf, Image) else load_image(elf)
    rom = sum(len(segment.data) for segment in image.segments)
    weights = sum(
        symbol.size
        for symbol in image.symbols
        if not symbol.is_function and (_WEIGHTS.fullmatch(symbol.name) or _WEIGHTS.fullmatch(symbol.source))
    )
    # A stack section only makes the linker count it; the size is the symbol's either way.
    static = sum(s.size for s in image.sections if (s.writable or not s.loaded) and s.name != ".stack")
    return Footprint(
        rom=rom,
        weights=weights,
        code=rom - weights,
        ram_static=static,
        stack=image.labels.get("_stack_size", 0),
        sections=tuple((s.name, s.size) for s in sorted(image.sections, key=lambda s: s.address)),
        symbols=tuple(
            (s.name, s.size, s.section)
            for s in sorted(image.symbols, key=lambda s: (-s.size, s.name))
            if s.size
        ),
    )
