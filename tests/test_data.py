from __future__ import annotations

import io
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from course_utils import data as data_module
from course_utils.data import (
    DataError,
    ImageSet,
    cache_dir,
    load_dataset,
    load_photograph,
    read_npz,
    write_npz,
)

SHIPPED = Path(data_module.__file__).parent / "assets" / "fashion_mnist_small.npz"
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


def arrays(train: int = 40, test: int = 8, size: int = 5, channels: int | None = None) -> dict:
    shape = (size, size) if channels is None else (size, size, channels)
    random = np.random.default_rng(0)
    return {
        "train_images": random.integers(0, 256, (train, *shape), dtype=np.uint8),
        "train_labels": np.arange(train, dtype=np.uint8) % 4,
        "test_images": random.integers(0, 256, (test, *shape), dtype=np.uint8),
        "test_labels": np.arange(test, dtype=np.uint8) % 4,
        "classes": np.array(["cat", "dog", "hen", "owl"]),
    }


def save(path: Path, **changes) -> Path:
    content = {**arrays(), **changes}
    np.savez_compressed(path, **{key: value for key, value in content.items() if value is not None})
    return path


# The shipped set


def test_the_shipped_set():
    data = load_dataset("fashion-mnist")
    assert data.source == "shipped"
    assert str(data) == repr(data)
    assert str(data) == (
        "Fashion-MNIST: 9,000 training, 1,000 validation and 2,000 test pictures of 1×28×28, "
        "10 classes"
    )
    assert data.image_shape == (1, 28, 28)
    assert data.classes[9] == "Ankle boot"
    assert data.train.images.is_contiguous()
    with np.load(SHIPPED) as file:
        assert torch.equal(data.test.images[:, 0], torch.from_numpy(file["test_images"]))
        assert data.test.labels.tolist() == file["test_labels"].tolist()


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


def test_no_validation_part():
    data = load_dataset("fashion-mnist", validation=0)
    assert (len(data.train), len(data.validation)) == (10_000, 0)
    assert data.validation.images.shape == (0, 1, 28, 28)


@pytest.mark.parametrize("share", [1.0, -0.1, 1, float("nan"), True])
def test_impossible_shares(share):
    with pytest.raises(DataError, match="share from 0 to below 1"):
        load_dataset("fashion-mnist", validation=share)


@pytest.mark.parametrize("settings", [{"validation": 1e-6}, {"validation": 0.9999}, {"seed": -1}])
def test_splits_that_scikit_learn_refuses(settings):
    with pytest.raises(DataError, match="cannot be set aside"):
        load_dataset("fashion-mnist", **settings)


def test_loading_is_quick():
    load_dataset("fashion-mnist")  # scikit-learn is imported now
    times = []
    for _ in range(5):
        start = time.process_time()
        load_dataset("fashion-mnist")
        times.append(time.process_time() - start)
    assert min(times) < 0.3


def test_the_import_is_light():
    heavy = {"sklearn", "torchvision", "pandas", "scipy", "matplotlib", "PIL", "tqdm", "IPython"}
    code = (
        "import sys, torch; before = set(sys.modules); import course_utils.data; "
        "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "course_utils" in run.stdout.split()
    assert not heavy & set(run.stdout.split())


def test_the_photograph():
    picture = load_photograph()
    assert (picture.shape, picture.dtype) == ((3, 256, 256), torch.uint8)
    assert picture.is_contiguous()
    # A ginger cat: red before green before blue, and from black to nearly white.
    red, green, blue = picture.double().mean(dim=(1, 2)).tolist()
    assert red > green > blue
    assert picture.max() - picture.min() > 200


# The search


def test_the_reader_s_folder_comes_first_then_the_cache(folders):
    own, cache = folders
    save(cache / "pets.npz")
    assert load_dataset("pets").source == "cache"
    save(own / "pets.npz", **arrays(train=80))
    data = load_dataset("pets")
    assert data.source == "COURSE_DATA_DIR"
    assert str(data) == "pets: 72 training, 8 validation and 8 test pictures of 1×5×5, 4 classes"
    (own / "fashion_mnist_small.npz").write_bytes(SHIPPED.read_bytes())
    assert load_dataset("fashion-mnist").source == "COURSE_DATA_DIR"


def test_a_damaged_file_is_not_passed_over(folders):
    own, _ = folders
    (own / "fashion_mnist_small.npz").write_bytes(SHIPPED.read_bytes()[:100_000])
    with pytest.raises(DataError, match="damaged"):
        load_dataset("fashion-mnist")


def test_a_folder_that_is_not_there_is_passed_over_but_named(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "gone"))
    assert load_dataset("fashion-mnist").source == "shipped"
    with pytest.raises(DataError, match="gone, which is no folder"):
        load_dataset("pets")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CIFAR-10", "'cifar10'"),
        ("cifer10", "'cifar10'"),
        ("fashion_mnist", "'fashion-mnist'"),
        ("FashionMNIST", "'fashion-mnist'"),
        ("pats", "'pets'"),
    ],
)
def test_close_names_are_offered(folders, name, meant):
    save(folders[0] / "pets.npz")
    with pytest.raises(DataError, match=f"no data set '{name}'; did you mean {meant}"):
        load_dataset(name)


def test_without_a_close_name_all_are_listed(folders):
    save(folders[1] / "pets.npz")
    with pytest.raises(DataError, match="there are 'pets', 'fashion-mnist', 'cifar10'"):
        load_dataset("xyzzy")


@pytest.mark.parametrize("name", ["../pets", "/etc/passwd", "", "a/b", "a\\b", ".hidden", None, 3])
def test_a_path_is_no_name(name):
    with pytest.raises(DataError, match="no name of a data set"):
        load_dataset(name)


def test_an_absent_cifar10_says_what_to_do(folders):
    with pytest.raises(DataError, match=r"CIFAR-10 is not on this computer.*download=True"):
        load_dataset("cifar10")
    assert not [path for folder in folders for path in folder.iterdir()]


def test_other_names_cannot_be_downloaded():
    with pytest.raises(DataError, match="Only 'cifar10' can be downloaded"):
        load_dataset("pets", download=True)


def test_a_download_is_used_once_and_then_the_cache(folders, monkeypatch):
    def fetch(folder: Path) -> Path:
        save(folder / "pets.npz")
        return folder / "pets.npz"

    monkeypatch.setattr(data_module, "_downloads", lambda: {"pets": fetch})
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


# Never one data set for another


def cifar10_arrays(per_class: tuple[int, int] = (5000, 1000), size: int = 32) -> dict:
    """CIFAR-10 in shape and number, all black."""
    content = {"classes": np.array(data_module._KNOWN["cifar10"].classes)}
    for part, count in zip(("train", "test"), per_class, strict=True):
        content[f"{part}_labels"] = np.repeat(np.arange(10, dtype=np.uint8), count)
        content[f"{part}_images"] = np.zeros((count * 10, size, size, 3), np.uint8)
    return content


def test_a_file_in_the_shape_of_cifar10_is_accepted(folders):
    np.savez(folders[0] / "cifar10.npz", **cifar10_arrays())
    assert str(load_dataset("cifar10")) == (
        "CIFAR-10: 45,000 training, 5,000 validation and 10,000 test pictures of 3×32×32, "
        "10 classes"
    )


def uneven(content: dict) -> dict:
    content["train_labels"][0] = 1
    return content


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (lambda: dict(np.load(SHIPPED)), "pictures are 1×28×28, where CIFAR-10 has 3×32×32"),
        (lambda: cifar10_arrays((500, 100)), "has 5,000 training and 1,000 test pictures"),
        (lambda: uneven(cifar10_arrays()), "same number of every class"),
        (lambda: cifar10_arrays((50, 10), size=28), "pictures are 3×28×28"),
        (
            lambda: {
                **cifar10_arrays((5, 1)),
                "classes": np.array([f"class {i}" for i in range(10)]),
            },
            "its classes are class 0, class 1",
        ),
    ],
    ids=["Fashion-MNIST", "fewer", "uneven", "smaller", "other classes"],
)
def test_another_data_set_under_the_name_of_cifar10_is_refused(folders, content, text):
    path = folders[0] / "cifar10.npz"
    np.savez(path, **content())
    before = path.stat()
    with pytest.raises(DataError, match=f"does not hold CIFAR-10: .*{text}"):
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


# Damaged and wrong files


@pytest.fixture(scope="module", params=[np.savez, np.savez_compressed])
def good_bytes(request) -> bytes:
    buffer = io.BytesIO()
    request.param(buffer, **arrays())
    return buffer.getvalue()


def same(one: tuple[ImageSet, ImageSet], other: tuple[ImageSet, ImageSet]) -> bool:
    return all(
        torch.equal(a.images, b.images)
        and torch.equal(a.labels, b.labels)
        and a.classes == b.classes
        for a, b in zip(one, other, strict=True)
    )


def test_truncated_files(tmp_path, good_bytes):
    path = tmp_path / "pets.npz"
    lengths = {0, 1, 10, 100, *range(200, len(good_bytes), 97), len(good_bytes) - 1}
    for length in lengths:
        path.write_bytes(good_bytes[:length])
        with pytest.raises(DataError, match="damaged"):
            read_npz(path)
        assert path.stat().st_size == length


def test_files_with_a_byte_changed(tmp_path, good_bytes):
    """Each is refused with a sentence, or reads exactly as it did (a date, say, was hit)."""
    path = tmp_path / "pets.npz"
    path.write_bytes(good_bytes)
    good = read_npz(path)
    refused = 0
    places = range(0, len(good_bytes), 11)
    for place in places:
        changed = bytearray(good_bytes)
        changed[place] ^= 0xFF if place % 2 else 0x10
        path.write_bytes(changed)
        try:
            assert same(read_npz(path), good), f"byte {place} went unnoticed"
        except DataError as error:
            refused += 1
            assert str(path) in str(error)
            assert "\n" not in str(error)
    assert refused > len(places) / 2


@pytest.mark.parametrize("key", list(arrays()))
def test_missing_keys(tmp_path, key):
    with pytest.raises(DataError, match=f"lacks {key}: a data set needs train_images"):
        read_npz(save(tmp_path / "pets.npz", **{key: None}))


GOOD = arrays()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"train_images": GOOD["train_images"].astype(np.float32)}, "train_images.*not float32"),
        ({"test_images": GOOD["test_images"].astype(np.int64)}, "test_images must be uint8"),
        ({"train_images": GOOD["train_images"].reshape(40, 25)}, "not uint8 of shape 40×25"),
        ({"train_images": np.zeros((40, 3, 32, 32), np.uint8)}, "N×H×W×C.*not.*40×3×32×32"),
        ({"train_images": np.uint8(3)}, r"of shape \(\)"),
        ({"train_images": np.zeros((0, 5, 5), np.uint8)}, "train_images is empty"),
        ({"test_images": np.zeros((8, 4, 5), np.uint8)}, "must be of one shape"),
        ({"train_labels": GOOD["train_labels"][:-1]}, "must be 40 whole numbers"),
        ({"train_labels": GOOD["train_labels"].astype(float)}, "train_labels must be 40 whole"),
        ({"train_labels": GOOD["train_labels"].astype(bool)}, "train_labels must be 40 whole"),
        ({"test_labels": np.arange(8, dtype=np.uint8)}, "test_labels run from 0 to 7.*4 classes"),
        ({"test_labels": np.full(8, -1)}, "test_labels run from -1 to -1"),
        ({"test_labels": np.full(8, 2**64 - 1, np.uint64)}, "test_labels run from"),
        ({"classes": np.array(["cat", "cat", "hen", "owl"])}, "list of different names"),
        ({"classes": np.arange(4)}, "saved as text, not int64"),
        (
            {"classes": np.array(["cat", "dog", "hen", "owl"], dtype=object)},
            "no .npz file of plain",
        ),
    ],
)
def test_wrong_arrays(tmp_path, changes, text):
    with pytest.raises(DataError, match=text) as caught:
        read_npz(save(tmp_path / "pets.npz", **changes))
    assert str(tmp_path / "pets.npz") in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x93NUMPY\x01\x00", b"PK\x05\x06" + b"\0" * 18]
)
def test_files_of_another_kind(tmp_path, content):
    path = tmp_path / "pets.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"damaged|lacks"):
        read_npz(path)


def test_a_header_that_promises_too_much(tmp_path):
    path = tmp_path / "pets.npz"
    header = io.BytesIO()
    huge = {"descr": "|u1", "fortran_order": False, "shape": (2**40, 28, 28)}
    np.lib.format.write_array_header_1_0(header, huge)
    with zipfile.ZipFile(save(path), "a") as archive, pytest.warns(UserWarning):
        archive.writestr("train_images.npy", header.getvalue())
    with pytest.raises(DataError, match="damaged"):
        read_npz(path)


def test_an_array_with_something_behind_it(tmp_path):
    path = tmp_path / "pets.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for key, array in arrays().items():
            content = io.BytesIO()
            np.save(content, array)
            more = b"?" if key == "test_labels" else b""
            archive.writestr(f"{key}.npy", content.getvalue() + more)
    with pytest.raises(DataError, match="test_labels.npy is longer than it says"):
        read_npz(path)


def test_colour_pictures_have_their_channels_first(tmp_path):
    content = arrays(channels=3)
    train, test = read_npz(save(tmp_path / "pets.npz", **content))
    assert train.images.shape == (40, 3, 5, 5)
    assert train.images[7, 2, 1, 4] == content["train_images"][7, 1, 4, 2]
    assert train.labels.dtype == torch.int64
    assert len(test) == 8


def test_a_class_with_one_picture_cannot_be_split(folders):
    save(folders[0] / "pets.npz", train_labels=np.array([3] + [0] * 39, np.uint8))
    with pytest.raises(DataError, match="cannot be set aside"):
        load_dataset("pets")


# Writing


@pytest.mark.parametrize("channels", [None, 3])
def test_what_is_written_is_read(tmp_path, channels):
    parts = read_npz(save(tmp_path / "pets.npz", **arrays(channels=channels)))
    write_npz(tmp_path / "new" / "copy.npz", *parts)
    assert same(read_npz(tmp_path / "new" / "copy.npz"), parts)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["copy.npz"]


def test_writing_that_fails_leaves_nothing_and_harms_nothing(tmp_path, monkeypatch):
    path = save(tmp_path / "pets.npz")
    parts, before = read_npz(path), path.read_bytes()

    def full_disk(file, **arrays):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_npz(path, *parts)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_file()] == ["pets.npz"]
