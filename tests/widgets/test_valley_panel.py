from __future__ import annotations

from functools import partial

import pytest
import torch

from course_utils.core import CourseError
from course_utils.training import descend
from course_utils.widgets import valley_panel


@pytest.fixture(scope="module")
def panel():
    return valley_panel()


def test_it_shows_the_path_of_torchs_own_optimizer(panel):
    panel.set(rate=0.08, momentum=0, curvature=20)
    before = panel.shown_picture
    assert panel.error == "" and panel.result.descent == descend(torch.optim.SGD, 0.08)
    assert panel.summary == (
        "Rate 0.08, steep curvature 20. After 30 steps: a = −0.33, b = 0; the loss went from 18 to "
        "0.054."
    )
    panel.set(rate=0.13, momentum=0.4)
    assert panel.shown_picture != before and "Rate 0.13, momentum 0.4, steep" in panel.summary
    assert panel.result.descent == descend(partial(torch.optim.SGD, momentum=0.4), 0.13)
    assert panel.summary.endswith("a = −0.00016, b = 0; the loss went from 18 to less than 0.0001.")
    panel.set(momentum=0)
    assert "b = about 10⁶; the loss went from 18 to about 10¹³." in panel.summary


@pytest.mark.parametrize(
    ("settings", "grows"),
    [
        ({"rate": 0.095}, False),
        ({"rate": 0.105}, True),
        ({"rate": 0.055, "curvature": 40}, True),
        ({"rate": 0.195, "curvature": 10}, False),
        ({"rate": 0.13, "momentum": 0.4}, False),
    ],
)
def test_the_limit_can_be_found_by_hand(panel, settings, grows):
    panel.set(**({"momentum": 0, "curvature": 20} | settings))
    assert panel.error == ""
    losses = panel.result.descent.losses
    assert (losses[-1] > losses[0]) == grows


@pytest.mark.parametrize("settings", [{}, {"momentum": 0.4, "curvature": 40}, {"rate": 0.25}])
def test_the_code_makes_the_same_path(panel, settings):
    panel.set(**({"rate": 0.1, "momentum": 0, "curvature": 20} | settings))
    names = {"descend": descend, "partial": partial, "torch": torch}
    assert eval(panel.shown_code, names) == panel.result.descent


def test_a_rate_that_cannot_be(panel):
    panel.set(rate=-1)
    assert "has to be a positive number" in panel.error
    panel.set(rate=0.1)
    assert panel.error == ""
    with pytest.raises(CourseError, match="no control 'steps'"):
        valley_panel(steps=3)
