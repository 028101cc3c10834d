"""Accuracy of number types without C or boards, and the report on one of them: `microai quantize`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .codegen import reference
from .codegen.compare import accuracy, agreement
from .codegen.formats import Array
from .codegen.quantize.calibration import spread
from .codegen.quantize.fixed_point import FixedPoint, prepare
from .deploy import Variant, calibration_of, compile_variant, scheme_of, tuned_of
from .errors import UserError
from .experiment import Experiment
from .report.quantization import alternatives, analyse, plot_quantization, print_quantization, tried
from .report.runs import Accuracies
from .report.terminal import columns, percent, print_runs
from .train.stages import PreparedData


def compare_types(
    experiment: Experiment, prepared: PreparedData, items: Sequence[Variant], console: Console
) -> None:
    """Print the accuracy of every variant over the test vectors, computed by the reference."""
    limit = experiment.evaluate.limit
    x, labels = prepared.x_test[:limit], prepared.y_test[:limit]
    table = Table(title=f"{experiment.bench.name}: accuracy of the reference in %, {len(x)} test vectors")
    columns(table, ["model", "type"], ["float", "type", "same class", "weights bytes"])
    rows = []
    real: dict[Path, Array] = {}
    for item in items:
        compiled = compile_variant(experiment, prepared, item)
        if item.model.path not in real:  # of all types of a model the same
            (real[item.model.path], *_) = reference.outputs(compiled.simplified, [x])
        exact = real[item.model.path]
        graph = compiled.quantized
        (found, *_) = reference.outputs(graph, reference.stored(graph, [x]))
        row = Accuracies(
            item.model.name,
            item.model.run,
            item.type,
            accuracy(exact, labels),
            accuracy(found, labels),
            agreement(exact, found),
        )
        rows.append(row)
        table.add_row(
            f"{row.model}/run{row.run}",
            row.type,
            *(percent(value) for value in (row.exact, row.accuracy, row.agreement)),
            str(compiled.program.weights_bytes),
        )
    console.print(table)
    print_runs(console, experiment.bench.name, rows)


def explain(
    experiment: Experiment,
    prepared: PreparedData,
    items: Sequence[Variant],
    console: Console,
    vectors: int,
    plot: Path | None = None,
) -> None:
    """Report on the first of `items` that is of integers: print it, write it beside the generated library."""
    chosen = next((item for item in items if scheme_of(experiment, item.type) is not None), None)
    if chosen is None:
        raise UserError("quantization report", "float32 is not quantized", "give --type int8")
    scheme = scheme_of(experiment, chosen.type)
    compiled = compile_variant(experiment, prepared, chosen)
    few = spread(len(prepared.x_test), vectors)
    x, labels = prepared.x_test[few], prepared.y_test[few]
    tuned = tuned_of(experiment, chosen)
    if tuned is not None:
        graph = tuned.frozen.applied(compiled.simplified)
    else:
        graph = (
            prepare(compiled.simplified, scheme) if isinstance(scheme, FixedPoint) else compiled.simplified
        )
    report = analyse(graph, compiled.quantized, x, labels)
    assert scheme is not None
    calibration = calibration_of(experiment, chosen.type, prepared)
    schemes = alternatives(scheme, report.worst_weights)
    report = report.with_trials(tried(compiled.simplified, calibration, schemes, x, labels))
    print_quantization(console, report)
    location = chosen.folder / "quantization.json"
    report.write(location)
    console.print(f"wrote {location}")
    if plot is not None:
        plot_quantization(report, plot)
        console.print(f"wrote {plot}")
