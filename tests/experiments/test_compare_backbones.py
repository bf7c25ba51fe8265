"""The comparison of backbones: every backbone and seed; the frozen one does not change."""

from __future__ import annotations

import torch

from course_utils.data import Dataset
from course_utils.experiments import compare_backbones
from course_utils.experiments.compare_backbones import BACKBONES, compare
from tests.toys import box_set


def test_the_records(monkeypatch):
    monkeypatch.setattr(compare_backbones, "EPOCHS", 1)
    boxes = box_set()
    data = Dataset("toy", "Toy", boxes, boxes.subset([]), boxes)
    records = list(compare(data, (3,)))
    assert [record["backbone"] for record in records] == list(BACKBONES)
    assert all(record["seed"] == 3 and {"ap50", "dot", "bar"} < set(record) for record in records)


def test_the_frozen_backbone_has_nothing_to_learn():
    frozen = BACKBONES["frozen Lite0"]()
    assert not any(weight.requires_grad for weight in frozen.parameters())
    assert all(weight.requires_grad for weight in BACKBONES["small"]().parameters())
    torch.testing.assert_close(frozen.channels, (24, 40, 112))
