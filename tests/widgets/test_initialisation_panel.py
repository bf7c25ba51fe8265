from __future__ import annotations

import base64
import itertools
import threading

import pytest
import torch

from course_utils import plots
from course_utils.core.errors import CourseError
from course_utils.training.initialisation import ACTIVATIONS, SCHEMES, signal_spread
from course_utils.widgets.initialisation_panel import (
    InitialisationPanel,
    initialisation_panel,
)
from course_utils.widgets.panel import Panel


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def panel(images):
    panel = InitialisationPanel(images, depth=6, width=8)
    yield panel
    assert panel.wait(30)


def test_it_shows_what_signal_spread_measures(panel, images):
    panel.set(scheme="he", activation="tanh", batch_norm=True)
    assert panel.error == ""
    assert panel.result.chosen == signal_spread("he", 6, "tanh", True, width=8, images=images)
    assert panel.result.chosen.verdict in panel.summary


def test_the_other_schemes_follow(panel):
    panel.set(scheme="xavier")
    before = panel._picture.value
    assert panel.wait(30)
    assert [spread.scheme for spread in panel.result.others] == [
        s for s in SCHEMES if s != "xavier"
    ]
    assert panel._picture.value != before
    assert {spread.depth for spread in panel.result.others} == {6}


def test_another_scheme_of_a_known_stack_is_complete_at_once(panel):
    assert panel.wait(30)
    panel.set(scheme="orthogonal")
    assert len(panel.result.others) == len(SCHEMES) - 1


def test_only_the_chosen_scheme_is_blue_and_the_axis_stands_still(images):
    spreads = {s: signal_spread(s, 30, "relu", width=8, images=images) for s in SCHEMES}
    figure = plots.layer_statistics(spreads, highlight="he", limits=(1e-12, 1e12))
    for axes in figure.axes:
        assert axes.get_ylim() == pytest.approx((1e-12, 1e12))
        chosen = axes.lines[list(SCHEMES).index("he")]
        others = [line for line in axes.lines if line is not chosen]
        assert chosen.get_color() == "#0173b2" and chosen.get_marker() == "o"
        assert {(line.get_color(), line.get_marker()) for line in others} == {("#b0b0b0", "None")}
        assert chosen.get_zorder() > max(line.get_zorder() for line in others)
        assert chosen.get_linewidth() > max(line.get_linewidth() for line in others)
    names = {text.get_text(): text for text in figure.axes[0].texts}
    assert set(names) == set(SCHEMES)
    heights = sorted(text.xy[1] for text in names.values())
    assert heights[0] >= 0 and heights[-1] <= 1
    assert min(b - a for a, b in itertools.pairwise(heights)) > 0.04
    colours = {name: text.get_color() for name, text in names.items()}
    assert len(set(colours.values())) == 2
    assert [s for s in SCHEMES if colours[s] == colours["he"]] == ["he"]


@pytest.mark.parametrize("name", ["depth", "width"])
def test_both_ends_of_every_slider(panel, name):
    slider = panel.controls[name]
    for end in (slider.min, slider.max):
        before = panel._picture.value
        panel.set(**{name: end})
        assert panel.error == ""
        assert panel._picture.value != before or end == 8
        assert panel.summary


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_with_every_activation_has_a_verdict(panel, scheme):
    for activation in ACTIVATIONS:
        for batch_norm in (False, True):
            panel.set(scheme=scheme, activation=activation, batch_norm=batch_norm)
            assert panel.error == ""
            assert panel.summary.startswith(f"{scheme}, 6 layers, {activation}")


def test_its_line_is_the_verdict_and_its_code_runs(panel):
    panel.set(scheme="he read as variance", depth=30, activation="relu")
    assert "Activations explode" in panel.summary
    model = torch.nn.Conv2d(1, 2, 3)
    from course_utils.training.initialisation import initialise

    exec(panel.code(panel.result), {"initialise": initialise, "model": model})
    assert model.bias.abs().sum() == 0


def test_the_committed_picture_has_all_schemes(images):
    panel = InitialisationPanel(images, depth=4, width=8)
    bundle = panel._repr_mimebundle_()
    assert len(panel.result.others) == len(SCHEMES) - 1
    assert base64.b64decode(bundle["image/png"]) == panel._picture.value
    assert bundle["text/plain"].startswith("Initialisation panel: default, 4 layers, relu.")


def test_moving_a_slider_makes_the_thread_give_up(panel):
    """Only the last stack is completed, not all those that the slider passed."""
    assert panel.wait(30)
    for depth in range(7, 12):
        panel.set(depth=depth)
    assert panel.wait(30)
    known = {d: sum(("depth", d) in key for key in panel._known) for d in range(7, 12)}
    assert known[11] == len(SCHEMES)
    assert all(known[d] < len(SCHEMES) for d in range(7, 11))


def test_a_failure_in_the_thread_is_shown(panel, monkeypatch):
    assert panel.wait(30)
    main, true = threading.current_thread(), panel._spread

    def spread(scheme, stack):
        if threading.current_thread() is not main:
            raise RuntimeError("out of memory")
        return true(scheme, stack)

    monkeypatch.setattr(panel, "_spread", spread)
    panel.set(depth=13)
    assert panel.wait(30)
    assert panel.error == "Unexpected RuntimeError: out of memory"
    monkeypatch.setattr(panel, "_spread", true)
    panel.set(depth=12)
    assert panel.error == ""


def test_pictures_without_spread_are_answered_in_words():
    panel = InitialisationPanel(torch.zeros(2, 1, 8, 8))
    assert "no spread" in panel.error
    assert isinstance(panel.exception, CourseError)


def test_the_default_is_the_real_pictures():
    panel = initialisation_panel(width=8, depth=2)
    assert isinstance(panel, Panel) and panel.error == ""
    assert panel._images.shape == (8, 1, 28, 28)
    assert panel.wait(30)


def test_a_wrong_name_is_refused(images):
    with pytest.raises(CourseError, match="no control 'deep'"):
        InitialisationPanel(images, deep=3)
