"""Random tiny graphs for Hypothesis: every operation of the generator, built without any framework.

`graphs()` draws a float `Graph` as a frontend would make it; `samples(graph, seed, n)` makes inputs for it.
Structure is drawn step by step, so that Hypothesis can shrink it; weights come from a drawn seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from hypothesis import strategies as st
from microai.codegen.graph import Graph, Node, TensorType
from microai.codegen.ops.add import Add
from microai.codegen.ops.base import NONE, RELU, Activation, FloatOp, Shape, elements, hwc
from microai.codegen.ops.batchnorm import BatchNorm
from microai.codegen.ops.conv import Conv, Window
from microai.codegen.ops.copy import Clamp, Concat, Pad, Reshape
from microai.codegen.ops.dense import Dense
from microai.codegen.ops.pool import AvgPool, MaxPool
from microai.codegen.ops.softmax import Softmax
from numpy.typing import NDArray

LARGEST_TENSOR = 400
Array: TypeAlias = NDArray[Any]
Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]

ACTIVATIONS = st.sampled_from([NONE, NONE, RELU, Activation(0.0, 6.0), Activation(-0.75, 0.5)])


@dataclass
class Builder:
    """A graph under construction."""

    draw: Draw
    rng: np.random.Generator
    scale: float
    shapes: dict[str, Shape]
    nodes: list[Node] = field(default_factory=list)

    def add(self, op: FloatOp, *sources: str) -> str:
        """Append a node and return its name; without effect (the first source) where it would be large."""
        shape = op.infer([self.shapes[source] for source in sources])
        if elements(shape) > LARGEST_TENSOR:
            return sources[0]
        # Neighbours differ only in a character that no C identifier can have.
        index = len(self.nodes)
        name = f"{op.kind}{'/ '[index % 2]}{index // 2}"
        self.nodes.append(Node(name, op, sources))
        self.shapes[name] = shape
        return name

    def number(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))

    def weights(self, *shape: int) -> Array:
        """Normal values that keep the magnitude of activations about `scale`."""
        fan_in = max(elements(shape[1:]), 1)
        return (self.rng.normal(size=shape) * self.scale / np.sqrt(fan_in)).astype(np.float32)

    def window(self, shape: Shape, pooling: bool = False) -> Window:
        """A window that fits the input; 1-D data have one row and so do their windows."""
        axes = []
        for axis, extent in enumerate(hwc(shape)[:2]):
            if len(shape) < 3 and (axis == 0 or len(shape) < 2):
                axes.append((1, 1, 0, 0, 1))
                continue
            kernel, stride = self.number(1, 4), self.number(1, 3)
            dilation = 1 if pooling else self.number(1, 2)
            largest = kernel - 1 if pooling else 2
            before, after = self.number(0, largest), self.number(0, largest)
            if dilation * (kernel - 1) + 1 > extent + before + after:
                kernel, dilation, before, after = min(kernel, extent), 1, 0, 0
            axes.append((kernel, stride, before, after, dilation))
        (kh, sh, top, bottom, dh), (kw, sw, left, right, dw) = axes
        return Window((kh, kw), (sh, sw), (top, bottom, left, right), (dh, dw))

    def conv(self, channels: int, filters: int, groups: int, window: Window, activation: Activation) -> Conv:
        kernel = self.weights(filters, *window.kernel, channels // groups)
        return Conv(kernel, self.weights(filters), window, groups, activation)

    def batchnorm(self, channels: int) -> BatchNorm:
        gamma = self.rng.uniform(0.5, 1.5, channels) * self.rng.choice([-1, 1], channels)
        mean, beta = self.rng.normal(size=(2, channels))
        arrays = (gamma, beta, mean, self.rng.uniform(0.1, 2.0, channels))
        return BatchNorm(*(array.astype(np.float32) for array in arrays), epsilon=1e-3)


def conv(b: Builder, x: str) -> str:
    """Any groups that divide the channels; as many groups as channels is depthwise with a multiplier."""
    channels = b.shapes[x][-1]
    groups = b.draw(st.sampled_from([g for g in range(1, channels + 1) if channels % g == 0]))
    filters = groups * b.number(1, 3)
    return b.add(b.conv(channels, filters, groups, b.window(b.shapes[x]), b.draw(ACTIVATIONS)), x)


def dense(b: Builder, x: str) -> str:
    x = flatten(b, x)
    kernel = b.weights(b.number(1, 6), *b.shapes[x])
    return b.add(Dense(kernel, b.weights(len(kernel)), b.draw(ACTIVATIONS)), x)


def flatten(b: Builder, x: str) -> str:
    return x if len(b.shapes[x]) == 1 else b.add(Reshape((elements(b.shapes[x]),)), x)


def reshape(b: Builder, x: str) -> str:
    """Positions and channels exchanged in number; a vector becomes a row of single channels."""
    *positions, channels = b.shapes[x]
    return b.add(Reshape((channels, *positions) if positions else (channels, 1)), x)


def max_pool(b: Builder, x: str) -> str:
    return b.add(MaxPool(b.window(b.shapes[x], pooling=True), b.draw(ACTIVATIONS)), x)


def avg_pool(b: Builder, x: str) -> str:
    return b.add(AvgPool(b.window(b.shapes[x], pooling=True), b.draw(ACTIVATIONS)), x)


def global_pool(b: Builder, x: str) -> str:
    h, w, c = hwc(b.shapes[x])
    pool = b.draw(st.sampled_from([MaxPool, AvgPool]))
    return b.add(Reshape((c,)), b.add(pool(Window((h, w), (h, w))), x))


def relu(b: Builder, x: str) -> str:
    return b.add(Clamp(b.draw(ACTIVATIONS)), x)


def batchnorm(b: Builder, x: str) -> str:
    return b.add(b.batchnorm(b.shapes[x][-1]), x)


def pad(b: Builder, x: str) -> str:
    rank = len(b.shapes[x])
    top, bottom = (b.number(0, 2), b.number(0, 2)) if rank == 3 else (0, 0)
    left, right = (b.number(0, 2), b.number(0, 2)) if rank > 1 else (0, 0)
    return b.add(Pad((top, bottom, left, right)), x)


def add(b: Builder, x: str) -> str:
    """With any tensor of equal shape, itself included."""
    other = b.draw(st.sampled_from([name for name, shape in b.shapes.items() if shape == b.shapes[x]]))
    return b.add(Add(b.draw(ACTIVATIONS)), x, other)


def concat(b: Builder, x: str) -> str:
    """Up to three tensors that differ only along the axis."""
    shape = b.shapes[x]
    axis = b.number(0, len(shape) - 1)

    def others(s: Shape) -> Shape:
        return s[:axis] + s[axis + 1 :]

    fitting = [n for n, s in b.shapes.items() if len(s) == len(shape) and others(s) == others(shape)]
    return b.add(Concat(axis), x, *b.draw(st.lists(st.sampled_from(fitting), min_size=0, max_size=2)))


def residual(b: Builder, x: str) -> str:
    """``x + f(x)`` with f a convolution that keeps the shape, normalized, as ResNets have it."""
    shape = b.shapes[x]
    channels = shape[-1]
    reach = [b.number(0, 1) if len(shape) > axis else 0 for axis in (2, 1)]
    window = Window((2 * reach[0] + 1, 2 * reach[1] + 1), padding=(reach[0], reach[0], reach[1], reach[1]))
    branch = b.add(b.conv(channels, channels, 1, window, NONE), x)
    if b.draw(st.booleans()):
        branch = b.add(b.batchnorm(channels), branch)
    total = b.add(Add(), x, branch)
    return b.add(Clamp(RELU), total)


def softmax(b: Builder, x: str) -> str:
    return b.add(Softmax(), x)


STEPS: Sequence[Callable[[Builder, str], str]] = (
    conv,
    dense,
    relu,
    batchnorm,
    max_pool,
    avg_pool,
    add,
    residual,
    pad,
    concat,
    reshape,
    global_pool,
    softmax,
)


# What can be computed a few rows at a time.
BY_ROWS: Sequence[Callable[[Builder, str], str]] = (
    conv,
    conv,
    relu,
    max_pool,
    avg_pool,
    add,
    residual,
    residual,
    concat,
)


@st.composite
def graphs(
    draw: Draw,
    max_steps: int = 6,
    steps: Sequence[Callable[[Builder, str], str]] = STEPS,
) -> Graph:
    """A graph of one or two inputs of one to three dimensions, and up to `max_steps` steps from `steps`."""
    rank = draw(st.integers(1, 3))
    channels = st.integers(1, 4)
    shape = (*(draw(st.integers(1, 7)) for _ in range(rank - 1)), draw(channels))
    inputs = {"x": shape}
    if draw(st.booleans()):
        inputs["y"] = draw(st.sampled_from([shape, (*shape[:-1], draw(channels))]))
    scale = 2.0 ** draw(st.integers(-4, 3))
    b = Builder(draw, np.random.default_rng(draw(st.integers(0, 2**32 - 1))), scale, dict(inputs))
    for _ in range(draw(st.integers(1, max_steps))):
        # The newest tensors most often: deep rather than wide.
        source = draw(st.sampled_from(list(reversed(b.shapes))))
        draw(st.sampled_from(steps))(b, source)
    return finished(b, inputs)


@st.composite
def chains(draw: Draw, max_steps: int = 6) -> Graph:
    """A deep graph of many positions or rows whose steps can be computed a few rows at a time."""
    shape = draw(
        st.one_of(
            st.tuples(st.integers(8, 40), st.integers(1, 4)),
            st.tuples(st.integers(6, 20), st.integers(1, 4), st.integers(1, 3)),
        )
    )
    b = Builder(draw, np.random.default_rng(draw(st.integers(0, 2**32 - 1))), 1.0, {"x": shape})
    newest = "x"
    for step in draw(st.lists(st.sampled_from(BY_ROWS), min_size=2, max_size=max_steps)):
        newest = step(b, newest)
    if draw(st.booleans()):
        h, w, _ = hwc(b.shapes[newest])
        newest = b.add(MaxPool(Window((h, w), (h, w)), draw(ACTIVATIONS)), newest)
    if draw(st.booleans()):
        dense(b, newest)
    return finished(b, {"x": shape})


def finished(b: Builder, inputs: Mapping[str, Shape]) -> Graph:
    """The graph whose outputs are all tensors that nothing reads and sometimes one that something does."""
    draw = b.draw
    read = {source for node in b.nodes for source in node.inputs}
    for name in inputs:
        if name not in read:
            b.add(Clamp(RELU), name)
    read |= set(inputs)
    outputs = [node.name for node in b.nodes if node.name not in read]
    seen = [node.name for node in b.nodes if node.name in read]
    if seen and draw(st.booleans()):
        outputs.append(draw(st.sampled_from(seen)))
    return Graph.build("random", {name: TensorType(s) for name, s in inputs.items()}, b.nodes, outputs)


def samples(graph: Graph, seed: int, count: int) -> list[Array]:
    """Real inputs: `count` normal samples for each graph input."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(count, *graph.tensors[name].shape)).astype(np.float32) for name in graph.inputs]
