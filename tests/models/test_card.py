from __future__ import annotations

import pytest
import torch

from course_utils.core import CourseError
from course_utils.data import load_dataset, load_photograph
from course_utils.models import pretrained_card

CARD = pretrained_card("efficientnet_lite0")


def test_a_prepared_picture():
    prepared = CARD.preprocess(load_photograph())
    assert (prepared.shape, prepared.dtype) == ((3, 224, 224), torch.float32)
    assert prepared.min() >= -127 / 128 and prepared.max() <= 1
    batch = torch.stack([load_photograph("cat"), load_photograph("zebra")])
    assert torch.equal(CARD.preprocess(batch)[0], prepared)
    assert CARD.preprocess(batch, 96).shape == (2, 3, 96, 96)


def test_the_middle_is_cut_out():
    picture = torch.zeros(3, 50, 150, dtype=torch.uint8)
    picture[:, :, 50:100] = 255
    assert (CARD.preprocess(picture, 50) > 0.999).all()
    assert (CARD.preprocess(picture.mT, 50) > 0.999).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 100_000), (100_000, 3), (33, 33)])
def test_small_and_very_long_pictures(shape):
    assert CARD.preprocess(torch.full((3, *shape), 127, dtype=torch.uint8)).abs().max() < 1e-6


def test_the_pictures_of_a_data_set_stay_as_they_are():
    data, card = load_dataset("fashion-mnist"), pretrained_card("first_cnn")
    images = data.test.images[:3]
    torch.testing.assert_close(card.preprocess(images), data.normalise(images))


@pytest.mark.parametrize(
    "picture",
    [
        *(torch.zeros(256, 256), torch.zeros(1, 8, 8), torch.zeros(8, 8, 3), torch.zeros(3, 0, 8)),
        torch.zeros(3, 8, 8, dtype=torch.int64),
        *("cat", None),
    ],
)
def test_not_a_picture(picture):
    with pytest.raises(CourseError, match=r"takes a picture of shape \(3, height, width\)"):
        CARD.preprocess(picture)


@pytest.mark.parametrize("size", [0, -1, 2.5, "96"])
def test_not_a_size(size):
    with pytest.raises(CourseError, match="whole number from 1"):
        CARD.preprocess(load_photograph(), size)
