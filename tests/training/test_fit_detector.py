"""Training a detector: what it learns, frozen backbones, and what is refused."""

from __future__ import annotations

import pytest
import torch

from course_utils.core import CourseError, seeded
from course_utils.data import BoxSet, Dataset
from course_utils.metrics import average_precision
from course_utils.models import Detector, SmallBackbone
from course_utils.training import fit_detector, propose_all
from tests.toys import box_set, same, weights

QUIET = {"progress": False, "precision": "float32"}


def squares(count: int = 16) -> Dataset:
    """Return pictures of 32 × 32 pixels with one bright square: small or large."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 60, (count, 3, 32, 32), generator=generator).to(torch.uint8)
    boxes, labels = [], []
    for number, picture in enumerate(images):
        side = (6, 14)[number % 2]
        left, top = torch.randint(0, 32 - side, (2,), generator=generator).tolist()
        picture[:, top : top + side, left : left + side] = 230
        boxes.append(torch.tensor([[left, top, left + side, top + side]]).float())
        labels.append(torch.tensor([number % 2]))
    every = BoxSet(images, boxes, labels, ("small", "large"))
    none = every.subset([])
    return Dataset("squares", "Squares", every, none, every)


def detector() -> Detector:
    return seeded(lambda: Detector(2, SmallBackbone(widths=(8, 16, 16, 16)), width=16), 0)


def test_it_learns_to_find_squares():
    data, model = squares(), detector()
    history = fit_detector(model, data, epochs=12, learning_rate=1e-2, **QUIET)
    assert history.step_loss[-1] < history.step_loss[0] / 2
    assert len(history.step_loss) == 12 * 4  # every picture in four ways
    found = [one.choose() for one in propose_all(model, data)]
    scores = average_precision(found, data.test, small=10)
    assert scores.mean > 0.8, scores


def test_a_frozen_backbone_runs_once_and_keeps_its_numbers():
    data, model = squares(8), detector()
    model.backbone.requires_grad_(False)
    calls = []
    model.backbone.register_forward_hook(lambda *_: calls.append(1))
    before = weights(model.backbone)
    fit_detector(model, data, epochs=3, flips=False, **QUIET)
    assert same(before, weights(model.backbone))
    # Once for the maps, once where `fit` tries the model.
    assert len(calls) == 2


class Still(SmallBackbone):
    """A backbone whose BatchNorm keeps its statistics, with one weight that it does not use."""

    def __init__(self, learns: bool) -> None:
        super().__init__(widths=(8, 16, 16, 16))
        self.requires_grad_(False)
        self.unused = torch.nn.Parameter(torch.zeros(1), requires_grad=learns)

    def train(self, mode: bool = True) -> Still:
        return super().train(False)


def test_maps_computed_once_train_as_the_backbone_does():
    losses = []
    for learns in (False, True):  # only a backbone without anything to learn runs once
        model = seeded(lambda learns=learns: Detector(2, Still(learns), width=16), 0)
        options = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-2, "flips": False}
        losses.append(fit_detector(model, squares(8), **options, **QUIET).step_loss)
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_the_same_seed_leads_to_the_same_weights():
    one, other = detector(), detector()
    for model in (one, other):
        fit_detector(model, squares(8), epochs=1, flips=False, seed=3, **QUIET)
    assert same(weights(one), weights(other))


def test_what_does_not_fit_is_refused():
    data = squares(4)
    with pytest.raises(CourseError, match="has 3 classes, Squares has 2"):
        fit_detector(Detector(3, SmallBackbone(widths=(8, 8, 8)), width=8), data)
    boxes = box_set().subset([1, 2])
    lacking = Dataset("toy", "Toy", boxes, boxes.subset([]), boxes)
    with pytest.raises(CourseError, match="No picture has a 'bar'"):
        fit_detector(detector(), lacking)
