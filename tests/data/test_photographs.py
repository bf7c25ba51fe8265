from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.core import CourseError
from course_utils.data import PHOTOGRAPHS, load_photograph, photographs

ASSETS = Path(photographs.__file__).parents[1] / "assets"
RAMP = np.linspace(0, 255, 40 * 60).reshape(40, 60).astype(np.uint8)
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=2)


def test_the_cat():
    picture = load_photograph()
    assert (picture.shape, picture.dtype) == ((3, 256, 256), torch.uint8)
    assert picture.is_contiguous() and torch.equal(picture, load_photograph("cat"))
    # A ginger cat: red before green before blue, and from black to nearly white.
    red, green, blue = picture.double().mean(dim=(1, 2)).tolist()
    assert red > green > blue
    assert picture.max() - picture.min() > 200


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_shipped_photographs_are_small_and_credited(name):
    assert load_photograph(name).shape == (3, 256, 256)
    file = "chelsea.png" if name == "cat" else f"{name}.jpg"
    assert name == "cat" or (ASSETS / file).stat().st_size < 30_000
    table = (ASSETS / "README.md").read_text("utf-8").splitlines()
    row = next(line for line in table if file in line)
    _, author, licence = PHOTOGRAPHS[name].rsplit(", ", 2)
    assert author.removeprefix("by ").removeprefix("from ") in row and licence in row


def saved(tmp_path, picture, name="own.png", **options):
    picture.save(tmp_path / name, **options)
    return load_photograph(tmp_path / name)


def near(found, expected, tolerance=0):
    expected = torch.from_numpy(np.array(expected)).permute(2, 0, 1)
    assert (found.dtype, found.shape) == (torch.uint8, expected.shape)
    assert (found.int() - expected.int()).abs().max() <= tolerance


def grey(values):
    return np.repeat(values[..., None], 3, axis=2)


@pytest.mark.parametrize("name", ["own.png", "own.bmp", "own.tif", "own.webp", "own.jpg"])
def test_own_pictures(tmp_path, name):
    near(saved(tmp_path, Image.fromarray(COLOURS), name, lossless=True, quality=100), COLOURS, 8)
    with (tmp_path / name).open("rb") as file:
        assert load_photograph(file).shape == load_photograph(str(tmp_path / name)).shape


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK"])
def test_other_kinds_of_pixels(tmp_path, mode):
    picture = Image.fromarray(COLOURS).convert(mode)
    expected = np.asarray(picture.convert("RGB"))
    near(saved(tmp_path, picture, "own.tif"), expected)


@pytest.mark.parametrize(
    ("values", "white"),
    [
        (np.array([[0, 257 * 100, 65535]], np.uint16), 65535),
        (np.array([[0, 300, 65535]], np.int32), 65535),
        (np.array([[-5, 100, 255]], np.int32), 255),
        (np.array([[0, 100_000, 200_000]], np.int32), 200_000),
        (np.array([[0, 0.5, 1]], np.float32), 1),
        (np.array([[np.nan, -np.inf, 200]], np.float32), 255),
        (np.zeros((1, 3), np.uint16), 65535),
    ],
)
def test_more_than_eight_bits(tmp_path, values, white):
    expected = (np.nan_to_num(values, neginf=0).clip(0).astype(float) * (255 / white)).round()
    near(saved(tmp_path, Image.fromarray(values), "own.tif"), grey(expected.astype(np.uint8)))


def test_a_16_bit_png(tmp_path):
    near(saved(tmp_path, Image.fromarray(RAMP.astype(np.uint16) * 257)), grey(RAMP))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_white(tmp_path, mode):
    picture = Image.new("RGBA", (4, 2), (0, 0, 0, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 2, 2))
    found = saved(tmp_path, picture.convert(mode))
    assert found[0].tolist() == [[255, 255, 0, 0]] * 2


def test_the_first_picture_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (5, 4), colour) for colour in ("red", "blue")]
    for name in ("own.gif", "own.webp", "own.png"):
        options = {"save_all": True, "append_images": frames[1:], "lossless": True}
        found = saved(tmp_path, frames[0], name, **options)
        near(found, np.asarray(frames[0]))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        *(("own.jpg", COLOURS), ("own.png", COLOURS), ("own.tif", COLOURS), ("own.tif", RAMP)),
        *(("own.tif", RAMP.astype(np.uint16) * 257), ("own.jpg", RAMP)),
    ],
)
def test_as_the_camera_was_held(tmp_path, orientation, name, pixels):
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = saved(tmp_path, Image.fromarray(pixels), name, exif=exif, quality=100)
    across = orientation >= 5
    assert found.shape == ((3, 60, 40) if across else (3, 40, 60))
    # The ramp is darkest in its first row: where is that row now?
    red = found[0].float()
    sides = {1: red[0], 2: red[0], 3: red[-1], 4: red[-1], 5: red[:, 0], 6: red[:, -1]}
    sides |= {7: red[:, -1], 8: red[:, 0]}
    assert sides[orientation].mean() < 10


def test_damaged_notes_of_a_camera(tmp_path):
    picture = Image.fromarray(COLOURS)
    near(saved(tmp_path, picture, "own.jpg", exif=b"Exif\0\0no notes", quality=100), COLOURS, 8)


def test_large_pictures_become_smaller(tmp_path, monkeypatch, recwarn):
    picture = Image.new("RGB", (2048, 1024), "red")
    for name in ("own.jpg", "own.png"):
        found = saved(tmp_path, picture, name)
        assert found.shape == (3, 512, 1024) and found[0].min() > 250 and found[1].max() < 5
    assert saved(tmp_path, Image.new("L", (1, 5000))).shape == (3, 1024, 1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2048 * 1024 - 1)
    assert load_photograph(tmp_path / "own.jpg").shape == (3, 512, 1024)
    assert len(recwarn) == 0
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2048 * 511)
    with pytest.raises(CourseError, match=r"own\.jpg has more than 2,093,056 pixels"):
        load_photograph(tmp_path / "own.jpg")


def png():
    file = io.BytesIO()
    Image.fromarray(COLOURS).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a picture"),
        (b"plain text", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (png()[:-200], "may be damaged"),
        (png()[:60] + b"\xff" * 60 + png()[120:], "may be damaged"),
    ],
)
def test_not_a_picture_or_a_damaged_one(tmp_path, content, message):
    path = tmp_path / "own.png"
    path.write_bytes(content)
    with pytest.raises(CourseError, match=message) as caught:
        load_photograph(path)
    assert "own.png" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(CourseError, match=f"The file .*{message}|The file is {message}"):
        load_photograph(io.BytesIO(content))


def test_no_file(tmp_path):
    with pytest.raises(CourseError, match="is a folder"):
        load_photograph(tmp_path)
    for wrong in (tmp_path / "dog.png", "dog", "", "a\0b", "\ud800"):
        with pytest.raises(CourseError, match=r"There is no file|a folder|used as a file"):
            load_photograph(wrong)
    for wrong in (None, 3, ["cat"], torch.zeros(3, 4, 4)):
        with pytest.raises(CourseError, match="is not a photograph: give the path"):
            load_photograph(wrong)
