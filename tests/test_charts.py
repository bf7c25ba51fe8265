from __future__ import annotations

import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from course_utils import charts


def pixels(sheet: charts.Sheet) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(sheet.to_png())).convert("RGB")).astype(int)


def near(picture: np.ndarray, colour: charts.Colour, tolerance: int = 30) -> np.ndarray:
    """Rows and columns of the pixels that have about this colour."""
    return np.argwhere(np.abs(picture - np.array(colour)).max(axis=-1) <= tolerance)


@given(
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e6),
    st.integers(2, 12),
)
def test_nice_ticks_are_round_numbers_inside_the_limits(low, span, about):
    high = low + span
    ticks = charts.nice_ticks(low, high, about)
    assert len(ticks) <= about + 1
    assert all(low - 1e-6 * span <= tick <= high + 1e-6 * span for tick in ticks)
    steps = np.diff(ticks)
    if len(steps):
        mantissa = steps[0] / 10 ** math.floor(math.log10(steps[0] * 1.0001))
        assert min(abs(mantissa - m) for m in (1, 2, 5)) < 1e-3
        assert np.allclose(steps, steps[0])


def test_nice_ticks_of_an_empty_range():
    assert charts.nice_ticks(3, 3) == [3]


@given(st.integers(-30, 29), st.integers(1, 40), st.integers(2, 10))
def test_decade_ticks_are_powers_of_ten(low, decades, about):
    ticks = charts.decade_ticks(10.0**low, 10.0 ** (low + decades), about)
    powers = [math.log10(tick) for tick in ticks]
    assert ticks and len(ticks) <= about + 1
    assert all(abs(power - round(power)) < 1e-6 for power in powers)
    assert low - 1e-6 <= min(powers) and max(powers) <= low + decades + 1e-6
    assert len({round(step) for step in np.diff(powers)}) <= 1


def chart(sheet: charts.Sheet, **arguments) -> charts.Chart:
    limits = {"x_limits": (0, 10), "y_limits": (0, 10), "x_ticks": (), "y_ticks": ()}
    return sheet.chart((50, 30, 101, 101), **(limits | arguments))


def test_a_dot_stands_where_its_numbers_say():
    sheet = charts.Sheet(200, 160)
    axes = chart(sheet)
    axes.dots([2.5], [7.5], charts.VERMILION, radius=4)
    axes.done()
    rows, columns = near(pixels(sheet), charts.VERMILION).T
    assert abs(rows.mean() - (30 + 25)) < 1.5
    assert abs(columns.mean() - (50 + 25)) < 1.5
    assert 30 < len(rows) < 80  # a disc of radius 4 has 50 pixels


def test_a_ring_is_empty():
    sheet = charts.Sheet(200, 160)
    axes = chart(sheet)
    axes.dots([5], [5], charts.BLUE, radius=6, filled=False)
    axes.done()
    assert (pixels(sheet)[80, 100] == 255).all()
    assert len(near(pixels(sheet), charts.BLUE)) > 15


def test_an_axis_may_run_downwards():
    sheet = charts.Sheet(200, 160)
    axes = chart(sheet, y_limits=(10, 0))
    axes.dots([5], [2], charts.BLUE)
    axes.done()
    assert near(pixels(sheet), charts.BLUE)[:, 0].mean() == pytest.approx(30 + 20, abs=1.5)


def test_on_a_logarithmic_axis_equal_factors_are_equal_steps():
    sheet = charts.Sheet(200, 160)
    axes = chart(sheet, y_limits=(1e-4, 1), logarithmic=True)
    axes.dots([2], [1e-1], charts.BLUE)
    axes.dots([8], [1e-3], charts.GREEN)
    axes.done()
    rows = [near(pixels(sheet), colour)[:, 0].mean() - 30 for colour in (charts.BLUE, charts.GREEN)]
    assert rows == pytest.approx([25, 75], abs=1.5)


def test_a_line_is_broken_at_what_is_no_number():
    sheet = charts.Sheet(200, 160)
    axes = chart(sheet)
    axes.line([0, 2, 4, 6, 8], [5, 5, math.nan, 5, 5], charts.BLUE)
    axes.done()
    columns = set(near(pixels(sheet), charts.BLUE)[:, 1] - 50)
    assert {5, 15, 65, 75} <= columns
    assert not columns & set(range(25, 55))


def test_a_single_point_of_a_line_can_be_seen():
    sheet = charts.Sheet(200, 160)
    axes = chart(sheet)
    axes.line([5], [5], charts.BLUE)
    axes.done()
    assert len(near(pixels(sheet), charts.BLUE)) >= 4


@pytest.mark.parametrize("value", [-1e30, 1e30, math.inf, -math.inf])
def test_what_is_outside_is_cut_off(value):
    sheet = charts.Sheet(200, 160)
    axes = chart(sheet)
    axes.line([0, 5, 10], [5, value, 5], charts.BLUE)
    axes.dots([5], [value], charts.BLUE)
    axes.done()
    found = near(pixels(sheet), charts.BLUE)
    assert len(found)
    assert found[:, 0].min() >= 30 and found[:, 0].max() <= 131


def test_limits_that_coincide_still_give_a_chart():
    sheet = charts.Sheet(200, 160)
    axes = sheet.chart((50, 30, 101, 101), x_limits=(1, 1), y_limits=(2, 2), title="t")
    axes.dots([1], [2])
    axes.done()
    assert len(near(pixels(sheet), charts.BLUE))


def test_labels_beside_the_chart_do_not_overlap():
    sheet = charts.Sheet(300, 160)
    axes = chart(sheet)
    axes.side_labels([(f"M{k}", 5.0, charts.BLUE) for k in range(6)])
    axes.done()
    found = near(pixels(sheet), charts.BLUE, 60)
    rows = sorted(set(found[found[:, 1] > 153][:, 0]))
    groups = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    assert len(groups) == 6
    assert rows[0] >= 20 and rows[-1] <= 140


def test_labels_say_when_their_line_has_left_the_chart():
    """The text gets an arrow, so it is longer."""

    def width(value: float) -> int:
        sheet = charts.Sheet(300, 160)
        axes = chart(sheet)
        axes.side_labels([("M", value, charts.BLUE)])
        return np.ptp(near(pixels(sheet), charts.BLUE, 60)[:, 1])

    assert width(11) > width(5) and width(-1) > width(5) and width(math.nan) == width(5)


def test_tiles_keep_their_palette():
    sheet = charts.Sheet(20, 20)
    sheet.tiles(np.full((5, 5), 254, dtype=np.uint8), 3, 4)
    assert pixels(sheet)[6, 5].tolist() == list(charts.ORANGE)
    assert pixels(sheet)[3, 5].tolist() == [255, 255, 255]


def test_the_same_chart_gives_the_same_bytes():
    def one() -> bytes:
        sheet = charts.Sheet(200, 160)
        axes = chart(sheet, title="loss", x_label="epoch")
        axes.line([0, 10], [0, 10])
        axes.legend([("a", charts.BLUE)])
        axes.done()
        return sheet.to_png()

    assert one() == one()
