"""From a graph and its memory plan to kernel calls with literal parameters.

The `Program` holds everything that the templates print; they do no arithmetic.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np

from ..errors import UserError
from .choose import Choice
from .formats import Array, Float32
from .graph import Graph, Node, TensorType
from .kernels import KernelTable
from .loops import folded
from .ops.affine import AffineOp
from .ops.base import Activation, FixedOp, Requant, Shape
from .ops.conv import Window
from .plan import MemoryPlan, Stream, Strip
from .reference import outputs as reference_outputs

C_TYPES = {
    "uint8": "uint8_t",
    "int8": "int8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "uint32": "uint32_t",
    "float32": "float",
}
CompileFor: TypeAlias = Literal["speed", "size"]
NO_CHOICES: Mapping[str, Choice] = MappingProxyType({})
MAGNITUDE_OF_SELFTEST = 4.0
ARENA_MEMBER = {"int8_t": "q8", "int16_t": "q16", "float": "f32"}


@dataclass(frozen=True, eq=False)
class Table:
    """A constant array in flash."""

    name: str
    c_type: str
    values: Array
    comment: str

    @property
    def bytes(self) -> int:
        return int(self.values.nbytes)


@dataclass(frozen=True)
class Structure:
    """A constant structure in flash; fields in order of declaration."""

    name: str
    c_type: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Layer:
    """One node, or a chain of nodes by rows, as C: the lines that compute it and where its output lies.

    A chain with several outputs is followed by a layer without lines for each output but the first.
    """

    name: str
    index: int
    comments: tuple[str, ...]
    calls: tuple[str, ...]
    output: str
    tensor: str
    kernels: tuple[str, ...]
    macs: int
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Port:
    """An input or output of the model in the arena."""

    tensor: str
    identifier: str
    offset: int
    type: TensorType

    @property
    def expression(self) -> str:
        return arena_expression(self.type, self.offset)


@dataclass(frozen=True, eq=False)
class Program:
    """Everything that is printed into C, and what the host must know of it."""

    prefix: str
    graph: Graph
    plan: MemoryPlan
    title: str
    model_hash: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: tuple[Layer, ...]
    tables: tuple[Table, ...]
    structures: tuple[Structure, ...]
    macs: int
    selftest: SelfTest
    compile_for: CompileFor  # the compiler's flags

    @property
    def is_float(self) -> bool:
        return isinstance(self.outputs[0].type.format, Float32)

    @property
    def moves_rows(self) -> bool:
        """The C calls memmove."""
        return any("memmove(" in line for layer in self.layers for line in layer.calls)

    @property
    def weights_bytes(self) -> int:
        return sum(table.bytes for table in self.tables)


@dataclass(frozen=True, eq=False)
class SelfTest:
    """What the model must answer to the pseudo-random input: a CRC-32 of integers, or floats."""

    crc32: int
    values: Array


def identifier(text: str) -> str:
    """A C identifier that reads like `text`."""
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_").lower() or "layer"
    return f"l{name}" if name[0].isdigit() else name


def float_literal(value: float) -> str:
    """Shortest decimal that gives the same float32, as a C literal."""
    if np.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    text = str(np.float32(value))
    return f"{text}f" if re.search(r"[.e]", text) else f"{text}.0f"


def arena_expression(tensor: TensorType, offset: int, elements: int = 0) -> str:
    """Pointer to an element of a tensor that starts `offset` bytes into the arena."""
    index = offset // tensor.format.bytes + elements
    return f"arena->{ARENA_MEMBER[tensor.format.c_type]} + {index}u"


@dataclass
class CallBuilder:
    """Collects the C of one node while its operation lowers itself."""

    program: ProgramBuilder
    node: Node
    calls: list[str] = field(default_factory=list)
    kernels: list[str] = field(default_factory=list)

    def type_of(self, tensor: str) -> TensorType:
        return self.program.graph.tensors[tensor]

    def input_count(self) -> int:
        return len(self.node.inputs)

    def input_shape(self, index: int) -> Shape:
        return self.type_of(self.node.inputs[index]).shape

    def output_shape(self) -> Shape:
        return self.type_of(self.node.name).shape

    def pointer(self, tensor: str, elements: int = 0) -> str:
        return arena_expression(self.type_of(tensor), self.program.plan.placements[tensor].offset, elements)

    def input(self, index: int) -> str:
        return self.pointer(self.node.inputs[index])

    def window(self, window: Window) -> Window:
        """The window of this call; the padding behind the end is what the extents imply."""
        return window

    def output(self, elements: int = 0) -> str:
        """Pointer to the output, `elements` elements from its start."""
        return self.pointer(self.node.name, elements)

    @property
    def choice(self) -> Choice | None:
        """The kernel chosen for this node; None is its portable one."""
        return self.program.choices.get(self.node.name)

    def scratch(self, member: str = "words") -> str:
        """Pointer to this node's scratch memory, as words or as another member of the arena."""
        return f"arena->{member} + {self.program.plan.scratch[self.node.name].offset // 4}u"

    def table(self, suffix: str, values: Array, layout: str) -> str:
        """Store an array in flash; returns its C name."""
        name = f"{self.program.prefix}_w_{self.program.identifiers[self.node.name]}_{suffix}"
        comment = f"{self.node.name} {suffix} {layout}"
        self.program.tables.setdefault(name, Table(name, C_TYPES[str(values.dtype)], values, comment))
        return name

    def structure(self, c_type: str, suffix: str, fields: Mapping[str, object]) -> str:
        """Store a structure in flash, equal ones once; returns a pointer to it."""
        content = (c_type, tuple((key, str(value)) for key, value in fields.items()))
        stem = f"{self.program.prefix}_{self.program.identifiers[self.node.name]}_{suffix}"
        taken = set(self.program.structures.values())
        name, number = stem, 2
        while name in taken:
            name, number = f"{stem}{number}", number + 1
        return f"&{self.program.structures.setdefault(content, name)}"

    def requant(self, requant: Requant) -> str:
        fields = requant.c_fields()
        if requant.shifts:
            fields[".shifts"] = self.table("shifts", np.array(requant.shifts, np.int8), "[F]")
        return self.structure("nn_requant", "out", fields)

    def range_values(self, activation: Activation) -> tuple[str, str]:
        low = -np.inf if activation.low is None else activation.low
        high = np.inf if activation.high is None else activation.high
        return float_literal(low), float_literal(high)

    def range(self, activation: Activation) -> str:
        low, high = self.range_values(activation)
        return self.structure("nn_range_f32", "out", {".min": low, ".max": high})

    def kernel(self, operation: str, *arguments: str, variant: str = "", kind: str = "") -> None:
        """Call the kernel of this operation for the output's type (or `kind`) and accumulator variant."""
        kind = kind or self.type_of(self.node.name).format.suffix
        function = self.program.kernels.function(operation, kind + variant)
        self.kernels.append(function)
        self.calls.append(f"{function}({', '.join(arguments)});")

    def alias(self) -> None:
        """The output is the input's memory: nothing to call."""


@dataclass
class StripBuilder(CallBuilder):
    """The same for some rows of a layer: smaller extents, other pointers, no padding but at the ends."""

    stream: Stream = field(kw_only=True)
    turn: int = field(kw_only=True)

    @property
    def strip(self) -> Strip:
        return self.stream.schedule.steps[self.turn].strips[self.node.name]

    @property
    def goes_on(self) -> bool:
        """A running maximum takes part in its own next step; it lies right in front of the rows."""
        return self.node.name in self.stream.schedule.accumulated and self.strip.sources[0][0] > 0

    def input_shape(self, index: int) -> Shape:
        first, end = self.strip.sources[index]
        return (end - first + self.goes_on, *super().input_shape(index)[1:])

    def output_shape(self) -> Shape:
        first, end = self.strip.rows
        return (end - first, *super().output_shape()[1:])

    def place(self, tensor: str, row: int, elements: int = 0) -> str:
        home, at = self.stream.address(self.turn, tensor, row)
        start = self.program.plan.placements[home].offset
        return arena_expression(self.type_of(tensor), start + at, elements)

    def input(self, index: int) -> str:
        if self.goes_on:
            return self.output()
        return self.place(self.node.inputs[index], self.strip.sources[index][0])

    def output(self, elements: int = 0) -> str:
        return self.place(self.node.name, self.strip.rows[0], elements)

    def window(self, window: Window) -> Window:
        rank = len(self.output_shape())
        axis = 3 - rank
        kernel, padding = list(window.kernel), list(window.padding)
        padding[2 * axis] = max(padding[2 * axis] - self.strip.rows[0] * window.strides[axis], 0)
        if self.node.name in self.stream.schedule.accumulated:
            kernel[axis] = self.input_shape(0)[0]
        return replace(window, kernel=tuple(kernel), padding=tuple(padding))  # type: ignore[arg-type]


@dataclass
class ProgramBuilder:
    """The tables and structures of a program while its nodes are lowered."""

    prefix: str
    graph: Graph
    plan: MemoryPlan
    kernels: KernelTable
    identifiers: Mapping[str, str]
    choices: Mapping[str, Choice]
    tables: dict[str, Table] = field(default_factory=dict)
    structures: dict[tuple[str, tuple[tuple[str, str], ...]], str] = field(default_factory=dict)


def unique_identifiers(names: Sequence[str]) -> dict[str, str]:
    """A different C identifier for each name."""
    result: dict[str, str] = {}
    for name in names:
        wanted = candidate = identifier(name)
        number = 2
        while candidate in result.values():
            candidate, number = f"{wanted}_{number}", number + 1
        result[name] = candidate
    return result


def lower(
    graph: Graph,
    plan: MemoryPlan,
    kernels: KernelTable,
    prefix: str = "model",
    choices: Mapping[str, Choice] = NO_CHOICES,
    compile_for: CompileFor = "speed",
) -> Program:
    """Lower every node to the kernel chosen for it.

    Raises UserError when the runtime lacks a kernel or the prefix is not a C name.
    """
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", prefix):
        raise UserError("prefix", f"{prefix!r} is not a lower-case C identifier", "use letters, digits and _")
    builder = ProgramBuilder(prefix, graph, plan, kernels, unique_identifiers(list(graph.tensors)), choices)
    layers: list[Layer] = []
    for block in plan.blocks:
        lower_block(builder, block, layers)

    def ports(names: Sequence[str]) -> tuple[Port, ...]:
        return tuple(
            Port(name, builder.identifiers[name], plan.placements[name].offset, graph.tensors[name])
            for name in names
        )

    tables = tuple(builder.tables.values())
    structures = tuple(Structure(name, *content) for content, name in builder.structures.items())
    return Program(
        prefix=prefix,
        graph=graph,
        plan=plan,
        title=graph.name,
        model_hash=model_hash(graph, tables, structures, layers),
        inputs=ports(graph.inputs),
        outputs=ports(graph.outputs),
        layers=tuple(layers),
        tables=tables,
        structures=structures,
        macs=sum(layer.macs for layer in layers),
        selftest=selftest(graph),
        compile_for=compile_for,
    )


def lower_block(builder: ProgramBuilder, block: Node | Stream, layers: list[Layer]) -> None:
    """Append the layers of a node (none where it costs nothing) or of a chain of nodes by rows."""
    graph, plan = builder.graph, builder.plan
    if isinstance(block, Stream):
        nodes, outputs = block.schedule.nodes, block.schedule.outputs
        name = outputs[0] if len(outputs) == 1 else f"{nodes[0].name}..{nodes[-1].name}"
        lines, kernels = stream_lines(builder, block)
    else:
        call = CallBuilder(builder, block)
        block.op.lower(call)
        if not call.calls:
            return
        nodes, outputs, name = (block,), (block.name,), block.name
        lines, kernels = tuple(call.calls), tuple(call.kernels)
    for number, output in enumerate(outputs):
        first = number == 0
        layers.append(
            Layer(
                name=name if first else output,
                index=len(layers),
                comments=tuple(comment_of(graph, node) for node in nodes) if first else (output,),
                calls=lines if first else (),
                output=arena_expression(graph.tensors[output], plan.placements[output].offset),
                tensor=output,
                kernels=kernels if first else (),
                macs=sum(graph.macs(node) for node in nodes) if first else 0,
                nodes=tuple(node.name for node in nodes) if first else (),
            )
        )


def stream_lines(builder: ProgramBuilder, stream: Stream) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The C of a chain by rows, and its kernels; steps that repeat are a loop."""
    plan = builder.plan
    turns: list[list[str]] = []
    kernels: list[str] = []
    for turn, step in enumerate(stream.schedule.steps):
        lines = []
        for tensor in step.moves:
            start = plan.placements[tensor].offset
            to, source, count = stream.move(turn, tensor)
            lines.append(
                f"memmove(arena->bytes + {start + to}u, arena->bytes + {start + source}u, {count}u);"
            )
        for strip in step.strips.values():
            call = StripBuilder(builder, strip.node, stream=stream, turn=turn)
            strip.node.op.lower(call)
            lines += call.calls
            kernels += call.kernels
        turns.append(lines)
    return tuple(folded(turns)), tuple(dict.fromkeys(kernels))


def comment_of(graph: Graph, node: Node) -> str:
    """What the layer does, its formats and the proof of its accumulator, for the reader of the C."""
    sources = ", ".join(f"{source} {graph.tensors[source]}" for source in node.inputs)
    text = f"{node.name}: {node.op.kind} {node.op.describe()}".rstrip()
    text += f"; {sources} -> {graph.tensors[node.name]}"
    if isinstance(node.op, (FixedOp, AffineOp)) and node.op.accumulator.bound:
        text += f"; {node.op.accumulator}"
    return text


def model_hash(
    graph: Graph, tables: Sequence[Table], structures: Sequence[Structure], layers: Sequence[Layer]
) -> int:
    """32 bits that identify the graph, its formats, its parameters and its weights."""
    digest = hashlib.sha256(graph.name.encode())
    for name in graph.inputs:
        digest.update(f"{name}:{graph.tensors[name]};".encode())
    for layer in layers:
        digest.update(f"{'; '.join(layer.comments)}|{layer.calls};".encode())
    digest.update(repr(structures).encode())
    for table in tables:
        digest.update(np.ascontiguousarray(table.values).tobytes())
    return int.from_bytes(digest.digest()[:4], "little")


def selftest_inputs(graph: Graph) -> list[Array]:
    """The pseudo-random input of the self-test, one array [1, *shape] per input, in the input's format.

    A linear congruential generator (Numerical Recipes: 1664525, 1013904223) that starts at 1 and runs
    through all inputs; the top bits of its state are the value: integers of the format's width, or floats
    in [-4, 4). The generated C repeats it.
    """
    state = 1
    arrays = []
    for name in graph.inputs:
        tensor = graph.tensors[name]
        values = []
        for _ in range(tensor.elements):
            state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
            signed = state - (state >> 31 << 32)
            bits = 24 if isinstance(tensor.format, Float32) else tensor.format.bits
            values.append(signed >> (32 - bits))
        array = np.array(values)
        if isinstance(tensor.format, Float32):
            array = (array * (MAGNITUDE_OF_SELFTEST / 2**23)).astype(np.float32)
        arrays.append(array.astype(tensor.format.dtype).reshape(1, *tensor.shape))
    return arrays


def selftest(graph: Graph) -> SelfTest:
    """What the reference answers to the pseudo-random input."""
    results = reference_outputs(graph, selftest_inputs(graph))
    crc = 0
    for result in results:
        crc = zlib.crc32(np.ascontiguousarray(result).tobytes(), crc)
    return SelfTest(crc, np.concatenate([result.astype(np.float32).ravel() for result in results]))
