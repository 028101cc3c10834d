"""Faults: whatever happens to the line or by a reset, an answer is right or there is none."""

from __future__ import annotations

import random

import pytest
from microai.boards.board import Board
from microai.boards.faults import DisturbedPort, Fault, NoisyLine, Outcome, campaign
from microai.boards.link import DeviceLink, VirtualPort
from microai.boards.virtual import VirtualBoard

from .conftest import model_twin
from .test_cli import boards
from .test_link import Firmware

INPUT = bytes(range(256)) * 18
TRIALS = 12


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name.lower())
def test_no_wrong_answer_is_taken_for_right(nucleo: Board, firmware: Firmware, fault: Fault) -> None:
    found = campaign(firmware(nucleo), nucleo, INPUT, fault, TRIALS, seed=3)
    assert found.total() == TRIALS
    if fault is Fault.RAM:
        return  # nothing on the chip notices a flipped bit: the outcomes are only counted
    assert found[Outcome.WRONG] == 0
    assert found[Outcome.REPORTED] == 0, "a single fault is mended by asking again"
    assert found[Outcome.RETRIED] > 0 or fault is Fault.DELAY


def test_a_reset_in_mid_inference(nucleo: Board, firmware: Firmware) -> None:
    where = []

    def press(machine: VirtualBoard) -> None:
        function = machine.image.function_at(machine._pc())
        where.append("" if function is None else function.name)
        machine.reset()

    good = model_twin(INPUT)[1]
    probe = VirtualBoard(nucleo, firmware(nucleo))
    with DeviceLink(VirtualPort(probe)) as link:
        link.run(INPUT)
    for before_the_end in range(180_000, 320_000, 10_000):
        machine = VirtualBoard(nucleo, firmware(nucleo))
        port = DisturbedPort(machine, probe.clock.cycles - before_the_end, lambda m=machine: press(m))
        with DeviceLink(port) as link:
            assert link.run(INPUT).output == good
    assert any(name in ("model_run", "layer0", "layer1") for name in where), where


def test_the_command_prints_a_table(firmware: Firmware, nucleo: Board) -> None:
    words = ["faults", str(firmware(nucleo)), "--board", nucleo.name, "--trials", "1"]
    done = boards(*words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("1 trials: ") == len(Fault) and "wrong 0" in done.stdout


def test_the_same_seed_gives_the_same_faults(nucleo: Board, firmware: Firmware) -> None:
    first, second = (campaign(firmware(nucleo), nucleo, INPUT, Fault.RESET, 4, seed=5) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("fault", "arrives"),
    [(Fault.DROP, b"ac"), (Fault.REPEAT, b"abbc"), (Fault.DELAY, b"a")],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_second_byte_is_hit(fault: Fault, arrives: bytes) -> None:
    line = NoisyLine(fault, 2, random.Random(1))
    line.send(b"abc")
    assert bytes(line.to_board) == arrives
    line.to_board.clear()
    for _ in range(60):
        line.ask()
    assert bytes(line.to_board) == (b"bc" if fault is Fault.DELAY else b"")


def test_a_flipped_bit_of_a_byte() -> None:
    line = NoisyLine(Fault.FLIP, 2, random.Random(1))
    for byte in b"abc":
        line.put(byte)
    a, b, c = line.take()
    assert bytes([a, c]) == b"ac" and (b ^ ord("b")).bit_count() == 1


def test_a_board_runs_for_so_many_cycles_and_is_reset(nucleo: Board, firmware: Firmware) -> None:
    machine = VirtualBoard(nucleo, firmware(nucleo))
    assert machine.run_for(5000) and 4900 < machine.clock.cycles <= 5000
    machine.reset()
    assert machine.resets == 1 and machine.clock.hz == 4_000_000
    assert not machine.run_for(10**9), "it waits for input"
    assert VirtualPort(machine).board is machine
