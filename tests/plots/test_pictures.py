from __future__ import annotations

import torch

from course_utils import plots
from tests.plots.samples import image_set, pixels, texts_in


def colour_at(figure: plots.Figure, fraction: tuple[float, float], k: int = 0) -> tuple[int, ...]:
    """Of the k-th picture of a figure, at a place given as fractions of its width and height."""
    x0, x1, y1, y0 = figure.axes[0].images[k].get_extent()
    x, y = x0 + fraction[0] * (x1 - x0), y0 + fraction[1] * (y1 - y0)
    return tuple(pixels(figure.to_png())[int(y), int(x)].astype(int))


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
        texts = texts_in(plots.images(data, chosen, predictions=predictions), 0)
        assert "✗ Bag" in texts and "is Ankle boot" in texts
    texts = texts_in(plots.images(data, 4, predictions=torch.tensor([0, 0, 2, 2])), 0)
    assert texts == ["✓ Ankle boot", "✗ Ankle boot", "is T-shirt/top", "✓ Bag", "✗ Bag",
                     "is Ankle boot"]  # fmt: skip
