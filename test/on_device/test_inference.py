"""The image of `pio run` on a board: bits, accuracy, time, ROM, RAM and stack; and what a bad line does to it."""

import configparser
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from microai.boards.board import load_board
from microai.boards.elf import load_image
from microai.boards.link import DeviceLink, SerialPort
from microai.boards.measure import measure
from microai.codegen.host import build_host, pack, unpack
from microai.codegen.quantize.calibration import spread
from microai.codegen.reference import stored
from microai.deploy import compile_variant, prepare_experiment, select
from pytest_embedded_serial.dut import SerialDut

PROJECT = Path(__file__).resolve().parents[2]
VECTORS = 50


@pytest.fixture(scope="session")
def settings() -> dict[str, str]:
    """What platformio.ini says is built: experiment, type and perhaps model."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(PROJECT / "platformio.ini")
    return dict(parser["env"])


@pytest.fixture(scope="session")
def model(settings: dict[str, str], firmware: Path):
    """The generator's view of what runs on the board, and the test vectors of its experiment."""
    path = PROJECT / settings["custom_experiment"]
    experiment, prepared, items = prepare_experiment(path, [f'deploy.quantize=["{settings["custom_type"]}"]'])
    return compile_variant(experiment, prepared, select(items, settings.get("custom_model"))[0]), prepared


@pytest.fixture
def released_port(dut: SerialDut) -> Iterator[str]:
    """The serial port that pytest-embedded opened, free for binary frames while the test runs."""
    with dut.serial.disable_redirect_thread(kill_port=True):
        yield dut.serial.port


def test_50_vectors(released_port, board, firmware, model, record_property, tmp_path):
    """Every output has host C's bits; the figures are printed and go into the JUnit report."""
    compiled, prepared = model
    chosen = spread(len(prepared.x_test), VECTORS)
    inputs = list(stored(compiled.quantized, [prepared.x_test[chosen]]))
    vectors = [bytes(row) for row in pack(inputs, compiled.program.inputs)]

    m = measure(firmware, load_board(board.removesuffix("_virtual")), vectors, port=released_port)

    assert m.model_hash == compiled.program.model_hash, "the board runs another model: flash it again"
    raw = np.frombuffer(b"".join(m.outputs), np.uint8).reshape(len(chosen), -1)
    (found,) = unpack(raw, compiled.program.outputs)
    (wanted,) = build_host(compiled.program, tmp_path / "host").run(inputs)
    assert np.array_equal(found, wanted)
    figures = {
        "accuracy": float((found.argmax(axis=1) == prepared.y_test[chosen]).mean()),
        "mean_ms": m.mean_ms,
        "cycles": m.mean_cycles,
        "clock_hz": m.clock_hz,
        "rom": m.footprint.rom,
        "ram": m.footprint.ram,
        "stack_used": m.stack_used,
    }
    for name, value in figures.items():
        record_property(name, value)
    print(json.dumps(figures))
    assert figures["accuracy"] > 2 / len(prepared.classes), "no better than guessing"
    assert 0 < m.stack_used < m.stack_bytes
    assert m.mean_cycles > compiled.program.macs / 2, (
        "faster than two MACs a cycle: the cycle counter is wrong"
    )


def test_selftest(released_port, firmware):
    with DeviceLink(SerialPort(released_port), load_image(firmware)) as link:
        assert link.selftest().ok


def test_garbage_on_the_line_does_no_harm(released_port, firmware):
    rng = np.random.default_rng(1)
    port = SerialPort(released_port)
    port.write(bytes(rng.integers(0, 256, 300, dtype=np.uint8)) + b"\0" + b"\x05truncated")
    with DeviceLink(port, load_image(firmware)) as link:
        assert link.info().board
        assert link.selftest().ok


def test_layers_add_up_to_the_whole(released_port, firmware, model):
    compiled, _ = model
    vector = bytes(compiled.program.inputs[0].type.bytes)
    with DeviceLink(SerialPort(released_port), load_image(firmware)) as link:
        run, layers = link.trace(vector)
        bench = link.bench(vector, 3)
    assert len(layers) == len(compiled.program.layers)
    assert sum(layer.cycles for layer in layers) <= run.cycles
    assert bench.minimum <= bench.total / 3 <= bench.maximum
