from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import models

from course_utils.compress import run_onnx
from course_utils.core import CourseError, seeded
from course_utils.widgets.one_click import panel as module
from course_utils.widgets.one_click import trains
from course_utils.widgets.one_click.drawing import WIDTH
from course_utils.widgets.one_click.edit_result import FOLLOWS
from course_utils.widgets.one_click.panel import OneClickLab, one_click_lab
from course_utils.widgets.one_click.picture import places
from course_utils.widgets.one_click.words import summary
from tests.toys import same, toy_data, toy_model, weights

DATA = toy_data(train=200)


def narrow(width: int = 4) -> nn.Sequential:
    """Two convolutions for the stripes."""
    first, second = nn.Conv2d(1, width, 3, padding=1), nn.Conv2d(width, 8, (1, 3), padding=(0, 1))
    head = nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 3)
    return nn.Sequential(first, nn.ReLU(), second, *head)


@pytest.fixture
def make(panels):
    def build(model: nn.Module | None = None, **arguments: object) -> OneClickLab:
        panels.append(one_click_lab(model or seeded(narrow, 0), DATA, **arguments))
        return panels[-1]

    return build


@pytest.fixture
def lab(make) -> OneClickLab:
    return make()


def pixels(lab: OneClickLab) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(lab.shown_picture)).convert("RGB"))


def test_at_first_nothing_is_edited(lab):
    assert lab.error == "" and lab.report is None
    assert lab.summary.endswith("Move a slider.")
    assert lab.settings["layer"] == "0" and lab.settings["out_channels"] == 4
    assert pixels(lab).shape[1] == WIDTH


def test_the_network_of_the_course_is_the_default():
    lab = one_click_lab(out_channels=24)
    assert lab.error == "" and lab.settings["network"] == "first_cnn"
    assert lab.result.same_function and lab.result.accuracies[0] > 0.8
    assert lab.model.conv2.in_channels == 24


def test_a_slider_edits_a_copy_and_all_follows(lab):
    given = lab._history().original.model
    before, picture = weights(given), lab.shown_picture
    lab.set(out_channels=6)
    assert lab.error == "" and lab.shown_picture != picture
    assert lab.report.touched == ("0", "2") and lab.model[2].in_channels == 6
    assert "out_channels 4 → 6; followed: 1 Conv2d" in lab.summary
    assert "the same function" in lab.summary
    assert same(before, weights(given))


def test_one_change_is_one_refresh(lab, monkeypatch):
    drawn = []
    monkeypatch.setattr(module, "draw", lambda _: drawn.append(1) or b"")
    lab.controls["out_channels"].value = 5
    lab.controls["layer"].value = "2"
    lab.set(network="yours", layer="0", kernel_size=5, bias=False)
    assert drawn == [1, 1, 1]


def test_padding_follows_until_it_is_given_or_the_layer_changes(lab):
    lab.set(kernel_size=5)
    assert lab.model[0].padding == (2, 2)
    lab.set(padding=1)
    assert lab.model[0].padding == (1, 1) and lab.result.maps[1].shape == (4, 6, 6)
    lab.set(layer="2")
    assert lab.report is None
    assert lab.settings["out_channels"] == 8 and lab.settings["kernel_size"] == (1, 3)
    assert lab.settings["padding"] == FOLLOWS
    lab.set(kernel_size=3)
    assert lab.model[2].kernel_size == (3, 3)


def test_first_values_are_taken_in_the_right_order(make):
    lab = make(out_channels=10, layer="2", picture=3)
    assert lab.error == "" and lab.report.changes == {"out_channels": 10}
    assert lab.result.index == 3
    with pytest.raises(CourseError, match="'kernel'"):
        make(kernel=3)
    with pytest.raises(CourseError, match=r"must be a network .* not an int"):
        one_click_lab(models={"net": 3})


def test_the_width_slider_changes_all_layers(make):
    lab = make(models={"wide": seeded(lambda: narrow(16), 0)}, network="wide")
    lab.set(width=0.5)
    assert lab.error == "" and lab.model[0].out_channels == 8
    assert lab.summary.startswith("Sequential: width × 0.5; changed: ")
    lab.set(layer=lab.controls["layer"].options[-1])
    assert lab.settings["width"] == 0.5, "another layer is looked at, the width stays"
    lab.set(kernel_size=5)
    assert "apply it first" in lab.error and lab.nearest == {"width": 1.0}
    lab.undo()
    assert lab.error == "" and lab.report is None and lab.settings["width"] == 1
    lab.set(width=0.5)
    lab.apply()
    assert lab.settings["width"] == 1 and lab.result.before.model[0].out_channels == 8
    lab.set(width=2.0, network="yours")
    assert lab.settings["width"] == 2.0 and lab.error == ""
    lab.set(network="wide")
    assert lab.settings["width"] == 1


def test_an_impossible_setting_is_answered_with_the_nearest(lab):
    lab.set(groups=2)
    assert "must divide in_channels = 1" in lab.error and lab.nearest == {"groups": 1}
    assert lab._apply_button.disabled and not lab._undo_button.disabled
    lab.apply_nearest()
    assert lab.error == "" and lab.report is None


def test_a_nearest_value_that_no_slider_offers_can_be_set(lab):
    lab.set(layer="2", kernel_size=3, padding=0, dilation=4)
    assert "does not fit" in lab.error and lab.nearest
    lab.apply_nearest()
    assert lab.error == ""


def test_the_networks_outputs_cannot_be_changed(make):
    lab = make(nn.Sequential(nn.Conv2d(1, 3, 8), nn.Flatten()))
    lab.set(out_channels=5)
    assert "output" in lab.error and lab.nearest == {}


def test_a_network_that_cannot_be_used_is_an_error_until_another_is_chosen(make):
    lab = make(models={"dense": nn.Linear(2, 2)})
    lab.set(network="dense")
    assert "no Conv2d" in lab.error and lab.settings["layer"] == "none"
    assert lab._train_button.disabled and lab._apply_button.disabled
    for action in (lab.apply, lab.undo, lab.redo, lab.train):
        action()
    lab.set(network="yours")
    assert lab.error == "" and not lab._train_button.disabled
    lab = make(nn.Linear(2, 2))
    assert "This network has no" in lab._repr_mimebundle_()["text/plain"]


def test_apply_undo_redo(lab):
    lab.set(out_channels=6)
    lab.apply()
    assert lab.report is None and lab.settings["out_channels"] == 6
    assert lab.result.before.model[0].out_channels == 6
    lab.set(kernel_size=5)
    lab.undo()
    assert lab.settings["kernel_size"] == 3 and lab.settings["out_channels"] == 6
    lab.undo()
    assert lab.settings["out_channels"] == 4 and lab._undo_button.disabled
    assert lab.result.before is lab._history().original
    lab.redo()
    assert lab.settings["out_channels"] == 6 and lab._redo_button.disabled


def test_an_impossible_action_is_answered_in_words(lab):
    for action, words in ((lab.apply, "no edit"), (lab.undo, "nothing"), (lab.redo, "nothing")):
        action()
        assert f"There is {words} to {action.__name__}" in lab.status
    lab.set(kernel_size=5)
    assert lab.status == "", "it was said of other settings"


def test_each_network_has_its_layers_and_a_chain_of_its_own(make):
    lab = make(models={"other": toy_model()})
    lab.set(out_channels=5)
    lab.apply()
    lab.set(network="other")
    assert lab._undo_button.disabled and lab.controls["layer"].options == ("0",)
    assert lab.settings["out_channels"] == 6 and lab.error == ""
    lab.set(network="yours")
    assert lab.settings["out_channels"] == 5 and not lab._undo_button.disabled


def test_the_code_is_shown_on_request(lab):
    lab.set(out_channels=6)
    assert lab._code.layout.display == "none"
    lab._code_button.value = True
    assert lab._code.layout.display is None
    assert "out_channels=6" in lab.shown_code and "Hide" in lab._code_button.description


def test_copies_of_both_are_trained_and_stay_beside_the_edit(lab):
    lab.set(out_channels=6)
    before = weights(lab.model)
    assert lab.trained is None
    lab.train(wait=True)
    assert lab.error == "" and "both accuracies" in lab.status
    assert None not in lab.result.trained
    assert lab.trained.accuracy == lab.result.trained[1] and lab.trained.images == 200
    assert same(before, weights(lab.model)) and not same(before, weights(lab.trained.model))
    assert lab._bar.value == lab._bar.max
    lab.set(out_channels=7)
    assert lab.result.trained[0] is not None and lab.result.trained[1] is None
    lab.set(out_channels=6)
    assert None not in lab.result.trained
    lab.train()
    assert "done already" in lab.status


def test_the_sliders_stay_live_and_the_result_finds_its_edit(lab, hold_steps):
    held = hold_steps(trains, "train_briefly")
    lab.set(out_channels=6)
    lab.train()
    assert held.arrived.wait(120) and lab.running
    lab.set(out_channels=9)
    assert lab.model[0].out_channels == 9 and "Training" in lab.status
    assert lab._train_button.disabled and not lab._stop_button.disabled
    lab.train()
    assert "on its way already" in lab.status
    held.set()
    assert lab.wait(120)
    assert lab.result.trained[1] is None, "9 channels were not trained"
    lab.set(out_channels=6)
    assert None not in lab.result.trained


def test_stop_leaves_no_number(lab, hold_steps):
    held = hold_steps(trains, "train_briefly")
    lab.set(out_channels=6)
    lab.train()
    assert held.arrived.wait(120)
    lab.stop()
    assert lab.wait(120)
    assert lab.result.trained == (None, None) and "Stopped" in lab.status
    assert not lab._train_button.disabled and lab._stop_button.disabled


def test_an_error_in_the_thread_is_shown(lab, monkeypatch):
    monkeypatch.setattr(trains, "train_briefly", lambda *_, **__: 1 / 0)
    lab.train(wait=True)
    assert "ZeroDivisionError" in lab.error and "error" in lab.status
    lab.refresh()
    assert lab.error == ""


def test_what_cannot_be_trained_is_refused_in_words(make):
    lab = make(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()))
    lab.train()
    assert "144 scores" in lab.status and not lab.running
    lab.set(groups=2)
    lab.train()
    assert "cannot work" in lab.status


def test_the_weights_are_saved_and_load_into_what_the_code_makes(lab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lab.set(out_channels=6)
    for name in ("yours_edited.pt", "yours_edited_2.pt"):
        lab._save(lab.save_weights)
        assert f"Saved in the file {name}" in lab.status
    assert len(list(tmp_path.iterdir())) == 2
    names = {"model": seeded(narrow, 1)}
    exec(lab.shown_code, names)
    names["model"].load_state_dict(torch.load(tmp_path / "yours_edited.pt", weights_only=True))
    assert same(weights(names["model"]), weights(lab.model))


def test_the_network_is_saved_as_onnx_and_computes_the_same(lab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lab.set(out_channels=6)
    lab._onnx_button.click()
    assert "Saved in the file yours_edited.onnx" in lab.status
    images = lab.result.before.example.repeat(3, 1, 1, 1)
    with torch.no_grad():
        wanted = lab.model(images)
    torch.testing.assert_close(run_onnx("yours_edited.onnx", images), wanted, atol=1e-4, rtol=1e-4)


def test_what_cannot_be_exported_is_said_in_words(lab, monkeypatch):
    monkeypatch.setattr(module, "to_onnx", lambda *_: run_onnx("none.onnx", None))
    lab._onnx_button.click()
    assert "no file none.onnx" in lab.status and lab.error == ""
    lab.set(groups=2)
    assert lab._onnx_button.disabled
    with pytest.raises(CourseError, match="nothing to save"):
        lab.save_onnx()


def test_what_cannot_be_saved_is_said_in_words(lab, tmp_path, monkeypatch):
    with pytest.raises(CourseError, match="folder, not a file"):
        lab.save_weights(tmp_path)
    monkeypatch.setattr(module, "new_file", lambda _: tmp_path)
    lab._save_button.click()
    assert "folder, not a file" in lab.status and lab.error == ""
    lab.set(groups=2)
    assert lab._save_button.disabled
    with pytest.raises(CourseError, match="nothing to save"):
        lab.save_weights()


def test_the_committed_output_has_no_measured_number(lab):
    lab.set(out_channels=6)
    bundle = lab._repr_mimebundle_()
    assert bundle["text/plain"] == f"One-click lab: {summary(lab.result, measured=False)}"
    assert base64.b64decode(bundle["image/png"]) == lab.shown_picture


def test_every_drawn_layer_is_a_button_that_chooses_it(lab):
    text = lab._layer_buttons.value
    assert text.count('title="layer ') == 2 and 'title="layer 0"' in text
    assert text.count('title="map ') == 8 and text.count('title="which pixels speak for ') == 6
    assert text.count("<button") == 16 and text.count('aria-pressed="true"') == 1
    assert ".course-layer select&#x27;); list.selectedIndex = 1" in text
    lab.set(layer="2")
    assert lab._layer_buttons.value != text
    assert lab._stage.children == (lab._picture, lab._layer_buttons, lab._message)


def test_the_drawing_follows_its_list_and_the_network(make):
    lab = make(models={"large": models.resnet50()}, network="large")
    once = pixels(lab).shape
    lab.set(drawing="layer3.1")
    assert 'title="layer layer3.5.conv1"' in lab._layer_buttons.value
    assert pixels(lab).shape > once
    lab.set(network="first_cnn")
    assert lab.settings["drawing"] == "repeats once" and not lab.error


def test_a_map_and_a_class_are_shown_in_turn(lab):
    plain = lab.shown_picture
    lab.set(map="before 3")
    assert lab.shown_picture != plain and "map 3 before" in lab.summary and not lab.error
    lab.set(grad_cam=1)
    assert lab.settings["map"] == "all" and "Grad-CAM" in lab.summary
    lab.set(map="after 2")
    assert lab.settings["grad_cam"] == -1 and "map 2 after" in lab.summary
    lab.set(out_channels=2)
    assert lab.settings["map"] == "all", "there is no map 2 any more"
    assert not lab.error and "Shown" not in lab.summary
    lab.set(out_channels=4, grad_cam=2, layer="2", picture=3)
    assert "Grad-CAM" in lab.summary and 'title="show all maps"' in lab._layer_buttons.value
    with pytest.raises(CourseError, match="control 'grad_cam' cannot be 7"):
        lab.set(grad_cam=7)


def test_the_chosen_layer_is_outlined_and_the_touched_ones_hatched(lab):
    plain = pixels(lab)
    lab.set(out_channels=6)
    edited = pixels(lab)
    orange = (edited == (222, 143, 5)).all(-1)
    for place in places(lab.result.before, lab.result.layer):
        rows = slice(place.top, place.top + place.height)
        cell = rows, slice(place.left, place.left + place.width)
        assert orange[cell].sum() > 50 and not (plain[cell] == (222, 143, 5)).all(-1).any()
        outlined = (edited[cell] == (1, 115, 178)).all(-1).sum() > 100
        assert outlined == (place.node.name == "0")
