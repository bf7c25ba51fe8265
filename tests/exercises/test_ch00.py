"""Right and wrong settings for 28 × 28 → 14 × 14."""

from __future__ import annotations


def test_first_slider(solved, rejected, line):
    solved(
        "00.first_slider",
        {"kernel_size": 2, "stride": 2},
        {"kernel_size": 15},
        {"kernel_size": (3, 2), "stride": (2, 2), "padding": (1, 0)},
        {"kernel_size": 3, "stride": 2, "padding": 2, "dilation": 2},
        {"kernel_size": 3, "stride": 2, "padding": 1, "padding_mode": "reflect"},
    )
    rejected(
        "00.first_slider",
        ({"kernel_size": 3, "stride": 2}, "13 × 13, not 14 × 14; that is too small"),
        ({"kernel_size": 3, "padding": 1}, "28 × 28, not 14 × 14; that is too large"),
        ({"kernel_size": (3, 2), "stride": 2, "padding": (1, 1)}, "14 × 15"),
        ({"kernel_size": 40}, "Kernel size can't be greater"),
        ({"kernel_size": 3, "stride": 0}, "non-positive stride"),
        ({"kernel_size": 3, "stride": 2, "padding": "same"}, "'same' is not supported for strided"),
        ({}, "kernel_size is missing"),
        ({"kernel": 3, "stride": 2}, "kernel_size?"),
        ({"kernel_size": 3, "channels": 2}, "'channels' is not one of"),
        ({"kernel_size": "3"}, "TypeError"),
        ({"kernel_size": 200_015, "padding": 100_000}, "far larger"),
        ((3, 2, 1), "a tuple"),
    )
    said = line("00.first_slider", {"kernel_size": ..., "stride": 2})
    assert said.startswith("… not solved yet: kernel_size has no value")
    for cutting in ({"kernel_size": 15}, {"kernel_size": (15, 15), "stride": (1, 1)}):
        assert "Why would nobody do this?" in line("00.first_slider", cutting)
    assert "nobody" not in line("00.first_slider", {"kernel_size": 2, "stride": 2})
