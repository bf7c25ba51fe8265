"""The shipped detector of blood cells finds what its card says."""

from __future__ import annotations

import pytest
import torch

from course_utils.core import CourseError
from course_utils.data import load_boxes
from course_utils.experiments.cell_detector import RECIPE
from course_utils.metrics import average_precision
from course_utils.models import cell_detector_card, cells, load_cell_detector, save_cell_detector
from course_utils.training import propose_all


def test_it_is_as_good_as_its_card_says():
    model, card, data = load_cell_detector(), cell_detector_card(), load_boxes()
    assert not model.training
    assert (card.data, card.classes, card.recipe) == (data.name, data.classes, RECIPE)
    scores = average_precision([one.choose() for one in propose_all(model, data)], data.test)
    found = {"mean": scores.mean, **scores.classes}
    assert found == pytest.approx(card.average_precision, abs=0.01)
    assert scores.mean > 0.8


def test_damaged_files(tmp_path, monkeypatch):
    content = cells._read()
    monkeypatch.setattr(cells, "_ASSETS", tmp_path)
    with pytest.raises(CourseError, match="There is no file"):
        load_cell_detector()
    save_cell_detector(content)
    load_cell_detector()
    save_cell_detector(content | {"arguments": {"classes": 4}})
    with pytest.raises(CourseError, match=r"another model.*cell_detector"):
        load_cell_detector()
    for change in ({"recipe": None}, {"classes": "red cell"}):
        save_cell_detector(content | change)
        with pytest.raises(CourseError, match="cell_detector"):
            cell_detector_card()


def test_each_call_returns_a_new_network():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    assert load_cell_detector() is not load_cell_detector()
    assert torch.equal(before, torch.get_rng_state())
