"""Grad-CAM: equal to the formula worked out by hand, and nothing of the network changes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.core import CourseError, seeded
from course_utils.metrics import grad_cam

PICTURE = torch.randn(1, 6, 5, generator=torch.Generator().manual_seed(0))


def small(inplace: bool = False) -> nn.Sequential:
    layers = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace), nn.Dropout(0.9)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("layer", ["0", "1", "2"])
@pytest.mark.parametrize("index", [0, 3])
def test_it_equals_the_formula(layer, index, inplace):
    model = seeded(lambda: small(inplace), 1).eval()
    with torch.no_grad():
        maps = model[0](PICTURE[None])[0]  # BatchNorm starts as the identity, but for epsilon
        slope = torch.full_like(maps, 1.0) if layer == "2" else (maps > 0).float()
        slope /= 1 if layer != "0" else (1 + model[1].eps) ** 0.5
        normed = model[1](maps[None])[0]
        shown = {"0": maps, "1": normed, "2": normed.relu()}[layer]
        weights = model[6].weight[index] * slope.sum((1, 2)) / 30 / 30  # a mean of ∂ mean / ∂ A
        expected = (weights[:, None, None] * shown).sum(0).relu()
    found = grad_cam(model, PICTURE, index, layer)
    assert found.shape == (6, 5) and torch.allclose(found, expected, rtol=1e-4, atol=1e-7)
    assert torch.equal(found, grad_cam(model, PICTURE[None], index, layer))


def test_it_points_at_what_the_class_needs():
    """The class is the brightness of one corner, so only that corner speaks for it."""
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[3].weight.zero_()[1, :4] = 1.0
    picture = torch.zeros(1, 8, 8)
    picture[0, 0, :4] = 1.0
    found = grad_cam(model, picture, 1, "0")
    assert (found > 0).nonzero().tolist() == [[0, k] for k in range(4)]
    assert not grad_cam(model, picture, 0, "0").any(), "no place speaks for the other class"


def test_nothing_changes():
    model = small().train()
    model[0].weight.requires_grad_(False)
    picture = PICTURE.clone()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.inference_mode():
        grad_cam(model, picture, 0, "2")
    with torch.no_grad():
        grad_cam(model, picture, 0, "0")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert all(p.grad is None for p in model.parameters()) and torch.equal(picture, PICTURE)
    assert not model[0]._forward_hooks


def test_frozen_networks_and_maps_that_do_not_matter():
    frozen = small().requires_grad_(False)
    assert grad_cam(frozen, PICTURE, 0, "0").shape == (6, 5)

    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.aside, self.never = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 1, 1)
            self.head = nn.Linear(30, 2)

        def forward(self, x):
            self.aside(x)
            return self.head(x.flatten(1))

    assert not grad_cam(Aside(), PICTURE, 1, "aside").any()
    assert not grad_cam(Aside().requires_grad_(False), PICTURE, 1, "aside").any()
    with pytest.raises(CourseError, match="never is not used"):
        grad_cam(Aside(), PICTURE, 1, "never")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((PICTURE, 4, "0"), "class_index=4: give a whole number from 0 to 3"),
        ((PICTURE, -1, "0"), "class_index=-1"),
        ((PICTURE, True, "0"), "class_index=True"),
        ((PICTURE, 0, "conv"), "'conv' is not a layer"),
        ((PICTURE, 0, "6"), "6 returns a tensor .*, not maps"),
        ((PICTURE, 0, "5"), "5 returns a tensor .*, not maps"),
        ((PICTURE[0], 0, "0"), "as a tensor"),
        ((torch.zeros(2, 1, 6, 5), 0, "0"), "not 2"),
        ((torch.zeros(1, 6, 5, dtype=torch.uint8), 0, "0"), "of type uint8"),
        ((torch.zeros(3, 6, 5), 0, "0"), "does not take a picture of 3×6×5"),
    ],
)
def test_what_cannot_be_used_is_said(arguments, words):
    model = small()
    with pytest.raises(CourseError, match=words):
        grad_cam(model, *arguments)
    assert not any(module._forward_hooks for module in model.modules())


def test_the_output_must_be_scores():
    with pytest.raises(CourseError, match=r"scores \(1, classes\), not 1×3×6×5"):
        grad_cam(small()[:3], PICTURE, 0, "0")
    with pytest.raises(CourseError, match="Conv2d is a class"):
        grad_cam(nn.Conv2d, PICTURE, 0, "0")
