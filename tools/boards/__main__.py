"""`python -m microai.boards`: run a firmware image on a virtual board, list the boards, count an image's bytes."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UserError
from .board import board_names, load_board
from .elf import load_image
from .measure import connect
from .rom import footprint
from .serve import serve
from .uart import Endpoint, Pty, Stdio, Tcp
from .virtual import Stop, VirtualBoard

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Virtual boards.")
Boards = Annotated[Path | None, typer.Option("--boards", help="The folder with the boards' descriptions.")]


@app.command()
def run(
    elf: Annotated[Path, typer.Argument(help="The firmware image, as it would be uploaded.")],
    board: Annotated[str, typer.Option(help="Name of the board: see the command list.")],
    stdio: Annotated[
        bool, typer.Option("--stdio", help="Serial line on standard input and output (default).")
    ] = False,
    pty: Annotated[
        bool, typer.Option("--pty", help="Serial line on a pseudo-terminal; prints its name.")
    ] = False,
    tcp: Annotated[
        int | None, typer.Option(help="Serial line on this TCP port of the loopback; 0: any.")
    ] = None,
    max_seconds: Annotated[float | None, typer.Option(help="Give up after this time.")] = None,
    max_cycles: Annotated[int | None, typer.Option(help="Give up after this many core cycles.")] = None,
    cycles: Annotated[bool, typer.Option(help="Count core cycles (ten times slower).")] = True,
    deliver_faults: Annotated[
        bool, typer.Option(help="Bad accesses become hard faults of the firmware.")
    ] = False,
    boards: Boards = None,
) -> None:
    """Run a firmware image. Exit code 0 when it halts (WFI); 1 for a fault, a limit, or input that never comes."""
    if stdio + pty + (tcp is not None) > 1:
        raise UserError("--stdio, --pty, --tcp", "exclude each other", "give one of them")
    if max_cycles is not None and not cycles:
        raise UserError(
            "--max-cycles", "needs cycles to be counted", "leave out --no-cycles, or use --max-seconds"
        )
    machine = VirtualBoard(load_board(board, boards), elf, count_cycles=cycles, deliver_faults=deliver_faults)
    endpoint: Endpoint = Pty() if pty else Tcp(tcp) if tcp is not None else Stdio()
    if pty or tcp is not None:
        print(endpoint.name, flush=True)
    try:
        stop = serve(machine, endpoint, max_seconds, max_cycles)
    finally:
        endpoint.close()
    if stop is not Stop.HALTED:
        raise UserError(
            f"{elf.name} on {board}",
            "waits for input, and there will be none",
            "send it something, or end it with WFI",
        )


@app.command()
def faults(
    elf: Annotated[Path, typer.Argument(help="Firmware of this project with a model.")],
    board: Annotated[str, typer.Option(help="Name of the board: see the command list.")],
    trials: Annotated[int, typer.Option(min=1, help="How often each kind of fault is tried.")] = 40,
    seed: Annotated[int, typer.Option(help="Of the moments, bytes and bits.")] = 1,
    fault: Annotated[
        list[str] | None, typer.Option(help="Only this kind, by its name in faults.py: brown_out, ...")
    ] = None,
    boards: Boards = None,
) -> None:
    """Disturb inferences on a virtual board; print how they end. Exit code 1 for wrong answers, RAM faults aside."""
    from .faults import Fault, Outcome, campaign

    names = [kind.name.lower() for kind in Fault]
    for name in fault or []:
        if name not in names:
            raise UserError(f"--fault {name}", "there is no such fault", f"choose from {', '.join(names)}")
    target, image = load_board(board, boards), load_image(elf)
    with connect(image, target, count_cycles=False) as link:
        vector = random.Random(seed).randbytes(link.info().input_bytes)
    wrong = 0
    print(f"| fault | trials | {' | '.join(outcome.value for outcome in Outcome)} |")
    print("|---" * (2 + len(Outcome)) + "|", flush=True)
    for kind in Fault:
        if kind.name.lower() not in (fault or names):
            continue
        found = campaign(image, target, vector, kind, trials, seed)
        counts = " | ".join(str(found[outcome] or "") for outcome in Outcome)
        print(f"| {kind.value} | {trials} | {counts} |", flush=True)
        wrong += found[Outcome.WRONG] if kind is not Fault.RAM else 0
    if wrong:
        raise UserError(str(elf), f"{wrong} wrong answers were taken for right", "see firmware/PROTOCOL.md")


@app.command()
def size(elf: Annotated[Path, typer.Argument(help="The firmware image.")]) -> None:
    """ROM and RAM of a firmware image."""
    sizes = footprint(elf)
    print(f"ROM   {sizes.rom:8}   weights {sizes.weights}, code {sizes.code}")
    print(f"RAM   {sizes.ram:8}   static {sizes.ram_static}, stack {sizes.stack}")
    for name, count in sizes.sections:
        print(f"{name:14}{count:8}")
    for name, count, section in sizes.symbols[:20]:
        print(f"  {count:8}  {section:10}  {name}")


@app.command("list")
def list_boards(boards: Boards = None) -> None:
    """The boards there are."""
    for name in board_names(boards):
        found = load_board(name, boards)
        print(f"{name:20}{found.title}, {found.mcu}")


def main() -> None:
    """Entry point: a mistake of the user is one line and exit code 1."""
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
