"""A virtual board behind a port that other programs open: pty, TCP, or standard input and output."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .mmio import BoardFault
from .uart import Endpoint
from .virtual import Stop, VirtualBoard


def serve(
    board: VirtualBoard, endpoint: Endpoint, max_seconds: float | None = None, max_cycles: int | None = None
) -> Stop:
    """Run `board` with its serial line at `endpoint` until it halts, or waits for input that will never come (IDLE).

    `max_seconds` is time on the host, waiting for input included, `max_cycles` time on the board. Raises
    BoardFault as the board does.
    """
    deadline = None if max_seconds is None else time.monotonic() + max_seconds
    last_cycle = None if max_cycles is None else board.clock.cycles + max_cycles
    ended = False

    def source() -> bytes:
        nonlocal ended
        data = None if ended else endpoint.read(0)
        ended = ended or data is None
        return data or b""

    board.line.sink, board.line.source = endpoint.write, source
    while True:
        left = None if deadline is None else max(deadline - time.monotonic(), 0.001)
        cycles = None if last_cycle is None else max(last_cycle - board.clock.cycles, 1)
        stop = board.run(cycles, left)
        if stop is not Stop.IDLE or ended:
            return stop
        data = endpoint.read(left)
        if data is None:
            return stop
        if deadline is not None and time.monotonic() >= deadline:
            raise BoardFault(
                f"{board.image.path.name} on {board.board.name}",
                f"waits for input on {endpoint.name}, and {max_seconds:g} s are over",
                "send it something, or give it more time",
            )
        board.line.send(data)


@contextmanager
def served(board: VirtualBoard, endpoint: Endpoint) -> Iterator[str]:
    """Run `board` behind `endpoint` in a thread; gives the name to open. A fault of the board is raised at the end."""
    fault: list[BaseException] = []

    def work() -> None:
        try:
            serve(board, endpoint)
        except Exception as error:
            fault.append(error)

    thread = threading.Thread(target=work, name=f"virtual {board.board.name}", daemon=True)
    thread.start()
    try:
        yield endpoint.name
    finally:
        board.switch_off()
        endpoint.stop()
        thread.join()
        endpoint.close()
    if fault:
        raise fault[0]
