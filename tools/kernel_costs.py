"""What each kernel that can compute a layer costs on a virtual board: cycles, tables, code.

Many candidates become the layers of one generated library and of one image, which runs once, layer by layer. Costs are
kept in build/choose/ of the checkout, by the call that the candidate is (function, shapes, parameters), board and
clock, until the runtime, the firmware, the compiler or the emulator changes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .boards.board import Board
from .boards.elf import Image, Symbol, load_image
from .boards.measure import Stopwatch, connect, measure
from .boards.stack import calls
from .codegen.choose import PORTABLE, Choice, Optimize
from .codegen.emit import emit
from .codegen.formats import Array, Float32
from .codegen.graph import Graph, Node, TensorType
from .codegen.host import pack
from .codegen.kernels import kernel_table
from .codegen.lower import (
    CallBuilder,
    CompileFor,
    Program,
    ProgramBuilder,
    comment_of,
    lower,
    selftest_inputs,
    unique_identifiers,
)
from .codegen.pipeline import plan_memory
from .codegen.plan import Parts, plan
from .codegen.quantize.proof import never_negative
from .codegen.render import render
from .errors import UserError
from .files import code_key, key_of, write_text
from .firmware import build_image, checkout, machine_key

# Parts of the board's memories that the candidates of one image may fill; firmware and stack take the rest.
FLASH_SHARE = 0.85
RAM_SHARE = 0.85
PARTS = ("costs", "images", "plans")
POSITIVE = "positive"
POINTER = re.compile(r"arena->\w+ \+ \d+u")


@dataclass(frozen=True)
class Candidate:
    """A kernel for a node of a graph; the node calls something (a reshape does not)."""

    graph: Graph
    node: Node
    choice: Choice


@dataclass(frozen=True)
class Cost:
    """Core cycles of one call with their bounds, bytes of its constant tables, bytes of code by function.

    `code` has the kernel and all that it calls in the runtime.
    """

    cycles: int
    low: int
    high: int
    tables: int
    code: Mapping[str, int]


@dataclass(frozen=True)
class Figures:
    """A whole image: cycles of one inference, bytes of flash, of static RAM and reserved stack, of the arena."""

    cycles: int
    rom: int
    ram: int
    arena: int


class Costs:
    """Costs on one board at one clock, measured where the cache has none.

    A folder other than build/choose/ of the checkout serves tests.
    """

    def __init__(
        self, board: Board, clock_hz: int, folder: Path | None = None, compile_for: CompileFor = "speed"
    ) -> None:
        self.board = board
        self.clock_hz = clock_hz
        self.compile_for = compile_for
        self._folder = checkout() / "build" / "choose" if folder is None else folder
        self._name = f"{board.name}-{clock_hz}-{compile_for}"
        self._key = key_of(machine=machine_key(), board=board.name, clock_hz=clock_hz)
        self.images_run = 0

    def of(self, candidates: Sequence[Candidate]) -> list[Cost | None]:
        """The cost of each candidate; None for one that does not fit the board's memory even alone."""
        signed = [(signature(candidate), candidate) for candidate in candidates]
        known = self._read()["costs"]
        if any(sign not in known for sign, _ in signed):
            with self._alone():
                known = self._read()["costs"]
                missing = {sign: candidate for sign, candidate in signed if sign not in known}
                for batch in batches(list(missing.items()), self.board):
                    found = self._measured([candidate for _, candidate in batch])
                    known |= {sign: asdict(cost) for (sign, _), cost in zip(batch, found, strict=True)}
                    self._write(costs=known)
        return [Cost(**known[sign]) if sign in known else None for sign, _ in signed]

    def of_image(self, program: Program) -> Figures:
        """The whole image of a program; one inference with the inputs of its self-test."""
        texts = render(program)
        key = key_of(**dict(texts))
        known = self._read()["images"]
        if key not in known:
            with self._alone():
                elf = self._built(texts)
                self.images_run += 1
                vector = bytes(pack(selftest_inputs(program.graph), program.inputs)[0])
                m = measure(elf, self.board, [vector], trace=False)
                found = Figures(m.cycles[0], m.footprint.rom, m.footprint.ram, program.plan.arena_bytes)
                known = self._read()["images"] | {key: asdict(found)}
                self._write(images=known)
        return Figures(**known[key])

    @cached_property
    def _planning(self) -> str:
        """Key of the code that plans memory."""
        folder = Path(__file__).resolve().parent / "codegen" / "plan"
        modules = [f"{__package__}.codegen.plan.{path.stem}" for path in sorted(folder.glob("[!_]*.py"))]
        return code_key(*modules, f"{__package__}.codegen.pipeline")

    def of_plan(
        self, parts: Parts, choices: Mapping[str, Choice], optimize: Optimize, arena_limit: int
    ) -> int:
        """Bytes of the arena that the memory plan of these choices needs. Kept too: a plan may take seconds."""
        graph = parts.graph
        key = key_of(
            graph=[f"{comment_of(graph, node)}" for node in graph.nodes],
            outputs=graph.outputs,
            choices={name: [str(choice), choice.scratch] for name, choice in choices.items()},
            optimize=optimize,
            limit=arena_limit,
            code=self._planning,
        )
        known = self._read()["plans"]
        if key not in known:
            found = plan_memory(graph, choices, optimize, arena_limit, parts).arena_bytes
            with self._alone():
                known = self._read()["plans"] | {key: found}
                self._write(plans=known)
        return int(known[key])

    def _measured(self, candidates: Sequence[Candidate]) -> list[Cost]:
        program = side_by_side(candidates, self.compile_for)
        elf = self._built(render(program))
        self.images_run += 1
        image = load_image(elf)
        vector = bytes(pack(inputs_of(program), program.inputs)[0])
        with connect(image, self.board) as link:
            link.info()
            watch = Stopwatch(link)
            layers = link.trace(vector)[1]
            bounds = watch.bounds([layer.cycles for layer in layers], layers=True)
        same_numbers(candidates, [layer.crc for layer in layers])
        code = Code(image)
        found = []
        for candidate, layer, traced, ends in zip(candidates, program.layers, layers, bounds, strict=True):
            tables = sum(table.bytes for table in lowered(candidate)[0].tables.values())
            found.append(Cost(traced.cycles, *ends, tables, code.below(layer.kernels)))
        return found

    def _built(self, texts: Mapping[str, str]) -> Path:
        library = self._folder / f"{self._name}-model"
        emit(texts, library)
        return build_image(library, self.board, self.clock_hz, self._folder / f"{self._name}-build")

    def _read(self) -> dict[str, Any]:
        try:
            kept = json.loads((self._folder / f"{self._name}.json").read_text(encoding="utf-8"))
            if kept["key"] == self._key:
                return {part: dict(kept[part]) for part in PARTS}
        except (OSError, ValueError, KeyError, TypeError):
            pass  # absent, damaged or of another version: measured anew
        return {part: {} for part in PARTS}

    def _write(self, **changed: Mapping[str, Any]) -> None:
        kept = {"key": self._key, **self._read(), **changed}
        write_text(self._folder / f"{self._name}.json", json.dumps(kept, indent=1, sort_keys=True) + "\n")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time builds in the folder and adds to its file; the others then read what it found."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = (self._folder / "lock").open("w", encoding="utf-8")
        except OSError as error:
            raise UserError(
                self._folder, f"cannot be written ({error.strerror})", "make it writable"
            ) from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def name_of(index: int) -> str:
    return f"candidate{index}"


def lowered(candidate: Candidate) -> tuple[ProgramBuilder, CallBuilder]:
    """The candidate as the only node of a graph."""
    node = candidate.node
    names = dict.fromkeys(node.inputs)
    tensors = {name: candidate.graph.tensors[name] for name in (*names, node.name)}
    graph = Graph("candidate", tuple(names), (node.name,), (node,), tensors)
    choices = choices_of({node.name: candidate.choice})
    builder = ProgramBuilder(
        "model",
        graph,
        plan(graph, {node.name: candidate.choice.scratch}),
        kernel_table(),
        unique_identifiers(list(tensors)),
        choices,
    )
    call = CallBuilder(builder, node)
    node.op.lower(call)
    return builder, call


def choices_of(choices: Mapping[str, Choice]) -> dict[str, Choice]:
    """Without the portable kernels, as the lowering wants them."""
    return {name: choice for name, choice in choices.items() if choice != PORTABLE}


def signature(candidate: Candidate) -> str:
    """What decides the cycles of a candidate: its calls with all parameters, without addresses and names."""
    builder, call = lowered(candidate)
    words: dict[str, str] = {
        table.name: f"{table.c_type}{table.values.shape}" for table in builder.tables.values()
    }

    def named(text: str) -> str:
        return re.sub(r"\w+", lambda match: words.get(match[0], match[0]), text)

    for (c_type, fields), name in builder.structures.items():
        words[name] = f"{c_type}({', '.join(f'{key}={named(value)}' for key, value in fields)})"
    text = "; ".join(named(POINTER.sub("arena", line)) for line in call.calls)
    return key_of(calls=text, scratch=candidate.choice.scratch)


def memory_of(candidate: Candidate) -> tuple[int, int]:
    """Bytes of flash for its tables and of RAM for its output and scratch memory."""
    builder, _ = lowered(candidate)
    output = candidate.graph.tensors[candidate.node.name].bytes
    return sum(table.bytes for table in builder.tables.values()), output + candidate.choice.scratch + 16


def batches(signed: Sequence[tuple[str, Candidate]], board: Board) -> Iterator[list[tuple[str, Candidate]]]:
    """The candidates in as few images as they fit in, in order; those that fit none are left out."""
    batch: list[tuple[str, Candidate]] = []
    flash, ram, inputs = 0, 0, set[TensorType]()

    def fits(flash: int, ram: int, inputs: set[TensorType]) -> bool:
        arena = sum(tensor.bytes + 8 for tensor in inputs) + ram
        return flash <= FLASH_SHARE * board.flash.size and arena <= RAM_SHARE * board.ram.size

    for sign, candidate in signed:
        tables, own = memory_of(candidate)
        sources = {candidate.graph.tensors[name] for name in candidate.node.inputs}
        if not fits(tables, own, sources):
            continue
        if not fits(flash + tables, max(ram, own), inputs | sources):
            yield batch
            batch, flash, ram, inputs = [], 0, 0, set()
        batch.append((sign, candidate))
        flash, ram, inputs = flash + tables, max(ram, own), inputs | sources
    if batch:
        yield batch


def side_by_side(candidates: Sequence[Candidate], compile_for: CompileFor) -> Program:
    """A library whose layers are the candidates; those that take equal tensors read the same one.

    Inputs whose names begin with POSITIVE may hold no negative integers: a kernel may rely on it.
    """
    tensors: dict[str, TensorType] = {}
    names: dict[tuple[TensorType, int, bool], str] = {}
    nodes = []
    for index, candidate in enumerate(candidates):
        inputs = []
        for place, source in enumerate(candidate.node.inputs):
            kind = candidate.graph.tensors[source]
            # Two inputs of one node are two tensors: adding a tensor to itself would be another call.
            positive = never_negative(candidate.graph, source)
            name = f"{POSITIVE if positive else 'input'}{len(names)}"
            inputs.append(names.setdefault((kind, place, positive), name))
            tensors[inputs[-1]] = kind
        nodes.append(Node(name_of(index), candidate.node.op, tuple(inputs)))
    sources = tuple(tensors)
    for node, candidate in zip(nodes, candidates, strict=True):
        tensors[node.name] = candidate.graph.tensors[candidate.node.name]
    # Not Graph.build: the outputs of all but the last candidate are used by nothing.
    graph = Graph("candidates", sources, (nodes[-1].name,), tuple(nodes), tensors)
    choices = {node.name: candidate.choice for node, candidate in zip(nodes, candidates, strict=True)}
    memory = plan(graph, {name: choice.scratch for name, choice in choices.items()})
    return lower(graph, memory, kernel_table(), choices=choices_of(choices), compile_for=compile_for)


def inputs_of(program: Program) -> list[Array]:
    """Pseudo-random inputs, one array [1, *shape] each, that every candidate can take."""
    found = selftest_inputs(program.graph)
    for name, x in zip(program.graph.inputs, found, strict=True):
        if name.startswith(POSITIVE) and np.issubdtype(x.dtype, np.signedinteger):
            np.copyto(x, ~x, where=x < 0)
    return found


class Code:
    """The functions of an image, their sizes and what they call."""

    def __init__(self, image: Image) -> None:
        self._calls = calls(image)
        self._functions = {label(function): function for function in self._calls}
        run = self._functions["model_run_observed"]
        model = self._reached([run], set())
        self._firmware = self._reached(set(self._calls) - model, {run})

    def below(self, kernels: Sequence[str]) -> dict[str, int]:
        """Bytes of these functions and of all that they call, but what the firmware needs itself (memcpy)."""
        found = self._reached([self._functions[kernel] for kernel in kernels], set()) - self._firmware
        return dict(sorted((label(function), function.size) for function in found))

    def _reached(self, start: Iterable[Symbol], without: set[Symbol]) -> set[Symbol]:
        found: set[Symbol] = set()
        waiting = list(start)
        while waiting:
            function = waiting.pop()
            if function not in found | without:
                found.add(function)
                waiting += self._calls[function]
        return found


def label(function: Symbol) -> str:
    """A name that no other function of the image has: functions of one file may be named as those of another."""
    return f"{function.source}:{function.name}" if function.source else function.name


def same_numbers(candidates: Sequence[Candidate], crcs: Sequence[int]) -> None:
    """All kernels of one integer layer must have given the same output. Raises UserError naming one that did not."""
    first: dict[int, int] = {}
    for candidate, crc in zip(candidates, crcs, strict=True):
        exact = not isinstance(candidate.graph.tensors[candidate.node.name].format, Float32)
        if exact and first.setdefault(id(candidate.node), crc) != crc:
            raise UserError(
                f"layer {candidate.node.name}",
                f"its kernel {candidate.choice} gives other numbers than the portable one",
                "report this",
            )
