from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from torch import nn

from course_utils.models import DenseBaseline
from course_utils.widgets.training_panel import picture
from course_utils.widgets.training_panel.picture import FirstLayer, TrainingView, draw
from tests.plots.samples import pixels
from tests.toys import toy_model

ORANGE, BLUE = (222, 143, 5), (1, 115, 178)
VIEW = TrainingView(8, (0.5, 1.0, 1.5), (2.3, 1.0, 0.5), (1,), (0.5,), (0.6,))


def near(view: TrainingView, colour: tuple[int, int, int]) -> np.ndarray:
    """Return which pixels of the picture have about that colour, bool (H, W)."""
    return np.abs(pixels(draw(view)).astype(int) - colour).max(axis=-1) < 20


def layer(kernels: torch.Tensor, **values: object) -> FirstLayer:
    return FirstLayer("conv1", kernels, kernels, **values)


def test_each_number_is_seen():
    changes = {"epochs": 9, "losses": (2.3, 1.5, 0.5), "positions": (0.5, 1.0, 1.6)}
    changes |= {
        "reference": ("other", (0.5, 0.7)),
        "train_accuracy": (0.55,),
        "layer": layer(torch.rand(4, 1, 3, 3)),
    }
    plain = draw(VIEW)
    for name, value in changes.items():
        assert draw(dataclasses.replace(VIEW, **{name: value})) != plain, name


def test_validation_is_blue_and_training_orange():
    without = dataclasses.replace(VIEW, train_accuracy=(), validation_accuracy=())
    for name, colour in (("train_accuracy", ORANGE), ("validation_accuracy", BLUE)):
        more = dataclasses.replace(without, **{name: (0.7,)})
        assert near(more, colour).sum() > near(without, colour).sum() + 20


def test_the_extremes_give_a_picture():
    wide = layer(torch.rand(5, 7, 2, 4), image=torch.rand(7, 9, 9), maps=torch.rand(5, 8, 6))
    many = 200_000  # steps
    for changes in (
        dict.fromkeys(
            ("positions", "losses", "epoch", "train_accuracy", "validation_accuracy"), ()
        ),
        {"losses": (2.0, math.nan, math.inf)},
        {"losses": (0.0, 0.0, 0.0)},
        {"losses": (1.0, 1e30, 1e30)},
        {"positions": tuple(np.linspace(0, 8, many)), "losses": tuple(np.linspace(2, 1, many))},
        {"train_accuracy": (0.0,), "validation_accuracy": (1.0,)},
        {"reference": ("nothing", ())},
        {"reference": ("longer than the axis", (0.0,) * 99)},
        {"epochs": 1},
        {"epochs": 1000},
        {"layer": layer(torch.zeros(1, 1, 1, 1))},
        {"layer": layer(torch.rand(16, 3, 11, 11))},
        {"layer": wide},
        {"layer": layer(torch.rand(9, 1, 28, 28))},
    ):
        assert pixels(draw(dataclasses.replace(VIEW, **changes))).shape[1] == picture.WIDTH, changes


def test_an_explosion_leaves_what_came_before_readable():
    before = [2.3 - 0.02 * k for k in range(50)]
    positions = tuple((k + 1) / 10 for k in range(52))
    calm = dataclasses.replace(VIEW, positions=positions[:50], losses=tuple(before))
    wild = dataclasses.replace(VIEW, positions=positions, losses=(*before, 1e9, 1e12))
    rows = [np.nonzero(near(view, BLUE)[30:190, 45:300])[0] for view in (calm, wild)]
    assert np.ptp(rows[1]) > 0.15 * np.ptp(rows[0])


def test_first_layer_finds_convolution_or_linear():
    assert picture.first_layer(toy_model())[0] == "0"
    assert picture.first_layer(DenseBaseline())[0] == "hidden1"
    assert picture.first_layer(nn.ReLU()) is None


def test_kernels_are_copies_and_weights_of_all_pixels_are_folded():
    model = toy_model()
    kernels = picture.kernels_of(model[0], (1, 8, 8))
    assert torch.equal(kernels, model[0].weight.detach())
    with torch.no_grad():
        model[0].weight.zero_()
    assert kernels.abs().sum() > 0
    dense = DenseBaseline(3, 10, 8, hidden=(20,))
    folded = picture.kernels_of(dense.hidden1, (3, 8, 8))
    assert folded.shape == (16, 3, 8, 8)
    assert torch.equal(folded[2].flatten(), dense.hidden1.weight[2].detach())
    assert picture.kernels_of(nn.Linear(5, 3), (1, 8, 8)) is None


def test_the_maps_are_what_the_layer_computes():
    convolution, image = nn.Conv2d(3, 20, 5), torch.rand(3, 9, 9)
    maps = picture.maps_of(convolution, image)
    assert torch.allclose(maps, convolution(image[None])[0, :16].detach(), atol=1e-6)
    assert picture.maps_of(nn.Conv2d(1, 2, 3), image) is None
    assert picture.maps_of(nn.Linear(3, 2), image) is None
