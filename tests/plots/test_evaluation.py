from __future__ import annotations

import numpy as np

from course_utils import metrics, plots
from tests.plots.samples import confused, judged, texts_in


def test_a_confusion_matrix_shows_counts_or_rates():
    matrix = confused(3, 200)
    cells = [matrix.counts[i, j] for i in range(3) for j in range(3) if matrix.counts[i, j]]
    assert texts_in(plots.confusion_matrix(matrix)) == [f"{n}" for n in cells]
    rates = plots.confusion_matrix(matrix, rates=True)
    assert texts_in(rates)[0] == f"{100 * matrix.rates[0, 0]:.0f}"
    drawn = rates.axes[0].images[0].get_array()
    assert (np.diag(drawn) < 0).all() and (drawn - np.diag(np.diag(drawn)) >= 0).all()
    assert "per cent" in rates.alt and "number of pictures" in plots.confusion_matrix(matrix).alt


def test_curves_have_the_areas_in_the_legend_and_not_in_the_text():
    curves = metrics.roc_curves(*judged())
    figure = plots.class_curves(curves)
    lowest = sorted(curves.by_class, key=lambda name: curves[name].area)[:3]
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown[:3] == [f"{name} ({curves[name].area:.3f})" for name in lowest]
    assert shown[3:] == [f"{name} mean ({curves.areas[name]:.3f})" for name in ("macro", "micro")]
    assert "7 other classes" in figure.alt and f"{curves.macro.area:.3f}" not in figure.alt
    assert len(figure.axes[0].lines) == 10 + 2 + 1


def test_a_reliability_diagram_shows_where_the_network_is_too_sure():
    sure = metrics.reliability([0, 0, 1, 1], [[0.9, 0.1]] * 4)
    unsure = metrics.reliability([0, 0, 0, 0], [[0.6, 0.4]] * 4)
    figure = plots.reliability_diagram({"sure": sure, "not": unsure})
    colours = [axes.patches[0].get_facecolor()[:3] for axes in figure.axes[:2]]
    assert colours[0][0] > colours[0][2] and colours[1][0] < colours[1][2]
    assert figure.axes[0].collections[1].get_offsets().tolist() == [[0.9, 0.5]]
    assert "of sure and not" in figure.alt
