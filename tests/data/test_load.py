from __future__ import annotations

import dataclasses
import math
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from course_utils.data import DataError, cache_dir, load_dataset
from course_utils.data import load as data_module
from tests.own_data import arrays, save
from tests.processes import as_nobody

ASSETS = Path(data_module.__file__).parents[1] / "assets"
SHIPPED = ASSETS / "fashion_mnist_small.npz"
CIFAR10 = Path(os.environ.get("COURSE_DATA_DIR") or "nowhere") / "cifar10.npz"


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch) -> tuple[Path, Path]:
    """Empty folders in place of the reader's own and of the cache."""
    own, cache = tmp_path / "own", tmp_path / "cache"
    own.mkdir()
    cache.mkdir()
    monkeypatch.setenv("COURSE_DATA_DIR", str(own))
    monkeypatch.setenv("COURSE_CACHE_DIR", str(cache))
    return own, cache


# The shipped set


def test_the_shipped_set():
    data = load_dataset("fashion-mnist")
    assert data.source == "shipped"
    assert [len(part) for part in (data.train, data.validation, data.test)] == [9000, 1000, 2000]
    assert data.image_shape == (1, 28, 28)
    assert data.classes[9] == "Ankle boot"
    assert data.train.images.is_contiguous()
    with np.load(SHIPPED) as file:
        assert torch.equal(data.test.images[:, 0], torch.from_numpy(file["test_images"]))
        assert data.test.labels.tolist() == file["test_labels"].tolist()


def test_the_shipped_emoji():
    data = load_dataset("emoji", validation=0)
    assert data.source == "shipped" and (ASSETS / "emoji.npz").stat().st_size < 1_500_000
    assert str(data) == (
        "Emoji: 240 training, 0 validation and 120 test pictures of 3×64×64, 8 classes"
    )
    # Different emoji, on white.
    both = torch.cat([data.train.images, data.test.images])
    assert len({picture.numpy().tobytes() for picture in both}) == 360
    assert both.float().mean() > 150
    notice = (ASSETS / "emoji.LICENSE.txt").read_text("utf-8")
    assert "Noto emoji of Google" in notice and "Apache License" in notice


def test_the_split_is_stratified_seeded_and_loses_nothing():
    data = load_dataset("fashion-mnist", validation=0.2, seed=5)
    assert torch.bincount(data.train.labels).tolist() == [800] * 10
    assert torch.bincount(data.validation.labels).tolist() == [200] * 10
    with np.load(SHIPPED) as file:
        original = sorted(picture.tobytes() for picture in file["train_images"])
    both = torch.cat([data.train.images, data.validation.images]).numpy()
    assert sorted(picture.tobytes() for picture in both) == original
    again = load_dataset("fashion-mnist", validation=0.2, seed=5)
    assert torch.equal(data.validation.images, again.validation.images)
    other = load_dataset("fashion-mnist", validation=0.2, seed=6)
    assert not torch.equal(data.validation.images, other.validation.images)
    none = load_dataset("fashion-mnist", validation=0)
    assert len(none.train) == 10_000 and none.validation.images.shape == (0, 1, 28, 28)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"validation": share}, "from 0 to below 1")
        for share in (1.0, -0.1, 1, math.nan, True, None, "0.1")
    ]
    + [
        ({"validation": 1e-6}, "cannot be set aside"),
        ({"validation": 0.9999}, "cannot be set aside"),
        ({"seed": -1}, "cannot be set aside"),
    ],
)
def test_impossible_splits(settings, text):
    with pytest.raises(DataError, match=text):
        load_dataset("fashion-mnist", **settings)


def test_a_class_with_one_picture_cannot_be_split(folders):
    save(folders[0] / "pets.npz", train_labels=np.array([3] + [0] * 39, np.uint8))
    with pytest.raises(DataError, match="cannot be set aside"):
        load_dataset("pets")


# The search


def test_the_readers_folder_comes_first_then_the_cache(folders):
    own, cache = folders
    save(cache / "pets.npz")
    assert load_dataset("pets").source == "cache"
    save(own / "pets.npz", **arrays(train=80))
    data = load_dataset("pets")
    assert data.source == "COURSE_DATA_DIR"
    assert str(data) == "pets: 72 training, 8 validation and 8 test pictures of 1×5×5, 4 classes"
    (own / "fashion_mnist_small.npz").write_bytes(SHIPPED.read_bytes())
    assert load_dataset("fashion-mnist").source == "COURSE_DATA_DIR"
    (own / "fashion_mnist_small.npz").write_bytes(SHIPPED.read_bytes()[:100_000])
    with pytest.raises(DataError, match="damaged"):  # it is not passed over
        load_dataset("fashion-mnist")


def test_a_folder_that_is_not_there_is_passed_over_but_named(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "gone"))
    assert load_dataset("fashion-mnist").source == "shipped"
    with pytest.raises(DataError, match="gone, which is not a folder"):
        load_dataset("pets")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CIFAR-10", "'cifar10'"),
        ("cifer10", "'cifar10'"),
        ("fashion_mnist", "'fashion-mnist'"),
        ("FashionMNIST", "'fashion-mnist'"),
        ("pats", "'pets'"),
        ("xyzzy", "'pets', 'fashion-mnist', 'cifar10', 'emoji'"),
    ],
)
def test_close_names_are_offered_or_all(folders, name, meant):
    save(folders[0] / "pets.npz")
    with pytest.raises(DataError, match=f"no data set '{name}'; (did you mean|there are) {meant}"):
        load_dataset(name)


@pytest.mark.parametrize("name", ["../pets", "/etc/passwd", "", "a/b", "a\\b", ".hidden", None, 3])
def test_a_path_is_not_a_name(name):
    with pytest.raises(DataError, match="not the name of a data set"):
        load_dataset(name)


def test_a_missing_cifar10_says_what_to_do(folders):
    with pytest.raises(DataError, match=r"CIFAR-10 is not on this computer.*download=True"):
        load_dataset("cifar10")
    assert not [path for folder in folders for path in folder.iterdir()]
    with pytest.raises(DataError, match="Only 'cifar10' can be downloaded"):
        load_dataset("pets", download=True)


def test_a_download_is_used_once_and_then_the_cache(folders, monkeypatch):
    def fetch(folder: Path) -> Path:
        save(folder / "pets.npz")
        return folder / "pets.npz"

    monkeypatch.setattr(data_module, "_DOWNLOADS", {"pets": fetch})
    assert load_dataset("pets", download=True).source == "download"
    assert load_dataset("pets", download=True).source == "cache"


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/cnn-course"),
        ("linux", {}, "/home/me/.cache/cnn-course"),
        ("darwin", {"XDG_CACHE_HOME": "/x"}, "/home/me/Library/Caches/cnn-course"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/cnn-course"),
        ("win32", {}, "/home/me/AppData/Local/cnn-course"),
        ("linux", {"COURSE_CACHE_DIR": "~/here"}, "/home/me/here"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="the expected paths are written for POSIX")
def test_the_cache_is_where_the_platform_keeps_it(monkeypatch, platform, variables, expected):
    for name in ("COURSE_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_dir().as_posix() == expected


def test_a_user_without_a_home_has_a_cache_among_the_temporary_files(monkeypatch):
    def unknown(*_):
        raise RuntimeError("Could not determine home directory.")

    for name in ("COURSE_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", unknown)
    assert cache_dir() == Path(tempfile.gettempdir()) / "cnn-course"
    assert load_dataset("fashion-mnist").source == "shipped"


def test_folders_that_may_not_be_read(folders, monkeypatch):
    def load() -> None:
        with pytest.raises(DataError, match=r"pets\.npz cannot be used.*Permission denied"):
            load_dataset("pets")
        monkeypatch.delenv("COURSE_DATA_DIR")
        assert load_dataset("fashion-mnist").source == "shipped"
        monkeypatch.setattr(data_module, "_KNOWN", {})  # now it is one of the reader's own
        with pytest.raises(DataError, match="There is no data set"):
            load_dataset("fashion_mnist_small")

    save(folders[0] / "pets.npz")
    for folder in folders:
        folder.chmod(0)
    ended = as_nobody(load)
    for folder in folders:
        folder.chmod(0o700)
    assert ended == 0


@pytest.mark.parametrize("variable", ["COURSE_DATA_DIR", "COURSE_CACHE_DIR"])
def test_a_folder_of_an_unknown_user(monkeypatch, variable):
    monkeypatch.setenv(variable, "~nobody-of-this-name/data")
    with pytest.raises(DataError, match=f"{variable}=.*full path"):
        load_dataset("fashion-mnist")


def test_what_is_not_a_file_is_not_passed_over(folders):
    os.mkfifo(folders[0] / "pets.npz")
    (folders[1] / "cats.npz").mkdir()
    (folders[1] / "dogs.npz").symlink_to("dogs.npz")
    for name, text in (("pets", "a pipe"), ("cats", "a folder"), ("dogs", "circle")):
        with pytest.raises(DataError, match=text):
            load_dataset(name)


# Never one data set for another


@pytest.fixture
def small_cifar10(monkeypatch) -> None:
    """Let CIFAR-10 have a hundredth of its pictures: 60,000 black ones take seconds."""
    known = data_module._KNOWN["cifar10"]
    assert known.per_class == (5000, 1000)
    small = dataclasses.replace(known, per_class=(50, 10))
    monkeypatch.setitem(data_module._KNOWN, "cifar10", small)


def cifar10_arrays(per_class: tuple[int, int] = (50, 10), size: int = 32, **changes) -> dict:
    """Return black pictures in the shape and number of CIFAR-10, with some arrays replaced."""
    content = {"classes": np.array(data_module._KNOWN["cifar10"].classes)}
    for part, count in zip(("train", "test"), per_class, strict=True):
        content[f"{part}_labels"] = np.repeat(np.arange(10, dtype=np.uint8), count)
        content[f"{part}_images"] = np.zeros((count * 10, size, size, 3), np.uint8)
    return content | changes


def test_a_file_in_the_shape_of_cifar10_is_accepted(folders, small_cifar10):
    np.savez(folders[0] / "cifar10.npz", **cifar10_arrays())
    assert str(load_dataset("cifar10")).startswith("CIFAR-10: 450 training, 50 validation")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (lambda: dict(np.load(SHIPPED)), "pictures are 1×28×28, but CIFAR-10 has 3×32×32"),
        (lambda: cifar10_arrays((20, 10)), "has 200 training and 100 test pictures"),
        (lambda: cifar10_arrays(train_labels=np.arange(500) % 9), "same number of every class"),
        (lambda: cifar10_arrays(size=28), "pictures are 3×28×28"),
        (lambda: cifar10_arrays(classes=np.array([*"abcdefghij"])), "its classes are a, b"),
    ],
    ids=["Fashion-MNIST", "fewer", "uneven", "smaller", "other classes"],
)
def test_another_data_set_named_cifar10_is_refused(folders, small_cifar10, content, text):
    path = folders[0] / "cifar10.npz"
    np.savez(path, **content())
    before = path.stat()
    with pytest.raises(DataError, match=f"is not CIFAR-10: .*{text}"):
        load_dataset("cifar10", download=True)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert not list(folders[1].iterdir()), "nothing was fetched in its place"


@pytest.mark.skipif(
    not CIFAR10.is_file(), reason="cifar10.npz is not in the folder that $COURSE_DATA_DIR names"
)
def test_the_real_cifar10(monkeypatch):
    monkeypatch.setenv("COURSE_DATA_DIR", str(CIFAR10.parent))
    data = load_dataset("cifar10")
    assert data.source == "COURSE_DATA_DIR"
    assert data.train.images.shape == (45_000, 3, 32, 32)
    # As published for the whole training set, often pasted as 0.4914, 0.4822, 0.4465.
    for channel, (mean, std) in enumerate([(0.491, 0.247), (0.482, 0.243), (0.447, 0.262)]):
        assert abs(data.mean[channel] - mean) < 0.002
        assert abs(data.std[channel] - std) < 0.002
