"""A picture of the arena over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..codegen.lower import Program
from ..codegen.plan import MemoryPlan, Stream
from ..errors import UserError

WHOLE, ROWS, SCRATCH = "#ccbb44", "#66ccee", "white"


def draw_memory(axes: Any, plan: MemoryPlan) -> None:
    """Each tensor as a box from its first to its last step: yellow whole, blue a few rows, hatched scratch memory."""
    inside = {n for b in plan.blocks if isinstance(b, Stream) for n in b.schedule.inside}
    boxes = []
    for name, place in plan.placements.items():
        if name not in inside:
            boxes.append((name, place, WHOLE, ""))
        elif plan.buffer[name] == name:
            boxes.append((name, place, ROWS, ""))
    boxes += [("", place, SCRATCH, "///") for place in plan.scratch.values()]
    for name, place, color, hatch in boxes:
        axes.barh(
            place.offset,
            place.last - place.first + 1,
            left=place.first,
            height=place.size,
            align="edge",
            edgecolor="black",
            linewidth=0.5,
            color=color,
            hatch=hatch,
        )
        if place.size * 40 > plan.arena_bytes:
            axes.text(place.first + 0.1, place.offset + place.size / 2, name, fontsize=6, va="center")
    axes.axhline(plan.arena_bytes, color="#bb5566", linewidth=1)
    nodes = [node.name for node in plan.nodes]
    axes.set_xticks([step + 0.5 for step in range(len(nodes))], nodes, rotation=90, fontsize=6)
    axes.set_ylabel("byte of the arena")
    quality = "optimal" if plan.optimal else f"lower bound {plan.lower_bound}"
    axes.set_title(f"memory over time: {plan.arena_bytes} bytes, {quality}")


def figures() -> Any:
    """matplotlib.pyplot for files. Raises UserError where it is not installed."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
    except ModuleNotFoundError:
        raise UserError("--plot", "matplotlib is not installed", "pip install 'microai[report]'") from None
    return plt


def save(figure: Any, path: Path) -> None:
    """Write a figure. Raises UserError where the file cannot be written."""
    figure.tight_layout()
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise UserError(path, f"cannot be written ({error})", "end it in .png, .svg or .pdf") from None
    finally:
        figures().close(figure)


def plot_memory(program: Program, path: Path) -> None:
    """The arena's use over time as a file of its own."""
    figure, axes = figures().subplots(figsize=(10, 6))
    draw_memory(axes, program.plan)
    save(figure, path)
