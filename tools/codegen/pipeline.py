"""The generator as one function: model file and calibration data in, C program out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from ..errors import UserError
from .choose import PORTABLE, Choice, Optimize, options, priced
from .formats import Array
from .frontends import import_model
from .graph import Graph
from .kernels import kernel_table
from .lower import CompileFor, Program, lower
from .passes import simplify
from .plan import Goal, MemoryPlan, Option, Parts, arrange
from .quantize import affine, fixed_point
from .quantize.affine import AffineScheme
from .quantize.fixed_point import FixedPoint
from .quantize.frozen import Frozen
from .requant import Rounding

BITS = {"int16": 16, "int8": 8}
AFFINE_BITS = {"affine8": 8, "affine16x8": 16}
SAME = 0.01
PLANS: Mapping[Optimize, Goal] = {"speed": "free", "size": "plain", "balanced": "free", "ram": "least"}
# The groups of compiler flags.
COMPILE_FOR: Mapping[Optimize, CompileFor] = {
    "speed": "speed",
    "size": "size",
    "balanced": "speed",
    "ram": "speed",
}

Scheme: TypeAlias = FixedPoint | AffineScheme
# The kernels of a quantized graph by node and its memory plan, where not the rule of choose.py decides.
Chooser: TypeAlias = Callable[[Graph], tuple[Mapping[str, Choice], MemoryPlan]]


def scheme_for(
    kind: str,
    scale: str = "layer",
    frac: int | None = None,
    weight_rounding: str = "nearest",
    rounding: str = "nearest",
) -> Scheme | None:
    """The scheme of a number type ("float32": None) from words. Raises UserError for an unknown one.

    The words after `kind` are for fixed point.
    """
    if kind == "float32":
        return None
    if kind in AFFINE_BITS:
        if (scale, frac, weight_rounding, rounding) != ("layer", None, "nearest", "nearest"):
            raise UserError(
                kind, "its scales and roundings are given", "leave out --scale, --frac and --rounding"
            )
        return AffineScheme(AFFINE_BITS[kind])
    roundings = {name.lower(): value for name, value in Rounding.__members__.items()}
    for what, word, known in (
        ("type", kind, ("float32", *BITS, *AFFINE_BITS)),
        ("rounding", weight_rounding, roundings),
        ("rounding", rounding, roundings),
    ):
        if word not in known:
            raise UserError(what, f"{word!r} is unknown", f"choose from {', '.join(known)}")
    return FixedPoint(BITS[kind], scale, frac, roundings[weight_rounding], roundings[rounding])


@dataclass(frozen=True, eq=False)
class Compiled:
    """What each stage made of one model, in the order of the stages."""

    imported: Graph
    simplified: Graph
    quantized: Graph
    program: Program


def quantize(graph: Graph, calibration: Sequence[Array], scheme: Scheme) -> Graph:
    """The integer graph; `calibration` is one float array [N, *shape] per graph input."""
    if isinstance(scheme, AffineScheme):
        return affine.quantize(graph, calibration, scheme)
    return fixed_point.quantize(graph, calibration, scheme)


def plan_memory(
    graph: Graph,
    choices: Mapping[str, Choice],
    optimize: Optimize,
    limit: int = 0,
    parts: Parts | None = None,
) -> MemoryPlan:
    """The memory plan for the kernels chosen; `limit`: bytes that the arena may have, 0 for as few as the goal asks."""
    return decide(graph, {name: [choice] for name, choice in choices.items()}, optimize, limit, parts=parts)[
        0
    ]


def decide(
    graph: Graph,
    kernels: Mapping[str, Sequence[Choice]],
    optimize: Optimize,
    limit: int = 0,
    cycles: Mapping[tuple[str, Choice], float] = MappingProxyType({}),
    parts: Parts | None = None,
) -> tuple[MemoryPlan, dict[str, Choice]]:
    """The memory plan and the kernel of each layer that has several, chosen together; portable ones are left out.

    kernels: by node, which has the portable one alone where it is missing. cycles: of a layer by a kernel, where they
    were measured. parts: of this graph, from one plan to the next.
    """
    parts = parts or Parts(graph)
    nodes = {node.name: node for node in graph.nodes}
    while True:
        priced_options = {
            name: [priced(graph, nodes[name], choice, cycles.get((name, choice))) for choice in found]
            for name, found in kernels.items()
        }
        memory = arrange(graph, priced_options, PLANS[optimize], limit, parts)
        picked = {name: kernels[name][number] for name, number in memory.picks.items()}
        useless = hardly_used(kernels, priced_options, memory.picks)
        if not useless:
            return memory, {name: choice for name, choice in picked.items() if choice != PORTABLE}
        kernels = {
            name: [c for c in found if c.kernel not in useless] or [c for c in found if c == PORTABLE]
            for name, found in kernels.items()
        }


def hardly_used(
    kernels: Mapping[str, Sequence[Choice]],
    priced_options: Mapping[str, Sequence[Option]],
    picks: Mapping[str, int],
) -> set[str]:
    """Kernels whose code is not worth its bytes: without them all together takes less than SAME more."""
    saved: dict[str, float] = {}
    for name, number in picks.items():
        choice = kernels[name][number]
        if choice != PORTABLE:
            others = [
                o.cycles for c, o in zip(kernels[name], priced_options[name], strict=True) if c == PORTABLE
            ]
            gain = min(others, default=math.inf) - priced_options[name][number].cycles
            saved[choice.kernel] = saved.get(choice.kernel, 0.0) + gain
    total = sum(priced_options[name][number].cycles for name, number in picks.items())
    return {kernel for kernel, gain in saved.items() if gain < SAME * total}


def compile_graph(
    graph: Graph,
    scheme: Scheme | None,
    calibration: Sequence[Array],
    prefix: str = "model",
    remove_softmax: bool = False,
    frozen: Frozen | None = None,
    optimize: Optimize = "speed",
    chooser: Chooser | None = None,
    arena_limit: int = 0,
) -> Compiled:
    """Run all stages after the frontend. `scheme` None keeps float32, for which no calibration is needed.

    frozen: what quantization-aware training decided, in place of the graph's parameters and of calibration.
    optimize: "size" is also what the compiler is asked for.
    chooser: picks the kernels and plans the memory; None is the rule for `optimize`, within `arena_limit` bytes of the
    arena unless it is 0.
    """
    simplified = simplify(graph, remove_softmax=remove_softmax)
    if frozen is not None:
        assert scheme is not None
        quantized = frozen.quantized(simplified, calibration, scheme)
    else:
        quantized = simplified if scheme is None else quantize(simplified, calibration, scheme)
    choices: Mapping[str, Choice]
    if chooser is None:
        memory, choices = decide(quantized, options(quantized, optimize), optimize, arena_limit)
    else:
        choices, memory = chooser(quantized)
    program = lower(quantized, memory, kernel_table(), prefix, choices, COMPILE_FOR[optimize])
    return Compiled(graph, simplified, quantized, program)


def compile_model(
    path: Path,
    name: str,
    scheme: Scheme | None,
    calibration: Sequence[Array],
    prefix: str = "model",
    remove_softmax: bool = False,
    frozen: Frozen | None = None,
    optimize: Optimize = "speed",
    chooser: Chooser | None = None,
) -> Compiled:
    """Import a model file and run all stages. Raises UserError for whatever cannot be deployed."""
    if scheme is not None and not calibration:
        raise UserError(path, "integers need calibration data", "give --calibration samples.npz")
    return compile_graph(
        import_model(path, name), scheme, calibration, prefix, remove_softmax, frozen, optimize, chooser
    )
