"""Right and wrong answers to the exercises of notebook 04_2."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torchvision import ops


def test_top_down(solved, rejected):
    def from_below(levels):
        if len(levels) == 1:
            return levels
        rest = from_below(levels[1:])
        return [levels[0] + F.interpolate(rest[0], levels[0].shape[-2:]), *rest]

    def not_merged(levels):
        pairs = itertools.pairwise(levels)
        return [a + F.interpolate(b, a.shape[-2:]) for a, b in pairs] + levels[-1:]

    def doubled(levels):
        merged = list(levels)
        for k in range(len(levels) - 2, -1, -1):
            merged[k] = merged[k] + F.interpolate(merged[k + 1], scale_factor=2)
        return merged

    solved("04_2.top_down", from_below)
    rejected(
        "04_2.top_down",
        (not_merged, "three levels"),
        (doubled, "an odd size"),
        (lambda levels: levels, "two levels"),
        (lambda levels: levels[0], "a list of 2 tensors"),
    )


def test_sides(solved, rejected):
    solved("04_2.sides", lambda x, y, b: torch.tensor([x - b[0], y - b[1], b[2] - x, b[3] - y]))
    rejected(
        "04_2.sides",
        (lambda x, y, b: (x - b[0], b[2] - x, y - b[1], b[3] - y), "a place in the box"),
        (lambda x, y, b: (x - b[0], y - b[1], abs(b[2] - x), b[3] - y), "to the right of the box"),
    )


def test_iou(solved, rejected):
    solved("04_2.iou", lambda a, b: ops.box_iou(torch.tensor([a]).float(), torch.tensor([b])))
    rejected(
        "04_2.iou",
        (lambda a, b: ops.box_iou(torch.tensor([a]), torch.tensor([b])).item() / 2, "half of each"),
        (
            lambda a, b: (
                (min(a[2], b[2]) - max(a[0], b[0]))
                * (w := min(a[3], b[3]) - max(a[1], b[1]))
                / (200 - (min(a[2], b[2]) - max(a[0], b[0])) * w)
            ),
            "one inside the other",
        ),
    )


def test_nms(solved, rejected):
    def in_order(boxes, scores, threshold, iou):
        kept = []
        for k in range(len(boxes)):
            if all(iou(boxes[k], boxes[other]) <= threshold for other in kept):
                kept.append(k)
        return kept

    def removed_ones_remove(boxes, scores, threshold, iou):
        order = scores.argsort(descending=True).tolist()
        return [
            k
            for place, k in enumerate(order)
            if all(iou(boxes[k], boxes[other]) <= threshold for other in order[:place])
        ]

    solved("04_2.nms", lambda boxes, scores, threshold, iou: ops.nms(boxes, scores, threshold))
    rejected(
        "04_2.nms",
        (in_order, "the surest box is not the first"),
        (removed_ones_remove, "three boxes in a row"),
        (lambda boxes, scores, threshold, iou: 0, "a list of numbers"),
    )


def test_precision_recall(solved, rejected):
    def by_sums(right, objects):
        hits = [sum(right[: k + 1]) for k in range(len(right))]
        return [h / (k + 1) for k, h in enumerate(hits)], [h / objects for h in hits]

    solved("04_2.precision_recall", by_sums)
    rejected(
        "04_2.precision_recall",
        (lambda right, objects: by_sums(right, sum(right) or 1), "never found"),
        (lambda right, objects: sum(right) / len(right), "two lists"),
    )
