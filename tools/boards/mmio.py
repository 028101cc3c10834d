"""Registers, peripherals and the bus between them and the core: what every chip model is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..errors import UserError
from .timing import PARTS, FlashPath


class BoardFault(UserError):
    """The firmware did what the board does not allow or what its model does not know: where, what, how to go on."""


class LimitReached(BoardFault):
    """The firmware did not stop within the time that it was given: it loops, perhaps."""


class AccessError(Exception):
    """An access that a peripheral refuses; the virtual board adds the place and makes it a BoardFault."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(what)
        self.what = what
        self.mend = mend


class Clock:
    """Board time: core cycles since power-on, the core clock in Hz, and the cycle at which a run must end.

    `cycles` is counted by the cycle counter (if there is one) and moved on by whoever waits (see uart.py).
    `flash` is how the core reaches flash; the chip's model sets it, and `on_flash` hears of it.
    """

    def __init__(self) -> None:
        self.hz = 0
        self.flash = FlashPath()
        self.on_flash: Callable[[FlashPath], None] = lambda path: None
        self._time: list[int] | memoryview = [0, 1 << 62]

    def share(self, time: memoryview) -> None:
        """From now on keep time in `time`, 64-bit words: cycles and limit, both in parts (timing.PARTS)."""
        time[0], time[1] = self._time
        self._time = time

    @property
    def cycles(self) -> int:
        """Core cycles since power-on."""
        return self._time[0] // PARTS

    @cycles.setter
    def cycles(self, cycles: int) -> None:
        self._time[0] = cycles * PARTS

    @property
    def limit(self) -> int:
        """The cycle at which a run must end."""
        return self._time[1] // PARTS

    @limit.setter
    def limit(self, cycles: int) -> None:
        self._time[1] = min(cycles * PARTS, 1 << 62)

    def skip_to(self, cycles: int) -> None:
        """Let time pass until `cycles`, if that is still to come."""
        if cycles > self.cycles:
            self.cycles = cycles

    def set_flash(self, path: FlashPath, empty: bool = False) -> None:
        """The image may have changed wait states or caches; `empty`: it has emptied the caches."""
        if path != self.flash or empty:
            self.flash = path
            self.on_flash(path)


class Register:
    """A 32-bit register.

    `writable` are the bits that a write changes, `ignored` those it may hold anything in without effect
    (read-only status); a write that changes any other bit is refused, because the model does not know what it
    would do. `read` gives the value instead of the stored one; `write` is called with the old and the new
    value.
    """

    __slots__ = ("ignored", "name", "read", "reset", "value", "writable", "write")

    def __init__(
        self,
        name: str,
        reset: int = 0,
        writable: int = 0,
        ignored: int = 0,
        read: Callable[[], int] | None = None,
        write: Callable[[int, int], None] | None = None,
    ) -> None:
        self.name = name
        self.reset = reset
        self.value = reset
        self.writable = writable
        self.ignored = ignored
        self.read = read
        self.write = write


class Peripheral:
    """A block of registers at `base`; `size` bytes belong to it, whether modelled or not.

    `unclocked` says why the registers do not answer (a clock gate or power domain that is off), None when
    they do; a read then is refused as well, unless the chip reads zero.
    """

    def __init__(
        self,
        name: str,
        base: int,
        size: int,
        registers: Mapping[int, Register],
        unclocked: Callable[[], str | None] | None = None,
        unclocked_reads_zero: bool = False,
    ) -> None:
        self.name = name
        self.base = base
        self.size = size
        self.registers = dict(registers)
        self.unclocked = unclocked
        self.unclocked_reads_zero = unclocked_reads_zero

    def reset(self) -> None:
        """All registers to their reset values."""
        for register in self.registers.values():
            register.value = register.reset


class Bus:
    """Finds the register behind an address and does the access.

    `names` are (name, base, size) of the chip's further blocks, to say what an address that is not modelled
    belongs to.
    """

    def __init__(self, peripherals: list[Peripheral], names: list[tuple[str, int, int]]) -> None:
        self.peripherals = peripherals
        self._names = names
        self._registers: dict[int, tuple[Peripheral, Register]] = {
            p.base + offset: (p, register) for p in peripherals for offset, register in p.registers.items()
        }

    def reset(self) -> None:
        """Every peripheral to its state after reset."""
        for peripheral in self.peripherals:
            peripheral.reset()

    def describe(self, address: int) -> str:
        """`address` by name: "RCC_CR (0x40021000)", "RCC+0x4 (0x40021004)", or the number alone."""
        found = self._registers.get(address & ~3)
        if found:
            return f"{found[0].name}_{found[1].name} (0x{address:08x})"
        for name, base, size in [(p.name, p.base, p.size) for p in self.peripherals] + self._names:
            if base <= address < base + size:
                return f"{name}+0x{address - base:x} (0x{address:08x})"
        return f"0x{address:08x}"

    def _find(self, address: int, size: int) -> tuple[Peripheral, Register]:
        found = self._registers.get(address & ~3)
        if found is None:
            raise AccessError(
                "the model of this board has no such register", "model it in tools/boards/, or do without"
            )
        if address % size:
            raise AccessError("the access is not aligned", "peripherals take aligned accesses only")
        return found

    @staticmethod
    def _off(peripheral: Peripheral) -> str | None:
        return None if peripheral.unclocked is None else peripheral.unclocked()

    def read(self, address: int, size: int) -> int:
        """A load of `size` bytes; raises AccessError."""
        peripheral, register = self._find(address, size)
        reason = self._off(peripheral)
        if reason is not None:
            if peripheral.unclocked_reads_zero:
                return 0
            raise AccessError(f"{peripheral.name} does not answer: {reason}", "switch it on first")
        value = register.value if register.read is None else register.read()
        return value if size == 4 else value >> 8 * (address & 3) & (1 << 8 * size) - 1

    def write(self, address: int, size: int, value: int) -> None:
        """A store of `size` bytes; raises AccessError."""
        peripheral, register = self._find(address, size)
        reason = self._off(peripheral)
        if reason is not None:
            raise AccessError(f"{peripheral.name} does not answer: {reason}", "switch it on first")
        old = register.value
        if size != 4:
            shift = 8 * (address & 3)
            mask = (1 << 8 * size) - 1 << shift
            value = old & ~mask | value << shift & mask
        unknown = (value ^ old) & ~(register.writable | register.ignored) & 0xFFFFFFFF
        if unknown:
            raise AccessError(
                f"a write of 0x{value:08x} changes bits 0x{unknown:08x} of {peripheral.name}_{register.name}, "
                f"which the model of this board does not have (it holds 0x{old:08x})",
                "check the value, or model these bits in tools/boards/",
            )
        register.value = old & ~register.writable | value & register.writable
        if register.write is not None:
            register.write(old, value)
