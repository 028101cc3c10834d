"""A virtual board: the unmodified ELF file on Unicorn's Cortex-M4, with the chip's memory map and peripherals.

What the real chip would do silently or not at all is an error here: an access outside memory, a write to
flash, a register that the model does not have. It stops the board with a `BoardFault` that names address,
register, access, and function.
"""

from __future__ import annotations

import ctypes
import enum
import importlib
import random
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast

from ..errors import UserError
from .board import Board, Memory
from .cortex_m import (
    CFSR_IACCVIOL,
    CFSR_IBUSERR,
    CFSR_INVSTATE,
    CFSR_PRECISERR,
    CFSR_UNALIGNED,
    CFSR_UNDEFINSTR,
    HFSR_DEBUGEVT,
    NAMES,
    CortexM4,
)
from .cycles import DISASSEMBLER, Instruction
from .elf import Image, load_image
from .mmio import AccessError, BoardFault, Bus, Clock, LimitReached, Peripheral
from .uart import SerialLine
from .untyped import arm, unicorn
from .untyped import registers as regs

if TYPE_CHECKING:
    from .counter import CycleCounter

_PAGE = 0x1000
# Never reached: the emulator runs until something stops it.
_NOWHERE = 0xFFFFFFFE
_HARD_FAULT, _SVCALL = 3, 11
# Unicorn's numbers of the exceptions that it leaves to its host.
_UC_SVC, _UC_BKPT, _UC_EXCEPTION_RETURN = 2, 7, 8
_WFI = (b"\x30\xbf", b"\xaf\xf3\x03\x80")
_EXCEPTION_ENTRY_CYCLES = 12
# These need addresses that are multiples of 4 (ARMv7-M A3.2.1).
_ALIGNED = ("ldm", "stm", "ldrd", "strd", "vldr", "vstr", "vldm", "vstm", "push", "pop", "vpush", "vpop")
# Pieces of RAM that keep or lose their contents in a brown-out, bytes.
_FORGOTTEN = 64
# What a stack is taken to be in an image without symbols.
_UNKNOWN_STACK = 4096
_CORE = (
    regs.UC_ARM_REG_R0,
    regs.UC_ARM_REG_R1,
    regs.UC_ARM_REG_R2,
    regs.UC_ARM_REG_R3,
    regs.UC_ARM_REG_R12,
    regs.UC_ARM_REG_LR,
)
_T_BIT = 1 << 24
_IT_BITS = 0x0600FC00


class Chip(Protocol):
    """What a chip's module gives to the virtual board. Its `make_chip(board, clock, line, on_idle)` makes one."""

    peripherals: list[Peripheral]
    names: list[tuple[str, int, int]]

    def reset(self) -> None:
        """The state after reset that is not in registers; sets the clock."""


class Stop(enum.Enum):
    """Why a run ended."""

    HALTED = "halted"  # WFI, and no interrupt will ever come
    IDLE = "idle"  # the firmware waits for a byte and none is on the line
    PAUSED = "paused"  # the cycles of run_for() are over
    OFF = "off"  # switch_off() was called


class _Request(enum.Enum):
    """What a hook has asked the run loop to do."""

    IDLE = enum.auto()
    RESET = enum.auto()
    SECONDS = enum.auto()
    CYCLES = enum.auto()
    EXCEPTION = enum.auto()
    UNALIGNED = enum.auto()


class VirtualBoard:
    """A board with a firmware image in its flash, switched on and ready to run.

    `count_cycles` makes board time the core's cycles (cycles.py); without it the emulator is ten times as
    fast and time passes only on the serial line. `deliver_faults` gives bad accesses and undefined
    instructions to the firmware as hard faults, as the chip would, instead of stopping the board.

    `on_cycles_read(cycles)` may be set: it is called when the firmware reads the cycle counter.

    Raises UserError if the image does not fit the board.
    """

    def __init__(
        self,
        board: Board,
        image: Image | Path,
        *,
        count_cycles: bool = True,
        deliver_faults: bool = False,
        line: SerialLine | None = None,
    ) -> None:
        self.board = board
        self.image = image if isinstance(image, Image) else load_image(image)
        self.clock = Clock()
        self.line = SerialLine() if line is None else line
        self.resets = 0
        self.on_cycles_read: Callable[[int], None] = lambda cycles: None
        self._deliver_faults = deliver_faults
        self._request: _Request | None = None
        self._exception = 0
        self._off = False
        self._pausing = False
        self._bad: tuple[int, int, int] = (0, 0, 0)
        self._unaligned = ""
        self._uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self._uc.ctl_set_cpu_model(regs.UC_CPU_ARM_CORTEX_M4)
        self._map_memories()
        self._load()
        self._core = CortexM4(
            self._now, lambda: self._ask(_Request.RESET), lambda cycles: self.on_cycles_read(cycles)
        )
        self._chip = _make_chip(board, self.clock, self.line, lambda: self._ask(_Request.IDLE))
        self._bus = Bus(self._core.peripherals + self._chip.peripherals, NAMES + self._chip.names)
        self._map_peripherals()
        self._uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, self._on_invalid)
        self._uc.hook_add(unicorn.UC_HOOK_INTR, self._on_exception)
        self.cycle_counter: CycleCounter | None = None
        if count_cycles:
            # Only who counts cycles pays for loading the compiler.
            from .counter import CycleCounter

            self.cycle_counter = CycleCounter(
                self._uc,
                board,
                self.clock,
                self._slow_ram(),
                self._check_code,
                self._check_ram,
                lambda: self._ask(_Request.CYCLES),
            )
            self._describe_ram(self.cycle_counter)
            # A hook on a load makes the emulator set the PC right inside a block: CYCCNT is exact with it.
            self._uc.hook_add(
                unicorn.UC_HOOK_MEM_READ, lambda *_: self._leave_it(), begin=0xE0001004, end=0xE0001007
            )
        self._after_reset = self._uc.context_save()
        self._reset()

    # ---- what a host may do ----

    @property
    def counts_cycles(self) -> bool:
        """Cycles that the firmware reads are the core's."""
        return self.cycle_counter is not None

    def run(self, max_cycles: int | None = None, max_seconds: float | None = None) -> Stop:
        """Run until the firmware halts or waits for input.

        `max_cycles` is board time from now, waiting included, `max_seconds` time on the host. Raises
        BoardFault when one of them is over, and for everything that the board or its model does not allow.
        """
        clock = self.clock
        clock.limit = clock.cycles + max_cycles if max_cycles is not None else 1 << 62
        timer = None
        if max_seconds is not None:
            timer = threading.Timer(max_seconds, lambda: self._ask(_Request.SECONDS))
            timer.daemon = True
            timer.start()
        try:
            while not self._off:
                self._request = None
                bad_instruction = self._emulate()
                request = self._request
                if bad_instruction is not None:
                    self._bad_instruction(bad_instruction)
                elif request is _Request.IDLE:
                    return Stop.IDLE
                elif request is _Request.RESET:
                    self.reset()
                elif request is _Request.EXCEPTION:
                    self._unexpected_exception()
                elif request is _Request.UNALIGNED:
                    self._hard_fault(
                        self._unaligned, "align the data, or load smaller pieces", CFSR_UNALIGNED
                    )
                elif request is _Request.SECONDS:
                    self._too_long(f"{max_seconds:g} s")
                elif request is _Request.CYCLES and self._pausing:
                    return Stop.PAUSED
                elif request is _Request.CYCLES:
                    self._too_long(f"{max_cycles} cycles")
                elif not self._off and self._waits_for_interrupt():
                    return Stop.HALTED
            return Stop.OFF
        finally:
            self.line.flush()
            if timer is not None:
                timer.cancel()

    def run_for(self, cycles: int) -> bool:
        """Run for so many core cycles; False if the firmware halts or waits for input before. Needs counted cycles."""
        self._pausing = True
        try:
            return self.run(cycles) is Stop.PAUSED
        finally:
            self._pausing = False

    def reset(self) -> None:
        """Press the reset button, while the board is not running."""
        self.resets += 1
        self._reset()

    def brown_out(self, rng: random.Random) -> None:
        """The supply fails and comes back, while the board is not running: a reset, and part of RAM is lost."""
        for memory in self.board.memories:
            if memory.alias_of is None and memory != self.board.flash:
                for start in range(memory.origin, memory.end, _FORGOTTEN):
                    if rng.random() < 0.5:
                        self._uc.mem_write(start, rng.randbytes(_FORGOTTEN))
        if self.cycle_counter is not None:
            self.cycle_counter.forget_written()
            self._describe_ram(self.cycle_counter)
        self.reset()

    def switch_off(self) -> None:
        """End a run, now and for ever; may be called from another thread."""
        self._off = True
        self._uc.emu_stop()

    def read_memory(self, address: int, size: int) -> bytes:
        """Bytes of flash or RAM, as a debugger would read them."""
        return bytes(self._uc.mem_read(address, size))

    def write_memory(self, address: int, data: bytes) -> None:
        """Change bytes of flash or RAM, as a debugger would."""
        if self.cycle_counter is not None and address in self.board.ram:
            self.cycle_counter.set_written(address, len(data))
        self._uc.mem_write(address, data)

    # ---- setting up ----

    def _map_memories(self) -> None:
        self._contents: dict[str, ctypes.Array[ctypes.c_char]] = {}
        memories = self.board.memories
        for memory in (m for m in memories if m.alias_of is None):
            buffer = ctypes.create_string_buffer(_round_up(memory.size))
            self._contents[memory.name] = buffer
            if memory == self.board.flash:
                buffer.raw = b"\xff" * len(buffer)
            else:
                # What RAM holds at power-on is anything, but the same anything each time.
                buffer.raw = random.Random(memory.name).randbytes(len(buffer))
            self._map(memory, ctypes.addressof(buffer))
        for memory in (m for m in memories if m.alias_of is not None):
            at = memory.alias_of or 0
            target = next((m for m in memories if m.alias_of is None and at in m), None)
            if target is None:
                raise UserError(
                    self.board.path, f"memory.{memory.name} is an alias of no memory", "correct alias_of"
                )
            offset = at - target.origin
            self._map(memory, ctypes.addressof(self._contents[target.name]) + offset)

    def _map(self, memory: Memory, host: int) -> None:
        flash = memory == self.board.flash
        protection = unicorn.UC_PROT_READ | (unicorn.UC_PROT_EXEC if flash else unicorn.UC_PROT_WRITE)
        # What lies before the application belongs to a bootloader: nothing of it may be touched.
        skip = self.board.app_offset if flash else 0
        self._uc.mem_map_ptr(
            memory.origin + skip, _round_up(memory.size - skip), protection, ctypes.c_void_p(host + skip)
        )

    def _load(self) -> None:
        flash, origin = self.board.flash, self.board.app_origin
        for segment in self.image.segments:
            if segment.address < origin or segment.end > flash.end:
                raise UserError(
                    self.image.path,
                    f"has {len(segment.data)} bytes for 0x{segment.address:08x}..0x{segment.end:08x}, but programs of "
                    f"{self.board.name} lie in 0x{origin:08x}..0x{flash.end:08x}",
                    f"link it with {self.board.ld_script}, or make it smaller",
                )
            self._uc.mem_write(segment.address, segment.data)
        sp, entry = struct.unpack("<II", self._uc.mem_read(origin, 8))
        stack_ok = any(m.origin < sp <= m.end for m in self.board.memories if m != flash)
        if not stack_ok or sp % 8 or not entry & 1 or not origin <= entry < flash.end:
            raise UserError(
                self.image.path,
                f"has no vector table at 0x{origin:08x} (stack pointer 0x{sp:08x}, reset vector 0x{entry:08x})",
                f"link it with {self.board.ld_script} for app_offset 0x{self.board.app_offset:x}",
            )

    def _slow_ram(self) -> tuple[int, int] | None:
        """First and last address of the RAM with wait states, without the stack at its end."""
        timing, ram = self.board.timing.ram, self.board.ram
        if timing is None:
            return None
        (sp,) = struct.unpack("<I", self._uc.mem_read(self.board.app_origin, 4))
        limit = sp - self.image.labels.get("_stack_size", _UNKNOWN_STACK)
        return ram.origin + timing.fast_bytes, (limit if sp == ram.end else ram.end) - 1

    def _map_peripherals(self) -> None:
        pages = {p.base + offset & ~(_PAGE - 1) for p in self._bus.peripherals for offset in p.registers}
        for page in sorted(pages):
            self._uc.mmio_map(page, _PAGE, self._on_read, page, self._on_write, page)

    def _reset(self) -> None:
        self._uc.context_restore(self._after_reset)
        self._bus.reset()
        self._chip.reset()
        sp, entry = struct.unpack("<II", self._uc.mem_read(self.board.app_origin, 8))
        self._uc.reg_write(regs.UC_ARM_REG_SP, sp)
        self._uc.reg_write(regs.UC_ARM_REG_LR, 0xFFFFFFFF)
        self._uc.reg_write(regs.UC_ARM_REG_PC, entry)

    # ---- running ----

    def _pc(self) -> int:
        return cast(int, self._uc.reg_read(regs.UC_ARM_REG_PC))

    def _now(self) -> int:
        """Board time at the instruction that is running."""
        if self.cycle_counter is not None:
            return self.cycle_counter.now(self._pc())
        # Nothing counts, but time must not stand still for a loop that waits for it.
        self.clock.cycles += 1
        return self.clock.cycles

    def _ask(self, request: _Request) -> None:
        self._request = request
        self._uc.emu_stop()

    def _emulate(self) -> int | None:
        """Run until something stops the core; Unicorn's error number if an instruction could not be done."""
        # An access that stops the emulator is done again when it goes on.
        try:
            self._uc.emu_start(self._pc() | 1, _NOWHERE)
        except unicorn.UcError as error:
            return cast(int, error.errno)
        finally:
            if self.cycle_counter is not None:
                self.cycle_counter.interrupted(self._pc())
                self.cycle_counter.check()
        return None

    def _leave_it(self) -> None:
        """What native.leave_it does, in a hook that is a Python function."""
        if self._xpsr() & _IT_BITS:
            self._uc.reg_write(regs.UC_ARM_REG_XPSR, self._xpsr() & ~_IT_BITS)

    def _waits_for_interrupt(self) -> bool:
        before = bytes(self._uc.mem_read(self._pc() - 4, 4))
        return before[2:] == _WFI[0] or before == _WFI[1]

    def _on_read(self, _uc: object, offset: int, size: int, page: int) -> int:
        address = page + offset
        try:
            return self._bus.read(address, size)
        except AccessError as error:
            self._refuse(error, "read", address, size)

    def _on_write(self, _uc: object, offset: int, size: int, value: int, page: int) -> None:
        address = page + offset
        try:
            self._bus.write(address, size, value)
        except AccessError as error:
            self._refuse(error, "write", address, size)

    def _refuse(self, error: AccessError, kind: str, address: int, size: int) -> NoReturn:
        pc = self._find_access(address)
        raise BoardFault(
            self._where(pc),
            f"{kind} of {size} bytes at {self._bus.describe(address)}: {error.what}",
            error.mend,
        ) from None

    def _find_access(self, address: int) -> int:
        """The instruction that accesses `address`, at or behind the PC in its block.

        Without cycle counting the PC is only known at the start of a block; the other registers are up to
        date.
        """
        pc = self._pc()
        for insn in DISASSEMBLER.disasm(bytes(self._uc.mem_read(pc, 256)), pc):
            for operand in insn.operands:
                if operand.type == arm.ARM_OP_MEM and self._effective(insn, operand) == address:
                    return cast(int, insn.address)
        return pc

    def _effective(self, insn: Any, operand: Any) -> int:
        base = self._uc.reg_read(_UNICORN_REGISTER.get(insn.reg_name(operand.mem.base), regs.UC_ARM_REG_PC))
        if operand.mem.index:
            index = self._uc.reg_read(_UNICORN_REGISTER[insn.reg_name(operand.mem.index)])
            return cast(int, base + (index << operand.shift.value) & 0xFFFFFFFF)
        return cast(int, base + (0 if insn.post_index else operand.mem.disp) & 0xFFFFFFFF)

    def _on_invalid(
        self, _uc: object, access: int, address: int, size: int, _value: int, _data: object
    ) -> bool:
        self._bad = (access, address, size)
        return False

    def _on_exception(self, _uc: object, number: int, _data: object) -> None:
        self._exception = number
        self._ask(_Request.EXCEPTION)

    def _describe_ram(self, counter: CycleCounter) -> None:
        """What of RAM may be read before it is written, and what belongs to nothing."""
        for section in self.image.sections:
            if section.name == ".noinit" and section.address in self.board.ram:
                counter.set_written(section.address, section.size)
        labels = self.image.labels
        if "_enoinit" in labels and "_stack_limit" in labels:
            counter.set_gap(labels["_enoinit"], labels["_stack_limit"])

    def _check_ram(self, address: int, reasons: int) -> None:
        """A closer look at an access to RAM; the emulated core would let all of it pass, the real one most."""
        from .native import IN_GAP, ODD, TOO_DEEP, UNWRITTEN

        pc = self._pc()
        if reasons & TOO_DEEP:
            counter = self.cycle_counter
            raise self._stack_is_full(pc if counter is None else counter.last_block, address)
        insn = next(DISASSEMBLER.disasm(bytes(self._uc.mem_read(pc, 4)), pc), None)
        name = "" if insn is None else insn.mnemonic.split(".")[0]
        if reasons & ODD and address % 4 and name.startswith(_ALIGNED):
            # The one of these that the core notices itself.
            self._unaligned = f"{name.upper()} at 0x{address:08x}, which is not a multiple of 4"
            self._ask(_Request.UNALIGNED)
        elif reasons & UNWRITTEN:
            raise BoardFault(
                self._where(pc),
                f"read of RAM at 0x{address:08x}, which was never written",
                "initialise it first",
            )
        elif reasons & IN_GAP:
            sp = self._uc.reg_read(regs.UC_ARM_REG_SP)
            if sp < self.image.labels["_stack_limit"]:
                raise self._stack_is_full(pc, sp)
            raise BoardFault(
                self._where(pc),
                f"write to RAM at 0x{address:08x}, between data and stack",
                "a bad pointer or index",
            )

    def _stack_is_full(self, pc: int, sp: int) -> BoardFault:
        limit = self.image.labels["_stack_limit"]
        return BoardFault(
            self._where(pc),
            f"the stack is full: SP is 0x{sp:08x}, its limit 0x{limit:08x}",
            "reserve more: -Wl,--defsym=_stack_size=N",
        )

    def _check_code(self, instructions: list[Instruction]) -> None:
        address = instructions[0].address if instructions else 0
        if instructions and self.image.symbols and self.image.function_at(address) is None:
            raise BoardFault(
                self._where(address),
                f"jump to 0x{address:08x}, which lies in no function: data are executed",
                "a bad function pointer or return address",
            )
        if not self._core.fpu_enabled:
            for instruction in instructions:
                if instruction.is_fp:
                    raise BoardFault(
                        self._where(instruction.address),
                        "an FPU instruction while the FPU is off (SCB_CPACR)",
                        "enable CP10 and CP11 in the start-up code, then ISB",
                    )

    # ---- faults ----

    def _where(self, pc: int) -> str:
        return f"{self.image.path.name} on {self.board.name}, {self.image.place(pc)}"

    def _fault(self, what: str, mend: str, kind: type[BoardFault] = BoardFault) -> NoReturn:
        pc = self._pc()
        lr = cast(int, self._uc.reg_read(regs.UC_ARM_REG_LR))
        caller = self.image.function_at(lr & ~1)
        if caller is not None and caller != self.image.function_at(pc):
            what += f" (called from {caller.name})"
        raise kind(self._where(pc), what, mend)

    def _too_long(self, time: str) -> NoReturn:
        self._fault(f"is still running after {time}", "it loops here, or needs a higher limit", LimitReached)

    def _bad_instruction(self, errno: int) -> None:
        access, address, size = self._bad
        name = self._bus.describe(address)
        flash = self.board.flash
        if errno in (unicorn.UC_ERR_FETCH_UNMAPPED, unicorn.UC_ERR_FETCH_PROT):
            # Beyond memory a fetch fails on the bus; RAM is executable on the chip, peripherals are not.
            status = CFSR_IBUSERR if errno == unicorn.UC_ERR_FETCH_UNMAPPED else CFSR_IACCVIOL
            self._hard_fault(
                f"jump to {name}, where no program is", "a bad function pointer or return address", status
            )
        elif errno in (
            unicorn.UC_ERR_READ_UNMAPPED,
            unicorn.UC_ERR_WRITE_UNMAPPED,
            unicorn.UC_ERR_WRITE_PROT,
        ):
            kind = "read" if access == unicorn.UC_MEM_READ_UNMAPPED else "write"
            what = f"{kind} of {size} bytes at {name}"
            if address in flash and address >= self.board.app_origin:
                what, mend = (
                    f"write of {size} bytes to flash at {name}",
                    "flash is read-only: a const object is written",
                )
            elif any(base <= address < base + length for _, base, length in self._bus_names()):
                # A register of the chip, but not of the model: this is no fault of the firmware.
                self._fault(
                    f"{what}: the model of this board has no such register", "model it in tools/boards/"
                )
            else:
                mend = "a bad pointer or index"
                what += f", outside the memories of {self.board.name}"
            self._hard_fault(what, mend, CFSR_PRECISERR, address)
        elif errno == unicorn.UC_ERR_INSN_INVALID and not self._xpsr() & _T_BIT:
            self._hard_fault("jump to an even address: the core has no Arm state", "set bit 0", CFSR_INVSTATE)
        elif errno == unicorn.UC_ERR_INSN_INVALID:
            self._hard_fault(
                "undefined instruction", "this is no code, or code for another core", CFSR_UNDEFINSTR
            )
        else:
            self._fault(f"the emulator stopped: {unicorn.UcError(errno)}", "report this")

    def _bus_names(self) -> list[tuple[str, int, int]]:
        return NAMES + self._chip.names + [(p.name, p.base, p.size) for p in self._bus.peripherals]

    def _unexpected_exception(self) -> None:
        if self._exception == _UC_BKPT:
            if self._deliver_faults:
                self._core.hfsr.value |= HFSR_DEBUGEVT
                self._enter_exception(_HARD_FAULT)
            else:
                self._fault("breakpoint instruction (BKPT)", "without a debugger it is a hard fault")
        elif self._exception == _UC_SVC:
            if self._deliver_faults:
                self._enter_exception(_SVCALL)
            else:
                self._fault("supervisor call (SVC)", "no firmware of this project makes one")
        elif self._exception == _UC_EXCEPTION_RETURN:
            self._fault("return from an exception", "the model of this board ends in the handler")
        else:
            self._fault(f"exception {self._exception} of the emulator", "report this")

    def _xpsr(self) -> int:
        return cast(int, self._uc.reg_read(regs.UC_ARM_REG_XPSR))

    def _hard_fault(self, what: str, mend: str, status: int, address: int | None = None) -> None:
        """The end of the run, or a hard fault for the firmware's handler."""
        if not self._deliver_faults:
            self._fault(what, mend)
        if self._xpsr() & 0x1FF in (2, _HARD_FAULT):
            self._fault(f"{what}, inside the fault handler: the core locks up", mend)
        self._core.fault(status, address)
        self._enter_exception(_HARD_FAULT)

    def _enter_exception(self, number: int) -> None:
        """Exception entry (ARMv7-M B1.5.6): stack the frame, load EXC_RETURN and the vector."""
        uc = self._uc
        control, xpsr = uc.reg_read(regs.UC_ARM_REG_CONTROL), self._xpsr()
        sp, pc = uc.reg_read(regs.UC_ARM_REG_SP), self._pc()
        extended = bool(control & 4)
        frame_sp = (sp - (104 if extended else 32)) & ~7
        stacked = xpsr & ~(1 << 9) | (1 << 9 if sp & 4 else 0)
        words = [uc.reg_read(r) for r in _CORE] + [pc & ~1, stacked]
        try:
            self.write_memory(frame_sp, struct.pack("<8I", *words))
        except unicorn.UcError:
            self._fault(
                f"exception {number} with the stack pointer at 0x{sp:08x}: the core locks up", "a bad stack"
            )
        mode = 0x9 if not control & 2 else 0xD
        vectors = self._core.vtor.value or self.board.app_origin
        (handler,) = struct.unpack("<I", uc.mem_read(vectors + 4 * number, 4))
        uc.reg_write(regs.UC_ARM_REG_SP, frame_sp)
        uc.reg_write(regs.UC_ARM_REG_XPSR, xpsr & ~(_IT_BITS | 0x1FF) | _T_BIT | number)
        uc.reg_write(regs.UC_ARM_REG_CONTROL, control & ~4)
        uc.reg_write(regs.UC_ARM_REG_LR, 0xFFFFFFE0 | (0 if extended else 0x10) | mode)
        uc.reg_write(regs.UC_ARM_REG_PC, handler)
        self.clock.cycles += _EXCEPTION_ENTRY_CYCLES


_UNICORN_REGISTER = {f"r{i}": getattr(regs, f"UC_ARM_REG_R{i}") for i in range(13)} | {
    "sb": regs.UC_ARM_REG_R9,
    "sl": regs.UC_ARM_REG_R10,
    "fp": regs.UC_ARM_REG_R11,
    "ip": regs.UC_ARM_REG_R12,
    "sp": regs.UC_ARM_REG_SP,
    "lr": regs.UC_ARM_REG_LR,
}


def _round_up(size: int) -> int:
    return size + _PAGE - 1 & ~(_PAGE - 1)


def _make_chip(board: Board, clock: Clock, line: SerialLine, on_idle: Callable[[], None]) -> Chip:
    try:
        module = importlib.import_module(f".{board.emulator}", __package__)
    except ModuleNotFoundError:
        raise UserError(
            board.path,
            f"names the emulator module {board.emulator!r}, which does not exist",
            "see tools/boards/",
        ) from None
    return cast(Chip, module.make_chip(board, clock, line, on_idle))
