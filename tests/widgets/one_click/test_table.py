from __future__ import annotations

import dataclasses
import math

import pytest
from torch import nn

from course_utils.conv import AdaptedConv2d
from course_utils.core.runtime import one_thread
from course_utils.widgets.one_click.bench import bench_for
from course_utils.widgets.one_click.look import Look, edit
from course_utils.widgets.one_click.table import (
    ROWS,
    followers,
    heading,
    notes,
    scientific,
    summary,
    table,
)
from tests.toys import toy_data, toy_model

DATA = toy_data()


@pytest.fixture(autouse=True)
def quietly():
    with one_thread():
        yield


def looked(**changes: object) -> Look:
    bench = bench_for(toy_model(norm=True), DATA)
    return Look(bench, "0", edit(bench, "0", changes) if changes else None)


def _pooled() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 3)
    )


def test_the_heading_names_the_edit():
    assert heading(looked()) == "Sequential: 0 as it is"
    assert heading(looked(out_channels=9, bias=False)) == (
        "Sequential: 0, out_channels 6 → 9, bias yes → no"
    )
    assert heading(looked(kernel_size=(3, 5))) == "Sequential: 0, kernel_size 3 → 3×5"


def test_the_followers_are_counted_by_kind():
    assert followers(looked(out_channels=9)) == "1 BatchNorm2d, 1 Linear"
    assert followers(looked(kernel_size=5)) == followers(looked()) == ""


def test_the_table_has_every_row():
    bench = bench_for(_pooled(), DATA)
    edited = edit(bench, "0", {"out_channels": 9, "stride": 2})
    look = Look(bench, "0", edited, trained=(0.5, 0.75))
    rows = dict(zip(ROWS, (row[1:] for row in table(look)), strict=True))
    assert [row[0] for row in table(look)] == list(ROWS)
    assert rows["layer"] == ("3×3, pad 1", "3×3, stride 2, pad 1", "")
    assert rows["its output"] == ("6 × 8×8", "9 × 4×4", "× 0.38")
    assert rows["its receptive field"] == ("3×3", "3×3", "")
    assert rows["parameters"][0] == f"{look.before.parameters:,}"
    assert rows["multiply-adds"][2].startswith("× 0.")
    assert rows["accuracy, trained briefly"] == ("50.0%", "75.0%", "+25.0 points")
    assert rows["function"][1].startswith("another: max |Δ| / max |y| = ")


def test_a_field_that_cannot_be_counted_is_not_made_up():
    squeezed = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(1, 4, 1), nn.Flatten())
    assert table(Look(bench_for(squeezed, DATA), "1"))[2][1:3] == ("whole picture",) * 2
    adapted = AdaptedConv2d.of(nn.Conv2d(1, 4, 3))
    adapted.former = {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1}
    bench = bench_for(nn.Sequential(adapted, nn.AdaptiveAvgPool2d(1), nn.Flatten()), DATA)
    assert table(Look(bench, "0"))[2][1] == "not known"


def test_what_is_the_same_is_called_so():
    rows = dict(zip(ROWS, (row[1:] for row in table(looked(out_channels=12))), strict=True))
    assert rows["accuracy at once"][2] == "same"
    assert rows["function"][1].startswith("the same: ")
    rows = {row[0]: row for row in table(looked())}
    assert rows["parameters"][3] == "same" and rows["function"][2] == ""


def test_without_classes_there_is_no_accuracy_but_a_reason():
    bench = bench_for(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()), DATA)
    look = Look(bench, "0")
    assert [row[1:3] for row in table(look)[5:7]] == [("–", "–")] * 2
    assert notes(look) == [
        "No accuracy: it gives 144 scores a picture, not one for each of the 3 classes of Stripes."
    ]
    assert "right" not in summary(look)


def test_the_notes_say_of_how_many_pictures_and_where_the_chain_began():
    look = looked(out_channels=9)
    assert notes(look) == [
        "At once: of 24 held-out pictures. Trained briefly: a copy, by one pass over 60 training"
        " pictures; of 24 held-out ones."
    ]
    look = dataclasses.replace(look, first=look.before)
    assert notes(look)[1].startswith(f"The edits began with {look.before.parameters:,} parameters")


def test_the_summary_says_it_all_in_one_line():
    look = dataclasses.replace(looked(out_channels=12), trained=(0.5, 0.75))
    text = summary(look)
    assert text.startswith("Sequential: 0, out_channels 6 → 12; followed: 1 BatchNorm2d, 1 Linear;")
    assert "the same function (outputs differ by" in text
    assert "accuracy trained briefly 50.0% → 75.0%" in text
    stable = summary(look, measured=False)
    assert "%" not in stable and "differ" not in stable and "the same function." in stable
    assert "%" not in summary(looked(), measured=False)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (3.2e-7, "3·10⁻⁷"),
        (9.9e-4, "1·10⁻³"),
        (0.25, "0.25"),
        (1.4, "1.4"),
        (2e5, "2·10⁵"),
    ],
)
def test_numbers_of_all_sizes_can_be_read(value, text):
    assert scientific(value) == text
    assert scientific(math.nan) == scientific(math.inf) == "not finite"
