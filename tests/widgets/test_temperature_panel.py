from __future__ import annotations

import math
from importlib import import_module

import pytest
import torch
from torch import nn

from course_utils.core import CourseError
from course_utils.data import load_photograph
from course_utils.training import soften
from course_utils.widgets import temperature_panel
from tests.toys import toy_card

module = import_module("course_utils.widgets.temperature_panel")  # the room hides the module


class Fixed(nn.Module):
    """A teacher that counts its calls and prefers the class "dog"."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, pictures):
        assert pictures.shape[1:] == (3, 16, 16) and not self.training
        self.calls += 1
        return torch.tensor([[1.0, 3.0, 0.0, -1.0]])


@pytest.fixture
def teacher():
    return Fixed().train()


def test_it_shows_the_softened_probabilities(teacher):
    panel = temperature_panel(teacher, card=toy_card(), temperature=2)
    shares = soften(torch.tensor([1.0, 3.0, 0.0, -1.0]), 2)
    assert list(panel.result.probabilities) == ["dog", "cat", "hen", "owl"]
    assert list(panel.result.probabilities.values()) == pytest.approx(
        shares[[1, 0, 2, 3]].tolist(), abs=1e-6
    )
    assert (
        f"dog {shares[1]:.0%}" in panel.summary
        and panel.shown_code == "soften(logits, temperature=2)"
    )
    assert teacher.training, "its mode comes back"


def test_the_temperature_moves_the_picture_and_asks_the_teacher_once(teacher):
    panel = temperature_panel(teacher, card=toy_card())
    first = panel.shown_picture
    panel.set(temperature=20)
    assert panel.error == "" and panel.shown_picture != first and teacher.calls == 1
    assert panel.result.alike == pytest.approx(4, abs=0.1)
    panel.set(photograph="zebra", temperature=0.5)
    assert teacher.calls == 2 and panel.result.alike < 1.2


def test_many_classes_are_summed_up():
    logits = torch.zeros(100)
    logits[7] = 2
    result = module.softened(load_photograph(), logits, tuple(map(str, range(100))), 1.0)
    assert next(iter(result.probabilities)) == "7" and result.others[0] == 92
    assert sum(result.probabilities.values()) + result.others[1] == pytest.approx(1)
    assert module.draw(result)[:4] == b"\x89PNG"
    certain = module.softened(load_photograph(), torch.tensor([900.0, -math.inf]), ("a", "b"), 1)
    assert certain.alike == pytest.approx(1)


def test_a_network_whose_classes_are_not_known(teacher):
    with pytest.raises(CourseError, match="no classes are known"):
        temperature_panel(teacher)
    with pytest.raises(CourseError, match="photograph"):
        temperature_panel(teacher, card=toy_card(), photograph="horse")
