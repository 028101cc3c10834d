"""The firmware's side of the serial protocol (firmware/PROTOCOL.md), compiled for the host with a fake model.

The harness stands in for board.c and startup.c: what the device receives is a byte string, what it sends is collected,
and every reading of the cycle counter advances the time.
"""

from __future__ import annotations

import binascii
import ctypes
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from microai.boards import protocol
from microai.boards.protocol import Frame
from microai.codegen.render import RUNTIME_API

ROOT = Path(__file__).resolve().parents[2]

INFO, RUN, BENCH, TRACE, TENSOR, SELFTEST, FAULT, ERROR = 1, 2, 3, 4, 5, 6, 0x7E, 0x7F

# Two inputs of 5 and 300 bytes, not side by side, and two outputs that the run leaves where the inputs were: byte i
# of output 0 is 3 * input[0][i], output 1 is the 300 bytes of input 1 reversed. Guard bytes lie around the inputs.
INPUT_BYTES, OUTPUT_BYTES, ARENA_BYTES, LAYERS = 305, 305, 1024, 2
MODEL_H = """
#ifndef MODEL_H
#define MODEL_H
#include "nn_runtime.h"
#include <stdbool.h>
#define MODEL_NAME "fake/two_inputs/int8"
#define MODEL_HASH 0x89abcdefu
#define MODEL_INPUT_BYTES 305u
#define MODEL_OUTPUT_BYTES 305u
#define MODEL_ARENA_BYTES 1024u
#define MODEL_LAYERS 2u
#define MODEL_INPUT_SPANS { { 512u, 5u }, { 16u, 300u } }
#define MODEL_OUTPUT_SPANS { { 16u, 5u }, { 600u, 300u } }
typedef union { uint32_t words[256]; uint8_t q8[1024]; } model_arena_t;
void model_run(model_arena_t *arena);
void model_run_observed(model_arena_t *arena, nn_observer_t after_layer, void *context);
bool model_selftest(model_arena_t *arena);
#endif
"""
HARNESS_C = """
#include "board.h"
#include "frame.h"
#include "model.h"
#include "protocol.h"
#include "startup.h"
#include <stdlib.h>
#include <string.h>

static struct { uint8_t before[64]; model_arena_t arena; uint8_t after[64]; } memory;
static protocol_server server;
static const uint8_t *received;
static uint32_t received_bytes, taken, pause_at, silence;
static uint8_t sent[1 << 20];
static uint32_t sent_bytes, now;
uint32_t last_fault;

int board_uart_read(void) {
    if (taken == pause_at && silence > 0) { silence--; return -1; }
    return taken < received_bytes ? received[taken++] : -1;
}
void board_uart_write(const void *data, uint32_t bytes) {
    if (bytes > sizeof sent - sent_bytes) abort();
    memcpy(sent + sent_bytes, data, bytes);
    sent_bytes += bytes;
    now += 1000 * bytes; /* sending takes time that no cycle count may contain */
}
void board_uart_flush(void) {}
uint32_t board_clock_hz(void) { return 48000000; }
uint32_t board_cycles(void) { return now += 7; }
void board_reset(void) { abort(); }
uint32_t startup_stack_bytes(void) { return 2048; }
uint32_t startup_stack_used(void) { return 300; }
uint32_t startup_last_fault(void) { return last_fault; }

void model_run(model_arena_t *arena) { model_run_observed(arena, 0, 0); }
void model_run_observed(model_arena_t *arena, nn_observer_t after_layer, void *context) {
    uint8_t *a = arena->q8;
    for (int i = 0; i < 300; i++) a[600 + i] = a[16 + 299 - i];
    now += 10000;
    if (after_layer) after_layer(context, 0, a + 600, 300);
    for (int i = 0; i < 5; i++) a[16 + i] = (uint8_t)(3 * a[512 + i]);
    now += 500;
    if (after_layer) after_layer(context, 1, a + 16, 5);
}
bool model_selftest(model_arena_t *arena) { arena->words[0] = 1; now += 20; return true; }

void harness_init(void) {
    memset(&memory, 0xA5, sizeof memory);
    protocol_init(&server, &memory.arena);
    sent_bytes = 0;
    now = 0xFFFFF000u; /* wraps soon */
}
/* Feeds the bytes; at byte `gap_at` the line is silent for `gap` polls. Then polls until the line was quiet long. */
uint32_t harness_feed(const uint8_t *bytes, uint32_t count, uint32_t gap_at, uint32_t gap) {
    received = bytes; received_bytes = count; taken = 0; pause_at = gap_at; silence = gap; sent_bytes = 0;
    while (taken < count) protocol_poll(&server);
    for (int i = 0; i < 20000; i++) protocol_poll(&server);
    return sent_bytes;
}
const uint8_t *harness_sent(void) { return sent; }
/* 1 if nothing outside the two inputs, the two outputs and word 0 (the self-test) was written. */
int harness_guards_hold(void) {
    for (int i = 0; i < 64; i++) if (memory.before[i] != 0xA5 || memory.after[i] != 0xA5) return 0;
    for (int i = 4; i < 1024; i++)
        if (!(i >= 512 && i < 517) && !(i >= 16 && i < 316) && !(i >= 600 && i < 900) && memory.arena.q8[i] != 0xA5)
            return 0;
    return 1;
}
uint32_t harness_send_fault(const uint32_t *words) {
    frame_writer writer;
    sent_bytes = 0;
    frame_begin(&writer, FRAME_FAULT, 0);
    frame_put(&writer, words, 28);
    frame_end(&writer);
    return sent_bytes;
}
"""
WARNINGS = [
    "all",
    "extra",
    "conversion",
    "shadow",
    "vla",
    "double-promotion",
    "strict-prototypes",
    "missing-prototypes",
]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """frame.c and protocol.c as a shared library; undefined behaviour ends the process."""
    folder = tmp_path_factory.mktemp("protocol")
    (folder / "model.h").write_text(MODEL_H)
    (folder / "harness.c").write_text(HARNESS_C)
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler, "a C compiler for the host is needed"
    common = [
        compiler,
        "-std=c99",
        "-O2",
        "-g",
        "-fPIC",
        "-fsanitize=undefined",
        "-fsanitize-undefined-trap-on-error",
    ]
    common += ['-DBOARD_NAME="host"', "-I", str(folder), "-I", str(ROOT / "firmware")]
    common += ["-I", str(ROOT / "lib/nn_runtime/include")]
    objects = []
    sources = [
        ROOT / "firmware/frame.c",
        ROOT / "firmware/protocol.c",
        ROOT / "lib/nn_runtime/src/nn_crc32.c",
    ]
    for source in [*sources, folder / "harness.c"]:
        checks = (
            ["-Werror", *(f"-W{name}" for name in WARNINGS)] if source.parent == ROOT / "firmware" else []
        )
        objects.append(str(folder / source.with_suffix(".o").name))
        subprocess.run([*common, *checks, "-c", str(source), "-o", objects[-1]], check=True)
    target = folder / "protocol.so"
    subprocess.run([*common, "-shared", *objects, "-o", str(target)], check=True)
    library = ctypes.CDLL(str(target))
    library.harness_sent.restype = ctypes.c_void_p
    return library


def encode(kind: int, seq: int = 0, payload: bytes = b"") -> bytes:
    """A request on the line, delimiters included."""
    return protocol.encode(Frame(kind, seq, payload))


def decode(line: bytes) -> list[Frame]:
    """The frames on the line; anything that is not a whole frame with the right CRC is a failure of the device."""
    frames = []
    for frame in protocol.Decoder().feed(line):
        assert frame is not None, "the device sent a damaged frame"
        frames.append(frame)
    assert line.endswith(b"\0") or not line, "the device sent an unfinished frame"
    return frames


class Device:
    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        library.harness_init()

    def feed(self, line: bytes, gap_at: int = -1, gap: int = 0) -> list[Frame]:
        size = self.library.harness_feed(line, len(line), ctypes.c_uint32(gap_at), gap)
        sent = ctypes.string_at(self.library.harness_sent(), size)
        assert self.library.harness_guards_hold(), "the device wrote outside the model's inputs"
        return decode(sent)

    def ask(self, kind: int, payload: bytes = b"", seq: int = 9) -> list[Frame]:
        return self.feed(encode(kind, seq, payload))

    def check_alive(self) -> None:
        """A valid INFO and a valid RUN succeed."""
        (info,) = self.ask(INFO, seq=77)
        assert (info.type, info.seq) == (0x81, 77)
        (run,) = self.ask(RUN, sample(5), seq=78)
        assert (run.type, run.seq, run.payload[4:]) == (0x82, 78, result(sample(5)))


@pytest.fixture
def device(library: ctypes.CDLL) -> Device:
    return Device(library)


def sample(seed: int) -> bytes:
    return random.Random(seed).randbytes(INPUT_BYTES)


def result(data: bytes) -> bytes:
    return bytes(3 * b & 0xFF for b in data[:5]) + data[:4:-1]


def error(code: int, detail: int, seq: int = 9) -> Frame:
    return Frame(ERROR, seq, struct.pack("<BI", code, detail))


# ---- every request ----


def test_info(device: Device) -> None:
    ctypes.c_uint32.in_dll(device.library, "last_fault").value = 0x08001234
    (frame,) = device.ask(INFO)
    ctypes.c_uint32.in_dll(device.library, "last_fault").value = 0
    fields = struct.unpack_from("<HHIIIIIHIII", frame.payload)
    expected = (
        1,
        RUNTIME_API,
        0x89ABCDEF,
        48000000,
        INPUT_BYTES,
        OUTPUT_BYTES,
        ARENA_BYTES,
        LAYERS,
        2048,
        300,
        0x08001234,
    )
    assert fields == expected
    names = frame.payload[38:].split(b"\0")
    assert names[:2] == [b"host", b"fake/two_inputs/int8"] and names[2] and names[3:] == [b""]


def test_run_places_every_input_and_returns_every_output(device: Device) -> None:
    for seed in range(20):
        (frame,) = device.ask(RUN, sample(seed), seq=seed)
        assert frame == Frame(0x82, seed, frame.payload)
        assert frame.payload[4:] == result(sample(seed))
        assert 10500 <= struct.unpack_from("<I", frame.payload)[0] < 10600


@pytest.mark.parametrize("data", [bytes(INPUT_BYTES), bytes([255]) * INPUT_BYTES, bytes([0, 1] * 152 + [0])])
def test_run_with_data_that_is_hard_for_cobs(device: Device, data: bytes) -> None:
    (frame,) = device.ask(RUN, data)
    assert frame.payload[4:] == result(data)


def test_bench_counts_all_runs_and_keeps_the_first_output(device: Device) -> None:
    (frame,) = device.ask(BENCH, struct.pack("<H", 300) + sample(1))
    least, most, total = struct.unpack_from("<IIQ", frame.payload)
    assert frame.type == 0x83 and least == most and total == 300 * least and 10500 <= least < 10600
    assert frame.payload[16:] == result(sample(1))


def test_trace_has_one_frame_a_layer_and_no_sending_time(device: Device) -> None:
    *layers, end = device.ask(TRACE, sample(2))
    outputs = [sample(2)[:4:-1], result(sample(2))[:5]]
    assert [frame.type for frame in layers] == [0x94, 0x94] and end.type == 0x84
    cycles = []
    for index, (frame, output) in enumerate(zip(layers, outputs, strict=True)):
        layer, count, size, crc = struct.unpack("<HIII", frame.payload)
        assert (layer, size, crc) == (index, len(output), binascii.crc32(output))
        cycles.append(count)
    assert 10000 <= cycles[0] < 10100 and 500 <= cycles[1] < 600
    assert sum(cycles) <= struct.unpack_from("<I", end.payload)[0] < sum(cycles) + 100
    assert end.payload[4:] == result(sample(2))


@pytest.mark.parametrize("layer", [0, 1])
def test_tensor_sends_a_layers_output(device: Device, layer: int) -> None:
    *parts, end = device.ask(TENSOR, struct.pack("<H", layer) + sample(3))
    output = b""
    for frame in parts:
        assert frame.type == 0x95 and struct.unpack_from("<I", frame.payload)[0] == len(output)
        assert 1 <= len(frame.payload) - 4 <= 128
        output += frame.payload[4:]
    assert output == [sample(3)[:4:-1], result(sample(3))[:5]][layer]
    assert (end.type, end.payload[4:]) == (0x85, result(sample(3)))
    assert 10500 <= struct.unpack_from("<I", end.payload)[0] < 10700


def test_selftest(device: Device) -> None:
    (frame,) = device.ask(SELFTEST)
    assert (
        frame.type == 0x86 and frame.payload[0] == 1 and struct.unpack_from("<I", frame.payload, 1)[0] >= 20
    )


def test_fault_frame(device: Device) -> None:
    words = (0x08001234, 0, 0x8200, 0x40000000, 0xE000ED34, 0x60000000, 0x20027F00)
    size = device.library.harness_send_fault((ctypes.c_uint32 * 7)(*words))
    (frame,) = decode(ctypes.string_at(device.library.harness_sent(), size))
    assert frame == Frame(FAULT, 0, struct.pack("<7I", *words))


# ---- what is wrong ----


@pytest.mark.parametrize(
    "kind, length", [(INFO, 0), (RUN, 305), (BENCH, 307), (TRACE, 305), (TENSOR, 307), (SELFTEST, 0)]
)
def test_wrong_length_is_told(device: Device, kind: int, length: int) -> None:
    for size in {0, 1, length - 1, length + 1, length + 300, 5000} - {-1, length}:
        code = 2 if size > length else 3
        assert device.ask(kind, bytes(size)) == [error(code, length)]
    device.check_alive()


def test_unknown_type_is_told(device: Device) -> None:
    for kind in set(range(256)) - {INFO, RUN, BENCH, TRACE, TENSOR, SELFTEST}:
        assert device.ask(kind, b"abc") == [error(4, kind)]


def test_value_out_of_range_is_told(device: Device) -> None:
    assert device.ask(BENCH, struct.pack("<H", 0) + sample(0)) == [error(5, 0)]
    assert device.ask(TENSOR, struct.pack("<H", LAYERS) + sample(0)) == [error(5, LAYERS)]
    device.check_alive()


def test_bad_crc_is_told_once_the_line_is_quiet(device: Device) -> None:
    line = bytearray(encode(RUN, 1, sample(0)))
    line[10] = line[10] % 254 + 1  # another byte, still not a delimiter
    frames = device.feed(bytes(line))
    assert [frame.type for frame in frames] == [ERROR] and frames[0].seq == 0 and frames[0].payload[0] == 1
    device.check_alive()


def test_bad_crc_is_not_told_over_a_good_frame_that_follows(device: Device) -> None:
    line = bytearray(encode(SELFTEST, 1))
    line[3] ^= 0x40
    assert [frame.type for frame in device.feed(bytes(line) + encode(INFO, 2))] == [0x81]


def test_every_single_bit_error_in_a_request_is_caught(device: Device) -> None:
    good = encode(RUN, 1, sample(0))
    for position in range(len(good) * 8):
        line = bytearray(good)
        line[position // 8] ^= 1 << position % 8
        for frame in device.feed(bytes(line)):
            assert frame.type == ERROR or position // 8 in (0, len(good) - 1)
    device.check_alive()


def test_a_damaged_first_delimiter_costs_the_frame_only(device: Device) -> None:
    assert [frame.type for frame in device.feed(b"\x07" + encode(INFO, 2)[1:])] == [ERROR]
    device.check_alive()


def test_every_truncation(device: Device) -> None:
    good = encode(TENSOR, 1, struct.pack("<H", 0) + sample(0))
    for size in range(len(good) - 1):
        for frame in device.feed(good[:size]):
            assert frame.type == ERROR
        (info,) = device.ask(INFO)  # its own first delimiter ends the piece
        assert info.type == 0x81
    device.check_alive()


def test_overlong_frame_without_end(device: Device) -> None:
    assert device.feed(b"\0" + encode(RUN, 1, sample(0))[1:-1] + b"\x55" * 100_000) == []
    device.check_alive()


def test_split_reads(device: Device) -> None:
    line = encode(RUN, 4, sample(4))
    for position in range(len(line)):
        (frame,) = device.feed(line, gap_at=position, gap=15000)  # longer than the silence that ends noise
        assert frame.type == 0x82 and frame.payload[4:] == result(sample(4))


def test_frames_back_to_back(device: Device) -> None:
    frames = device.feed(encode(INFO, 1) + encode(RUN, 2, sample(6)) + encode(INFO, 3)[1:])
    assert [(frame.type, frame.seq) for frame in frames] == [(0x81, 1), (0x82, 2), (0x81, 3)]
    assert frames[1].payload[4:] == result(sample(6))


def test_delimiters_alone_are_not_answered(device: Device) -> None:
    assert device.feed(bytes(500)) == []
    assert device.feed(b"\x03ab\0\x02x\0\x01\0") == []
    device.check_alive()


PIECES = st.one_of(
    st.binary(max_size=400),
    st.binary(max_size=30).map(lambda data: b"\0" + data + b"\0"),
    st.builds(encode, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=320)),
    st.builds(lambda cut: encode(RUN, 1, sample(1))[:cut], st.integers(0, 310)),
    st.builds(lambda n: encode(BENCH, 2, struct.pack("<H", n) + sample(2)), st.integers(0, 3)),
    st.builds(lambda n: b"\xff" * n, st.integers(0, 1000)),
)


@settings(max_examples=150, deadline=None)
@given(pieces=st.lists(PIECES, max_size=8))
def test_garbage_never_harms(library: ctypes.CDLL, pieces: list[bytes]) -> None:
    device = Device(library)
    for frame in device.feed(b"".join(pieces)):
        assert frame.type == ERROR or 0x81 <= frame.type <= 0x95
    device.check_alive()
