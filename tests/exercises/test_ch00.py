"""Right and wrong settings for 28 × 28 → 14 × 14."""

from __future__ import annotations

from course_utils.exercises.ch00 import first_slider


def test_any_setting_that_works_is_solved(solved):
    solved(
        "00.first_slider",
        first_slider(),
        {"kernel_size": 2, "stride": 2},
        {"kernel_size": 1, "stride": 2},
        {"kernel_size": 15},
        {"kernel_size": 5, "stride": 2, "padding": 2},
        {"kernel_size": (3, 2), "stride": (2, 2), "padding": (1, 0)},
        {"kernel_size": 3, "stride": 2, "padding": 2, "dilation": 2},
        {"kernel_size": 3, "stride": 2, "padding": 1, "padding_mode": "reflect"},
    )


def test_a_setting_that_does_not_work_is_named(rejected):
    rejected(
        "00.first_slider",
        ({"kernel_size": 3, "stride": 2}, "13 × 13"),
        ({"kernel_size": 3, "stride": 2}, "too small"),
        ({"kernel_size": 3, "padding": 1}, "28 × 28, not 14 × 14; that is too large"),
        ({"kernel_size": (3, 2), "stride": 2, "padding": (1, 1)}, "14 × 15"),
        ({"kernel_size": 40}, "Kernel size can't be greater"),
        ({"kernel_size": 3, "stride": 0}, "non-positive stride"),
        ({"kernel_size": 3, "padding": -1}, "negative padding"),
        ({"kernel_size": 3, "stride": 2, "padding": "same"}, "'same' is not supported for strided"),
        ({"stride": 2}, "kernel_size is missing"),
        ({}, "kernel_size is missing"),
        ({"kernel": 3, "stride": 2}, "kernel_size?"),
        ({"kernel_size": 3, "channels": 2}, "'channels' is not one of"),
        ({"kernel_size": "3"}, "TypeError"),
        ({"kernel_size": 200_015, "padding": 100_000}, "far larger"),
        ((3, 2, 1), "a tuple"),
        (14, "an int (14)"),
    )


def test_a_dict_with_gaps_is_not_solved_yet(line):
    said = line("00.first_slider", {"kernel_size": ..., "stride": 2})
    assert said.startswith("… not solved yet: kernel_size has no value")
