"""Corrupted pictures: what each kind does, at every strength, and how a network takes it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from course_utils.core import CourseError
from course_utils.data import load_photograph
from course_utils.metrics import (
    CORRUPTIONS,
    STRENGTHS,
    corrupt,
    corruption_accuracies,
    evaluate,
)
from course_utils.metrics import robustness as robustness_room
from tests.toys import same, stripes, toy_model, weights

RGB = load_photograph("coffee")[:, :64, :48].contiguous()


def distance(images: torch.Tensor, other: torch.Tensor) -> float:
    return (images.float() - other.float()).square().mean().sqrt().item()


@pytest.mark.parametrize("kind", CORRUPTIONS)
@pytest.mark.parametrize("images", [RGB, RGB[:1], torch.stack([RGB, RGB.flip(2)])])
def test_each_step_is_further_from_the_picture(kind, images):
    before = images.clone()
    found = [corrupt(images, kind, strength) for strength in STRENGTHS]
    assert all(one.dtype == torch.uint8 and one.shape == images.shape for one in found)
    distances = [distance(one, images) for one in found]
    assert distances[0] > 0 and distances == sorted(set(distances))
    assert torch.equal(images, before)


@pytest.mark.parametrize("kind", [kind for kind in CORRUPTIONS if kind != "noise"])
def test_a_picture_does_not_depend_on_the_others(kind):
    batch = torch.stack([RGB, 255 - RGB])
    assert torch.equal(corrupt(batch, kind, 4)[1], corrupt(batch[1], kind, 4))


def test_noise_has_its_deviation_and_its_seed():
    grey = torch.full((20, 1, 30, 30), 128, dtype=torch.uint8)
    for strength, deviation in zip(STRENGTHS, (0.04, 0.06, 0.08, 0.09, 0.10), strict=True):
        noise = corrupt(grey, "noise", strength, seed=3).float() - 128
        assert abs(noise.mean()) < 1 and abs(noise.std() - 255 * deviation) < 0.5
    assert torch.equal(corrupt(grey, "noise", 5, seed=3), corrupt(grey, "noise", 5, seed=3))
    assert not torch.equal(corrupt(grey, "noise", 5, seed=3), corrupt(grey, "noise", 5, seed=4))
    expected = np.random.default_rng(3).standard_normal((20, 1, 30, 30), dtype=np.float32)
    assert np.abs(noise.numpy() - 25.5 * expected).max() <= 0.51


def test_contrast_and_brightness_by_hand():
    picture = torch.tensor([[[0, 100, 200]]], dtype=torch.uint8)
    assert corrupt(picture, "contrast", 2).tolist() == [[[50, 100, 150]]]
    assert corrupt(picture, "brightness", 5).tolist() == [[[76, 176, 255]]]


def test_the_blur_is_in_proportion_to_the_picture():
    def width(side: int) -> float:
        """Return the standard deviation of a blurred line, in pixels."""
        line = torch.zeros(1, side, side, dtype=torch.uint8)
        line[..., side // 2] = 255
        row = corrupt(line, "blur", 5)[0, side // 2].double()
        places = torch.arange(side) - side // 2
        return ((row * places**2).sum() / row.sum()).sqrt().item()

    assert width(32) == pytest.approx(1, abs=0.05) and width(128) == pytest.approx(4, abs=0.2)


@pytest.mark.parametrize("shape", [(0, 1, 8, 8), (1, 1, 1), (2, 3, 1, 9), (3, 200, 3)])
@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_odd_shapes_work(kind, shape):
    assert corrupt(torch.full(shape, 9, dtype=torch.uint8), kind, 5).shape == shape


@pytest.mark.parametrize(
    ("images", "kind", "strength", "word"),
    [
        (RGB.float(), "noise", 1, "float32"),
        (torch.full((1, 4, 4), torch.nan), "blur", 1, "float32"),
        (RGB.numpy(), "noise", 1, "ndarray"),
        (RGB[:2], "noise", 1, r"\(2, 64, 48\)"),
        (RGB[:, :0], "blur", 1, "0×48"),
        (RGB, "fog", 1, "'noise', 'blur'"),
        (RGB, ["noise"], 1, "give one of"),
        (RGB, "noise", 0, "from 1 to 5"),
        (RGB, "noise", 6, "from 1 to 5"),
        (RGB, "noise", 2.5, "from 1 to 5"),
        (RGB, "noise", True, "from 1 to 5"),
    ],
)
def test_bad_input_is_a_sentence(images, kind, strength, word):
    with pytest.raises(CourseError, match=word):
        corrupt(images, kind, strength)


def test_the_table_has_the_accuracies_of_evaluate():
    model, test = toy_model(norm=True).train(), stripes(30)
    before, scale = weights(model), dict(zip(("mean", "std"), test.mean_std(), strict=True))
    table = corruption_accuracies(model, test, **scale, kinds=["noise", "jpeg"], strengths=(1, 5))
    assert table[["kind", "strength"]].values.tolist() == [
        ["none", 0], ["noise", 1], ["noise", 5], ["jpeg", 1], ["jpeg", 5]
    ]  # fmt: skip
    noisy = type(test)(corrupt(test.images, "noise", 5), test.labels, test.classes)
    for row, images in ((0, test), (2, noisy)):
        found = evaluate(model, images, **scale)
        assert table.loc[row, ["correct", "total"]].tolist() == [found.correct, 30]
        assert table.loc[row, ["low", "high"]].tolist() == list(found.interval())
    assert (table.accuracy == table.correct / 30).all()
    assert model.training and same(weights(model), before)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"kinds": ["noise", "fog"]}, "fog"),
        ({"kinds": "noise"}, "give a list"),
        ({"kinds": []}, "give a list"),
        ({"strengths": []}, "give a list"),
        ({"strengths": 3}, "give a list"),
        ({"strengths": [1, 7]}, "from 1 to 5"),
        ({"image_set": stripes(6).images}, "ImageSet"),
    ],
)
def test_a_wrong_name_is_said_before_the_work(changes, word, monkeypatch):
    monkeypatch.setattr(robustness_room, "evaluate", lambda *_, **__: pytest.fail("too late"))
    image_set = changes.pop("image_set", stripes(6))
    with pytest.raises(CourseError, match=word):
        corruption_accuracies(toy_model(), image_set, mean=0.5, std=0.2, **changes)
