"""The networks of the ladder, and the kernels that whiten patches."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.core import CourseError
from course_utils.models import StagedCNN, whitening_kernels


def test_the_default_is_the_network_of_the_article():
    model = StagedCNN(3, 10, 32)
    kinds = [type(m) for m in model.modules() if not list(m.children())]
    assert kinds == [nn.Conv2d, nn.MaxPool2d, nn.ReLU, nn.Flatten, nn.Linear]
    assert model.classifier.in_features == 16 * 16 * 16 and model.stage1.conv.out_channels == 16
    # Pooling before ReLU is the same function as after it.
    x = torch.randn(2, 3, 32, 32)
    usual = model.stage1.pool(model.stage1.conv(x).relu())
    assert torch.equal(model.stage1(x), usual)


@pytest.mark.parametrize(
    ("arguments", "features"),
    [
        ({"widths": (4, 6)}, 6 * 49),
        ({"widths": (4, 6), "batch_norm": True, "residual": True}, 6 * 49),
        ({"widths": (4, 6), "patches": 2}, 6 * 36),
        ({"widths": (4, 6, 8), "patches": 3, "pooled": True, "residual": True}, 8),
    ],
)
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, (29, 30))])
def test_each_part_can_be_added(arguments, features, channels, size):
    model = StagedCNN(channels, 5, size, **arguments)
    sides = (size, size) if isinstance(size, int) else size
    assert model(torch.randn(2, channels, *sides)).shape == (2, 5)
    assert model.classifier.in_features == features or size != 28
    names = {type(m).__name__ for m in model.modules()}
    assert ("BatchNorm2d" in names) == ("batch_norm" in arguments)
    assert ("AddedBlock" in names) == ("residual" in arguments)
    assert hasattr(model, "patches") == ("patches" in arguments)


def test_a_residual_block_adds_its_result_to_its_input():
    block = StagedCNN(1, 3, 8, widths=(4,), residual=True).stage1.block
    x = torch.randn(2, 4, 8, 8)
    assert torch.equal(block(x), x + block.conv(x).relu())
    nn.init.zeros_(block.conv.weight)
    nn.init.zeros_(block.conv.bias)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(
    "arguments",
    [
        *({"widths": ()}, {"widths": (4, 0)}, {"patches": -1}, {"in_channels": 0}, {"classes": 0}),
        {"image_size": 3, "widths": (4, 4)},
        {"image_size": (28, 1)},
        {"image_size": 2, "patches": 2},
    ],
)
def test_what_cannot_be_built_is_said(arguments):
    with pytest.raises(CourseError):
        StagedCNN(**arguments)


@pytest.mark.parametrize(("channels", "size"), [(1, 2), (3, 2), (1, 3)])
def test_whitened_patches_are_uncorrelated(channels, size):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(20, channels, 16, 16, generator=generator)
    images = nn.functional.avg_pool2d(noise, 3, 1, 1) + 0.3 * noise.roll(1, 1)
    kernels = whitening_kernels(images, size)
    half = channels * size * size
    assert kernels.shape == (2 * half, channels, size, size)
    assert torch.equal(kernels[:half], -kernels[half:])
    answers = nn.functional.conv2d(images, kernels[:half]).transpose(0, 1).flatten(1)
    assert torch.allclose(torch.cov(answers), torch.eye(half), atol=0.05)


def test_what_has_no_variance_stays_small():
    kernels = whitening_kernels(torch.zeros(3, 1, 8, 8))
    assert kernels.isfinite().all() and kernels.abs().max() < 50


@pytest.mark.parametrize(
    ("images", "size"),
    [
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), 2),
        (torch.zeros(3, 8, 8), 2),
        (torch.zeros(0, 3, 8, 8), 2),
        (torch.zeros(2, 3, 8, 8), 9),
        (torch.zeros(2, 3, 8, 8), 0),
    ],
)
def test_pictures_that_cannot_be_whitened(images, size):
    with pytest.raises(CourseError):
        whitening_kernels(images, size)
