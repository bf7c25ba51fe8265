from __future__ import annotations

import base64

import numpy as np
import pytest
import torch
import traitlets
from PIL import Image
from torch import nn

from course_utils.core import CourseError
from course_utils.data import load_dataset
from course_utils.models import SimpleCNN
from course_utils.widgets import drawing_panel
from course_utils.widgets.drawing_panel.field import DrawingField
from course_utils.widgets.drawing_panel.panel import BLANK
from course_utils.widgets.drawing_panel.seen_drawing import see_drawing
from tests.widgets.messages import upload


@pytest.fixture
def panel():
    return drawing_panel()


def paint(field: DrawingField, picture: np.ndarray) -> None:
    """Do what the page does when somebody draws."""
    field._text.value = base64.b64encode(picture.tobytes()).decode()


def test_a_test_picture_is_seen_as_the_network_sees_it(panel):
    data = load_dataset("fashion-mnist")
    panel.set(start="Trouser")
    k = (data.test.labels == 1).nonzero()[0, 0]
    logits = panel.model(data.normalise(data.test.images[k : k + 1]))[0]
    assert list(panel.result.probabilities.values()) == pytest.approx(logits.softmax(0).tolist())
    assert panel.result.maps.shape == (16, 28, 28) and panel.result.layer == "conv1"
    assert panel.summary.startswith("Trouser: the network sees Trouser")


def test_what_is_painted_is_seen_and_the_page_is_not_drawn_anew(panel):
    before, page = panel.shown_picture, panel._field._page.value
    trousers = np.zeros((28, 28), dtype=np.uint8)
    trousers[2:26, 8:13] = trousers[2:26, 15:20] = trousers[2:7, 8:20] = 200
    paint(panel._field, trousers)
    assert panel.shown_picture != before and panel._field._page.value == page
    assert panel.result.first[0] == "Trouser"
    assert panel.summary.startswith(f"your drawing, begun with {BLANK}")
    panel._start_again()
    assert not panel.settings["drawing"].any() and panel._field._page.value != page


def test_a_drawing_can_be_set_from_code_and_cannot_change_unseen(panel):
    panel.set(drawing=np.full((1, 28, 28), 7, dtype=np.uint8))
    assert base64.b64decode(panel._field._text.value) == bytes([7]) * 784
    with pytest.raises(ValueError, match="read-only"):
        panel.settings["drawing"][0] = 1
    for bad in (np.zeros((28, 28)), np.zeros((27, 28), dtype=np.uint8), [[1]], None):
        with pytest.raises(CourseError, match="'drawing' cannot be"):
            panel.set(drawing=bad)
    assert panel.settings["drawing"][0, 0] == 7


@pytest.mark.parametrize("text", ["", "?", "AAAA", base64.b64encode(bytes(783)).decode()])
def test_a_text_that_the_page_would_not_write_changes_nothing(panel, text):
    panel.set(start="Bag")
    before = panel.settings["drawing"]
    panel._field._text.value = text
    assert panel.settings["drawing"] is before and panel.error == ""
    paint(panel._field, np.zeros((28, 28), dtype=np.uint8))
    assert not panel.settings["drawing"].any()


def test_a_photograph_becomes_a_drawing(panel):
    picture = Image.new("RGB", (200, 300), "white")
    picture.paste((30, 30, 120), (50, 20, 150, 280))
    for _ in range(2):  # the same file again, after a change
        upload(panel, picture)
        assert panel.error == "" and panel.settings["drawing"][:, 9:19].min() > 200
        assert panel._upload.value == ()
        panel._start_again()


def test_a_file_that_is_not_a_garment_is_one_sentence(panel):
    upload(panel, b"not a picture", "notes.txt")
    assert "notes.txt is not a picture" in panel.error
    upload(panel, Image.new("L", (20, 20), 128))
    assert "stands out" in panel.error
    panel.set(start="Bag")
    assert panel.error == ""


class Flat(nn.Module):
    def __init__(self, outputs: int, value: float = 0.0):
        super().__init__()
        self.conv, self.outputs, self.value = nn.Conv2d(1, 2, 3), outputs, value

    def forward(self, x):
        self.conv(x)
        return torch.full((len(x), self.outputs), self.value)


def test_networks_that_do_not_fit():
    data, page = load_dataset("fashion-mnist"), torch.zeros(1, 28, 28, dtype=torch.uint8)
    with pytest.raises(CourseError, match="no Conv2d"):
        see_drawing(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), page, data)
    with pytest.raises(CourseError, match=r"\(7,\) numbers.* 10 classes"):
        see_drawing(Flat(7), page, data)
    with pytest.raises(CourseError, match="not finite"):
        see_drawing(Flat(10, torch.nan), page, data)
    with pytest.raises(CourseError, match="SimpleCNN is a class"):
        drawing_panel(SimpleCNN)
    model = SimpleCNN().train()
    see_drawing(model, page, data)
    assert model.training and not model.conv1._forward_hooks


def test_the_field_refuses_another_picture():
    with pytest.raises(traitlets.TraitError, match="4 × 4"):
        DrawingField(4).value = np.zeros((5, 5), dtype=np.uint8)
