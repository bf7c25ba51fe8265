"""The experiment with few labelled pictures."""

from __future__ import annotations

import torch

from course_utils.experiments import compare_transfer as module
from course_utils.experiments.results import load_results
from tests.toys import toy_card, toy_data
from tests.training.test_transfer import network


def test_a_larger_choice_contains_the_smaller_one_and_all_classes():
    labels = torch.tensor([0, 1, 1, 2, 0, 2, 2, 1, 0, 0])
    few, more = (module.chosen_rows(labels, count, draw=3) for count in (1, 3))
    assert (
        labels[few].tolist() == [0, 1, 2] and labels[more].tolist() == [0] * 3 + [1] * 3 + [2] * 3
    )
    assert set(few.tolist()) < set(more.tolist()) and len(set(more.tolist())) == 9
    assert more.tolist() != module.chosen_rows(labels, 3, draw=4).tolist()


def test_each_way_is_measured_on_the_same_pictures(monkeypatch):
    monkeypatch.setattr(module, "load", lambda name: toy_data(90, channels=3, size=16))
    monkeypatch.setattr(module, "load_pretrained", lambda name: network())
    monkeypatch.setattr(module, "card_of", lambda network: toy_card())
    task = module.Task(16, (2, 8), {8: 24}, steps=6, tested=12)
    records = list(module.compare("stripes", task, draws=(0, 1)))
    ways = [(r["way"], r["labels"], r["draw"]) for r in records]
    one = [("frozen", 2), ("scratch", 2), ("frozen", 8), ("scratch", 8)]
    one += [("last parts", 8), ("all", 8)]
    assert ways == [(*pair, draw) for draw in (0, 1) for pair in one]
    assert all(round(12 * r["accuracy"], 4) == round(12 * r["accuracy"]) for r in records)


def test_cells_are_cut_out_of_the_photographs():
    data = module.load("blood cells")
    assert data.image_shape == (3, module.CELL, module.CELL) and len(data.classes) == 3
    for part in (data.train, data.test):
        counts = torch.bincount(part.labels)
        assert len(counts) == 3 and counts.min() == counts.max() >= 50


def test_the_committed_file_is_of_this_experiment():
    frame = load_results(module.NAME).frame()
    assert set(frame.data) == set(module.TASKS)
    for name, task in module.TASKS.items():
        rows = frame[frame.data == name]
        assert sorted(set(rows.labels)) == list(task.labels)
        for way in ("frozen", "scratch"):
            assert sorted(rows[(rows.way == way) & (rows.labels == 10)].draw) == list(module.DRAWS)
        assert set(rows[rows.way == "all"].labels) == set(task.shown)
