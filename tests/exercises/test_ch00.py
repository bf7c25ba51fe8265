"""Right and wrong settings for 28 × 28 → 14 × 14."""

from __future__ import annotations

import pytest

from course_utils.exercises.ch00 import first_slider


@pytest.mark.parametrize(
    "settings",
    [
        first_slider(),
        {"kernel_size": 2, "stride": 2},
        {"kernel_size": 1, "stride": 2},
        {"kernel_size": 15},
        {"kernel_size": 5, "stride": 2, "padding": 2},
        {"kernel_size": (3, 2), "stride": (2, 2), "padding": (1, 0)},
        {"kernel_size": 3, "stride": 2, "padding": 2, "dilation": 2},
        {"kernel_size": 3, "stride": 2, "padding": 1, "padding_mode": "reflect"},
    ],
)
def test_any_setting_that_works_is_solved(line, settings):
    said = line("00.first_slider", settings)
    assert said.startswith("✔ solved: 00.first_slider. With kernel_size")
    assert "28 × 28 becomes 14 × 14" in said


@pytest.mark.parametrize(
    ("settings", "edge"),
    [
        (
            {"kernel_size": 3, "stride": 2},
            "28 × 28 becomes 13 × 13, not 14 × 14; that is too small",
        ),
        (
            {"kernel_size": 3, "padding": 1},
            "28 × 28 becomes 28 × 28, not 14 × 14; that is too large",
        ),
        ({"kernel_size": (3, 2), "stride": 2, "padding": (1, 1)}, "becomes 14 × 15"),
        ({"kernel_size": 40}, "Kernel size can't be greater than actual input size"),
        ({"kernel_size": 3, "stride": 0}, "non-positive stride"),
        ({"kernel_size": 3, "padding": -1}, "negative padding"),
        ({"kernel_size": 3, "stride": 2, "padding": "same"}, "'same' is not supported for strided"),
        ({"stride": 2}, "kernel_size is missing"),
        ({}, "kernel_size is missing"),
        (
            {"kernel": 3, "stride": 2},
            "'kernel' is not one of this exercise's settings: is kernel_size",
        ),
        ({"kernel_size": 3, "channels": 2}, "'channels' is not one of"),
        ({"kernel_size": "3"}, "TypeError"),
        ({"kernel_size": 200_015, "padding": 100_000}, "far larger than the picture"),
        ((3, 2, 1), "you gave a tuple; a dict is wanted"),
        (14, "you gave an int (14); a dict is wanted"),
    ],
)
def test_a_setting_that_does_not_work_is_named(line, settings, edge):
    said = line("00.first_slider", settings)
    assert said.startswith("✘ ")
    assert edge in said


def test_a_dict_with_gaps_is_not_solved_yet(line):
    said = line("00.first_slider", {"kernel_size": ..., "stride": 2})
    assert said.startswith("… not solved yet: kernel_size has no value yet")
