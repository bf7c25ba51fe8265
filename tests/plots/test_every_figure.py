from __future__ import annotations

import io
import threading

import matplotlib.style
import numpy as np
import pytest
import torch
from PIL import Image

from course_utils import plots
from tests.plots.samples import SAMPLES, SOBEL, history, image_set, random, spread


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
    threads = [threading.Thread(target=draw) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
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


def test_alt_can_be_given():
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
    text = plots.bars({"5×5": 25, "two 3×3": 18}, form="{:.0f}", values_in_alt=True).alt
    assert "5×5 25 and two 3×3 18" in text
    guess = torch.zeros(20, dtype=torch.int64)
    assert (
        plots.images(image_set(), predictions=guess).alt
        == plots.images(image_set(), predictions=guess + 1).alt
    )
    assert "he: Activations hold." in plots.layer_statistics(spread()).alt


def test_unknown_figures_are_attribute_errors():
    with pytest.raises(AttributeError, match="pie"):
        plots.pie  # noqa: B018
    assert all(hasattr(plots, name) for name in plots.__all__)
