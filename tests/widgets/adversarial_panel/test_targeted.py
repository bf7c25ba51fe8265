"""The panel of targeted attacks: a button, a stored result, and noise beside it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.core import CourseError
from course_utils.widgets import targeted_panel
from course_utils.widgets.adversarial_panel.targeted import AWAY
from tests.toys import same, toy_card, weights


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 4))


@pytest.fixture
def panel():
    return targeted_panel(network(), card=toy_card())


def test_before_the_attack_there_is_noise_beside_the_photograph(panel):
    assert panel.error == "" and "Press Attack" in panel.summary
    plain, noisy = panel.result.looks
    assert ((noisy.picture - plain.picture).abs() <= 4 / 255 + 1e-6).all()
    assert panel.result.path == ()


def test_the_button_attacks_and_the_result_is_kept(panel):
    before = weights(panel._attack.model)
    panel.set(target="hen", level=8, steps=5)
    panel._start.click()
    assert panel.wait(60)
    assert panel.error == "" and "attacked hen" in panel.summary
    plain, noisy, attacked = panel.result.looks
    assert attacked.shares[2] > max(plain.shares[2], noisy.shares[2])
    assert ((attacked.picture - plain.picture).abs() <= 8 / 255 + 1e-6).all()
    path = panel.result.path
    assert len(path) == 6 and path[0] == pytest.approx(plain.shares[2].item(), abs=1e-5)
    assert path[-1] == pytest.approx(attacked.shares[2].item(), abs=1e-5)
    picture = panel.shown_picture
    panel.set(level=4)
    assert len(panel.result.looks) == 2
    panel.set(level=8)
    assert panel.shown_picture == picture, "nothing is computed again"
    assert same(before, weights(panel._attack.model))
    assert not panel._start.disabled and panel._end.disabled


@pytest.mark.parametrize("target", ["owl", AWAY])
def test_the_code_makes_the_same(panel, target):
    panel.set(target=target, photograph="zebra")
    panel.attack(wait=True)
    names = {"model": panel._attack.model, "card": panel._attack.card}
    exec(panel.shown_code, names)
    assert torch.equal(names["changed"][0], panel.result.looks[2].picture)


def test_away_leads_away_from_the_likely_classes():
    card = toy_card(tuple("abcdefgh"))
    model = nn.Sequential(network()[:3], nn.Linear(784, 8))
    panel = targeted_panel(model, card=card, target=AWAY)
    panel.attack(wait=True)
    plain, _, attacked = panel.result.looks
    likely = plain.shares.topk(5).indices
    assert attacked.shares[likely].sum() < plain.shares[likely].sum()


def test_stop_and_a_second_press(panel):
    inner = panel._attack.model.forward

    def slow(pictures):
        if panel.running:
            panel.attack()  # refused
            said.append(panel.status)
            panel.stop()
        return inner(pictures)

    said = []
    panel._attack.model.forward = slow
    panel.attack(wait=True)
    assert "on its way" in said[0] and "not completed" in panel.status
    assert len(panel.result.looks) == 2 and panel.error == "" and not panel._start.disabled


def test_an_error_in_the_attack_is_shown(panel):
    inner = panel._attack.model.forward
    panel._attack.model.forward = lambda x: inner(x).detach()
    panel.attack(wait=True)
    assert "int8 network" in panel.error and not panel._start.disabled


def test_bad_settings_are_sentences():
    with pytest.raises(CourseError, match="no classes are known"):
        targeted_panel(network())
    with pytest.raises(CourseError, match="'toaster' is not a class"):
        targeted_panel(network(), card=toy_card(), targets=("toaster",))
    with pytest.raises(CourseError, match="level"):
        targeted_panel(network(), card=toy_card(), level="3")
