"""Kernels chosen by measured costs: what is measured, what is kept, and what is chosen for which goal."""

from __future__ import annotations

import io
import itertools
import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from microai.boards.board import Memory, load_board
from microai.boards.measure import measure
from microai.cli import main
from microai.codegen.choose import PORTABLE, Choice, candidates, choose
from microai.codegen.emit import emit
from microai.codegen.graph import Graph, Node, TensorType
from microai.codegen.host import pack
from microai.codegen.kernels import kernel_table
from microai.codegen.lower import lower
from microai.codegen.ops.add import Add
from microai.codegen.ops.conv import Conv, Window
from microai.codegen.pipeline import compile_graph, plan_memory, scheme_for
from microai.codegen.reference import stored
from microai.codegen.render import render
from microai.errors import UserError
from microai.experiment import load_experiment
from microai.firmware import build_image
from microai.kernel_costs import Candidate, Cost, Costs, Figures, batches, same_numbers, signature
from microai.report import choices
from microai.selection import (
    Goal,
    Limits,
    Option,
    Point,
    Row,
    Selection,
    in_order,
    largest_scratch,
    not_beaten,
    reachable,
    reason,
    scratch_limits,
    select,
    within,
)
from rich.console import Console

BOARD = load_board("nucleo_l452re")
CLOCK_HZ = 48_000_000
needs_compiler = pytest.mark.skipif(
    shutil.which("arm-none-eabi-gcc") is None, reason="needs arm-none-eabi-gcc, see README"
)


def goal(optimize: str = "speed", **limits: float) -> Goal:
    return Goal(optimize, Limits(**limits), BOARD, CLOCK_HZ)  # type: ignore[arg-type]


def small(channels: int = 12, seed: int = 1, positions: int = 20) -> Graph:
    """Two convolutions of width 3 with a shortcut, in int8."""
    rng = np.random.default_rng(seed)

    def conv(depth: int) -> Conv:
        weights = rng.normal(size=(channels, 1, 3, depth)).astype(np.float32)
        return Conv(weights, np.zeros(channels, np.float32), Window((1, 3), padding=(0, 0, 1, 1)))

    nodes = [
        Node("first", conv(3), ("x",)),
        Node("second", conv(channels), ("first",)),
        Node("sum", Add(), ("second", "first")),
    ]
    graph = Graph.build("small", {"x": TensorType((positions, 3))}, nodes, ["sum"])
    calibration = [rng.normal(size=(8, positions, 3)).astype(np.float32)]
    return compile_graph(graph, scheme_for("int8"), calibration).quantized


def all_candidates(graph: Graph) -> list[Candidate]:
    return [
        Candidate(graph, node, choice)
        for node in graph.nodes
        if len(candidates(graph, node)) > 1
        for choice in candidates(graph, node)
    ]


@pytest.mark.parametrize(
    ("positions", "groups"), [(16, [1]), (33, [1, 2, 3]), (128, [1, 2, 3, 4, 8]), (160, [1, 2, 3, 4, 5])]
)
def test_blocks_of_winograd_are_equal(positions: int, groups: list[int]) -> None:
    """None takes more memory than another one with as many blocks, and none more than 8 times 16 positions."""
    graph = small(positions=positions)
    assert [c.groups for c in candidates(graph, graph.nodes[1]) if c.kernel == "wino"] == groups


@pytest.mark.parametrize(
    ("channels", "filters", "groups", "kernels"),
    [
        (6, 6, 1, ["", "simd"]),
        (6, 6, 6, ["", "depthwise"]),
        (6, 12, 6, ["", "depthwise"]),
        (6, 9, 3, ["", "simd"]),
    ],
)
def test_groups_in_float32(channels: int, filters: int, groups: int, kernels: list[str]) -> None:
    """Depthwise or not, groups have a fast kernel, dilated ones too."""
    weights = np.ones((filters, 3, 3, channels // groups), np.float32)
    op = Conv(weights, np.zeros(filters, np.float32), Window((3, 3), dilation=(2, 2)), groups)
    graph = Graph.build("one", {"x": TensorType((9, 9, channels))}, [Node("conv", op, ("x",))], ["conv"])
    assert [c.kernel for c in candidates(graph, graph.nodes[0])] == kernels
    assert choose(graph, "speed")["conv"].kernel == kernels[-1]


# ---- the arithmetic of the choice, on costs that are made up ----


def made_up(seed: int) -> dict[str, list[Option]]:
    """Three kernels for each of five layers, of four functions."""
    rng = random.Random(seed)
    functions = [("a", "d"), ("b", "d"), ("c",), ("a", "c")]
    sizes = {"a": 300, "b": 500, "c": 700, "d": 40}

    def option(number: int) -> Option:
        code = {name: sizes[name] for name in rng.choice(functions)}
        cycles, tables = rng.randrange(100, 1000), rng.randrange(50, 90)
        choice = Choice(f"k{number}", rng.randrange(0, 5) * 80 if number else 0)
        return Option(choice, Cost(cycles, cycles, cycles, tables, code))

    return {f"layer{layer}": [option(number) for number in range(3)] for layer in range(5)}


@pytest.mark.parametrize("seed", range(5))
def test_what_can_be_reached_is_what_trying_everything_finds(seed: int) -> None:
    options = made_up(seed)
    every = []
    for taken in itertools.product(*options.values()):
        costs = [option.cost for option in taken if option.cost is not None]
        code = dict(item for cost in costs for item in cost.code.items())
        rom = sum(cost.tables for cost in costs) + sum(code.values())
        scratch = max(option.choice.scratch for option in taken)
        every.append(Point(sum(cost.cycles for cost in costs), rom, scratch, ()))

    free = not_beaten([replace(point, arena=0) for point in every])
    found = reachable(options, lambda choices: 0)
    assert [(p.cycles, p.rom) for p in found] == [(p.cycles, p.rom) for p in free]
    for point in found:  # its figures are those of its choices
        chosen = [next(o.cost for o in options[name] if o.choice == choice) for name, choice in point.choices]
        assert sum(cost.cycles for cost in chosen if cost is not None) == point.cycles

    # The fewest cycles for each amount of scratch memory.
    limited = reachable(options, largest_scratch)
    for limit in {point.arena for point in every}:
        fewest = min(point.cycles for point in every if point.arena <= limit)
        assert min(point.cycles for point in limited if point.arena <= limit) == fewest


def test_limits_of_scratch_memory_are_few_and_keep_both_ends() -> None:
    options = {"a": [Option(Choice("k", scratch), None) for scratch in range(0, 4000, 40)]}
    found = scratch_limits(options)
    assert len(found) == 8 and (found[0], found[-1]) == (0, 3960) and found == sorted(found)


POINTS = [
    Point(1000, 900, 800, ()),
    Point(1004, 880, 700, ()),
    Point(1500, 400, 700, ()),
    Point(2000, 500, 300, ()),
]


@pytest.mark.parametrize(
    ("optimize", "cycles"), [("speed", 1004), ("size", 1500), ("ram", 2000), ("balanced", 2000)]
)
def test_goals(optimize: str, cycles: int) -> None:
    """speed: less memory where cycles differ by less than 0.5 %."""
    assert in_order(goal(optimize), POINTS)[0].cycles == cycles


def test_limits_keep_what_is_within_them_or_name_the_one_that_cannot_be_kept() -> None:
    kept, limit = within(POINTS, goal(rom_bytes=890, ram_bytes=700))
    assert ([p.cycles for p in kept], limit) == ([1004, 1500, 2000], "")
    nearest, limit = within(POINTS, goal(rom_bytes=450, ram_bytes=600))
    assert ([p.arena for p in nearest], limit) == ([700], "ram_bytes")
    nearest, limit = within(POINTS, goal(ms=0.001))
    assert ([p.cycles for p in nearest], limit) == ([1000], "ms")


def test_reasons_name_the_price_of_the_fastest_kernel() -> None:
    fast = Option(Choice("wino", 640, 2), Cost(1000, 1000, 1000, 96, {"nn_w": 900}))
    slow = Option(PORTABLE, Cost(1500, 1500, 1500, 64, {"nn_p": 500}))
    assert reason([slow], PORTABLE) == "the only kernel"
    assert reason([slow, fast], fast.choice) == "fewest cycles"
    assert reason([slow, fast], PORTABLE) == (
        "wino x2 is 50.0 % faster, takes 640 bytes of scratch memory, 32 bytes of tables, 400 bytes of code more"
    )


# ---- costs ----


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the costs of this file's tests are kept."""
    return tmp_path_factory.mktemp("costs")


def test_equal_calls_are_one_measurement_whatever_the_weights() -> None:
    one, other = all_candidates(small(seed=1)), all_candidates(small(seed=3))
    wider = all_candidates(small(channels=16))
    # Formats may differ with the weights; the shapes and the kernels are then compared by the same formats.
    assert len({signature(candidate) for candidate in one}) == len(one)
    assert not {signature(c) for c in one} & {signature(c) for c in wider}
    again = [signature(candidate) for candidate in all_candidates(small(seed=1))]
    assert again == [signature(candidate) for candidate in one]
    changed = [
        replace(c, node=replace(c.node, op=replace(c.node.op, kernel=c.node.op.kernel[::-1]))) for c in one
    ]
    assert [signature(c) for c in changed] == again
    assert other


def test_batches_fit_the_board() -> None:
    signed = [(str(i), c) for i, c in enumerate(all_candidates(small()))]
    assert [len(batch) for batch in batches(signed, BOARD)] == [len(signed)]
    tables = 2 * 12 * 3 * 12  # of the second convolution and a little
    memories = tuple(Memory(m.name, m.origin, 3 * tables) if m.name == "flash" else m for m in BOARD.memories)
    several = list(batches(signed, replace(BOARD, memories=memories)))
    assert len(several) > 1 and [entry for batch in several for entry in batch] == signed
    tiny = tuple(Memory(m.name, m.origin, 64) for m in BOARD.memories)
    assert not list(batches(signed, replace(BOARD, memories=tiny)))


def test_a_kernel_that_gives_other_numbers_is_an_error() -> None:
    found = all_candidates(small())
    same_numbers(found, [7] * len(found))
    with pytest.raises(UserError, match="layer first: its kernel simd gives other numbers"):
        same_numbers(found[:2], [7, 8])


@needs_compiler
def test_measured_costs_are_those_of_the_real_network_and_are_kept(tmp_path: Path, folder: Path) -> None:
    graph = small()
    found = all_candidates(graph)
    first = Costs(BOARD, CLOCK_HZ, folder).of(found)
    by_name = {(c.node.name, str(c.choice)): cost for c, cost in zip(found, first, strict=True)}
    rule = choose(graph, "speed")
    program = lower(graph, plan_memory(graph, rule, "speed"), kernel_table(), choices=rule)
    emit(render(program), tmp_path / "model")
    elf = build_image(tmp_path / "model", BOARD, CLOCK_HZ, tmp_path / "build")
    x = [np.zeros((1, 20, 3), np.float32)]
    m = measure(elf, BOARD, [bytes(pack(list(stored(graph, x)), program.inputs)[0])])
    for layer, done in zip(program.layers, m.layers, strict=True):
        if layer.name in rule:
            cost = by_name[layer.name, str(rule[layer.name])]
            assert cost is not None and cost.low <= cost.cycles <= cost.high
            assert abs(done.cycles - cost.cycles) <= 0.03 * cost.cycles
            assert layer.kernels[0] in cost.code and "memcpy" not in cost.code
    again = Costs(BOARD, CLOCK_HZ, folder)
    assert again.of(found) == first and again.images_run == 0


def test_costs_are_kept_for_one_board_clock_and_machine(tmp_path: Path) -> None:
    costs = Costs(BOARD, CLOCK_HZ, tmp_path)
    kept = {"nn_conv": {"cycles": 5}}
    costs._write(costs=kept)
    assert costs._read()["costs"] == kept
    assert not Costs(BOARD, 80_000_000, tmp_path)._read()["costs"]
    (path,) = tmp_path.glob("*.json")
    for damaged in (
        '{"key": "of another compiler", "costs": {"a": {}}, "images": {}, "plans": {}}',
        "{ damaged",
        "[]",
    ):
        path.write_text(damaged, encoding="utf-8")
        assert not costs._read()["costs"]


@needs_compiler
def test_one_image_measures_all_candidates(folder: Path) -> None:
    costs = Costs(BOARD, CLOCK_HZ, folder)
    assert None not in costs.of(all_candidates(small(channels=13)))
    assert costs.images_run == 1


# ---- the whole choice ----


@needs_compiler
def test_choices_are_repeatable_and_keep_their_limits(folder: Path) -> None:
    graph = small()
    costs = Costs(BOARD, CLOCK_HZ, folder)
    fast = select(graph, goal("speed"), costs)
    assert fast.method == "measured" and select(graph, goal("speed"), costs) == fast
    balanced = select(graph, goal("balanced"), costs)
    assert balanced.figures is not None
    lean = select(graph, goal("ram"), costs)
    assert largest_scratch(lean.choices) <= largest_scratch(fast.choices)
    cycles = {name: total(select(graph, goal(name), costs)) for name in ("speed", "size", "ram")}
    assert cycles["speed"] <= min(cycles.values()) * 1.005
    # A limit at what an image has is kept; one below everything is an error that names what is near.
    figures = balanced.figures
    held = select(graph, goal("speed", rom_bytes=figures.rom, ram_bytes=figures.ram), costs).figures
    assert held is not None and held.rom <= figures.rom and held.ram <= figures.ram
    with pytest.raises(
        UserError, match=r"deploy.ram_bytes: 100 cannot be reached .*; the nearest is \d+ bytes"
    ) as told:
        select(graph, goal("speed", ram_bytes=100), costs)
    nearest = int(str(told.value).split()[-2])
    reached = select(graph, goal("speed", ram_bytes=nearest), costs).figures
    assert reached is not None and reached.ram <= nearest


def total(selection: Selection) -> int:
    return sum(row.option.cost.cycles for row in selection.rows if row.option.cost is not None)


def test_without_a_cross_compiler_the_rule_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    graph = small()
    found = select(graph, goal("speed"))
    assert (found.method, found.note) == ("rule", "arm-none-eabi-gcc is not on the PATH")
    assert found.choices == choose(graph, "speed") and found.choices
    with pytest.raises(UserError, match=r"deploy.ms: needs measured kernels, but arm-none-eabi-gcc"):
        select(graph, goal("speed", ms=5.0))


def test_by_request_the_rule_decides() -> None:
    graph = small()
    found = select(graph, replace(goal("ram"), measure=False))
    assert (found.method, found.note, found.choices) == ("rule", "measure = false", {})


@needs_compiler
def test_what_no_image_of_the_board_can_hold_is_chosen_by_rule(tmp_path: Path) -> None:
    tiny = tuple(Memory(m.name, m.origin, 64) for m in BOARD.memories)
    lost = replace(goal("speed"), board=replace(BOARD, memories=tiny))
    found = select(small(), lost, Costs(lost.board, CLOCK_HZ, tmp_path))
    assert (found.method, found.note) == ("rule", "a layer is too large for nucleo_l452re")


# ---- the report ----


def test_the_table_and_the_json_file_tell_what_was_beaten(tmp_path: Path) -> None:
    fast = Option(Choice("wino", 640, 2), Cost(1000, 990, 1100, 96, {"nn_w": 900}))
    slow = Option(PORTABLE, Cost(1500, 1400, 1600, 64, {"nn_p": 500}))
    row = Row("conv7", "conv", (slow, fast), fast.choice, "fewest cycles")
    pool = Row("pool", "pool_max", (Option(PORTABLE, None),), PORTABLE, "the only kernel")
    found = Selection(goal("balanced", ms=5.0), "measured", "", (row, pool), Figures(4800, 3000, 2000, 1000))
    console = Console(width=200, record=True, file=io.StringIO())
    choices.print_selection(console, "net", found)
    text = console.export_text()
    for part in ("conv7", "wino x2", "1,000", "1,500", "fewest cycles", "limit ms = 5", "0.10 ms, ROM 3,000"):
        assert part in text
    assert "pool" not in text
    choices.write([("net", found)], tmp_path / "c.json")
    [model] = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))["models"]
    assert model["limits"] == {"ms": 5.0} and model["image"]["rom"] == 3000
    assert [option["kernel"] for option in model["layers"][0]["options"]] == ["portable", "wino x2"]
    assert model["layers"][0]["options"][1]["code"] == {"nn_w": 900}
    with pytest.raises(UserError, match="its folder is not there"):
        choices.write([("net", found)], tmp_path / "nowhere" / "c.json")


def test_the_command_without_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("keras")
    experiment = Path(__file__).parents[2] / "experiments" / "uci_har.toml"
    arguments = ["--untrained", "--type", "int8", "--set", "deploy.measure=false"]
    with pytest.raises(SystemExit) as end:
        main(["choose", str(experiment), *arguments, "--json", str(tmp_path / "c.json")])
    assert not end.value.code
    assert "by rule: measure = false" in " ".join(capsys.readouterr().out.split())
    [model] = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))["models"]
    assert model["method"] == "rule" and {layer["kernel"] for layer in model["layers"]} > {"wino x8"}


# ---- the experiment ----

EXPERIMENT = """
[bench]
name = "t"
[dataset]
kind = "digits"
[model_template]
kind = "cnn"
load = "x.keras"
"""


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ('optimize = "small"', "deploy.optimize"),
        ("rom_bytes = 0", "deploy.rom_bytes"),
        ("ram_bytes = 1.5", "deploy.ram_bytes"),
        ("ms = -1.0", "deploy.ms"),
        ("ms = nan", "deploy.ms"),
        ("ms = 5\nmeasure = false", "ms needs measured kernels"),
        ("rom = 5", "did you mean 'rom_bytes'"),
    ],
)
def test_keys_of_deploy_are_checked(tmp_path: Path, key: str, message: str) -> None:
    path = tmp_path / "e.toml"
    path.write_text(f"{EXPERIMENT}[deploy]\n{key}\n", encoding="utf-8")
    with pytest.raises(UserError, match=message):
        load_experiment(path)


def test_keys_of_deploy(tmp_path: Path) -> None:
    path = tmp_path / "e.toml"
    path.write_text(
        f'{EXPERIMENT}[deploy]\noptimize = "balanced"\nrom_bytes = 20000\nms = 5\n', encoding="utf-8"
    )
    deploy = load_experiment(path).deploy
    assert (deploy.optimize, deploy.rom_bytes, deploy.ram_bytes, deploy.ms) == ("balanced", 20000, None, 5.0)
