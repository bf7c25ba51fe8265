"""IoU, matches and average precision, against cases made by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torchvision import ops

from course_utils.core import CourseError
from course_utils.data import BoxSet
from course_utils.metrics import COCO_IOU, average_precision, box_iou, match, match_all


def truth(*pictures: list[tuple], classes: tuple[str, ...] = ("a", "b")) -> BoxSet:
    """Return pictures of 100 × 100 pixels; each box is (label, left, top, right, bottom)."""
    rows = [torch.tensor(each).float().reshape(-1, 5) for each in pictures]
    images = torch.zeros(len(rows), 1, 100, 100, dtype=torch.uint8)
    return BoxSet(images, [r[:, 1:] for r in rows], [r[:, 0].long() for r in rows], classes)


def found(*boxes: tuple) -> SimpleNamespace:
    """Return found boxes; each is (score, label, left, top, right, bottom)."""
    rows = torch.tensor(boxes).float().reshape(-1, 6)
    return SimpleNamespace(boxes=rows[:, 2:], scores=rows[:, 0], labels=rows[:, 1].long())


SQUARE = (0, 0, 10, 10)
HALF = (5, 0, 15, 10)  # IoU with SQUARE: 50 / 150
MOST = (0, 0, 10, 8)  # IoU with SQUARE: 80 / 100


def test_iou_by_hand_and_by_torchvision():
    boxes = torch.tensor([SQUARE, HALF, MOST, (20, 20, 30, 30)]).float()
    assert box_iou(boxes[:1], boxes)[0].tolist() == pytest.approx([1, 1 / 3, 0.8, 0])
    torch.manual_seed(0)
    many = torch.rand(50, 4).sort(dim=1).values[:, [0, 1, 2, 3]] * 40
    torch.testing.assert_close(box_iou(many, boxes), ops.box_iou(many, boxes))
    point = torch.tensor([[3.0, 3, 3, 3]])
    assert box_iou(point, point).item() == 0
    assert box_iou(boxes[:0], boxes).shape == (0, 4)


@pytest.mark.parametrize(
    "boxes, right, seen",
    [
        ([(0.9, 0, *SQUARE)], [True], [True]),
        ([(0.9, 0, *MOST), (0.8, 0, *SQUARE)], [True, False], [True]),  # each object once
        ([(0.9, 1, *SQUARE)], [False], [False]),  # another class
        ([(0.9, 0, *HALF)], [False], [False]),
        ([], [], [False]),
    ],
)
def test_matches(boxes, right, seen):
    one = truth([(0, *SQUARE)])
    matches = match(found(*boxes), one.boxes[0], one.labels[0])
    assert (matches.right.tolist(), matches.seen.tolist()) == (right, seen)


def test_precision_and_recall():
    pictures = truth([(0, *SQUARE), (1, 50, 50, 60, 60)], [])
    boxes = [found((0.9, 0, *SQUARE), (0.5, 0, 30, 30, 40, 40)), found((0.4, 1, *SQUARE))]
    matches = match_all(boxes, pictures)
    assert (matches.precision, matches.recall) == (pytest.approx(1 / 3), 0.5)
    nothing = match_all([found(), found()], pictures.subset([1, 1]))
    assert (nothing.precision, nothing.recall) == (1, 1)


def test_average_precision_by_hand():
    pictures = truth([(0, *SQUARE)], [(0, *SQUARE)])
    perfect = [found((0.9, 0, *SQUARE))] * 2
    assert average_precision(perfect, pictures).mean == pytest.approx(1)
    # The surest box is wrong, then one object is found: precision 1/2 up to recall 1/2.
    half = [found((0.9, 0, 50, 50, 60, 60), (0.8, 0, *SQUARE)), found()]
    scores = average_precision(half, pictures)
    assert scores.mean == pytest.approx(0.5 * 51 / 101)
    assert scores.classes["a"] == scores.mean and math.isnan(scores.classes["b"])
    # IoU 0.8 counts at seven of COCO's ten thresholds.
    rough = [found((0.9, 0, *MOST))] * 2
    assert average_precision(rough, pictures, iou=COCO_IOU).mean == pytest.approx(0.7)
    assert average_precision([found()] * 2, pictures).mean == 0


@pytest.mark.parametrize("small", [16.0, 5.0, 64.0])
def test_sizes_scale_with_small(small):
    sides = {"small": 0.9 * small, "medium": 1.5 * small, "large": 3.2 * small}
    for size, side in sides.items():
        if side > 100:
            continue
        box = (0, 0, side, side)
        scores = average_precision([found((1, 0, *box))], truth([(0, *box)]), small=small)
        assert [not math.isnan(getattr(scores, name)) for name in sides] == [
            name == size for name in sides
        ]


def test_a_class_that_only_the_detector_knows():
    pictures = truth([(1, *SQUARE)], classes=("a", "b", "c"))
    scores = average_precision([found((0.9, 1, *SQUARE), (0.8, 0, *SQUARE))], pictures)
    assert scores.classes["b"] == 1 and math.isnan(scores.classes["c"])


def test_what_cannot_be_measured():
    pictures = truth([(0, *SQUARE)])
    for call, words in (
        (lambda: average_precision([], pictures), "boxes for 0 pictures"),
        (lambda: match_all([], pictures), "boxes for 0 pictures"),
        (lambda: average_precision([found()], pictures, small=0), "small=0"),
        (lambda: average_precision([found()], pictures, iou=()), r"iou=\(\)"),
        (lambda: average_precision([found()], pictures, iou=(1.5,)), "1.5"),
        (lambda: average_precision([found()], truth([])), "no box to find"),
    ):
        with pytest.raises(CourseError, match=words):
            call()
