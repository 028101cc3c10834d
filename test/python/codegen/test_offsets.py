"""Offsets of buffers: greedy, exact, and checked against each other."""

from __future__ import annotations

from itertools import combinations, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from microai.codegen.plan import offsets
from microai.codegen.plan.offsets import ALIGNMENT, Buffer, Offsets, best_offsets, place


def made(*spans: tuple[int, int, int]) -> dict[str, Buffer]:
    """Buffers of (units, first, last)."""
    return {f"b{i}": Buffer(units * ALIGNMENT, *life) for i, (units, *life) in enumerate(spans)}


def bound_of(buffers: dict[str, Buffer]) -> int:
    return max(sum(b.at(step) for b in buffers.values()) for step in range(20))


def check(buffers: dict[str, Buffer], found: Offsets) -> None:
    """No two share a byte at any step, and the peak is what it says."""
    for a, b in combinations(buffers, 2):
        for step in range(20):
            low, high = sorted((a, b), key=lambda name: found.offsets[name])
            sizes = buffers[low].at(step), buffers[high].at(step)
            assert not all(sizes) or found.offsets[low] + sizes[0] <= found.offsets[high]
    assert found.peak == max(found.offsets[name] + b.size for name, b in buffers.items())


# Greedy by every order takes 11 units where 10 do.
HARD = made((3, 1, 2), (5, 4, 6), (3, 2, 4), (3, 2, 2), (1, 0, 3))

lives = st.tuples(st.integers(1, 6), st.integers(0, 6), st.integers(0, 4)).map(
    lambda t: (t[0], t[1], t[1] + t[2])
)


@settings(max_examples=100, deadline=None)
@given(spans=st.lists(lives, min_size=1, max_size=6), shrinks=st.lists(st.integers(0, 5), min_size=6))
def test_best_of_all_orders(spans: list[tuple[int, int, int]], shrinks: list[int]) -> None:
    """Some order of placing at the lowest free offset is optimal; none beats what is said to be optimal."""
    buffers = made(*spans)
    for buffer, shrink in zip(buffers.values(), shrinks, strict=False):
        buffer.extend(buffer.last + shrink, ALIGNMENT)
    found = best_offsets(buffers, bound_of(buffers))
    check(buffers, found)
    assert found.optimal
    tries = [place(buffers, order) for order in permutations(buffers)]
    peaks = [max(o[name] + buffers[name].size for name in buffers) for o in tries]
    assert found.peak <= min(peaks)


def test_the_integer_program_finds_what_greedy_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    found = best_offsets(HARD, bound_of(HARD))
    check(HARD, found)
    assert found.optimal and found.peak == 10 * ALIGNMENT
    monkeypatch.setattr(offsets, "LARGEST_PROGRAM", 0)
    greedy = best_offsets(HARD, bound_of(HARD))
    check(HARD, greedy)
    assert not greedy.optimal and greedy.peak == 11 * ALIGNMENT


def test_of_equal_offsets_scratch_memory_lies_lowest() -> None:
    buffers = made((4, 0, 2), (3, 0, 1))
    buffers["scratch"] = Buffer(2 * ALIGNMENT, 1, 1, hot=True)
    found = best_offsets(buffers, bound_of(buffers))
    check(buffers, found)
    assert found.peak == 9 * ALIGNMENT and found.offsets["scratch"] == 0
