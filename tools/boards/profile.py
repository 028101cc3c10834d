"""Where the cycles of a virtual board go: by block, with a lower and an upper bound, between any two moments.

The firmware reads its cycle counter around what it times. A `Recorder` notes the counts of all blocks at each
reading; the difference of two notes is what ran between them, and its cycles are those that the firmware found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from . import native
from .counter import Block, Counts, CycleCounter
from .timing import PARTS
from .virtual import VirtualBoard


@dataclass(frozen=True)
class Bracket:
    """Core cycles: `expected` is what the cycle counter shows, `low` and `high` the variants onecycle and trm."""

    low: int
    expected: int
    high: int


@dataclass(frozen=True)
class Mark:
    """The counts of all blocks when the cycle counter stood at `cycles`."""

    cycles: int
    counts: Counts


@dataclass(frozen=True)
class Share:
    """Cycles by what they are spent on. Their sum is the cycles of the blocks.

    loads, stores, branches, arithmetic: of the instructions themselves; words beyond the first belong to their
    load or store, penalties of taken branches to the branches. stalls: waiting for a result inside the core (loads,
    divisions, FPU). flash_code, flash_data, ram: waiting for memory.
    """

    loads: float = 0.0
    stores: float = 0.0
    branches: float = 0.0
    arithmetic: float = 0.0
    stalls: float = 0.0
    flash_code: float = 0.0
    flash_data: float = 0.0
    ram: float = 0.0


@dataclass(frozen=True)
class BlockCost:
    """What one block cost: times run, instructions executed, cycles (by kind too), flash pieces waited for."""

    block: Block
    runs: int
    instructions: int
    low: float
    cycles: float
    high: float
    share: Share
    code_misses: int
    data_misses: int


class Recorder:
    """Notes the counts of `board` at each reading of its cycle counter, once all that was sent to it has come."""

    def __init__(self, board: VirtualBoard) -> None:
        if board.cycle_counter is None:
            raise ValueError("the board does not count cycles")
        self.marks: list[Mark] = []
        self._board = board
        self._counter = board.cycle_counter
        board.on_cycles_read = self._note

    def _note(self, cycles: int) -> None:
        if not self._board.line.to_board:
            self.marks.append(Mark(cycles, self._counter.counts()))

    def clear(self) -> None:
        """Forget all marks."""
        self.marks.clear()

    def span_of_run(self, cycles: int) -> Span:
        """What ran in the request RUN that was answered last and reported `cycles`."""
        return self._spans([cycles])[0]

    def spans_of_layers(self, cycles: Sequence[int]) -> list[Span]:
        """What ran in each layer of the request TRACE that was answered last and reported `cycles` for each."""
        return self._spans([*cycles, None])[:-1]

    def _spans(self, cycles: Sequence[int | None]) -> list[Span]:
        # The firmware reads at start and end of each stretch, and once more when it has answered.
        marks = self.marks[-2 * len(cycles) - 1 : -1]
        spans = [Span(self._counter, marks[i], marks[i + 1]) for i in range(0, len(marks), 2)]
        found = [span.cycles for span in spans]
        if len(found) != len(cycles) or any(c not in (None, f) for c, f in zip(cycles, found, strict=True)):
            raise UserError(
                str(self._board.image.path),
                f"reports {list(cycles)} cycles, but its readings of the cycle counter give {found}",
                "build the firmware of this checkout",
            )
        return spans


class Span:
    """What ran between two marks, or since power-on (`start` None)."""

    def __init__(self, counter: CycleCounter, start: Mark | None, end: Mark) -> None:
        self.counter = counter
        counts = end.counts.copy()
        self.cycles = end.cycles
        if start is not None:
            counts[: len(start.counts)] -= start.counts
            self.cycles = end.cycles - start.cycles & 0xFFFFFFFF
        self._counts = counts

    def blocks(self) -> list[BlockCost]:
        """The blocks that ran, the most expensive first."""
        taken = self.counter.core.taken_branch
        costs = [
            _cost(self.counter.blocks[number], row, taken)
            for number, row in enumerate(self._counts)
            if number in self.counter.blocks and row[native.BLOCK_RUNS] > 0
        ]
        return sorted(costs, key=lambda cost: (-cost.cycles, cost.block.address))

    def bracket(self) -> Bracket:
        """Cycles of the whole span. The marks lie inside blocks: the difference belongs to all variants."""
        costs = self.blocks()
        outside = self.cycles - sum(cost.cycles for cost in costs)
        low = round(sum(cost.low for cost in costs) + outside)
        high = round(sum(cost.high for cost in costs) + outside)
        return Bracket(min(low, self.cycles), self.cycles, max(high, self.cycles))


def _cost(block: Block, row: Counts, taken: int) -> BlockCost:
    runs, entered = int(row[native.BLOCK_RUNS]), int(row[native.BLOCK_TAKEN])
    code, data, ram = (
        int(row[i]) / PARTS for i in (native.BLOCK_FETCH_WAIT, native.BLOCK_DATA_WAIT, native.BLOCK_RAM_WAIT)
    )
    spent = dict.fromkeys(("loads", "stores", "branches", "arithmetic", "stalls"), 0)
    for instruction, cycles in zip(block.instructions, block.costs, strict=True):
        plain = min(cycles, 1 + instruction.words)
        spent[instruction.kind] += plain
        spent["stalls"] += cycles - plain
    share = Share(
        **{kind: float(runs * cycles) for kind, cycles in spent.items() if kind != "branches"},
        branches=float(runs * spent["branches"] + entered * taken),
        flash_code=code,
        flash_data=data,
        ram=ram,
    )
    outside = entered * taken + code + data + ram
    return BlockCost(
        block=block,
        runs=runs,
        instructions=runs * len(block.instructions),
        low=runs * block.low + outside,
        cycles=runs * block.cycles + outside,
        high=runs * block.high + outside + entered * block.far,
        share=share,
        code_misses=int(row[native.BLOCK_FETCH_MISSES]),
        data_misses=int(row[native.BLOCK_DATA_MISSES]),
    )


def add(shares: Sequence[Share]) -> Share:
    """The sum of shares, kind by kind."""
    return Share(*np.sum([list(vars(share).values()) for share in shares] or [[0.0] * 8], axis=0).tolist())
