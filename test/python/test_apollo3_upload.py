"""The two upload protocols of the Apollo3, against bootloaders simulated from the same format facts."""

from __future__ import annotations

import binascii
import os
import select
import struct
import threading
import tty
from collections.abc import Callable
from pathlib import Path

import pytest
from microai.boards import apollo3_upload as upload
from microai.errors import UserError

Damage = Callable[[int, bytes], bytes]
"""What the line makes of the n-th write (counted from 0) of one side."""


def clean(_: int, data: bytes) -> bytes:
    return data


def program_at(address: int, size: int = 5001) -> bytes:
    """A vector table and a body whose bytes tell a shifted or repeated part."""
    return struct.pack("<II", 0x10060000, address + 0x41) + bytes(i * 7 // 5 % 251 for i in range(size - 8))


class Line:
    """A serial port with a bootloader behind it; a read that finds too little ends at once, like a timeout."""

    def __init__(self, to_device: Damage = clean, to_host: Damage = clean) -> None:
        self.timeout: float | None = None
        self.rts = self._dtr = True
        self.to_device, self.to_host = to_device, to_host
        self.writes = self.answers = 0
        self.received = bytearray()
        self.sent = bytearray()

    @property
    def dtr(self) -> bool:
        return self._dtr

    @dtr.setter
    def dtr(self, value: bool) -> None:
        if self._dtr and not value:
            self.reset()
        self._dtr = value

    def write(self, data: bytes) -> int:
        self.received += self.to_device(self.writes, data)
        self.writes += 1
        self.work()
        return len(data)

    def answer(self, data: bytes) -> None:
        self.sent += self.to_host(self.answers, data)
        self.answers += 1

    def read(self, size: int) -> bytes:
        if len(self.sent) < size:
            self.time_passes()
        data = bytes(self.sent[:size])
        del self.sent[:size]
        return data

    def reset_input_buffer(self) -> None:
        self.sent.clear()

    def reset(self) -> None: ...

    def work(self) -> None: ...

    def time_passes(self) -> None:
        self.received.clear()


class SecureBootloader(Line):
    """asb: checks every message and keeps what it would write to flash."""

    def __init__(self, to_device: Damage = clean, to_host: Damage = clean) -> None:
        super().__init__(to_device, to_host)
        self.flash: dict[int, bytes] = {}
        self.descriptor = self.expected = 0
        self.update = bytearray()
        self.update_crc = 0
        self.was_reset = False

    def acknowledge(self, kind: int, status: int, sequence: int = 0) -> None:
        body = struct.pack("<HHIII", 7, 20, kind, status, sequence)
        self.answer(struct.pack("<I", binascii.crc32(body)) + body)

    def work(self) -> None:
        if len(self.received) < 8:
            return
        crc, kind, length = struct.unpack_from("<IHH", self.received)
        if len(self.received) < length:
            return
        message = bytes(self.received[:length])
        self.received.clear()
        if crc != binascii.crc32(message[4:]):
            self.acknowledge(kind, 3)
            return
        body = message[8:]
        if kind == 0:
            status = struct.pack("<HHIIII", 1, 88, 1, 0x48000 + 96, 0, 0) + bytes(64)
            self.answer(struct.pack("<I", binascii.crc32(status)) + status)
        elif kind == 2:
            self.descriptor = struct.unpack("<I", body)[0]
            self.acknowledge(kind, 0)
        elif kind == 3:
            self.expected, self.update_crc, _ = struct.unpack("<III", body)
            self.update.clear()
            self.acknowledge(kind, 0)
        elif kind == 8:
            offset = struct.unpack_from("<I", body)[0]
            if offset != len(self.update):
                self.acknowledge(kind, 10, offset)
                return
            self.update += body[4:]
            if len(self.update) == self.expected:
                if binascii.crc32(self.update) != self.update_crc:
                    self.acknowledge(kind, 3)
                    return
                self.install()
            self.acknowledge(kind, 0, offset)
        elif kind == 6:
            self.was_reset = True
            self.acknowledge(kind, 0)
        else:
            self.acknowledge(kind, 6)

    def install(self) -> None:
        kind, _, key, address, size = struct.unpack_from("<BBxxIII", self.update, 80)
        assert (kind, key, size) == (6, 0x12344321, len(self.update) - 96)
        self.flash[address] = bytes(self.update[96:])

    def installed(self) -> tuple[int, bytes]:
        """Address and bytes of the program, if the image in flash is whole."""
        start = min(self.flash)
        image = b"".join(part for _, part in sorted(self.flash.items()))
        word, crc = struct.unpack_from("<II", image)
        assert word >> 24 == 0xCB and word & 0x7FFFFF == len(image)
        assert crc == binascii.crc32(image[8:])
        address = struct.unpack_from("<I", image, 112)[0]
        assert start >= address + len(image) - 128, "the image would be overwritten while it is installed"
        assert start % 0x2000 == 0 and start + len(image) <= self.descriptor
        return address, image[128:]


class VariableLoader(Line):
    """svl: writes frames one behind the other and asks for the next, or again."""

    def __init__(self, to_device: Damage = clean, to_host: Damage = clean) -> None:
        super().__init__(to_device, to_host)
        self.flash = bytearray()
        self.state = "application"

    def reset(self) -> None:
        self.flash.clear()
        self.received.clear()
        self.state = "listening"

    def work(self) -> None:
        if self.state == "listening":
            if self.received[:1] == b"U":
                del self.received[:1]
                self.state = "version"
                self.answer(upload.svl_packet(1, b"\x06"))
            return
        if self.state == "application" or len(self.received) < 2:
            return
        length = int.from_bytes(self.received[:2], "big")
        if len(self.received) < 2 + length:
            return
        body = bytes(self.received[2 : 2 + length])
        self.received.clear()
        if upload.crc16(body) != 0 or (body[0] == 4 and (length - 3) % 4):
            self.answer(upload.svl_packet(5))
        elif self.state == "version" and body[0] == 2:
            self.state = "loading"
            self.answer(upload.svl_packet(3))
        elif body[0] == 4:
            self.flash += body[1:-2]
            self.answer(upload.svl_packet(3))
        elif body[0] == 6:
            self.state = "application"

    def time_passes(self) -> None:
        self.received.clear()
        if self.state == "loading" and not self.sent:
            self.answer(upload.svl_packet(5))


class Silent(Line):
    """Something that is no bootloader."""


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload.time, "sleep", lambda seconds: None)


def ignore(done: int, total: int) -> None:
    assert 0 <= done <= total


def drop_byte_of(*writes: int) -> Damage:
    return lambda n, data: data[:20] + data[21:] if n in writes else data


def drop_first_byte_of(*writes: int) -> Damage:
    return lambda n, data: data[1:] if n in writes else data


def flip_bit_of(*writes: int) -> Damage:
    return lambda n, data: data[:-1] + bytes([data[-1] ^ 4]) if n in writes else data


def padded(program: bytes) -> bytes:
    return upload.pad(program)


# ---- formats ----


def test_crc16_is_the_known_one() -> None:
    # CRC-16/BUYPASS of the catalogue of parametrised CRC algorithms: check value of "123456789".
    assert upload.crc16(b"123456789") == 0xFEE8
    assert upload.crc16(b"abc" + upload.crc16(b"abc").to_bytes(2, "big")) == 0


def test_asb_image_header_word_by_word() -> None:
    image = upload.asb_image(b"\x01\x02\x03\x04\x05", 0xC000)
    assert struct.unpack_from("<III", image)[0] == 0xCB000000 | (128 + 8)
    assert struct.unpack_from("<I", image, 8)[0] == 0x10008080
    assert struct.unpack_from("<IIII", image, 112) == (0xC000, 0, 0xFFFFFFFF, 0xFFFFFFFF)
    assert image[12:112] == bytes(100)
    assert image[128:] == b"\x01\x02\x03\x04\x05\x03\x03\x03"


def test_asb_update_header_word_by_word() -> None:
    (update,) = upload.asb_updates(bytes(132), 0xC000)
    assert struct.unpack_from("<I", update)[0] == 0x08000800
    assert update[80:84] == bytes([6, 1, 0, 0])
    assert struct.unpack_from("<III", update, 84) == (0x12344321, 0x20000, 132)


def test_svl_packet_bytes() -> None:
    assert upload.svl_packet(2) == bytes([0, 3, 2]) + upload.crc16(b"\x02").to_bytes(2, "big")


# ---- asb ----


@pytest.mark.parametrize("size", [64, 5001, 8180 - 224, 20000, 100_000, 400_000])
def test_asb_installs_the_program(size: int) -> None:
    board, program = SecureBootloader(), program_at(0xC000, size)
    upload.upload_asb(board, program, 0xC000, ignore)
    assert board.installed() == (0xC000, padded(program))
    assert board.descriptor == 0xFE000 and board.was_reset


@pytest.mark.parametrize(
    "damage", [drop_byte_of(3), drop_byte_of(0, 1, 2, 4), flip_bit_of(1), flip_bit_of(2, 3, 4)]
)
def test_asb_survives_a_bad_line_to_the_board(damage: Damage) -> None:
    board, program = SecureBootloader(to_device=damage), program_at(0xC000)
    upload.upload_asb(board, program, 0xC000, ignore)
    assert board.installed() == (0xC000, padded(program)) and board.was_reset


@pytest.mark.parametrize("damage", [drop_byte_of(0), drop_first_byte_of(1), flip_bit_of(0, 1, 2)])
def test_asb_survives_damaged_answers_to_repeatable_messages(damage: Damage) -> None:
    board, program = SecureBootloader(to_host=damage), program_at(0xC000)
    upload.upload_asb(board, program, 0xC000, ignore)
    assert board.installed() == (0xC000, padded(program)) and board.was_reset


def test_asb_gives_up_after_the_retry_limit() -> None:
    board = SecureBootloader(to_device=flip_bit_of(*range(3, 100)))
    with pytest.raises(UserError, match=r"data at 0x0: 4 tries failed \(refused: wrong CRC\)"):
        upload.upload_asb(board, program_at(0xC000), 0xC000, ignore)
    assert board.writes == 3 + upload.RETRIES and not board.was_reset


def test_asb_bootloader_never_answers() -> None:
    board = Silent()
    with pytest.raises(UserError, match=r"did not answer in 30 s \(no answer\); hold button 14"):
        upload.upload_asb(board, program_at(0xC000), 0xC000, ignore)
    assert board.writes == 30


def test_asb_program_that_does_not_fit_twice() -> None:
    with pytest.raises(UserError, match="does not fit twice"):
        upload.upload_asb(SecureBootloader(), program_at(0xC000, 600_000), 0xC000, ignore)


# ---- svl ----


@pytest.mark.parametrize("size", [64, 2048, 2049, 5001, 100_000])
def test_svl_writes_the_program(size: int) -> None:
    board, program = VariableLoader(), program_at(0x10000, size)
    upload.upload_svl(board, program, ignore)
    assert board.flash == padded(program) and board.state == "application"


@pytest.mark.parametrize(
    "damage",
    [
        drop_byte_of(2),
        drop_byte_of(3, 4, 5),
        flip_bit_of(2),
        flip_bit_of(2, 4, 5),
        drop_first_byte_of(0),
        flip_bit_of(1),
    ],
)
def test_svl_survives_a_bad_line_to_the_board(damage: Damage) -> None:
    board, program = VariableLoader(to_device=damage), program_at(0x10000)
    upload.upload_svl(board, program, ignore)
    assert board.flash == padded(program) and board.state == "application"


@pytest.mark.parametrize("answer", range(5))
@pytest.mark.parametrize("damage", [drop_first_byte_of, flip_bit_of])
def test_svl_never_writes_a_frame_twice_when_an_answer_is_lost(
    damage: Callable[..., Damage], answer: int
) -> None:
    board, program = VariableLoader(to_host=damage(answer)), program_at(0x10000)
    upload.upload_svl(board, program, ignore)
    assert board.flash == padded(program) and board.state == "application"


def test_svl_gives_up_after_the_retry_limit() -> None:
    board = VariableLoader(to_device=lambda n, data: data[:-1] + b"\x00" if len(data) > 1000 else data)
    with pytest.raises(UserError, match=r"4 uploads failed \(at frame 1 of 3, 4 tries failed\)"):
        upload.upload_svl(board, program_at(0x10000), ignore)


def test_svl_bootloader_never_answers() -> None:
    with pytest.raises(UserError, match=r"4 uploads failed \(no answer\)"):
        upload.upload_svl(Silent(), program_at(0x10000), ignore)


def test_svl_application_that_talks_is_no_bootloader() -> None:
    class Talker(Line):
        def work(self) -> None:
            self.answer(b"\xffhello")

    with pytest.raises(UserError, match="4 uploads failed"):
        upload.upload_svl(Talker(), program_at(0x10000), ignore)


# ---- the command ----


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that the command prints for a mistake."""
    assert upload.main([str(argument) for argument in arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


@pytest.fixture
def firmware(tmp_path: Path) -> Path:
    path = tmp_path / "firmware.bin"
    path.write_bytes(program_at(0xC000))
    return path


def test_port_that_does_not_exist(firmware: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = run(capsys, "--protocol", "asb", "--port", "/dev/ttyNOT_THERE", firmware)
    assert "/dev/ttyNOT_THERE" in error and "check --port" in error


def test_missing_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "cannot be read" in run(capsys, "--protocol", "asb", "--port", "p", tmp_path / "none.bin")


@pytest.mark.parametrize("size", [0, 63])
def test_program_without_a_vector_table(
    size: int, firmware: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    firmware.write_bytes(firmware.read_bytes()[:size])
    assert "is truncated" in run(capsys, "--protocol", "asb", "--port", "p", firmware)


def test_program_cut_off_before_its_first_instruction(
    firmware: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    firmware.write_bytes(struct.pack("<II", 0x10060000, 0xC000 + 0x1001) + bytes(100))
    assert "is truncated" in run(capsys, "--protocol", "asb", "--port", "p", firmware)


def test_program_for_another_address(firmware: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "another address than 0x10000" in run(capsys, "--protocol", "svl", "--port", "p", firmware)


def test_elf_instead_of_bin(firmware: Path, capsys: pytest.CaptureFixture[str]) -> None:
    firmware.write_bytes(b"\x7fELF" + bytes(200))
    assert "vector table" in run(capsys, "--protocol", "asb", "--port", "p", firmware)


@pytest.mark.parametrize(
    "protocol, address", [("svl", "0xC000"), ("asb", "0x8000"), ("asb", "0xC100"), ("asb", "0x100000")]
)
def test_wrong_address(
    protocol: str, address: str, firmware: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = run(capsys, "--protocol", protocol, "--port", "p", "--address", address, firmware)
    assert error.startswith(f"error: --address {int(address, 0):#x}: ")


def test_whole_upload_through_a_serial_port(firmware: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command, pyserial and a pseudo-terminal, with the bootloader in a thread at its other end."""
    board = SecureBootloader()
    device, port = os.openpty()
    tty.setraw(port)
    tty.setraw(device)

    def serve() -> None:
        while not board.was_reset:
            if not select.select([device], [], [], 10)[0]:
                return
            board.write(os.read(device, 65536))
            os.write(device, board.read(len(board.sent)))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        arguments = ["--protocol", "asb", "--port", os.ttyname(port), str(firmware)]
        assert upload.main(arguments) == 0, capsys.readouterr().err
    finally:
        thread.join()
        os.close(device)
        os.close(port)
    assert board.installed() == (0xC000, padded(firmware.read_bytes()))
    assert capsys.readouterr().out.endswith("100 %\n")
