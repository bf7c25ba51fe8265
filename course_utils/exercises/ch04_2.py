"""Exercises of notebook 04_2: the top-down path, sides of a box, IoU, NMS, precision and recall."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from course_utils.exercises import answers
from course_utils.exercises.answers import Answer, Case, Wrong
from course_utils.exercises.base import exercise


def _check_top_down(answer: Answer) -> str:
    random = torch.Generator().manual_seed(0)
    for sizes, what in (
        (((8, 8), (4, 4)), "two levels"),
        (((16, 16), (8, 8), (4, 4)), "three levels: the finest one gets the coarsest one, too"),
        (((15, 20), (8, 10), (4, 5)), "an odd size"),
        (((6, 6),), "one level"),
    ):
        levels = [torch.randn(2, 3, *size, generator=random) for size in sizes]
        got = answer([level.clone() for level in levels], where=f"{what}:")
        if not isinstance(got, (tuple, list)) or len(got) != len(levels):
            raise answers.wrong_kind(got, f"a list of {len(levels)} tensors", f"{what}:")
        want = list(levels)
        for k in range(len(want) - 2, -1, -1):
            want[k] = want[k] + F.interpolate(want[k + 1], size=want[k].shape[-2:])
        for k, (one, other) in enumerate(zip(got, want, strict=True)):
            answers.compare_tensors(one, other, f"{what}: level {k}")
    return "This is the top-down path of Lin et al. (2017)."


@exercise(
    "04_2.top_down",
    check=_check_top_down,
    hints=(
        "Begin with the coarsest level, the last one of the list. It stays as it is.",
        "F.interpolate(coarse, size=fine.shape[-2:]) enlarges a map to the size of another one. "
        "Add what is already merged, not the original level.",
        "for k in range(len(levels) - 2, -1, -1): levels[k] plus merged[k + 1], enlarged",
    ),
)
def top_down(levels: list[torch.Tensor]) -> list[torch.Tensor]:
    """Add every coarser level to each level, from the top down.

    Levels are (N, C, H, W) with the same C, the finest first. Enlarge by repeating the nearest
    value, to the exact size of the finer level.
    """
    merged = list(levels)
    for k in range(len(levels) - 2, -1, -1):
        size = merged[k].shape[-2:]
        merged[k] = levels[k] + torch.nn.functional.interpolate(merged[k + 1], size=size)
    return merged


def _check_sides(answer: Answer) -> str:
    for arguments, want, what in (
        ((5, 4, (2, 1, 10, 9)), (3, 3, 5, 5), "a place in the box"),
        ((2, 8, (2, 1, 10, 9)), (0, 7, 8, 1), "a place on its left edge"),
        ((11, 4, (2, 1, 10, 9)), (9, 3, -1, 5), "a place to the right of the box"),
    ):
        got = answer(*arguments, where=f"{what}:")
        read = answers.tensor(got, f"{what}:", (4,))
        answers.compare_tensors(read, torch.tensor(want, dtype=torch.float64), what)
    return "A place is in the box if all four are positive."


@exercise(
    "04_2.sides",
    check=_check_sides,
    hints=(
        "Draw it: a point, a box around it, and an arrow from the point to each side.",
        "The box is (left, top, right, bottom), and y grows downwards. Each distance is positive "
        "for a point inside.",
        "x - left and y - top are two of them; for the other two, subtract in the other order.",
    ),
)
def sides(
    x: float, y: float, box: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    """Compute how far a place is from the left, top, right and bottom side of a box.

    The box is (left, top, right, bottom). The distances are negative beyond a side.
    """
    left, top, right, bottom = box
    return x - left, y - top, right - x, bottom - y


def _iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = sum((one[2] - one[0]) * (one[3] - one[1]) for one in (a, b))
    return width * height / (area - width * height)


def _check_iou(answer: Answer) -> str:
    cases = [
        Case(((0, 0, 10, 10), (5, 0, 15, 10)), "half of each", "50 / (100 + 100 − 50)"),
        Case(((0, 0, 10, 10), (0, 0, 10, 10)), "equal boxes"),
        Case(((0, 0, 10, 10), (2, 2, 4, 4)), "one inside the other", "4 / 100"),
        Case(((0, 0, 10, 10), (10, 0, 20, 10)), "boxes that only touch"),
        Case(((0, 0, 10, 10), (20, 30, 25, 40)), "apart in both directions", "they share nothing"),
        Case(((20, 30, 25, 40), (0, 0, 10, 10)), "the same in the other order"),
        Case(((0.5, 1.5, 7.0, 4.0), (3.0, 0.0, 9.5, 3.25)), "fractions of pixels"),
    ]
    answers.compare_numbers(answer, cases, _iou, "boxes {} and {}")
    return "torchvision.ops.box_iou computes the same for many boxes at once."


@exercise(
    "04_2.iou",
    check=_check_iou,
    hints=(
        "The common part is a box, too. Its left side is the larger one of the two left sides.",
        "If its width or height would be negative, the boxes share nothing: max(0, ...).",
        "The union is the first area plus the second area minus the common area.",
    ),
)
def iou(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Compute intersection over union of two boxes (left, top, right, bottom)."""
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    common = width * height
    area_a = (a[2] - a[0]) * (a[3] - a[1])
    area_b = (b[2] - b[0]) * (b[3] - b[1])
    return common / (area_a + area_b - common)


def _check_nms(answer: Answer) -> str:
    from torchvision.ops import box_iou
    from torchvision.ops import nms as reference

    random = torch.Generator().manual_seed(0)
    square = torch.tensor([[0.0, 0, 10, 10]])
    chain = square + torch.tensor([[0.0], [3], [6]]) * torch.tensor([1.0, 0, 1, 0])
    corner = 30 * torch.rand(20, 2, generator=random)
    many = torch.cat([corner, corner + 12], dim=1)
    cases: list[tuple[Tensor, Tensor, float, str]] = [
        (square, torch.tensor([0.9]), 0.5, "one box"),
        (
            chain,
            torch.tensor([0.9, 0.8, 0.7]),
            0.5,
            "three boxes in a row: a box that is removed removes no other",
        ),
        (chain, torch.tensor([0.1, 0.8, 0.7]), 0.5, "the surest box is not the first"),
        (many, torch.rand(20, generator=random), 0.3, "twenty boxes"),
        (square[:0], torch.zeros(0), 0.5, "no box"),
    ]
    for boxes, scores, threshold, what in cases:
        got = answer(
            boxes,
            scores,
            threshold,
            lambda a, b: box_iou(a[None], b[None]).item(),
            where=f"{what}:",
        )
        if isinstance(got, Tensor):
            got = got.tolist()
        want = reference(boxes, scores, threshold).tolist()
        if not isinstance(got, (list, tuple)):
            raise answers.wrong_kind(got, "a list of numbers of boxes", f"{what}:")
        if [int(k) for k in got] != want:
            raise Wrong(f"{what}: your result is {list(got)}, it should be {want}")
    return "torchvision.ops.nms keeps the same boxes, much faster."


@exercise(
    "04_2.nms",
    check=_check_nms,
    hints=(
        "scores.argsort(descending=True).tolist() returns the numbers of the boxes, the surest "
        "first. Go through them in this order.",
        "Keep a box if its IoU with every box that you have kept so far is at most `threshold`.",
        "if all(iou(boxes[k], boxes[other]) <= threshold for other in kept): kept.append(k)",
    ),
)
def nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float, iou) -> list[int]:
    """Choose boxes (K, 4): go from the surest to the least sure, and drop repetitions.

    A box is dropped if its IoU with a box that was kept is above the threshold. Return the numbers
    of the kept boxes, the surest first. iou(boxes[i], boxes[j]) is given.
    """
    kept: list[int] = []
    for k in scores.argsort(descending=True).tolist():
        if all(iou(boxes[k], boxes[other]) <= threshold for other in kept):
            kept.append(k)
    return kept


def _check_precision_recall(answer: Answer) -> str:
    for right, objects, what in (
        ([True, True], 2, "all right"),
        ([True, False, True, False], 4, "half of them right, two objects never found"),
        ([False, True], 1, "the surest box is wrong"),
        ([False], 3, "nothing right"),
    ):
        where = f"{what} (right = {right}, {objects} objects):"
        got = answer(right, objects, where=where)
        if not isinstance(got, (tuple, list)) or len(got) != 2:
            raise answers.wrong_kind(got, "two lists, precisions and recalls", where)
        hits = torch.tensor(right).double().cumsum(0)
        counts = torch.arange(1, len(right) + 1)
        answers.compare_tensors(got[0], hits / counts, f"{where[:-1]}: precision")
        answers.compare_tensors(got[1], hits / objects, f"{where[:-1]}: recall")
    return "The area under this curve is the average precision."


@exercise(
    "04_2.precision_recall",
    check=_check_precision_recall,
    hints=(
        "After k boxes: how many of the k were right? Of all the objects, how many are found?",
        "Count the right boxes while you go through the list: hits += one.",
        "precisions.append(hits / k) and recalls.append(hits / objects), with k from 1.",
    ),
)
def precision_recall(right: list[bool], objects: int) -> tuple[list[float], list[float]]:
    """Compute precision and recall after the first box, the first two, ..., and all of them.

    `right` says which boxes are right, the surest first; there are `objects` objects.
    Return (precisions, recalls), each as long as `right`.
    """
    precisions, recalls, hits = [], [], 0
    for k, one in enumerate(right, start=1):
        hits += one
        precisions.append(hits / k)
        recalls.append(hits / objects)
    return precisions, recalls
