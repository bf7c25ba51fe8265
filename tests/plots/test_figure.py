from __future__ import annotations

import base64
import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from course_utils import plots
from course_utils.plots import figure as f
from tests.plots.samples import contrast


def test_notebook_gets_png_and_text_and_nothing_else():
    formatters = pytest.importorskip("IPython.core.formatters")
    figure = plots.bars({"a": 1.0})
    data, metadata = formatters.DisplayFormatter().format(figure)
    assert set(data) == {"image/png", "text/plain"}
    assert data["text/plain"] == figure.alt == metadata["image/png"]["alt"]
    png = data["image/png"]
    png = base64.b64decode(png) if isinstance(png, str) else png
    assert Image.open(io.BytesIO(png)).format == "PNG"
    assert b"Software" not in png and b"matplotlib" not in png.lower()


def test_to_png_scales_to_the_width_of_a_panel():
    figure = plots.bars({"a": 1.0})
    before = figure.to_png()
    for width in (320, 960):
        assert Image.open(io.BytesIO(figure.to_png(width))).width == width
    assert figure.to_png() == before, "no trace is left"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.floats(0.01, 0.2))
def test_labels_are_spread_out_in_order_and_no_further_than_needed(wanted, gap):
    places = f.spread_out(wanted, gap)
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    for lower, upper in itertools.pairwise(order):
        assert places[upper] - places[lower] >= gap - 1e-9
    assert sum(places) == pytest.approx(sum(wanted), abs=1e-6), "none is pushed without need"
    apart = [b - a for a, b in itertools.pairwise(sorted(wanted))]
    if all(d >= gap for d in apart):
        assert places == pytest.approx(wanted)


def test_labels_at_the_ends_do_not_touch():
    figure = plots.lines({f"line {i}": ([0, 1], [0, 1 + i / 1000]) for i in range(8)})
    figure.to_png()
    boxes = sorted((t.get_window_extent() for t in figure.axes[0].texts), key=lambda b: b.y0)
    assert all(b.y0 > a.y1 - 3 for a, b in itertools.pairwise(boxes))
    f.label_ends(figure.axes[0], [])


def test_words_in_colour_can_be_read_on_white():
    for colour in f.COLOURS:
        assert contrast(f.darker(colour), (1, 1, 1)) >= 4.5


def test_log_labels():
    write = f.style(f.Figure().subplots(), log="x").xaxis.get_major_formatter()
    labels = [write(v) for v in (1e-8, 1e-2, 1.0, 20.0, 1e2, 5e3, 1e12)]
    assert labels == ["10⁻⁸", "0.01", "1", "20", "100", "5·10³", "10¹²"]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.5, 200, [1, 10, 100]),
        (1e-40, 1e5, [10.0**e for e in (-40, -30, -20, -10, 0)]),
        (1e-7, 3e12, [10.0**e for e in (-6, -3, 0, 3, 6, 9, 12)]),
        (0.9, 6, [1, 2, 5]),
        (3, 6, [5]),
    ],
)
def test_log_ticks_are_few_and_even(low, high, ticks):
    axes = f.style(f.Figure().subplots(), log="x")
    for ends in ((low, high), (high, low)):
        axes.set_xlim(*ends)
        assert list(axes.get_xticks()) == pytest.approx(ticks)
