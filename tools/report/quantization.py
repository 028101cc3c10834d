"""What quantization does to a model, layer by layer: `microai quantize EXPERIMENT --report`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from ..codegen import reference
from ..codegen.compare import accuracy, agreement
from ..codegen.formats import Affine, Array, Float32, Format
from ..codegen.graph import Graph, Node
from ..codegen.ops.affine import AffineConv, AffineDense, AffineOp
from ..codegen.ops.base import FixedOp
from ..codegen.ops.conv import Conv, FixedConv
from ..codegen.ops.dense import Dense, FixedDense
from ..codegen.pipeline import Scheme, quantize
from ..codegen.quantize.affine import AffineScheme
from ..codegen.quantize.calibration import METHODS
from ..codegen.quantize.fixed_point import Widths
from ..codegen.requant import Rounding
from ..errors import UserError
from ..files import write_text
from .terminal import columns, percent

VERSION = 1


@dataclass(frozen=True)
class LayerError:
    """One tensor of the integer graph against the float graph, over the report's vectors.

    output, weights: formats. sqnr: signal-to-quantization-noise ratio of the output in dB with everything
    before it quantized too; sqnr_alone: with this layer alone quantized (its output and its
    weights); sqnr_weights: of its weights. None: no noise, no signal, or no weights. saturated: share of
    the float values that lie outside the output's format. accuracy_alone, agreement_alone: of the model with
    this layer alone quantized; agreement is the share of vectors that keep the class of the float model.
    bound, accumulator_bits, headroom_bits: the largest magnitude that the accumulator can reach, its width, and
    the bits to spare.
    """

    name: str
    kind: str
    output: str
    weights: str
    sqnr: float | None
    sqnr_alone: float | None
    sqnr_weights: float | None
    saturated: float
    accuracy_alone: float
    agreement_alone: float
    bound: int
    accumulator_bits: int
    headroom_bits: float


@dataclass(frozen=True)
class Trial:
    """Another scheme: what was changed, and what it gives."""

    change: str
    accuracy: float
    agreement: float


@dataclass(frozen=True)
class QuantizationReport:
    """A model in one type. Accuracies and shares 0..1 over `vectors` test vectors."""

    version: int
    name: str
    vectors: int
    accuracy_float: float
    accuracy: float
    agreement: float
    layers: tuple[LayerError, ...]
    trials: tuple[Trial, ...]

    @property
    def costliest(self) -> LayerError:
        """The layer that alone makes most vectors change their class; of equals the noisiest."""

        def rank(layer: LayerError) -> tuple[float, float]:
            return layer.agreement_alone, math.inf if layer.sqnr_alone is None else layer.sqnr_alone

        return min(self.layers, key=rank)

    @property
    def worst_weights(self) -> str | None:
        """The layer with weights that alone makes the most noise; None where there is none."""
        noisy = [layer for layer in self.layers if layer.weights and layer.sqnr_alone is not None]
        return min(noisy, key=lambda layer: layer.sqnr_alone or 0.0).name if noisy else None

    def with_trials(self, trials: Sequence[Trial]) -> QuantizationReport:
        return replace(self, trials=tuple(trials))

    def write(self, path: Path) -> None:
        write_text(path, json.dumps(asdict(self), indent=1) + "\n")


def sqnr(exact: Array, found: Array) -> float | None:
    """``10 log10(sum exact**2 / sum (found - exact)**2)`` in dB; None without noise or without signal."""
    noise = float(((found.astype(np.float64) - exact) ** 2).sum())
    signal = float((exact.astype(np.float64) ** 2).sum())
    return 10 * math.log10(signal / noise) if signal and noise else None


def outside(values: Array, fmt: Format) -> float:
    """Share of real values that saturate in a format: further than half a step outside its range."""
    if isinstance(fmt, Float32) or not values.size:
        return 0.0
    low, almost, high = fmt.dequantize(np.array([fmt.low, fmt.high - 1, fmt.high]))
    half = (high - almost) / 2
    return float(((values < low - half) | (values > high + half)).mean())


def analyse(graph: Graph, integers: Graph, x: Array, labels: Array) -> QuantizationReport:
    """Compare a float graph with the integer graph that was made from it, over vectors x [N, *shape]."""
    exact = reference.tensors(graph, [x])
    stored = reference.tensors(integers, reference.stored(integers, [x]))
    (output,) = graph.outputs[:1]
    scores = exact[output]
    layers = []
    nodes = {node.name: node for node in integers.nodes}
    for name, tensor in integers.tensors.items():
        node = nodes.get(name)
        alone = one_layer(graph, exact, integers, name, node)
        op = node.op if node is not None else None
        accumulator = op.accumulator if isinstance(op, (FixedOp, AffineOp)) else None
        layers.append(
            LayerError(
                name=name,
                kind="input" if op is None else op.kind,
                output=str(tensor.format),
                weights=weights_format(integers, node),
                sqnr=sqnr(exact[name], tensor.format.dequantize(stored[name])),
                sqnr_alone=sqnr(exact[name], alone[name]),
                sqnr_weights=weights_sqnr(graph, integers, node),
                saturated=outside(exact[name], tensor.format),
                accuracy_alone=accuracy(alone[output], labels),
                agreement_alone=agreement(scores, alone[output]),
                bound=accumulator.bound if accumulator else 0,
                accumulator_bits=accumulator.bits if accumulator else 0,
                headroom_bits=accumulator.headroom_bits if accumulator else 0.0,
            )
        )
    return QuantizationReport(
        version=VERSION,
        name=integers.name,
        vectors=len(x),
        accuracy_float=accuracy(scores, labels),
        accuracy=accuracy(stored[output], labels),
        agreement=agreement(scores, stored[output]),
        layers=tuple(layers),
        trials=(),
    )


def float_weights(graph: Graph, name: str) -> Array:
    op = next(node.op for node in graph.nodes if node.name == name)
    assert isinstance(op, (Conv, Dense))
    return op.kernel


def affine_scales(integers: Graph, node: Node) -> Array:
    """Scales [F] of an affine layer's weights, as its multipliers have them (to 2^-31)."""
    assert isinstance(node.op, (AffineConv, AffineDense))
    requant = node.op.requant
    (source, output) = (integers.tensors[name].format for name in (node.inputs[0], node.name))
    assert isinstance(source, Affine) and isinstance(output, Affine)
    scales: Array = np.ldexp(requant.multipliers, requant.shifts.astype(np.int64) - 31)
    return scales * (output.scale / source.scale)


def weights_format(integers: Graph, node: Node | None) -> str:
    if node is None or not isinstance(node.op, (FixedConv, FixedDense, AffineConv, AffineDense)):
        return ""
    if isinstance(node.op, (FixedConv, FixedDense)):
        return str(node.op.weights)
    scales = affine_scales(integers, node)
    return f"8 bits, scale {scales.min():.3g}..{scales.max():.3g}"


def real_weights(integers: Graph, node: Node) -> Array | None:
    """What the stored weights [F, ...] of a layer mean; None without weights."""
    op = node.op
    if isinstance(op, (FixedConv, FixedDense)):
        return op.weights.dequantize(op.kernel)
    if isinstance(op, (AffineConv, AffineDense)):
        column = affine_scales(integers, node).reshape(-1, *(1,) * (op.kernel.ndim - 1))
        real: Array = (op.kernel * column).astype(np.float32)
        return real
    return None


def weights_sqnr(graph: Graph, integers: Graph, node: Node | None) -> float | None:
    weights = None if node is None else real_weights(integers, node)
    return None if node is None or weights is None else sqnr(float_weights(graph, node.name), weights)


def one_layer(
    graph: Graph, exact: Mapping[str, Array], integers: Graph, name: str, node: Node | None
) -> Mapping[str, Array]:
    """The float tensors with one tensor alone quantized, and the weights of the layer that makes it."""
    fmt = integers.tensors[name].format
    if node is None:
        y = exact[name]
    else:
        op = next(other.op for other in graph.nodes if other.name == name)
        weights = real_weights(integers, node)
        if isinstance(op, (Conv, Dense)) and weights is not None:
            op = replace(op, kernel=weights)
        y = op.run([exact[source] for source in node.inputs])
    values = {**exact, name: fmt.dequantize(fmt.quantize(y))}
    changed = {name}
    for other in graph.nodes:
        if other.name != name and changed.intersection(other.inputs):
            values[other.name] = other.op.run([values[source] for source in other.inputs])
            changed.add(other.name)
    return values


def alternatives(scheme: Scheme, worst: str | None) -> Mapping[str, Scheme]:
    """Schemes worth trying, by the keys of the section that make them; `worst`: a layer with weights."""
    if isinstance(scheme, AffineScheme):
        others = {f'calibration = "{method}"': replace(scheme, calibration=method) for method in METHODS}
        others["activations_bits = 16"] = replace(scheme, bits=16)
        return {change: other for change, other in others.items() if other != scheme}
    if scheme.scale == "network":
        free = replace(scheme, scale="layer", frac=None)
        return {'scale = "layer"': free, 'scale = "filter"': replace(free, scale="filter")}
    other = "layer" if scheme.scale == "filter" else "filter"
    changes = {f'scale = "{other}"': replace(scheme, scale=other)}
    for method in METHODS:
        changes[f'calibration = "{method}"'] = replace(scheme, calibration=method)
    changes['weights_calibration = "mse"'] = replace(scheme, weight_calibration="mse")
    changes["bias_correction = true"] = replace(scheme, bias_correction=True)
    changes['weights_rounding = "adaptive"'] = replace(
        scheme, adaptive=True, weight_rounding=Rounding.NEAREST
    )
    changes["equalization = true"] = replace(scheme, equalization=True)
    best = replace(scheme, scale="filter", calibration="mse", bias_correction=True)
    changes['scale = "filter", calibration = "mse", bias_correction = true'] = best
    if scheme.rounding is not Rounding.TRUNC:
        changes["unsigned = true"] = replace(scheme, unsigned=True)
    if worst is not None:
        bits = min(scheme.weights_bits(worst) + 2, 16)
        own = replace(scheme.layers.get(worst, Widths()), weights=bits)
        changes[f"layers.{worst}.weights_bits = {bits}"] = replace(
            scheme, layers={**scheme.layers, worst: own}
        )
    if scheme.bits <= 8:
        layers = {name: replace(widths, activations=None) for name, widths in scheme.layers.items()}
        bits = scheme.weight_bits or scheme.bits
        changes["activations_bits = 16"] = replace(scheme, bits=16, weight_bits=bits, layers=layers)
    return {change: changed for change, changed in changes.items() if changed != scheme}


def tried(
    graph: Graph, calibration: Sequence[Array], schemes: Mapping[str, Scheme], x: Array, labels: Array
) -> tuple[Trial, ...]:
    """What each scheme gives over vectors x [N, *shape], the best agreement with the float model first."""
    (scores, *_) = reference.outputs(graph, [x])
    trials = []
    for change, scheme in schemes.items():
        try:
            integers = quantize(graph, calibration, scheme)
        except UserError:
            continue  # a scheme that this model cannot have is no advice
        (found, *_) = reference.outputs(integers, reference.stored(integers, [x]))
        trials.append(Trial(change, accuracy(found, labels), agreement(scores, found)))
    return tuple(sorted(trials, key=lambda trial: -trial.agreement))


def decibel(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def print_quantization(console: Console, report: QuantizationReport) -> None:
    """The layers, the one that costs most, and what to try."""
    table = Table(title=f"{report.name}: quantization, {report.vectors} vectors")
    columns(
        table,
        ["layer", "kind", "output", "weights"],
        [
            "SQNR dB",
            "alone",
            "weights",
            "saturated %",
            "accuracy alone %",
            "same class %",
            "accumulator",
            "headroom",
        ],
    )
    for layer in report.layers:
        bound = f"{layer.bound} in {layer.accumulator_bits}" if layer.bound else ""
        table.add_row(
            *(layer.name, layer.kind, layer.output, layer.weights),
            *(decibel(value) for value in (layer.sqnr, layer.sqnr_alone, layer.sqnr_weights)),
            f"{100 * layer.saturated:.3f}" if layer.saturated else "",
            percent(layer.accuracy_alone),
            percent(layer.agreement_alone),
            *(bound, f"{layer.headroom_bits:.1f}" if bound else ""),
        )
    console.print(table)
    worst = report.costliest
    console.print(
        f"float {percent(report.accuracy_float)} %, quantized {percent(report.accuracy)} %, same class "
        f"{percent(report.agreement)} %; {worst.name} costs the most: alone {percent(worst.accuracy_alone)} %, "
        f"same class {percent(worst.agreement_alone)} %"
    )
    if report.trials:
        others = Table(title="what to try: one change each, the best first")
        columns(others, ["change"], ["accuracy %", "same class %", "gain"])
        for trial in report.trials:
            gain = 100 * (trial.agreement - report.agreement)
            others.add_row(trial.change, percent(trial.accuracy), percent(trial.agreement), f"{gain:+.2f}")
        console.print(others)


def plot_quantization(report: QuantizationReport, path: Path) -> None:
    """Signal-to-quantization-noise ratio of every layer as bars, .png, .svg or .pdf by the suffix of `path`."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("plot", "needs matplotlib", "install it with `pip install microai[report]`") from None
    layers = [layer for layer in report.layers if layer.sqnr is not None]
    figure = Figure(figsize=(8, 1.5 + 0.35 * len(layers)), layout="constrained")
    axes = figure.add_subplot()
    rows = np.arange(len(layers))
    axes.barh(rows - 0.2, [layer.sqnr or 0 for layer in layers], 0.4, label="with all before it quantized")
    axes.barh(
        rows + 0.2, [layer.sqnr_alone or 0 for layer in layers], 0.4, label="this layer alone quantized"
    )
    axes.set_yticks(rows, [layer.name for layer in layers])
    axes.invert_yaxis()
    axes.set_xlabel("signal-to-quantization-noise ratio in dB")
    axes.set_title(report.name)
    figure.legend(loc="outside lower center", ncols=2)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UserError(path, f"cannot be written ({reason})", "choose a .png, .svg or .pdf file") from None
