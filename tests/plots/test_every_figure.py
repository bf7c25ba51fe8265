from __future__ import annotations

import io
import math
from concurrent.futures import ThreadPoolExecutor

import matplotlib.style
import numpy as np
import pytest
import torch
from PIL import Image

from course_utils import metrics, plots
from course_utils.core import CourseError
from course_utils.training import History
from tests.plots.samples import SAMPLES, history, image_set, judged, spread


@pytest.fixture(scope="module")
def drawn() -> dict[str, tuple[plots.Figure, bytes]]:
    figures = {name: draw() for name, draw in SAMPLES.items()}
    return {name: (figure, figure.to_png()) for name, figure in figures.items()}


def test_every_figure_is_opaque_as_wide_as_asked_and_has_a_text(drawn):
    for name, (figure, png) in drawn.items():
        assert isinstance(figure, plots.Figure), name
        assert figure.alt.endswith(".") and len(figure.alt) > 10 and "\n" not in figure.alt, name
        assert "nan" not in figure.alt.replace("nan: ", ""), name
        picture = Image.open(io.BytesIO(png))
        # A heat map is as wide as its columns need.
        assert picture.width == 640 or (name.startswith("heat") and picture.width < 640), name
        assert 40 < picture.height < 900, name
        pixels = np.asarray(picture.convert("RGBA"))
        assert (pixels[..., 3] == 255).all(), name
        assert (pixels[:2, :, :3] == 255).all(), f"{name}: light and empty at the edge"
        assert pixels[..., :3].min() < 180, f"{name}: something is drawn"


def test_no_word_is_cut_off_at_the_edge(drawn):
    for name, (figure, _) in drawn.items():
        for axes in figure.axes:
            labels = [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]
            for word in [*axes.texts, *labels]:
                if word.get_text() and word.get_visible():
                    box = word.get_window_extent()
                    inside = box.x0 >= 0 and box.x1 <= figure.bbox.width
                    inside = inside and box.y0 >= 0 and box.y1 <= figure.bbox.height
                    assert inside, f"{name}: {word.get_text()}"


SOME = ("curves", "layers, several", "images, RGB, predictions", "bars")


def test_same_bytes_in_threads_and_with_any_settings_of_matplotlib(drawn):
    def draw() -> None:
        results.append([SAMPLES[name]().to_png() for name in SOME])

    results: list[list[bytes]] = []
    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            pool.submit(draw)
    with matplotlib.style.context("dark_background"):
        draw()
    assert results == [[drawn[name][1] for name in SOME]] * 3


def test_nothing_imports_pyplot_and_the_room_alone_not_even_matplotlib(run_python):
    run_python("""
import sys
from course_utils import plots
import numpy as np
from course_utils.plots import canvas
assert "matplotlib" not in sys.modules, "importing the room must cost nothing"
plots.bars({"a": 1.0}).to_png()
plots.filters(np.ones((2, 1, 3, 3)))._repr_mimebundle_()
assert not {"matplotlib.pyplot", "seaborn", "pandas"} & set(sys.modules)
""")


def test_texts_name_what_is_drawn_but_no_number_that_was_trained():
    one, other = plots.learning_curves(history(8)), plots.learning_curves(history(8, 0.37))
    assert one.alt == other.alt and "8 epochs" in one.alt
    several = plots.learning_curves({"Adam": history(8), "AdamW": history(8)}).alt
    assert "Adam and AdamW" in several
    assert plots.bars({"a": 0.1}).alt == plots.bars({"a": 0.2}).alt
    guesses = (torch.full((20,), guess) for guess in (0, 1))
    assert len({plots.images(image_set(), predictions=guess).alt for guess in guesses}) == 1
    assert "he: Activations hold." in plots.layer_statistics(spread()).alt
    assert plots.lines({}, alt="Own words.").alt == "Own words."


def test_unknown_figures_are_attribute_errors():
    with pytest.raises(AttributeError, match="pie"):
        plots.pie  # noqa: B018
    assert all(hasattr(plots, name) for name in plots.__all__)


SERIES, TEST = {"a": ([0, 1], [1, 2]), "b": ([], [])}, {"Adam": None}
REFUSALS = {
    "nothing to draw": [
        lambda: plots.bars({}),
        lambda: plots.before_and_after({}),
        lambda: plots.picture_row([]),
        lambda: plots.layer_statistics([]),
        lambda: plots.distributions({}),
        lambda: plots.distributions({"nothing": []}),
        lambda: plots.distributions({"nan": [math.nan]}),
    ],
    "at least one path": [lambda: plots.descents({})],
    "at least one range test": [lambda: plots.range_tests({})],
    "at least one number": [lambda: plots.spreads({}), lambda: plots.spreads({"a": []})],
    "at least one curve": [lambda: plots.best_so_far({})],
    "at least 1": [lambda: plots.receptive_field_diagram([(3, 0)])],
    "finished an epoch": [lambda: plots.losses_and_rates(History())],
    "no candidate": [
        lambda: plots.accuracy_and_cost({"round 1": []}),
        lambda: plots.accuracy_and_cost({"round 1": [(1e5, 0.5)]}, floor=0.6),
    ],
    "until=0": [lambda: plots.class_curves(metrics.roc_curves(*judged()), until=0)],
    "no curve of 'x', but of": [
        lambda: plots.class_curves(metrics.roc_curves(*judged()), highlight=["x"])
    ],
    "give one to three": [
        lambda: plots.reliability_diagram({}),
        lambda: plots.reliability_diagram(dict.fromkeys("abcd")),
    ],
    "'none' is not among": [lambda: plots.best_so_far({"a": ([], [])}, reference="none")],
    "no layer with a kernel": [lambda: plots.receptive_field_diagram([torch.nn.ReLU()])],
    "needs a matrix": [lambda: plots.heatmap([1, 2], ["a", "b"])],
    "labels do not fit": [lambda: plots.heatmap([[1, 2]], ["a", "b"])],
    "'a' has 2 values of x but 1 of y": [lambda: plots.lines({"a": ([1, 2], [1])})],
    "no line called 'c', but 'a' and 'b'": [
        lambda: plots.lines(SERIES, dashed="c"),
        lambda: plots.lines(SERIES, names_at={"c": (0, 1)}),
    ],
    "no line called 'SGD', but 'Adam'": [lambda: plots.range_tests(TEST, dashed="SGD")],
    r"\(C_out, C_in, height, width\)": [lambda: plots.filters(torch.zeros(3, 3))],
    r"\(C, H, W\)": [lambda: plots.feature_maps(torch.zeros(2, 3, 4, 4))],
    "1 titles do not fit 2": [
        lambda: plots.feature_maps(torch.zeros(2, 4, 4), ["a"]),
        lambda: plots.picture_row(torch.zeros(2, 4, 4), ["a"]),
        lambda: plots.filters(torch.zeros(2, 1, 3, 3), ["a"]),
    ],
    "columns=0": [lambda: plots.picture_row(torch.zeros(2, 4, 4), columns=0)],
    "a title for each, not 0 fields": [lambda: plots.effective_fields([], [])],
    "3 pictures: choose among 0 to 2": [
        lambda: plots.images(image_set(3), [3]),
        lambda: plots.images(image_set(3), []),
    ],
    "9 predictions": [lambda: plots.images(image_set(3), 2, predictions=[1] * 9)],
    "A picture has the shape": [lambda: plots.picture_row([torch.zeros(5)])],
}


def test_what_cannot_be_drawn_is_refused_in_words():
    for words, calls in REFUSALS.items():
        for call in calls:
            with pytest.raises(CourseError, match=words):
                call()
