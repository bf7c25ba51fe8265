"""The ladder panel: the stored rungs, and one that is trained again."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from course_utils.core import CourseError
from course_utils.experiments import Ladder, Plan, Row
from course_utils.experiments.ladder.ladder_file import pack_right
from course_utils.widgets.ladder_panel import LadderPanel
from tests.toys import toy_data

TINY = Plan("stripes", 1, 1, batch_size=20, sgd_batch_size=20, narrow=(4, 6), wide=(4, 6, 8))
NAMES = ("article", "longer", "larger", "views", "distilled")


def stored(seeds: int = 2) -> Ladder:
    rows = []
    for number, name in enumerate(NAMES, 1):
        for seed in range(seeds):
            right = np.random.default_rng(10 * number + seed).random(50) < 0.5 + 0.08 * number
            row = (number, name, seed, int(right.sum()), 50, 100, 1000, 1, 1, 1.0)
            rows.append(Row(*row, pack_right(right)))
    return Ladder(tuple(rows), {}, {})


@pytest.fixture
def panel(panels):
    pictures = toy_data(size=16)
    panels.append(LadderPanel(ladder=stored(), plan=TINY, pictures=pictures, rung="longer"))
    return panels[-1]


def test_it_shows_the_stored_ladder_and_the_chosen_rung(panel):
    assert panel.error == "" and Image.open(io.BytesIO(panel.shown_picture)).size[0] == 700
    ladder = panel.result.ladder
    assert panel.summary.startswith(f"longer: {panel.result.rung.adds}. ")
    assert f"{ladder.accuracy('longer').middle:.1%} (" in panel.summary
    assert " points over article (" in panel.summary
    before = panel.shown_picture
    panel.set(rung="article")
    assert "points over" not in panel.summary and panel.shown_picture != before
    assert "rung_named('article'" in panel.shown_code and "climb(rung, plan, 3" in panel.shown_code


def test_a_training_becomes_a_mark_beside_the_stored_ones(panel):
    before = panel.shown_picture
    panel.train(wait=True)
    assert panel.error == "" and [run.label for run in panel.runs] == ["longer, seed 3"]
    assert panel.runs[0].total == 24 and panel.shown_picture != before
    assert f"Your own: {panel.runs[0].accuracy:.1%} with seed 3." in panel.summary
    panel.train(wait=True)
    assert "trained already" in panel.error and len(panel.runs) == 1
    panel.set(seed=4)
    panel.train(wait=True)
    assert panel.error == "" and len(panel.runs) == 2
    assert "Your own" not in panel._repr_mimebundle_()["text/plain"]
    panel.clear()
    assert panel.runs == [] and "Your own" not in panel.summary


@pytest.mark.parametrize("name", ["views", "distilled"])
def test_a_rung_that_needs_another_one_trains_it_first(panel, name):
    panel.set(rung=name)
    panel.train(wait=True)
    assert panel.error == "" and [run.rung for run in panel.runs] == [name]


def test_stop_keeps_no_half_run_and_the_same_rung_goes_on(panel, monkeypatch):
    steps = []

    def stop_at_the_first(step):
        steps.append(step.step)
        panel.stop()

    with monkeypatch.context() as patch:
        patch.setattr(panel, "on_step", stop_at_the_first)
        panel.train(wait=True)
    assert steps == [1] and panel.runs == [] and panel.status == "Stopped: no run to compare."
    panel.train(wait=True)
    assert panel.error == "" and len(panel.runs) == 1


def test_an_error_of_the_training_is_shown(panel, monkeypatch):
    from course_utils.widgets import ladder_panel

    def fail(*args, **kwargs):
        raise CourseError("CIFAR-10 is not on this computer.")

    monkeypatch.setattr(ladder_panel, "climb", fail, raising=False)
    monkeypatch.setitem(LadderPanel.train_one.__globals__, "climb", fail)
    panel.train(wait=True)
    assert panel.error == "CIFAR-10 is not on this computer." and panel.runs == []


@pytest.mark.parametrize("settings", [{"rung": "first"}, {"seed": "two"}, {"epochs": 3}])
def test_first_values_that_are_not_possible(settings):
    with pytest.raises(CourseError):
        LadderPanel(ladder=stored(1), plan=TINY, **settings)


def test_there_is_no_other_ladder():
    with pytest.raises(CourseError, match="fashion_mnist_small, cifar10"):
        LadderPanel("mnist")
