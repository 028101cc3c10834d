"""Generated C against the reference: random graphs, all types, every tensor; and the C as a user gets it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from microai.codegen import choose
from microai.codegen.choose import Choice, Optimize, candidates
from microai.codegen.compare import first_difference
from microai.codegen.emit import emit
from microai.codegen.graph import Graph, Node, TensorType
from microai.codegen.host import build_host, build_runtime, compile_c, compiler_flags, runtime_sources
from microai.codegen.kernels import runtime_folder
from microai.codegen.ops.base import NONE, RELU, Activation
from microai.codegen.ops.conv import Conv, Window
from microai.codegen.ops.dense import Dense
from microai.codegen.ops.pool import MaxPool
from microai.codegen.pipeline import Compiled, compile_graph, decide
from microai.codegen.plan import MemoryPlan, search
from microai.codegen.quantize.affine import AffineScheme
from microai.codegen.quantize.fixed_point import FixedPoint
from microai.codegen.reference import stored, tensors
from microai.codegen.render import render
from microai.codegen.requant import Rounding

from .random_graphs import chains, graphs, samples

SCHEMES = {
    "float32": None,
    "int8": FixedPoint(8),
    "int8 floor": FixedPoint(8, weight_rounding=Rounding.TRUNC, rounding=Rounding.FLOOR),
    "int16": FixedPoint(16),
    "int16 trunc": FixedPoint(16, rounding=Rounding.TRUNC),
    "int16 Q7.9": FixedPoint(16, "network", 9),
    "9 bits": FixedPoint(9),
    "4 bits": FixedPoint(4),
    "int8 per filter": FixedPoint(8, "filter"),
    "int16 per filter trunc": FixedPoint(16, "filter", rounding=Rounding.TRUNC),
    "int8 unsigned": FixedPoint(8, "filter", unsigned=True),
    "int16 unsigned floor": FixedPoint(16, rounding=Rounding.FLOOR, unsigned=True),
    "w8 a16": FixedPoint(16, "filter", weight_bits=8),
    "w5 a8": FixedPoint(8, "filter", weight_bits=5, unsigned=True),
    "w11 a8": FixedPoint(8, weight_bits=11),
    "w3 a16": FixedPoint(16, "filter", weight_bits=3),
    "9 bits unpacked unsigned": FixedPoint(9, "filter", packed=False, unsigned=True),
    "int8 negative fraction bits": FixedPoint(8, "network", -1),
    "affine8": AffineScheme(8),
    "affine16x8": AffineScheme(16),
}
SANITIZE = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
MAIN = """
#include "{prefix}.h"
int main(void) {{
    static {prefix}_arena_t arena;
    return {prefix}_selftest(&arena) ? 0 : 1;
}}
"""

# Each example compiles C: shrinking one would take minutes.
slow = settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def small_graph(filters: int = 5) -> Graph:
    """A fixed network of each kind of table: two convolutions, pooling, a dense layer."""
    rng = np.random.default_rng(7)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    nodes = [
        Node(
            "first",
            Conv(normal(filters, 1, 3, 2), normal(filters), Window((1, 3), padding=(0, 0, 1, 1)), 1, RELU),
            ("x",),
        ),
        Node("pool", MaxPool(Window((1, 2), (1, 2))), ("first",)),
        Node("second", Conv(normal(3, 1, 4, filters), normal(3), Window((1, 4))), ("pool",)),
        Node("scores", Dense(normal(2, 3), normal(2)), ("second_flat",)),
    ]
    from microai.codegen.ops.copy import Reshape

    nodes.insert(3, Node("second_flat", Reshape((3,)), ("second",)))
    return Graph.build("small", {"x": TensorType((8, 2))}, nodes, ["scores"])


def compiled(scheme: FixedPoint | None, prefix: str = "model") -> Compiled:
    graph = small_graph()
    return compile_graph(graph, scheme, samples(graph, 1, 16), prefix)


@pytest.mark.parametrize("optimize", get_args(Optimize))
@pytest.mark.parametrize("name", SCHEMES)
@slow
@given(graph=graphs(), seed=st.integers(0, 1000), fill=st.sampled_from([0, 0x55, 0xFF]))
def test_host_c_equals_reference(
    name: str,
    optimize: Optimize,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    graph: Graph,
    seed: int,
    fill: int,
) -> None:
    """Bit for bit in integers, 1e-5 of the largest value in float32, whatever the arena held before."""
    monkeypatch.setattr(choose, "WINO_POSITIONS", 1)  # these graphs are small
    monkeypatch.setattr(choose, "WINO_CHANNELS", dict.fromkeys((1, 2, 4), 1))
    monkeypatch.setattr(choose, "WINO_3X3_POSITIONS", 1)
    monkeypatch.setattr(choose, "WINO_3X3_CHANNELS", 1)
    compare_with_reference(graph, name, optimize, seed, fill, tmp_path_factory)


@pytest.mark.parametrize("optimize", ["speed", "ram"])
@pytest.mark.parametrize(
    "name", ["float32", "int8", "int16 unsigned floor", "w5 a8", "affine8", "affine16x8"]
)
@slow
@given(graph=chains(), seed=st.integers(0, 1000), fill=st.sampled_from([0, 0x55, 0xFF]))
def test_chains_by_rows_equal_reference(
    name: str,
    optimize: Optimize,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    graph: Graph,
    seed: int,
    fill: int,
) -> None:
    """Graphs with enough rows to be computed a few at a time."""
    monkeypatch.setattr(choose, "WINO_CHANNELS", dict.fromkeys((1, 2, 4), 1))
    monkeypatch.setattr(choose, "WINO_3X3_POSITIONS", 1)
    monkeypatch.setattr(choose, "WINO_3X3_CHANNELS", 1)
    monkeypatch.setattr(search, "FREE", 10.0)  # these graphs are small: calls count
    compare_with_reference(graph, name, optimize, seed, fill, tmp_path_factory)


def compare_with_reference(
    graph: Graph,
    name: str,
    optimize: Optimize,
    seed: int,
    fill: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    scheme = SCHEMES[name]
    result = compile_graph(graph, scheme, samples(graph, seed, 8), optimize=optimize)
    inputs = [
        3 * x for x in samples(graph, seed + 1, 4)
    ]  # beyond the calibrated range: saturation is exercised
    inputs = list(stored(result.quantized, inputs))
    host = build_host(
        result.program, tmp_path_factory.getbasetemp() / f"{result.program.model_hash:08x}", "-O1"
    )  # siblings share one compiled runtime
    found = host.trace(inputs, fill)
    difference = first_difference(tensors(result.quantized, inputs), found, 0.0 if scheme else 1e-5)
    assert difference is None, str(difference)
    for array, name in zip(host.run(inputs, fill), result.quantized.outputs, strict=True):
        assert array.tobytes() == found.get(name, array).tobytes()


@pytest.mark.parametrize("name", ["float32", "int8", "int16"])
def test_kernels_chosen_for_size_give_the_same_numbers(name: str, tmp_path: Path) -> None:
    graph = small_graph()
    results = {
        optimize: compile_graph(graph, SCHEMES[name], samples(graph, 1, 8), optimize=optimize)
        for optimize in ("speed", "size")
    }
    kernels = {o: {k for layer in r.program.layers for k in layer.kernels} for o, r in results.items()}
    assert any("simd" in kernel for kernel in kernels["speed"])
    assert (
        not any("simd" in kernel for kernel in kernels["size"]) and not results["size"].program.plan.scratch
    )
    x = list(stored(results["size"].quantized, samples(graph, 2, 4)))
    found = {o: build_host(r.program, tmp_path / o, "-O1").trace(x, 0x55) for o, r in results.items()}
    assert all(found["size"][name].tobytes() == y.tobytes() for name, y in found["speed"].items())


@pytest.mark.parametrize(("height", "width", "channels"), [(16, 10, 3), (13, 7, 5)])
@pytest.mark.parametrize("name", ["int8", "affine8"])
def test_3x3_winograd_by_rows_equals_reference(
    name: str, height: int, width: int, channels: int, tmp_path: Path
) -> None:
    """Strips of rows with Winograd's kernel alone: tiles that end inside of a strip, padding at both ends."""
    rng = np.random.default_rng(height)

    def conv(filters: int, channels: int, padding: tuple[int, int, int, int]) -> Conv:
        kernel = rng.normal(size=(filters, 3, 3, channels)).astype(np.float32) / np.float32(3 * channels**0.5)
        bias = rng.normal(size=filters).astype(np.float32)
        return Conv(kernel, bias, Window((3, 3), padding=padding), 1, RELU)

    graph = Graph.build(
        "strips",
        {"x": TensorType((height, width, channels))},
        [
            Node("first", conv(8, channels, (1, 1, 1, 1)), ("x",)),
            Node("second", conv(5, 8, (2, 0, 0, 1)), ("first",)),
            Node("pool", MaxPool(Window((2, 2), (2, 2))), ("second",)),
        ],
        ["pool"],
    )

    def chooser(quantized: Graph) -> tuple[Mapping[str, Choice], MemoryPlan]:
        kernels = {
            node.name: [choice for choice in candidates(quantized, node) if choice.kernel == "wino_3x3"]
            for node in quantized.nodes
            if node.op.kind == "conv"
        }
        memory, choices = decide(quantized, kernels, "ram")
        return choices, memory

    result = compile_graph(graph, SCHEMES[name], samples(graph, 1, 8), chooser=chooser)
    assert [layer.nodes for layer in result.program.layers] == [("first", "second", "pool")]
    calls = "".join(result.program.layers[0].calls)
    assert calls.count("_wino_3x3(") > 2 and calls.count("nn_conv_") == calls.count("_wino_3x3(")
    inputs = list(stored(result.quantized, [3 * x for x in samples(graph, 2, 4)]))
    found = build_host(result.program, tmp_path, "-O1").trace(inputs, 0x55)
    assert first_difference(tensors(result.quantized, inputs), found, 0.0) is None


@pytest.fixture(scope="module")
def sanitized_runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_runtime(tmp_path_factory.mktemp("runtime"), *SANITIZE)


@settings(parent=slow, max_examples=4)
@pytest.mark.parametrize("name", ["float32", "int8", "int16", "affine8", "affine16x8"])
@given(graph=graphs())
def test_sanitizers_find_nothing(
    name: str, sanitized_runtime: Path, tmp_path_factory: pytest.TempPathFactory, graph: Graph
) -> None:
    """Address and undefined-behaviour sanitizers over the self-test, which must succeed."""
    folder = tmp_path_factory.mktemp("sanitized")
    emit(render(compile_graph(graph, SCHEMES[name], samples(graph, 1, 8)).program), folder / "m")
    (folder / "main.c").write_text(MAIN.format(prefix="model"))
    sources = [*(folder / "m/src").glob("*.c"), folder / "main.c", sanitized_runtime]
    includes = [folder / "m/include", runtime_folder() / "include"]
    compile_c(sources, includes, folder / "main", *SANITIZE)
    subprocess.run([folder / "main"], check=True)


@pytest.mark.parametrize(
    ("optimize", "kernel_used"), [("size", "nn_conv_q16_wide"), ("speed", "nn_conv_q16_wide_simd")]
)
def test_accumulator_bound_is_reached_and_holds(
    optimize: Optimize, kernel_used: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Extreme weights and inputs of 16 bits need 64-bit accumulators, and get them."""
    window = Window((1, 4))
    kernel = np.full((1, 1, 4, 3), 1.0 - 2.0**-15, np.float32)
    graph = Graph.build(
        "extreme",
        {"x": TensorType((4, 3))},
        [Node("y", Conv(kernel, np.zeros(1, np.float32), window), ("x",))],
        ["y"],
    )
    ones = np.full((1, 4, 3), 1.0 - 2.0**-15, np.float32)
    result = compile_graph(graph, FixedPoint(16), [ones], optimize=optimize)
    op = result.quantized.nodes[0].op
    assert op.accumulator.bits == 64  # type: ignore[attr-defined]
    assert result.program.layers[0].kernels == (kernel_used,)
    lowest = np.full((1, 4, 3), -32768, np.int16)
    host = build_host(result.program, tmp_path_factory.getbasetemp() / f"{optimize}_extreme", "-O1")
    assert np.array_equal(host.run([lowest])[0], tensors(result.quantized, [lowest])["y"])


@pytest.mark.parametrize(("activation", "bits"), [(RELU, 32), (NONE, 64)])
@pytest.mark.parametrize("scheme", [FixedPoint(16), AffineScheme(16)], ids=["fixed", "affine"])
def test_a_relu_in_front_halves_the_bound(
    scheme: FixedPoint | AffineScheme,
    activation: Activation,
    bits: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Of inputs that are never negative, weights of one sign count at a time; at the ends of their range, too."""
    channels = 5 if isinstance(scheme, FixedPoint) else 900
    ones = np.ones((channels, 1, 1, 1), np.float32)
    weights = np.full((2, 1, 1, channels), 0.6, np.float32)
    weights[:, ..., ::2] *= -1
    nodes = [
        Node(
            "pass", Conv(ones, np.zeros(channels, np.float32), Window((1, 1)), channels, activation), ("x",)
        ),
        Node("sum", Conv(weights, np.zeros(2, np.float32), Window((1, 1))), ("pass",)),
    ]
    graph = Graph.build("halves", {"x": TensorType((6, channels))}, nodes, ["sum"])
    ends = np.random.default_rng(0).choice([-0.999, 0.999], (3, 6, channels)).astype(np.float32)
    ends[0], ends[1] = np.where(weights[0] > 0, 0.999, -0.999), np.where(weights[0] > 0, -0.999, 0.999)
    result = compile_graph(graph, scheme, [ends])
    op = result.quantized.nodes[1].op
    assert op.accumulator.bits == bits  # type: ignore[attr-defined]
    inputs = list(stored(result.quantized, [2 * ends]))
    folder = tmp_path_factory.getbasetemp() / f"{result.program.model_hash:08x}"
    host = build_host(result.program, folder, "-O1")
    assert np.array_equal(host.run(inputs)[0], tensors(result.quantized, inputs)["sum"])


@pytest.mark.parametrize("kind", ["float32", "int8", "int16", "affine8"])
def test_golden_files(kind: str, golden: Path, update_golden: bool) -> None:
    """The generated text as committed under test/golden (`pytest --update-golden` rewrites it)."""
    files = render(compiled(SCHEMES[kind]).program)
    folder = golden / kind
    if update_golden:
        emit(files, folder)
    for path, text in files.items():
        assert (folder / path).read_text(encoding="utf-8") == text, f"{kind}/{path} changed"


def test_generation_is_deterministic_and_names_no_place_or_time(tmp_path: Path) -> None:
    first, second = (render(compiled(SCHEMES["int8"]).program) for _ in range(2))
    assert first == second
    assert emit(first, tmp_path / "a"), "the first time writes"
    assert not emit(first, tmp_path / "a"), "the second time writes nothing"
    assert str(tmp_path) not in "".join(first.values())


def test_another_prefix_leaves_no_stale_files(tmp_path: Path) -> None:
    emit(render(compiled(SCHEMES["int8"], "one").program), tmp_path)
    emit(render(compiled(SCHEMES["int8"], "two").program), tmp_path)
    assert {path.name for path in tmp_path.glob("*/*")} == {
        "two.h",
        "two.c",
        "two_weights.h",
        "two_weights.c",
    }


def test_two_models_live_in_one_program(tmp_path: Path) -> None:
    for prefix, kind in (("motion", "int8"), ("speech", "float32")):
        emit(render(compiled(SCHEMES[kind], prefix).program), tmp_path / prefix)
    (tmp_path / "main.c").write_text(
        """
#include "motion.h"
#include "speech.h"
static union { motion_arena_t motion; speech_arena_t speech; } memory;
int main(void) {
    return motion_selftest(&memory.motion) && speech_selftest(&memory.speech) ? 0 : 1;
}
"""
    )
    sources = [*tmp_path.glob("*/src/*.c"), tmp_path / "main.c", *runtime_sources()]
    includes = [tmp_path / "motion/include", tmp_path / "speech/include", runtime_folder() / "include"]
    compile_c(sources, includes, tmp_path / "main", "-O2")
    subprocess.run([tmp_path / "main"], check=True)


@pytest.mark.parametrize("compiler", ["cc", "arm-none-eabi-gcc"])
def test_copying_two_folders_is_enough(compiler: str, tmp_path: Path) -> None:
    """A C project with its own flags takes lib/nn_runtime and the generated folder as they are."""
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}, see README")
    shutil.copytree(runtime_folder(), tmp_path / "nn_runtime")
    emit(render(compiled(SCHEMES["int8"]).program), tmp_path / "nn_model")
    (tmp_path / "main.c").write_text(MAIN.format(prefix="model"))
    sources = [str(path) for path in [*tmp_path.glob("nn_*/src/*.c"), tmp_path / "main.c"]]
    command = [compiler, "-std=gnu11", "-O3", "-I", "nn_runtime/include", "-I", "nn_model/include", *sources]
    cross = ["-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard", "--specs=nosys.specs"]
    subprocess.run([*command, *(cross if compiler != "cc" else []), "-o", "main"], cwd=tmp_path, check=True)
    if compiler == "cc":
        subprocess.run([tmp_path / "main"], check=True)


def test_header_works_in_cpp(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("needs g++, see README")
    emit(render(compiled(SCHEMES["int8"]).program), tmp_path)
    (tmp_path / "use.cpp").write_text(
        '#include "model.h"\nint main() { static model_arena_t a; return model_input(&a, 0) == nullptr; }\n'
    )
    command = [
        "g++",
        "-fsyntax-only",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-I",
        "include",
        "-I",
        runtime_folder() / "include",
    ]
    subprocess.run([*command, "use.cpp"], cwd=tmp_path, check=True)


def for_target(*arguments: str | Path) -> None:
    flags = [*compiler_flags(), "-O2", "-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"]
    include = f"-I{runtime_folder() / 'include'}"
    subprocess.run(["arm-none-eabi-gcc", *flags, include, "-r", "-nostdlib", *arguments], check=True)


@pytest.fixture(scope="module")
def target_runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runtime") / "runtime.o"
    for_target(*runtime_sources(), "-o", path)
    return path


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="needs arm-none-eabi-gcc, see README")
@settings(parent=slow, max_examples=3)
@pytest.mark.parametrize("name", ["float32", "int8", "int16", "affine8", "affine16x8"])
@given(graph=graphs())
def test_no_double_and_no_heap_on_target(
    name: str, target_runtime: Path, tmp_path_factory: pytest.TempPathFactory, graph: Graph
) -> None:
    """Objects for the Cortex-M4F refer to no double arithmetic and no allocation."""
    folder = tmp_path_factory.mktemp("target")
    emit(render(compile_graph(graph, SCHEMES[name], samples(graph, 1, 8)).program), folder / "m")
    for_target(
        *(folder / "m/src").glob("*.c"), target_runtime, f"-I{folder / 'm/include'}", "-o", folder / "all.o"
    )
    symbols = subprocess.run(
        ["arm-none-eabi-nm", "-u", folder / "all.o"], capture_output=True, text=True, check=True
    )
    wanted = {line.split()[-1] for line in symbols.stdout.splitlines()}
    assert wanted <= {"memcpy", "memset", "memmove", "__aeabi_ldivmod", "__aeabi_uldivmod", "__aeabi_lmul"}, (
        wanted
    )
