"""Ranges of the activations of a float graph over calibration data, and where to cut them.

Methods other than "minmax" decide from a histogram. Scales of fixed point are powers of two, so a range is one of a
few: the largest magnitude rounded up to a power of two, or that halved some times. Affine ranges end anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import UserError
from ..formats import Affine, Array, Fixed, affine_for, fixed_for, integer_bits
from ..graph import Graph
from ..reference import check_shapes, execute

METHODS = ("minmax", "percentile", "mse", "kl")
BINS = 4096  # on each side of 0
LARGEST_CUT = 8  # times that a range may be halved
LARGEST_SHARE = 0.05  # of the values other than 0 that "kl" may cut
CUTS = 64  # magnitudes, evenly spaced, at which an affine range may end


def check_method(method: str, percentile: float) -> None:
    """Raise UserError unless there is such a method."""
    if method not in METHODS:
        raise UserError("calibration", f"{method!r} is unknown", f"choose from {', '.join(METHODS)}")
    if not 0 < percentile <= 100:
        raise UserError("quantization", f"a percentile of {percentile:g}", "choose one above 0, up to 100")


def spread(total: int, count: int | None) -> Array:
    """Indices of `count` of `total` vectors (None: of all), evenly spaced: neighbours are often of one class or
    person."""
    count = total if count is None else min(count, total)
    return np.arange(count) * total // max(count, 1)


def calibrate(graph: Graph, inputs: Sequence[Array]) -> Mapping[str, float]:
    """Largest magnitude of every tensor over the calibration data; see `extremes`."""
    return {name: max(-low, high) for name, (low, high) in extremes(graph, inputs).items()}


def extremes(graph: Graph, inputs: Sequence[Array]) -> Mapping[str, tuple[float, float]]:
    """Least and largest value of every tensor over the calibration data.

    `inputs`: one float array [N, *shape] per graph input. Raises UserError when a shape is wrong, there
    is no sample, or a value is not finite.
    """
    check_shapes(graph, inputs)
    if len(inputs[0]) == 0:
        raise UserError("calibration data", "has no sample", "give at least one")
    for name, array in zip(graph.inputs, inputs, strict=True):
        if not np.isfinite(array).all():
            raise UserError("calibration data", f"input {name} has NaN or infinite values", "clean the data")
    found: dict[str, tuple[float, float]] = {}
    for batch in execute(graph, inputs, graph.tensors):
        for name, values in batch.items():
            low, high = float(values.min()), float(values.max())
            if not np.isfinite([low, high]).all():
                raise UserError(
                    f"{graph.name}: layer {name}",
                    "its output is NaN or infinite on the calibration data",
                    "check the weights and the scale of the data",
                )
            least, largest = found.get(name, (low, high))
            found[name] = min(least, low), max(largest, high)
    return found


@dataclass(frozen=True, eq=False)
class Histogram:
    """Values of a tensor in 2 * BINS bins of equal width over ``[-2**exponent, 2**exponent)``; zeros apart.

    Both the width of a bin and the step of a fixed-point format are powers of two: one holds whole numbers of
    the other.
    """

    exponent: int
    counts: Array
    zeros: int

    @property
    def width(self) -> float:
        return float(np.ldexp(1.0, self.exponent)) / BINS

    @property
    def centers(self) -> Array:
        return (np.arange(-BINS, BINS) + 0.5) * self.width

    @property
    def magnitudes(self) -> Array:
        """Counts of ``|x|`` in BINS bins, zeros left out."""
        folded: Array = self.counts[BINS:] + self.counts[:BINS][::-1]
        return folded

    def __add__(self, other: Histogram) -> Histogram:
        return Histogram(self.exponent, self.counts + other.counts, self.zeros + other.zeros)

    @staticmethod
    def of(values: Array, exponent: int) -> Histogram:
        """The histogram of values below ``2**exponent`` in magnitude."""
        scaled = np.ldexp(values[values != 0].astype(np.float64), -exponent) * BINS
        places = np.clip(np.floor(scaled), -BINS, BINS - 1).astype(np.int64) + BINS
        counts = np.bincount(places, minlength=2 * BINS)
        return Histogram(exponent, counts, int(values.size - scaled.size))


def histograms(graph: Graph, inputs: Sequence[Array], maxima: Mapping[str, float]) -> dict[str, Histogram]:
    """The histogram of every tensor over data whose largest magnitudes are `maxima`."""
    found: dict[str, Histogram] = {}
    for batch in execute(graph, inputs, graph.tensors):
        for name, values in batch.items():
            part = Histogram.of(values, integer_bits(maxima[name]))
            found[name] = found[name] + part if name in found else part
    return found


def cut(
    histogram: Histogram, method: str, bits: int, unsigned: bool = False, percentile: float = 99.99
) -> float:
    """The magnitude that a format of `bits` bits should hold; 0 for a tensor of zeros only.

    "percentile": so many per cent of all values are not above it (up to half a bin). "mse": the least mean
    square error of quantization. "kl": the least Kullback-Leibler divergence of the quantized from the
    clipped distribution of magnitudes.
    """
    if not histogram.counts.any():
        return 0.0
    if method == "percentile":
        return (_bin_of(histogram, percentile) + 0.5) * histogram.width
    costs = [
        mean_square_error(histogram, fixed_for(peak, bits, unsigned))
        if method == "mse"
        else divergence(histogram, BINS >> halvings, 1 << (bits - (not unsigned)))
        for halvings in range(LARGEST_CUT + 1)
        for peak in [_peak(histogram, halvings)]
    ]
    return _peak(histogram, int(np.argmin(costs)))


def cut_anywhere(
    histogram: Histogram, span: tuple[float, float], method: str, bits: int, percentile: float
) -> tuple[float, float]:
    """Ends of an affine range of `bits` bits inside `span`, the least and largest value, as `cut` chooses them.

    Both ends are cut at the same magnitude, which one of the two may not reach.
    """
    used = np.flatnonzero(histogram.magnitudes)
    if not used.size:
        return span
    largest = int(used[-1]) + 1  # bins

    def within(bins: int) -> tuple[float, float]:
        return max(span[0], -bins * histogram.width), min(span[1], bins * histogram.width)

    if method == "percentile":
        return within(min(_bin_of(histogram, percentile) + 1, largest))
    candidates = sorted({-(-largest * share // CUTS) for share in range(1, CUTS + 1)}, reverse=True)
    costs = []
    for bins in candidates:
        fmt = affine_for(*within(bins), bits)
        levels = round(bins * histogram.width / fmt.scale)
        costs.append(
            mean_square_error(histogram, fmt) if method == "mse" else divergence(histogram, bins, levels)
        )
    return within(candidates[int(np.argmin(costs))])


def _bin_of(histogram: Histogram, percentile: float) -> int:
    """The bin of magnitudes up to which so many per cent of all values are."""
    wanted = percentile / 100 * (histogram.zeros + histogram.counts.sum())
    return min(int(np.searchsorted(histogram.zeros + histogram.magnitudes.cumsum(), wanted)), BINS - 1)


def _peak(histogram: Histogram, halvings: int) -> float:
    """A magnitude whose format holds all below ``2**(exponent - halvings)``."""
    return float(np.ldexp(0.75, histogram.exponent - halvings))


def mean_square_error(histogram: Histogram, fmt: Fixed | Affine) -> float:
    """Sum of squared errors over the values; inside a bin wider than a step, values are evenly spread."""
    centers = histogram.centers
    errors = (centers - fmt.dequantize(fmt.quantize(centers))) ** 2
    if fmt.step < histogram.width:
        ends = fmt.dequantize(np.array([fmt.low, fmt.high]))
        inside = (ends[0] <= centers) & (centers <= ends[1])
        errors[inside] = fmt.step**2 / 12
    return float((histogram.counts * errors).sum())


def divergence(histogram: Histogram, bins: int, levels: int) -> float:
    """Kullback-Leibler divergence, in nats, of the magnitudes in `levels` levels from the clipped magnitudes.

    What lies above the first `bins` bins counts in the last of them in the clipped distribution and nowhere in the
    quantized one. Where levels are narrower than bins: infinite, or 0 where nothing is clipped.
    """
    counts = histogram.magnitudes.astype(np.float64)
    beyond = counts[bins:].sum()
    if beyond > LARGEST_SHARE * counts.sum():
        return np.inf  # the last bin of both would hold nearly all, and they would look alike
    if bins < levels:
        return np.inf if beyond else 0.0
    inside, clipped = counts[:bins], counts[:bins].copy()
    clipped[-1] += beyond
    starts = np.arange(levels) * bins // levels
    widths = np.diff(starts, append=bins)
    used = inside > 0
    share = np.add.reduceat(inside, starts) / np.maximum(np.add.reduceat(used.astype(np.int64), starts), 1)
    spread = np.repeat(share, widths) * used
    if not spread.any():
        return np.inf
    p, q = clipped / clipped.sum(), np.maximum(spread / spread.sum(), 1e-12)
    some = p > 0
    return float((p[some] * np.log(p[some] / q[some])).sum())
