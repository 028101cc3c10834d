"""Speech as the networks see it: 12 mel-frequency cepstral coefficients and the energy of each frame."""

from __future__ import annotations

import io
import wave

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .dataset import Floats
from .sources import version_of

FRAMES, COEFFICIENTS = 39, 13
FRAME_RATE = 40.0  # frames a second


def read_wav(content: bytes, where: object) -> tuple[NDArray[np.int16], int]:
    """Samples int16 [n] and samples a second of a .wav file.

    Raises UserError unless it is a whole mono file of 16-bit PCM.
    """
    try:
        with wave.open(io.BytesIO(content)) as file:
            form = (file.getnchannels(), 8 * file.getsampwidth())
            rate = file.getframerate()
            count = file.getnframes()
            samples = np.frombuffer(file.readframes(count), "<i2") if form == (1, 16) else None
    except (wave.Error, EOFError, ValueError):
        raise UserError(where, "is not a whole .wav file", "get the data again") from None
    if samples is None:
        raise UserError(where, f"has {form[0]} channels of {form[1]} bits", "use mono recordings of 16 bits")
    if len(samples) != count:
        raise UserError(where, "is not a whole .wav file", "get the data again")
    return samples.astype(np.int16, copy=False), rate


def mfcc(samples: NDArray[np.int16], rate: int) -> Floats:
    """float32 [39, 13]: 12 coefficients (c1..c12), then the log energy, of 39 frames of the first second.

    samples: int16 [n], padded with zeros or cut to one second. rate: samples a second. Windows of 50 ms
    overlap by half (paper, section 6.1.2). The paper tells no more than that; the rest is common practice:
    Kaldi's MFCC with a Hamming window, pre-emphasis 0.97, 26 mel filters from 20 Hz to half the rate,
    liftering 22. The energy is the natural logarithm of the sum of squares of the window's samples, taken
    before pre-emphasis, and at least 0, so that digital silence is 0 and no infinity. No dither: the same
    samples always give the same features.
    """
    import kaldi_native_fbank  # type: ignore[import-untyped]

    options = kaldi_native_fbank.MfccOptions()
    options.frame_opts.samp_freq = rate
    options.frame_opts.frame_length_ms = 50
    options.frame_opts.frame_shift_ms = 25
    options.frame_opts.window_type = "hamming"
    options.frame_opts.preemph_coeff = 0.97
    options.frame_opts.dither = 0
    options.frame_opts.snip_edges = True  # whole windows only: 1 + (1000 - 50) / 25 = 39
    options.mel_opts.num_bins = 26
    options.mel_opts.low_freq = 20
    options.num_ceps = COEFFICIENTS
    options.cepstral_lifter = 22
    options.use_energy = True
    options.energy_floor = 1
    options.htk_compat = True  # the energy comes last
    second = np.zeros(rate, np.float32)
    second[: len(samples)] = samples[:rate]
    computer = kaldi_native_fbank.OnlineMfcc(options)
    computer.accept_waveform(rate, second.tolist())
    computer.input_finished()
    frames = [computer.get_frame(number) for number in range(computer.num_frames_ready)]
    return np.stack(frames).astype(np.float32, copy=False)


def mfcc_version(where: str) -> str:
    """What `mfcc` computes with. Raises UserError, for the data set `where`, where it is not installed."""
    return version_of("kaldi-native-fbank", where)
