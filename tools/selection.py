"""The kernels of a whole network: the best for a goal that keep within limits, by measured costs.

Layers are not independent: two that use one kernel share its code, and the largest need of memory at any one step
decides the arena. So every set of shared code and every size of the arena that could matter is tried; for each, the
layers' cycles and tables add up, and of the sums only those are kept that no other beats in both.
"""

from __future__ import annotations

import itertools
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib.util import find_spec
from typing import Literal

from .boards.board import Board
from .codegen.choose import PORTABLE, Choice, Optimize, candidates, choose
from .codegen.graph import Graph
from .codegen.pipeline import finish
from .codegen.plan import align, plan
from .errors import UserError
from .files import key_of
from .firmware import CROSS_COMPILER, machine_key
from .kernel_costs import Candidate, Cost, Costs, Figures, choices_of

# Differences of cycles below this come from where the code happens to lie: memory then decides.
SAME_CYCLES = 0.005
# Sums of cycles and tables that are kept; more only in networks of very many layers, whose sums lie close together.
MOST_SUMS = 500
# Images that are built and run to find one that keeps within limits in fact, not by estimate alone.
MOST_IMAGES = 4


@dataclass(frozen=True)
class Limits:
    """Of a whole image: bytes of flash, bytes of static RAM and reserved stack, ms of one inference."""

    rom_bytes: int | None = None
    ram_bytes: int | None = None
    ms: float | None = None

    def given(self) -> dict[str, float]:
        """Those that are set, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Goal:
    """What [deploy] asks for, and where: `board` at `clock_hz`. `measure` False: the rule decides."""

    optimize: Optimize
    limits: Limits
    board: Board
    clock_hz: int
    measure: bool = True


@dataclass(frozen=True)
class Option:
    """A kernel that could compute a layer; `cost` is None where it was not measured."""

    choice: Choice
    cost: Cost | None


@dataclass(frozen=True)
class Row:
    """A layer: its kernels, the portable one first, which one was chosen and why."""

    layer: str
    kind: str
    options: tuple[Option, ...]
    chosen: Choice
    why: str

    @property
    def option(self) -> Option:
        """The chosen one."""
        return next(option for option in self.options if option.choice == self.chosen)


@dataclass(frozen=True)
class Selection:
    """The kernels of a network. `note` says what "rule" instead of measurement was for.

    `figures`: of the whole image, where it was built to choose.
    """

    goal: Goal
    method: Literal["measured", "rule"]
    note: str
    rows: tuple[Row, ...]
    figures: Figures | None = None

    @property
    def choices(self) -> dict[str, Choice]:
        """By node, as the lowering wants them."""
        return choices_of({row.layer: row.chosen for row in self.rows})


def unmeasured(goal: Goal) -> str:
    """Why nothing is measured; "" where it is."""
    if not goal.measure:
        return "measure = false"
    if shutil.which(CROSS_COMPILER) is None:
        return f"{CROSS_COMPILER} is not on the PATH"
    if shutil.which("cmake") is None:
        return "cmake is not on the PATH"
    if find_spec(f"{__package__}.boards.{goal.board.emulator}") is None:
        return f"{goal.board.name} has no virtual board"
    return ""


def selection_key(goal: Goal) -> str:
    """Hash of all that decides a selection beside the graph."""
    machine = "" if unmeasured(goal) else machine_key()
    where = [goal.board.name, goal.clock_hz]
    return key_of(optimize=goal.optimize, limits=goal.limits.given(), machine=machine, where=where)


def select(graph: Graph, goal: Goal, costs: Costs | None = None) -> Selection:
    """Choose the kernels of a quantized graph.

    Raises UserError for a limit that cannot be reached, or that nothing can be measured for.
    """
    note = unmeasured(goal)
    if note:
        return by_rule(graph, goal, note)
    costs = costs or Costs(goal.board, goal.clock_hz)
    options = {node.name: candidates(graph, node) for node in graph.nodes}
    several = [
        Candidate(graph, node, choice)
        for node in graph.nodes
        if len(options[node.name]) > 1
        for choice in options[node.name]
    ]
    measured: dict[str, list[Option]] = {}
    for candidate, cost in zip(several, costs.of(several), strict=True):
        measured.setdefault(candidate.node.name, []).append(Option(candidate.choice, cost))
    if not all(any(option.cost for option in found) for found in measured.values()):
        return by_rule(graph, goal, f"a layer is too large for {goal.board.name}")
    points = reachable(graph, measured)
    picked, figures = _pick(graph, goal, costs, points)
    rows = []
    for node in graph.nodes:
        found = tuple(measured.get(node.name, [Option(PORTABLE, None)]))
        chosen = picked.get(node.name, PORTABLE)
        rows.append(Row(node.name, node.op.kind, found, chosen, reason(found, chosen)))
    return Selection(goal, "measured", "", tuple(rows), figures)


class Chooser:
    """Chooses for compile_graph; afterwards `selection` tells what and why."""

    def __init__(self, goal: Goal) -> None:
        self.goal = goal

    def __call__(self, graph: Graph) -> Mapping[str, Choice]:
        self.selection = select(graph, self.goal)
        return self.selection.choices


def by_rule(graph: Graph, goal: Goal, note: str) -> Selection:
    """The kernels by the rule of codegen/choose.py."""
    for name in goal.limits.given():
        raise UserError(f"deploy.{name}", f"needs measured kernels, but {note}", "remove the limit")
    choices = choose(graph, goal.optimize)
    rows = tuple(
        Row(
            node.name,
            node.op.kind,
            tuple(Option(choice, None) for choice in candidates(graph, node)),
            choices.get(node.name, PORTABLE),
            "by the rule",
        )
        for node in graph.nodes
    )
    return Selection(goal, "rule", note, rows)


# ---- what can be reached ----


@dataclass(frozen=True)
class Point:
    """A choice for every layer that has one, and what differs with it: cycles, tables and code, the arena's peak."""

    cycles: int
    rom: int
    arena: int
    choices: tuple[tuple[str, Choice], ...]


@dataclass(frozen=True)
class _Way:
    """An option of a layer; `peak`: bytes of the arena in use while it computes."""

    choice: Choice
    cycles: int
    tables: int
    peak: int
    code: frozenset[str]


def live_bytes(graph: Graph) -> dict[str, int]:
    """Bytes of all tensors that are alive while each node computes, without scratch memory."""
    memory = plan(graph)
    spans: dict[str, tuple[int, int, int]] = {}
    for tensor, placement in memory.placements.items():
        home = memory.buffer[tensor]
        first, last, size = spans.get(home, (placement.first, placement.last, 0))
        first, last = min(first, placement.first), max(last, placement.last)
        spans[home] = (first, last, max(size, align(placement.size)))
    return {
        node.name: sum(size for first, last, size in spans.values() if first <= step <= last)
        for step, node in enumerate(graph.nodes)
    }


def reachable(graph: Graph, options: Mapping[str, Sequence[Option]]) -> list[Point]:
    """Choices of all layers such that no other is at most as expensive in cycles, ROM and RAM."""
    live = live_bytes(graph)
    sizes: dict[str, int] = {}
    layers: dict[str, list[_Way]] = {}
    for name, found in options.items():
        for option in found:
            cost = option.cost
            if cost is not None:
                sizes |= cost.code
                peak = live[name] + align(option.choice.scratch)
                way = _Way(option.choice, cost.cycles, cost.tables, peak, frozenset(cost.code))
                layers.setdefault(name, []).append(way)
    floor = max(live.values(), default=0)
    kinds = sorted({way.code for ways in layers.values() for way in ways}, key=sorted)
    peaks = sorted({max(way.peak, floor) for ways in layers.values() for way in ways})
    points: dict[tuple[int, int, int], Point] = {}
    for count in range(1, len(kinds) + 1):
        for together in itertools.combinations(kinds, count):
            code = sum(sizes[name] for name in frozenset().union(*together))
            for peak in peaks:
                allowed = [
                    [way for way in ways if way.peak <= peak and way.code in together]
                    for ways in layers.values()
                ]
                for cycles, tables, ways in sums(allowed):
                    arena = max(floor, *(way.peak for way in ways))
                    choices = tuple((name, way.choice) for name, way in zip(layers, ways, strict=True))
                    point = Point(cycles, tables + code, arena, choices)
                    points.setdefault((cycles, tables + code, arena), point)
    return not_beaten(list(points.values())) or [Point(0, 0, floor, ())]


def sums(layers: Sequence[Sequence[_Way]]) -> list[tuple[int, int, tuple[_Way, ...]]]:
    """Sums of cycles and of tables over one way for each layer, such that no other is lower in both."""
    front: list[tuple[int, int, tuple[_Way, ...]]] = [(0, 0, ())]
    for ways in layers:
        longer = sorted(
            ((c + way.cycles, t + way.tables, (*taken, way)) for c, t, taken in front for way in ways),
            key=lambda entry: entry[:2],
        )
        front = []
        for entry in longer:
            if not front or entry[1] < front[-1][1]:
                front.append(entry)
        if len(front) > MOST_SUMS:
            front = [front[i * (len(front) - 1) // (MOST_SUMS - 1)] for i in range(MOST_SUMS)]
    return front


def not_beaten(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats or equals in all three figures; fewest cycles first."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cycles, p.rom, p.arena)):
        if not any(other.rom <= point.rom and other.arena <= point.arena for other in kept):
            kept.append(point)
    return kept


# ---- the goal ----


def _pick(
    graph: Graph, goal: Goal, costs: Costs, points: Sequence[Point]
) -> tuple[dict[str, Choice], Figures | None]:
    """The choices for the goal, and the figures of the image where they had to be known."""
    if goal.optimize != "balanced" and not goal.limits.given():
        return dict(in_order(goal, points)[0].choices), None
    start = points[0]
    base = costs.of_image(finish(graph, choices_of(dict(start.choices)), optimize=goal.optimize))
    # What a whole image takes beside the layers that have a choice; corrected by every image that is built.
    rest = Figures(base.cycles - start.cycles, base.rom - start.rom, base.ram - start.arena, 0)
    for _ in range(MOST_IMAGES):
        whole = [
            replace(
                point,
                cycles=point.cycles + rest.cycles,
                rom=point.rom + rest.rom,
                arena=point.arena + rest.ram,
            )
            for point in points
        ]
        good, limit = within(whole, goal)
        best = in_order(goal, good)[0]
        choices = dict(best.choices)
        found = costs.of_image(finish(graph, choices_of(choices), optimize=goal.optimize))
        if not limit and not exceeded(found.cycles, found.rom, found.ram, goal):
            return choices, found
        if limit:
            break
        rest = Figures(
            rest.cycles + max(found.cycles - best.cycles, 0),
            rest.rom + max(found.rom - best.rom, 0),
            rest.ram + max(found.ram - best.arena, 0),
            0,
        )
    raise too_tight(limit or exceeded(found.cycles, found.rom, found.ram, goal)[0], found, goal)


def in_order(goal: Goal, points: Sequence[Point]) -> list[Point]:
    """The points, best first."""
    match goal.optimize:
        case "speed":
            enough = min(point.cycles for point in points) * (1 + SAME_CYCLES)
            return sorted(points, key=lambda p: (p.cycles > enough, p.arena, p.rom, p.cycles))
        case "size":
            return sorted(points, key=lambda p: (p.rom, p.cycles, p.arena))
        case "ram":
            return sorted(points, key=lambda p: (p.arena, p.cycles, p.rom))
        case "balanced":
            return sorted(points, key=lambda p: (p.cycles * p.rom * p.arena, p.cycles, p.rom))


def figure(name: str, cycles: int, rom: int, ram: int, clock_hz: int) -> float:
    """What the limit of that name limits."""
    return {"rom_bytes": rom, "ram_bytes": ram, "ms": 1e3 * cycles / clock_hz}[name]


def exceeded(cycles: int, rom: int, ram: int, goal: Goal) -> list[str]:
    """Names of the limits that figures of a whole image exceed."""
    return [
        name
        for name, limit in goal.limits.given().items()
        if figure(name, cycles, rom, ram, goal.clock_hz) > limit
    ]


def within(points: Sequence[Point], goal: Goal) -> tuple[list[Point], str]:
    """The points, with figures of whole images, that keep within the limits.

    Where none does, those that come nearest to the first limit that cannot be kept beside the ones before it, and its
    name.
    """
    good = list(points)
    for name, limit in goal.limits.given().items():
        figures = [figure(name, p.cycles, p.rom, p.arena, goal.clock_hz) for p in good]
        nearest = min(figures)
        good = [p for p, value in zip(good, figures, strict=True) if value <= max(limit, nearest)]
        if nearest > limit:
            return good, name
    return good, ""


def too_tight(name: str, nearest: Figures, goal: Goal) -> UserError:
    """No choice of kernels keeps within the limit of that name; `nearest` is of an image that comes near."""
    limits = goal.limits.given()
    amount = figure(name, nearest.cycles, nearest.rom, nearest.ram, goal.clock_hz)
    before = list(limits)[: list(limits).index(name)]
    joint = f" within {' and '.join(f'{other} = {limits[other]:g}' for other in before)}" if before else ""
    # Rounded up, so that what is told is reached when it is asked for.
    told = f"{math.ceil(amount * 100) / 100:.2f} ms" if name == "ms" else f"{amount:.0f} bytes"
    return UserError(
        f"deploy.{name}",
        f"{limits[name]:g} cannot be reached on {goal.board.name} at {goal.clock_hz / 1e6:g} MHz{joint}",
        f"the nearest is {told}",
    )


def reason(options: Sequence[Option], chosen: Choice) -> str:
    """Why a kernel was chosen, beside the others of its layer."""
    if len(options) == 1:
        return "the only kernel"
    measured = [(option.choice, option.cost) for option in options if option.cost is not None]
    own = next(cost for choice, cost in measured if choice == chosen)
    quickest, best = min(measured, key=lambda entry: (entry[1].cycles, entry[0].scratch))
    if quickest == chosen:
        return "fewest cycles"
    faster = f"{quickest} is {100 * (own.cycles / best.cycles - 1):.1f} % faster"
    more = [
        f"{amount} bytes of {what}"
        for what, amount in (
            ("scratch memory", quickest.scratch - chosen.scratch),
            ("tables", best.tables - own.tables),
            ("code", sum(best.code.values()) - sum(own.code.values())),
        )
        if amount > 0
    ]
    return (
        f"{faster}, takes {', '.join(more)} more" if more else f"{faster}; its code would be one kernel more"
    )
