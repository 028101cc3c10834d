"""Energy of an inference and the life of a battery, from time and the board's current ([power] in board.toml).

Energy = time x voltage x current, with a current that is proportional to the clock and does not depend on what the
core computes: the published measurements are one figure a board. `uncertainty` says how far that may be off.
"""

from __future__ import annotations

from dataclasses import dataclass

from .board import Power

HOURS_PER_DAY = 24
SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Energy:
    """Of one inference: microjoules and microwatt hours, true within the fraction `uncertainty`."""

    uj: float
    uwh: float
    uncertainty: float


@dataclass(frozen=True)
class Duty:
    """Sleep between inferences at `rate` a second: share of time awake, mean current, days from `battery_mah`."""

    rate: float
    awake: float
    average_ua: float
    battery_mah: float
    days: float


def active_ma(power: Power, clock_hz: int) -> float:
    """Current while the core computes, in mA."""
    return power.current_ma * clock_hz / power.clock_hz


def energy(power: Power, clock_hz: int, cycles: float) -> Energy:
    """Energy of `cycles` core cycles."""
    uj = cycles / clock_hz * active_ma(power, clock_hz) * power.voltage * 1e3
    return Energy(uj, uj / SECONDS_PER_HOUR, power.uncertainty)


def duty(power: Power, clock_hz: int, cycles: float, rate: float, battery_mah: float) -> Duty | None:
    """The current at `rate` inferences a second; None if the board cannot keep up. Waking up costs nothing here."""
    awake = cycles / clock_hz * rate
    if awake > 1:
        return None
    average = 1e3 * active_ma(power, clock_hz) * awake + power.sleep_ua * (1 - awake)
    return Duty(rate, awake, average, battery_mah, 1e3 * battery_mah / average / HOURS_PER_DAY)
