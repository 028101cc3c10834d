"""The constants of the time model: what board.toml says about the core, the flash and the RAM.

Where each comes from is beside it in board.toml; docs/cycle_model.md says what they have been compared with.
"""

from __future__ import annotations

from dataclasses import dataclass

# Time is counted in these parts of a cycle: a flash miss may cost a fraction.
PARTS = 256


@dataclass(frozen=True)
class CoreTiming:
    """Cycles beyond one, in the core.

    load_use: an integer load whose result the next instruction needs. taken_branch: any branch that is taken.
    divide: SDIV, UDIV. fp_divide: VDIV, VSQRT. multiply_accumulate: VFMA and the like, hidden by as many
    cycles of integer instructions behind it. fp_use: the FPU's next instruction needs its one-cycle result.
    """

    load_use: int
    taken_branch: int
    divide: int
    fp_divide: int
    multiply_accumulate: int
    fp_use: int


@dataclass(frozen=True)
class CacheShape:
    """A cache with least-recently-used replacement: lines of `line_bytes`, filled by pieces of `piece_bytes`."""

    lines: int
    ways: int
    line_bytes: int
    piece_bytes: int


@dataclass(frozen=True)
class FlashTiming:
    """Flash as board.toml describes it.

    A read of `piece_bytes` that no cache holds waits for the wait states (instructions) or `data_wait_share` of
    them (data). `instruction_lines` and `data_lines` are the caches' sizes, 0 where a register tells them;
    `wait_states` is for chips without a register of them, else 0.
    """

    line_bytes: int
    piece_bytes: int
    data_wait_share: float
    instruction_lines: int
    data_lines: int
    wait_states: int


@dataclass(frozen=True)
class RamTiming:
    """RAM: `slow_wait` cycles more for each access at or beyond `fast_bytes` from its start, the stack excepted."""

    fast_bytes: int
    slow_wait: int


@dataclass(frozen=True)
class Timing:
    """All constants of a board."""

    core: CoreTiming
    flash: FlashTiming
    ram: RamTiming | None


@dataclass(frozen=True)
class FlashPath:
    """How the core reaches flash just now, as the registers are set; cycles are per piece that is not cached.

    `prefetch`: the piece behind the last one fetched is on its way. `shared`: one cache for both.
    """

    piece_bytes: int = 8
    fetch_wait: float = 0.0
    data_wait: float = 0.0
    prefetch: bool = False
    instruction_cache: CacheShape | None = None
    data_cache: CacheShape | None = None
    shared: bool = False
