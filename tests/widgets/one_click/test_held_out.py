from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.core.errors import CourseError
from course_utils.widgets.one_click.held_out import (
    HeldOutImages,
    adapt_images,
    find_input_shape,
)
from tests.toys import toy_data, toy_model

DATA = toy_data()


def test_grey_is_repeated_and_colour_averaged():
    grey, colour = torch.rand(2, 1, 4, 4), torch.rand(2, 3, 4, 4)
    assert torch.equal(adapt_images(grey, (3, 4, 4)), grey.expand(-1, 3, -1, -1))
    assert torch.equal(adapt_images(colour, (1, 4, 4)), colour.mean(1, keepdim=True))
    assert torch.equal(adapt_images(colour, (5, 4, 4))[:, 3:], colour[:, :2])
    assert adapt_images(colour, (3, 4, 4)) is colour


def test_other_sizes_are_resized():
    flat = torch.full((2, 1, 8, 8), 0.25)
    for size in ((16, 16), (5, 3)):
        made = adapt_images(flat, (1, *size))
        assert made.shape == (2, 1, *size) and torch.allclose(made, torch.tensor(0.25))


def test_they_are_the_first_of_validation():
    held_out = HeldOutImages(DATA, (1, 8, 8))
    assert len(held_out) == 24
    assert torch.equal(held_out.images, DATA.normalise(DATA.validation.images))
    assert torch.equal(held_out.labels, DATA.validation.labels)


def test_without_validation_they_are_those_of_the_test():
    data = toy_data(validation=0)
    assert torch.equal(HeldOutImages(data, (1, 8, 8)).labels, data.test.labels)


def test_large_ones_are_fewer():
    data = toy_data(validation=120)
    assert len(HeldOutImages(data, (3, 299, 299))) == 62
    assert len(HeldOutImages(data, (3, 64, 64))) == 120


def test_the_datas_own_size_comes_first():
    assert find_input_shape(toy_model(), DATA) == (1, 8, 8)


@pytest.mark.parametrize("side", [32, 224])
def test_a_network_for_one_size_gets_it(side):
    model = nn.Sequential(nn.Conv2d(3, 2, 4, 4), nn.Flatten(), nn.Linear(2 * (side // 4) ** 2, 3))
    assert find_input_shape(model, DATA) == (3, side, side)
    assert model.training, "it is in the mode in which it was"


def test_a_network_for_no_usual_size_is_refused_with_its_own_words():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(7, 3))
    with pytest.raises(CourseError, match=r"accepts no image of 1 channels.*RuntimeError"):
        find_input_shape(model, DATA)


def test_a_network_without_convolution_or_numbers_is_refused():
    with pytest.raises(CourseError, match="no Conv2d"):
        find_input_shape(nn.Linear(3, 3), DATA)
    with pytest.raises(CourseError, match="meta device"):
        find_input_shape(toy_model().to("meta"), DATA)
