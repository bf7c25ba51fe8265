from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.core import CourseError
from course_utils.widgets.one_click.held_out import HeldOutImages, adapt_images, find_input_shape
from tests.toys import toy_data, toy_model

DATA = toy_data()


def test_grey_is_repeated_colour_averaged_and_other_sizes_resized():
    grey, colour = torch.rand(2, 1, 4, 4), torch.rand(2, 3, 4, 4)
    assert torch.equal(adapt_images(grey, (3, 4, 4)), grey.expand(-1, 3, -1, -1))
    assert torch.equal(adapt_images(colour, (1, 4, 4)), colour.mean(1, keepdim=True))
    assert torch.equal(adapt_images(colour, (5, 4, 4))[:, 3:], colour[:, :2])
    assert adapt_images(colour, (3, 4, 4)) is colour
    flat = torch.full((2, 1, 8, 8), 0.25)
    for size in ((16, 16), (5, 3)):
        made = adapt_images(flat, (1, *size))
        assert made.shape == (2, 1, *size) and torch.allclose(made, torch.tensor(0.25))


def test_they_are_the_first_of_validation_or_else_of_the_test():
    held_out = HeldOutImages(DATA, (1, 8, 8))
    assert len(held_out) == 24
    assert torch.equal(held_out.images, DATA.normalise(DATA.validation.images))
    assert torch.equal(held_out.labels, DATA.validation.labels)
    data = toy_data(validation=0)
    assert torch.equal(HeldOutImages(data, (1, 8, 8)).labels, data.test.labels)
    assert [len(HeldOutImages(toy_data(validation=120), (3, n, n))) for n in (64, 299)] == [120, 62]


@pytest.mark.parametrize("side", [32, 224])
def test_a_network_for_one_size_gets_it(side):
    assert find_input_shape(toy_model(), DATA) == (1, 8, 8), "the data's own size comes first"
    model = nn.Sequential(nn.Conv2d(3, 2, 4, 4), nn.Flatten(), nn.Linear(2 * (side // 4) ** 2, 3))
    assert find_input_shape(model, DATA) == (3, side, side)
    assert model.training, "it is in the mode in which it was"


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(7, 3)),
            "accepts no image of 1 channels.*RuntimeError",
        ),
        (nn.Linear(3, 3), "no Conv2d"),
        (toy_model().to("meta"), "meta device"),
    ],
)
def test_a_network_that_cannot_be_used_is_refused_in_words(model, words):
    with pytest.raises(CourseError, match=words):
        find_input_shape(model, DATA)
