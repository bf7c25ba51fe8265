from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils.core import CourseError
from course_utils.data import like_fashion_mnist, load_photograph


def page(height=100, width=80, paper=230.0, ink=40.0, box=(20, 80, 30, 50)):
    top, bottom, left, right = box
    picture = torch.full((3, height, width), paper)
    picture[:, top:bottom, left:right] = ink
    return picture


@pytest.mark.parametrize(("paper", "ink"), [(230, 40), (10, 200)])
def test_a_garment_becomes_bright_on_black_and_fills_the_picture(paper, ink):
    made = like_fashion_mnist(page(paper=paper, ink=ink))
    assert made.dtype == torch.uint8 and made.shape == (1, 28, 28)
    # 60 × 20 pixels become 28 × 9, in the middle
    assert made[0, :, 9:18].eq(255).all() and made.sum() == 255 * 28 * 9


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 200))
def test_any_size_becomes_28_by_28(height, width, ink):
    picture = torch.full((1, height + 2, width + 2), 255.0)
    picture[:, 1:-1, 1:-1] = ink
    made = like_fashion_mnist(picture)
    rows, columns = (int(made[0].any(axis).sum()) for axis in (1, 0))
    assert made.shape == (1, 28, 28) and max(rows, columns) == 28 and made.max() == 255
    assert abs(rows * width - columns * height) <= max(height, width), "its proportions are kept"


def test_shades_are_kept_in_their_order():
    picture = page()
    picture[:, 40:60, 30:50] = 135  # half as dark
    made = like_fashion_mnist(picture)[0]
    assert made[2, 13] == 255 and 126 <= int(made[14, 13]) <= 128


def test_a_colour_stands_out_as_well_as_brightness():
    picture = torch.tensor([100.0, 200.0, 0.0])[:, None, None].expand(3, 40, 40).clone()
    picture[:, 10:30, 15:25] = torch.tensor([200.0, 100.0, 0.0])[:, None, None]
    assert like_fashion_mnist(picture).sum() == 255 * 28 * 14


def test_a_real_photograph_is_not_an_error():
    assert like_fashion_mnist(load_photograph("cat")).max() > 150


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (torch.zeros(3, 10, 10), "stands out"),
        (torch.zeros(10, 10), "shape"),
        (torch.zeros(3, 0, 10), "shape"),
        (torch.full((1, 4, 4), float("nan")), "not finite"),
    ],
)
def test_what_is_not_a_garment(bad, words):
    with pytest.raises(CourseError, match=words):
        like_fashion_mnist(bad)
