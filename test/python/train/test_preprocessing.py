"""z-score and validation split."""

from __future__ import annotations

import numpy as np
import pytest
from microai.errors import UserError
from microai.train.dataset import Dataset
from microai.train.preprocessing import Split, ValidationSplit, ZScore


def split(subjects: bool = True, constant: bool = False) -> Split:
    random = np.random.default_rng(1)
    x = random.normal((1, -50, 1000), (0.1, 3, 40), size=(120, 16, 3)).astype(np.float32)
    if constant:
        x[:, :, 1] = 7
    who = np.repeat(np.arange(10, 16), 20).astype(np.int32)
    y = (np.arange(120) % 4).astype(np.int32)
    dataset = Dataset(
        name="made_up",
        x_train=x[:100],
        y_train=y[:100],
        x_test=x[100:],
        y_test=y[100:],
        classes=tuple("abcd"),
        unit="-",
        rate=None,
        subjects_train=who[:100] if subjects else None,
        subjects_test=who[100:] if subjects else None,
        licence="-",
        citation="-",
    )
    return Split.of(dataset)


def test_zscore_takes_its_numbers_from_the_training_part_alone() -> None:
    before = split()
    after = ZScore().apply(before)
    np.testing.assert_allclose(after.x_train.mean((0, 1)), 0, atol=1e-4)
    np.testing.assert_allclose(after.x_train.std((0, 1)), 1, atol=1e-4)
    changed = ZScore().apply(Split(**{**vars(before), "x_test": before.x_test * 5 + 3}))
    assert (changed.x_train == after.x_train).all() and (changed.mean == after.mean).all()


def test_zscore_tells_how_to_do_it_to_new_vectors() -> None:
    before = split()
    once = ZScore(axis="all").apply(before)
    assert once.mean.shape == once.scale.shape == (1, 1)
    twice = ZScore().apply(once)
    assert twice.x_train.dtype == twice.mean.dtype == np.float32
    np.testing.assert_allclose((before.x_test - twice.mean) / twice.scale, twice.x_test, atol=1e-3)


def test_zscore_of_a_constant_channel_is_zero() -> None:
    after = ZScore().apply(split(constant=True))
    assert (after.x_train[:, :, 1] == 0).all() and np.isfinite(after.x_test).all()


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5, 0.99])
@pytest.mark.parametrize("seed", [0, 1])
def test_split_by_subject_separates_people(fraction: float, seed: int) -> None:
    before = split()
    after = ValidationSplit(fraction=fraction, seed=seed).apply(before)
    assert len(after.x_train) + len(after.x_valid) == 100
    assert 20 <= len(after.x_valid) <= max(20, fraction * 100)
    assert after.subjects is not None and len(after.subjects) == len(after.x_train) > 0
    kept = set(after.subjects.tolist())
    known = {bytes(x): who for who, x in zip(before.subjects.tolist(), before.x_train, strict=True)}
    moved = {known[bytes(x)] for x in after.x_valid}
    assert moved and not kept & moved
    assert (after.x_test == before.x_test).all()


def test_split_by_vector_takes_the_same_share_of_each_class() -> None:
    before = split(subjects=False)
    after = ValidationSplit(by="vector", fraction=0.2).apply(before)
    assert np.bincount(after.y_valid).tolist() == [5, 5, 5, 5]
    everything = np.concatenate([after.x_train, after.x_valid])
    assert sorted(map(bytes, everything)) == sorted(map(bytes, before.x_train))


def test_split_seed_chooses() -> None:
    one, same, other = (ValidationSplit(by="vector", seed=seed).apply(split()).x_valid for seed in (1, 1, 2))
    assert (one == same).all() and not (one == other).all()


def signs() -> Split:
    """5 classes of 3 to 7 subjects, each of one class and 2 to 9 vectors, as GTSRB has."""
    random = np.random.default_rng(4)
    owner = [(c, s) for c in range(5) for s in range(3 + c) for _ in range(random.integers(2, 10))]
    y, number = np.array(owner, np.int32).T
    x = np.arange(len(y), dtype=np.float32).reshape(-1, 1, 1)
    return Split(**{**vars(split()), "x_train": x, "y_train": y, "subjects": 100 * y + number})


@pytest.mark.parametrize("seed", range(5))
def test_subjects_of_one_class_each_are_split_within_each_class(seed: int) -> None:
    before = signs()
    after = ValidationSplit(fraction=0.4, seed=seed).apply(before)
    assert before.subjects is not None and after.subjects is not None
    moved = before.subjects[after.x_valid.ravel().astype(int)]
    assert not set(moved) & set(after.subjects)
    assert sorted([*moved, *after.subjects]) == sorted(before.subjects)
    for label in range(5):
        mine = before.subjects[before.y_train == label]
        taken = [person for person in moved if person // 100 == label]
        assert taken and set(mine) - set(taken)
        assert len(taken) <= 0.4 * len(mine) or len(set(taken)) == 1


def test_vectors_of_one_thing_are_never_split() -> None:
    with pytest.raises(UserError, match=r'come several from one subject; set params\.by = "subject"'):
        ValidationSplit(by="vector").apply(signs())
    each = signs()
    alone = Split(**{**vars(each), "subjects": np.arange(len(each.y_train), dtype=np.int32)})
    assert len(ValidationSplit(by="vector").apply(alone).x_valid)


def test_published_split() -> None:
    before = split()
    aside = np.arange(100) % 7 == 3
    after = ValidationSplit(by="published").apply(Split(**{**vars(before), "set_aside": aside}))
    assert (after.x_valid == before.x_train[aside]).all() and (after.y_train == before.y_train[~aside]).all()
    with pytest.raises(UserError, match="has no validation part of its own"):
        ValidationSplit(by="published").apply(before)


def test_split_mistakes() -> None:
    lonely = Split(**{**vars(split()), "subjects": np.zeros(100, np.int32)})
    with pytest.raises(UserError, match="data set made_up has one subject"):
        ValidationSplit().apply(lonely)
    one = np.r_[np.zeros(99, np.int32), 1].astype(np.int32)
    with pytest.raises(UserError, match="class 1 has one vector"):
        ValidationSplit(by="vector").apply(Split(**{**vars(split()), "y_train": one}))
    with pytest.raises(UserError, match=r'set params\.by = "vector"'):
        ValidationSplit().apply(split(subjects=False))
    with pytest.raises(UserError, match=r"given twice"):
        ValidationSplit().apply(ValidationSplit().apply(split()))
