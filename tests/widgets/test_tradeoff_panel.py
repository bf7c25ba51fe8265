"""The trade-off panel: measured points, a click on one, and a file of the chosen network."""

from __future__ import annotations

import re
from importlib import import_module

import pytest
import torch
from torch import nn

from course_utils.compress import OnnxNetwork, to_onnx
from course_utils.core import CourseError
from course_utils.data import Dataset
from course_utils.widgets import tradeoff_panel
from tests.toys import same, toy_data, toy_model, weights

module = import_module("course_utils.widgets.tradeoff_panel")  # the room hides the module
DATA = toy_data()
NO_VALIDATION = Dataset("x", "X", DATA.train, DATA.train.subset([]), DATA.test)
QUICK = {"seconds": 0.01, "batch": 4}


def point(right, time, kilobytes):
    return module.Measured(right, 100, time, kilobytes)


@pytest.fixture
def panel():
    wide = nn.Sequential(nn.Conv2d(1, 40, 3, padding=1), nn.Flatten(), nn.Linear(2560, 3))
    return tradeoff_panel({"small": toy_model(), "wide": wide}, DATA, **QUICK)


def test_networks_are_measured_on_the_validation_pictures(panel):
    small, wide = panel.result.networks.values()
    assert small.total == wide.total == len(DATA.validation) and small.time == 1
    assert wide.kilobytes > 8 * small.kilobytes > 5 and wide.time > 0
    assert list(panel.result.charts) == ["time of 4 pictures / small's", "file, kB"]
    assert panel.error == "" and panel.summary.startswith("small: ")


def test_a_click_or_the_list_chooses_a_network(panel):
    html = panel._buttons.value
    assert html.count("<button") == 4, "each network is in both charts"
    rows = re.findall(r"selectedIndex = (\d)", html)
    names = re.findall(r'title="(\w+)"', html)
    assert [list(panel.networks)[int(row)] for row in rows] == names
    before = panel.shown_picture
    panel.set(network="wide")
    assert panel.network is panel.networks["wide"] and panel.shown_picture != before
    assert panel._buttons.value.count('aria-pressed="true"') == 2
    assert "networks['wide']" in panel.shown_code


@pytest.mark.parametrize(
    ("chosen", "fronts", "words"),
    [
        ("whole", ["time", "file size"], "time or file size"),
        ("quick", ["time"], "better in accuracy and time."),
        ("beaten", [], "Another network here"),
    ],
)
def test_what_is_on_the_front(chosen, fronts, words):
    networks = {"whole": point(90, 1.0, 800), "quick": point(80, 0.5, 700)}
    networks |= {"tiny": point(85, 0.9, 100), "beaten": point(70, 0.95, 750)}
    result = module.Tradeoff(networks, chosen, 64)
    assert result.fronts == fronts and words in module.summary(result)


def test_the_chosen_network_goes_into_a_file(panel, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    panel.set(network="small")
    panel.save()
    first = panel.save()
    assert first.name == "small_2.pt" and "small_2.pt" in panel._status.value
    assert same(torch.load(first), weights(panel.network))


def test_an_onnx_file_is_copied(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = to_onnx(toy_model(), torch.zeros(2, 1, 8, 8), tmp_path / "a.onnx")
    panel = tradeoff_panel({"floats": toy_model(), "as ONNX": OnnxNetwork(path)}, DATA, **QUICK)
    one, other = panel.result.networks.values()
    assert one.correct == other.correct and other.kilobytes == path.stat().st_size / 1000
    panel.set(network="as ONNX")
    assert panel.save().read_bytes() == path.read_bytes()
    assert "as_ONNX.onnx" in panel._status.value
    path.unlink()
    panel._shown(panel.save)()
    assert "cannot be written" in panel.error


@pytest.mark.parametrize(
    ("networks", "data", "words"),
    [
        ({}, DATA, "no network"),
        ({"a": toy_model(3)}, DATA, "channel"),
        ({"a": toy_model()}, NO_VALIDATION, "no validation"),
    ],
)
def test_what_cannot_be_measured(networks, data, words):
    with pytest.raises(CourseError, match=words):
        tradeoff_panel(networks, data, **QUICK)
