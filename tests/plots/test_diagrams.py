from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils import conv, plots
from tests.plots.samples import STACK


@pytest.mark.parametrize(
    "layers", [[(3,), (3,), (3,)], [(3, 2, 1), (3, 1, 2)], [(2, 2), (5, 3), (3, 1, 3)], list(STACK)]
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
            nn.init.ones_(m.bias)  # a ReLU behind negative numbers would pass no gradient
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


def test_effective_fields_have_two_squares_inside_the_image():
    heat = torch.zeros(20, 20)
    heat[3, 10], heat[4, 10] = 0.6, 0.4
    fields = [conv.EffectiveField(heat, (-2, 5, 11, 11)), conv.EffectiveField(heat, (3, 5, 4, 9))]
    figure = plots.effective_fields(fields, ["a", "b"])
    assert figure.alt.endswith("a square: a, b.")
    zoom = 260 / 20
    squares = [p for p in figure.axes[0].patches if p.get_linewidth() > 1]
    found = [[round(v / zoom) for v in (p.get_height(), p.get_width())] for p in squares]
    assert found == [[9, 11], [1, 1], [4, 9], [1, 1]]
    top = squares[0].get_y()
    assert [round((p.get_y() - top) / zoom) for p in squares] == [0, 3, 3, 3]


def test_rows_of_pictures_stand_below_each_other():
    figure = plots.picture_row(torch.zeros(5, 4, 4), list("abcde"), columns=3)
    places = [
        (round(t.get_position()[0]), round(t.get_position()[1])) for t in figure.axes[0].texts
    ]
    assert figure.alt.startswith("5 pictures in 2 rows: a")
    assert places[0][0] == places[3][0] and places[0][1] == places[2][1] < places[3][1]
    wide = plots.picture_row(torch.zeros(2, 4, 4), columns=9)
    assert wide.alt == "2 pictures in a row."
