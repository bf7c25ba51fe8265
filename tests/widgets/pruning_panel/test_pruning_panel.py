from __future__ import annotations

import io

import pytest
import torch
from PIL import Image
from torch import nn

from course_utils.compress import mask_by_magnitude, multiply_adds, prune, recalibrate
from course_utils.core import CourseError, seeded
from course_utils.metrics import evaluate
from course_utils.widgets import pruning_panel
from course_utils.widgets.pruning_panel import panel as module
from course_utils.widgets.pruning_panel.picture import WIDTH, height_of
from tests.toys import same, toy_data, toy_model, weights

DATA = toy_data()
DATA_EXAMPLE = DATA.normalise(DATA.train.images[:1])
PATIENCE = 120  # seconds, of which a busy machine needs a few


def chain(*widths: int) -> nn.Module:
    """Return convolutions in a row for the stripes; the names of their layers are 0, 2, 4 ..."""
    layers: list[nn.Module] = []
    for before, after in zip((1, *widths), widths, strict=False):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * after, 3))


class Coupled(nn.Module):
    """Adds the channels of two layers; a third is alone."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.back = (
            nn.Conv2d(1, 16, 3, padding=1),
            nn.Conv2d(16, 24, 3, padding=1),
            nn.Conv2d(24, 16, 3, padding=1),
        )
        self.head = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.head((x + self.back(self.inner(x).relu())).mean((2, 3)))


class Fixed(nn.Module):
    """Stops when its layer is narrower."""

    def __init__(self) -> None:
        super().__init__()
        self.net = chain(16, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.net[0].out_channels < 16:
            raise RuntimeError("16 channels, please")
        return self.net(x)


@pytest.fixture
def make(panels):
    def build(model: nn.Module | None = None, data=DATA, **settings: object):
        panels.append(pruning_panel(model or seeded(lambda: chain(32, 16), 0), data, **settings))
        return panels[-1]

    return build


@pytest.fixture
def held(hold_steps):
    return hold_steps(module, "fit")


def accuracy_of(panel, model: nn.Module) -> float:
    few = panel._pruner.few
    return evaluate(model, few, mean=DATA.mean, std=DATA.std).accuracy


@pytest.mark.parametrize("model", [None, seeded(Coupled, 1)])
def test_it_shows_the_network_that_prune_makes(make, model):
    panel = make(model)
    whole = panel._pruner.model
    before, example = weights(whole), DATA.normalise(DATA.train.images[:1])
    assert panel.result.cost == 1 and "All channels are there" in panel.summary
    first, second = list(panel.controls)[:2]
    panel.set(**{first: 0.5, second: panel._pruner.options[second][1]})
    result = panel.result
    pruned = prune(whole, result.removed, example_input=example)
    assert panel._pruner.recalibrate_on == 0, "these networks have no BatchNorm"
    assert panel.error == "" and same(weights(pruned), weights(panel.model))
    assert result.now.accuracy == accuracy_of(panel, pruned)
    assert result.whole.accuracy == accuracy_of(panel, whole)
    assert result.cost == multiply_adds(pruned, example) / multiply_adds(whole, example)
    assert result.now.parameters == sum(p.numel() for p in pruned.parameters())
    for layer, width in result.left.items():
        assert pruned.get_submodule(layer).out_channels == width
    assert same(before, weights(whole))


@pytest.mark.parametrize("count", [0, 20, 10_000])
def test_a_network_with_batch_norm_is_recalibrated_after_a_cut(make, count):
    norm = nn.BatchNorm2d(16)
    model = seeded(lambda: nn.Sequential(nn.Conv2d(1, 16, 3), norm, *chain(16)[1:]), 0)
    settings = {"fine_tune": {"precision": "float32"}, "epochs": 1, "recalibrate_on": count}
    panel = make(model, **settings)
    panel.set(**{"0": 0.5})
    kept, cut = min(count, len(DATA.train)), prune(model, {"0": 0.5}, example_input=DATA_EXAMPLE)
    if count:
        cut = recalibrate(cut, DATA.normalise(DATA.train.few(kept).images))
    assert same(weights(cut), weights(panel.model)) and panel._pruner.recalibrate_on == kept
    assert panel.result.now.accuracy == accuracy_of(panel, cut)
    for tune in (False, True):
        if tune:
            panel.fine_tune(wait=True)
        names = {"model": model, "data": DATA}
        names["fine_tune"] = panel._fine_tune | {"progress": False}
        exec(panel.shown_code, names)
        assert same(weights(names["pruned"]), weights(panel.model))
    assert panel.wait_for_curves(PATIENCE)
    assert panel.result.curves["0"][0.5] == panel.result.now.accuracy


def test_a_slider_stops_only_where_prune_does_and_stands_for_its_group(make):
    panel = make(Coupled())
    assert set(panel.controls) == {"stem", "inner", "epochs"}
    assert panel._pruner.options == {"stem": (0.0, 0.5), "inner": (0.0, 0.3333, 0.6667)}
    assert panel.controls["stem"].tooltip == "stem, back"
    panel.cut({"back": 0.4, "inner": 0.01})
    assert panel.settings == {"stem": 0.5, "inner": 0.0, "epochs": 2}
    panel.cut(0.99)
    assert panel.settings["inner"] == 0.6667 and panel.result.left == {"stem": 8, "inner": 8}
    panel.cut({})
    assert panel.result.removed == {}
    fine = make(Coupled(), shares={"inner": 1 / 24}, divisible_by=1, floor=1)
    assert fine.result.left["inner"] == 23 and "divisible_by=1, floor=1" in fine.shown_code


def test_a_curve_is_the_slider_of_one_layer_alone(make):
    panel = make(shares={"0": 0.5})
    assert panel.wait_for_curves(PATIENCE) and panel._pruner.is_complete
    curves = panel.result.curves
    assert {layer: list(curve) for layer, curve in curves.items()} == {
        "0": [0, 0.25, 0.5, 0.75],
        "2": [0, 0.5],
    }
    for layer, curve in curves.items():
        for share, accuracy in curve.items():
            panel.cut({layer: share} if share else {})
            assert panel.result.now.accuracy == accuracy


def test_the_picture_grows_with_the_layers_and_shows_the_curves(make):
    panel = make(chain(16, 16, 16, 16))
    panel._curves.patience = 60
    panel.refresh()
    bare = panel.shown_picture
    panel._curves.cancel()
    list(panel._pruner.complete())
    panel.refresh()
    assert panel.shown_picture != bare
    assert Image.open(io.BytesIO(bare)).size == (WIDTH, height_of(4))
    assert height_of(4) > height_of(3) == height_of(1)


def test_half_the_cost_in_one_click(make):
    panel = make(chain(64, 64, 64), shares={"2": 0.125})
    panel.halve()
    assert panel.result.left == {"0": 40, "2": 40, "4": 40} and panel.result.cost <= 0.5
    panel.cut(0.25)
    assert panel.result.left == {"0": 48, "2": 48, "4": 48} and panel.result.cost > 0.5


def test_a_goal_that_cannot_be_reached_is_said_in_the_panel(make):
    panel = make(chain(48, 16), floor=40)
    panel._shown(panel.halve)()
    assert "cannot fall to 50%" in panel.error
    panel.set(**{"0": 0.1667})
    assert panel.error == "" and panel.result.left == {"0": 40}


def test_fine_tuning_stands_beside_and_the_code_repeats_it(make):
    panel = make(fine_tune={"precision": "float32", "learning_rate": 0.01}, epochs=1)
    panel.cut({"0": 0.5})
    before = panel.result.now
    panel.fine_tune(wait=True)
    assert panel.error == "" and panel.status == "Done." and panel._bar.value == panel._bar.max
    tuned = panel.result.tuned
    assert panel.model is tuned.model and panel.result.now == before
    assert tuned.measured.accuracy == accuracy_of(panel, tuned.model)
    assert "after 1 epoch of fine-tuning" in panel.summary
    names = {"model": panel._pruner.model, "data": DATA, "fine_tune": panel._fine_tune}
    names["fine_tune"] = names["fine_tune"] | {"progress": False}
    exec(panel.shown_code, names)
    assert same(weights(names["pruned"]), weights(tuned.model))
    panel.set(**{"2": 0.5})
    assert panel.result.tuned is None and panel.model is not tuned.model
    panel.set(**{"2": 0.0})
    assert panel.result.tuned is tuned


def test_stop_keeps_the_part_that_was_trained(make, held):
    panel = make(shares={"0": 0.5}, fine_tune={"precision": "float32", "batch_size": 16})
    panel.fine_tune()
    assert held.arrived.wait(PATIENCE) and panel._tune_button.disabled
    panel.fine_tune()
    assert "already" in panel.status
    panel.set(**{"2": 0.5})
    panel.stop()
    assert panel.wait(PATIENCE) and panel.error == ""
    assert panel.status.startswith("Stopped after step 1 of") and panel.result.tuned is None
    panel.set(**{"2": 0.0})
    assert not panel.tuned.complete and "fine-tuned in part" in panel.summary
    assert "stopped early" in panel.shown_code and panel._stop_button.disabled
    held.arrived.clear()
    panel.fine_tune()
    assert held.arrived.wait(PATIENCE)
    panel.reset()
    assert not panel.running and panel.tuned is None and panel.status == ""
    assert panel.result.removed == {} and panel._bar.value == 0


def test_faults_of_the_work_stand_in_the_error_line(make, monkeypatch):
    panel = make()
    panel._shown(panel.fine_tune)()
    assert panel.error.startswith("No channel is removed yet") and not panel.running
    panel.set(**{"0": 0.5})
    assert panel.error == ""
    monkeypatch.setattr(module, "fit", lambda *_, **__: 1 / 0)
    panel.fine_tune(wait=True)
    assert "ZeroDivisionError" in panel.error and panel.tuned is None
    panel.refresh()
    assert panel.error == "" and panel.wait_for_curves(PATIENCE)
    monkeypatch.setattr(panel._pruner, "complete", lambda: 1 / 0)
    panel._pruner._known.clear()
    panel.refresh()
    panel.wait_for_curves(PATIENCE)
    assert "ZeroDivisionError" in panel.error


def test_a_layer_that_cannot_shrink_says_why_and_how_to_go_on(make):
    panel = make(Fixed())
    assert panel.wait_for_curves(PATIENCE) and panel.error == ""
    assert list(panel.result.curves["net.0"]) == [0] and len(panel.result.curves["net.2"]) > 1
    for shares in ({"net.0": 0.5}, {"net.0": 0.5, "net.2": 0.5}):
        panel.set(**shares)
        assert "16 channels, please" in panel.error and panel.nearest == {"net.0": 0.0}
        panel.apply_nearest()
        assert panel.error == "" and panel.settings["net.0"] == 0


@pytest.mark.parametrize(
    ("model", "data", "more", "words"),
    [
        (toy_model(), DATA, {}, "No channel can be removed"),
        (nn.Flatten(), DATA, {}, "no Conv2d"),
        (chain(16), toy_data(validation=0), {}, "no validation pictures"),
        (mask_by_magnitude(chain(16), 0.5), DATA, {}, "mask"),
        (chain(16), DATA, {"shares": {"9": 0.5}}, "'9' has no channels that can go"),
        (chain(16), DATA, {"shares": 1.5}, "between 0 and 1"),
        (chain(16), DATA, {"pictures": 0}, "pictures"),
        (chain(16), DATA, {"fine_tune": {"epochs": 3}}, "itself passes epochs="),
        (chain(16), DATA, {"epoch": 3}, "no control 'epoch'"),
        (nn.Module, DATA, {}, "not yet a network"),
    ],
)
def test_what_cannot_be_shown_is_said_at_once(model, data, more, words):
    with pytest.raises(CourseError, match=words):
        pruning_panel(model, data, **more)


def test_the_network_of_the_course_and_its_code():
    panel = pruning_panel(pictures=50)
    panel.cut(0.25)
    names: dict[str, object] = {}
    exec(panel.shown_code, names)
    assert same(weights(names["pruned"]), weights(panel.model))
    assert "stem 24 of 32" in panel.describe_unmeasured(panel.result)
    assert "accuracy" not in panel.describe_unmeasured(panel.result)
    assert panel.wait_for_curves(PATIENCE)
