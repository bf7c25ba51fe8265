from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils import plots
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
