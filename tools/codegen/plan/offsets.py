"""Offsets of buffers: as few bytes as possible.

Greedy (lowest free offset) over several orders; the best is kept, of equal ones that whose hottest buffers lie lowest:
where the first part of RAM is the fastest it serves them. Where that misses the lower bound, an integer
program looks for less: HiGHS, through scipy, which stops at a time limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

ALIGNMENT = 8
SECONDS = 20.0
LARGEST_PROGRAM = 400  # pairs of buffers that are alive at one time


class Buffer:
    """Memory that tensors share one after the other: (first step, last step, bytes), each behind the one before.

    hot: scratch memory, which a kernel reads for every product.
    """

    def __init__(self, size: int, first: int, last: int, hot: bool = False) -> None:
        self.spans = [(first, last, size)]
        self.hot = hot

    @property
    def last(self) -> int:
        return self.spans[-1][1]

    @property
    def first(self) -> int:
        return self.spans[0][0]

    @property
    def size(self) -> int:
        """The most bytes at any step."""
        return max(size for _, _, size in self.spans)

    def extend(self, last: int, size: int) -> None:
        """Keep `size` bytes from the last step until another."""
        if last > self.last:
            self.spans.append((self.last + 1, last, size))

    def at(self, step: int) -> int:
        """Bytes at a step."""
        return sum(size for first, last, size in self.spans if first <= step <= last)

    def beside(self, other: Buffer) -> int:
        """The most bytes at any step at which the other one is alive too; 0: at none."""
        low, high = other.first, other.last
        return max((size for first, last, size in self.spans if first <= high and low <= last), default=0)


@dataclass(frozen=True)
class Offsets:
    """A place for each buffer, the bytes that all take, and whether none can take less."""

    offsets: Mapping[str, int]
    peak: int
    optimal: bool


def align(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def place(buffers: Mapping[str, Buffer], order: Sequence[str]) -> dict[str, int]:
    """Lowest free offset for each buffer in turn."""
    offsets: dict[str, int] = {}
    for name in order:
        buffer = buffers[name]
        taken = sorted(
            (offsets[other], offsets[other] + buffers[other].beside(buffer), buffer.beside(buffers[other]))
            for other in offsets
            if buffers[other].beside(buffer)
        )
        offset = 0
        for begin, end, size in taken:
            if offset + size > begin:
                offset = max(offset, end)
        offsets[name] = offset
    return offsets


ORDERS: tuple[Callable[[Buffer], tuple[int, ...]], ...] = (
    lambda b: (-b.size, b.first),
    lambda b: (b.first, -b.size),
    lambda b: (-b.last, -b.size),
    lambda b: (-b.size * (b.last - b.first + 1), b.first),
    lambda b: (b.first - b.last, -b.size),
    lambda b: (not b.hot, -b.size, b.first),
)


def best_offsets(buffers: Mapping[str, Buffer], lower_bound: int) -> Offsets:
    """The smallest arrangement that is found; deterministic unless the time limit ends the search."""
    tries = [
        place(buffers, sorted(buffers, key=lambda name, key=key: key(buffers[name])))  # type: ignore[misc]
        for key in ORDERS
    ]

    def peak(offsets: Mapping[str, int]) -> int:
        return max(offsets[name] + buffers[name].size for name in buffers)

    def heat(offsets: Mapping[str, int]) -> int:
        return sum(buffer.size * offsets[name] for name, buffer in buffers.items() if buffer.hot)

    best = min(tries, key=lambda offsets: (peak(offsets), heat(offsets)))
    if peak(best) == lower_bound:
        return Offsets(best, lower_bound, True)
    found, optimal = integer_program(buffers, lower_bound, peak(best))
    if found is not None and peak(found) < peak(best):
        best = found
    return Offsets(best, peak(best), optimal)


def integer_program(
    buffers: Mapping[str, Buffer], lowest: int, highest: int
) -> tuple[dict[str, int] | None, bool]:
    """Offsets of a peak below `highest`, None where there are none; and whether that is proved.

    Units of ALIGNMENT bytes: sizes are multiples of it, so some best arrangement is one of multiples.
    Variables: an offset for each buffer, a bit for each pair that is alive at one time (which one is below), the
    peak.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp  # type: ignore[import-untyped]

    names = sorted(buffers)
    sizes = [buffers[name].size // ALIGNMENT for name in names]
    pairs = [
        (a, b) for a, b in combinations(range(len(names)), 2) if buffers[names[a]].beside(buffers[names[b]])
    ]
    if len(pairs) > LARGEST_PROGRAM:
        return None, False
    top, count = highest // ALIGNMENT, len(names) + len(pairs) + 1
    rows, limits = [], []

    def at_most(limit: int, *terms: tuple[int, int]) -> None:
        row = np.zeros(count)
        for variable, factor in terms:
            row[variable] += factor
        rows.append(row)
        limits.append(limit)

    for i, size in enumerate(sizes):
        at_most(-size, (i, 1), (count - 1, -1))
    for k, (a, b) in enumerate(pairs, len(names)):
        below = buffers[names[a]].beside(buffers[names[b]]) // ALIGNMENT
        above = buffers[names[b]].beside(buffers[names[a]]) // ALIGNMENT
        at_most(top - below, (a, 1), (b, -1), (k, top))  # bit 1: a lies below b
        at_most(-above, (b, 1), (a, -1), (k, -top))
    cost = np.zeros(count)
    cost[-1] = 1
    low, high = np.zeros(count), np.full(count, float(top))
    high[len(names) : -1] = 1
    low[-1] = lowest // ALIGNMENT
    result = milp(
        cost,
        constraints=LinearConstraint(np.array(rows), -np.inf, np.array(limits)),
        bounds=Bounds(low, high),
        integrality=np.ones(count),
        options={"time_limit": SECONDS, "mip_rel_gap": 0.0},
    )
    if result.x is None:
        return None, False
    offsets = {name: round(result.x[i]) * ALIGNMENT for i, name in enumerate(names)}
    return _verified(buffers, offsets), result.status == 0


def _verified(buffers: Mapping[str, Buffer], offsets: dict[str, int]) -> dict[str, int] | None:
    """The offsets, unless the solver's tolerances let two buffers overlap."""
    for a, b in combinations(buffers, 2):
        low, high = sorted((a, b), key=lambda name: offsets[name])
        if offsets[low] + buffers[low].beside(buffers[high]) > offsets[high]:
            return None
    return offsets
