"""Steps of C that differ only in places of the arena, written as loops."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

PLACE = re.compile(r"(?<=arena->)(\w+) \+ (\d+)u")
LONGEST_PERIOD = 16


@dataclass(frozen=True)
class Turn:
    """The lines of one step, without the places, and the places."""

    text: str
    places: tuple[int, ...]


def turn_of(lines: Sequence[str]) -> Turn:
    text = "\n".join(lines)
    return Turn(PLACE.sub(r"\1 + @", text), tuple(int(m[2]) for m in PLACE.finditer(text)))


def repeats(turns: Sequence[Turn], start: int, period: int) -> int:
    """How many times the `period` turns from `start` on follow each other with places in arithmetic progression."""
    count = 1
    while True:
        ahead = start + count * period
        now, then = turns[ahead : ahead + period], turns[ahead - period : ahead]
        if len(now) < period or any(a.text != b.text for a, b in zip(now, then, strict=True)):
            return count
        if count > 1:
            before = turns[ahead - 2 * period : ahead - period]
            if any(
                a - b != b - c
                for x, y, z in zip(now, then, before, strict=True)
                for a, b, c in zip(x.places, y.places, z.places, strict=True)
            ):
                return count
        count += 1


def folded(steps: Sequence[Sequence[str]]) -> list[str]:
    """The lines of all steps; runs that repeat are a loop. No line of a step may name `i`."""
    turns = [turn_of(lines) for lines in steps]
    result: list[str] = []
    at = 0
    while at < len(turns):
        ways = [
            (period * (repeats(turns, at, period) - 1), -period)
            for period in range(1, min(LONGEST_PERIOD, len(turns) - at) + 1)
        ]
        saved, negative = max(ways)
        period = -negative
        if saved == 0:
            result += steps[at]
            at += 1
            continue
        count = saved // period + 1
        result.append(f"for (uint32_t i = 0; i < {count}u; i++) {{")
        for k in range(at, at + period):
            deltas = [b - a for a, b in zip(turns[k].places, turns[k + period].places, strict=True)]
            result += [f"    {line}" for line in stepped("\n".join(steps[k]), deltas).splitlines()]
        result.append("}")
        at += period * count
    return result


def stepped(text: str, deltas: Sequence[int]) -> str:
    """The text with every place moved on by its delta each time."""
    remaining = iter(deltas)

    def place(match: re.Match[str]) -> str:
        delta = next(remaining)
        sign = "+" if delta > 0 else "-"
        return f"{match[0]}{f' {sign} {abs(delta)}u * i' if delta else ''}"

    return PLACE.sub(place, text)
