from __future__ import annotations

import dataclasses
import math

from torch import nn

from course_utils.conv import AdaptedConv2d
from course_utils.widgets.one_click import words
from course_utils.widgets.one_click.edit_result import EditResult, edit_network
from course_utils.widgets.one_click.measured_network import MeasuredNetwork
from course_utils.widgets.one_click.words import followed, heading, notes, summary
from tests.toys import toy_data, toy_model

DATA = toy_data()


def looked(**changes: object) -> EditResult:
    network = MeasuredNetwork.for_data(toy_model(norm=True), DATA)
    return EditResult(network, "0", edit_network(network, "0", changes) if changes else None)


def of_layers(*layers: nn.Module) -> MeasuredNetwork:
    return MeasuredNetwork.for_data(nn.Sequential(*layers), DATA)


def table(result: EditResult) -> dict[str, tuple[str, str, str]]:
    rows = words.table(result)
    assert tuple(row[0] for row in rows) == words.ROWS
    return {name: tuple(cells) for name, *cells in rows}


def test_the_edit_and_the_layers_that_follow_are_named():
    assert heading(looked()) == "Sequential: 0 unchanged"
    assert heading(looked(out_channels=9, bias=False)) == (
        "Sequential: 0, out_channels 6 → 9, bias yes → no"
    )
    assert heading(looked(kernel_size=(3, 5))) == "Sequential: 0, kernel_size 3 → 3×5"
    assert followed(looked(out_channels=9)) == "followed: 1 BatchNorm2d, 1 Linear"
    assert followed(looked(kernel_size=5)) == "no other layer had to follow"


def test_the_table_has_every_row():
    conv, head = nn.Conv2d(1, 6, 3, padding=1), nn.Linear(24, 3)
    network = of_layers(conv, nn.AdaptiveAvgPool2d(2), nn.Flatten(), head)
    edited = edit_network(network, "0", {"out_channels": 9, "stride": 2})
    result = EditResult(network, "0", edited, trained=(0.5, 0.75))
    rows = table(result)
    assert rows["layer"] == ("3×3, pad 1", "3×3, stride 2, pad 1", "")
    assert rows["its output"] == ("6 × 8×8", "9 × 4×4", "× 0.38")
    assert rows["its receptive field"] == ("3×3", "3×3", "")
    assert rows["parameters"][0] == f"{result.before.parameters:,}"
    assert rows["multiply-adds"][2].startswith("× 0.")
    assert rows["accuracy, trained briefly"] == ("50.0%", "75.0%", "+25.0 points")
    assert rows["function"][1].startswith("another: max |Δ| / max |y| = ")


def test_a_receptive_field_that_is_not_known():
    squeezed = EditResult(of_layers(nn.AdaptiveAvgPool2d(1), nn.Conv2d(1, 4, 1), nn.Flatten()), "1")
    assert table(squeezed)["its receptive field"] == ("whole picture", "whole picture", "")
    adapted = AdaptedConv2d.of(nn.Conv2d(1, 4, 3))
    adapted.former = dict(kernel_size=(1, 1), stride=(1, 1), padding=(0, 0), dilation=(1, 1))
    resized = EditResult(of_layers(adapted, nn.AdaptiveAvgPool2d(1), nn.Flatten()), "0")
    assert table(resized)["its receptive field"][0] == "not known"


def test_equal_values_are_called_the_same():
    rows = table(looked(out_channels=12))
    assert rows["accuracy at once"][2] == "same"
    assert rows["function"][1].startswith("the same: ")
    rows = table(looked())
    assert rows["parameters"][2] == "same" and rows["function"][1] == ""


def test_without_classes_there_is_no_accuracy_but_a_reason():
    result = EditResult(of_layers(nn.Conv2d(1, 4, 3), nn.Flatten()), "0")
    rows = table(result)
    assert rows["accuracy at once"] == rows["accuracy, trained briefly"] == ("–", "–", "")
    (note,) = notes(result)
    assert note.startswith("No accuracy: it returns 144 scores an image, not one for each of the 3")
    assert "right" not in summary(result)


def test_the_notes():
    result = looked(out_channels=9)
    (note,) = notes(result)
    assert "on 24 held-out images. " in note and "60 training images" in note
    result = dataclasses.replace(result, original=result.before)
    assert f"began with {result.before.parameters:,} parameters" in notes(result)[1]


def test_the_summary():
    result = dataclasses.replace(looked(out_channels=12), trained=(0.5, 0.75))
    text = summary(result)
    assert text.startswith("Sequential: 0, out_channels 6 → 12; followed: 1 BatchNorm2d, 1 Linear;")
    assert "the same function (outputs differ by" in text
    assert "accuracy trained briefly 50.0% → 75.0%" in text
    stable = summary(result, measured=False)
    assert "%" not in stable and "differ" not in stable and "the same function." in stable
    assert "%" not in summary(looked(), measured=False)


def test_numbers_of_all_sizes_can_be_read():
    numbers = (0, 3.2e-7, 9.9e-4, 0.25, 1.4, 2e5, math.nan, math.inf)
    texts = ["0", "3·10⁻⁷", "1·10⁻³", "0.25", "1.4", "2·10⁵", "not finite", "not finite"]
    assert [words.scientific(number) for number in numbers] == texts
