"""Spoken digits from every source and container, damaged, downloaded, and as they are in reality."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import urllib.error
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from microai.errors import UserError
from microai.train.dataset import Dataset, data_folder
from microai.train.datasets import DATASETS, fetch, spoken_digits, status
from microai.train.features import mfcc
from microai.train.preprocessing import Split, ValidationSplit

from .published import load_or_skip, zipped
from .test_features import Samples, wav

FSDD = "free-spoken-digit-dataset"
PEOPLE = ("ann", "bob", "cleo_b")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder."""
    monkeypatch.setenv("MICROAI_DATA", str(tmp_path))
    return tmp_path


def load(**params: Any) -> Dataset:
    return DATASETS["spoken_digits"](**params).load()


def write(root: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


# --- Free Spoken Digit Dataset, made up: 3 people, 2 digits, recordings 3, 4, 5 and 12 of each ---

# In the order that the data set has.
TAKES = [(d, s, i) for i in (3, 4, 5, 12) for s in range(3) for d in (0, 7)]


def fsdd_samples() -> list[Samples]:
    random = np.random.default_rng(2)
    return [random.integers(-9000, 9000, 1500 + 400 * n).astype(np.int16) for n in range(len(TAKES))]


def fsdd_files() -> dict[str, bytes]:
    """In an order of their own, as a folder has them."""
    files = {
        f"recordings/{d}_{PEOPLE[s]}_{i}.wav": wav(samples, 8000)
        for (d, s, i), samples in zip(TAKES, fsdd_samples(), strict=True)
    }
    return {"README.md": b"made up\n", **dict(reversed(files.items()))}


def fsdd_npz() -> dict[str, Any]:
    samples = fsdd_samples()
    label, speaker, index = np.array(TAKES).T.astype(np.uint8)
    return {
        "audio": np.concatenate(samples),
        "offset": np.cumsum([0, *map(len, samples)]),
        "label": label,
        "speaker": speaker,
        "index": index,
        "speakers": np.array(PEOPLE),
        "sample_rate": np.array(8000),
    }


def store_fsdd(folder: Path, form: str) -> None:
    if form == "folder":
        write(folder / FSDD, fsdd_files())
    elif form == "zip":
        files = {f"{FSDD}-1.0/{name}": content for name, content in fsdd_files().items()}
        (folder / f"{FSDD}.zip").write_bytes(zipped(files))
    else:
        np.savez(folder / "fsdd.npz", **fsdd_npz())


@pytest.mark.parametrize("form", ["folder", "zip", "npz"])
def test_fsdd_is_the_same_from_every_container(folder: Path, form: str) -> None:
    store_fsdd(folder, form)
    data = load()
    features = [mfcc(samples, 8000) for samples in fsdd_samples()]
    test = [index < 5 for *_, index in TAKES]
    np.testing.assert_array_equal(data.x_test, [x for x, t in zip(features, test, strict=True) if t])
    np.testing.assert_array_equal(data.x_train, [x for x, t in zip(features, test, strict=True) if not t])
    assert data.y_train.tolist() == data.y_test.tolist() == [0, 7] * 6
    assert data.subjects_train is not None
    assert data.subjects_train.tolist() == [0, 0, 1, 1, 2, 2] * 2
    assert (data.rate, data.set_aside, data.licence) == (40.0, None, "CC BY-SA 4.0")


def test_fsdd_leaves_one_speaker_out(folder: Path) -> None:
    store_fsdd(folder, "folder")
    data = load(test_speaker="bob")
    assert (len(data.x_train), len(data.x_test)) == (16, 8)
    assert data.subjects_train is not None and data.subjects_test is not None
    assert set(data.subjects_test) == {1} and set(data.subjects_train) == {0, 2}
    with pytest.raises(UserError, match=r"has no speaker 'bop'; did you mean 'bob'\?"):
        load(test_speaker="bop")


@pytest.mark.parametrize("name", ["7_ann.wav", "x_ann_1.wav", "10_ann_1.wav", "7__1.wav", "7_ann_x.wav"])
def test_fsdd_file_of_another_name(folder: Path, name: str) -> None:
    store_fsdd(folder, "folder")
    write(folder / FSDD, {f"recordings/{name}": wav(np.zeros(9, np.int16), 8000)})
    with pytest.raises(UserError, match="is not named"):
        load()


def test_fsdd_damaged(folder: Path) -> None:
    store_fsdd(folder, "folder")
    path = folder / FSDD / "recordings" / "7_ann_12.wav"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(UserError, match=r"7_ann_12\.wav: is not a whole"):
        load()
    shutil.rmtree(folder / FSDD / "recordings")
    with pytest.raises(UserError, match="has no recordings of digits"):
        load()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offset": None}, "lacks an array"),
        ({"offset": np.arange(9)}, "do not belong together"),
        ({"offset": np.arange(25) * 10_000_000}, "do not belong together"),
        ({"offset": np.arange(25)[::-1]}, "do not belong together"),
        ({"label": np.full(24, 10)}, "do not belong together"),
        ({"speaker": np.full(24, 3)}, "do not belong together"),
        ({"audio": np.zeros(200_000, np.float32)}, "do not belong together"),
    ],
)
def test_fsdd_npz_of_another_layout(folder: Path, change: dict[str, Any], message: str) -> None:
    arrays = {name: value for name, value in {**fsdd_npz(), **change}.items() if value is not None}
    np.savez(folder / "fsdd.npz", **arrays)
    with pytest.raises(UserError, match=message):
        load()


# --- Google Speech Commands, made up ---

# In the order that the data set has: takes, speakers, digits.
CLIPS = {
    "zero/aa11_nohash_0.wav": "train",
    "nine/aa11_nohash_0.wav": "train",
    "zero/bb22_nohash_0.wav": "valid",
    "nine/bb22_nohash_0.wav": "valid",
    "zero/cc33_nohash_0.wav": "test",
    "nine/cc33_nohash_0.wav": "test",
    "nine/dd44_nohash_0.wav": "train",
    "zero/aa11_nohash_1.wav": "train",
}


def commands_samples() -> list[Samples]:
    random = np.random.default_rng(4)
    return [random.integers(-9000, 9000, 16000 - 900 * n).astype(np.int16) for n in range(len(CLIPS))]


def commands_files() -> dict[str, bytes]:
    files = {n: wav(samples, 16000) for n, samples in zip(CLIPS, commands_samples(), strict=True)}
    files["_background_noise_/pink.wav"] = files["bird/aa11_nohash_0.wav"] = b"not read"
    files["README.md"] = files["zero/notes.txt"] = b"made up\n"
    for name, part in (("validation_list.txt", "valid"), ("testing_list.txt", "test")):
        listed = [clip for clip, where in CLIPS.items() if where == part] + ["bird/zz_nohash_0.wav"]
        files[name] = "".join(f"{clip}\n" for clip in listed).encode()
    return files


def tarred(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize("version", ["v0.01", "v0.02"])
@pytest.mark.parametrize("form", ["folder", "tar"])
def test_speech_commands_is_the_same_from_every_container(folder: Path, version: str, form: str) -> None:
    if form == "folder":
        write(folder / f"speech_commands_{version}", commands_files())
    else:
        (folder / f"speech_commands_{version}.tar.gz").write_bytes(tarred(commands_files()))
    data = load(source=f"speech_commands_{version}")
    assert data.sha256 == load().sha256
    features = dict(zip(CLIPS, (mfcc(s, 16000) for s in commands_samples()), strict=True))
    np.testing.assert_array_equal(data.x_train, [features[c] for c in CLIPS if CLIPS[c] != "test"])
    np.testing.assert_array_equal(data.x_test, [features[c] for c in CLIPS if CLIPS[c] == "test"])
    assert data.y_train.tolist() == [0, 9, 0, 9, 9, 0] and data.y_test.tolist() == [0, 9]
    assert data.subjects_train is not None and data.subjects_train.tolist() == [0, 0, 1, 1, 3, 0]
    assert data.set_aside is not None and data.set_aside.tolist() == [False, False, True, True, False, False]
    after = ValidationSplit(by="published").apply(Split.of(data))
    np.testing.assert_array_equal(after.x_valid, [features[c] for c in CLIPS if CLIPS[c] == "valid"])
    assert (len(after.x_train), after.y_valid.tolist()) == (4, [0, 9])


def test_speech_commands_needs_its_lists(folder: Path) -> None:
    files = commands_files()
    del files["testing_list.txt"]
    write(folder / "speech_commands_v0.02", files)
    with pytest.raises(UserError, match=r"testing_list\.txt: is missing"):
        load()


def test_speech_commands_truncated(folder: Path) -> None:
    content = tarred(commands_files())
    (folder / "speech_commands_v0.02.tar.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"is not a whole \.tar\.gz"):
        load()


# --- Khacef's features, made up: 12 recordings of 2 digits, duplicated at random to 60 ---


def khacef_files() -> dict[str, np.ndarray]:
    random = np.random.default_rng(6)
    different = random.normal(size=(12, 507))
    copies = np.concatenate([np.arange(12), random.integers(0, 12, 48)])
    return {
        "data_sp_train": different[copies],
        "labels_train": copies % 2,
        "data_sp_test": random.normal(size=(5, 507)),
        "labels_test": np.array([0, 1, 1, 0, 9]),
    }


def store_khacef(folder: Path, **change: np.ndarray) -> None:
    (folder / "spoken_mnist").mkdir()
    for name, array in {**khacef_files(), **change}.items():
        np.save(folder / "spoken_mnist" / f"{name}.npy", array)


def test_khacef(folder: Path) -> None:
    store_khacef(folder)
    data = load()
    files = khacef_files()
    assert (data.x_train.shape, data.x_test.shape) == ((60, 39, 13), (5, 39, 13))
    np.testing.assert_array_equal(data.x_train[7, 2], files["data_sp_train"][7, 26:39].astype(np.float32))
    assert data.y_test.tolist() == [0, 1, 1, 0, 9]
    assert data.sha256 == load(source="khacef").sha256


@pytest.mark.parametrize("seed", range(5))
def test_khacef_duplicates_do_not_leak_into_validation(folder: Path, seed: int) -> None:
    store_khacef(folder)
    whole = Split.of(load())
    after = ValidationSplit(fraction=0.3, seed=seed).apply(whole)
    moved, kept = ({x.tobytes() for x in part} for part in (after.x_valid, after.x_train))
    assert moved and not moved & kept and len(moved | kept) == 12
    assert set(after.y_valid) == set(after.y_train) == {0, 1}
    with pytest.raises(UserError, match="come several from one subject"):
        ValidationSplit(by="vector", seed=seed).apply(whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data_sp_train": np.zeros((60, 500))}, r"has shape \(60, 500\), not \(N, 507\)"),
        ({"labels_test": np.zeros((5, 10))}, r"has shape \(5, 10\), not \(N,\)"),
        ({"labels_train": np.zeros(59)}, "60 vectors and 59 labels"),
        ({"labels_test": np.full(5, 10)}, "labels 10..10 for 10 classes"),
    ],
)
def test_khacef_of_another_layout(folder: Path, change: dict[str, np.ndarray], message: str) -> None:
    store_khacef(folder, **change)
    with pytest.raises(UserError, match=message):
        load()


def test_khacef_missing_or_truncated(folder: Path) -> None:
    store_khacef(folder)
    path = folder / "spoken_mnist" / "labels_train.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"labels_train\.npy: is not a whole \.npy file"):
        load()
    path.unlink()
    with pytest.raises(UserError, match=r"labels_train\.npy: is missing"):
        load()


# --- which source, and downloads ---


def test_auto_takes_the_nearest_to_the_paper(folder: Path) -> None:
    kind = DATASETS["spoken_digits"]()
    seen = []
    store_fsdd(folder, "npz")
    seen.append(kind.fingerprint())
    assert "CC BY-SA" in load().licence
    write(folder / "speech_commands_v0.01", commands_files())
    seen.append(kind.fingerprint())
    write(folder / "speech_commands_v0.02", commands_files())
    seen.append(kind.fingerprint())
    store_khacef(folder)
    seen.append(kind.fingerprint())
    assert "standardized" in load().unit
    assert len(set(seen)) == 4
    assert len(load(source="fsdd").x_train) == 12


def test_absent(folder: Path) -> None:
    with pytest.raises(UserError, match="has no spoken digits;") as caught:
        load()
    assert "microai data fetch spoken_digits" in caught.value.mend and "fsdd.npz" in caught.value.mend
    assert status()["spoken_digits"] is not None
    store_fsdd(folder, "npz")
    with pytest.raises(UserError, match=r"has no spoken digits of source speech_commands_v0\.02") as caught:
        load(source="speech_commands_v0.02")
    assert "fetch spoken_digits:speech_commands_v0.02" in caught.value.mend
    store_khacef(folder)
    with pytest.raises(UserError, match="test_speaker is for fsdd, not for khacef"):
        load(test_speaker="ann")


def test_fetch_of_fsdd(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = folder / "server"
    server.mkdir()
    store_fsdd(server, "zip")
    monkeypatch.setattr(spoken_digits, "_FSDD_URL", (server / f"{FSDD}.zip").as_uri())
    with pytest.raises(UserError, match="did not give the published data: its recordings are others"):
        fetch("spoken_digits")
    assert [path.name for path in folder.iterdir()] == ["server"]
    ordered = [s for _, s in sorted(zip(TAKES, fsdd_samples(), strict=True), key=lambda pair: pair[0])]
    published = hashlib.sha256(np.concatenate(ordered).tobytes()).hexdigest()
    monkeypatch.setattr(spoken_digits, "_FSDD_SHA256", published)
    assert fetch("spoken_digits") == fetch("spoken_digits:fsdd") == folder / f"{FSDD}.zip"
    assert len(load().x_train) == 12


def test_fetch_of_speech_commands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = folder / "server"
    content = tarred(commands_files())
    write(server, {"speech_commands_v0.02.tar.gz": content})
    monkeypatch.setattr(spoken_digits, "_SPEECH_COMMANDS_URL", server.as_uri())
    with pytest.raises(UserError, match=r"did not give the published data: .*sha256 differs"):
        fetch("spoken_digits:speech_commands_v0.02")
    hashes = spoken_digits._SPEECH_COMMANDS_SHA256
    monkeypatch.setitem(hashes, "speech_commands_v0.02", hashlib.sha256(content).hexdigest())
    assert fetch("spoken_digits:speech_commands_v0.02") == folder / "speech_commands_v0.02.tar.gz"
    assert len(load().x_train) == 6


def test_fetch_that_cannot_be(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_internet(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", no_internet)
    with pytest.raises(UserError, match="cannot download") as caught:
        fetch("spoken_digits")
    assert "\n" not in str(caught.value) and "fsdd.npz" in caught.value.mend
    with pytest.raises(UserError, match="Zenodo, record 4452953"):
        fetch("spoken_digits:khacef")
    assert list(folder.iterdir()) == []


# --- the real ones ---


def test_the_published_fsdd() -> None:
    data = load_or_skip("spoken_digits", source="fsdd")
    assert (data.x_train.shape, data.x_test.shape) == ((2700, 39, 13), (300, 39, 13))
    assert set(np.bincount(data.y_train)) == {270} and set(np.bincount(data.y_test)) == {30}
    assert data.subjects_train is not None and len(set(data.subjects_train)) == 6
    assert set(data.y_test[:50]) == set(range(10)) and len(set(data.subjects_train[:50])) == 5
    moved = load_or_skip("spoken_digits", source="fsdd", test_speaker="theo")
    assert (len(moved.x_train), len(moved.x_test)) == (2500, 500)


def test_the_published_fsdd_has_the_hash_that_fetch_asks_for() -> None:
    path = data_folder() / "fsdd.npz"
    if not path.is_file():
        pytest.skip("needs spoken digits (fsdd.npz), see README")
    with np.load(path) as file:
        assert hashlib.sha256(file["audio"].tobytes()).hexdigest() == spoken_digits._FSDD_SHA256


def test_real_speech_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten recordings of each digit from version 0.01, with the publisher's whole lists."""
    path = data_folder() / "gsc_v0.01_digits_sample.zip"
    if not path.is_file():
        pytest.skip("needs spoken digits (gsc_v0.01_digits_sample.zip), see README")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path)
    monkeypatch.setenv("MICROAI_DATA", str(tmp_path))
    data = load()
    assert (len(data.x_train), len(data.x_test)) == (78, 22)
    assert data.set_aside is not None and data.set_aside.sum() == 16
    assert data.subjects_train is not None and data.subjects_test is not None
    assert not set(data.subjects_train) & set(data.subjects_test)
    assert 10 < data.x_train[:, :, 12].mean() < 25  # a second of speech has 5e8 or so in int16 samples
