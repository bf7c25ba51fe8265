"""The own-pictures panel: example, uploads, a folder, new pictures, Stop, and bad input."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.core import CourseError
from course_utils.training import features
from course_utils.widgets.own_pictures_panel import panel as module
from course_utils.widgets.own_pictures_panel.panel import OwnPicturesPanel
from tests.toys import toy_card, toy_data
from tests.training.test_transfer import network

COLOURS = {"red": (200, 20, 20), "blue": (20, 20, 200)}
ANY = np.random.default_rng(0)


def content(colour=(200, 20, 20), mode="RGB", kind="PNG", **options) -> bytes:
    """Return the bytes of a noisy picture, so that no two are equal."""
    noise = ANY.integers(0, 40, (20, 30, 3), dtype=np.uint8) + np.array(colour, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(file, kind, **options)
    return file.getvalue()


def uploaded(*contents: bytes, names: tuple[str, ...] = ()) -> tuple[dict, ...]:
    """Return the value that the button of an upload gets."""
    names = names or tuple(f"{k}.png" for k in range(len(contents)))
    pairs = zip(names, contents, strict=True)
    more = {"type": "image/png", "last_modified": datetime.now(UTC)}
    return tuple(
        {"name": name, "content": memoryview(one), "size": len(one)} | more for name, one in pairs
    )


@pytest.fixture
def panel(panels):
    example = toy_data(train=24, channels=3, size=16)
    made = OwnPicturesPanel(network(), card=toy_card(), example=example, size=16)
    panels.append(made)
    return made


def give(panel, count=4, **kinds):
    for name, colour in COLOURS.items():
        pictures = uploaded(*(content(colour, **kinds) for _ in range(count)))
        panel.set(class_name=name, pictures=pictures)


def test_it_shows_the_example_first(panel):
    assert panel.error == "" and "24 pictures of 3 classes" in panel.summary
    assert panel.result.new_name == "example of left"
    assert panel.classifier.confusion.sum() == 24
    assert len(panel.classifier.mistakes) == 24 - panel.classifier.correct
    assert sum(panel.result.probabilities.values()) == pytest.approx(1)


def test_a_few_uploaded_pictures_become_a_classifier(panel):
    give(panel)
    assert panel.controls["pictures"].value == () and "red 4, blue 4" in panel.status
    panel.set(class_name=" red ", pictures=uploaded(content()))
    panel.train(wait=True)
    one = panel.classifier
    assert panel.error == "" and one.pictures.classes == ("red", "blue") and one.correct == 9
    assert one.confusion.tolist() == [[5, 0], [0, 4]]
    panel.set(file=uploaded(content(COLOURS["blue"]), names=("rocket",)))
    assert panel.settings["photograph"] == "your rocket" and panel.controls["file"].value == ()
    assert next(iter(panel.result.probabilities)) == "blue"
    panel.set(file=uploaded(content(), names=("rocket",)))  # another picture with this name
    assert next(iter(panel.result.probabilities)) == "red"
    pictures = panel.classifier.pictures.images
    found = features(panel.model, pictures, card=toy_card(), size=16)
    layer = panel.model[5]
    assert (layer(found).argmax(1) == panel.classifier.pictures.labels).all()
    panel.reset()
    assert panel.classifier.pictures.classes == ("left", "right", "neither")
    with pytest.raises(CourseError, match="no picture of yours yet"):
        panel.train()


@pytest.mark.parametrize(
    "kinds",
    [
        {"mode": "L"},
        {"mode": "RGBA"},
        {"mode": "P"},
        {"mode": "CMYK", "kind": "JPEG"},
        {
            "kind": "JPEG",
            "exif": b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03"
            b"\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00",
        },
        {"kind": "WEBP"},
    ],
)
def test_every_kind_of_picture_can_be_uploaded(panel, kinds):
    give(panel, count=2, **kinds)
    panel.train(wait=True)
    assert panel.error == "" and len(panel.classifier.pictures) == 4


def test_a_folder_becomes_a_classifier(panel, tmp_path):
    for name, colour in COLOURS.items():
        (tmp_path / "mine" / name).mkdir(parents=True)
        for k in range(5):
            (tmp_path / "mine" / name / f"{k}.png").write_bytes(content(colour))
    panel.set(folder=f"{tmp_path / 'mine'} ")
    panel.train(wait=True)
    assert panel.error == "" and panel.classifier.correct == 10
    assert "load_folder(" in panel.shown_code and "mine" in panel.shown_code
    (tmp_path / "mine" / "blue" / "x.jpg").write_bytes(b"no picture")
    panel.train(wait=True)
    assert "x.jpg" in panel.error and panel.classifier.correct == 10
    panel.set(folder=str(tmp_path / "nowhere"))
    panel.train(wait=True)
    assert "There is no folder" in panel.error


@pytest.mark.parametrize(
    ("name", "contents", "words"),
    [
        ("", [b"x"], "write the name of their class"),
        ("  ", [b"x"], "write the name of their class"),
        ("cat", [b"no picture"], "1 of 1 file cannot be used"),
        ("cat", [content(), b""], "1 of 2 files cannot be used"),
        ("cat", [content()[:200]], "0.png cannot be read"),
    ],
)
def test_a_bad_upload_is_a_sentence_and_adds_nothing(panel, name, contents, words):
    give(panel, count=2)
    panel.set(class_name=name, pictures=uploaded(*contents))
    assert words in panel.error and panel.controls["pictures"].value == ()
    panel.set(class_name="red", pictures=uploaded(content()))
    assert panel.error == "" and "red 3, blue 2" in panel.status and "cat" not in panel.status


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({}, "no picture of yours yet"),
        ({"cat": 3}, "only one class, cat"),
        ({"cat": 3, "dog": 1}, "dog has 1 picture, but"),
    ],
)
def test_too_little_to_learn_from_is_a_sentence(panel, counts, words):
    for name, count in counts.items():
        panel.add(name, [io.BytesIO(content()) for _ in range(count)])
    before = panel.classifier
    panel._train_button.click()
    assert words in panel.error and panel.classifier is before and not panel.running
    panel.set(photograph="example of right")
    assert panel.error == ""


def test_pictures_and_a_folder_together(panel):
    give(panel, count=2)
    panel.set(folder="somewhere")
    with pytest.raises(CourseError, match="empty the field"):
        panel.train()


def test_a_bad_new_picture_keeps_the_one_before(panel):
    panel.set(file=uploaded(b"no picture", names=("x.jpg",)))
    assert "x.jpg is not a picture" in panel.error
    panel.set(photograph="example of right")
    assert panel.error == "" and all("x.jpg" not in one for one in panel._photograph.options)


def test_stop_keeps_the_classifier_from_before(panel, monkeypatch):
    give(panel, count=20)
    real = module.features

    def then_stop(*arguments, **keywords):
        panel.stop()
        return real(*arguments, **keywords)

    monkeypatch.setattr(module, "features", then_stop)
    before = panel.classifier
    panel.train(wait=True)
    assert panel.classifier is before and panel.error == "" and "Stopped" in panel.status
    assert not panel._train_button.disabled and panel._stop_button.disabled


def test_a_network_whose_pictures_are_not_known():
    with pytest.raises(CourseError, match="what pictures it takes"):
        OwnPicturesPanel(network())


@pytest.mark.parametrize("classes", [2, 30])
def test_many_classes_and_no_mistake_are_drawn(panel, classes):
    labels = torch.arange(classes).repeat(2)
    images = torch.zeros(len(labels), 3, 16, 16, dtype=torch.uint8)
    names = tuple(f"a class with a rather long name {k}" for k in range(classes))
    pictures = module.ImageSet(images, labels, names)
    found = 9 * torch.nn.functional.one_hot(labels, 48).float()
    one = module.classifier_of(pictures, found, "Any")
    result = module.classified(one, images[0], found[:1], "new")
    assert one.mistakes == [] and module.draw(result)[:4] == b"\x89PNG"
