"""Spoken digits: one second of speech as 39 frames of 12 MFCC and the energy, 10 classes."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ...files import code_key
from ..dataset import Dataset, DatasetKind, Floats, data_folder
from ..features import COEFFICIENTS, FRAME_RATE, FRAMES, mfcc, mfcc_version, read_wav
from ..section import nearest
from ..sources import download, must_have_hash, read_npz, stamp

Source = Literal["khacef", "speech_commands_v0.02", "speech_commands_v0.01", "fsdd"]
Part = Literal["train", "valid", "test"]

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_SPEECH_COMMANDS_URL = "https://storage.googleapis.com/download.tensorflow.org/data"
_SPEECH_COMMANDS_SHA256 = {
    "speech_commands_v0.01": "743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d",
    "speech_commands_v0.02": "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
}
_FSDD = "free-spoken-digit-dataset"
_FSDD_URL = f"https://github.com/Jakobovski/{_FSDD}/archive/26eb9aaf76e81b692f806f9140c2d2777410d7a1.zip"
# SHA-256 of the samples (int16, little-endian) of that version, by digit, speaker and index.
_FSDD_SHA256 = "801bcecb25fa3bfb54fb3c0b1d94732d8456ce5b0c1f036667852a341a3aacd4"
_FSDD_TEST = 5  # recordings 0..4 of each digit and speaker are the official test part

# What each source is looked for as, in the data folder; the first one found is taken.
_NAMES: dict[Source, tuple[str, ...]] = {
    "khacef": ("spoken_mnist",),
    "speech_commands_v0.02": ("speech_commands_v0.02", "speech_commands_v0.02.tar.gz"),
    "speech_commands_v0.01": ("speech_commands_v0.01", "speech_commands_v0.01.tar.gz"),
    "fsdd": (_FSDD, f"{_FSDD}.zip", "fsdd.npz"),
}
_KHACEF_FILES = ("data_sp_train.npy", "labels_train.npy", "data_sp_test.npy", "labels_test.npy")

_SPEECH_COMMANDS_CITATION = (
    "P. Warden, Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition, arXiv:1804.03209"
)
_CITATIONS: dict[Source, tuple[str, str]] = {  # licence and citation
    "khacef": (
        "see the record at Zenodo; the recordings are CC BY 4.0",
        "L. Khacef, L. Rodriguez, B. Miramond, Written and spoken digits database for multimodal learning, "
        f"Zenodo 4452953; {_SPEECH_COMMANDS_CITATION}",
    ),
    "speech_commands_v0.02": ("CC BY 4.0", _SPEECH_COMMANDS_CITATION),
    "speech_commands_v0.01": ("CC BY 4.0", _SPEECH_COMMANDS_CITATION),
    "fsdd": ("CC BY-SA 4.0", "Z. Jackson et al., Free Spoken Digit Dataset, Zenodo"),
}


@dataclass(frozen=True, eq=False)
class _Recording:
    """samples: int16 [n]. rate: samples a second. take: tells recordings of one speaker and digit apart."""

    digit: int
    speaker: str
    take: str
    part: Part
    samples: NDArray[np.int16]
    rate: int


class SpokenDigits(DatasetKind):
    """x: float32 [N, 39, 13], 39 frames at 40 Hz: 12 cepstral coefficients, then the log energy.

    source: what to read, see docs/datasets.md; "auto" takes the first of khacef, speech_commands_v0.02,
    speech_commands_v0.01 and fsdd that is there. Subjects are speakers; of khacef, whose vectors are
    duplicated at random and whose speakers are not told, all copies of a recording. test_speaker: of fsdd,
    whose official split has the same six speakers on both sides: all recordings of this speaker are the
    test part instead, none is trained on.
    """

    vector = (39, 13)
    class_count = 10

    source: Literal["auto", Source] = "auto"
    test_speaker: str | None = None

    def load(self) -> Dataset:
        source, path = self._find()
        if source == "khacef":
            return _read_khacef(path)
        if source != "fsdd":
            return _dataset(source, path, _speech_commands(path))
        recordings: Iterable[_Recording] = _fsdd_npz(path) if path.suffix == ".npz" else _fsdd_wav(path)
        if self.test_speaker is not None:
            recordings = _leave_out(self.test_speaker, path, list(recordings))
        return _dataset(source, path, recordings)

    def fingerprint(self) -> str:
        source, path = self._find()
        if source == "khacef":
            return stamp(path)
        return stamp(path) + mfcc_version("data set spoken_digits") + code_key(mfcc.__module__)

    def fetch(self) -> Path:
        source: Source = "fsdd" if self.source == "auto" else self.source
        where = f"get it elsewhere: {_mend(source)}"
        if source == "khacef":
            raise UserError(
                "data fetch spoken_digits:khacef",
                "its checksum is not known here, so nothing is downloaded",
                f"get the files from Zenodo, record 4452953, and {_mend(source)}",
            )
        if source == "fsdd":
            return download(_FSDD_URL, data_folder() / f"{_FSDD}.zip", _verify_fsdd, where)
        return download(
            f"{_SPEECH_COMMANDS_URL}/{source}.tar.gz",
            data_folder() / f"{source}.tar.gz",
            partial(must_have_hash, algorithm="sha256", expected=_SPEECH_COMMANDS_SHA256[source]),
            where,
        )

    def _find(self) -> tuple[Source, Path]:
        folder = data_folder()
        sources: tuple[Source, ...] = get_args(Source) if self.source == "auto" else (self.source,)
        for source in sources:
            for name in _NAMES[source]:
                if (folder / name).exists():
                    self._must_fit(source)
                    return source, folder / name
        fetched = "" if self.source == "auto" else f":{self.source}"
        what = "spoken digits" if self.source == "auto" else f"spoken digits of source {self.source}"
        raise UserError(
            folder.resolve(),
            f"has no {what}",
            f"{_mend(*sources)}, or run: microai data fetch spoken_digits{fetched}",
        )

    def _must_fit(self, source: Source) -> None:
        if self.test_speaker is not None and source != "fsdd":
            raise UserError(
                "data set spoken_digits",
                f"test_speaker is for fsdd, not for {source}",
                'remove it or set params.source = "fsdd"',
            )


def _mend(*sources: Source) -> str:
    names = [f"'{name}'" for source in sources for name in _NAMES[source]]
    return f"put {' or '.join(names)} there, or set MICROAI_DATA to the folder that has it"


def _dataset(source: Source, path: Path, recordings: Iterable[_Recording]) -> Dataset:
    """The data set of recordings, in the order of takes, speakers and digits, whatever order they come in.

    So the first vectors of each part, which boards are run with, are of all digits and several speakers.
    """
    rows = sorted(
        ((one.take, one.speaker, one.digit, one.part, mfcc(one.samples, one.rate)) for one in recordings),
        key=lambda row: row[:3],
    )
    if not rows:
        raise UserError(path, "has no recordings of digits", "unpack or download the data again")
    parts = np.array([part for *_, part, _ in rows])
    _, speakers = np.unique([speaker for _, speaker, *_ in rows], return_inverse=True)
    x = np.stack([features for *_, features in rows])
    y = np.array([digit for _, _, digit, *_ in rows], np.int32)
    train = parts != "test"
    set_aside = parts[train] == "valid"
    return _made(
        source,
        x_train=x[train],
        y_train=y[train],
        x_test=x[~train],
        y_test=y[~train],
        subjects_train=speakers[train].astype(np.int32),
        subjects_test=speakers[~train].astype(np.int32),
        set_aside=set_aside if set_aside.any() else None,
    )


def _made(source: Source, **arrays: Any) -> Dataset:
    licence, citation = _CITATIONS[source]
    return Dataset(
        name="spoken_digits",
        classes=WORDS,
        unit="12 cepstral coefficients, 1 log energy" + (", standardized" if source == "khacef" else ""),
        rate=FRAME_RATE,
        licence=licence,
        citation=citation,
        **arrays,
    )


# --- Google Speech Commands ---


def _speech_commands(path: Path) -> Iterator[_Recording]:
    """Recordings of the ten digits; the two lists of the publisher say which part each belongs to."""
    lists: dict[str, set[str]] = {}
    clips: list[tuple[str, NDArray[np.int16], int]] = []
    for name, content in _tar_files(path) if path.is_file() else _folder_files(path):
        if name.endswith(".txt"):
            lists[name] = set(content.decode("utf-8", "replace").split())
        else:
            clips.append((name, *read_wav(content, f"{path}: {name}")))
    for name in _LISTS.values():
        if name not in lists:
            raise UserError(f"{path}: {name}", "is missing", "unpack or download the data again")
    for name, samples, rate in clips:
        word, _, file = name.partition("/")
        speaker, _, take = file.removesuffix(".wav").partition("_nohash_")
        part: Part = next((part for part, listed in _LISTS.items() if name in lists[listed]), "train")
        yield _Recording(WORDS.index(word), speaker, take, part, samples, rate)


_LISTS: dict[Part, str] = {"valid": "validation_list.txt", "test": "testing_list.txt"}


def _wanted(name: str) -> bool:
    """Whether a file, named from the top folder, is a list or the recording of a digit."""
    word, _, file = name.partition("/")
    return name in _LISTS.values() or (word in WORDS and file.endswith(".wav"))


def _folder_files(path: Path) -> Iterator[tuple[str, bytes]]:
    for file in [*path.glob("*.txt"), *path.glob("*/*.wav")]:
        name = file.relative_to(path).as_posix()
        if _wanted(name):
            yield name, file.read_bytes()


def _tar_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """In one pass, the archive's order: it has 105829 recordings, most of them of other words."""
    try:
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                name = str(PurePosixPath(member.name))
                if _wanted(name):
                    file = archive.extractfile(member)
                    assert file is not None  # extractfile gives None for what is no file
                    yield name, file.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error):
        raise UserError(path, "is not a whole .tar.gz file", "download it again") from None


# --- Free Spoken Digit Dataset ---


def _fsdd_wav(path: Path) -> Iterator[_Recording]:
    """Recordings in the folder, or in the zip of it: `recordings/{digit}_{speaker}_{index}.wav`."""
    if path.is_dir():
        for file in (path / "recordings").glob("*.wav"):
            yield _fsdd_recording(file.stem, file.read_bytes(), file)
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for name in map(PurePosixPath, archive.namelist()):
                if name.parent.name == "recordings" and name.suffix == ".wav":
                    yield _fsdd_recording(name.stem, archive.read(str(name)), f"{path}: {name}")
    except (zipfile.BadZipFile, zlib.error):
        raise UserError(path, "is not a whole zip file", "download it again") from None


def _fsdd_recording(stem: str, content: bytes, where: object) -> _Recording:
    digit, _, rest = stem.partition("_")
    speaker, _, index = rest.rpartition("_")
    if not (digit.isdecimal() and int(digit) < len(WORDS) and speaker and index.isdecimal()):
        raise UserError(where, "is not named {digit}_{speaker}_{index}.wav", "rename or remove the file")
    return _fsdd(int(digit), speaker, int(index), *read_wav(content, where))


def _fsdd(digit: int, speaker: str, index: int, samples: NDArray[np.int16], rate: int) -> _Recording:
    part: Part = "test" if index < _FSDD_TEST else "train"
    return _Recording(digit, speaker, f"{index:05d}", part, samples, rate)


def _fsdd_npz(path: Path) -> Iterator[_Recording]:
    """Recordings in fsdd.npz.

    Keys: audio int16, all recordings one after the other; offset [N + 1], where each begins; label [N],
    0..9; speaker [N], index into speakers; index [N]; sample_rate. Raises UserError for another layout.
    """
    keys = ("audio", "offset", "label", "speaker", "speakers", "index", "sample_rate")
    arrays: dict[str, Any] = read_npz(path, *keys)
    audio, offset, label, speaker, speakers, index, rate = (arrays[key] for key in keys)
    whole = (
        audio.dtype == np.int16
        and len(offset) - 1 == len(label) == len(speaker) == len(index) > 0
        and offset[0] >= 0
        and (np.diff(offset) >= 0).all()
        and offset[-1] <= len(audio)
        and speaker.max() < len(speakers)
        and label.max() < len(WORDS)
    )
    if not whole:
        raise UserError(path, "has arrays that do not belong together", "see docs/datasets.md")
    for number, (first, last) in enumerate(pairwise(offset)):
        who = str(speakers[speaker[number]])
        yield _fsdd(int(label[number]), who, int(index[number]), audio[first:last], int(rate))


def _leave_out(speaker: str, path: Path, recordings: list[_Recording]) -> list[_Recording]:
    speakers = {one.speaker for one in recordings}
    if speaker not in speakers:
        raise UserError(path, f"has no speaker {speaker!r}", nearest(speaker, speakers))
    return [replace(one, part="test" if one.speaker == speaker else "train") for one in recordings]


def _verify_fsdd(path: Path) -> None:
    total = hashlib.sha256()
    for one in sorted(_fsdd_wav(path), key=lambda one: (one.digit, one.speaker, one.take)):
        total.update(one.samples.astype("<i2").tobytes())
    if total.hexdigest() != _FSDD_SHA256:
        raise UserError(path, "its recordings are others (their SHA-256 differs)", "download it again")


# --- Khacef et al.: features made from Speech Commands v0.02, paired with MNIST ---


def _read_khacef(path: Path) -> Dataset:
    """data_sp_*.npy [N, 507] = 39 frames of 13, labels_*.npy [N].

    Recordings were duplicated at random to have as many as MNIST has images. Equal vectors get one subject,
    so that a validation split never has a copy of what is trained on.
    """
    arrays: dict[str, Any] = {}
    for file in _KHACEF_FILES:
        try:
            arrays[file] = np.load(path / file, allow_pickle=False)
        except FileNotFoundError:
            raise UserError(path / file, "is missing", "download the data again") from None
        except (OSError, ValueError, EOFError):
            raise UserError(path / file, "is not a whole .npy file", "download the data again") from None
        wanted = (FRAMES * COEFFICIENTS,) if file.startswith("data") else ()
        if arrays[file].shape[1:] != wanted:
            raise UserError(
                path / file,
                f"has shape {arrays[file].shape}, not {('N', *wanted)}".replace("'", ""),
                "see docs/datasets.md",
            )
    x_train, y_train, x_test, y_test = (arrays[file] for file in _KHACEF_FILES)
    flat = x_train.astype(np.float32)
    _, recordings = np.unique(flat.view(f"V{flat.itemsize * flat.shape[1]}").ravel(), return_inverse=True)
    return _made(
        "khacef",
        x_train=_frames(flat),
        y_train=y_train.astype(np.int32),
        x_test=_frames(x_test.astype(np.float32)),
        y_test=y_test.astype(np.int32),
        subjects_train=recordings.astype(np.int32),
        subjects_test=None,
    )


def _frames(x: Floats) -> Floats:
    return x.reshape(-1, FRAMES, COEFFICIENTS)
