from __future__ import annotations

import contextlib

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.core import CourseError
from course_utils.metrics import check_model_fits
from course_utils.models import SimpleCNN
from tests.toys import same, stripes, toy_data, toy_model, weights


class Calls(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.forward = forward


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (SimpleCNN(3, 3, 8), r"takes 3 channels, but .*Stripes \(1×8×8\) have 1.*in_channels=1"),
        (SimpleCNN(1, 10, 8), "10 scores .* 3 classes"),
        (SimpleCNN(1, 2, 8), "2 scores .* 3 classes"),
        (SimpleCNN(1, 3, 28), "takes 1568 numbers, but .* given 128.*in_features to 128"),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(5, 4, 3)), "returns 4.*in_channels 4"),
        (nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(5, 4, 3)), "returns 1.*in_channels 1"),
        (nn.Conv2d(4, 4, 3, groups=2), "first convolution takes 4 .*in_channels=1"),
        (nn.Sequential(nn.MaxPool2d(16)), "too small"),
        (nn.Sequential(nn.AvgPool2d((1, 9))), "too small"),
        (nn.Sequential(nn.Conv2d(1, 4, 9)), "too small"),
        (nn.Sequential(nn.Conv2d(1, 4, 3, padding="valid", dilation=4)), "too small"),
        (Calls(lambda x: F.conv2d(x, torch.rand(3, 2, 3, 3), padding="same")), "in_channels=1"),
        (Calls(lambda x: F.max_pool2d(x, kernel_size=9, padding=0)), "too small"),
        (Calls(lambda x: x.flatten(1) @ torch.rand(5, 3)), "takes 5 numbers, .* given 64"),
        (Calls(lambda x: F.max_pool2d(x, 2, padding=2)), "cannot take .*pad"),
        (nn.Conv2d(1, 3, 3), r"tensor \(2, 3, 6, 6\).*flatten"),
        (nn.LSTM(8, 3), "cannot take|returns a tuple"),
        (nn.Sequential(nn.Flatten(), nn.Unflatten(1, (5, 5))), "cannot take .*Unflatten|unflatten"),
    ],
)
def test_says_what_does_not_fit(model, text):
    with pytest.raises(CourseError, match=text):
        check_model_fits(model, toy_data())


@pytest.mark.filterwarnings("ignore")  # TorchScript is deprecated
def test_the_reason_of_torchscript_is_quoted():
    model = torch.jit.trace(toy_model(3), torch.rand(2, 3, 8, 8))
    with pytest.raises(CourseError, match="3 channels"):
        check_model_fits(model, toy_data())


def test_a_failure_that_the_model_handles_is_not_blamed():
    def tries(x):
        with contextlib.suppress(RuntimeError):
            F.max_pool2d(x, 100)
        raise ValueError("something else")

    with pytest.raises(CourseError, match="something else"):
        check_model_fits(Calls(tries), toy_data())


def test_a_fitting_model_is_left_as_it_was():
    model = toy_model(norm=True, dropout=0.5).train()
    before, state = weights(model), torch.get_rng_state()
    check_model_fits(model, toy_data())
    assert same(before, weights(model)) and model.training
    assert torch.equal(state, torch.get_rng_state())


def test_an_error_of_the_course_inside_the_model_comes_through():
    def says(x):
        raise CourseError("as it is")

    with pytest.raises(CourseError, match=r"^as it is$"):
        check_model_fits(Calls(says), toy_data())


def test_no_training_picture():
    data = toy_data()
    object.__setattr__(data, "train", stripes(3).subset([]))
    with pytest.raises(CourseError, match="no training picture"):
        check_model_fits(toy_model(), data)
