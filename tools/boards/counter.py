"""Counts the cycles of an emulated core: decodes blocks, and lets native.py count what they cost."""

from __future__ import annotations

import bisect
import contextlib
import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from unicorn.unicorn_py3.unicorn import uclib as _uclib

from . import native
from .board import Board, Memory
from .cycles import Instruction, Variant, cost, decode, is_far_target
from .mmio import Clock
from .timing import PARTS, CacheShape, FlashPath
from .untyped import arm, unicorn

uclib: Any = _uclib
# Instructions that are looked at behind the end of a block: as far as a multiply-accumulate can overlap.
_AHEAD = 3
# Bytes from an IT instruction to the last one that belongs to it, at most: itself and three of 4 bytes.
_MOST_IT = 14
_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """A run of instructions that the emulator executes in one go.

    `costs` are the cycles of each instruction in the expected variant, `low` and `high` those of the whole block in
    the other two; `far` says that `trm` charges for a branch to it. `record` is its place in the state.
    """

    address: int
    size: int
    instructions: tuple[Instruction, ...]
    costs: tuple[int, ...]
    before: tuple[int, ...]
    low: int
    high: int
    far: bool
    record: int

    @property
    def end(self) -> int:
        """First address behind the block."""
        return self.address + self.size

    @property
    def cycles(self) -> int:
        """Cycles of the block, when no memory has to be waited for."""
        return sum(self.costs)


class CycleCounter:
    """Counts the cycles of an emulated core on `clock`, by native hooks on every block and every load from flash.

    `slow_ram` are the first and the last address of RAM with wait states, None if there is none.
    `on_decode(instructions)` sees each new block; `on_ram(address, reasons)` each access to RAM that is odd in one
    of the ways native.ODD (not aligned to its size), UNWRITTEN (a read of what was never written), IN_GAP (a write
    between set_gap()'s limits), and with TOO_DEEP a stack pointer below them, once the block that moved it is
    over; `on_limit()` is called when the clock's limit is passed and must stop the emulator.
    An exception in any of them stops it too: see `check()`.
    """

    def __init__(
        self,
        uc: Any,
        board: Board,
        clock: Clock,
        slow_ram: tuple[int, int] | None,
        on_decode: Callable[[list[Instruction]], None],
        on_ram: Callable[[int, int], None],
        on_limit: Callable[[], None],
    ) -> None:
        self.blocks: dict[int, Block] = {}
        self._uc = uc
        self.core = board.timing.core
        self._clock = clock
        self._on_decode = on_decode
        self._on_ram = on_ram
        self._on_limit = on_limit
        self._error: BaseException | None = None
        self._at: dict[int, Block] = {}
        flash = board.flash
        written = native.INDEX + (flash.size >> 1)
        self._state = np.zeros(written + (board.ram.size >> 2), np.int64)
        self._words: memoryview = self._state.data
        words = self._words
        self._callbacks = [_CALLBACK(self._miss), _CALLBACK(self._limit), _CALLBACK(self._look)]
        for place, callback in zip(
            (native.ON_MISS, native.ON_LIMIT, native.ON_RAM), self._callbacks, strict=True
        ):
            words[place] = ctypes.cast(callback, ctypes.c_void_p).value or 0
        words[native.FLASH_ORIGIN], words[native.FLASH_END] = flash.origin, flash.end
        words[native.TAKEN_BRANCH] = self.core.taken_branch * PARTS
        # Record 0 stands for "none": it takes what happens before the first block.
        words[native.BLOCK], words[native.BLOCK_COUNT] = native.BLOCKS, 1
        clock.share(words[: native.LIMIT + 1])
        clock.on_flash = self._set_flash
        self._set_flash(clock.flash)
        words[native.RAM_ORIGIN], words[native.WRITTEN] = board.ram.origin, written
        words[native.RAM_SIZE] = board.ram.size
        self._watch_ram(board.ram)
        for memory in board.memories:
            if memory.alias_of is not None and memory.alias_of in board.ram:
                words[native.ALIAS] = memory.alias_of - memory.origin  # no board here has two
                self._watch_ram(memory)
        for place, called in ((native.REG_READ, uclib.uc_reg_read), (native.REG_WRITE, uclib.uc_reg_write)):
            words[place] = ctypes.cast(called, ctypes.c_void_p).value or 0
        words[native.ENGINE] = ctypes.cast(uc._uch, ctypes.c_void_p).value or 0
        words[native.VALUE_AT] = self._state.ctypes.data + 8 * native.VALUE
        self._hook(unicorn.UC_HOOK_BLOCK, native.on_block)
        self._hook(unicorn.UC_HOOK_MEM_READ, native.on_flash_read, flash.origin, flash.end - 1)
        if slow_ram is not None and board.timing.ram is not None:
            words[native.SLOW_WAIT] = board.timing.ram.slow_wait * PARTS
            kinds = unicorn.UC_HOOK_MEM_READ | unicorn.UC_HOOK_MEM_WRITE
            self._hook(kinds, native.on_slow_ram, *slow_ram)

    def now(self, address: int) -> int:
        """Cycles before the instruction at `address`, in the block that is running."""
        return (self._words[native.TIME] - self._rest(address)) // PARTS

    def counts(self) -> Counts:
        """A copy of the blocks' records [blocks, BLOCK_WORDS] as they are now; `Block.record` says which is whose."""
        used = self._words[native.BLOCK_COUNT]
        return self._state[native.BLOCKS : native.BLOCKS + used * native.BLOCK_WORDS].reshape(used, -1).copy()

    def set_written(self, address: int, size: int) -> None:
        """RAM that may be read although the program has not written it."""
        offset = address - self._words[native.RAM_ORIGIN]
        first = self._words[native.WRITTEN] + (offset >> 2)
        self._state[first : first + (offset % 4 + size + 3 >> 2)] = 15

    def forget_written(self) -> None:
        """RAM has lost its contents."""
        self._state[self._words[native.WRITTEN] :] = 0

    def set_gap(self, start: int, end: int) -> None:
        """RAM that belongs to nothing, between data and the lowest address of the stack."""
        self._words[native.GAP], self._words[native.GAP_END] = start, end
        self._words[native.STACK_LIMIT] = end

    @property
    def last_block(self) -> int:
        """Address of the block whose hook ran last."""
        block = self._at.get(self._words[native.BLOCK])
        return 0 if block is None else block.address

    def interrupted(self, address: int) -> None:
        """The emulator has stopped in front of `address`: take back what was counted and not executed.

        Unicorn stops either in front of the block whose hook ran last, or in it, in front of an access.
        """
        words = self._words
        block = self._at.get(words[native.BLOCK])
        if block is not None and block.address <= address < words[native.END]:
            words[native.TIME] -= self._rest(address)
            if address == block.address:
                words[words[native.BLOCK] + native.BLOCK_RUNS] -= 1
            # What comes next follows without a branch, or has had its branch counted.
            words[native.END] = address

    def check(self) -> None:
        """Raise what a callback raised: inside the emulator it could only be kept."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _rest(self, address: int) -> int:
        """Parts that were counted for the running block and belong to `address` and behind."""
        block = self._at.get(self._words[native.BLOCK])
        if block is None or not block.address <= address < self._words[native.END]:
            return 0
        index = bisect.bisect_left([i.address for i in block.instructions], address)
        return (block.cycles - block.before[index]) * PARTS if index < len(block.before) else 0

    # ---- below: the native part ----

    def _hook(self, kind: int, function: Any, begin: int = 1, end: int = 0) -> None:
        # The binding's own hook_add takes Python functions only.
        handle = ctypes.c_size_t()
        status = uclib.uc_hook_add(
            self._uc._uch, ctypes.byref(handle), kind, function.address, self._state.ctypes.data, begin, end
        )
        if status != unicorn.UC_ERR_OK:
            raise unicorn.UcError(status)

    def _watch_ram(self, memory: Memory) -> None:
        self._hook(unicorn.UC_HOOK_MEM_READ, native.on_ram_read, memory.origin, memory.end - 1)
        self._hook(unicorn.UC_HOOK_MEM_WRITE, native.on_ram_write, memory.origin, memory.end - 1)

    def _set_flash(self, path: FlashPath) -> None:
        words = self._words
        words[native.FETCH_WAIT] = round(path.fetch_wait * PARTS)
        words[native.DATA_WAIT] = round(path.data_wait * PARTS)
        # A piece that was asked for comes a cycle later than one that is waited for.
        words[native.PREFETCH] = PARTS if path.prefetch else 0
        words[native.PIECE_SHIFT] = path.piece_bytes.bit_length() - 1
        words[native.NEXT_PIECE] = words[native.LAST_PIECE] = -1
        first, second = native.CACHES, native.CACHES + native.CACHE_WORDS
        words[native.INSTRUCTION_CACHE], words[native.DATA_CACHE] = first, first if path.shared else second
        self._set_cache(first, path.instruction_cache)
        self._set_cache(second, path.data_cache)

    def _set_cache(self, at: int, shape: CacheShape | None) -> None:
        """An empty cache, or none."""
        self._state[at : at + native.CACHE_WORDS] = 0
        if shape is not None:
            self._words[at + native.CACHE_WAYS] = shape.ways
            self._words[at + native.CACHE_SETS] = shape.lines // shape.ways
            self._words[at + native.CACHE_LINE_SHIFT] = (
                shape.line_bytes // shape.piece_bytes
            ).bit_length() - 1

    def _limit(self, _address: int, _size: int) -> None:
        self._on_limit()

    def _look(self, address: int, reasons: int) -> None:
        self._keep(lambda: self._on_ram(address, reasons))

    def _miss(self, address: int, size: int) -> None:
        self._keep(lambda: self._decode(address, size))

    def _keep(self, work: Callable[[], None]) -> None:
        """Do it; what it raises cannot pass through the emulator and waits for check()."""
        try:
            work()
        except BaseException as error:
            self._error = self._error or error
            self._uc.emu_stop()

    def _in_it_block(self, address: int) -> bool:
        """An IT instruction may lie so near before `address` that what is there belongs to it."""
        if address - _MOST_IT < self._words[native.FLASH_ORIGIN]:
            return False
        before = bytes(self._uc.mem_read(address - _MOST_IT, _MOST_IT))
        return any(before[i + 1] == 0xBF and before[i] & 0xF for i in range(0, _MOST_IT, 2))

    def _decode(self, address: int, size: int) -> None:
        instructions = decode(bytes(self._uc.mem_read(address, size)), address)
        own = len(instructions)
        self._on_decode(instructions)
        if own and not instructions[-1].is_branch:
            # The block ends without a branch: what lies behind it follows for certain.
            with contextlib.suppress(unicorn.UcError):
                code = bytes(self._uc.mem_read(address, size + 4 * _AHEAD))
                instructions = decode(code, address)

        def costs(variant: Variant) -> tuple[int, ...]:
            return tuple(cost(instructions, i, self.core, variant) for i in range(own))

        expected = costs(Variant.INTERLOCK)
        words = self._words
        number = words[native.BLOCK_COUNT]
        if number == native.MOST_BLOCKS:
            raise RuntimeError(f"more than {native.MOST_BLOCKS} blocks")
        words[native.BLOCK_COUNT] += 1
        record = native.BLOCKS + number * native.BLOCK_WORDS
        block = Block(
            address,
            size,
            tuple(instructions[:own]),
            expected,
            tuple(sum(expected[:i]) for i in range(own)),
            sum(costs(Variant.ONECYCLE)),
            sum(costs(Variant.TRM)),
            own > 0 and is_far_target(instructions[0]),
            number,
        )
        words[record + native.BLOCK_ADDRESS] = address
        words[record + native.BLOCK_SIZE] = size
        words[record + native.BLOCK_COST] = block.cycles * PARTS
        is_conditional = self._in_it_block(address) or any(
            i.is_conditional and i.kind in ("loads", "stores") for i in block.instructions
        )
        moves_sp = any(arm.ARM_REG_SP in i.writes for i in block.instructions)
        words[record + native.BLOCK_FLAGS] = native.CONDITIONAL * is_conditional + native.MOVES_SP * moves_sp
        words[native.INDEX + (address - words[native.FLASH_ORIGIN] >> 1)] = record
        self.blocks[number] = block
        self._at[record] = block
