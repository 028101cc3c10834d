"""GTSRB from every published layout, damaged, downloaded, and as it is in reality."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import sys
import urllib.error
from pathlib import Path

import numpy as np
import pytest
from microai.errors import UserError
from microai.train.dataset import Dataset
from microai.train.datasets import DATASETS, fetch, gtsrb, status
from microai.train.preprocessing import Split, ValidationSplit
from numpy.typing import NDArray
from PIL import Image as Pillow
from skimage.transform import resize

from .published import load_or_skip, zipped

Image = NDArray[np.uint8]
ZIPS = ("GTSRB_Final_Training_Images.zip", "GTSRB_Final_Test_Images.zip", "GTSRB_Final_Test_GT.zip")

# Train: (class, track, frame) in the published order. Test: class of image 0, 1, ...
FRAMES = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (2, 0, 0), (14, 0, 0), (14, 12, 29), (42, 3, 7)]
TEST = [14, 0, 42, 2]


def images() -> tuple[list[Image], list[Image]]:
    """Made up, of various sizes; smooth, as photographs are."""
    random = np.random.default_rng(3)

    def one() -> Image:
        coarse = random.integers(0, 256, (5, 6, 3)).astype(np.uint8)
        height, width = random.integers(15, 90, 2)
        return np.rint(255 * resize(coarse, (height, width), order=1)).astype(np.uint8)

    return [one() for _ in FRAMES], [one() for _ in TEST]


TRAIN_IMAGES, TEST_IMAGES = images()


def ppm(image: Image) -> bytes:
    return b"P6\n%d %d\n255\n" % (image.shape[1], image.shape[0]) + image.tobytes()


def png(image: Image) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, "png")
    return buffer.getvalue()


def official() -> dict[str, dict[str, bytes]]:
    """The files of each zip."""
    train = {
        f"GTSRB/Final_Training/Images/{c:05d}/{t:05d}_{f:05d}.ppm": ppm(image)
        for (c, t, f), image in zip(FRAMES, TRAIN_IMAGES, strict=True)
    }
    train |= {f"GTSRB/Final_Training/Images/{c:05d}/GT-{c:05d}.csv": b"Filename;Width\n" for c, *_ in FRAMES}
    train["GTSRB/Readme-Images.txt"] = b"made up\n"
    test = {
        f"GTSRB/Final_Test/Images/{i:05d}.ppm": ppm(image) for i, image in reversed([*enumerate(TEST_IMAGES)])
    }
    test["GTSRB/Final_Test/Images/GT-final_test.test.csv"] = b"Filename;Width\r\n"
    truth = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\r\n"
    truth += "".join(f"{i:05d}.ppm;53;54;6;5;48;49;{label}\r\n" for i, label in enumerate(TEST))
    return dict(zip(ZIPS, (train, test, {"GT-final_test.csv": truth.encode()}), strict=True))


def kaggle() -> dict[str, bytes]:
    files = {
        f"Train/{c}/{c:05d}_{t:05d}_{f:05d}.png": png(image)
        for (c, t, f), image in zip(FRAMES, TRAIN_IMAGES, strict=True)
    }
    files |= {f"Test/{i:05d}.png": png(image) for i, image in enumerate(TEST_IMAGES)}
    table = "Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path\n"
    table += "".join(f"53,54,6,5,48,49,{label},Test/{i:05d}.png\n" for i, label in enumerate(TEST))
    return {**files, "Test.csv": table.encode(), "Meta.csv": b"Path\n", "Test/GT-final_test.csv": b""}


def small(image: Image) -> Image:
    """As docs/datasets.md says."""
    values = resize(image, (32, 32), order=1, mode="reflect", anti_aliasing=True)
    return np.rint(values * 255).astype(np.uint8)


def npz() -> tuple[dict[str, NDArray[np.generic]], dict[str, NDArray[np.generic]]]:
    labels, tracks, _ = np.array(FRAMES).T
    train = {
        "X_train": np.stack([small(image) for image in TRAIN_IMAGES]),
        "y_train": labels.astype(np.uint8),
        "track_train": tracks.astype(np.uint8),
    }
    test = {
        "X_test": np.stack([small(image) for image in TEST_IMAGES]),
        "y_test": np.array(TEST, np.uint8),
    }
    return train, test


def write(root: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def store(folder: Path, form: str) -> None:
    if form.startswith("official folder"):
        for name in ZIPS[:2]:
            write(folder, official()[name])
        where = {"official folder": "GTSRB/Final_Test/Images", "official folder, truth beside it": "."}[form]
        write(folder / where, official()[ZIPS[2]])
    elif form == "official zips":
        for name, files in official().items():
            (folder / name).write_bytes(zipped(files))
    elif form == "Kaggle folder":
        write(folder / "GTSRB", kaggle())
    elif form == "Kaggle zip":
        (folder / "gtsrb-german-traffic-sign.zip").write_bytes(zipped(kaggle()))
    else:
        train, test = npz()
        np.savez(folder / "gtsrb_train.npz", **train)
        np.savez(folder / "gtsrb_test.npz", **test)


FORMS = [
    "official folder",
    "official folder, truth beside it",
    "official zips",
    "Kaggle folder",
    "Kaggle zip",
    "npz",
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder in which the made-up images count as the published ones."""
    monkeypatch.setenv("MICROAI_DATA", str(tmp_path))
    for part, these in (("train", TRAIN_IMAGES), ("test", TEST_IMAGES)):
        pixels = b"".join(image.tobytes() for image in these)
        monkeypatch.setitem(gtsrb._SHA256, part, hashlib.sha256(pixels).hexdigest())
    for name, files in official().items():
        monkeypatch.setitem(gtsrb._MD5, name, hashlib.md5(zipped(files)).hexdigest())
    return tmp_path


def load() -> Dataset:
    return DATASETS["gtsrb"]().load()


@pytest.mark.parametrize("form", FORMS)
def test_the_same_from_every_container(folder: Path, form: str) -> None:
    store(folder, form)
    data = load()
    train, test = npz()
    assert data.x_train.dtype == np.float32
    np.testing.assert_array_equal(data.x_train, train["X_train"].astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(data.x_test, test["X_test"].astype(np.float32) / np.float32(255))
    assert data.y_train.tolist() == [c for c, *_ in FRAMES]
    assert data.y_test.tolist() == TEST
    assert data.subjects_train is not None
    assert len(set(data.subjects_train.tolist())) == len({(c, t) for c, t, _ in FRAMES}) == 6
    assert data.subjects_train[0] == data.subjects_train[1] != data.subjects_train[2]


def test_fingerprint_follows_the_files(folder: Path) -> None:
    store(folder, "official folder")
    kind = DATASETS["gtsrb"]()
    before = kind.fingerprint()
    assert kind.fingerprint() == before and "scikit-image" in before
    path = folder / "GTSRB" / "Final_Training" / "Images" / "00002" / "00000_00000.ppm"
    path.write_bytes(path.read_bytes() + b"\0")
    assert kind.fingerprint() != before


def test_absent(folder: Path) -> None:
    with pytest.raises(UserError, match="has no GTSRB data") as caught:
        load()
    assert "microai data fetch gtsrb" in caught.value.mend and "MICROAI_DATA" in caught.value.mend
    assert "\n" not in str(caught.value) and status()["gtsrb"] is not None


def test_half_of_it_is_not_it(folder: Path) -> None:
    store(folder, "npz")
    (folder / "gtsrb_test.npz").unlink()
    with pytest.raises(UserError, match="has no GTSRB data"):
        load()


@pytest.mark.parametrize("part", ["train", "test"])
def test_not_the_published_images(folder: Path, part: str) -> None:
    store(folder, "official folder")
    name = "Final_Training/Images/00014/00012_00029.ppm" if part == "train" else "Final_Test/Images/00001.ppm"
    path = folder / "GTSRB" / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"images that are not the published {part} part"):
        load()


def test_an_image_too_few(folder: Path) -> None:
    store(folder, "Kaggle folder")
    (folder / "GTSRB" / "Train" / "42" / "00042_00003_00007.png").unlink()
    with pytest.raises(UserError, match="has 6 images that are not the published train part"):
        load()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("Final_Test/Images/00002.ppm", None, r"00002\.ppm: is missing"),
        ("Final_Test/Images/00002.ppm", b"P6\n9 9\n255\n???", r"00002\.ppm: is damaged"),
        ("Final_Test/Images/00002.ppm", b"no image", r"00002\.ppm: is damaged"),
        ("Final_Test/Images/00002.ppm", b"P5\n2 2\n255\nabcd", r"00002\.ppm: is not an image in colour"),
        ("Final_Test/Images/GT-final_test.csv", None, r"GT-final_test\.csv: is missing"),
        ("Final_Test/Images/GT-final_test.csv", b"", "is not a table of file names"),
        ("Final_Test/Images/GT-final_test.csv", b"Filename;Class\n00000.ppm;1\n", "is not a table of file"),
        ("Final_Test/Images/GT-final_test.csv", b"Filename;ClassId\n00000.ppm;x\n", "is not a table of fi"),
        ("Final_Training/Images/00014/lost.ppm", b"", r"lost\.ppm: is not named"),
    ],
)
def test_a_file_missing_or_damaged(folder: Path, name: str, content: bytes | None, message: str) -> None:
    store(folder, "official folder")
    path = folder / "GTSRB" / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        load()
    assert "\n" not in str(caught.value)


def test_no_test_part(folder: Path) -> None:
    store(folder, "official folder")
    shutil.rmtree(folder / "GTSRB" / "Final_Test")
    with pytest.raises(UserError, match="is missing"):
        load()


@pytest.mark.parametrize("name", [ZIPS[0], "gtsrb-german-traffic-sign.zip", "gtsrb_train.npz"])
def test_truncated(folder: Path, name: str) -> None:
    store(folder, {ZIPS[0]: "official zips", "gtsrb_train.npz": "npz"}.get(name, "Kaggle zip"))
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="is not a whole"):
        load()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"track_train": None}, "lacks an array"),
        ({"X_train": np.zeros((7, 3, 32, 32), np.uint8)}, r"not uint8 \(N, 32, 32, 3\)"),
        ({"X_train": np.zeros((7, 32, 32, 3), np.float32)}, r"not uint8 \(N, 32, 32, 3\)"),
        ({"y_train": np.full(7, 43)}, "labels 43..43 for 43 classes"),
        ({"track_train": np.zeros(6, np.uint8)}, "7 images, 7 labels and 6 tracks"),
    ],
)
def test_npz_of_another_layout(folder: Path, change: dict[str, np.ndarray], message: str) -> None:
    store(folder, "npz")
    train, _ = npz()
    arrays = {name: value for name, value in {**train, **change}.items() if value is not None}
    np.savez(folder / "gtsrb_train.npz", **arrays)
    with pytest.raises(UserError, match=message):
        load()


def test_without_scikit_image_one_line_says_what_to_install(folder: Path) -> None:
    """The .npz files need no image library, the published images do."""
    code = (
        "import sys; sys.modules['skimage'] = None\n"
        "import importlib.metadata as m; was = m.version\n"
        "def version(name):\n"
        "    if name == 'scikit-image': raise m.PackageNotFoundError(name)\n"
        "    return was(name)\n"
        "m.version = version\n"
        "from microai.train.datasets import DATASETS\n"
        "from microai.errors import UserError\n"
        "try: DATASETS['gtsrb']().fingerprint(); print('there')\n"
        "except UserError as error: print(error)\n"
    )

    def answer() -> str:
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()

    store(folder, "npz")
    assert answer() == "there"
    store(folder, "official zips")
    assert answer() == ("data set gtsrb: scikit-image is not installed; pip install 'microai[train]'")


def test_fetch_stores_what_proves_to_be_published(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = folder / "server"
    server.mkdir()
    store(server, "official zips")
    monkeypatch.setattr(gtsrb, "_URL", server.as_uri())
    assert fetch("gtsrb") == folder
    assert load().y_test.tolist() == TEST


def test_fetch_keeps_nothing_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = folder / "server"
    server.mkdir()
    store(server, "official zips")
    (server / ZIPS[0]).write_bytes((server / ZIPS[0]).read_bytes()[:-1])
    monkeypatch.setattr(gtsrb, "_URL", server.as_uri())
    with pytest.raises(UserError, match=r"did not give the published data: .*md5 differs"):
        fetch("gtsrb")
    shutil.rmtree(server)
    assert list(folder.iterdir()) == []


def test_fetch_offline_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_internet(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", no_internet)
    with pytest.raises(UserError, match="cannot download") as caught:
        fetch("gtsrb")
    assert "\n" not in str(caught.value) and ZIPS[0] in caught.value.mend


def test_the_published_one() -> None:
    """Counts of each class, and a validation split that no sign is on both sides of."""
    data = load_or_skip("gtsrb")
    assert (data.x_train.shape, data.x_test.shape) == ((39209, 32, 32, 3), (12630, 32, 32, 3))
    assert np.bincount(data.y_train)[:6].tolist() == [210, 2220, 2250, 1410, 1980, 1860]
    assert np.bincount(data.y_test)[:6].tolist() == [60, 720, 750, 450, 660, 630]
    assert data.x_train.min() == 0 and data.x_train.max() == 1
    assert data.subjects_train is not None and len(np.unique(data.subjects_train)) == 1307
    whole = Split.of(data)
    with pytest.raises(UserError, match=r'set params\.by = "subject"'):
        ValidationSplit(by="vector").apply(whole)
    # The arrays' places instead of their pixels: 0.6 GB of copies less.
    place = np.arange(len(data.y_train), dtype=np.float32)[:, np.newaxis]
    after = ValidationSplit(fraction=0.2).apply(Split(**{**vars(whole), "x_train": place}))
    moved, kept = (data.subjects_train[x[:, 0].astype(int)] for x in (after.x_valid, after.x_train))
    assert not set(moved) & set(kept)
    assert set(after.y_valid) == set(after.y_train) == set(range(43))
    assert 0.15 < len(after.x_valid) / len(data.y_train) <= 0.2
