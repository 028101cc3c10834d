"""MFCC against their definition in numpy, and .wav files."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest
from microai.errors import UserError
from microai.train.features import mfcc, read_wav
from numpy.typing import NDArray
from scipy.fft import dct

Samples = NDArray[np.int16]


def speech(rate: int, seconds: float = 1.0) -> Samples:
    """A voiced sound with three formants that glide, and some noise."""
    random = np.random.default_rng(8)
    time = np.arange(int(rate * seconds)) / rate
    wanted = sum(
        3000 / k * np.sin(2 * np.pi * (base * time + slide * time**2))
        for k, (base, slide) in enumerate([(180, 60), (700, -200), (2100, 300)], 1)
    )
    return (wanted + random.normal(0, 40, len(time))).astype(np.int16)


def definition(samples: Samples, rate: int) -> NDArray[np.float64]:
    """Window by window, in float64, as the docstring of `mfcc` tells it."""
    window, shift = rate // 20, rate // 40
    size = 1 << (window - 1).bit_length()

    def mel(frequency: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1127 * np.log1p(frequency / 700)

    edges = np.linspace(*mel(np.array([20, rate / 2])), 28)
    bins = mel(np.arange(size // 2) * rate / size)
    up = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    down = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    filters = np.clip(np.minimum(up, down), 0, None)
    rows = []
    for start in range(0, rate - window + 1, shift):
        frame = samples[start : start + window].astype(np.float64)
        frame = frame - frame.mean()
        energy = np.log((frame**2).sum())
        frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        frame = frame * np.hamming(window)
        power = np.abs(np.fft.rfft(frame, size)[:-1]) ** 2
        cepstrum = dct(np.log(filters @ power), norm="ortho")[1:13]
        lifter = 1 + 11 * np.sin(np.pi * np.arange(1, 13) / 22)
        rows.append([*(cepstrum * lifter), energy])
    return np.array(rows)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_mfcc_are_what_they_are_defined_as(rate: int) -> None:
    samples = speech(rate)
    features = mfcc(samples, rate)
    assert features.shape == (39, 13) and features.dtype == np.float32
    np.testing.assert_allclose(features, definition(samples, rate), rtol=1e-3, atol=2e-2)


def test_a_short_recording_is_padded_and_a_long_one_cut() -> None:
    samples = speech(8000, 1.7)
    np.testing.assert_array_equal(mfcc(samples, 8000), mfcc(samples[:8000], 8000))
    short = mfcc(samples[:4000], 8000)
    # Windows of 400 samples every 200: the first 19 end before sample 4000, from the 21st on there is none.
    np.testing.assert_array_equal(short[:19], mfcc(samples, 8000)[:19])
    np.testing.assert_allclose(short[20:], 0, atol=1e-3)
    assert np.abs(short[19]).max() > 1


def test_silence_has_no_infinities() -> None:
    np.testing.assert_allclose(mfcc(np.zeros(0, np.int16), 16000), 0, atol=1e-3)


def test_the_same_samples_give_the_same_bits() -> None:
    np.testing.assert_array_equal(mfcc(speech(16000), 16000), mfcc(speech(16000), 16000))


def wav(samples: Samples, rate: int, channels: int = 1, width: int = 2) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()


def test_wav() -> None:
    samples = np.array([0, 1, -1, 32767, -32768], np.int16)
    read, rate = read_wav(wav(samples, 8000), "x.wav")
    assert read.dtype == np.int16 and read.tolist() == samples.tolist() and rate == 8000


@pytest.mark.parametrize("kept", [0, 3, 20, 44, 47, 53])
def test_truncated_wav(kept: int) -> None:
    whole = wav(np.arange(5, dtype=np.int16), 8000)
    assert len(whole) == 54
    with pytest.raises(UserError, match=r"x\.wav: is not a whole \.wav file"):
        read_wav(whole[:kept], "x.wav")


@pytest.mark.parametrize(
    ("channels", "width", "says"), [(2, 2, "2 channels of 16"), (1, 1, "1 channels of 8")]
)
def test_wav_of_another_format(channels: int, width: int, says: str) -> None:
    with pytest.raises(UserError, match=f"has {says} bits"):
        read_wav(wav(np.zeros(8, np.int16), 8000, channels, width), "x.wav")
