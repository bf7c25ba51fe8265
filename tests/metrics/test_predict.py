from __future__ import annotations

from dataclasses import replace

import pytest
from torch import nn

from course_utils.core import CourseError
from course_utils.data import PHOTOGRAPHS, load_dataset, load_photograph
from course_utils.metrics import top_classes
from course_utils.models import load_pretrained, pretrained_card

CARD = pretrained_card("efficientnet_lite0")
SEEN = {
    **{"cat": "Egyptian cat", "coffee": "espresso", "monkey": "macaque"},
    **{"photographer": "tripod", "rocket": "missile", "zebra": "zebra"},
}


@pytest.fixture(scope="module")
def lite0():
    return load_pretrained("efficientnet_lite0")


def test_the_cat(lite0):
    lite0.train()
    found = top_classes(lite0, load_photograph(), CARD, count=4)
    assert lite0.training and lite0.eval()
    assert [one.name for one in found] == ["Egyptian cat", "tiger cat", "tabby", "lynx"]
    expected = [0.37, 0.33, 0.17, 0.03]
    assert [one.probability for one in found] == pytest.approx(expected, abs=0.01)
    assert [CARD.classes[one.index] for one in found] == [one.name for one in found]


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_every_photograph_is_recognised(lite0, name):
    best = top_classes(lite0, load_photograph(name), CARD, count=1)
    assert [one.name for one in best] == [SEEN[name]] and best[0].probability > 0.3


def test_all_classes_and_another_size(lite0):
    every = top_classes(lite0, load_photograph("zebra"), CARD, count=2000, size=96)
    assert len(every) == 1000 and every[0].name == "zebra"
    assert sum(one.probability for one in every) == pytest.approx(1, abs=1e-4)
    assert [one.probability for one in every] == sorted((p for _, p, _ in every), reverse=True)


def test_a_network_of_the_course():
    data, model, card = load_dataset("fashion-mnist"), load_pretrained(), pretrained_card()
    best = top_classes(model, data.test.images[0], card)[0]
    assert best.index == data.test.labels[0] and best.name == data.classes[best.index]


class Refuses(nn.Module):
    def forward(self, x):
        assert x.shape[-1] == 224, "Expected 224\nbut"
        raise CourseError("own sentence")


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (Refuses(), {"size": 96}, r"take a picture of 3×96×96 \(Expected 224\): .*size=224"),
        (Refuses(), {}, "own sentence"),
        (nn.Sequential(nn.Conv2d(3, 5, 224), nn.Flatten()), {}, "returns 5 scores .* 1000 classes"),
        (nn.Identity(), {}, "into a tensor"),
        (nn.Conv2d(1, 1, 1), {}, "does not take a picture of 3×224×224"),
        (nn.Identity(), {"count": 0}, "whole number from 1"),
        (nn.Identity(), {"size": 0}, "whole number from 1"),
    ],
)
def test_what_does_not_fit(model, options, message):
    with pytest.raises(CourseError, match=message):
        top_classes(model, load_photograph(), CARD, **options)


def test_pictures_and_scores_that_cannot_be_used(lite0):
    for wrong in (load_photograph()[None], load_photograph()[0], "cat"):
        with pytest.raises(CourseError, match=r"\(C, height, width\)|takes a picture of shape"):
            top_classes(lite0, wrong, CARD)
    with pytest.raises(CourseError, match="does not take a picture of 3×8×8"):
        top_classes(lite0, load_photograph(), CARD, size=8)
    card = replace(CARD, classes=("a", "b"))
    broken = nn.Sequential(nn.Conv2d(3, 2, 224), nn.Flatten())
    nn.init.constant_(broken[0].bias, float("nan"))
    with pytest.raises(CourseError, match="not finite"):
        top_classes(broken, load_photograph(), card)
