"""The places that are responsible for a box, and the loss."""

from __future__ import annotations

import pytest
import torch

from course_utils.core import CourseError
from course_utils.models import detection_loss
from course_utils.models.detection_loss import centreness, responsible
from course_utils.models.detector import Places
from tests.toys import box_set

STRIDES = (4, 8, 16)


def maps(count: int = 1, size: int = 64, classes: int = 2) -> list[torch.Tensor]:
    return [torch.zeros(count, classes + 5, size // s, size // s) for s in STRIDES]


def target(*boxes: list[float]) -> torch.Tensor:
    return torch.tensor([boxes]).float()


PLACES = Places.of(maps(), STRIDES)


@pytest.mark.parametrize(
    "side, level", [(1, 0), (6, 0), (16, 0), (17, 1), (32, 1), (33, 2), (64, 2)]
)
@pytest.mark.parametrize("corner", [0.0, 0.4, 3.0])
def test_one_level_takes_boxes_of_a_size(side, level, corner):
    corner = min(corner, 64 - side)
    chosen = responsible(PLACES, target([0, corner, corner, corner + side, corner + side]))[0]
    places = (chosen == 0).nonzero()[:, 0]
    assert len(places) and set(PLACES.levels[places].tolist()) == {level}
    middle = torch.tensor([corner + side / 2] * 2)
    away = (PLACES.centres[places] - middle).abs().amax()
    assert away <= max(min(side / 2, 1.5 * STRIDES[level]), STRIDES[level] / 2)


def test_with_one_level_it_takes_all():
    places = Places.of(maps()[1:2], STRIDES[1:2])
    for side in (2, 20, 60):
        assert (responsible(places, target([0, 1, 1, 1 + side, 1 + side])) == 0).any()


def test_the_smallest_of_several_boxes_counts():
    chosen = responsible(PLACES, target([0, 0, 0, 16, 16], [1, 4, 4, 12, 12]))[0]
    centre = (PLACES.centres == 6).all(1) & (PLACES.levels == 0)
    assert chosen[centre].tolist() == [1] and (chosen == 0).any()


def test_rows_without_a_box_and_pictures_without_rows():
    empty = target([-1, 0, 0, 0, 0])
    assert (responsible(PLACES, empty) == -1).all()
    assert (responsible(PLACES, torch.zeros(1, 0, 5)) == -1).all()
    loss = detection_loss(maps(), torch.zeros(1, 0, 5), STRIDES)
    assert loss.boxes == 0 and loss.centreness == 0 and loss.total == loss.scores > 0


def test_centreness():
    centres = torch.tensor([[5.0, 5], [2, 5], [0, 5], [-1, 5]])
    box = torch.tensor([[0.0, 0, 10, 10]]).expand(4, 4)
    assert centreness(centres, box).tolist() == pytest.approx([1, 0.5, 0, 0])


def test_a_perfect_answer_has_nearly_no_loss():
    targets = target([1, 8, 8, 20, 20], [0, 10, 20, 50, 60])
    chosen = responsible(PLACES, targets)[0]
    flat = torch.zeros(1, len(chosen), 7)
    flat[..., :2] = -20
    for place in (chosen >= 0).nonzero()[:, 0]:
        label, *box = targets[0, chosen[place]]
        flat[0, place, int(label)] = 20
        centre, stride = PLACES.centres[place], PLACES.strides[place]
        sides = torch.cat([centre - torch.stack(box[:2]), torch.stack(box[2:]) - centre]) / stride
        flat[0, place, 2:6] = torch.log(torch.expm1(sides.clamp(min=1e-4)))
        inner = centreness(centre[None], torch.stack(box)[None])
        flat[0, place, 6] = torch.logit(inner, eps=1e-6)
    splits = [(64 // s) ** 2 for s in STRIDES]
    outputs = [
        part.transpose(1, 2).reshape(1, 7, 64 // s, 64 // s)
        for part, s in zip(flat.split(splits, dim=1), STRIDES, strict=True)
    ]
    loss = detection_loss(outputs, targets, STRIDES)
    assert loss.scores < 1e-5 and loss.boxes < 1e-4
    assert detection_loss(maps(), targets, STRIDES).total > 10 * loss.total


def test_the_loss_has_finite_gradients():
    outputs = [level.requires_grad_() for level in maps(3, 32)]
    detection_loss(outputs, box_set().targets(), STRIDES).total.backward()
    assert all(level.grad.isfinite().all() and level.grad.any() for level in outputs)


def test_what_does_not_fit_is_refused():
    with pytest.raises(CourseError, match=r"shape \(1, boxes, 5\), not \(2, 1, 5\)"):
        detection_loss(maps(), torch.zeros(2, 1, 5), STRIDES)
    with pytest.raises(CourseError, match="label 2, but the detector has 2 classes"):
        detection_loss(maps(), target([2, 0, 0, 9, 9]), STRIDES)
