from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from course_utils.core import CourseError
from course_utils.metrics import evaluate, wilson_interval
from course_utils.metrics.evaluate import check_logits
from tests.toys import same, stripes, toy_model, weights


class Reads(nn.Module):
    """Answers with the class that the first pixel names, after normalisation by (0, 1/255)."""

    def forward(self, images):
        return nn.functional.one_hot(images[:, 0, 0, 0].round().long(), 3).float() * 5


def read_set(first_pixels, labels):
    pictures = stripes(len(labels))
    pictures.images[:, 0, 0, 0] = torch.tensor(first_pixels)
    return type(pictures)(pictures.images, torch.tensor(labels), pictures.classes)


def test_evaluate_counts():
    image_set = read_set([0, 1, 2, 2, 0], [0, 1, 2, 1, 1])
    result = evaluate(Reads(), image_set, mean=[0.0], std=[1 / 255], batch_size=2)
    assert (result.correct, result.total, result.accuracy) == (3, 5, 0.6)
    assert result.predictions.tolist() == [0, 1, 2, 2, 0]
    assert result.labels.tolist() == [0, 1, 2, 1, 1]
    assert result.right.tolist() == [True, True, True, False, False]
    assert result.logits.tolist() == (5 * torch.eye(3)[[0, 1, 2, 2, 0]]).tolist()
    assert torch.equal(result.probabilities, result.logits.softmax(1))
    right, wrong = -5 + math.log(math.exp(5) + 2), math.log(math.exp(5) + 2)
    assert result.loss == pytest.approx((3 * right + 2 * wrong) / 5, rel=1e-6)
    assert result.interval() == wilson_interval(3, 5)
    assert str(result) == "60.0% of 5 (95 % interval 23.1% to 88.2%)"


@pytest.mark.parametrize("batch_size", [1, 7, 24, 1000])
def test_batch_size_does_not_change_the_result(batch_size):
    image_set, model = stripes(24), toy_model(norm=True, dropout=0.5)
    model[1].running_mean += 0.1
    result = evaluate(model, image_set, batch_size=batch_size, mean=[0.4], std=[0.2])
    model.eval()
    logits = model((image_set.images / 255 - 0.4) / 0.2)
    assert result.predictions.tolist() == logits.argmax(1).tolist()
    loss = nn.functional.cross_entropy(logits, image_set.labels).item()
    assert result.loss == pytest.approx(loss, rel=1e-5)


def test_evaluate_leaves_the_model_as_it_was():
    model = toy_model(norm=True, dropout=0.5).train()
    model[1].eval()  # a frozen layer keeps its mode, too
    modes, before = [m.training for m in model.modules()], weights(model)
    state = torch.get_rng_state()
    model[0].register_forward_hook(lambda *_: seen.append(torch.is_grad_enabled()))
    seen: list[bool] = []
    evaluate(model, stripes(12), mean=[0.4], std=[0.2])
    assert seen == [False]
    assert [m.training for m in model.modules()] == modes
    assert same(before, weights(model))
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_on_batch_may_end_it_and_the_mode_comes_back():
    model, calls = toy_model().train(), []

    def on_batch():
        calls.append(model[0].training)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(model, stripes(30), mean=[0], std=[1], batch_size=5, on_batch=on_batch)
    assert calls == [False] * 3 and all(m.training for m in model.modules())


def test_nothing_to_evaluate_on():
    with pytest.raises(CourseError, match="no picture"):
        evaluate(toy_model(), stripes(3).subset([]), mean=[0.0], std=[1.0])


@pytest.mark.parametrize(
    ("logits", "text"),
    [
        (torch.zeros(4, 7), "7 scores .* 3 classes: give its last layer 3 outputs"),
        (torch.zeros(4, 3, 2, 2), r"\(4, 3, 2, 2\)"),
        (torch.zeros(8, 3), r"\(8, 3\)"),
        ((torch.zeros(4, 3),), "returns a tuple"),
    ],
)
def test_what_is_not_a_table_of_scores(logits, text):
    with pytest.raises(CourseError, match=text):
        check_logits(logits, 4, 3)
