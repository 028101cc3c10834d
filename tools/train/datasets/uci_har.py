"""UCI-HAR: human activity from the accelerometer and gyroscope of a smartphone at the waist, raw signals."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from ..dataset import Dataset, DatasetKind, Floats, Labels, data_folder
from ..sources import download, read_npz, stamp

_URL = "https://archive.ics.uci.edu/static/public/240/human+activity+recognition+using+smartphones.zip"
_ROOT = "UCI HAR Dataset"
_ZIPS = (f"{_ROOT}.zip", "human+activity+recognition+using+smartphones.zip")
_NPZ = "uci_har.npz"

SIGNALS = tuple(f"{kind}_{axis}" for kind in ("body_acc", "body_gyro", "total_acc") for axis in "xyz")
CLASSES = ("WALKING", "WALKING_UPSTAIRS", "WALKING_DOWNSTAIRS", "SITTING", "STANDING", "LAYING")
SAMPLES = 128

_MEND = (
    f"put the folder '{_ROOT}', its zip ('{_ZIPS[0]}' or '{_ZIPS[1]}') or '{_NPZ}' there, "
    "or set MICROAI_DATA to the folder that has it"
)

# SHA-256 of the published files with LF line ends; copies with CRLF are in circulation and are as good.
_SHA256 = {
    "body_acc_x_train": "dd89179c0d562d19f5c9131a899a825672434c0fc599105f8a4bbc104a56e810",
    "body_acc_y_train": "dce8807a24abc265413eb5566cc4903a4631f5c579833f6a65faf1aecb64ca9a",
    "body_acc_z_train": "2ac9256ca4e874de1b0bd898326b67a3e8ff09c84e05c64f2973a877d7e1204d",
    "body_gyro_x_train": "92c8be470ea6d8d77071d6e77c85cc5df35ab08622f1f0a37430b6904e3efb6c",
    "body_gyro_y_train": "431107e70a95d47ee5c8a8f5888730160d9082ce75cd97abf8d75ec9f2029354",
    "body_gyro_z_train": "6a74066f947d810616ebd58d836ca82ff738219a31ef42bd855d3e26e9296d2f",
    "total_acc_x_train": "a681842c3781f31a25b2dd555031c1e03c82e284a397b29a51bc0bbf2d3cbda7",
    "total_acc_y_train": "03b2315fc46fceaf1d323524b4f8d5606b937a9067a3e7617dd33832cd41c1e9",
    "total_acc_z_train": "7f0623a3ccbc405ae1bbe6519945e7738e50ec75f0844ed1cf14ca016513bbef",
    "y_train": "415b3357e2e2d5e70a45c781947c6bdd80e0410a579d862eedcd6bbce3c694ef",
    "subject_train": "66e1e2fbe9b396fa5155f531dc3348c803f503be663e2318772d49947db9153a",
    "body_acc_x_test": "5c48d9be2023b0da72bd25f6c65a4a084ae06621f27744cbe89137f3c054bc22",
    "body_acc_y_test": "2936e290d00cb1e4db13e7f5b6865ff89a3e09955c79d1f4ad7a150606bf127b",
    "body_acc_z_test": "1d7f6bf28d36737c46fe9aebb32a595fece488672cb18894b646266bdb38b58f",
    "body_gyro_x_test": "79b1cb223da618fd0ff3ba51b8b1f35906fb8a65cf39a1eb0926f808b2553af5",
    "body_gyro_y_test": "0c7825532f5428a629f33210ba904be31d8e7264204e1e79d81d5d10894cceb0",
    "body_gyro_z_test": "67501a347afb417d102b7e861e692acd392f2cfe11b8822967cdb6d9f0c5e862",
    "total_acc_x_test": "916a003dea2fa06b24105a3fc550210a50adaadb90361f02ffe77c02266780bb",
    "total_acc_y_test": "d56bcf1e68c353690b745c6c9003498e5c75062f480c02eea61c1aab2f034f85",
    "total_acc_z_test": "342c6caa0de7914b26f06bb489ac5f9e44de42825a05718f16b571751c599468",
    "y_test": "2a94cb53ca46b956c1b2aebd4a09a72badd8a8e9ea9cdfe9f31b3306a08666bb",
    "subject_test": "63b8c577f4a85431c06bd87f6384608c90a9f72f05c7956dd21255dc63515c07",
}

# Names in uci_har.npz of what this program calls x, y and subjects, each followed by _train or _test.
_KEYS = (("x", "X"), ("y", "y"), ("subjects", "subject"))

# Gives the bytes of one file of the official layout, named from the root folder with "/"; KeyError if absent.
Reader = Callable[[str], bytes]


class UciHar(DatasetKind):
    """x: float32 [N, 128, 9], 2.56 s at 50 Hz overlapping by half: accelerations in g, angular velocity in
    rad/s.

    Channels: body acceleration, angular velocity and total acceleration, x, y, z each. 7352 windows of 21
    people for training and 2947 of 9 others for testing. Read from whichever is found first in
    `data_folder()`: the official folder, the official zip (or the zip that wraps it), uci_har.npz.
    """

    vector = (128, 9)
    class_count = 6

    def load(self) -> Dataset:
        path = _find()
        return _from_npz(path) if path.name == _NPZ else read_official(path)

    def fingerprint(self) -> str:
        return stamp(_find())

    def fetch(self) -> Path:
        return download(_URL, data_folder() / _ZIPS[1], read_official, f"get the zip elsewhere: {_MEND}")


def _find() -> Path:
    folder = data_folder()
    for name in (_ROOT, *_ZIPS, _NPZ):
        if (folder / name).exists():
            return folder / name
    raise UserError(folder.resolve(), "has no UCI-HAR data", f"{_MEND}, or run: microai data fetch uci_har")


def read_official(path: Path, *, verify: bool = True) -> Dataset:
    """The data in the official folder or zip.

    verify: each of the 22 files must be the published one. Raises UserError for a file that is missing,
    damaged or not the published one.
    """
    if path.is_dir():
        return _parse(path, lambda name: (path / name).read_bytes(), verify)
    try:
        with zipfile.ZipFile(path) as archive:
            if _ZIPS[0] in archive.namelist():
                with zipfile.ZipFile(io.BytesIO(archive.read(_ZIPS[0]))) as inner:
                    return _parse(path, lambda name: inner.read(f"{_ROOT}/{name}"), verify)
            return _parse(path, lambda name: archive.read(f"{_ROOT}/{name}"), verify)
    except zipfile.BadZipFile:
        raise UserError(path, "is not a whole zip file", "download it again") from None


def _parse(path: Path, read: Reader, verify: bool) -> Dataset:
    arrays: dict[str, Any] = {}
    for part in ("train", "test"):
        channels = [
            _numbers(path, read, f"{part}/Inertial Signals/{signal}_{part}.txt", verify).reshape(-1, SAMPLES)
            for signal in SIGNALS
        ]
        arrays[f"x_{part}"] = np.stack(channels, axis=-1)
        for key, name in (("y", "y"), ("subjects", "subject")):
            labels = _numbers(path, read, f"{part}/{name}_{part}.txt", verify).astype(np.int32)
            arrays[f"{key}_{part}"] = labels - 1 if key == "y" else labels
    return _dataset(**arrays)


def _numbers(path: Path, read: Reader, name: str, verify: bool) -> Floats:
    """All numbers of one text file, float32."""
    where = f"{path}: {name}"
    try:
        text = read(name)
    except (KeyError, OSError):
        raise UserError(where, "is missing", "unpack or download the data again") from None
    if verify and hashlib.sha256(text.replace(b"\r\n", b"\n")).hexdigest() != _SHA256[Path(name).stem]:
        raise UserError(where, "is not the published file (its SHA-256 differs)", "download the data again")
    try:
        return np.array(text.split(), dtype=np.float64).astype(np.float32)
    except ValueError as error:
        raise UserError(where, f"is damaged ({error})", "download the data again") from None


def _from_npz(path: Path) -> Dataset:
    """The data in uci_har.npz.

    Keys: X_train, X_test float [N, 128, 9]; y_train, y_test [N], 0..5; subject_train, subject_test [N].
    Raises UserError for a damaged file or another layout.
    """
    keys = {f"{ours}_{part}": f"{theirs}_{part}" for part in ("train", "test") for ours, theirs in _KEYS}
    file = read_npz(path, *keys.values())
    for part in ("train", "test"):
        shape = file[f"X_{part}"].shape
        if shape[1:] != (SAMPLES, len(SIGNALS)):
            raise UserError(path, f"X_{part} has shape {shape}, not (N, 128, 9)", "see docs/datasets.md")
    arrays: dict[str, Any] = {
        ours: file[theirs].astype(np.float32 if ours[0] == "x" else np.int32) for ours, theirs in keys.items()
    }
    return _dataset(**arrays)


def _dataset(
    x_train: Floats,
    y_train: Labels,
    subjects_train: Labels,
    x_test: Floats,
    y_test: Labels,
    subjects_test: Labels,
) -> Dataset:
    return Dataset(
        name="uci_har",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=CLASSES,
        unit="g (acceleration), rad/s (angular velocity)",
        rate=50.0,
        subjects_train=subjects_train,
        subjects_test=subjects_test,
        licence="non-commercial use, with citation (README.txt of the data)",
        citation="D. Anguita, A. Ghio, L. Oneto, X. Parra, J. L. Reyes-Ortiz, A Public Domain Dataset "
        "for Human Activity Recognition Using Smartphones, ESANN 2013",
    )
