from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_utils.plots import canvas
from tests.plots.samples import contrast, pixels

SCALES = canvas.grey_indices, canvas.signed_indices


def test_scales_end_where_they_are_told_to_and_have_one_colour_for_a_flat_picture():
    grey, signed = SCALES
    assert grey(np.array([-1.0, 3.0])).tolist() == [canvas.BLACK, canvas.WHITE]
    assert grey(np.array([-5.0, 5.0]), 0, 1).tolist() == [canvas.BLACK, canvas.WHITE]
    assert signed(np.array([-5.0, 0.0, 5.0]), limit=1).tolist() == [127, canvas.ZERO, 253]
    for scale, value in itertools.product(SCALES, (0.0, 7.0)):
        assert len(np.unique(scale(np.full((3, 3), value)))) == 1


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_signed_colours_keep_sign_and_order(values):
    values = np.array(values, dtype=np.float32)
    indices = canvas.signed_indices(values).astype(int)
    assert (indices[values == 0] == canvas.ZERO).all()
    assert (indices[values > 0] >= canvas.ZERO).all()
    assert (indices[values < 0] <= canvas.ZERO).all()
    assert (np.diff(indices[np.argsort(values)]) >= 0).all()


def test_zero_is_white_and_the_ends_are_blue_and_vermilion():
    assert canvas.PALETTE[canvas.ZERO].tolist() == [255, 255, 255]
    assert np.ptp(canvas.PALETTE[: canvas.WHITE + 1], axis=1).max() == 0, "greys"
    red, _, blue = canvas.PALETTE[127].astype(int)
    assert blue > red + 100
    red, _, blue = canvas.PALETTE[253].astype(int)
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
    sheet = canvas.tile(tiles, box, gap)
    assert sheet.dtype == np.uint8
    assert sheet.shape[0] <= box[1] and sheet.shape[1] <= box[0]
    assert set(range(count)) <= set(np.unique(sheet).tolist())


def test_small_tiles_are_enlarged_by_a_whole_factor():
    tiles = np.array([[[1, 2], [3, 4]]], dtype=np.uint8)
    sheet = canvas.tile(tiles, (7, 9))
    assert sheet.tolist() == np.kron([[1, 2], [3, 4]], np.ones((3, 3), int)).tolist()


def test_columns_make_the_tiles_as_large_as_possible():
    assert canvas.columns_for(16, (28, 28), (400, 400)) == 4
    assert canvas.columns_for(16, (28, 28), (1600, 100)) == 16
    assert canvas.columns_for(16, (28, 28), (100, 1600)) == 1


def test_the_png_shows_exactly_the_palette_colours():
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert (pixels(canvas.to_png(indices)) == canvas.PALETTE[indices]).all()


def test_every_colour_has_an_ink_that_can_be_read_on_it():
    colours = canvas.PALETTE / 255
    for index, ground in enumerate(colours):
        assert contrast(colours[canvas.ink_on(index)], ground) >= 4.5, index


@pytest.mark.parametrize("ground", [0, canvas.WHITE, 127, canvas.ZERO, 253, canvas.ACCENT])
def test_letters_change_only_the_ground_below_them(ground):
    sheet, ink = canvas.Canvas(60, 30), canvas.ink_on(ground)
    sheet.fill(0, 0, 60, 30, ground)
    sheet.text("−12", 10, 5, 13, ink=ink)
    rows, columns = np.nonzero(sheet.pixels != ground)
    assert rows.min() >= 5 and rows.max() < 25
    assert columns.min() >= 9 and columns.max() <= 10 + canvas.text_width("−12", 13)
    assert (sheet.pixels == ink).sum() >= 5, "the strokes reach the full colour of the ink"


def test_symbols_of_the_course_have_glyphs():
    def ink(letter: str) -> np.ndarray:
        sheet = canvas.Canvas(40, 40)
        sheet.text(letter, 2, 2, 24)
        return sheet.pixels

    missing = ink("\uffff")
    for letter in "×·−→⌊⌋≤≥∗²°Σ…⋆⊙":
        assert (ink(letter) != missing).any(), letter


@pytest.mark.parametrize("size", [11, 12, 13, 16])
def test_digits_are_centred(size):
    sheet = canvas.Canvas(101, 101)
    sheet.centred("8", 50.5, 50.5, size)
    rows, columns = np.nonzero(sheet.pixels != canvas.WHITE)
    assert abs((rows.min() + rows.max() + 1) / 2 - 50.5) <= 1
    assert abs((columns.min() + columns.max() + 1) / 2 - 50.5) <= 1


def test_what_lies_outside_the_canvas_is_cut():
    sheet = canvas.Canvas(20, 20)
    sheet.paste(np.zeros((50, 50), dtype=np.uint8), 10, 10)
    sheet.text("a long line", 10, 10)
    sheet.fill(15, 15, 100, 100, 0)
    sheet.frame(5, 5, 100, 100)
    assert sheet.pixels.shape == (20, 20)
    assert sheet.pixels[0, 0] == canvas.WHITE


def test_a_table_shows_its_grounds_and_numbers():
    grounds = np.array([[0, canvas.WHITE], [127, 253]], dtype=np.uint8)
    sheet = canvas.Canvas(100, 80)
    sheet.table(grounds, [["1", ""], ["−2", "3"]], 10, 10, (30, 20))
    assert (sheet.pixels[13:51:20, 13:71:30] == grounds).all()
    assert (sheet.pixels[11:30, 41:70] == canvas.WHITE).all(), "an empty text"
    assert (sheet.pixels[31:50, 11:40] != 127).any(), "a number"
    assert (sheet.pixels[10, 10:71] == canvas.HAIRLINE).all()
    assert (sheet.pixels[10:51, 70] == canvas.HAIRLINE).all()


def test_a_frame_has_the_given_bounds():
    sheet, expected = canvas.Canvas(30, 30), np.full((30, 30), canvas.WHITE)
    sheet.frame(5, 6, 10, 12, index=canvas.ACCENT_2, thickness=2)
    expected[6:18, 5:15] = canvas.ACCENT_2
    expected[8:16, 7:13] = canvas.WHITE
    assert (sheet.pixels == expected).all()


@pytest.mark.parametrize(
    "count, shape", [(16, (28, 28)), (32, (56, 56)), (1, (1, 1)), (7, (3, 40))]
)
def test_numbered_tiles_lie_in_their_box_and_apart(count, shape):
    box = 300, 260
    size, places = canvas.numbered_places(count, shape, box)
    assert len(set(places)) == count
    assert all(x + size[1] <= box[0] and y + size[0] + 11 <= box[1] for x, y in places)
    whole = min(size) >= min(shape)
    assert not whole or size[0] * shape[1] == size[1] * shape[0]
    for one in range(count):
        for other in range(one):
            across, down = (abs(a - b) for a, b in zip(places[one], places[other], strict=True))
            assert across >= size[1] + 6 or down >= size[0] + 6
    tile = np.arange(shape[0] * shape[1], dtype=np.uint8).reshape(shape)
    assert canvas.resized(tile, size).shape == size
