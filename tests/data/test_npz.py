"""The file of a data set: damaged files, wrong files, writing."""

from __future__ import annotations

import io
import os
import zipfile

import numpy as np
import pytest
import torch

from course_utils.data import DataError, ImageSet, read_npz, write_npz
from tests.own_data import arrays, save

# Damaged and wrong files


@pytest.fixture(scope="module", params=[np.savez, np.savez_compressed])
def good_bytes(request) -> bytes:
    buffer = io.BytesIO()
    request.param(buffer, **arrays())
    return buffer.getvalue()


def same(one: tuple[ImageSet, ImageSet], other: tuple[ImageSet, ImageSet]) -> bool:
    def content(part: ImageSet) -> tuple:
        return part.images.tolist(), part.labels.tolist(), part.classes

    return [*map(content, one)] == [*map(content, other)]


def test_truncated_files(tmp_path, good_bytes):
    path = tmp_path / "pets.npz"
    for length in {0, 1, 10, 100, *range(200, len(good_bytes), 197), len(good_bytes) - 1}:
        path.write_bytes(good_bytes[:length])
        with pytest.raises(DataError, match="damaged"):
            read_npz(path)
        assert path.stat().st_size == length


def test_files_with_a_byte_changed(tmp_path, good_bytes):
    """Each is refused, or is read exactly as before (because a date was hit, for example)."""
    path = tmp_path / "pets.npz"
    path.write_bytes(good_bytes)
    good = read_npz(path)
    refused = 0
    places = range(0, len(good_bytes), 23)
    for place in places:
        changed = bytearray(good_bytes)
        changed[place] ^= 0xFF if place % 2 else 0x10
        path.write_bytes(changed)
        try:
            assert same(read_npz(path), good), f"byte {place} went unnoticed"
        except DataError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
    assert refused > len(places) / 2


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
        ({"test_images": np.zeros((8, 4, 5), np.uint8)}, "must have the same shape"),
        ({"train_labels": GOOD["train_labels"][:-1]}, "must be 40 whole numbers"),
        ({"train_labels": GOOD["train_labels"].astype(float)}, "train_labels must be 40 whole"),
        ({"train_labels": GOOD["train_labels"].astype(bool)}, "train_labels must be 40 whole"),
        ({"test_labels": np.arange(8, dtype=np.uint8)}, "test_labels run from 0 to 7.*4 classes"),
        ({"test_labels": np.full(8, -1)}, "test_labels run from -1 to -1"),
        ({"test_labels": np.full(8, 2**64 - 1, np.uint64)}, "test_labels run from"),
        ({"classes": np.array(["cat", "cat", "hen", "owl"])}, "list of different names"),
        ({"classes": np.arange(4)}, "saved as text, not int64"),
        ({"classes": GOOD["classes"].astype(object)}, "not an .npz file of plain"),
        *[({key: None}, f"has no {key}: ") for key in GOOD],
    ],
)
def test_wrong_arrays(tmp_path, changes, text):
    with pytest.raises(DataError, match=text) as caught:
        read_npz(save(tmp_path / "pets.npz", **changes))
    assert str(tmp_path / "pets.npz") in str(caught.value)


def test_files_of_another_kind(tmp_path):
    path = tmp_path / "pets.npz"
    for content in (b"", b"hello", b"\x93NUMPY\x01\x00", b"PK\x05\x06" + b"\0" * 18):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"damaged|has no"):
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


def claiming(path, **shapes):
    """Write a file whose headers claim arrays of these shapes, but which holds only the headers."""
    types = dict.fromkeys(("train_images", "test_images"), "|u1") | {"classes": "<U3"}
    with zipfile.ZipFile(path, "w") as archive:
        for key, array in arrays().items():
            header = io.BytesIO()
            shape = shapes.get(key, array.shape)
            about = {"descr": types.get(key, "|u1"), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(header, about)
            archive.writestr(f"{key}.npy", header.getvalue())
            size = len(header.getvalue()) + np.prod(shape) * np.dtype(about["descr"]).itemsize
            archive.getinfo(f"{key}.npy").file_size = int(size)  # in the table at the end
    return path


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        ({"train_images": (40, 10_000, 10_000), "test_images": (8, 10_000, 10_000)}, "4,800 MB"),
        ({"train_images": (10**6, 28, 28), "train_labels": (10**6,)}, "same shape"),
        ({"classes": (10**8,)}, r"1,200 MB of memory.*numpy\.savez"),
        ({"train_labels": (10**9,)}, "must be 40 whole numbers"),
        ({"train_images": (2**40, 28, 28)}, "train_labels must be 1099511627776 whole"),
        ({"train_images": (40, 5, 5, 10**9)}, "with 1 to 4 channels"),
    ],
)
def test_claims_of_huge_arrays_are_refused_before_one_is_read(tmp_path, monkeypatch, shapes, text):
    monkeypatch.setattr(np.lib.format, "read_array", None)
    with pytest.raises(DataError, match=text):
        read_npz(claiming(tmp_path / "pets.npz", **shapes))


def test_pictures_of_one_colour_may_be_small_files(tmp_path):
    plain = {key: np.zeros_like(value) for key, value in arrays(train=4000, size=50).items()}
    path = save(tmp_path / "pets.npz", **plain | {"classes": GOOD["classes"]})
    assert path.stat().st_size * 100 < read_npz(path)[0].images.nbytes


def test_a_path_that_is_not_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "round.npz").symlink_to("round.npz")
    for name, text in (("pipe", "a pipe"), ("round", "circle"), ("", "folder"), ("a", "no file")):
        with pytest.raises(DataError, match=text):
            read_npz(tmp_path / (name and f"{name}.npz"))


def test_an_array_with_something_behind_it(tmp_path):
    path = tmp_path / "pets.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for key, array in arrays().items():
            content = io.BytesIO()
            np.save(content, array)
            more = b"?" if key == "test_labels" else b""
            archive.writestr(f"{key}.npy", content.getvalue() + more)
    with pytest.raises(DataError, match=r"test_labels\.npy is longer"):
        read_npz(path)


@pytest.mark.parametrize("channels", [None, 3])
def test_pictures_have_their_channels_first_and_what_is_written_is_read(tmp_path, channels):
    content = arrays(channels=channels)
    train, test = parts = read_npz(save(tmp_path / "pets.npz", **content))
    assert train.images.shape == (40, channels or 1, 5, 5)
    pictures = content["train_images"].reshape(40, 5, 5, -1)
    assert np.array_equal(train.images.permute(0, 2, 3, 1), pictures)
    assert train.labels.dtype == torch.int64 and len(test) == 8
    write_npz(tmp_path / "new" / "copy.npz", *parts)
    assert same(read_npz(tmp_path / "new" / "copy.npz"), parts)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["copy.npz"]
