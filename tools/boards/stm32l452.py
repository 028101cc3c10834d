"""STM32L452: clock tree, flash wait states, GPIOA and USART2, as far as board code uses them.

Facts: RM0394 (reference manual of the STM32L41x to L46x); chapter and register names are the manual's.
"""

from __future__ import annotations

from collections.abc import Callable

from .board import Board
from .mmio import AccessError, Clock, Peripheral, Register
from .timing import CacheShape, FlashPath
from .uart import SerialLine, UartCore

_ALL = 0xFFFFFFFF
_HSI_HZ = 16_000_000
# RCC_CR.MSIRANGE (6.4.1).
_MSI_HZ = (
    100_000,
    200_000,
    400_000,
    800_000,
    1_000_000,
    2_000_000,
    4_000_000,
    8_000_000,
    16_000_000,
    24_000_000,
    32_000_000,
    48_000_000,
)
# Highest HCLK in Hz with 0, 1, 2, ... wait states, by voltage range PWR_CR1.VOS (3.3.3, table 9).
_FLASH_HZ = {
    1: (16_000_000, 32_000_000, 48_000_000, 64_000_000, 80_000_000),
    2: (6_000_000, 12_000_000, 18_000_000, 26_000_000),
}
_MSIRDY, _HSIRDY, _PLLRDY = 1 << 1, 1 << 10, 1 << 25
_MSION, _MSIRGSEL, _HSION, _PLLON, _PLLREN = 1 << 0, 1 << 3, 1 << 8, 1 << 24, 1 << 24
_UE, _RE, _TE, _OVER8 = 1 << 0, 1 << 2, 1 << 3, 1 << 15
_ORE, _RXNE, _TC, _TXE, _TEACK, _REACK = 1 << 3, 1 << 5, 1 << 6, 1 << 7, 1 << 21, 1 << 22
_AF7 = 7
_PRFTEN, _ICEN, _DCEN, _ICRST, _DCRST = 1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12


def make_chip(board: Board, clock: Clock, line: SerialLine, on_idle: Callable[[], None]) -> Stm32L452:
    """The chip of `board`, whose USART2 is at the board's end of `line`."""
    return Stm32L452(board, clock, line, on_idle)


class Stm32L452:
    """The peripherals and what connects them: clocks, their limits, and the pins."""

    def __init__(self, board: Board, clock: Clock, line: SerialLine, on_idle: Callable[[], None]) -> None:
        self._board = board
        self._clock = clock
        self._uart = UartCore("USART2", line, clock, on_idle)
        self.names = _NAMES

        changed = self._clock_changed
        self._cr = Register(
            "CR",
            reset=0x63,
            writable=_MSION | _MSIRGSEL | 0xF0 | _HSION | _PLLON,
            ignored=_MSIRDY | _HSIRDY | _PLLRDY,
            read=self._read_cr,
            write=changed,
        )
        self._cfgr = Register("CFGR", writable=0x3FF3, ignored=0xC, read=self._read_cfgr, write=changed)
        self._pllcfgr = Register("PLLCFGR", reset=0x1000, writable=0xFF737F73, write=self._write_pllcfgr)
        self._ahb1enr = Register("AHB1ENR", reset=0x100, writable=0x11103)
        self._ahb2enr = Register("AHB2ENR", writable=0x9F)
        self._apb1enr1 = Register("APB1ENR1", reset=0x400, writable=0xF7EECC33)
        self._apb2enr = Register("APB2ENR", writable=0x01235C01)
        rcc = {
            0x00: self._cr,
            0x08: self._cfgr,
            0x0C: self._pllcfgr,
            0x48: self._ahb1enr,
            0x4C: self._ahb2enr,
            0x58: self._apb1enr1,
            0x60: self._apb2enr,
        }

        # Latency, prefetch, instruction and data cache, their resets.
        self._acr = Register("ACR", reset=0x600, writable=0x1F07, write=changed)
        self._pwr_cr1 = Register("CR1", reset=0x200, writable=0x600, write=changed)

        self._moder = Register("MODER", reset=0xABFFFFFF, writable=_ALL)
        self._afrl = Register("AFRL", writable=_ALL)
        self._odr = Register("ODR", writable=0xFFFF)
        gpioa = {
            0x00: self._moder,
            0x04: Register("OTYPER", writable=0xFFFF),
            0x08: Register("OSPEEDR", reset=0x0C000000, writable=_ALL),
            0x0C: Register("PUPDR", reset=0x64000000, writable=_ALL),
            0x14: self._odr,
            0x18: Register("BSRR", ignored=_ALL, write=self._write_bsrr),
            0x20: self._afrl,
            0x24: Register("AFRH", writable=_ALL),
            0x28: Register("BRR", ignored=_ALL, write=lambda _, new: self._write_bsrr(0, new << 16)),
        }

        self._cr1 = Register("CR1", writable=_UE | _RE | _TE | _OVER8, write=self._write_cr1)
        self._brr = Register("BRR", writable=0xFFFF, write=self._write_brr)
        usart = {
            0x00: self._cr1,
            0x04: Register("CR2"),
            0x08: Register("CR3"),
            0x0C: self._brr,
            0x1C: Register("ISR", reset=0x020000C0, read=self._read_isr),
            0x20: Register("ICR", ignored=_ALL, write=self._write_icr),
            0x24: Register("RDR", read=self._read_rdr),
            0x28: Register("TDR", ignored=_ALL, write=self._write_tdr),
        }

        self.peripherals = [
            Peripheral("RCC", 0x40021000, 0x400, rcc),
            Peripheral("FLASH", 0x40022000, 0x400, {0x00: self._acr}),
            self._gated("PWR", 0x40007000, {0x00: self._pwr_cr1, 0x14: Register("SR2")}, self._apb1enr1, 28),
            self._gated("GPIOA", 0x48000000, gpioa, self._ahb2enr, 0),
            self._gated("USART2", 0x40004400, usart, self._apb1enr1, 17),
        ]

    @staticmethod
    def _gated(
        name: str, base: int, registers: dict[int, Register], enable: Register, bit: int
    ) -> Peripheral:
        """A peripheral behind a clock gate of RCC: without its clock it reads as zero and must not be written."""
        reason = f"it has no clock (RCC_{enable.name} bit {bit} is 0)"
        return Peripheral(
            name,
            base,
            0x400,
            registers,
            lambda: None if enable.value >> bit & 1 else reason,
            unclocked_reads_zero=True,
        )

    def reset(self) -> None:
        """MSI at 4 MHz, no wait states."""
        self._uart.reset()
        self._clock_changed(0, 0)

    # ---- RCC, FLASH, PWR ----

    def _read_cr(self) -> int:
        value = self._cr.value & ~(_MSIRDY | _HSIRDY | _PLLRDY)
        # The oscillators are ready at once: how long they take is no part of any measurement.
        for on, ready in ((_MSION, _MSIRDY), (_HSION, _HSIRDY), (_PLLON, _PLLRDY)):
            if value & on:
                value |= ready
        return value

    def _read_cfgr(self) -> int:
        return self._cfgr.value & ~0xC | (self._cfgr.value & 3) << 2

    def _write_pllcfgr(self, old: int, new: int) -> None:
        if self._cr.value & _PLLON and (old ^ new) & ~_PLLREN:
            raise AccessError("RCC_PLLCFGR is written while the PLL runs", "switch the PLL off first")
        self._clock_changed(old, new)

    def _pll_hz(self) -> int:
        config = self._pllcfgr.value
        m, n, r = (config >> 4 & 7) + 1, config >> 8 & 0x7F, 2 * ((config >> 25 & 3) + 1)
        source = {1: self._msi_hz(), 2: _HSI_HZ if self._cr.value & _HSION else 0}.get(config & 3, 0)
        if not source:
            raise AccessError(
                "the PLL has no running source (RCC_PLLCFGR.PLLSRC)", "start its oscillator first"
            )
        if not config & _PLLREN:
            raise AccessError("the PLL's output for the core is off (RCC_PLLCFGR.PLLREN)", "set PLLREN")
        if not (
            4_000_000 <= source // m <= 16_000_000
            and 8 <= n <= 86
            and 64_000_000 <= source // m * n <= 344_000_000
        ):
            raise AccessError(
                f"the PLL's input of {source // m} Hz times {n} is out of its range",
                "input 4..16 MHz, N 8..86, output 64..344 MHz (6.4.4)",
            )
        return source // m * n // r

    def _msi_hz(self) -> int:
        if not self._cr.value & _MSION:
            return 0
        # Until MSIRGSEL is set the range is that of RCC_CSR: 4 MHz.
        if not self._cr.value & _MSIRGSEL:
            return _MSI_HZ[6]
        index = self._cr.value >> 4 & 0xF
        if index >= len(_MSI_HZ):
            raise AccessError(f"RCC_CR.MSIRANGE {index} does not exist", "0 to 11 (6.4.1)")
        return _MSI_HZ[index]

    def _clock_changed(self, _old: int, _new: int) -> None:
        """Work out the core clock and check that voltage and wait states allow it."""
        switch, prescaler = self._cfgr.value & 3, self._cfgr.value >> 4 & 0xF
        if switch == 3 and self._cr.value & _PLLON:
            hz = self._pll_hz()
        else:
            hz = {0: self._msi_hz(), 1: _HSI_HZ if self._cr.value & _HSION else 0}.get(switch, 0)
        if not hz:
            raise AccessError(
                f"the core's clock source stops or does not run (RCC_CFGR.SW = {switch})",
                "start the oscillator first",
            )
        if prescaler & 8:
            hz //= (2, 4, 8, 16, 64, 128, 256, 512)[prescaler & 7]
        voltage_range, wait_states = self._pwr_cr1.value >> 9 & 3, self._acr.value & 7
        limits = _FLASH_HZ.get(voltage_range)
        if limits is None or hz > limits[-1]:
            raise AccessError(
                f"a core clock of {hz} Hz in voltage range {voltage_range}", "80 MHz in range 1 at most"
            )
        needed = next(i for i, limit in enumerate(limits) if hz <= limit)
        if wait_states < needed:
            raise AccessError(
                f"flash has {wait_states} wait states at {hz} Hz, it needs {needed}",
                "set FLASH_ACR.LATENCY before a faster clock, and lower it after a slower one",
            )
        self._clock.hz = hz
        self._set_flash()
        if self._cr1.value & _UE:
            self._set_speed()

    def _set_flash(self) -> None:
        flash, acr = self._board.timing.flash, self._acr.value
        wait_states = acr & 7

        def cache(lines: int) -> CacheShape:
            return CacheShape(lines, lines, flash.line_bytes, flash.piece_bytes)

        path = FlashPath(
            piece_bytes=flash.piece_bytes,
            fetch_wait=wait_states,
            data_wait=wait_states * flash.data_wait_share,
            prefetch=bool(acr & _PRFTEN),
            instruction_cache=cache(flash.instruction_lines) if acr & _ICEN else None,
            data_cache=cache(flash.data_lines) if acr & _DCEN else None,
        )
        self._clock.set_flash(path, empty=bool(acr & (_ICRST | _DCRST)))

    # ---- GPIOA ----

    def _write_bsrr(self, _old: int, new: int) -> None:
        self._odr.value = (self._odr.value & ~(new >> 16) | new & 0xFFFF) & 0xFFFF

    def _check_pin(self, pin: int) -> None:
        mode, function = self._moder.value >> 2 * pin & 3, self._afrl.value >> 4 * pin & 0xF
        if mode != 2 or function != _AF7:
            raise AccessError(
                f"USART2 is used but PA{pin} is not connected to it (GPIOA mode {mode}, function {function})",
                "alternate function 7 (mode 2)",
            )

    # ---- USART2 ----

    def _set_speed(self) -> None:
        prescaler = self._cfgr.value >> 8 & 7
        pclk1 = self._clock.hz / (2 << (prescaler & 3) if prescaler & 4 else 1)
        divisor = float(self._brr.value)
        if self._cr1.value & _OVER8:
            divisor = ((self._brr.value & 0xFFF0) + ((self._brr.value & 7) << 1)) / 2
        self._uart.set_speed(pclk1, divisor, self._board.uart.baud)

    def _write_cr1(self, old: int, new: int) -> None:
        if new & _UE and not old & _UE:
            self._uart.reset()
        if new & _UE and new & (_RE | _TE):
            self._set_speed()
            if new & _TE:
                self._check_pin(2)
            if new & _RE:
                self._check_pin(3)

    def _write_brr(self, old: int, new: int) -> None:
        if self._cr1.value & _UE and old != new:
            raise AccessError("USART2_BRR is written while the USART is enabled", "clear UE first (40.8.4)")

    def _read_isr(self) -> int:
        control = self._cr1.value
        if not control & _UE:
            return 0x020000C0
        uart = self._uart
        uart.poll()
        value = 0x02000000
        if control & _RE:
            value |= _REACK | (_RXNE if uart.received else 0) | (_ORE if uart.overrun else 0)
        if control & _TE:
            value |= _TEACK
        return value | (_TXE if uart.room else 0) | (0 if uart.sending else _TC)

    def _write_icr(self, _old: int, new: int) -> None:
        if new & _ORE:
            self._uart.overrun = False

    def _read_rdr(self) -> int:
        return self._uart.read()

    def _write_tdr(self, _old: int, new: int) -> None:
        if not (self._cr1.value & _UE and self._cr1.value & _TE):
            raise AccessError("USART2 is not enabled for sending: the byte would be lost", "set UE and TE")
        self._uart.write(new & 0xFF)


# Further blocks, to name what an image touches without a model (2.2.2, table 2).
_NAMES = [
    ("TIM2", 0x40000000, 0x400),
    ("TIM3", 0x40000400, 0x400),
    ("TIM6", 0x40001000, 0x400),
    ("RTC", 0x40002800, 0x400),
    ("WWDG", 0x40002C00, 0x400),
    ("IWDG", 0x40003000, 0x400),
    ("SPI2", 0x40003800, 0x400),
    ("USART3", 0x40004800, 0x400),
    ("UART4", 0x40004C00, 0x400),
    ("I2C1", 0x40005400, 0x400),
    ("LPTIM1", 0x40007C00, 0x400),
    ("LPUART1", 0x40008000, 0x400),
    ("SYSCFG", 0x40010000, 0x30),
    ("EXTI", 0x40010400, 0x400),
    ("TIM1", 0x40012C00, 0x400),
    ("SPI1", 0x40013000, 0x400),
    ("USART1", 0x40013800, 0x400),
    ("DMA1", 0x40020000, 0x400),
    ("DMA2", 0x40020400, 0x400),
    ("CRC", 0x40023000, 0x400),
    ("GPIOB", 0x48000400, 0x400),
    ("GPIOC", 0x48000800, 0x400),
    ("ADC", 0x50040000, 0x400),
    ("RNG", 0x50060800, 0x400),
    ("DBGMCU", 0xE0042000, 0x400),
]
