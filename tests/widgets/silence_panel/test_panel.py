from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from course_utils.conv import ORDERS
from course_utils.core import CourseError, seeded
from course_utils.widgets import silence_panel
from course_utils.widgets.one_click import measured_network
from course_utils.widgets.silence_panel.picture import MOST, WIDTH
from course_utils.widgets.silence_panel.silenced import POINTS, counts_of
from tests.plots.samples import written
from tests.toys import same, toy_card, toy_data, toy_model, weights
from tests.widgets.messages import upload

DATA = toy_data()


def colours(width: int = 6, layers: int = 1) -> nn.Module:
    """Return a network of kernels that have a BatchNorm, for four classes."""
    norms = [nn.BatchNorm2d(width) for _ in range(layers)]
    convs = [nn.Conv2d(3 if not k else width, width, 3, padding=1) for k in range(layers)]
    body = [one for pair in zip(convs, norms, strict=True) for one in (*pair, nn.ReLU())]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 4))


@pytest.fixture
def make(panels):
    def build(model: nn.Module | None = None, **settings: object):
        given = {"card": toy_card()} | settings
        panel = silence_panel(model or seeded(colours, 0), data=DATA, **given)
        panel.stop = lambda: None
        panels.append(panel)
        return panel

    return build


def expected(panel, kernels) -> torch.Tensor:
    """Return the probabilities of the first photograph without these kernels."""
    network = panel.result.network
    model = copy.deepcopy(network.model).eval()
    with torch.no_grad():
        maps = model[2](model[1](model[0](network.held_out.images[:1])))
        maps[:, list(kernels)] = 0
        return model[3:](maps).softmax(1)[0]


def test_the_slider_takes_kernels_away_and_the_curve_says_when_it_is_lost(make):
    panel = make()
    kept = weights(panel.result.network.model)
    assert panel.error == "" and panel.result.silent == ()
    assert "0: all 6 kernels are on; picture 'cat': " in panel.summary
    panel.set(take_away=2)
    order, watched = panel.result.order, panel.result.before[0]
    assert panel.result.silent == tuple(sorted(order[:2]))
    assert "2 of 6 kernels are silent, the 2 smallest; picture" in panel.summary
    assert panel.wait(60) and panel.result.complete
    for count in range(7):
        share = expected(panel, order[:count])[watched.index]
        assert panel.result.curve[count] == pytest.approx(float(share), abs=1e-5)
    assert same(kept, weights(panel.result.network.model))
    probability = expected(panel, order[:2]).max()
    assert panel.result.after[0].probability == pytest.approx(float(probability), abs=1e-5)


def test_single_kernels_are_switched_by_hand(make):
    panel = make(by_hand=(4,), take_away=1, order="largest")
    taken = panel.result.order[0]
    assert panel.result.silent == tuple(sorted({4, taken})) and "by hand 4" in panel.summary
    buttons = panel._buttons.value
    assert buttons.count("<button") == 5, "the slider has taken one of six"
    assert "kernel 4: switch it on" in buttons and buttons.count('aria-pressed="true"') == 1
    assert (panel.model[:2](torch.rand(1, 3, 8, 8))[:, [4, taken]] == 0).all()
    panel.set(by_hand=(), take_away=0)
    assert panel.result.silent == () and panel.result.before == panel.result.after


def test_classes_of_a_set_are_added_up(make):
    panel = make(classes=["dog", "owl"], take_away=3)
    share = expected(panel, panel.result.silent)[[1, 3]].sum()
    assert panel.result.curve[3] == pytest.approx(float(share), abs=1e-5)
    with pytest.raises(CourseError, match="no class 'cow'; it has 'cat', 'dog'"):
        make(classes=["cow"])


def test_each_order_is_a_setting_and_only_chance_has_a_seed(make):
    panel = make()
    orders = {}
    for name in ORDERS:
        panel.set(order=name, take_away=6)
        orders[name] = panel.result.order
        assert panel.result.silent == tuple(range(6))
        assert (panel.controls["seed"].layout.display == "none") == (name != "at random")
    assert orders["largest"] == orders["smallest"][::-1]
    panel.set(seed=3)
    assert panel.result.order != orders["at random"]
    panel.set(seed=0)
    assert panel.result.order == orders["at random"]


def test_another_layer_begins_with_all_kernels(make):
    panel = make(seeded(lambda: colours(40, layers=2), 0), take_away=5, by_hand=(3,))
    panel.set(layer="3")
    assert panel.error == "" and panel.result.silent == () and panel.settings["by_hand"] == ()
    assert panel.controls["take_away"].max == 40 and panel._buttons.value.count("<button") == MOST
    size = Image.open(io.BytesIO(panel.shown_picture)).size
    panel.set(take_away=40)
    assert Image.open(io.BytesIO(panel.shown_picture)).size == size and size[0] == WIDTH


def test_a_curve_has_few_points_and_both_ends():
    for kernels in (1, 2, 32, 33, 1152):
        counts = counts_of(kernels)
        assert counts[0] == 0 and counts[-1] == kernels and len(counts) <= POINTS
        assert counts == sorted(set(counts))


def test_the_curve_is_drawn_as_it_is_known(make):
    panel = make(seeded(lambda: colours(40), 0))
    assert panel.wait(60)
    whole = panel.shown_picture
    panel._silencer._curves.clear()
    panel._curve.patience = 60
    panel.refresh()
    assert len(panel.result.curve) == 1 and panel.shown_picture != whole
    panel._curve.cancel()
    assert panel.describe_unmeasured(panel.result).endswith(panel.result.before[0].name + ".")


def test_a_failure_in_the_background_is_shown(make, monkeypatch):
    panel = make()
    assert panel.wait(60)
    monkeypatch.setattr(panel._silencer, "complete", lambda _: 1 / 0)
    panel.set(order="largest")
    panel.wait(60)
    assert "ZeroDivisionError" in panel.error


def test_labelled_pictures_and_the_network_of_the_course(make):
    panel = make(toy_model(norm=True), card=None, picture=2, take_away=2)
    assert panel.error == "" and panel.result.before[0].name in DATA.classes
    assert panel.controls["picture"].options[2][0].startswith("2: ")
    pixels = np.asarray(Image.open(io.BytesIO(panel.shown_picture)).convert("RGB"))
    assert (pixels == (1, 115, 178)).all(-1).sum() > 500, "the bars and the curve"


class Divides(nn.Module):
    """Divides the channels by their sum, which is 0 without any kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.conv(x).mean((2, 3))
        return found / found.sum(1, keepdim=True)


def test_scores_that_are_not_finite_are_said_in_words(make):
    panel = make(Divides(), take_away=4)
    assert panel.error == "" and "now nothing, because the scores are not finite" in panel.summary
    assert panel.wait(60) and panel.error == "" and panel.result.complete
    panel.set(take_away=3)
    assert panel.error == "" and "not finite" not in panel.summary


def test_the_code_makes_the_same_network(make):
    panel = make(take_away=2, by_hand=(0,))
    names = {"model": panel.result.network.model}
    exec(panel.shown_code, names)
    assert same(weights(names["model"]), weights(panel.model))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (nn.Sequential(nn.Conv2d(3, 7, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "not known"),
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(4)), "no Conv2d"),
    ],
)
def test_a_network_without_names_or_kernels_is_refused_in_words(model, words):
    with pytest.raises(CourseError, match=words):
        silence_panel(model, data=DATA, card=toy_card())


def test_the_cat_becomes_a_lynx():
    panel = silence_panel(data=DATA, by_hand=(18,))
    assert panel.error == "" and panel.settings["layer"] == "stem.conv"
    assert panel.result.before[0].name == "Egyptian cat" and panel.result.after[0].name == "lynx"
    assert panel.wait(120)


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (["owl"], "probability of owl,"),
        (None, "probability of "),
        (["dog", "owl", "cat"], "probability of any of 3 classes, with the 1 smallest taken away"),
    ],
)
def test_the_title_of_the_curve_fits_however_many_classes_are_added_up(make, classes, said):
    panel = make(classes=classes, take_away=1)
    with written() as texts:
        panel.refresh()
    assert any(said in words and "…" not in words for words, *_ in texts)


def test_a_photograph_of_the_reader_is_shown_as_the_last_one(make):
    panel = make()
    count = len(panel.result.network.held_out)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))
    for number, name in enumerate(("Minka (yours)", "Minka (yours) (2)")):
        upload(panel, picture, "Minka.png")
        assert panel.error == "" and panel.settings["picture"] == count + number
        assert f"picture {name!r}" in panel.summary
    held_out = panel.result.network.held_out
    assert len(held_out) == count + 2 and held_out.credit(count) == ""
    panel.set(take_away=1, picture=0)
    assert panel.error == "" and "picture 'cat'" in panel.summary
    upload(panel, b"no image", "notes.txt")
    assert "notes.txt is not a picture" in panel.error


def test_only_a_panel_of_photographs_has_a_button_for_them(make):
    def shown(panel) -> bool:
        return panel._upload in panel.children[1].children[0].children

    assert shown(make()) and not shown(make(toy_model(norm=True), card=None))


def test_labelled_data_is_read_only_if_it_is_shown(monkeypatch):
    """Reading Fashion-MNIST takes a third of the time until the first panel of the course."""

    def read(name: str):
        raise CourseError(f"read {name}")

    monkeypatch.setattr(measured_network, "load_dataset", read)
    assert silence_panel(seeded(colours, 0), card=toy_card()).error == ""
    with pytest.raises(CourseError, match="read fashion-mnist"):
        silence_panel(toy_model(norm=True))
