"""Offsets of buffers: as few bytes as possible.

Greedy (lowest free offset) over several orders; the best is kept. Where that misses the lower bound, an integer
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


@dataclass
class Buffer:
    """Memory that tensors share: size in bytes and the steps during which it is alive."""

    size: int
    first: int
    last: int

    def meets(self, other: Buffer) -> bool:
        return self.first <= other.last and other.first <= self.last


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
            (offsets[other], offsets[other] + buffers[other].size)
            for other in offsets
            if buffers[other].meets(buffer)
        )
        offset = 0
        for begin, end in taken:
            if offset + buffer.size <= begin:
                break
            offset = max(offset, end)
        offsets[name] = offset
    return offsets


ORDERS: tuple[Callable[[Buffer], tuple[int, ...]], ...] = (
    lambda b: (-b.size, b.first),
    lambda b: (b.first, -b.size),
    lambda b: (-b.last, -b.size),
    lambda b: (-b.size * (b.last - b.first + 1), b.first),
    lambda b: (b.first - b.last, -b.size),
)


def best_offsets(buffers: Mapping[str, Buffer], lower_bound: int) -> Offsets:
    """The smallest arrangement that is found; deterministic unless the time limit ends the search."""
    tries = [
        place(buffers, sorted(buffers, key=lambda name, key=key: key(buffers[name])))  # type: ignore[misc]
        for key in ORDERS
    ]

    def peak(offsets: Mapping[str, int]) -> int:
        return max(offsets[name] + buffers[name].size for name in buffers)

    best = min(tries, key=peak)
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
        (a, b) for a, b in combinations(range(len(names)), 2) if buffers[names[a]].meets(buffers[names[b]])
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
        at_most(top - sizes[a], (a, 1), (b, -1), (k, top))  # bit 1: a lies below b
        at_most(-sizes[b], (b, 1), (a, -1), (k, -top))
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
        options={"time_limit": SECONDS},
    )
    if result.x is None:
        return None, False
    offsets = {name: round(result.x[i]) * ALIGNMENT for i, name in enumerate(names)}
    return _verified(buffers, offsets), result.status == 0


def _verified(buffers: Mapping[str, Buffer], offsets: dict[str, int]) -> dict[str, int] | None:
    """The offsets, unless the solver's tolerances let two buffers overlap."""
    for a, b in combinations(buffers, 2):
        low, high = sorted((a, b), key=lambda name: offsets[name])
        if buffers[a].meets(buffers[b]) and offsets[low] + buffers[low].size > offsets[high]:
            return None
    return offsets
