from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from course_utils.core import CourseError, seeded
from course_utils.data import PHOTOGRAPHS, load_photograph
from course_utils.metrics import top_classes
from course_utils.models import load_pretrained
from course_utils.widgets.one_click.panel import OneClickLab, one_click_lab
from course_utils.widgets.one_click.shown_photographs import load_photographs
from tests.toys import same, toy_card, toy_data, toy_model, weights

DATA, CARD = toy_data(), toy_card()


def sees(side: int | None = None, classes: int = 4) -> nn.Module:
    """Return a network that tells colours apart, of any size or only of one."""
    pool = nn.AvgPool2d(side) if side else nn.AdaptiveAvgPool2d(1)
    layers = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), pool, nn.Flatten(), nn.Linear(6, classes)
    return nn.Sequential(*layers)


def lab_of(model: nn.Module | None = None, **settings: object) -> OneClickLab:
    return one_click_lab(model or seeded(sees, 0), DATA, **({"card": CARD} | settings))


@pytest.mark.parametrize(
    ("source", "names"),
    [
        (None, list(PHOTOGRAPHS)),
        ("zebra", ["zebra"]),
        (["cat", "cat", torch.rand(3, 40, 30)], ["cat", "cat (2)", "your picture"]),
        ({"mine": torch.rand(9, 9)}, ["mine"]),
    ],
)
def test_the_photographs_have_names(source, names):
    found = load_photographs(source)
    assert list(found) == names and all(len(one) == 3 for one in found.values())


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda: Image.new("L", (30, 20), 90), (20, 30)),
        (lambda: Image.new("RGBA", (30, 20), (9, 9, 9, 0)), (20, 30)),
        (lambda: Image.new("RGB", (3000, 2000), "red"), (683, 1024)),
        (lambda: Image.new("P", (30, 20)), (20, 30)),  # two frames
        (lambda: Image.new("RGB", (30, 10), "red"), (30, 10)),
    ],
)
def test_pictures_of_every_kind_are_taken(tmp_path, make, size):
    picture = make()
    path = tmp_path / ("my own.gif" if picture.mode == "P" else "my own.png")
    notes = Image.Exif()
    notes[0x0112] = 6 if picture.height == 10 else 1  # the camera was turned by 90°
    frames = [picture.copy()] if picture.mode == "P" else []
    picture.save(
        path, **({"save_all": True, "append_images": frames} if frames else {"exif": notes})
    )
    lab = lab_of(photographs=path)
    assert lab.error == "" and lab.result.label == "my own"
    assert load_photographs(path)["my own"].shape == (3, *size)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("there is none.png", "There is no file"),
        (__file__, "not a picture"),
        ([], "no photograph"),
        (torch.rand(4, 8, 8), r"shape \(4, 8, 8\)"),
        (torch.rand(3, 8, 8) * 255, "numbers from .* to .*: give uint8, or floats"),
        (torch.full((3, 8, 8), torch.nan), "numbers from nan"),
        (torch.ones(3, 8, 8, dtype=torch.int64), "type int64"),
        (3, "not a photograph"),
    ],
)
def test_what_is_not_a_photograph_is_refused_in_words(source, words):
    with pytest.raises(CourseError, match=words):
        lab_of(photographs=source)


def test_a_wider_layer_sees_the_same_to_the_last_percent():
    lab = lab_of(out_channels=9)
    before, after = lab.result.seen
    expected = top_classes(lab.result.before.model, load_photograph("cat"), CARD, size=16)
    assert [(one.name, one.index) for one in before] == [(one.name, one.index) for one in expected]
    assert [one.probability for one in before] == pytest.approx([p for _, p, _ in expected])
    assert [p for _, p, _ in after] == pytest.approx([p for _, p, _ in before])
    share = f"{100 * before[0].probability:.0f}"
    assert f"picture 'cat': still {before[0].name}, {share} → {share} %." in lab.summary
    assert f"picture 'cat': still {before[0].name}." in lab.describe_unmeasured(lab.result)


def test_another_class_is_said_in_words():
    model = sees()
    with torch.no_grad():
        for layer in (model[0], model[4]):
            layer.weight.zero_()
        model[0].bias[:] = model[4].weight[2] = 1
        model[4].bias[:] = torch.tensor([3.0, 0, 0, 0])
    # Scores 3, 0, 6, 0 with the bias of the convolution, and 3, 0, 0, 0 without it.
    lab = lab_of(model, bias=False)
    assert "picture 'cat': was hen 95 %, now cat 87 %." in lab.summary


def test_photographs_have_no_accuracy_but_a_credit():
    lab = lab_of()
    assert lab.error == "" and lab.controls["picture"].max == len(PHOTOGRAPHS) - 1
    lab.train()
    assert "Photographs have no labels" in lab.status
    lab.set(picture=4)
    assert lab.result.label == "rocket"
    lab.set(network="first_cnn")
    assert lab.result.label in DATA.classes and lab.controls["picture"].max == 23


def test_the_photograph_is_drawn_in_colour():
    red = torch.zeros(3, 20, 20)
    red[0] = 1
    picture = Image.open(io.BytesIO(lab_of(photographs=red).shown_picture)).convert("RGB")
    assert (np.asarray(picture) == (255, 0, 0)).all(-1).sum() > 120 * 120


def test_a_network_gets_the_size_that_it_takes():
    assert lab_of(card=toy_card(size=300, resize=300)).result.image.shape == (3, 128, 128)
    assert lab_of(sees(16)).result.image.shape == (3, 16, 16)
    large = toy_card(size=160, resize=160)
    fixed = nn.Sequential(nn.Conv2d(3, 2, 8, 8), nn.Flatten(), nn.Linear(800, 4))
    assert lab_of(fixed, card=large).result.image.shape == (3, 160, 160)
    assert lab_of(picture_size=40).result.image.shape == (3, 40, 40)
    lab = lab_of(fixed, card=large, picture_size=64)
    assert "does not take a photograph of 64×64" in lab.error and "160×160" in lab.error
    assert "picture_size=0" in lab_of(picture_size=0).error
    assert "no Conv2d" in lab_of(nn.Flatten()).error


def test_without_names_of_classes_there_are_no_bars():
    lab = one_click_lab(sees(classes=7), DATA)
    assert lab.error == "" and lab.result.seen == ((), ()) and "picture" not in lab.summary
    lab = lab_of(sees(classes=7))
    assert lab.error == "" and lab.result.seen == ((), ()), "it is the card of another network"
    with pytest.raises(CourseError, match="card is for your own model"):
        one_click_lab(card=CARD)


def test_scores_that_are_not_finite_are_said_in_words():
    lab = lab_of()
    lab.set(out_channels=7)
    with torch.no_grad():
        lab.result.after._outputs[:] = torch.nan
    del lab.result.__dict__["seen"]
    assert "now nothing, because the scores are not finite" in lab.describe(lab.result)


def test_labelled_pictures_have_bars_as_well():
    lab = one_click_lab(toy_model(), DATA, out_channels=8)
    assert {one.name for one in lab.result.seen[0]} == set(DATA.classes)
    assert "still " in lab.summary and "accuracy at once" in lab.summary
    assert "still" not in lab.describe_unmeasured(lab.result)


def test_two_labs_share_a_network_and_neither_changes_it():
    model = seeded(sees, 0)
    kept = weights(model)
    one, other = lab_of(model), lab_of(model)
    one.set(out_channels=9)
    other.set(kernel_size=5)
    one.apply()
    assert one.error == other.error == "" and same(kept, weights(model))
    assert other.result.before.model is model and one.result.before.model is not model


def test_lite0_knows_the_cat_whatever_follows():
    lab = one_click_lab(load_pretrained("efficientnet_lite0"), DATA, out_channels=40)
    assert lab.error == "" and lab.result.image.shape == (3, 128, 128)
    before, after = lab.result.seen
    assert before[0].name == "Egyptian cat" and "still Egyptian cat" in lab.summary
    assert [one.index for one in before] == [one.index for one in after]
