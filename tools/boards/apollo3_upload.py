"""Writes a program into an Ambiq Apollo3 through the bootloader in its flash, over a serial port.

Two bootloaders, both spoken to as their own tools do (AmbiqSuite's tools/apollo3_scripts, SparkFun's svl.py):

- `asb`, the Ambiq secure bootloader that every Apollo3 has, with its wired update messages;
- `svl`, the SparkFun variable loader, which has to be installed once.

    python -m microai.boards.apollo3_upload --protocol asb --port /dev/ttyUSB0 firmware.bin

Neither was ever run against hardware: docs/hardware.md.
"""

from __future__ import annotations

import argparse
import binascii
import contextlib
import os
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import serial

from ..errors import UserError

RAM_START, RAM_END = 0x10000000, 0x10060000
FLASH_END = 0x100000
FLASH_PAGE = 0x2000
ADDRESSES = {"asb": 0xC000, "svl": 0x10000}
"""Where each bootloader expects the program."""

RETRIES = 4
"""How often one message is sent before it is given up."""


class Port(Protocol):
    """What is needed of a serial.Serial: reads end early, with fewer bytes, when `timeout` seconds have passed."""

    timeout: float | None
    dtr: bool
    rts: bool

    def read(self, size: int, /) -> bytes: ...

    def write(self, data: bytes, /) -> int | None: ...

    def reset_input_buffer(self) -> None: ...


class Damaged(Exception):
    """What came from the bootloader is incomplete, has a wrong checksum or refuses our message: send it again."""


Progress = Callable[[int, int], None]
"""Called with how much is done and how much there is to do, in the same unit."""


def pulse_reset(port: Port) -> None:
    """Resets boards whose DTR or RTS is wired to reset and boot, as the SparkFun Edge 2; the Edge has a button."""
    with contextlib.suppress(OSError):  # a port without these lines, such as a pseudo-terminal
        port.dtr = port.rts = True
        time.sleep(0.005)
        port.dtr = port.rts = False
    time.sleep(0.1)


# ---- the program ----


def check_program(path: Path, address: int) -> bytes:
    """The bytes of a program for `address`, checked by its vector table.

    Raises UserError if the file is missing, cut off, not a program for an Apollo3, or linked for another address.
    """
    try:
        program = path.read_bytes()
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "build the firmware first") from None
    if len(program) < 64:
        raise UserError(
            path, f"is truncated: {len(program)} bytes, less than a vector table", "build it again"
        )
    stack, reset = struct.unpack_from("<II", program)
    if not (RAM_START < stack <= RAM_END and reset % 2 == 1):
        raise UserError(
            path, "does not begin with the vector table of an Apollo3", "give firmware.bin, not the ELF"
        )
    if reset < address or reset >= FLASH_END:
        raise UserError(
            path,
            f"starts at {reset - 1:#x} and so was linked for another address than {address:#x}",
            "build it with the upload protocol that you upload with",
        )
    if reset >= address + len(program):
        raise UserError(
            path,
            f"is truncated, or linked for another address than {address:#x}: it starts at {reset - 1:#x} "
            f"and ends at {address + len(program):#x}",
            "build it again with the upload protocol that you upload with",
        )
    if address + len(program) > FLASH_END:
        raise UserError(
            path, f"ends {address + len(program) - FLASH_END} bytes after the flash", "make it smaller"
        )
    return program


def check_address(protocol: str, address: int) -> None:
    """Raises UserError if a program at `address` would never be started, or would overwrite the bootloader."""
    if protocol == "svl" and address != ADDRESSES["svl"]:
        raise UserError(
            f"--address {address:#x}", "svl writes and starts programs at 0x10000 only", "leave --address out"
        )
    if protocol == "asb" and (address < ADDRESSES["asb"] or address % FLASH_PAGE or address >= FLASH_END):
        raise UserError(
            f"--address {address:#x}",
            f"asb needs a multiple of {FLASH_PAGE:#x} from 0xc000 to {FLASH_END - FLASH_PAGE:#x}",
            "leave --address out for 0xc000",
        )


def pad(data: bytes) -> bytes:
    """To whole words; as Ambiq's tool does, each pad byte is their number."""
    missing = -len(data) % 4
    return data + bytes([missing]) * missing


# ---- Ambiq secure bootloader ----

OTA_DESCRIPTOR = 0xFE000
"""Flash page that tells the bootloader, after the reset, where the image to install is."""
STAGING = 0x20000
"""Where the image waits for its installation, unless the program itself reaches further."""
UPDATE_MAX = 0x48000
"""Bytes of an image that one update carries."""
DATA_MAX = 8192 - 12
"""Bytes of an update that one message carries: the bootloader's buffer is 8 KiB."""

_MAGIC_NONSECURE = 0xCB
_IMAGE_NONSECURE = 6
_FLASH_KEY = 0x12344321  # Ambiq's public default; protects from accidents only
_KEY_INDEX = 8  # the first one, named in headers though nothing is signed or encrypted

_HELLO, _STATUS, _OTA, _UPDATE, _RESET, _ACK, _DATA = 0, 1, 2, 3, 6, 7, 8
_RESET_POI = 1
_STATUS_BYTES, _ACK_BYTES = 88, 20
_ACK_ERRORS = {
    1: "failure",
    2: "invalid INFO0",
    3: "wrong CRC",
    4: "security",
    5: "message too big",
    6: "unknown message",
    7: "invalid address",
    8: "invalid operation",
    9: "invalid parameter",
    10: "wrong sequence",
    11: "too much data",
}


def asb_image(program: bytes, address: int) -> bytes:
    """The program as a customer image: a header of 128 bytes (magic, CRC-32, load address) and the padded program."""
    body = pad(program)
    length = 128 + len(body)
    checks = 1 << 4  # install only if the CRC is right
    head = struct.pack("<I", checks << 24 | _KEY_INDEX << 12 | _KEY_INDEX << 4)
    head += bytes(100)  # no signature, initialization vector, key or clear signature
    head += struct.pack("<IIII", address, 0, 0xFFFFFFFF, 0xFFFFFFFF)  # load address, version, no child images
    crc = binascii.crc32(head + body)
    return struct.pack("<II", _MAGIC_NONSECURE << 24 | length, crc) + head + body


def asb_updates(image: bytes, address: int) -> list[bytes]:
    """The image cut into updates, each with its header of 96 bytes, in the order of their addresses.

    `address` is where the program will run: the image must wait behind it.
    """
    end = address + len(image)
    staging = max(STAGING, -(-end // FLASH_PAGE) * FLASH_PAGE)
    if staging + len(image) > OTA_DESCRIPTOR:
        raise UserError(
            f"program of {len(image) - 128} bytes",
            "does not fit twice into the flash, as asb needs it",
            "use --protocol svl or a debugger",
        )
    updates = []
    for start in range(0, len(image), UPDATE_MAX):
        part = image[start : start + UPDATE_MAX]
        install = 1 if start == 0 else 0  # after the download, once
        head = struct.pack("<I", _KEY_INDEX << 24 | _KEY_INDEX << 8) + bytes(76)
        head += struct.pack("<BBxxIII", _IMAGE_NONSECURE, install, _FLASH_KEY, staging + start, len(part))
        updates.append(head + part)
    return updates


def asb_message(kind: int, body: bytes = b"") -> bytes:
    """A wired update message: CRC-32 of what follows, type, length of all, body."""
    rest = struct.pack("<HH", kind, 8 + len(body)) + body
    return struct.pack("<I", binascii.crc32(rest)) + rest


def asb_receive(port: Port, kind: int, size: int) -> bytes:
    """The body of the bootloader's message of that type and size. Raises Damaged."""
    message = port.read(size)
    if len(message) < size:
        raise Damaged(f"{len(message)} of {size} bytes came" if message else "no answer")
    crc, got, length = struct.unpack_from("<IHH", message)
    if crc != binascii.crc32(message[4:]):
        raise Damaged("an answer with a wrong CRC")
    if got != kind or length != size:
        raise Damaged(f"an answer of type {got} and {length} bytes instead of type {kind} and {size} bytes")
    return message[8:]


def _asb_acknowledged(port: Port, kind: int, body: bytes, what: str) -> None:
    reason = ""
    for _ in range(RETRIES):
        port.reset_input_buffer()
        port.write(asb_message(kind, body))
        try:
            _, status, _ = struct.unpack("<III", asb_receive(port, _ACK, _ACK_BYTES))
        except Damaged as damage:
            reason = str(damage)
            continue
        if status == 0:
            return
        reason = f"refused: {_ACK_ERRORS.get(status, f'error {status}')}"
    raise UserError(
        f"bootloader, {what}", f"{RETRIES} tries failed ({reason})", "reset the board and start again"
    )


def upload_asb(port: Port, program: bytes, address: int, progress: Progress, patience: int = 30) -> None:
    """Hello, OTA descriptor, updates (the last address first), reset.

    `patience`: seconds to wait for the bootloader, for someone has to press buttons. Raises UserError.
    """
    updates = asb_updates(asb_image(program, address), address)
    port.timeout = 1
    for _ in range(patience):
        port.reset_input_buffer()
        port.write(asb_message(_HELLO))
        try:
            status = asb_receive(port, _STATUS, _STATUS_BYTES)
            break
        except Damaged as damage:
            reason = str(damage)
    else:
        raise UserError(
            "bootloader",
            f"did not answer in {patience} s ({reason})",
            "hold button 14, press RST, keep holding 14",
        )
    storage = struct.unpack_from("<I", status, 4)[0]
    if storage and max(len(update) for update in updates) > storage:
        raise UserError(
            "bootloader", f"takes updates of {storage} bytes at most", "use --protocol svl or a debugger"
        )

    port.timeout = 12  # a page takes up to 100 ms to write, and the last answer waits for all of them
    total = sum(len(update) for update in updates)
    sent = 0
    _asb_acknowledged(port, _OTA, struct.pack("<I", OTA_DESCRIPTOR), "OTA descriptor")
    for update in reversed(updates):
        body = struct.pack("<III", len(update), binascii.crc32(update), 0)
        _asb_acknowledged(port, _UPDATE, body, "update")
        for start in range(0, len(update), DATA_MAX):
            part = update[start : start + DATA_MAX]
            _asb_acknowledged(port, _DATA, struct.pack("<I", start) + part, f"data at {start:#x}")
            sent += len(part)
            progress(sent, total)
    _asb_acknowledged(port, _RESET, struct.pack("<I", _RESET_POI), "reset")


# ---- SparkFun variable loader ----

SVL_FRAME = 2048
"""Bytes of the program that one packet carries."""
_VERSION, _ENTER, _NEXT, _FRAME, _RETRY, _DONE = 1, 2, 3, 4, 5, 6


def crc16(data: bytes) -> int:
    """CRC-16 with polynomial 0x8005, first bit first, from 0; 0 over data followed by its own CRC."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x8005 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def svl_packet(command: int, data: bytes = b"") -> bytes:
    """Length of the rest (big-endian), command, data, CRC of command and data (big-endian)."""
    body = bytes([command]) + data
    return struct.pack(">H", len(body) + 2) + body + struct.pack(">H", crc16(body))


def svl_receive(port: Port) -> tuple[int, bytes]:
    """Command and data of the bootloader's next packet. Raises Damaged."""
    head = port.read(2)
    if len(head) < 2:
        raise Damaged("no answer")
    length = int.from_bytes(head, "big")
    if not 3 <= length <= SVL_FRAME + 3:
        raise Damaged(f"a packet of {length} bytes")
    body = port.read(length)
    if len(body) < length:
        raise Damaged(f"{len(body)} of {length} bytes came")
    if crc16(body) != 0:
        raise Damaged("a packet with a wrong CRC")
    return body[0], body[1:-2]


def _svl_enter(port: Port) -> None:
    """Into the loader, which listens for 200 ms after a reset and finds the baud rate from the letter U.

    Raises Damaged.
    """
    port.timeout = 0.5
    pulse_reset(port)
    port.reset_input_buffer()
    port.write(b"U")
    command, _ = svl_receive(port)
    if command != _VERSION:
        raise Damaged(f"command {command} instead of its version")
    port.write(svl_packet(_ENTER))


def _svl_transfer(port: Port, frames: list[bytes], progress: Progress) -> None:
    """Sends the frames as the loader asks for them. Raises Damaged.

    NEXT asks for the frame after the last one, RETRY for the last one again. A question that cannot be read ends the
    transfer: whether the loader has written the last frame is then unknown, and a wrong guess would write it twice.
    """
    port.timeout = 2  # the loader waits 0.5 s for a packet and 0.18 s more before it asks again
    current, repeats = -1, 0
    while True:
        command, _ = svl_receive(port)
        if command == _NEXT:
            current, repeats = current + 1, 0
            progress(current, len(frames))
            if current == len(frames):
                port.write(svl_packet(_DONE))
                return
        elif command == _RETRY and current >= 0 and repeats + 1 < RETRIES:
            repeats += 1
        else:
            what = f"{RETRIES} tries failed" if command == _RETRY else f"command {command} came"
            raise Damaged(f"at frame {current + 1} of {len(frames)}, {what}")
        port.write(svl_packet(_FRAME, frames[current]))


def upload_svl(port: Port, program: bytes, progress: Progress) -> None:
    """The whole transfer, from the reset on, until it succeeds or has failed RETRIES times. Raises UserError."""
    body = pad(program)  # the loader refuses frames that are not whole words
    frames = [body[start : start + SVL_FRAME] for start in range(0, len(body), SVL_FRAME)]
    reasons = []
    for _ in range(RETRIES):
        try:
            _svl_enter(port)
            _svl_transfer(port, frames, progress)
            return
        except Damaged as damage:
            reasons.append(str(damage))
    raise UserError(
        "bootloader",
        f"{RETRIES} uploads failed ({', then '.join(dict.fromkeys(reasons))})",
        "press RST and try again, at a lower --baud; without the variable loader on the board use --protocol asb",
    )


# ---- command line ----


def upload(protocol: str, port_name: str, baud: int, address: int, path: Path, progress: Progress) -> None:
    """Checks the program at `path`, opens the port and uploads. Raises UserError."""
    check_address(protocol, address)
    program = check_program(path, address)
    try:
        with serial.Serial(port_name, baud, timeout=1, write_timeout=10) as port:
            if protocol == "asb":
                print(
                    "SparkFun Edge: hold button 14, press and release RST, hold 14 until the per cent count"
                )
                pulse_reset(port)
                upload_asb(port, program, address, progress)
            else:
                upload_svl(port, program, progress)
    except serial.SerialTimeoutException:
        raise UserError(port_name, "takes no bytes", "check the adapter") from None
    except (serial.SerialException, ValueError, OSError) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number else str(error)
        raise UserError(
            port_name, f"cannot be used ({reason})", "check --port and that nothing else has it open"
        ) from None


def _show(done: int, total: int) -> None:
    print(f"\r{100 * done // total} %", end="\n" if done == total else "", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """The command; 0 when the program was written, 1 after an error, which is one line on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m microai.boards.apollo3_upload", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--protocol", choices=sorted(ADDRESSES), required=True)
    parser.add_argument("--port", required=True, help="serial port, for example /dev/ttyUSB0")
    parser.add_argument("--baud", type=int, default=115200)
    parser.add_argument(
        "--address", type=lambda text: int(text, 0), help="default: where the bootloader starts it"
    )
    parser.add_argument("program", type=Path, help="firmware.bin")
    options = parser.parse_args(arguments)
    address = ADDRESSES[options.protocol] if options.address is None else options.address
    try:
        upload(options.protocol, options.port, options.baud, address, options.program, _show)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
