"""Data sets: what each promises, and every way to find, damage and download UCI-HAR.

GTSRB and the spoken digits have files of their own.
"""

from __future__ import annotations

import hashlib
import shutil
import urllib.error
from pathlib import Path

import numpy as np
import pytest
from microai.errors import UserError
from microai.train.dataset import data_folder, digest
from microai.train.datasets import DATASETS, fetch, status, uci_har

from .published import load_or_skip, zipped

ROOT = "UCI HAR Dataset"
WRAPPER = "human+activity+recognition+using+smartphones.zip"


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_every_data_set_keeps_its_promises(name: str) -> None:
    data = load_or_skip(name)
    assert data.name == name
    assert data.x_train.dtype == data.x_test.dtype == np.float32
    assert data.y_train.dtype == data.y_test.dtype == np.int32
    assert data.x_train.shape[1:] == data.x_test.shape[1:]
    assert data.x_train.ndim in (3, 4)
    assert set(data.y_train) == set(data.y_test) == set(range(len(data.classes)))
    assert all((data.unit, data.licence, data.citation, data.classes))
    kind = DATASETS[name]()
    assert kind.load().sha256 == data.sha256
    assert kind.fingerprint() == kind.fingerprint()


def test_digits_are_split_alike_in_each_class() -> None:
    data = DATASETS["digits"]().load()
    assert (data.x_train.shape, data.x_test.shape) == ((1347, 8, 8, 1), (450, 8, 8, 1))
    assert (data.x_train.min(), data.x_train.max()) == (0, 16)
    share = np.bincount(data.y_test) / (np.bincount(data.y_train) + np.bincount(data.y_test))
    assert np.abs(share - 0.25).max() < 0.01


def test_the_hash_is_of_values_not_of_memory_layout() -> None:
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert digest(x) == digest(np.asfortranarray(x)) != digest(x + 1)
    assert digest(x) != digest(x.reshape(2, 4, 3))


def test_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROAI_DATA", "/some/where")
    assert data_folder() == Path("/some/where")
    monkeypatch.delenv("MICROAI_DATA")
    assert data_folder() == Path("data")


# --- UCI-HAR in its published layout, made up: 4 windows for training, 3 for testing ---


def made_up() -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    return {
        "X_train": random.normal(size=(4, 128, 9)).astype(np.float32),
        "X_test": random.normal(size=(3, 128, 9)).astype(np.float32),
        "y_train": np.array([0, 5, 2, 3]),
        "y_test": np.array([1, 4, 0]),
        "subject_train": np.array([1, 1, 3, 5]),
        "subject_test": np.array([2, 2, 4]),
    }


def official_files(data: dict[str, np.ndarray]) -> dict[str, bytes]:
    """The texts of the published layout: 16 characters a number, three digits of exponent, labels from 1."""
    files = {"README.txt": b"made up\n"}
    for part in ("train", "test"):
        for channel, signal in enumerate(uci_har.SIGNALS):
            lines = ("".join(_number(value) for value in row) for row in data[f"X_{part}"][:, :, channel])
            files[f"{part}/Inertial Signals/{signal}_{part}.txt"] = "".join(f"{s}\n" for s in lines).encode()
        files[f"{part}/y_{part}.txt"] = "".join(f"{label + 1}\n" for label in data[f"y_{part}"]).encode()
        files[f"{part}/subject_{part}.txt"] = "".join(f"{s}\n" for s in data[f"subject_{part}"]).encode()
    return files


def _number(value: float) -> str:
    mantissa, exponent = f"{value:.7e}".split("e")
    return f"{mantissa}e{int(exponent):+04d}".rjust(16)


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    for name, text in files.items():
        path = folder / ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    return folder / ROOT


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder in which made-up files count as the published ones."""
    monkeypatch.setenv("MICROAI_DATA", str(tmp_path))
    hashes = {
        Path(name).stem: hashlib.sha256(text).hexdigest() for name, text in official_files(made_up()).items()
    }
    monkeypatch.setattr(uci_har, "_SHA256", hashes)
    return tmp_path


def store(folder: Path, form: str) -> None:
    files = official_files(made_up())
    archive = zipped({f"{ROOT}/{name}": text for name, text in files.items()})
    if form == "folder":
        write_folder(folder, files)
    elif form == "folder with CRLF":
        write_folder(folder, {name: text.replace(b"\n", b"\r\n") for name, text in files.items()})
    elif form == "zip":
        (folder / f"{ROOT}.zip").write_bytes(archive)
    elif form == "wrapped zip":
        (folder / WRAPPER).write_bytes(zipped({f"{ROOT}.zip": archive, f"{ROOT}.names": b""}))
    elif form == "unwrapped zip under the wrapper's name":
        (folder / WRAPPER).write_bytes(archive)
    else:
        np.savez(folder / "uci_har.npz", **made_up())


FORMS = ["folder", "folder with CRLF", "zip", "wrapped zip", "unwrapped zip under the wrapper's name", "npz"]


@pytest.mark.parametrize("form", FORMS)
def test_uci_har_is_the_same_from_every_container(folder: Path, form: str) -> None:
    store(folder, form)
    data = DATASETS["uci_har"]().load()
    expected = made_up()
    # The texts have 8 significant digits: more than float32 needs to come back exactly... but one.
    np.testing.assert_allclose(data.x_train, expected["X_train"], rtol=1e-7)
    np.testing.assert_allclose(data.x_test, expected["X_test"], rtol=1e-7)
    assert data.y_train.tolist() == [0, 5, 2, 3]
    assert data.y_test.tolist() == [1, 4, 0]
    assert data.subjects_train is not None and data.subjects_train.tolist() == [1, 1, 3, 5]
    assert data.subjects_test is not None and data.subjects_test.tolist() == [2, 2, 4]
    assert (data.rate, len(data.classes)) == (50.0, 6)


def test_uci_har_fingerprint_follows_the_files(folder: Path) -> None:
    store(folder, "folder")
    kind = DATASETS["uci_har"]()
    before = kind.fingerprint()
    path = folder / ROOT / "train" / "y_train.txt"
    path.write_bytes(path.read_bytes() + b"1\n")
    assert kind.fingerprint() != before


def test_uci_har_absent(folder: Path) -> None:
    with pytest.raises(UserError, match="has no UCI-HAR data") as caught:
        DATASETS["uci_har"]().load()
    assert "microai data fetch uci_har" in caught.value.mend and "MICROAI_DATA" in caught.value.mend
    assert status()["uci_har"] is not None and status()["digits"] is None


def test_uci_har_not_the_published_numbers(folder: Path) -> None:
    store(folder, "folder")
    path = folder / ROOT / "test" / "Inertial Signals" / "body_gyro_y_test.txt"
    path.write_bytes(path.read_bytes().replace(b"e+000", b"e-001", 1))
    with pytest.raises(UserError, match="not the published file") as caught:
        DATASETS["uci_har"]().load()
    assert "body_gyro_y_test.txt" in caught.value.where


def test_uci_har_file_missing(folder: Path) -> None:
    store(folder, "folder")
    (folder / ROOT / "train" / "subject_train.txt").unlink()
    with pytest.raises(UserError, match=r"subject_train\.txt: is missing"):
        DATASETS["uci_har"]().load()


@pytest.mark.parametrize("name", [f"{ROOT}.zip", WRAPPER, "uci_har.npz"])
def test_uci_har_truncated(folder: Path, name: str) -> None:
    store(folder, {WRAPPER: "wrapped zip", "uci_har.npz": "npz"}.get(name, "zip"))
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="is not a whole"):
        DATASETS["uci_har"]().load()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_test": None}, "lacks an array"),
        ({"X_test": np.zeros((3, 9, 128), np.float32)}, r"not \(N, 128, 9\)"),
        ({"y_test": np.array([1, 2])}, "3 vectors and 2 labels"),
        ({"y_test": np.array([1, 2, 6])}, "labels 1..6 for 6 classes"),
        ({"X_test": np.full((3, 128, 9), np.nan, np.float32)}, "vector 0 has a value that is not finite"),
    ],
)
def test_uci_har_npz_of_another_layout(folder: Path, change: dict[str, np.ndarray], message: str) -> None:
    arrays = {name: value for name, value in {**made_up(), **change}.items() if value is not None}
    np.savez(folder / "uci_har.npz", **arrays)
    with pytest.raises(UserError, match=message):
        DATASETS["uci_har"]().load()


def test_fetch_stores_what_proves_to_be_published(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folder / "server"
    source.mkdir()
    store(source, "wrapped zip")
    monkeypatch.setattr(uci_har, "_URL", (source / WRAPPER).as_uri())
    path = fetch("uci_har")
    assert path == folder / WRAPPER
    assert DATASETS["uci_har"]().load().y_test.tolist() == [1, 4, 0]


@pytest.mark.parametrize("damage", ["truncated", "other numbers"])
def test_fetch_keeps_nothing_else(folder: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    source = folder / "server"
    source.mkdir()
    store(source, "wrapped zip")
    if damage == "truncated":
        (source / WRAPPER).write_bytes((source / WRAPPER).read_bytes()[:1000])
    else:
        monkeypatch.setitem(uci_har._SHA256, "y_test", "0" * 64)
    monkeypatch.setattr(uci_har, "_URL", (source / WRAPPER).as_uri())
    with pytest.raises(UserError, match="did not give the published data"):
        fetch("uci_har")
    shutil.rmtree(source)
    assert list(folder.iterdir()) == []


def test_fetch_offline_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_internet(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", no_internet)
    with pytest.raises(UserError, match="cannot download") as caught:
        fetch("uci_har")
    assert "\n" not in str(caught.value) and "uci_har.npz" in caught.value.mend
    assert list(folder.iterdir()) == []


def test_fetch_of_names(folder: Path) -> None:
    assert fetch("digits") is None
    with pytest.raises(UserError, match="did you mean 'uci_har'"):
        fetch("uci-har")
    with pytest.raises(UserError, match="digits has no source 'web'"):
        fetch("digits:web")
    with pytest.raises(UserError, match="did you mean 'khacef'"):
        fetch("spoken_digits:kacef")


def test_uci_har_is_the_published_one() -> None:
    """Counts, people, and the published files' hashes from labels and subjects written as published.

    (The signals cannot be written back: float32 does not keep 8 decimal digits.)
    """
    data = load_or_skip("uci_har")
    assert (data.x_train.shape, data.x_test.shape) == ((7352, 128, 9), (2947, 128, 9))
    assert np.bincount(data.y_train).tolist() == [1226, 1073, 986, 1286, 1374, 1407]
    assert data.subjects_train is not None and data.subjects_test is not None
    assert not set(data.subjects_train) & set(data.subjects_test)
    columns = {
        "y_train": data.y_train + 1,
        "y_test": data.y_test + 1,
        "subject_train": data.subjects_train,
        "subject_test": data.subjects_test,
    }
    for name, column in columns.items():
        assert column is not None
        text = "".join(f"{value}\n" for value in column)
        assert hashlib.sha256(text.encode()).hexdigest() == uci_har._SHA256[name]
