"""Wrong labels, predictions and scores are refused in a sentence by every measure."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from course_utils.core import CourseError
from course_utils.metrics import (
    class_report,
    confusion,
    fit_temperature,
    mcnemar,
    paired_bootstrap,
    precision_recall_curves,
    reliability,
    roc_curves,
)

NAMES = ("cat", "dog", "owl")
LABELS = [0, 1, 2, 0, 1, 2]
SCORES = np.full((6, 3), 1 / 3)
BY_ANSWER = [
    lambda labels, answers: confusion(labels, answers, NAMES),
    lambda labels, answers: class_report(labels, answers, NAMES),
]
PAIRED = [
    lambda labels, answers: mcnemar(labels, answers, answers),
    lambda labels, answers: paired_bootstrap(labels, LABELS, answers),
]
CURVES = [
    lambda labels, scores: roc_curves(labels, scores, NAMES),
    lambda labels, scores: precision_recall_curves(labels, scores, NAMES),
]
BY_SCORE = [*CURVES, reliability, lambda labels, scores: fit_temperature(scores, labels)]


def refused(words, calls, *arguments):
    for call in calls:
        with pytest.raises(CourseError, match=words):
            call(*arguments)


@pytest.mark.parametrize("wrong", [3, -1, 99])
def test_labels_out_of_range(wrong):
    labels = [*LABELS[1:], wrong]
    refused("labels run from .* 3 classes, 0 to 2", BY_ANSWER, labels, LABELS)
    refused("labels run from .* 3 classes, 0 to 2", BY_SCORE, labels, SCORES)
    refused("predictions run from .* 0 to 2", BY_ANSWER, LABELS, labels)


def test_predictions_of_the_wrong_shape():
    refused(r"6, 3\), a score for each class.*argmax", BY_ANSWER, LABELS, SCORES)
    refused(r"argmax|shape \(6, 3\)", PAIRED, LABELS, SCORES)
    refused("6 labels, but 4 predictions", BY_ANSWER + PAIRED, LABELS, LABELS[:4])
    refused("at least one picture", BY_ANSWER + PAIRED, [], [])
    refused("at least one picture", BY_ANSWER + PAIRED, LABELS, 1)
    refused("give whole numbers", BY_ANSWER + PAIRED, LABELS, [0.5] * 6)
    refused("give whole numbers", BY_ANSWER, np.array(LABELS) > 0, LABELS)
    refused("not numbers", BY_ANSWER + PAIRED, LABELS, ["cat"] * 6)
    refused("not numbers", BY_ANSWER + PAIRED, [[0], [1, 2]], LABELS)


def test_scores_of_the_wrong_shape_or_not_finite():
    refused(r"scores are of shape \(6, 2\).*need \(6, 3\)", CURVES, LABELS, SCORES[:, :2])
    refused(r"scores are of shape \(5, 3\)", BY_SCORE, LABELS, SCORES[:5])
    refused(r"scores are of shape \(6,\)", BY_SCORE, LABELS, LABELS)
    for bad in (math.nan, math.inf, -math.inf):
        scores = SCORES.copy()
        scores[2:4, 1] = bad
        refused("The scores of 2 of 6 pictures are not finite", BY_SCORE, LABELS, scores)
    for wrong in (SCORES * 5, SCORES - 0.5, torch.randn(6, 3) * 9):
        refused(r"probabilities from 0 to 1.*softmax", [reliability], LABELS, wrong)


def test_one_class_only_or_one_missing():
    both = [BY_ANSWER[1:], CURVES]
    for calls, given in zip(both, (LABELS, SCORES), strict=True):
        refused("All 6 pictures are of the class 'dog'", calls, [1] * 6, given)
        refused("no picture of 'owl' among 6", calls, [0, 1, 0, 1, 0, 1], given)
    macro = [lambda labels, b: paired_bootstrap(labels, labels, b, measure="macro f1")]
    refused("no picture of 'class 2'", macro, [0, 1] * 3, LABELS)


@pytest.mark.parametrize(
    ("classes", "words"),
    [("abc", "the names"), (3, "the names"), (["a"], "at least"), (["a", "b", "a"], "each once")],
)
def test_classes_are_names(classes, words):
    with pytest.raises(CourseError, match=words):
        confusion([0, 1], [0, 1], classes)


def test_tensors_arrays_and_lists_are_the_same():
    tensor, half = torch.tensor(LABELS), torch.tensor(SCORES).bfloat16().requires_grad_()
    assert str(class_report(tensor, tensor.byte(), NAMES)) == str(
        class_report(LABELS, np.array(LABELS, dtype=np.int32), NAMES)
    )
    assert roc_curves(tensor, half, NAMES).areas == roc_curves(LABELS, SCORES, NAMES).areas
    assert reliability(tensor, half).error == pytest.approx(0, abs=2e-3)
