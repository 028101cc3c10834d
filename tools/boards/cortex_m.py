"""The system registers of a Cortex-M4 that firmware touches: cycle counter, system control, fault status.

Arm ARMv7-M Architecture Reference Manual (DDI 0403), B3.2 and C1. No interrupt is modelled: NVIC and SysTick
are not here.
"""

from __future__ import annotations

from collections.abc import Callable

from .mmio import Peripheral, Register

# Configurable fault status (B3.2.15), hard fault status (B3.2.16).
CFSR_IACCVIOL = 1 << 0
CFSR_IBUSERR = 1 << 8
CFSR_PRECISERR = 1 << 9
CFSR_BFARVALID = 1 << 15
CFSR_UNDEFINSTR = 1 << 16
CFSR_INVSTATE = 1 << 17
CFSR_UNALIGNED = 1 << 24
HFSR_FORCED = 1 << 30
HFSR_DEBUGEVT = 1 << 31

_TRCENA = 1 << 24
_CYCCNTENA = 1 << 0
_VECTKEY = 0x05FA
_SYSRESETREQ = 1 << 2
_CP10_CP11 = 0xF << 20

NAMES = [
    ("ITM", 0xE0000000, 0x1000),
    ("FPB", 0xE0002000, 0x1000),
    ("SysTick", 0xE000E010, 0x10),
    ("NVIC", 0xE000E100, 0x400),
    ("MPU", 0xE000ED90, 0x2C),
    ("CoreDebug", 0xE000EDF0, 0x10),
    ("TPIU", 0xE0040000, 0x1000),
]


class CortexM4:
    """`now()` gives the core's cycles; `on_reset` is called when the firmware asks for a system reset,
    `on_cycles_read` with the value when it reads DWT_CYCCNT.
    """

    def __init__(
        self, now: Callable[[], int], on_reset: Callable[[], None], on_cycles_read: Callable[[int], None]
    ) -> None:
        self._now = now
        self._on_cycles_read = on_cycles_read
        self._on_reset = on_reset
        self._started = 0
        self.vtor = Register("VTOR", writable=0xFFFFFF80)
        self.cfsr = self._status("CFSR")
        self.hfsr = self._status("HFSR")
        self.mmfar = Register("MMFAR", writable=0xFFFFFFFF)
        self.bfar = Register("BFAR", writable=0xFFFFFFFF)
        self._cpacr = Register("CPACR", writable=_CP10_CP11)
        self._demcr = Register("DEMCR", writable=_TRCENA)
        # NUMCOMP: four comparators.
        self._dwt_ctrl = Register(
            "CTRL", reset=4 << 28, writable=_CYCCNTENA, ignored=4 << 28, write=self._write_ctrl
        )
        self._cyccnt = Register(
            "CYCCNT", writable=0xFFFFFFFF, read=self._read_cyccnt, write=self._write_cyccnt
        )
        self.peripherals = [
            Peripheral(
                "DWT",
                0xE0001000,
                0x1000,
                {0x000: self._dwt_ctrl, 0x004: self._cyccnt, 0xFB0: Register("LAR", ignored=0xFFFFFFFF)},
                unclocked=lambda: None if self._demcr.value & _TRCENA else "DEMCR.TRCENA is 0",
            ),
            Peripheral(
                "SCB",
                0xE000ED00,
                0x90,
                {
                    0x00: Register("CPUID", reset=0x410FC241),
                    0x08: self.vtor,
                    0x0C: Register("AIRCR", reset=0xFA050000, ignored=0xFFFFFFFF, write=self._write_aircr),
                    0x14: Register("CCR", reset=0x200, ignored=0x200),
                    0x18: Register("SHPR1", writable=0x00FFFFFF),
                    0x1C: Register("SHPR2", writable=0xFF000000),
                    0x20: Register("SHPR3", writable=0xFFFF0000),
                    0x24: Register("SHCSR"),
                    0x28: self.cfsr,
                    0x2C: self.hfsr,
                    0x30: self._status("DFSR"),
                    0x34: self.mmfar,
                    0x38: self.bfar,
                    0x88: self._cpacr,
                },
            ),
            Peripheral("CoreDebug", 0xE000EDF0, 0x10, {0x0C: self._demcr}),
            Peripheral(
                "FPU", 0xE000EF30, 0x18, {0x04: Register("FPCCR", reset=0xC0000000, ignored=0xC0000000)}
            ),
        ]

    @property
    def fpu_enabled(self) -> bool:
        """The firmware has full access to the FPU."""
        return self._cpacr.value & _CP10_CP11 == _CP10_CP11

    def fault(self, status: int, address: int | None = None) -> None:
        """Record a fault that becomes a hard fault: CFSR bits, and the address for BFAR."""
        self.cfsr.value |= status
        self.hfsr.value |= HFSR_FORCED
        if address is not None:
            self.cfsr.value |= CFSR_BFARVALID
            self.bfar.value = address

    @staticmethod
    def _status(name: str) -> Register:
        """A register whose bits are cleared by writing 1."""
        register = Register(name, ignored=0xFFFFFFFF)

        def clear(old: int, new: int) -> None:
            register.value = old & ~new

        register.write = clear
        return register

    def _write_aircr(self, _old: int, new: int) -> None:
        # Without the key a write has no effect.
        if new >> 16 == _VECTKEY and new & _SYSRESETREQ:
            self._on_reset()

    @property
    def _counting(self) -> bool:
        return bool(self._dwt_ctrl.value & _CYCCNTENA)

    def _write_ctrl(self, old: int, _new: int) -> None:
        was, now = bool(old & _CYCCNTENA), self._now()
        if self._counting and not was:
            self._started = now - self._cyccnt.value
        elif was and not self._counting:
            self._cyccnt.value = now - self._started & 0xFFFFFFFF

    def _read_cyccnt(self) -> int:
        value = self._now() - self._started & 0xFFFFFFFF if self._counting else self._cyccnt.value
        self._on_cycles_read(value)
        return value

    def _write_cyccnt(self, _old: int, new: int) -> None:
        self._started = self._now() - new
