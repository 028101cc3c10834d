"""What is known about a board: boards/<name>/board.toml read into a frozen `Board`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from ..errors import UserError
from ..toml import load_toml
from .timing import CoreTiming, FlashTiming, RamTiming, Timing

T = TypeVar("T")


@dataclass(frozen=True)
class Memory:
    """A piece of the address space; `alias_of` is the address of the same bytes elsewhere, None if it has its own."""

    name: str
    origin: int
    size: int
    alias_of: int | None = None

    @property
    def end(self) -> int:
        """First address behind the memory."""
        return self.origin + self.size

    def __contains__(self, address: int) -> bool:
        return self.origin <= address < self.end


@dataclass(frozen=True)
class Power:
    """Current while the core computes, in mA at `voltage` V and `clock_hz`, and asleep with RAM and clock kept, in uA.

    `uncertainty`: how far an energy from these may be off, as a fraction.
    """

    current_ma: float
    voltage: float
    clock_hz: int
    uncertainty: float
    source: str
    sleep_ua: float
    sleep_source: str


@dataclass(frozen=True)
class UartPort:
    """The UART that carries the serial protocol: peripheral, pins and speed in baud."""

    peripheral: str
    tx: str
    rx: str
    baud: int


@dataclass(frozen=True)
class Board:
    """A board as its board.toml describes it. Clocks in Hz, addresses and sizes in bytes.

    `app_offset` is the distance of the vector table from the start of flash (a bootloader may come first);
    `emulator` is the module of this package that models the chip; `usb_ids` ("vid:pid") are those of its
    serial port.
    """

    name: str
    title: str
    mcu: str
    core: str
    default_clock_hz: int
    clocks_hz: tuple[int, ...]
    app_offset: int
    ld_script: str
    emulator: str
    memories: tuple[Memory, ...]
    power: Power
    uart: UartPort
    usb_ids: tuple[str, ...]
    timing: Timing
    path: Path

    def memory(self, name: str) -> Memory:
        """The memory of that name ("flash", "ram", ...); UserError if there is none."""
        for memory in self.memories:
            if memory.name == name:
                return memory
        raise UserError(self.path, f"has no [memory.{name}]", "describe it with origin and size")

    @property
    def flash(self) -> Memory:
        """Where programs and weights lie."""
        return self.memory("flash")

    @property
    def ram(self) -> Memory:
        """Where data and the stack lie."""
        return self.memory("ram")

    @property
    def app_origin(self) -> int:
        """Address of the vector table."""
        return self.flash.origin + self.app_offset


def find_boards(boards: Path | None = None) -> Path:
    """The folder with the boards: the argument, else ./boards, else boards/ beside the installed package's tools/.

    Raises UserError when none of them is a folder.
    """
    checkout = Path(__file__).resolve().parents[2] / "boards"
    candidates = [boards] if boards is not None else [Path("boards"), checkout]
    for folder in candidates:
        if folder.is_dir() and any(folder.glob("*/board.toml")):
            return folder
    raise UserError(
        candidates[0], "has no <board>/board.toml", "run inside a checkout or name the boards/ folder"
    )


def board_names(boards: Path | None = None) -> tuple[str, ...]:
    """Names of all described boards, sorted."""
    return tuple(sorted(path.parent.name for path in find_boards(boards).glob("*/board.toml")))


def load_board(name: str, boards: Path | None = None) -> Board:
    """Read boards/<name>/board.toml.

    Raises UserError for an unknown board (naming the nearest one), a missing key or a value of the wrong
    type.
    """
    folder = find_boards(boards)
    known = board_names(folder)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        raise UserError(
            f"board {name!r}", "is unknown", f"did you mean {near[0]!r}? known: {', '.join(known)}"
        )
    path = folder / name / "board.toml"
    table = load_toml(path)
    power, uart = _get(path, table, "power", dict), _get(path, table, "uart", dict)
    board = Board(
        name=_get(path, table, "name", str),
        title=_get(path, table, "title", str),
        mcu=_get(path, table, "mcu", str),
        core=_get(path, table, "core", str),
        default_clock_hz=_get(path, table, "default_clock_hz", int),
        clocks_hz=tuple(_get(path, table, "clocks_hz", list)),
        app_offset=_get(path, table, "app_offset", int),
        ld_script=_get(path, table, "ld_script", str),
        emulator=_get(path, table, "emulator", str),
        memories=tuple(_memory(path, key, value) for key, value in _get(path, table, "memory", dict).items()),
        power=Power(
            current_ma=_number(path, power, "current_ma"),
            voltage=_number(path, power, "voltage"),
            clock_hz=_get(path, power, "clock_hz", int),
            uncertainty=_number(path, power, "uncertainty"),
            source=_get(path, power, "source", str),
            sleep_ua=_number(path, power, "sleep_ua"),
            sleep_source=_get(path, power, "sleep_source", str),
        ),
        uart=UartPort(
            peripheral=_get(path, uart, "peripheral", str),
            tx=_get(path, uart, "tx", str),
            rx=_get(path, uart, "rx", str),
            baud=_get(path, uart, "baud", int),
        ),
        usb_ids=tuple(_get(path, _get(path, table, "vcp", dict), "usb_ids", list)),
        timing=_timing(path, _get(path, table, "timing", dict)),
        path=path,
    )
    if board.name != name:
        raise UserError(path, f"calls itself {board.name!r}", f"name = {name!r}, as its folder is called")
    board.memory("flash")
    board.memory("ram")
    return board


def _memory(path: Path, name: str, table: Any) -> Memory:
    if not isinstance(table, dict):
        raise UserError(path, f"memory.{name} is not a table", f"write [memory.{name}] with origin and size")
    alias = _get(path, table, "alias_of", int) if "alias_of" in table else None
    return Memory(name, _get(path, table, "origin", int), _get(path, table, "size", int), alias)


def _timing(path: Path, table: Mapping[str, Any]) -> Timing:
    """[timing.core], [timing.flash] and, where part of RAM is slower, [timing.ram]; each key is a field."""

    def section(name: str, kind: type[T]) -> T:
        found = _get(path, table, name, dict, "timing.")
        values: dict[str, Any] = {}
        for field in fields(kind):  # type: ignore[arg-type]
            value = _number(path, found, field.name, f"timing.{name}.")
            if value < 0 or (field.type == "int" and value % 1):
                raise UserError(
                    path, f"timing.{name}.{field.name} = {value:g}", "give a number of cycles or bytes"
                )
            values[field.name] = int(value) if field.type == "int" else value
        return kind(**values)

    ram = section("ram", RamTiming) if "ram" in table else None
    return Timing(section("core", CoreTiming), section("flash", FlashTiming), ram)


def _get(path: Path, table: Mapping[str, Any], key: str, kind: type[T], prefix: str = "") -> T:
    """table[key] if it is there and a `kind` (a bool is no int)."""
    if key not in table:
        raise UserError(
            path, f"has no key {prefix + key!r}", "docs/virtual_boards.md lists what a board.toml must hold"
        )
    value = table[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UserError(path, f"{key} = {value!r} is not of type {kind.__name__}", "correct that value")
    return value


def _number(path: Path, table: Mapping[str, Any], key: str, prefix: str = "") -> float:
    value = table.get(key)
    return (
        float(value)
        if isinstance(value, int) and not isinstance(value, bool)
        else _get(path, table, key, float, prefix)
    )
