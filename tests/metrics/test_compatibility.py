from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.core.errors import CourseError
from course_utils.data.sets import Dataset
from course_utils.metrics.compatibility import check_model_fits
from course_utils.models.simple import SimpleCNN
from tests.toys import same, stripes, toy_data, toy_model, weights


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (SimpleCNN(3, 3, 8), r"takes 3 channels, but .*Stripes \(1×8×8\) have 1.*in_channels=1"),
        (SimpleCNN(1, 10, 8), "10 scores .* 3 classes"),
        (SimpleCNN(1, 2, 8), "2 scores .* 3 classes"),
        (SimpleCNN(1, 3, 28), "takes 1568 numbers, but .* given 128.*in_features to 128"),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(5, 4, 3)), "takes 5 .* gives 4.*in_channels"),
        (nn.Sequential(nn.MaxPool2d(16)), "too small"),
        (nn.Sequential(nn.Conv2d(1, 4, 9)), "too small"),
        (nn.Conv2d(1, 3, 3), r"tensor \(2, 3, 6, 6\).*flatten"),
        (nn.LSTM(8, 3), "cannot take|gives a tuple"),
        (nn.Sequential(nn.Flatten(), nn.Unflatten(1, (5, 5))), "cannot take .*Unflatten|unflatten"),
    ],
)
def test_says_what_does_not_fit(model, text):
    with pytest.raises(CourseError, match=text):
        check_model_fits(model, toy_data())


def test_a_fitting_model_is_left_as_it_was():
    model = toy_model(norm=True, dropout=0.5).train()
    before, state = weights(model), torch.get_rng_state()
    check_model_fits(model, toy_data())
    assert same(before, weights(model)) and model.training
    assert torch.equal(state, torch.get_rng_state())


def test_a_courses_error_inside_the_model_comes_through():
    class Says(nn.Module):
        def forward(self, x):
            raise CourseError("as it is")

    with pytest.raises(CourseError, match=r"^as it is$"):
        check_model_fits(Says(), toy_data())


def test_no_training_picture():
    data = toy_data()
    object.__setattr__(data, "train", stripes(3).subset([]))
    assert isinstance(data, Dataset)
    with pytest.raises(CourseError, match="no training picture"):
        check_model_fits(toy_model(), data)
