"""The kernels of a whole network: the best for a goal that keep within limits, by measured costs.

Layers are not independent: two that use one kernel share its code, and scratch memory counts only where the arena is
fullest. So every set of shared code and several limits of scratch memory are tried; for each, the layers' cycles and
tables add up, and of the sums only those are kept that no other beats in both. The memory plan, which may compute
chains of layers by rows, then tells the arena of each limit.
"""

from __future__ import annotations

import itertools
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib.util import find_spec
from typing import Literal

from .boards.board import Board
from .codegen.choose import PORTABLE, Choice, Optimize, candidates, choose
from .codegen.graph import Graph
from .codegen.kernels import kernel_table
from .codegen.lower import lower
from .codegen.pipeline import COMPILE_FOR, decide, plan_memory
from .codegen.plan import MemoryPlan, Parts
from .errors import UserError
from .files import key_of
from .firmware import CROSS_COMPILER, machine_key
from .kernel_costs import Candidate, Cost, Costs, Figures, choices_of

# Differences of cycles below this come from where the code happens to lie: memory then decides.
SAME_CYCLES = 0.005
# Limits of scratch memory that are tried.
MOST_LIMITS = 8
# Sums of cycles and tables that are kept; more only in networks of very many layers, whose sums lie close together.
MOST_SUMS = 500
# Images that are built and run to find one that keeps within limits in fact, not by estimate alone.
MOST_IMAGES = 5


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

    `figures`: of the whole image, where it was built to choose. `arena_limit`: bytes for the memory plan, 0 for none.
    """

    goal: Goal
    method: Literal["measured", "rule"]
    note: str
    rows: tuple[Row, ...]
    figures: Figures | None = None
    arena_limit: int = 0

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


def select(graph: Graph, goal: Goal, costs: Costs | None = None, parts: Parts | None = None) -> Selection:
    """Choose the kernels of a quantized graph. parts: of this graph, for memory plans made later.

    Raises UserError for a limit that cannot be reached, or that nothing can be measured for.
    """
    note = unmeasured(goal)
    if note:
        return by_rule(graph, goal, note)
    costs = costs or Costs(goal.board, goal.clock_hz, compile_for=COMPILE_FOR[goal.optimize])
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
    best, figures = _pick(parts or Parts(graph), goal, costs, measured)
    picked = dict(best.choices)
    rows = []
    for node in graph.nodes:
        found = tuple(measured.get(node.name, [Option(PORTABLE, None)]))
        chosen = picked.get(node.name, PORTABLE)
        rows.append(Row(node.name, node.op.kind, found, chosen, reason(found, chosen)))
    return Selection(goal, "measured", "", tuple(rows), figures, best.arena_limit)


class Chooser:
    """Chooses for compile_graph; afterwards `selection` tells what and why."""

    def __init__(self, goal: Goal) -> None:
        self.goal = goal

    def __call__(self, graph: Graph) -> tuple[Mapping[str, Choice], MemoryPlan]:
        parts = Parts(graph)
        self.selection = select(graph, self.goal, parts=parts)
        choices = self.selection.choices
        return choices, planned(parts, choices, self.goal, self.selection.arena_limit)


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


def planned(parts: Parts, choices: Mapping[str, Choice], goal: Goal, arena_limit: int) -> MemoryPlan:
    """The memory plan of these choices."""
    return plan_memory(parts.graph, choices, goal.optimize, arena_limit, parts)


# ---- what can be reached ----


@dataclass(frozen=True)
class Point:
    """A choice for every layer that has one, and what differs with it: cycles, bytes of tables and code, the arena.

    `arena_limit` is what the memory plan was asked for, 0 where it was not.
    """

    cycles: int
    rom: int
    arena: int
    choices: tuple[tuple[str, Choice], ...]
    arena_limit: int = 0


@dataclass(frozen=True)
class _Way:
    """An option of a layer."""

    choice: Choice
    cycles: int
    tables: int
    code: frozenset[str]


def scratch_limits(options: Mapping[str, Sequence[Option]]) -> list[int]:
    """Bytes of scratch memory that some option needs, evenly thinned to MOST_LIMITS; the least and the most stay."""
    sizes = sorted({option.choice.scratch for found in options.values() for option in found})
    if len(sizes) <= MOST_LIMITS:
        return sizes or [0]
    return [sizes[i * (len(sizes) - 1) // (MOST_LIMITS - 1)] for i in range(MOST_LIMITS)]


def reachable(
    options: Mapping[str, Sequence[Option]],
    arena_of: Callable[[dict[str, Choice]], int],
    arena_limit: int = 0,
) -> list[Point]:
    """Choices of all layers such that no other is at most as expensive in cycles, ROM and arena.

    `arena_of` tells the arena of choices; it is asked once for each limit of scratch memory.
    """
    sizes: dict[str, int] = {}
    layers: dict[str, list[_Way]] = {}
    for name, found in options.items():
        for option in found:
            cost = option.cost
            if cost is not None:
                sizes |= cost.code
                way = _Way(option.choice, cost.cycles, cost.tables, frozenset(cost.code))
                layers.setdefault(name, []).append(way)
    kinds = sorted({way.code for ways in layers.values() for way in ways}, key=sorted)
    points: list[Point] = []
    for limit in scratch_limits(options):
        small = {n: [way for way in ways if way.choice.scratch <= limit] for n, ways in layers.items()}
        if not all(small.values()):
            continue
        quickest = {n: min(ways, key=lambda way: way.cycles).choice for n, ways in small.items()}
        arena = arena_of(quickest)
        for count in range(1, len(kinds) + 1):
            for together in itertools.combinations(kinds, count):
                code = sum(sizes[name] for name in frozenset().union(*together))
                allowed = [[way for way in ways if way.code in together] for ways in small.values()]
                for cycles, tables, taken in sums(allowed):
                    choices = tuple((n, way.choice) for n, way in zip(layers, taken, strict=True))
                    points.append(Point(cycles, tables + code, arena, choices, arena_limit))
    return not_beaten(points) or [Point(0, 0, arena_of({}), (), arena_limit)]


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
    parts: Parts, goal: Goal, costs: Costs, options: Mapping[str, Sequence[Option]]
) -> tuple[Point, Figures | None]:
    """The point for the goal, and the figures of its image where they had to be known."""

    def arena_of(arena_limit: int) -> Callable[[dict[str, Choice]], int]:
        return lambda choices: costs.of_plan(parts, choices_of(choices), goal.optimize, arena_limit)

    def image(point: Point) -> Figures:
        choices = choices_of(dict(point.choices))
        memory = planned(parts, choices, goal, point.arena_limit)
        program = lower(parts.graph, memory, kernel_table(), choices=choices, compile_for=costs.compile_for)
        return costs.of_image(program)

    others: list[tuple[Point, Figures]] = []
    limits = goal.limits.given()
    if goal.optimize == "speed" and not limits:
        return together(parts, goal, options), None
    if goal.optimize == "size" and not limits:
        # The arena decides only between equals: the scratch memory tells enough of it.
        return in_order(goal, reachable(options, largest_scratch))[0], None
    points = reachable(options, arena_of(0))
    if goal.optimize == "ram" and not limits:
        return in_order(goal, points)[0], None
    start = points[0]
    base = image(start)
    # What a whole image takes beside the layers that have a choice; corrected by every image that is built.
    rest = Figures(base.cycles - start.cycles, base.rom - start.rom, base.ram - start.arena, 0)
    if goal.limits.ram_bytes is not None:
        room = max(goal.limits.ram_bytes - rest.ram, 1) // 8 * 8
        points = [*points, *reachable(options, arena_of(room), room)]
        point = together(parts, goal, options, room)
        others = [(point, image(point))]
    for _ in range(MOST_IMAGES):
        whole = {
            replace(
                point,
                cycles=point.cycles + rest.cycles,
                rom=point.rom + rest.rom,
                arena=point.arena + rest.ram,
            ): point
            for point in points
        }
        good, limit = within(list(whole), goal)
        best = in_order(goal, good)[0]
        found = image(best)
        if not exceeded(found.cycles, found.rom, found.ram, goal):
            return better(goal, (whole[best], found), *others)
        if limit:
            break
        rest = Figures(
            rest.cycles + max(found.cycles - best.cycles, 0),
            rest.rom + max(found.rom - best.rom, 0),
            rest.ram + max(found.ram - best.arena, 0),
            0,
        )
    for other in others:
        if not exceeded(other[1].cycles, other[1].rom, other[1].ram, goal):
            return other
    name = limit or exceeded(found.cycles, found.rom, found.ram, goal)[0]
    images = [found, *(figures for _, figures in others)]
    nearest = min(images, key=lambda f: figure(name, f.cycles, f.rom, f.ram, goal.clock_hz))
    raise too_tight(name, nearest, goal)


def together(parts: Parts, goal: Goal, options: Mapping[str, Sequence[Option]], room: int = 0) -> Point:
    """Kernels and chains by rows chosen in one by the memory plan, for an arena of `room` bytes; 0: as many as the
    goal takes.

    It knows what strips cost, which the sums of whole layers do not; tables and code it does not know.
    """
    measured = {name: [option for option in found if option.cost] for name, found in options.items()}
    kernels = {name: [option.choice for option in found] for name, found in measured.items()}
    cycles = {
        (name, option.choice): float(option.cost.cycles)
        for name, found in measured.items()
        for option in found
        if option.cost is not None
    }
    memory, choices = decide(parts.graph, kernels, goal.optimize, room, cycles, parts)
    picked = {name: choices.get(name, PORTABLE) for name in kernels}
    total = sum(cycles[name, choice] for name, choice in picked.items())
    limit = room or memory.arena_bytes  # what the plan of these kernels alone may take
    return Point(round(total), 0, memory.arena_bytes, tuple(picked.items()), limit)


def better(goal: Goal, first: tuple[Point, Figures], *others: tuple[Point, Figures]) -> tuple[Point, Figures]:
    """Of images that were built the best for the goal, of those that keep within its limits; the first one does."""
    good = [first, *(o for o in others if not exceeded(o[1].cycles, o[1].rom, o[1].ram, goal))]
    points = [replace(p, cycles=f.cycles, rom=f.rom, arena=f.ram) for p, f in good]
    return good[points.index(in_order(goal, points)[0])]


def largest_scratch(choices: Mapping[str, Choice]) -> int:
    """Bytes of scratch memory of the layer that needs most."""
    return max((choice.scratch for choice in choices.values()), default=0)


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
