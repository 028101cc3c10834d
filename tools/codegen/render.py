"""From a `Program` to the text of the generated files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from .. import __version__
from .formats import Affine, Fixed
from .lower import Port, Program, Structure, Table, float_literal
from .ops.base import Shape

RUNTIME_API = 2
WIDTH = 100
FLOAT_SELFTEST_TOLERANCE = 1e-4  # of the largest output: float sums differ from numpy's in their order only


def dimensions(shape: Shape) -> list[tuple[str, int]]:
    """Names of a shape's extents in macros, as the generator of the paper names them for 1-D data."""
    names = {1: ("FEATURES",), 2: ("SAMPLES", "CHANNELS"), 3: ("HEIGHT", "WIDTH", "CHANNELS")}[len(shape)]
    return list(zip(names, shape, strict=True))


def spans(ports: Sequence[Port]) -> str:
    inner = ", ".join(f"{{{port.offset}u, {port.type.bytes}u}}" for port in ports)
    return f"{{{inner}}}"


def starts(ports: Sequence[Port]) -> Iterator[tuple[Port, int]]:
    """Each port with the number of elements of the ports before it."""
    start = 0
    for port in ports:
        yield port, start
        start += port.type.elements


def wrapped(items: Sequence[str]) -> Iterator[str]:
    """Items joined by commas in lines of at most WIDTH characters."""
    line = ""
    for item in items:
        if line and len(line) + len(item) + 2 > WIDTH:
            yield line
            line = ""
        line += f"{' ' if line else ''}{item},"
    if line:
        yield line


def literal(value: object, c_type: str) -> str:
    if c_type == "float":
        return float_literal(float(value))  # type: ignore[arg-type]
    if c_type == "int64_t":
        return f"INT64_C({value})"
    if c_type == "uint32_t":
        return f"0x{value:08x}u"
    if value == -(2**31):
        return "INT32_MIN"
    return str(value)


def rows(table: Table) -> Iterator[str]:
    """Lines of an initializer, a new line for each filter."""
    values = (
        table.values.reshape(len(table.values), -1) if table.values.ndim > 1 else table.values.reshape(1, -1)
    )
    for row in values:
        yield from wrapped([literal(value, table.c_type) for value in row.tolist()])


def fields(structure: Structure) -> Iterator[str]:
    yield from wrapped([f"{name} = {value}" for name, value in structure.fields])


def environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__, "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["float_literal"] = float_literal
    return environment


def render_host(program: Program) -> str:
    """C that runs batches of the model on this computer."""
    return environment().get_template("host.c.j2").render({"p": program, "version": __version__})


def render(program: Program) -> Mapping[str, str]:
    """Text of every file of the model's library, by path relative to its folder."""
    largest = float(np.abs(program.selftest.values).max(initial=0.0))
    context = {
        "p": program,
        "P": program.prefix.upper(),
        "version": __version__,
        "api": RUNTIME_API,
        "dimensions": dimensions,
        "spans": spans,
        "starts": starts,
        "rows": rows,
        "fields": fields,
        "selftest_tolerance": float_literal(max(largest, 1e-30) * FLOAT_SELFTEST_TOLERANCE),
    }
    prefix = program.prefix
    files = {
        "library.json": "library.json.j2",
        f"include/{prefix}.h": "model.h.j2",
        f"src/{prefix}.c": "model.c.j2",
        f"src/{prefix}_weights.h": "weights.h.j2",
        f"src/{prefix}_weights.c": "weights.c.j2",
    }
    jinja = environment()
    texts = {path: jinja.get_template(template).render(context) for path, template in files.items()}
    texts["manifest.json"] = json.dumps(manifest(program), indent=1) + "\n"
    return texts


def manifest(program: Program) -> dict[str, object]:
    """What the host must know to talk to the model on a board: places, shapes and formats of tensors."""

    def port(port: Port) -> dict[str, object]:
        return {"tensor": port.tensor, "offset": port.offset, **tensor(port.tensor)}

    def tensor(name: str) -> dict[str, object]:
        t = program.graph.tensors[name]
        meaning: dict[str, object] = {}
        if isinstance(t.format, Fixed):
            zero = {"zero_point": t.format.zero} if t.format.unsigned else {}
            meaning = {"bits": t.format.bits, "frac": t.format.frac, **zero}
        elif isinstance(t.format, Affine):
            meaning = {"bits": t.format.bits, "scale": t.format.scale, "zero_point": t.format.zero_point}
        return {"shape": list(t.shape), "dtype": str(t.format.dtype), "bytes": t.bytes, **meaning}

    return {
        "generator": __version__,
        "runtime_api": RUNTIME_API,
        "prefix": program.prefix,
        "name": program.title,
        "hash": program.model_hash,
        "compile_for": program.compile_for,
        "macs": program.macs,
        "weights_bytes": program.weights_bytes,
        "arena_bytes": program.plan.arena_bytes,
        "arena_lower_bound": program.plan.lower_bound,
        "inputs": [port(p) for p in program.inputs],
        "outputs": [port(p) for p in program.outputs],
        "layers": [
            {
                "name": layer.name,
                "macs": layer.macs,
                "kernels": list(layer.kernels),
                "offset": program.plan.placements[layer.tensor].offset,
                **tensor(layer.tensor),
            }
            for layer in program.layers
        ],
    }
