"""Test-time augmentation: views of a picture, and their mean."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.core import CourseError
from course_utils.metrics import AveragedViews, evaluate
from tests.toys import toy_data, toy_model


@pytest.mark.parametrize(("mirror", "shift", "count"), [(True, 0, 2), (False, 1, 3), (True, 2, 6)])
def test_the_views(mirror, shift, count):
    images = torch.arange(2 * 36.0).reshape(1, 2, 6, 6)
    views = AveragedViews(nn.Flatten(), mirror, shift).views(images)
    assert len(views) == count and torch.equal(views[0], images)
    assert {view.shape for view in views} == {images.shape}
    if mirror:
        assert torch.equal(views[count // 2], images.flip(3))
    if shift:
        inner = slice(0, 6 - shift), slice(shift, 6)
        assert torch.equal(views[1][..., inner[1], inner[1]], images[..., inner[0], inner[0]])
        assert torch.equal(views[2][..., inner[0], inner[0]], images[..., inner[1], inner[1]])


def test_the_answer_is_the_mean_and_does_not_know_left_from_right():
    model = toy_model().eval()
    network, images = AveragedViews(model), torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        mean = (model(images) + model(images.flip(3))) / 2
        assert torch.allclose(network(images), mean)
        assert torch.allclose(network(images), network(images.flip(3)), atol=1e-6)


def test_it_can_be_evaluated():
    data = toy_data()
    found = evaluate(AveragedViews(toy_model(), shift=1), data.test, mean=data.mean, std=data.std)
    assert found.total == len(data.test)


@pytest.mark.parametrize("arguments", [(nn.Flatten, True, 0), (nn.Flatten(), True, -1)])
def test_what_cannot_be_averaged(arguments):
    with pytest.raises(CourseError):
        AveragedViews(*arguments)
