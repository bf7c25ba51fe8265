from __future__ import annotations

import base64
import io
import itertools
import math
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace

import matplotlib
import matplotlib.style
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from course_utils import plots
from course_utils.core.errors import CourseError
from course_utils.plots.figure import (
    COLOURS,
    Figure,
    _Decades,
    _log_label,
    darker,
    label_ends,
    spread_out,
)
from course_utils.training.initialisation import SignalSpread


@dataclass
class History:
    epoch: list = field(default_factory=list)
    train_loss: list = field(default_factory=list)
    train_accuracy: list = field(default_factory=list)
    validation_loss: list = field(default_factory=list)
    validation_accuracy: list = field(default_factory=list)


def history(epochs: int, shift: float = 0.0, first_bad: int = 10**6) -> History:
    result = History()
    for e in range(1, epochs + 1):
        loss = math.nan if e >= first_bad else 1 / (e + 1) + shift
        result.epoch.append(e)
        result.train_loss.append(loss)
        result.validation_loss.append(loss * 1.2)
        result.train_accuracy.append(1 - loss / 2)
        result.validation_accuracy.append(1 - loss / 1.8)
    return result


def spread(scheme: str = "he", factor: float = 1.0, depth: int = 12, **kwargs) -> SignalSpread:
    forward = [factor**k for k in range(1, depth + 1)]
    return SignalSpread(
        scheme,
        depth,
        kwargs.get("activation", "relu"),
        kwargs.get("batch_norm", False),
        kwargs.get("forward", forward),
        kwargs.get("backward", forward[::-1]),
        "Activations hold. Gradients hold.",
    )


def image_set(n: int = 20, channels: int = 1, size: int = 28) -> SimpleNamespace:
    g = torch.Generator().manual_seed(0)
    return SimpleNamespace(
        images=torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8, generator=g),
        labels=torch.arange(n) % 3,
        classes=("Ankle boot", "T-shirt/top", "Bag"),
    )


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


SOBEL = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
STACK = nn.Sequential(
    nn.Conv2d(3, 8, 7, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(8, 8, 3, dilation=2)
)
ZEROS, INF = [0.0] * 12, [10.0 ** (9 * k) for k in range(1, 5)] + [math.inf] * 8

SAMPLES = {
    "curves": lambda: plots.learning_curves(history(8), title="SimpleCNN"),
    "curves, no epoch": lambda: plots.learning_curves(history(0), epochs=5),
    "curves, one epoch": lambda: plots.learning_curves(history(1), epochs=5),
    "curves, one of one": lambda: plots.learning_curves(history(1)),
    "curves, diverged": lambda: plots.learning_curves(history(9, first_bad=4)),
    "curves, all nan": lambda: plots.learning_curves(history(3, first_bad=1)),
    "curves, several": lambda: plots.learning_curves(
        {"weight decay 0.01": history(5), "dropout 0.5": history(9, 0.001), "x": history(0)}
    ),
    "curves, nobody": lambda: plots.learning_curves({}),
    "layers": lambda: plots.layer_statistics(spread()),
    "layers, several": lambda: plots.layer_statistics(
        [spread("he"), spread("xavier", 0.3), spread("he read as variance", 4.0)], title="Twelve"
    ),
    "layers, 0 and inf": lambda: plots.layer_statistics(
        {
            "zeros": spread(forward=ZEROS, backward=[*ZEROS[:-1], 1.0]),
            "normal 1": spread(forward=INF, backward=INF[::-1]),
            "nan": spread(forward=[math.nan] * 12, backward=[math.nan] * 12),
        }
    ),
    "layers, one": lambda: plots.layer_statistics(spread(depth=1)),
    "layers, tiny": lambda: plots.layer_statistics(spread(forward=[1e-45] * 12)),
    "filters": lambda: plots.filters(random(16, 1, 3, 3), title="conv1"),
    "filters, titles": lambda: plots.filters(random(6, 1, 5, 5), titles=list("abcdef")),
    "filters, RGB": lambda: plots.filters(nn.Conv2d(3, 8, 3), titles=list("abcdefgh")),
    "filters, many": lambda: plots.filters(random(64, 32, 3, 3)),
    "filters, one zero": lambda: plots.filters(torch.zeros(1, 1, 3, 3)),
    "filters, 1×1": lambda: plots.filters(random(4, 8, 1, 1)),
    "filters, 1×7": lambda: plots.filters(random(4, 1, 1, 7)),
    "filters, nan": lambda: plots.filters(torch.full((2, 1, 3, 3), math.nan)),
    "maps": lambda: plots.feature_maps(random(16, 28, 28), [f"map {i}" for i in range(16)]),
    "maps, ReLU": lambda: plots.feature_maps(random(1, 5, 14, 14).relu(), columns=2),
    "maps, large": lambda: plots.feature_maps(random(3, 300, 200)),
    "maps, 1 pixel": lambda: plots.feature_maps(np.ones((40, 1, 1))),
    "images": lambda: plots.images(image_set(), title="Fashion-MNIST"),
    "images, one": lambda: plots.images(image_set(), [-1]),
    "images, more than there are": lambda: plots.images(image_set(5), 100),
    "images, RGB, predictions": lambda: plots.images(
        image_set(20, 3, 32), 8, predictions=torch.zeros(20, dtype=torch.int64), columns=8
    ),
    "row": lambda: plots.picture_row(
        [image_set().images[0], SOBEL, random(26, 26)],
        ["photograph", "kernel", "result"],
        signs=["∗", "="],
        numbers=True,
        title="Edges",
    ),
    "row, one": lambda: plots.picture_row([np.arange(12.0).reshape(3, 4)], numbers=True),
    "row, RGB": lambda: plots.picture_row([random(3, 8, 8).relu(), np.zeros((8, 9, 3), np.uint8)]),
    "bars": lambda: plots.bars(
        {"SimpleCNN": 0.893, "nearest neighbour": 0.801},
        {"SimpleCNN": (0.879, 0.906)},
        form="{:.1%}",
        title="Accuracy",
        highlight="SimpleCNN",
    ),
    "bars, one": lambda: plots.bars({"a": 12_845_056}, form="{:,.0f}"),
    "bars, odd": lambda: plots.bars({"a": -0.3, "b": 0.4, "c": math.nan, "d": math.inf}),
    "bars, zeros": lambda: plots.bars({"a": 0.0, "b": 0.0}),
    "pairs": lambda: plots.before_and_after(
        {"kernel 5": (0.89, 0.9), "stride 2": (0.3, 0.86)},
        ("at once", "trained"),
        percent=True,
        title="Accuracy",
    ),
    "pairs, one": lambda: plots.before_and_after({"a": (3, 1)}, limits=(0, 4)),
    "gaps": lambda: plots.gaps({"none": run(1.0, 0.8), "dropout 0.5": run(0.9, 0.85)}, rows=4),
    "gaps, none": lambda: plots.gaps({}),
    "heat map": lambda: plots.heatmap(
        np.arange(100).reshape(10, 10), [f"T-shirt {i}" for i in range(10)], xlabel="predicted"
    ),
    "heat map, signed": lambda: plots.heatmap([[1, -2.0, math.nan]], (["row"], list("xyz"))),
    "heat map, zero": lambda: plots.heatmap([[0]], ["a"], title="Nothing", ylabel="true"),
    "lines": lambda: plots.lines(
        {"kernel 3": ([1, 2, 3], [9, 18, 27]), "kernel 5": ([1, 2, 3], [25, 50, 75])},
        xlabel="layers",
        ylabel="Parameters",
        whole="x",
        markers=True,
    ),
    "lines, log": lambda: plots.lines(
        {"loss": (np.logspace(-5, 0, 9), [1, 2, math.nan, 3, 4, 5, 0, -1, math.inf])}, log="xy"
    ),
    "lines, none": lambda: plots.lines({}),
    "lines, one point": lambda: plots.lines({"a": ([1], [0.5]), "b": ([], [])}, percent="y"),
    "field": lambda: plots.receptive_field_diagram([3, (3, 2), (3, 1, 4)], title="A stack"),
    "field, modules": lambda: plots.receptive_field_diagram(STACK),
    "field, 1×1": lambda: plots.receptive_field_diagram([nn.Conv2d(3, 8, 1)]),
    "field, wide": lambda: plots.receptive_field_diagram([(7, 2, 1)] * 5),
}


@pytest.fixture(scope="module")
def drawn() -> dict[str, tuple[Figure, bytes]]:
    figures = {name: draw() for name, draw in SAMPLES.items()}
    return {name: (figure, figure.to_png()) for name, figure in figures.items()}


@pytest.mark.parametrize("name", SAMPLES)
def test_every_figure_is_opaque_as_wide_as_asked_and_has_a_text(name, drawn):
    figure, png = drawn[name]
    assert isinstance(figure, plots.Figure)
    assert figure.alt.endswith(".") and len(figure.alt) > 10 and "\n" not in figure.alt
    assert "nan" not in figure.alt.replace("nan: ", "")
    picture = Image.open(io.BytesIO(png))
    assert picture.width == 640 if not name.startswith("heat") else picture.width <= 640
    assert 40 < picture.height < 900
    pixels = np.asarray(picture.convert("RGBA"))
    assert (pixels[..., 3] == 255).all()
    assert (pixels[:2, :, :3] == 255).all(), "light and empty at the edge"
    assert pixels[..., :3].min() < 180, "something is drawn"


@pytest.mark.parametrize("name", SAMPLES)
def test_no_word_is_cut_off_at_the_edge(name, drawn):
    figure, _ = drawn[name]
    for axes in figure.axes:
        words = [t for t in axes.texts if t.get_text()]
        for word in [*words, axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]:
            if not (word.get_text() and word.get_visible()):
                continue
            box = word.get_window_extent()
            assert box.x0 >= 0 and box.x1 <= figure.bbox.width, word.get_text()
            assert box.y0 >= 0 and box.y1 <= figure.bbox.height, word.get_text()


SOME = ["curves", "layers, several", "filters", "images, RGB, predictions", "heat map", "bars"]


@pytest.mark.parametrize("name", SOME)
def test_same_bytes_in_threads_and_whatever_the_settings_of_matplotlib(name, drawn):
    results: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: results.append(SAMPLES[name]().to_png())) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with matplotlib.style.context("dark_background"):
        results.append(SAMPLES[name]().to_png())
    assert [r == drawn[name][1] for r in results] == [True, True, True]


def test_nothing_imports_pyplot_and_the_module_alone_not_even_matplotlib():
    code = """
import sys
from course_utils import plots
import torch
assert "matplotlib" not in sys.modules, "importing the module must cost nothing"
assert "seaborn" not in sys.modules and "pandas" not in sys.modules
plots.bars({"a": 1.0}).to_png()
plots.filters(torch.ones(2, 1, 3, 3))._repr_mimebundle_()
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


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
    figure = plots.learning_curves(history(3))
    for width in (320, 960, 640):
        assert Image.open(io.BytesIO(figure.to_png(width))).width == width
    assert figure.to_png() == plots.learning_curves(history(3)).to_png(), "no trace is left"


def test_alt_can_be_given_by_whoever_knows_more():
    own = "The dense layer has a thousand times as many parameters."
    for figure in (
        plots.bars({"a": 1.0}, alt=own),
        plots.learning_curves(history(2), alt=own),
        plots.layer_statistics(spread(), alt=own),
        plots.filters(random(2, 1, 3, 3), alt=own),
        plots.feature_maps(random(2, 3, 3), alt=own),
        plots.images(image_set(), 2, alt=own),
        plots.picture_row([SOBEL], alt=own),
        plots.heatmap([[1]], ["a"], alt=own),
        plots.lines({}, alt=own),
        plots.receptive_field_diagram([3], alt=own),
    ):
        assert figure.alt == own


def test_texts_name_what_is_drawn_but_no_number_that_was_trained():
    one, other = plots.learning_curves(history(8)), plots.learning_curves(history(8, 0.37))
    assert one.alt == other.alt and "8 epochs" in one.alt
    several = plots.learning_curves({"Adam": history(8), "AdamW": history(8)}).alt
    assert "Adam and AdamW" in several
    assert plots.bars({"a": 0.1}).alt == plots.bars({"a": 0.2}).alt
    told = plots.bars({"5×5": 25, "two 3×3": 18}, form="{:.0f}", values_in_alt=True).alt
    assert "5×5 25 and two 3×3 18" in told
    guess = torch.zeros(20, dtype=torch.int64)
    assert (
        plots.images(image_set(), predictions=guess).alt
        == plots.images(image_set(), predictions=guess + 1).alt
    )
    assert "he: Activations hold." in plots.layer_statistics(spread()).alt


def ends(figure: Figure, panel: int) -> list[str]:
    return [t.get_text() for t in figure.axes[panel].texts]


def test_learning_curves_draws_what_is_there():
    figure = plots.learning_curves(history(4))
    loss, accuracy = figure.axes
    assert [list(line.get_ydata()) for line in loss.lines] == [
        history(4).train_loss,
        history(4).validation_loss,
    ]
    assert loss.lines[0].get_linestyle() == "-" != loss.lines[1].get_linestyle()
    assert len(accuracy.collections) == 1, "the gap is shaded"
    assert ends(figure, 1) == ["training", "validation"]
    assert "no epoch finished yet" in ends(plots.learning_curves(history(0)), 0)
    assert "from epoch 4 on" in ends(plots.learning_curves(history(9, first_bad=4)), 0)[0]


def test_axis_of_a_running_training_stands_still():
    limits = {plots.learning_curves(history(n), epochs=6).axes[0].get_xlim() for n in range(7)}
    assert len(limits) == 1


def test_validation_may_lag_behind_training():
    late = history(4)
    del late.validation_loss[2:], late.validation_accuracy[2:]
    figure = plots.learning_curves(late)
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [4, 2]


def run(train: float, validation: float) -> SimpleNamespace:
    return SimpleNamespace(train_accuracy=train, validation_accuracy=validation)


def test_gaps_write_the_difference_in_points():
    figure = plots.gaps({"none": run(1.0, 0.82), "crop": run(0.8, 0.83)})
    written = [text.get_text() for text in figure.axes[0].texts]
    assert written == ["18", "−3"]
    assert figure.alt == "Training and validation accuracy of 2 runs: none and crop."


def test_gaps_leave_room_for_all_that_was_measured():
    low = plots.gaps({"guessing": run(0.13, 0.09)}).axes[0].get_xlim()[0]
    assert low <= 0.09
    assert plots.gaps({"good": run(0.95, 0.9)}).axes[0].get_xlim()[0] == 0.5


def test_gaps_of_a_live_picture_keep_its_size():
    sizes = {plots.gaps(runs, rows=5).bbox.size.tolist()[1] for runs in ({}, {"one": run(1, 0.5)})}
    assert len(sizes) == 1


def test_distributions_are_shares_of_each_set():
    figure = plots.distributions(
        {"few": torch.tensor([-0.9, 0.0, 0.0, 0.9]), "many": np.zeros((10, 10))},
        limits=(-1, 1),
        bins=5,
        xlabel="weight",
    )
    heights = [max(c.get_paths()[0].vertices[:, 1]) for c in figure.axes[0].collections]
    assert heights == pytest.approx([0.5, 1.0])
    assert figure.alt == "Histograms of weight: few and many."
    assert figure.to_png().startswith(b"\x89PNG")


@pytest.mark.parametrize("samples", [{}, {"nothing": []}, {"nan": [math.nan]}])
def test_distributions_of_nothing_are_refused(samples):
    with pytest.raises(CourseError, match="nothing to draw"):
        plots.distributions(samples)


def test_layer_statistics_marks_where_numbers_end():
    texts = ends(SAMPLES["layers, 0 and inf"](), 0)
    assert texts.count("∞") == 2 and texts.count("0") == 1
    assert {"zeros", "normal 1", "nan"} <= set(texts)
    figure = plots.layer_statistics(spread(forward=INF, backward=INF[::-1]))
    forward, backward = (axes.texts[0] for axes in figure.axes)
    assert forward.get_position()[0] == 5, "first layer without a number, going forward"
    assert backward.get_position()[0] == 8, "first layer without a number, going backward"


def test_spreads_are_named_by_what_tells_them_apart():
    pair = [spread("he"), spread("he", batch_norm=True)]
    assert {"no BatchNorm", "BatchNorm"} <= set(ends(plots.layer_statistics(pair), 0))
    twins = [spread("he"), spread("he")]
    assert {"he", "he (2)"} <= set(ends(plots.layer_statistics(twins), 0))


def colour_at(figure: Figure, fraction: tuple[float, float], k: int = 0) -> tuple[int, ...]:
    """Of the k-th picture of a figure, at a place given as fractions of its width and height."""
    x0, x1, y1, y0 = figure.axes[0].images[k].get_extent()
    picture = np.asarray(Image.open(io.BytesIO(figure.to_png())).convert("RGB"))
    x, y = x0 + fraction[0] * (x1 - x0), y0 + fraction[1] * (y1 - y0)
    return tuple(int(v) for v in picture[int(y), int(x)])


def test_filters_share_one_symmetric_scale():
    weight = torch.tensor([[[[1.0, 0.0], [-2.0, 2.0]]], [[[0.0, 0.0], [0.0, 1.0]]]])
    figure = plots.filters(weight)
    places = {"positive": (0.25, 0.25), "zero": (0.75, 0.25), "low": (0.25, 0.75)}
    seen = {name: colour_at(figure, at) for name, at in places.items()}
    assert seen["zero"] == (255, 255, 255)
    assert seen["low"][2] > seen["low"][0] + 80, "negative is blue"
    assert seen["positive"][0] > seen["positive"][2] + 40, "positive is vermilion"
    strong = colour_at(figure, (0.75, 0.75))
    assert strong[2] < seen["positive"][2], "2 is darker than 1"
    assert colour_at(figure, (0.75, 0.75), k=1) == seen["positive"], "the same 1 in both filters"


def test_photographs_keep_their_greys_and_colours():
    data = image_set(4, 3, 2)
    data.images[0, :, 0, 0] = torch.tensor([200, 100, 50])
    assert colour_at(plots.images(data, 4), (0.25, 0.25)) == (200, 100, 50)
    grey = torch.full((1, 4, 4), 128, dtype=torch.uint8)
    assert colour_at(plots.picture_row([grey]), (0.5, 0.5)) == (128, 128, 128)


def test_predictions_are_marked_right_or_wrong():
    data = image_set(4)  # classes 0, 1, 2, 0
    for predictions in (torch.tensor([0, 0, 2, 2]), torch.tensor([2])):
        chosen = [0, 1, 2, 3] if len(predictions) == 4 else [3]
        texts = ends(plots.images(data, chosen, predictions=predictions), 0)
        assert "✗ Bag" in texts and "is Ankle boot" in texts
    texts = ends(plots.images(data, 4, predictions=torch.tensor([0, 0, 2, 2])), 0)
    assert texts == ["✓ Ankle boot", "✗ Ankle boot", "is T-shirt/top", "✓ Bag", "✗ Bag",
                     "is Ankle boot"]  # fmt: skip


def test_numbers_are_written_into_large_squares_only():
    texts = ends(plots.picture_row([SOBEL, random(26, 26)], numbers=True), 0)
    assert texts == ["−1", "0", "1", "−2", "0", "2", "−1", "0", "1"]


def test_bars_end_where_their_numbers_say():
    figure = plots.bars({"a": 2.0, "b": 1.0}, {"b": (0.5, 3.0)}, form="{:.1f}", highlight="b")
    axes = figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [2.0, 1.0]
    assert axes.patches[0].get_facecolor() != axes.patches[1].get_facecolor()
    assert axes.get_xlim() == (0.0, 3.0), "the interval fits in"
    assert ends(figure, 0) == ["2.0", "1.0"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a", "b"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first one is on top"
    odd = plots.bars({"a": math.nan, "b": -math.inf, "c": -1.0})
    assert ends(odd, 0) == ["not a number", "−∞", "−1"]


def test_heat_map_writes_numbers_that_can_be_read():
    axes = plots.heatmap([[0, 10], [5, math.nan]], ["a", "b"]).axes[0]
    texts = {t.get_text(): t.get_color() for t in axes.texts}
    assert set(texts) == {"0", "10", "5"}
    assert texts["0"] != texts["10"], "dark on white, white on dark"


@pytest.mark.parametrize(
    "layers",
    [
        [(3,), (3,), (3,)],
        [(3, 2, 1), (3, 1, 2)],
        [(2, 2), (5, 3), (3, 1, 3)],
        list(STACK),
    ],
)
def test_receptive_field_is_what_the_gradient_says(layers):
    """The input pixels with a gradient are those that the drawing fills in its last row."""
    modules = [
        m if isinstance(m, nn.Module) else nn.Conv2d(1, 1, m[0], *m[1:2], dilation=(*m, 1, 1)[2])
        for m in layers
    ]
    size = 80
    x = torch.zeros(1, modules[0].in_channels, size, size, requires_grad=True)
    y = x
    for m in modules:
        if isinstance(m, nn.Conv2d):
            nn.init.ones_(m.weight)
        # The mean has the same field as the maximum, but passes a gradient to all of it.
        y = nn.AvgPool2d(m.kernel_size, m.stride)(y) if isinstance(m, nn.MaxPool2d) else m(y)
    y[0, 0, y.shape[2] // 2, y.shape[3] // 2].backward()
    touched = torch.nonzero(x.grad[0, 0].abs().sum(0)).flatten()
    span = int(touched[-1] - touched[0]) + 1
    figure = plots.receptive_field_diagram(layers)
    assert f"sees {span} pixel" in figure.alt
    squares = [p for p in figure.axes[0].patches if hasattr(p, "get_y")]
    lowest = max(p.get_y() for p in squares)
    row = [p for p in squares if p.get_y() == lowest]
    white = (1.0, 1.0, 1.0, 1.0)
    assert sum(p.get_facecolor() != white for p in row) == len(touched)


@pytest.mark.parametrize(
    ("draw", "says"),
    [
        (lambda: plots.filters(torch.zeros(3, 3)), r"\(C_out, C_in, height, width\)"),
        (lambda: plots.feature_maps(torch.zeros(2, 3, 4, 4)), r"\(C, H, W\)"),
        (lambda: plots.feature_maps(torch.zeros(2, 4, 4), ["a"]), "1 titles do not fit 2"),
        (lambda: plots.images(image_set(3), [3]), "3 pictures: choose among 0 to 2"),
        (lambda: plots.images(image_set(3), []), "choose among"),
        (lambda: plots.images(image_set(3), 2, predictions=[1] * 9), "9 predictions"),
        (lambda: plots.picture_row([]), "nothing to draw"),
        (lambda: plots.picture_row([torch.zeros(5)]), "A picture has the shape"),
        (lambda: plots.picture_row([SOBEL, SOBEL], signs=["=", "="]), "2 signs do not fit"),
        (lambda: plots.bars({}), "nothing to draw"),
        (lambda: plots.heatmap([1, 2], ["a", "b"]), "needs a matrix"),
        (lambda: plots.heatmap([[1, 2]], ["a", "b"]), "labels do not fit"),
        (lambda: plots.lines({"a": ([1, 2], [1])}), "'a' has 2 values of x but 1 of y"),
        (lambda: plots.layer_statistics([]), "nothing to draw"),
        (lambda: plots.receptive_field_diagram([nn.ReLU()]), "no layer with a kernel"),
        (lambda: plots.receptive_field_diagram([(3, 0)]), "at least 1"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_words(draw, says):
    with pytest.raises(CourseError, match=says):
        draw()


def test_unknown_figures_are_attribute_errors():
    with pytest.raises(AttributeError, match="pie"):
        plots.pie  # noqa: B018
    assert all(hasattr(plots, name) for name in plots.__all__)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.floats(0.01, 0.2))
@settings(max_examples=200, deadline=None)
def test_labels_are_spread_out_in_order_and_no_further_than_needed(wanted, gap):
    places = spread_out(wanted, gap)
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
    assert len(boxes) == 8
    assert all(b.y0 > a.y1 - 3 for a, b in itertools.pairwise(boxes))
    label_ends(figure.axes[0], [])


def test_words_in_colour_can_be_read_on_white():
    for colour in COLOURS:
        r, g, b = (
            c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in darker(colour)
        )
        assert 1.05 / (0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05) >= 4.5  # WCAG 2, level AA


def test_log_labels():
    labels = [_log_label(v) for v in (1e-8, 1e-2, 1.0, 20.0, 1e2, 5e3, 1e12)]
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
    assert _Decades().tick_values(low, high) == pytest.approx(ticks)
    assert _Decades().tick_values(high, low) == pytest.approx(ticks)


def test_log_scale_leaves_out_what_is_not_positive():
    axes = plots.lines({"a": ([1, 2, 3, 4], [1, 0, -1, 2])}, log="y").axes[0]
    assert np.isnan(axes.lines[0].get_ydata()).tolist() == [False, True, True, False]
    assert axes.get_ylim()[0] > 0.5


def test_spreads_shows_every_number_and_the_median():
    values = {"a": [0.1, 0.2, 0.4], "b": [0.3, float("nan")]}
    figure = plots.spreads(values, {"a": (0.1, 0.4)}, percent=True, title="Accuracy")
    assert figure.alt == "Single values of accuracy, with their medians, and intervals: a and b."
    interval, dots, median, *_ = figure.axes[0].lines
    assert list(interval.get_xdata()) == [0.1, 0.4]
    assert list(dots.get_xdata()) == [0.1, 0.2, 0.4] and list(median.get_xdata()) == [0.2]
    assert plots.spreads({"all": [float("nan")]}).to_png()
    for nothing in ({}, {"a": []}):
        with pytest.raises(CourseError, match="at least one number"):
            plots.spreads(nothing)


def test_spreads_shows_equal_numbers_side_by_side():
    figure = plots.spreads({"a": [0.5, 0.25, 0.5, 0.5], "b": [0.5]})
    first, second = (axes.get_ydata() for axes in figure.axes[0].lines[::2])
    heights = dict(zip([0, 2, 3], first[[0, 2, 3]], strict=True))
    assert first[1] == 0 and second[0] == 1, "a number that stands alone stays on its row"
    assert sorted(heights.values()) == pytest.approx([-0.28, 0, 0.28])
    assert list(figure.axes[0].lines[0].get_xdata()) == [0.5, 0.25, 0.5, 0.5]


def test_lines_as_steps_dashed_and_named_where_asked():
    series = {"a": ([0, 1, 2], [1, 0.1, 0.01]), "b": ([0, 1, 2], [1, 0.1, 0.02])}
    plain = plots.lines(series, log="y").axes[0]
    axes = plots.lines(series, log="y", steps=True, dashed="b", names_at={"b": (1, 0.5)}).axes[0]
    assert {line.get_drawstyle() for line in plain.lines} == {"default"}
    assert {line.get_drawstyle() for line in axes.lines} == {"steps-post"}
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"]
    assert {t.get_text(): t.xy for t in axes.texts}["b"] == (1, 0.5)
    assert {t.get_text(): t.xy for t in axes.texts}["a"][0] == 1, "in shares of the axes"
    with pytest.raises(CourseError, match="no line called 'c', but 'a' and 'b'"):
        plots.lines(series, dashed="c")
    with pytest.raises(CourseError, match="no line called 'c'"):
        plots.lines(series, names_at={"c": (0, 1)})


def test_log_axes_of_lines_have_plain_numbers():
    axes = plots.lines({"a": ([1, 2], [1e-5, 1e5])}, log="y").axes[0]
    write = axes.yaxis.get_major_formatter()
    numbers = [write(v) for v in (1e-6, 1e-5, 2e-3, 0.1, 1.0, 50.0, 1e5, 1e6)]
    assert numbers == ["10⁻⁶", "0.00001", "0.002", "0.1", "1", "50", "100,000", "10⁶"]
