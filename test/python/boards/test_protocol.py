"""Frames of the serial protocol: whatever surrounds a good frame, it is found, and a bad one never is."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from microai.boards import protocol
from microai.boards.protocol import Decoder, Frame, encode

frames = st.builds(Frame, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=600))


def test_a_frame_byte_by_byte() -> None:
    # type 1, seq 7, no payload; one COBS block of 6 bytes.
    assert encode(Frame(1, 7, b"")) == b"\x00\x07\x01\x07" + _crc_bytes() + b"\x00"


def _crc_bytes() -> bytes:
    # Computed bit by bit, to be independent of zlib.
    crc = 0xFFFFFFFF
    for byte in (1, 7):
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    data = struct.pack("<I", crc ^ 0xFFFFFFFF)
    assert 0 not in data
    return data


@settings(max_examples=60, deadline=None)
@given(st.lists(frames, max_size=4), st.integers(1, 50))
def test_frames_survive_any_cut(sent: list[Frame], cut: int) -> None:
    wire = b"".join(map(encode, sent))
    decoder = Decoder()
    got = [f for i in range(0, len(wire), cut) for f in decoder.feed(wire[i : i + cut])]
    assert got == sent


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), frames)
def test_a_good_frame_is_found_behind_rubbish(rubbish: bytes, frame: Frame) -> None:
    assert list(Decoder().feed(rubbish + encode(frame)))[-1] == frame


@settings(max_examples=100, deadline=None)
@given(frames, st.data())
def test_a_damaged_frame_is_never_taken(frame: Frame, data: st.DataObject) -> None:
    wire = bytearray(encode(frame))
    position = data.draw(st.integers(1, len(wire) - 2))
    wire[position] ^= data.draw(st.integers(1, 255))
    assert frame not in list(Decoder().feed(bytes(wire)))


def test_info_layout() -> None:
    payload = struct.pack("<HHIIIIIHIII", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11) + b"b\0m\0c\0"
    info = protocol.Info.parse(payload)
    assert (info.version, info.layers, info.stack_used, info.last_fault_pc) == (1, 8, 10, 11)
    assert (info.board, info.model, info.compiler) == ("b", "m", "c")
    for cut in (10, 38, len(payload) - 1):
        with pytest.raises(ValueError, match="expected"):
            protocol.Info.parse(payload[:cut])
