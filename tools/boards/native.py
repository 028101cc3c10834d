"""The hot part of the time model: what runs at every basic block and every read of flash, compiled by numba.

Unicorn calls these functions as it would C; a Python function in their place takes most of the emulator's time. All
they know is one array of 64-bit integers, the state, whose layout is at the top. Times are in parts of a cycle
(timing.PARTS). A cached copy of the compiled code lies beside this file, or in numba's cache folder.

Flash: a cache is looked up for every piece (one read of the flash array) that a block's instructions lie in, and for
every read of data. A piece that is missing costs its wait states, unless prefetch has asked for it: prefetch asks
for the piece behind the last one that was fetched, as soon as that has come. What an instruction fetch waits
is added when its block starts; where in the block a piece is needed is interpolated.
"""

# mypy: disallow-untyped-decorators=False
from __future__ import annotations

from typing import Any

import numba as _numba
from llvmlite import ir as _ir  # type: ignore[import-untyped]
from numba.core import types as _types
from numba.extending import intrinsic as _intrinsic

numba: Any = _numba
ir: Any = _ir
types: Any = _types
intrinsic: Any = _intrinsic

# ---- the state: scalars, two caches, blocks, index ----
TIME, LIMIT = 0, 1
BLOCK, END = 2, 3  # the running block's record, and the address behind it
FLASH_ORIGIN, FLASH_END = 4, 5
ON_MISS, ON_LIMIT = 6, 7  # addresses of functions (block address, size)
TAKEN_BRANCH = 8
FETCH_WAIT, DATA_WAIT, PREFETCH, PIECE_SHIFT = 9, 10, 11, 12
NEXT_PIECE, NEXT_READY, LAST_PIECE = (
    13,
    14,
    15,
)  # prefetch: piece on its way, when it is there; the piece in the buffer
SLOW_WAIT = 16
BLOCK_COUNT = 17
INSTRUCTION_CACHE, DATA_CACHE = 18, 19  # where each cache starts
RAM_ORIGIN, WRITTEN = (
    20,
    21,
)  # RAM, and where the notes of what has been written start: a word for each four bytes
GAP, GAP_END = 22, 23  # RAM between data and stack, which belongs to nothing
ON_RAM = 24  # address of a function (address, ODD + UNWRITTEN + IN_GAP + TOO_DEEP); ODD reads of flash are told too
RAM_SIZE, ALIAS = 25, 26  # an alias of RAM lies so many bytes below what it shows
ODD, UNWRITTEN, IN_GAP, TOO_DEEP = 1, 2, 4, 8
# To reach the core's registers from a hook: Unicorn's engine, its uc_reg_read and uc_reg_write, and a word for a value.
ENGINE, REG_READ, REG_WRITE, VALUE, VALUE_AT = 27, 28, 29, 30, 31
XPSR_ID, SP_ID = 120, 12  # UC_ARM_REG_XPSR, UC_ARM_REG_SP
IT_BITS = 0x0600FC00
STACK_LIMIT = 32  # the lowest stack pointer that is allowed; 0: not known
CACHES = 40
# A cache: ways, sets, pieces a line (as shift), use counter, place used last; then tag, valid pieces, last use a place.
CACHE_WAYS, CACHE_SETS, CACHE_LINE_SHIFT, CACHE_TICK = 0, 1, 2, 3
CACHE_HEAD, PLACE_WORDS, MOST_LINES = 8, 3, 1024
CACHE_WORDS = CACHE_HEAD + PLACE_WORDS * MOST_LINES
BLOCKS = CACHES + 2 * CACHE_WORDS
# A block: cost in parts, size, times run, times entered by a taken branch, waits and misses of fetch, data and RAM.
BLOCK_ADDRESS, BLOCK_SIZE, BLOCK_COST, BLOCK_RUNS, BLOCK_TAKEN = 0, 1, 2, 3, 4
BLOCK_FETCH_WAIT, BLOCK_FETCH_MISSES, BLOCK_DATA_WAIT, BLOCK_DATA_MISSES, BLOCK_RAM_WAIT = 5, 6, 7, 8, 9
BLOCK_FLAGS = (
    10  # CONDITIONAL: it may have loads or stores in an IT block; MOVES_SP: it changes the stack pointer
)
CONDITIONAL, MOVES_SP = 1, 2
BLOCK_WORDS, MOST_BLOCKS = 11, 1 << 14
INDEX = BLOCKS + BLOCK_WORDS * MOST_BLOCKS
# Then one word for each halfword of flash: the record of the block that starts there, or 0.


@intrinsic
def _call(_context: Any, function: Any, address: Any, size: Any) -> Any:
    """Call a C function `void f(int64, int64)` by its address: unlike a global, an address does not forbid caching."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [word, word])
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def _call3(_context: Any, function: Any, first: Any, second: Any, third: Any) -> Any:
    """Call a C function of three arguments, each of at most 64 bits, by its address; its result is not used."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * 3)
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64), generate


@numba.njit(cache=True)
def leave_it(s: Any) -> None:
    """To be called at the end of each hook of a load or store: mends what Unicorn 2.1 leaves behind in an IT block.

    It stores the IT state for the hook and does not clear it: the blocks that follow would run as if they were inside
    that IT block, a loop for ever where its last branch or count is left out. While a block runs, the stored state
    is of no use to the emulator (docs/virtual_boards.md).
    """
    if s[s[BLOCK] + BLOCK_FLAGS] & CONDITIONAL:
        _call3(s[REG_READ], s[ENGINE], XPSR_ID, s[VALUE_AT])
        if s[VALUE] & IT_BITS:
            s[VALUE] &= ~IT_BITS
            _call3(s[REG_WRITE], s[ENGINE], XPSR_ID, s[VALUE_AT])


@numba.njit(cache=True)
def lookup(s: Any, cache: int, piece: int) -> bool:
    """Use a piece of flash in the cache at s[cache]; False if it was not there (it is then). No ways: no cache."""
    ways = s[cache + CACHE_WAYS]
    if ways == 0:
        return False
    s[cache + CACHE_TICK] += 1
    tick = s[cache + CACHE_TICK]
    shift = s[cache + CACHE_LINE_SHIFT]
    tag = piece >> shift
    bit = 1 << (piece - (tag << shift))
    first = cache + CACHE_HEAD + tag % s[cache + CACHE_SETS] * ways * PLACE_WORDS
    oldest = first
    for place in range(first, first + ways * PLACE_WORDS, PLACE_WORDS):
        if s[place] == tag and s[place + 1] != 0:
            s[place + 2] = tick
            if s[place + 1] & bit:
                return True
            s[place + 1] |= bit
            return False
        if s[place + 2] < s[oldest + 2]:
            oldest = place
    s[oldest] = tag
    s[oldest + 1] = bit
    s[oldest + 2] = tick
    return False


@numba.njit(cache=True)
def fetch(s: Any, piece: int, now: int) -> int:
    """Parts of a cycle that the core waits at time `now` for a piece with instructions."""
    if piece == s[LAST_PIECE]:
        return 0
    s[LAST_PIECE] = piece
    if lookup(s, s[INSTRUCTION_CACHE], piece):
        return 0
    wait = s[FETCH_WAIT]
    if piece == s[NEXT_PIECE]:
        wait = min(max(s[NEXT_READY] - now, 0), wait)
    if s[PREFETCH]:
        s[NEXT_PIECE] = piece + 1
        s[NEXT_READY] = now + wait + s[FETCH_WAIT] + s[PREFETCH]
    return int(wait)


@numba.njit(cache=True)
def enter(s: Any, address: int, size: int) -> None:
    """A block starts. The one before may have moved the stack pointer, too far down perhaps."""
    if s[STACK_LIMIT] and s[s[BLOCK] + BLOCK_FLAGS] & MOVES_SP:
        s[VALUE] = 0
        _call3(s[REG_READ], s[ENGINE], SP_ID, s[VALUE_AT])
        if s[VALUE] < s[STACK_LIMIT]:
            _call(s[ON_RAM], s[VALUE], TOO_DEEP)
            return
    block = 0
    if s[FLASH_ORIGIN] <= address < s[FLASH_END]:
        index = INDEX + (address - s[FLASH_ORIGIN] >> 1)
        block = s[index]
        if block == 0 or s[block + BLOCK_SIZE] != size:
            _call(s[ON_MISS], address, size)
            block = s[index]
    if block == 0:
        return
    now = s[TIME]
    if address != s[END]:
        s[block + BLOCK_TAKEN] += 1
        now += s[TAKEN_BRANCH]
    cost = s[block + BLOCK_COST]
    time = now + cost
    if s[FETCH_WAIT]:
        first, last = address >> s[PIECE_SHIFT], address + size - 1 >> s[PIECE_SHIFT]
        waited = 0
        for piece in range(first, last + 1):
            wait = fetch(s, piece, now + waited + cost * (piece - first) // (last - first + 1))
            if wait:
                waited += wait
                s[block + BLOCK_FETCH_MISSES] += 1
        s[block + BLOCK_FETCH_WAIT] += waited
        time += waited
    s[block + BLOCK_RUNS] += 1
    s[BLOCK] = block
    s[END] = address + size
    s[TIME] = time
    if time > s[LIMIT]:
        _call(s[ON_LIMIT], address, size)


@numba.njit(cache=True)
def read_flash(s: Any, address: int, size: int) -> None:
    """A load from flash."""
    if address & (size - 1):
        _call(s[ON_RAM], address, ODD)
    if s[DATA_WAIT] == 0:
        return
    first, last = address >> s[PIECE_SHIFT], address + size - 1 >> s[PIECE_SHIFT]
    for piece in range(first, last + 1):
        if not lookup(s, s[DATA_CACHE], piece):
            s[TIME] += s[DATA_WAIT]
            s[s[BLOCK] + BLOCK_DATA_WAIT] += s[DATA_WAIT]
            s[s[BLOCK] + BLOCK_DATA_MISSES] += 1


@numba.cfunc("void(voidptr, uint64, uint32, CPointer(int64))", cache=True)
def on_block(_uc: Any, address: int, size: int, state: Any) -> None:
    """Hook of every block."""
    enter(numba.carray(state, INDEX), numba.int64(address), numba.int64(size))


@numba.cfunc("void(voidptr, int32, uint64, int32, int64, CPointer(int64))", cache=True)
def on_flash_read(_uc: Any, _kind: int, address: int, size: int, _value: int, state: Any) -> None:
    """Hook of loads from flash."""
    s = numba.carray(state, INDEX)
    read_flash(s, numba.int64(address), numba.int64(size))
    leave_it(s)


@numba.njit(cache=True)
def use_ram(s: Any, is_write: bool, address: int, size: int) -> None:
    """An access to RAM: notes what is written, and calls ON_RAM for what deserves a closer look."""
    offset = address - s[RAM_ORIGIN]
    if not 0 <= offset < s[RAM_SIZE]:
        offset += s[ALIAS]
    odd = address & (size - 1) != 0
    unwritten = False
    for byte in range(offset, offset + size, 1 if odd else size):
        word = s[WRITTEN] + (byte >> 2)
        count = 1 if odd else min(size, 4)
        bits = (1 << count) - 1 << (byte & 3)
        if is_write:
            s[word] |= bits
        elif s[word] & bits != bits:
            unwritten = True
    gap = is_write and s[GAP] <= address < s[GAP_END]
    if odd or unwritten or gap:
        _call(s[ON_RAM], address, ODD * odd + UNWRITTEN * unwritten + IN_GAP * gap)


@numba.cfunc("void(voidptr, int32, uint64, int32, int64, CPointer(int64))", cache=True)
def on_ram_read(_uc: Any, _kind: int, address: int, size: int, _value: int, state: Any) -> None:
    """Hook of loads from RAM."""
    s = numba.carray(state, INDEX)
    use_ram(s, False, numba.int64(address), numba.int64(size))
    leave_it(s)


@numba.cfunc("void(voidptr, int32, uint64, int32, int64, CPointer(int64))", cache=True)
def on_ram_write(_uc: Any, _kind: int, address: int, size: int, _value: int, state: Any) -> None:
    """Hook of stores to RAM."""
    s = numba.carray(state, INDEX)
    use_ram(s, True, numba.int64(address), numba.int64(size))
    leave_it(s)


@numba.cfunc("void(voidptr, int32, uint64, int32, int64, CPointer(int64))", cache=True)
def on_slow_ram(_uc: Any, _kind: int, _address: int, _size: int, _value: int, state: Any) -> None:
    """Hook of loads from and stores to slow RAM."""
    s = numba.carray(state, INDEX)
    s[TIME] += s[SLOW_WAIT]
    s[s[BLOCK] + BLOCK_RAM_WAIT] += s[SLOW_WAIT]
    leave_it(s)
