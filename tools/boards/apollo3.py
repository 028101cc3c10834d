"""Ambiq Apollo3 Blue: clocks, burst mode, cache control, power, pads and UART0, as far as board code uses them.

Facts: Apollo3 Blue datasheet, register names are the datasheet's; UART0 is an Arm PL011 (DDI 0183) with a
clock selector.
"""

from __future__ import annotations

from collections.abc import Callable

from .board import Board
from .mmio import AccessError, Clock, Peripheral, Register
from .timing import CacheShape, FlashPath
from .uart import SerialLine, UartCore

_ALL = 0xFFFFFFFF
_HFRC_HZ, _BURST_HZ = 48_000_000, 96_000_000
_CLKKEY, _PADKEY = 0x47, 0x73
_FIFO_BYTES = 32
# UART0_CR.CLKSEL: 24, 12, 6, 3 MHz.
_UART_HZ = {1: 24_000_000, 2: 12_000_000, 3: 6_000_000, 4: 3_000_000}
_UARTEN, _CLKEN, _TXE, _RXE = 1 << 0, 1 << 3, 1 << 8, 1 << 9
_FEN = 1 << 4
_FR_BUSY, _FR_RXFE, _FR_TXFF, _FR_RXFF, _FR_TXFE = 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 7
_DR_OVERRUN = 1 << 11
_DEVPWREN_UART0, _HCPA = 1 << 7, 1 << 2
_CACHE_ON, _ICACHE_ON, _DCACHE_ON = 1 << 0, 1 << 8, 1 << 9
# CACHECFG.CONFIG: (lines, ways).
_CACHES = {4: (512, 1), 5: (1024, 2), 8: (1024, 1)}
_BURSTREQ, _BURSTACK, _BURSTAVAIL = 1 << 4, 1 << 5, 1 << 6


def make_chip(board: Board, clock: Clock, line: SerialLine, on_idle: Callable[[], None]) -> Apollo3:
    """The chip of `board`, whose UART0 is at the board's end of `line`."""
    return Apollo3(board, clock, line, on_idle)


class Apollo3:
    """The peripherals and what connects them: clocks, power, keys and the pads."""

    def __init__(self, board: Board, clock: Clock, line: SerialLine, on_idle: Callable[[], None]) -> None:
        self._board = board
        self._clock = clock
        self._uart = UartCore("UART0", line, clock, on_idle)
        self.names = _NAMES

        self._clkkey = Register("CLKKEY", writable=_ALL)
        self._cctrl = Register("CCTRL", reset=1, writable=1, write=self._write_cctrl)
        self._freqctrl = Register(
            "FREQCTRL", writable=1, ignored=6, read=self._read_freqctrl, write=self._write_freqctrl
        )
        self._padkey = Register("PADKEY", writable=_ALL)
        self._padregm = Register("PADREGM", reset=0x1818, writable=0x3F3F, write=self._write_padregm)
        self._feature = Register("FEATUREENABLE", writable=_BURSTREQ, ignored=0x6F, read=self._read_feature)
        self._devpwren = Register("DEVPWREN", writable=0x3FFF)
        # Enable, replacement, non-cacheable regions, configuration, instruction and data cache, clock gates, monitor.
        self._cachecfg = Register("CACHECFG", reset=0x50, writable=0x01100FFF, write=self._write_cachecfg)

        self._ibrd = Register("IBRD", writable=0xFFFF, write=self._write_divisor)
        self._fbrd = Register("FBRD", writable=0x3F, write=self._write_divisor)
        self._lcrh = Register("LCRH", writable=0x7F, write=self._write_lcrh)
        self._cr = Register(
            "CR", reset=0x300, writable=_UARTEN | _CLKEN | 0x70 | _TXE | _RXE, write=self._write_cr
        )
        uart = {
            0x00: Register("DR", ignored=_ALL, read=self._read_dr, write=self._write_dr),
            0x04: Register("RSR", ignored=_ALL, read=self._read_rsr, write=self._write_rsr),
            0x18: Register("FR", reset=0x90, read=self._read_fr),
            0x24: self._ibrd,
            0x28: self._fbrd,
            0x2C: self._lcrh,
            0x30: self._cr,
            0x38: Register("IER"),
            0x44: Register("IEC", ignored=_ALL),
        }

        self.peripherals = [
            Peripheral(
                "CLKGEN", 0x40004000, 0x400, {0x14: self._clkkey, 0x18: self._cctrl, 0x34: self._freqctrl}
            ),
            Peripheral("GPIO", 0x40010000, 0x400, {0x30: self._padregm, 0x60: self._padkey}),
            Peripheral("CACHECTRL", 0x40018000, 0x400, {0x00: self._cachecfg}),
            Peripheral("UART0", 0x4001C000, 0x1000, uart, self._uart_off),
            Peripheral("MCUCTRL", 0x40020000, 0x1000, {0x14: Register("SKU", reset=1), 0x18: self._feature}),
            Peripheral(
                "PWRCTRL",
                0x40021000,
                0x400,
                {0x08: self._devpwren, 0x18: Register("DEVPWRSTATUS", read=self._read_devpwrstatus)},
            ),
        ]

    def reset(self) -> None:
        """HFRC halved: 24 MHz."""
        self._uart.reset()
        self._divisor = 0.0
        self._set_clock()
        self._set_flash()

    # ---- CLKGEN, MCUCTRL ----

    def _set_clock(self) -> None:
        self._clock.hz = _BURST_HZ if self._bursting else _HFRC_HZ >> (self._cctrl.value & 1)
        if self._divisor and self._cr.value & _UARTEN:
            self._set_speed()

    @property
    def _bursting(self) -> bool:
        return bool(self._freqctrl.value & 1) and not self._cctrl.value & 1

    def _write_cctrl(self, _old: int, _new: int) -> None:
        if self._clkkey.value != _CLKKEY:
            raise AccessError(
                "CLKGEN_CCTRL is locked: the write has no effect", "write 0x47 to CLKGEN_CLKKEY first"
            )
        self._set_clock()

    def _read_freqctrl(self) -> int:
        # BURSTACK and BURSTSTATUS follow the request at once.
        return 7 if self._bursting else self._freqctrl.value & 1

    def _write_freqctrl(self, _old: int, new: int) -> None:
        if new & 1 and not self._feature.value & _BURSTREQ:
            raise AccessError(
                "burst is requested but not enabled", "set MCUCTRL_FEATUREENABLE.BURSTREQ first"
            )
        self._set_clock()

    def _read_feature(self) -> int:
        asked = self._feature.value & _BURSTREQ
        return asked | (_BURSTACK | _BURSTAVAIL if asked else 0)

    # ---- CACHECTRL ----

    def _write_cachecfg(self, _old: int, new: int) -> None:
        if new & _CACHE_ON and new >> 4 & 0xF not in _CACHES:
            raise AccessError(f"CACHECTRL_CACHECFG.CONFIG {new >> 4 & 0xF} does not exist", "4, 5 or 8")
        self._set_flash()

    def _set_flash(self) -> None:
        flash, config = self._board.timing.flash, self._cachecfg.value
        cache = None
        if config & _CACHE_ON:
            lines, ways = _CACHES[config >> 4 & 0xF]
            cache = CacheShape(lines, ways, flash.line_bytes, flash.piece_bytes)
        instructions = cache if config & _ICACHE_ON else None
        data = cache if config & _DCACHE_ON else None
        self._clock.set_flash(
            FlashPath(
                piece_bytes=flash.piece_bytes,
                fetch_wait=flash.wait_states,
                data_wait=flash.wait_states * flash.data_wait_share,
                instruction_cache=instructions,
                data_cache=data,
                shared=instructions is not None and data is not None,
            )
        )

    # ---- GPIO, PWRCTRL ----

    def _write_padregm(self, _old: int, _new: int) -> None:
        if self._padkey.value != _PADKEY:
            raise AccessError(
                "GPIO_PADREGM is locked: the write has no effect", "write 0x73 to GPIO_PADKEY first"
            )

    def _check_pads(self, control: int) -> None:
        pads = self._padregm.value
        if control & _TXE and pads >> 3 & 7 != 0:
            raise AccessError("UART0 is used but pad 48 is not its TX", "function 0 in GPIO_PADREGM")
        if control & _RXE and (pads >> 11 & 7 != 0 or not pads >> 9 & 1):
            raise AccessError(
                "UART0 is used but pad 49 is not its RX", "function 0 and input enable in GPIO_PADREGM"
            )

    def _read_devpwrstatus(self) -> int:
        return _HCPA if self._devpwren.value & _DEVPWREN_UART0 else 0

    def _uart_off(self) -> str | None:
        return (
            None
            if self._devpwren.value & _DEVPWREN_UART0
            else "it has no power (PWRCTRL_DEVPWREN bit 7 is 0)"
        )

    # ---- UART0 ----

    def _set_speed(self) -> None:
        # Sixteen samples a bit; the clock does not change in burst mode.
        hz = _UART_HZ[self._cr.value >> 4 & 7]
        self._uart.set_speed(hz, 16 * self._divisor, self._board.uart.baud)

    def _write_divisor(self, _old: int, _new: int) -> None:
        if not self._cr.value & _CLKEN:
            raise AccessError("UART0's divisors are written without its clock", "set CLKEN in UART0_CR first")

    def _write_lcrh(self, _old: int, new: int) -> None:
        if new & 0x60 != 0x60 or new & 0x0F:
            raise AccessError(
                "UART0 is set to another frame than 8 data bits, no parity, 1 stop bit", "WLEN = 3"
            )
        # Writing LCRH is what takes the divisors over (DDI 0183, 3.3.7).
        self._divisor = self._ibrd.value + self._fbrd.value / 64
        self._uart.depth = self._uart.tx_depth = _FIFO_BYTES if new & _FEN else 1

    def _write_cr(self, old: int, new: int) -> None:
        if not new & _UARTEN:
            return
        if not new & _CLKEN or new >> 4 & 7 not in _UART_HZ:
            raise AccessError("UART0 is enabled without a clock", "CLKEN and CLKSEL in UART0_CR")
        if not old & _UARTEN:
            self._uart.reset()
        self._set_speed()
        self._check_pads(new)

    def _read_fr(self) -> int:
        uart = self._uart
        if self._cr.value & _UARTEN:
            uart.poll()
        value = 0 if uart.received else _FR_RXFE
        if len(uart.received) >= uart.depth:
            value |= _FR_RXFF
        if not uart.room:
            value |= _FR_TXFF
        return value | (_FR_BUSY if uart.sending else _FR_TXFE)

    def _read_dr(self) -> int:
        # The byte that came after an overrun carries the mark; the model marks the next one read.
        overrun = _DR_OVERRUN if self._uart.overrun else 0
        return self._uart.read() | overrun

    def _write_dr(self, _old: int, new: int) -> None:
        if not (self._cr.value & _UARTEN and self._cr.value & _TXE):
            raise AccessError(
                "UART0 is not enabled for sending: the byte would be lost", "set UARTEN and TXE"
            )
        self._uart.write(new & 0xFF)

    def _read_rsr(self) -> int:
        return 8 if self._uart.overrun else 0

    def _write_rsr(self, _old: int, _new: int) -> None:
        self._uart.overrun = False


# Further blocks, to name what an image touches without a model.
_NAMES = [
    ("RSTGEN", 0x40000000, 0x400),
    ("RTC", 0x40004200, 0x100),
    ("VCOMP", 0x4000C000, 0x400),
    ("CTIMER", 0x40008000, 0x400),
    ("UART1", 0x4001D000, 0x1000),
    ("WDT", 0x40024000, 0x400),
    ("IOMSTR0", 0x50004000, 0x1000),
    ("IOMSTR1", 0x50005000, 0x1000),
    ("IOMSTR2", 0x50006000, 0x1000),
    ("IOMSTR3", 0x50007000, 0x1000),
    ("IOMSTR4", 0x50008000, 0x1000),
    ("IOMSTR5", 0x50009000, 0x1000),
    ("BLEIF", 0x5000C000, 0x1000),
    ("ADC", 0x50010000, 0x400),
    ("PDM", 0x50011000, 0x400),
    ("MSPI", 0x50014000, 0x400),
]
