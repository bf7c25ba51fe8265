from __future__ import annotations

import pytest

from course_utils.compress import prune, recalibrate, sensitivity
from course_utils.core import CourseError
from course_utils.data import Dataset
from course_utils.metrics import evaluate
from tests.compress.toy_networks import DATA, toy_resnet, trained_resnet
from tests.toys import same, stripes, weights


def test_each_cut_is_the_accuracy_with_that_layer_pruned_alone():
    model = trained_resnet()
    before = weights(model)
    found = sensitivity(model, DATA, shares=(0.75, 0.5), pictures=60)
    assert same(before, weights(model))
    assert found.layers == ("stem", "stage1.0.conv1", "stage2.0.conv1", "stage2.0.conv2")
    scale = {"mean": DATA.mean, "std": DATA.std}
    assert found.accuracy == evaluate(model, DATA.validation, **scale).accuracy > 0.8
    assert len(found.cuts) == 8 and [cut.share for cut in found.of("stem")] == [0.5, 0.75]
    for cut in found.cuts:
        shares = {cut.layers[-1]: cut.share}
        pruned = prune(model, shares, data=DATA, divisible_by=1, floor=1)
        assert pruned.get_submodule(cut.layer).out_channels == cut.channels
        assert evaluate(pruned, DATA.validation, **scale).correct == cut.correct
        assert cut.interval.low <= cut.accuracy <= cut.interval.high
    frame = found.as_frame()
    assert list(frame.index) == list(found.layers) and list(frame) == ["50%", "75%"]
    assert frame.loc["stem", "50%"] == round(100 * found.of("stem")[0].accuracy, 1)


def test_each_cut_can_be_recalibrated():
    model, scale = trained_resnet(), {"mean": DATA.mean, "std": DATA.std}
    before = weights(model)
    found = sensitivity(model, DATA, shares=[0.75], pictures=60, recalibrate_on=90)
    assert same(before, weights(model)) and len(found.cuts) == 4
    assert found.accuracy == evaluate(model, DATA.validation, **scale).accuracy
    for cut in found.cuts:
        pruned = prune(model, {cut.layer: 0.75}, data=DATA, divisible_by=1, floor=1)
        pruned = recalibrate(pruned, DATA.normalise(DATA.train.few(90).images))
        assert evaluate(pruned, DATA.validation, **scale).correct == cut.correct


def test_what_cannot_get_narrower_has_no_cut():
    found = sensitivity(toy_resnet(), DATA, shares=[0.5], divisible_by=8, floor=8, pictures=9)
    assert found.layers == ("stage2.0.conv1", "stage2.0.conv2")
    assert {cut.total for cut in found.cuts} == {9}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"shares": (0.5, 1)}, "share=1"),
        ({"shares": ()}, "shares is empty"),
        ({"part": "test"}, "part='test'"),
        ({"pictures": 0}, "pictures=0"),
        ({"recalibrate_on": -1}, "recalibrate_on=-1"),
        ({"recalibrate_on": 1}, "images has 1"),
        ({"importance": "l7"}, "importance='l7'"),
    ],
)
def test_what_is_asked_wrongly(settings, words):
    with pytest.raises(CourseError, match=words):
        sensitivity(toy_resnet(), DATA, **settings)


def test_without_validation_pictures():
    parts = stripes(9), stripes(9).subset([]), stripes(9)
    with pytest.raises(CourseError, match="no validation pictures"):
        sensitivity(toy_resnet(), Dataset("s", "Stripes", *parts))
