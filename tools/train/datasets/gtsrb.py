"""GTSRB: photographs of German traffic signs, 32 x 32 pixels in colour, 43 kinds of signs."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ..dataset import Dataset, DatasetKind, Floats, Labels, data_folder
from ..sources import download, must_have_hash, read_npz, stamp, version_of

SIZE = 32  # pixels, both ways
CLASSES = (
    "speed limit 20",
    "speed limit 30",
    "speed limit 50",
    "speed limit 60",
    "speed limit 70",
    "speed limit 80",
    "end of speed limit 80",
    "speed limit 100",
    "speed limit 120",
    "no passing",
    "no passing for trucks",
    "priority at the next crossing",
    "priority road",
    "yield",
    "stop",
    "no vehicles",
    "no trucks",
    "no entry",
    "danger",
    "curve to the left",
    "curve to the right",
    "double curve",
    "bumpy road",
    "slippery road",
    "road narrows on the right",
    "road work",
    "traffic signals",
    "pedestrians",
    "children",
    "bicycles",
    "ice or snow",
    "wild animals",
    "end of all limits",
    "turn right",
    "turn left",
    "straight on",
    "straight on or right",
    "straight on or left",
    "keep right",
    "keep left",
    "roundabout",
    "end of no passing",
    "end of no passing for trucks",
)

_URL = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370"
_MD5 = {
    "GTSRB_Final_Training_Images.zip": "f33fd80ac59bff73c82d25ab499e03a3",
    "GTSRB_Final_Test_Images.zip": "c7e4e6327067d32654124b0fe9e82185",
    "GTSRB_Final_Test_GT.zip": "fe31e9c9270bbcd7b84b7f21a9d9d9e5",
}
_KAGGLE = "gtsrb-german-traffic-sign"
_NPZ = ("gtsrb_train.npz", "gtsrb_test.npz")
_MEND = (
    f"put the folder 'GTSRB' (official or Kaggle layout), the three zips ({', '.join(_MD5)}), "
    f"'{_KAGGLE}.zip' or {' and '.join(_NPZ)} there, or set MICROAI_DATA to the folder that has them"
)

# SHA-256 of all pixels as published, before resizing, R, G, B of each, one image after the other: of the
# training part by class, track and frame, of the test part by number. The same for .ppm and .png.
_SHA256 = {
    "train": "0563c061a1eca9cb9959b14dbb67e7a3b88cf44cc589d6fc83146fcb85827687",
    "test": "2050ccc5d6959ccd9d5bd2fa38606fc9e81a46a016feb5a56b867f7ce829e55d",
}

Tree = Path | zipfile.Path
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class _Images:
    """The published images, in a folder or in zips, in the official or the Kaggle layout.

    containers: what is on the disk. train: has a folder for each class, with `..._TRACK_FRAME.ppm` (or
    .png). test: has the images. truth: a table of file names and classes of the test images.
    """

    containers: tuple[Path, ...]
    train: Tree
    test: Tree
    truth: Tree


class Gtsrb(DatasetKind):
    """x: float32 [N, 32, 32, 3], red, green and blue, 0..1 in steps of 1/255.

    39209 images for training and 12630 for testing, of 15 to 250 pixels, resized with anti-aliasing and
    bilinear interpolation, border included. Subjects: class and track; a track is up to 30 frames of one
    sign that a car drives past. Read from whichever is found first in `data_folder()`: the official folder,
    the official zips, the Kaggle folder or zip, gtsrb_train.npz with gtsrb_test.npz.
    """

    vector = (32, 32, 3)
    class_count = 43

    def load(self) -> Dataset:
        found = _find()
        return _read_images(found) if isinstance(found, _Images) else _from_npz(*found)

    def fingerprint(self) -> str:
        found = _find()
        if isinstance(found, _Images):
            return stamp(*found.containers) + version_of("scikit-image", "data set gtsrb")
        return stamp(*found)

    def fetch(self) -> Path:
        folder = data_folder()
        for name, md5 in _MD5.items():
            download(
                f"{_URL}/{name}",
                folder / name,
                partial(must_have_hash, algorithm="md5", expected=md5),
                f"get the zip elsewhere: {_MEND}",
            )
        return folder


def _find() -> _Images | tuple[Path, ...]:
    """Where the images are, else the two .npz files."""
    folder = data_folder()
    official = folder / "GTSRB"
    zips = tuple(folder / name for name in _MD5)
    if (official / "Final_Training").is_dir():
        images = official / "Final_Test" / "Images"
        truths = (images / "GT-final_test.csv", official / "GT-final_test.csv", folder / "GT-final_test.csv")
        truth = next((path for path in truths if path.is_file()), truths[0])
        return _Images((official, truth), official / "Final_Training" / "Images", images, truth)
    if all(path.is_file() for path in zips):
        train, test, truth_zip = map(_open, zips)
        return _Images(
            zips,
            train / "GTSRB" / "Final_Training" / "Images",
            test / "GTSRB" / "Final_Test" / "Images",
            truth_zip / "GT-final_test.csv",
        )
    for container in (official, folder / _KAGGLE, folder / f"{_KAGGLE}.zip"):
        if container.is_file() or (container / "Train").is_dir():
            root = _open(container) if container.is_file() else container
            return _Images((container,), root / "Train", root / "Test", root / "Test.csv")
    npz = tuple(folder / name for name in _NPZ)
    if all(path.is_file() for path in npz):
        return npz
    raise UserError(folder.resolve(), "has no GTSRB data", f"{_MEND}, or run: microai data fetch gtsrb")


def _open(path: Path) -> zipfile.Path:
    try:
        return zipfile.Path(path)
    except zipfile.BadZipFile:
        raise UserError(path, "is not a whole zip file", "download it again") from None


def _read_images(found: _Images) -> Dataset:
    """Raises UserError for an image that is missing or damaged, and where they are not the published ones."""
    train = sorted(
        (
            (int(folder.name), *_track_and_frame(file), file)
            for folder in _entries(found.train)
            if folder.name.isdecimal()
            for file in _entries(folder)
            if file.name.endswith((".ppm", ".png"))
        ),
        key=lambda row: row[:3],
    )
    truth = sorted(_read_truth(found.truth))
    x_train = _resized((file for *_, file in train), "train", found.train)
    x_test = _resized((found.test / name for name, _ in truth), "test", found.test)
    return _dataset(
        x_train,
        np.array([label for label, *_ in train]),
        np.array([track for _, track, *_ in train]),
        x_test,
        np.array([label for _, label in truth]),
    )


def _track_and_frame(file: Tree) -> tuple[int, int]:
    """Of `TRACK_FRAME.ppm`, and of `CLASS_TRACK_FRAME.png`."""
    numbers = file.name.rpartition(".")[0].split("_")[-2:]
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
        raise UserError(file, "is not named TRACK_FRAME.ppm", "remove it or unpack the data again")
    return int(numbers[0]), int(numbers[1])


def _entries(folder: Tree) -> Iterator[Any]:
    """Files and folders in a folder, of the same type as it is."""
    try:
        yield from folder.iterdir()
    except (OSError, ValueError):
        raise UserError(folder, "is missing", "unpack or download the data again") from None


def _read_truth(table: Tree) -> Iterator[tuple[str, int]]:
    """File name and class of each test image. Official: `Filename;...;ClassId`, Kaggle: `...,ClassId,Path`."""
    lines = _bytes(table).decode("utf-8", "replace").splitlines()
    try:
        for row in csv.DictReader(lines, delimiter=";" if ";" in lines[0] else ","):
            yield (row.get("Filename") or row["Path"]).rpartition("/")[-1], int(row["ClassId"])
    except (KeyError, ValueError, TypeError, IndexError):
        raise UserError(table, "is not a table of file names and classes", "get the data again") from None


def _bytes(file: Tree) -> bytes:
    try:
        return file.read_bytes()
    except (OSError, KeyError):
        raise UserError(file, "is missing", "unpack or download the data again") from None
    except (zipfile.BadZipFile, zlib.error):
        raise UserError(file, "is damaged", "download the data again") from None


def _resized(files: Iterable[Tree], part: str, where: Tree) -> Pixels:
    """uint8 [N, 32, 32, 3] of all images in order, which together must have the published hash."""
    total = hashlib.sha256()
    small = []
    for file in files:
        image = _decoded(file)
        total.update(image.data)
        small.append(resized(image))
    if total.hexdigest() != _SHA256[part]:
        raise UserError(
            where,
            f"has {len(small)} images that are not the published {part} part (their SHA-256 differs)",
            "download the data again",
        )
    return np.stack(small)


def _decoded(file: Tree) -> Pixels:
    """uint8 [H, W, 3], red, green, blue."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(_bytes(file))) as image:
            mode, pixels = image.mode, np.array(image)
    except (OSError, ValueError, SyntaxError):  # the last one is what Pillow raises for a damaged .png
        raise UserError(file, "is damaged", "download the data again") from None
    if mode != "RGB":
        raise UserError(file, "is not an image in colour", "download the data again")
    return pixels


def resized(image: Pixels) -> Pixels:
    """uint8 [32, 32, 3] of uint8 [H, W, 3]: Gaussian filter where it shrinks, then bilinear interpolation
    (paper, section 6.1.3), rounded to 8 bits.
    """
    from skimage.transform import resize

    small: Floats = resize(  # type: ignore[no-untyped-call]
        image, (SIZE, SIZE), order=1, mode="reflect", anti_aliasing=True
    )
    return np.rint(small * 255).astype(np.uint8)


def _from_npz(train_path: Path, test_path: Path) -> Dataset:
    """The data in gtsrb_train.npz and gtsrb_test.npz.

    Keys: X_train, X_test uint8 [N, 32, 32, 3]; y_train, y_test [N], 0..42; track_train [N]. Raises UserError
    for a damaged file or another layout.
    """
    train = read_npz(train_path, "X_train", "y_train", "track_train")
    test = read_npz(test_path, "X_test", "y_test")
    for path, x in ((train_path, train["X_train"]), (test_path, test["X_test"])):
        if x.dtype != np.uint8 or x.shape[1:] != (SIZE, SIZE, 3):
            raise UserError(
                path, f"has images {x.dtype} {x.shape}, not uint8 (N, 32, 32, 3)", "see docs/datasets.md"
            )
    arrays: dict[str, Any] = {**train, **test}
    counts = [len(array) for array in train.values()]
    if len(set(counts)) > 1:
        images, labels, tracks = counts
        raise UserError(
            train_path,
            f"has {images} images, {labels} labels and {tracks} tracks",
            "see docs/datasets.md",
        )
    return _dataset(*(arrays[key] for key in ("X_train", "y_train", "track_train", "X_test", "y_test")))


def _dataset(x_train: Pixels, y_train: Labels, tracks: Labels, x_test: Pixels, y_test: Labels) -> Dataset:
    """Pixels as shares of full scale. Tracks are numbered anew in each class, hence the multiplication."""
    return Dataset(
        name="gtsrb",
        x_train=x_train.astype(np.float32) / np.float32(255),
        y_train=y_train.astype(np.int32),
        x_test=x_test.astype(np.float32) / np.float32(255),
        y_test=y_test.astype(np.int32),
        classes=CLASSES,
        unit="share of full scale (red, green, blue), 0..1",
        rate=None,
        subjects_train=y_train.astype(np.int32) * 100_000 + tracks.astype(np.int32),
        subjects_test=None,
        licence="free to use, with the request to cite (the project's page has no formal licence)",
        citation="J. Stallkamp, M. Schlipsing, J. Salmen, C. Igel, The German Traffic Sign Recognition "
        "Benchmark: A multi-class classification competition, IJCNN 2011",
    )
