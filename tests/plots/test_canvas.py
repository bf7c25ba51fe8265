from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from course_utils.plots import canvas as pictures


def decode(png: bytes) -> np.ndarray:
    """The RGB array (H, W, 3) that a browser would show."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def contrast(first: np.ndarray, second: np.ndarray) -> float:
    """Contrast ratio of two sRGB colours, as WCAG 2.2 defines it."""

    def luminance(colour: np.ndarray) -> float:
        c = colour / 255
        linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    bright, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_greys_run_from_black_to_white():
    indices = pictures.grey_indices(np.array([[-1.0, 0.0, 3.0]]))
    assert pictures.PALETTE[indices][0, 0].tolist() == [0, 0, 0]
    assert pictures.PALETTE[indices][0, 2].tolist() == [255, 255, 255]
    assert np.ptp(pictures.PALETTE[: pictures.WHITE + 1], axis=1).max() == 0


def test_values_beyond_the_given_range_are_cut():
    assert pictures.grey_indices(np.array([-5.0, 5.0]), 0, 1).tolist() == [0, pictures.WHITE]
    ends = pictures.signed_indices(np.array([-5.0, 5.0]), limit=1)
    assert ends.tolist() == [127, 253]


@pytest.mark.parametrize("scale", [pictures.grey_indices, pictures.signed_indices])
def test_a_flat_picture_has_one_colour(scale):
    assert len(np.unique(scale(np.full((3, 3), 7.0)))) == 1
    assert len(np.unique(scale(np.zeros((3, 3))))) == 1


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_signed_colours_keep_sign_and_order(values):
    values = np.array(values, dtype=np.float32)
    indices = pictures.signed_indices(values).astype(int)
    assert (indices[values == 0] == pictures.ZERO).all()
    assert (indices[values > 0] >= pictures.ZERO).all()
    assert (indices[values < 0] <= pictures.ZERO).all()
    assert (np.diff(indices[np.argsort(values)]) >= 0).all()


def test_zero_is_white_and_the_ends_are_blue_and_vermilion():
    assert pictures.PALETTE[pictures.ZERO].tolist() == [255, 255, 255]
    red, _, blue = pictures.PALETTE[127].astype(int)
    assert blue > red + 100
    red, _, blue = pictures.PALETTE[253].astype(int)
    assert red > blue + 100


@given(
    count=st.integers(1, 40),
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    box=st.tuples(st.integers(80, 700), st.integers(80, 500)),
    gap=st.integers(0, 3),
)
def test_a_sheet_of_tiles_stays_in_its_box_and_shows_every_tile(count, height, width, box, gap):
    tiles = np.arange(count, dtype=np.uint8)[:, None, None].repeat(height, 1).repeat(width, 2)
    sheet = pictures.tile(tiles, box, gap)
    assert sheet.dtype == np.uint8
    assert sheet.shape[0] <= box[1] and sheet.shape[1] <= box[0]
    assert set(range(count)) <= set(np.unique(sheet).tolist())


def test_small_tiles_are_enlarged_by_a_whole_factor():
    tiles = np.array([[[1, 2], [3, 4]]], dtype=np.uint8)
    sheet = pictures.tile(tiles, (7, 9))
    assert sheet.tolist() == np.kron([[1, 2], [3, 4]], np.ones((3, 3), int)).tolist()


def test_columns_make_the_tiles_as_large_as_possible():
    assert pictures.columns_for(16, (28, 28), (400, 400)) == 4
    assert pictures.columns_for(16, (28, 28), (1600, 100)) == 16
    assert pictures.columns_for(16, (28, 28), (100, 1600)) == 1


def test_the_png_shows_exactly_the_palette_colours():
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert (decode(pictures.to_png(indices)) == pictures.PALETTE[indices]).all()


def test_every_colour_has_an_ink_that_can_be_read_on_it():
    for index, ground in enumerate(pictures.PALETTE):
        ink = pictures.PALETTE[pictures.ink_on(index)]
        assert contrast(ink, ground) >= 4.5, index


@pytest.mark.parametrize("ground", [0, pictures.WHITE, 127, pictures.ZERO, 253, pictures.ACCENT])
def test_letters_change_only_the_ground_below_them(ground):
    canvas = pictures.Canvas(60, 30)
    canvas.fill(0, 0, 60, 30, ground)
    canvas.text("−12", 10, 5, 13, ink=pictures.ink_on(ground))
    changed = canvas.pixels != ground
    assert changed.any()
    rows, columns = np.nonzero(changed)
    assert rows.min() >= 5 and rows.max() < 25
    assert columns.min() >= 9 and columns.max() <= 10 + pictures.text_width("−12", 13)
    full = (canvas.pixels == pictures.ink_on(ground)).sum()
    assert full >= 5, "the strokes reach the full colour of the ink"


def test_symbols_of_the_course_have_glyphs():
    def ink(letter: str) -> np.ndarray:
        canvas = pictures.Canvas(40, 40)
        canvas.text(letter, 2, 2, 24)
        return canvas.pixels

    missing = ink("\uffff")
    for letter in "×·−→⌊⌋≤≥∗²°Σ…⋆⊙":
        assert (ink(letter) != missing).any(), letter


@pytest.mark.parametrize("size", [11, 12, 13, 16])
def test_digits_are_centred(size):
    canvas = pictures.Canvas(101, 101)
    canvas.centred("8", 50.5, 50.5, size)
    rows, columns = np.nonzero(canvas.pixels != pictures.WHITE)
    assert abs((rows.min() + rows.max() + 1) / 2 - 50.5) <= 1
    assert abs((columns.min() + columns.max() + 1) / 2 - 50.5) <= 1


def test_what_lies_outside_the_canvas_is_cut():
    canvas = pictures.Canvas(20, 20)
    canvas.paste(np.zeros((50, 50), dtype=np.uint8), 10, 10)
    canvas.text("a long line", 10, 10)
    canvas.fill(15, 15, 100, 100, 0)
    canvas.frame(5, 5, 100, 100)
    assert canvas.pixels.shape == (20, 20)
    assert canvas.pixels[0, 0] == pictures.WHITE


def test_a_table_shows_its_grounds_and_numbers():
    grounds = np.array([[0, pictures.WHITE], [127, 253]], dtype=np.uint8)
    canvas = pictures.Canvas(100, 80)
    canvas.table(grounds, [["1", ""], ["−2", "3"]], 10, 10, (30, 20))
    cells = [[canvas.pixels[10 + 20 * i + 3, 10 + 30 * j + 3] for j in (0, 1)] for i in (0, 1)]
    assert (np.array(cells) == grounds).all()
    blank = canvas.pixels[11:30, 41:70]
    assert (blank == pictures.WHITE).all(), "an empty text leaves the cell empty"
    assert (canvas.pixels[31:50, 11:40] != 127).any()
    assert (canvas.pixels[10, 10:71] == pictures.HAIRLINE).all()
    assert (canvas.pixels[10:51, 70] == pictures.HAIRLINE).all()


def test_a_frame_has_the_given_bounds():
    canvas = pictures.Canvas(30, 30)
    canvas.frame(5, 6, 10, 12, index=pictures.ACCENT_2, thickness=2)
    rows, columns = np.nonzero(canvas.pixels == pictures.ACCENT_2)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (6, 17, 5, 14)
    assert canvas.pixels[10, 8] == pictures.WHITE
