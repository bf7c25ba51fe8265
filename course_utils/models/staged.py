"""A network of stages, from one convolution to a small residual network: those of the case study.

Each rung of the ladder (§5.1) is a `StagedCNN` with other arguments. With the default ones it is
the network of the article: a convolution with 16 kernels, a pooling, and a linear layer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from course_utils.core import CourseError, whole_number
from course_utils.models.simple import Layers

FLOOR = 5e-4
"""Added to each variance by `whitening_kernels`, so that noise is not made as large as the rest."""


class AddedBlock(nn.Module):
    """A 3×3 convolution whose result is added to its input (He et al. 2016).

    Shape:
        (N, channels, height, width) to the same.
    """

    def __init__(self, channels: int, batch_norm: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=not batch_norm)
        self.norm = nn.BatchNorm2d(channels) if batch_norm else nn.Identity()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.relu(self.norm(self.conv(x)))


class StagedCNN(Layers):
    """Stages that halve the size, then a linear layer.

    A stage is a convolution (3×3, padding 1), a pooling that keeps the largest of 2×2, BatchNorm if
    wanted, ReLU, and a residual block if wanted. The pooling comes first because the maximum and
    ReLU may change places, and the layers after it then have a quarter of the work.

    Args:
        in_channels: Channels of the images; 1 for grey, 3 for colour.
        classes: Number of scores.
        image_size: Side of the square images in pixels, or (height, width).
        widths: Output channels of each stage.
        batch_norm: Normalise after each convolution (Ioffe and Szegedy 2015).
        residual: Add a residual block to each stage (He et al. 2016).
        patches: Side of the patches of a first layer, which returns 2 · in_channels · patches²
            channels, as many as `whitening_kernels` has; 0 for none.
        pooled: Keep only the largest value of each of the last maps. Otherwise the linear layer
            sees every place of them.

    Shape:
        (N, in_channels, height, width) to (N, classes) logits.

    Attributes:
        patches, stage1, stage2, ..., classifier: Its parts.

    Raises:
        CourseError: If a number is out of its range, there is no width, or the images are so small
            that nothing is left of them.

    >>> sum(weights.numel() for weights in StagedCNN().parameters())
    31530
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 10,
        image_size: int | tuple[int, int] = 28,
        widths: Sequence[int] = (16,),
        batch_norm: bool = False,
        residual: bool = False,
        patches: int = 0,
        pooled: bool = False,
    ) -> None:
        whole_number("in_channels", in_channels, 1)
        whole_number("classes", classes, 1)
        whole_number("patches", patches, 0)
        if not widths:
            raise CourseError("widths=(): give at least one number, such as (16, 32).")
        size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        channels, sides = in_channels, [*size]
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if patches:
            channels = 2 * in_channels * patches**2
            layers["patches"] = nn.Conv2d(in_channels, channels, patches)
            layers["patches_relu"] = nn.ReLU()
            sides = [side - patches + 1 for side in sides]
        for number, width in enumerate(widths, start=1):
            whole_number(f"widths[{number - 1}]", width, 1)
            layers[f"stage{number}"] = _stage(channels, width, batch_norm, residual)
            channels, sides = width, [side // 2 for side in sides]
        if min(sides) < 1:
            raise CourseError(
                f"A picture of {size[0]}×{size[1]} pixels is too small: {len(widths)} poolings "
                "leave nothing of it. Give fewer widths or larger pictures."
            )
        if pooled:
            layers["pool"] = nn.AdaptiveMaxPool2d(1)
            sides = [1, 1]
        layers["flatten"] = nn.Flatten()
        layers["classifier"] = nn.Linear(channels * sides[0] * sides[1], classes)
        super().__init__(layers)


def _stage(in_channels: int, width: int, batch_norm: bool, residual: bool) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv"] = nn.Conv2d(in_channels, width, 3, padding=1, bias=not batch_norm)
    layers["pool"] = nn.MaxPool2d(2)
    if batch_norm:
        layers["norm"] = nn.BatchNorm2d(width)
    layers["relu"] = nn.ReLU()
    if residual:
        layers["block"] = AddedBlock(width, batch_norm)
    return nn.Sequential(layers)


def whitening_kernels(images: Tensor, size: int = 2) -> Tensor:
    """Return kernels that whiten small patches: their answers are uncorrelated, with deviation 1.

    Standardisation gives each channel mean 0 and deviation 1, but neighbouring pixels stay almost
    equal. The kernels are the eigenvectors of the patches' covariance matrix, each divided by the
    square root of its eigenvalue (PCA whitening: Coates, Ng and Lee 2011, "An analysis of
    single-layer networks in unsupervised feature learning"). Each kernel comes a second time with
    the other sign, so that a ReLU after them loses nothing.

    Args:
        images: Standardised pictures, float32 (N, C, H, W).
        size: Side of a patch in pixels.

    Returns:
        float32 (2 · C · size², C, size, size).

    Raises:
        CourseError: If these are not such pictures, or a patch is larger than a picture.
    """
    if images.dim() != 4 or not images.is_floating_point() or not len(images):
        raise CourseError(
            f"Give standardised pictures (N, C, H, W) as floats, not {tuple(images.shape)} of "
            f"{str(images.dtype).removeprefix('torch.')}: data.normalise(images) returns them."
        )
    whole_number("size", size, 1, min(images.shape[2:]))
    channels = images.shape[1]
    patches = images.unfold(2, size, 1).unfold(3, size, 1).permute(0, 2, 3, 1, 4, 5)
    patches = patches.reshape(-1, channels * size * size).double()
    values, vectors = torch.linalg.eigh(torch.cov(patches.T).reshape(len(patches.T), -1))
    kernels = (vectors / (values.clamp(min=0) + FLOOR).sqrt()).T.flip(0)
    kernels = kernels.reshape(-1, channels, size, size).float()
    return torch.cat([kernels, -kernels])
