"""Faults: whatever happens to the line or by a reset, an answer is right or there is none."""

from __future__ import annotations

import random

import pytest
from microai.boards import protocol
from microai.boards.board import Board
from microai.boards.faults import BrownOutPort, DisturbedPort, Fault, NoisyLine, Outcome, campaign
from microai.boards.link import DeviceLink, VirtualPort
from microai.boards.protocol import Frame, Request, Run
from microai.boards.virtual import VirtualBoard
from microai.errors import UserError

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
    if fault is Fault.RAM_CONFIRMED:
        assert found[Outcome.RIGHT] + found[Outcome.RETRIED] > TRIALS // 2
        return
    mended = found[Outcome.RIGHT] + found[Outcome.RETRIED]
    assert mended == TRIALS, "a single fault is mended by asking again"
    assert found[Outcome.RETRIED] > 0 or fault is Fault.DELAY


@pytest.mark.parametrize("rest_comes", [False, True], ids=["the rest is lost", "the rest comes afterwards"])
def test_brown_out_at_each_byte(nucleo: Board, firmware: Firmware, rest_comes: bool) -> None:
    """One board, cut off at each byte of a short request and at many of a vector; what it says afterwards is right."""
    machine = VirtualBoard(nucleo, firmware(nucleo), count_cycles=False, deliver_faults=True)
    rng, good = random.Random(1), model_twin(INPUT)[1]
    info = len(protocol.encode(Frame(Request.INFO, 1, b"")))
    for position in range(1, info):
        link = DeviceLink(BrownOutPort(machine, position, rest_comes, rng))
        assert link.info().last_fault_pc == 0 and machine.resets == position
    run = len(protocol.encode(Frame(Request.RUN, 1, INPUT)))
    for position in (*range(1, 12), *rng.sample(range(12, run - 12), 16), *range(run - 12, run)):
        link = DeviceLink(BrownOutPort(machine, position, rest_comes, rng))
        assert link.run(INPUT).output == good
        # Without the first byte, a delimiter, the request is as good.
        assert link.asked == (1 if rest_comes and position == 1 else 2)


def test_answers_that_never_agree_are_no_answer(nucleo: Board, firmware: Firmware) -> None:
    link = DeviceLink(VirtualPort(VirtualBoard(nucleo, firmware(nucleo), count_cycles=False)))
    assert link.run_confirmed(INPUT).output == model_twin(INPUT)[1] and link.confirmations == 1
    outputs = iter(range(99))
    link.run = lambda inputs: Run(0, bytes([next(outputs)]))  # type: ignore[method-assign]
    with pytest.raises(UserError, match=r"another answer to the same input each time \(5 runs\)"):
        link.run_confirmed(INPUT)
    answers = iter([1, 2, 2])
    link.run = lambda inputs: Run(0, bytes([next(answers)]))  # type: ignore[method-assign]
    assert link.run_confirmed(INPUT).output == b"\2" and link.confirmations == 2


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
    lines = done.stdout.splitlines()
    assert len(lines) == 2 + len(Fault) and "| fault | trials | right |" in lines[0]
    assert all(line.count("|") == lines[0].count("|") and "| 1 |" in line for line in lines[2:])
    assert lines[2].startswith("| a byte is lost | 1 |  | 1 |") or lines[2].startswith(
        "| a byte is lost | 1 | 1 |"
    )
    other = boards(*words, "--fault", "rain")
    assert other.returncode == 1 and "choose from drop, repeat" in other.stderr


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
