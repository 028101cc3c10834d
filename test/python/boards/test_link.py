"""The real firmware on virtual boards, talked to in this process, over a pseudo-terminal and over TCP."""

from __future__ import annotations

import random
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import serial
from microai.boards.board import Board
from microai.boards.elf import load_image
from microai.boards.link import DeviceFault, DeviceLink, SerialPort, VirtualPort, open_link
from microai.boards.measure import measure
from microai.boards.mmio import BoardFault
from microai.boards.protocol import Decoder, Frame, Notice, Request, encode
from microai.boards.rom import footprint
from microai.boards.serve import served
from microai.boards.uart import Pty, Tcp
from microai.boards.virtual import Stop, VirtualBoard
from microai.errors import UserError

from .conftest import Build, model_twin

Firmware = Callable[..., Path]
INPUT = bytes(i * 7 & 0xFF for i in range(4608))


@pytest.fixture(params=["nucleo", "edge"])
def board(request: pytest.FixtureRequest) -> Board:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Board)
    return found


def link_to(board: Board, elf: Path, **options: bool) -> DeviceLink:
    image = load_image(elf)
    return DeviceLink(VirtualPort(VirtualBoard(board, image, **options)), image)


@pytest.mark.parametrize("count", [True, False], ids=["counted", "uncounted"])
def test_all_requests(board: Board, firmware: Firmware, count: bool) -> None:
    with link_to(board, firmware(board), count_cycles=count) as link:
        info = link.info()
        assert (info.board, info.clock_hz, info.layers) == (board.name, 48_000_000, 2)
        assert info.stack_bytes == load_image(firmware(board)).labels["_stack_size"]
        assert 50 < info.stack_used < 1024
        first, output = model_twin(INPUT)
        run = link.run(INPUT)
        assert run.output == output
        traced, layers = link.trace(INPUT)
        assert traced.output == output
        assert [(layer.size, layer.crc) for layer in layers] == [
            (3000, zlib.crc32(first)),
            (8, zlib.crc32(output)),
        ]
        assert link.tensor(0, INPUT) == first
        assert link.tensor(1, INPUT) == output
        bench = link.bench(INPUT, 5)
        assert bench.output == output
        assert bench.minimum <= bench.maximum
        assert 5 * bench.minimum <= bench.total <= 5 * bench.maximum
        assert link.selftest().ok
        if count:
            # Two loops of 3000, at most 16 cycles each; the runs differ by the path of the calls and the flash caches.
            assert 30_000 < run.cycles < 100_000
            assert abs(run.cycles - bench.minimum) < 50
            assert abs(sum(layer.cycles for layer in layers) - run.cycles) < 200


def test_cycles_are_the_same_each_time(board: Board, firmware: Firmware) -> None:
    elf = firmware(board)
    cycles = []
    for _ in range(2):
        with link_to(board, elf) as link:
            cycles += [link.run(INPUT).cycles, link.run(INPUT).cycles]
    assert len(set(cycles)) == 1


def test_bad_requests(nucleo: Board, firmware: Firmware) -> None:
    with link_to(nucleo, firmware(nucleo)) as link:
        with pytest.raises(UserError, match="refuses the value 2"):
            link.tensor(2, INPUT)
        with pytest.raises(
            UserError, match=r"no good answer to RUN \(it expects 4608 bytes\), asked 4 times"
        ):
            link.run(INPUT[:-1])
        assert link.run(INPUT).output == model_twin(INPUT)[1]


class Noisy(VirtualPort):
    """Damages what goes over the line: `damage(number of the write, bytes)`."""

    def __init__(self, board: VirtualBoard, damage: Callable[[int, bytes], bytes]) -> None:
        super().__init__(board)
        self.writes = 0
        self._damage = damage

    def write(self, data: bytes) -> None:
        super().write(self._damage(self.writes, data))
        self.writes += 1


def test_damaged_requests_are_repeated(board: Board, firmware: Firmware) -> None:
    def flip_every_other(number: int, data: bytes) -> bytes:
        if number % 2:
            return data
        position = 5 + number * 37 % (len(data) - 8)
        return data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :]

    port = Noisy(VirtualBoard(board, firmware(board)), flip_every_other)
    link = DeviceLink(port)
    for seed in range(4):
        vector = random.Random(seed).randbytes(4608)
        assert link.run(vector).output == model_twin(vector)[1]
    assert port.writes == 8


def test_rubbish_on_the_line(board: Board, firmware: Firmware) -> None:
    port = Noisy(VirtualBoard(board, firmware(board)), lambda n, data: random.Random(n).randbytes(700) + data)
    link = DeviceLink(port)
    assert link.info().layers == 2
    assert link.run(INPUT).output == model_twin(INPUT)[1]


def test_a_dead_line_is_one_error(nucleo: Board, firmware: Firmware) -> None:
    link = DeviceLink(Noisy(VirtualBoard(nucleo, firmware(nucleo)), lambda n, data: b""))
    with pytest.raises(UserError, match=r"no good answer to INFO \(silence\), asked 4 times"):
        link.info()


def test_faults_of_the_firmware(board: Board, firmware: Firmware) -> None:
    with link_to(board, firmware(board), deliver_faults=True) as link:
        with pytest.raises(
            DeviceFault, match=r"in crash\+0x\w+: hard fault: data access failed .* at 0x30000000"
        ):
            link.run(b"\xee" + INPUT[1:])
        info = link.info()
        image = load_image(firmware(board))
        function = image.function_at(info.last_fault_pc)
        assert function is not None
        assert function.name == "crash"
        with pytest.raises(DeviceFault, match="undefined instruction"):
            link.run(b"\xef" + INPUT[1:])
        assert link.run(INPUT).output == model_twin(INPUT)[1]
    with (
        link_to(board, firmware(board)) as link,
        pytest.raises(BoardFault, match=r"in crash\+.*read of 4 bytes"),
    ):
        link.run(b"\xee" + INPUT[1:])


def test_halted_program_does_not_answer(nucleo: Board, build: Build) -> None:
    elf = build("int main(void) { return 0; }")
    with link_to(nucleo, elf) as link, pytest.raises(UserError, match="has halted and will not answer"):
        link.info()


def test_overrun_as_on_a_board(nucleo: Board, firmware: Firmware) -> None:
    """Two requests at once: the device does not listen while it runs the model, so the second is lost but harmless."""
    machine = VirtualBoard(nucleo, firmware(nucleo))
    assert machine.run(max_seconds=60) is Stop.IDLE
    machine.line.send(encode(Frame(Request.RUN, 1, INPUT)) + encode(Frame(Request.INFO, 2, b"")))
    while machine.line.to_board:
        assert machine.run(max_seconds=60) is Stop.IDLE
    frames = list(Decoder().feed(machine.line.take()))
    assert [f.type for f in frames if f and f.type != Notice.ERROR] == [Request.RUN | 0x80]
    machine.line.send(encode(Frame(Request.INFO, 3, b"")))
    assert machine.run(max_seconds=60) is Stop.IDLE
    answers = [f for f in Decoder().feed(machine.line.take()) if f and f.seq == 3]
    assert [f.type for f in answers] == [Request.INFO | 0x80]


@pytest.mark.parametrize("kind", [Pty, Tcp])
def test_ports_that_other_programs_open(
    board: Board, firmware: Firmware, kind: type[Pty] | type[Tcp]
) -> None:
    machine = VirtualBoard(board, firmware(board), count_cycles=False)
    with served(machine, kind()) as name:
        started = time.monotonic()
        for _ in range(2):
            with open_link(name) as link:
                assert link.info().board == board.name
                assert link.run(INPUT).output == model_twin(INPUT)[1]
                assert link.trace(INPUT)[0].output == model_twin(INPUT)[1]
        assert time.monotonic() - started < 20
        with serial.serial_for_url(name, timeout=5) as raw:
            raw.write(encode(Frame(Request.INFO, 9, b"")))
            assert raw.read(1) == b"\0"


def test_tcp_is_on_the_loopback_only() -> None:
    endpoint = Tcp()
    assert endpoint.name.startswith("socket://127.0.0.1:")
    with pytest.raises(UserError, match="cannot be opened"):
        Tcp(int(endpoint.name.rsplit(":", 1)[1]))
    endpoint.close()


def test_a_fault_behind_a_port_is_not_lost(nucleo: Board, build: Build) -> None:
    machine = VirtualBoard(nucleo, build("int main(void) { return (int)REG(0x30000000); }"))
    with pytest.raises(BoardFault, match="0x30000000"), served(machine, Pty()):
        time.sleep(0.5)


def test_port_that_does_not_exist() -> None:
    with pytest.raises(UserError, match=r"port /dev/ttyNONE: cannot be opened \(.*\); ports here: "):
        SerialPort("/dev/ttyNONE")
    with pytest.raises(UserError, match="cannot be opened"):
        SerialPort("socket://127.0.0.1:1")


def test_measure(board: Board, firmware: Firmware) -> None:
    elf = firmware(board)
    vectors = [random.Random(seed).randbytes(4608) for seed in range(3)]
    done: list[int] = []
    result = measure(elf, board, vectors, progress=done.append)
    assert result.kind == "emulated"
    assert result.outputs == tuple(model_twin(vector)[1] for vector in vectors)
    assert done == [1, 2, 3]
    assert len(result.cycles) == 3
    assert result.mean_ms == pytest.approx(1000 * sum(result.cycles) / 3 / 48e6)
    assert [layer.size for layer in result.layers] == [3000, 8]
    assert 50 < result.stack_used <= result.stack_bytes
    untimed = measure(elf, board, vectors[:1], count_cycles=False)
    assert (untimed.kind, untimed.cycles, untimed.layers) == ("untimed", (), ())
    assert untimed.outputs == result.outputs[:1]
    with pytest.raises(UserError, match="vector 0: has 5 bytes"):
        measure(elf, board, [b"12345"])


def test_measure_on_a_port(nucleo: Board, edge: Board, firmware: Firmware) -> None:
    elf = firmware(nucleo)
    with served(VirtualBoard(nucleo, elf, count_cycles=False), Pty()) as name:
        result = measure(elf, nucleo, [INPUT], port=name)
        assert result.kind == "measured"
        assert result.outputs == (model_twin(INPUT)[1],)
        with pytest.raises(UserError, match="is a nucleo_l452re, not a sparkfun_edge"):
            measure(elf, edge, [INPUT], port=name)


def test_footprint(board: Board, firmware: Firmware) -> None:
    sizes = footprint(firmware(board))
    assert sizes.weights == 3000
    assert sizes.rom == sizes.weights + sizes.code
    assert 2000 < sizes.code < 12_000
    assert sizes.stack == load_image(firmware(board)).labels["_stack_size"] > 0
    # The arena, and little more.
    assert 8192 < sizes.ram_static < 8192 + 1024
    assert sizes.symbols[0][1] >= 8192
