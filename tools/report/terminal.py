"""Tables on the terminal: results of an experiment, and a graph after any stage."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ..codegen.graph import Graph
from ..codegen.lower import Program
from ..codegen.ops.affine import AffineOp
from ..codegen.ops.base import FixedOp
from ..codegen.plan import Stream
from .results import Report, Result
from .runs import CONFIDENCE, Accuracies, Mean


def percent(value: float) -> str:
    return f"{100 * value:.2f}"


def number(value: float) -> str:
    return f"{value:,.0f}"


def columns(table: Table, left: Sequence[str], right: Sequence[str]) -> None:
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", overflow="fold")  # a digit less would be another number


def print_report(console: Console, report: Report) -> None:
    """Two tables, accuracy and cost, a line on how the numbers came about, and the layers of each result."""
    accuracies = Table(title=f"{report.experiment}: accuracy in %")
    columns(
        accuracies,
        ["model", "type", "board"],
        ["float", "reference", "board", "vectors", "same class", "bits equal"],
    )
    costs = Table(title=f"{report.experiment}: cost of one inference")
    columns(
        costs,
        ["model", "type", "board"],
        [
            "MACs",
            "cycles",
            "low",
            "high",
            "cyc/MAC",
            "ms",
            "µWh",
            "ROM",
            "weights",
            "code",
            "RAM",
            "arena",
            "static",
            "stack used",
        ],
    )
    for r in report.results:
        name = (f"{r.model}/run{r.run}", r.type, r.board)
        equal = "yes" if r.bits_equal_host and r.bits_equal_board else "NO"
        accuracies.add_row(
            *name,
            percent(r.accuracy_float),
            percent(r.accuracy_reference),
            percent(r.accuracy_board),
            f"{r.vectors_host}/{r.vectors_board}",
            percent(r.agreement),
            equal,
        )
        m = r.memory
        costs.add_row(
            *name,
            number(r.macs),
            *(number(value) for value in (r.cycles_mean, r.cycles_low, r.cycles_high)),
            f"{r.cycles_mean / max(r.macs, 1):.2f}",
            f"{r.ms:.2f}",
            f"{r.energy_uwh:.3g}",
            *(number(value) for value in (m.rom_total, m.rom_weights, m.rom_code)),
            *(number(value) for value in (m.ram_total, m.ram_arena, m.ram_static)),
            f"{number(m.ram_stack_used)}/{number(m.ram_stack)}",
        )
    console.print(accuracies)
    console.print(costs)
    for r in report.results:
        if r.difference:
            console.print(f"[red]{r.model}/run{r.run}/{r.type} on {r.board}: {r.difference}[/red]")
    kinds = ", ".join(sorted({f"{r.board} at {r.clock_hz / 1e6:g} MHz {r.kind}" for r in report.results}))
    first = report.results[0].board
    print_runs(
        console,
        report.experiment,
        [
            Accuracies(r.model, r.run, r.type, r.accuracy_float, r.accuracy_reference, r.agreement)
            for r in report.results
            if r.board == first
        ],
    )
    console.print(f"ROM and RAM in bytes; {kinds}; {report.compiler}, {report.flags}; commit {report.commit}")


def print_runs(console: Console, name: str, rows: Sequence[Accuracies]) -> None:
    """A line for each model and type that has several runs: "loss" is float - type, run by run."""
    table = Table(title=f"{name}: accuracy in %, mean over runs ± {100 * CONFIDENCE:.0f} % interval")
    columns(table, ["model", "type"], ["runs", "float", "type", "loss", "same class"])
    for model, kind in dict.fromkeys((row.model, row.type) for row in rows):
        found = {row.run: row for row in rows if (row.model, row.type) == (model, kind)}.values()
        if len(found) > 1:
            table.add_row(
                model,
                kind,
                str(len(found)),
                str(Mean.of([row.exact for row in found])),
                str(Mean.of([row.accuracy for row in found])),
                str(Mean.of([row.exact - row.accuracy for row in found])),
                str(Mean.of([row.agreement for row in found])),
            )
    if table.row_count:
        console.print(table)


def print_layers(console: Console, result: Result) -> None:
    """Cycles of every layer of one result."""
    table = Table(title=f"{result.model}/run{result.run}/{result.type} on {result.board}: layers")
    columns(table, ["layer", "kernel"], ["MACs", "cycles", "low", "high", "cyc/MAC", "share %"])
    total = sum(layer.cycles for layer in result.layers)
    for layer in result.layers:
        cycles = layer.cycles
        ratio = f"{cycles / layer.macs:.2f}" if layer.macs else ""
        share = f"{100 * cycles / max(total, 1):.1f}"
        ends = (number(layer.cycles_low), number(layer.cycles_high))
        table.add_row(layer.name, layer.kernel, number(layer.macs), number(cycles), *ends, ratio, share)
    console.print(table)


def print_graph(console: Console, graph: Graph, stage: str) -> None:
    """A graph: one row a layer."""
    table = Table(title=f"{graph.name} after {stage}")
    columns(table, ["layer", "operation", "inputs", "output"], ["MACs", "accumulator", "headroom bits"])
    for name in graph.inputs:
        table.add_row(name, "input", "", str(graph.tensors[name]), "", "", "")
    for node in graph.nodes:
        bound, headroom = "", ""
        if isinstance(node.op, (FixedOp, AffineOp)) and node.op.accumulator.bound:
            bound = f"{node.op.accumulator.bound} in {node.op.accumulator.bits} bits"
            headroom = f"{node.op.accumulator.headroom_bits:.1f}"
        operation = f"{node.op.kind} {node.op.describe()}".strip()
        output = str(graph.tensors[node.name])
        macs = graph.macs(node)
        table.add_row(
            node.name,
            operation,
            ", ".join(node.inputs),
            output,
            number(macs) if macs else "",
            bound,
            headroom,
        )
    console.print(table)
    console.print(
        f"outputs: {', '.join(graph.outputs)}; {number(sum(graph.macs(n) for n in graph.nodes))} MACs"
    )


def print_plan(console: Console, program: Program) -> None:
    """Where every tensor lies in the arena and when it is alive; chains by rows; how good the plan is."""
    plan = program.plan
    table = Table(title=f"{program.title}: memory plan")
    columns(table, ["tensor", "type", "memory of"], ["offset", "bytes", "from step", "to step"])
    for name, place in plan.placements.items():
        home = plan.buffer[name]
        table.add_row(
            name,
            str(program.graph.tensors[name]),
            "" if home == name else home,
            *(str(value) for value in (place.offset, place.size, place.first, place.last)),
        )
    for name, place in plan.scratch.items():
        values = (place.offset, place.size, place.first, place.last)
        table.add_row(f"{name}: scratch", "", "", *(str(value) for value in values))
    console.print(table)
    for block in plan.blocks:
        if isinstance(block, Stream):
            schedule = block.schedule
            names = ", ".join(node.name for node in schedule.nodes)
            console.print(f"by rows, {len(schedule.steps)} steps: {names}")
    if [node.name for node in plan.nodes] != [node.name for node in program.graph.nodes]:
        console.print(f"order: {', '.join(node.name for node in plan.nodes)}")
    peak, bound = plan.arena_bytes, plan.lower_bound
    verdict = "optimal" if plan.optimal else "not proved optimal"
    console.print(f"arena {number(peak)} bytes, lower bound {number(bound)}: {verdict}")


def print_program(console: Console, program: Program) -> None:
    """The kernel calls, one row a layer, and the constant tables."""
    table = Table(title=f"{program.title} after lower")
    columns(table, ["layer", "kernels"], ["MACs", "weights bytes"])
    for layer in program.layers:
        weights = sum(
            t.bytes for t in program.tables if t.comment.startswith(tuple(f"{n} " for n in layer.nodes))
        )
        table.add_row(
            layer.name, ", ".join(layer.kernels), number(layer.macs), number(weights) if weights else ""
        )
    console.print(table)
    console.print(
        f"weights {number(program.weights_bytes)} bytes, arena {number(program.plan.arena_bytes)} bytes, "
        f"{number(program.macs)} MACs, {'float32' if program.is_float else 'integers'}"
    )
