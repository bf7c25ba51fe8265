from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.data import (
    DataError,
    ImageSet,
    labelled_pictures,
    load_folder,
    read_pictures,
)
from course_utils.data.folder import split_for_test, square

RED, BLUE = (200, 30, 30), (30, 30, 200)


def picture(colour=RED, size=(40, 30), mode="RGB", **options):
    return Image.new("RGB", size, colour).convert(mode), options


@pytest.fixture
def pets(tmp_path):
    """A folder of red cats and blue dogs, of many kinds of files."""
    kinds = {
        "cat": [
            ("a.jpg", picture()),
            ("b.png", picture(mode="RGBA")),
            ("C.PNG", picture(mode="P")),
            ("deep/d.webp", picture(size=(300, 200))),
        ],
        "dog": [("e.gif", picture(BLUE)), ("f.bmp", picture(BLUE)), ("g.tif", picture(BLUE))],
    }
    for name, files in kinds.items():
        for file, (image, options) in files:
            path = tmp_path / "pets" / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path, **options)
    return tmp_path / "pets"


def test_sub_folders_are_classes(pets):
    (pets / "cat" / ".DS_Store").write_bytes(b"x")
    (pets / "dog" / "Thumbs.db").write_bytes(b"x")
    (pets / ".git").mkdir()
    data = load_folder(pets, size=16)
    assert (data.name, data.classes, data.image_shape) == ("pets", ("cat", "dog"), (3, 16, 16))
    assert [len(data.train), len(data.validation), len(data.test)] == [5, 0, 2]
    for part in (data.train, data.test):
        reds = part.images[:, 0].float().mean((1, 2)) > 100
        assert reds.tolist() == (part.labels == 0).tolist()
    again, other = load_folder(pets, size=16), load_folder(pets, size=16, seed=3)
    assert torch.equal(data.test.images, again.test.images)
    assert len(other.test) == 2


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK", "I;16", "F"])
def test_every_kind_of_pixels_becomes_colour(mode):
    file = io.BytesIO()
    values = np.full((12, 20), 255)
    image = (
        Image.fromarray(values.astype({"I;16": np.uint16, "F": np.float32}[mode]))
        if mode in ("I;16", "F")
        else Image.new("RGB", (20, 12), "white").convert(mode)
    )
    image.save(file, "TIFF")
    found = labelled_pictures({"a": [file], "b": iter([io.BytesIO(file.getvalue())])}, size=8)
    assert found.images.shape == (2, 3, 8, 8) and found.classes == ("a", "b")
    assert len(found.images.unique()) == 1


def test_turned_as_the_camera_was_held_and_the_middle_cut_out(tmp_path):
    values = np.zeros((20, 60, 3), np.uint8)
    values[:, :20], values[:, 20:40], values[:, 40:] = 255, (0, 255, 0), 9
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn to the right
    path = tmp_path / "a.png"
    Image.fromarray(values).save(path, exif=exif)
    found = labelled_pictures({"a": [path], "b": [path]}, size=20).images[0]
    assert (found[1] == 255).all() and (found[0] == 0).all()
    wide = torch.arange(60, dtype=torch.uint8).expand(3, 4, 60)
    assert square(wide, 4)[0, 0].tolist() == [28, 29, 30, 31]


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("cat/broken.jpg", b"no picture", "1 of 8 files cannot be used.*broken.jpg is not a pict"),
        ("cat/empty.png", b"", "empty.png"),
        ("cat/photo.HEIC", b"x", "photo.HEIC is not a picture that can be read here"),
        ("dog/notes.txt", b"x", "notes.txt is not a picture"),
        ("loose.jpg", b"x", "loose.jpg in .* is in no class"),
        ("hen/one.jpg", None, "hen has 1 picture, but a class needs at least two"),
        ("owl/.hidden", b"", "owl has no pictures"),
    ],
)
def test_what_cannot_be_used_is_named_and_nothing_is_left_out(pets, file, content, words):
    path = pets / file
    path.parent.mkdir(exist_ok=True)
    if content is None:
        picture()[0].save(path)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        load_folder(pets)


def test_a_cut_photograph_and_many_broken_files(pets):
    whole = (pets / "cat" / "a.jpg").read_bytes()
    for number in range(5):
        (pets / "dog" / f"cut{number}.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"5 of 12 files cannot be used.*cut2.jpg.*\.\.\.$") as info:
        load_folder(pets)
    assert "cut3" not in str(info.value)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "has no sub-folder"),
        (["cat"], "only one sub-folder, cat"),
        (["train", "Test"], "look like parts of a data set"),
        (None, "There is no folder"),
    ],
)
def test_folders_that_are_no_classes(tmp_path, names, words):
    path = tmp_path / "set"
    for name in names or ():
        (path / name).mkdir(parents=True)
        picture()[0].save(path / name / "a.png")
    if names == []:
        path.mkdir()
    with pytest.raises(DataError, match=words):
        load_folder(path)


@pytest.mark.parametrize("change", [{"test": 0}, {"test": 1.0}, {"size": 0}, {"seed": -1}])
def test_impossible_settings(pets, change):
    with pytest.raises(DataError, match=next(iter(change))):
        load_folder(pets, **change)


def test_each_class_is_in_both_parts():
    labels = torch.tensor([0] * 2 + [1] * 9 + [2] * 40)
    images = torch.arange(51, dtype=torch.uint8).reshape(51, 1, 1, 1)
    data = split_for_test(ImageSet(images, labels, ("a", "b", "c")), "abc", test=0.2)
    assert torch.bincount(data.test.labels).tolist() == [1, 2, 8]
    both = torch.cat([data.train.images, data.test.images]).flatten()
    assert both.sort().values.tolist() == list(range(51))


def test_classes_without_pictures():
    for files, words in (
        ({"a": [], "b": []}, "no picture of a, b"),
        ({"a": []}, "only the class"),
    ):
        with pytest.raises(DataError, match=words):
            labelled_pictures(files)


def test_pictures_without_classes(pets):
    paths = sorted(pets.glob("*/*.*"))
    found = read_pictures(paths, size=16)
    assert found.shape == (6, 3, 16, 16) and found.dtype == torch.uint8
    (pets / "x.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1 of 2 files cannot be used.*x\.jpg"):
        read_pictures([paths[0], pets / "x.jpg"])
    with pytest.raises(DataError, match=r"1 of 1 file cannot"):
        read_pictures([pets / "x.jpg"])
    with pytest.raises(DataError, match="no picture"):
        read_pictures([])
