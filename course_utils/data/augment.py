"""Random changes of the training pictures, a whole batch at a time.

Every picture gets its own crop, its own mirror and its own hole, and still the batch is cut in one
step: the crop and the mirror are one gather from a padded copy, the hole is one multiplication.
`torchvision.transforms.v2` on a whole batch would give every picture the *same* crop, and picture
by picture it is some twenty times slower.

What is random is drawn on the CPU and only then sent to the pictures' device, so one seed gives the
same pictures on a CPU and on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import torch
import torch.nn.functional as F
from torch import Tensor

from course_utils.core import CourseError


@dataclass(frozen=True)
class Augment:
    """Pad-and-crop, mirror and cutout, drawn for each picture by itself.

    Args:
        pad_crop: The picture is framed by so many black pixels on each side, and a window of the
            old size is cut at a random place: it moves by up to `pad_crop` pixels (He et al. 2016,
            "Deep residual learning for image recognition", use 4 for 32×32).
        flip: Mirror left and right with probability 1/2.
        cutout: Side, in pixels, of a black square with its centre anywhere on the picture; what
            lies outside the picture is lost, as in the paper (DeVries and Taylor 2017, "Improved
            regularization of convolutional neural networks with Cutout"; 16 for CIFAR-10). There
            the square has the mean colour, here it is black, as the frame is.

    Raises:
        CourseError: If `pad_crop` or `cutout` is no whole number from 0 up, or, in a call, if
            `cutout` is larger than the picture.

    `augment(images, generator)` does it all. A loader that wants all of an epoch's numbers at once
    calls `draw` and then `apply` on one batch after the other; an own augmentation needs these two.

    >>> generator = torch.Generator().manual_seed(0)
    >>> images = torch.zeros(8, 1, 28, 28, dtype=torch.uint8)
    >>> Augment(pad_crop=2, flip=True)(images, generator).shape
    torch.Size([8, 1, 28, 28])
    """

    pad_crop: int = 0
    flip: bool = False
    cutout: int = 0

    def __post_init__(self) -> None:
        for name in ("pad_crop", "cutout"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
                raise CourseError(
                    f"{name}={value!r}: give a whole number of pixels, 0 for none of it."
                )

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Changed copies of `images` (N, C, H, W), of the same dtype and on the same device.

        `generator` is one of the CPU, wherever the images are.
        """
        choices = self.draw(len(images), tuple(images.shape[-2:]), generator)
        return self.apply(images, choices.to(images.device))

    def draw(self, count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
        """The random numbers for `count` pictures of `size` (height, width): int64 (count, 5).

        Columns: top and left edge of the window in the padded picture, mirrored (0 or 1), row and
        column of the cutout's centre. All five are drawn even where one is not used, so that
        switching one augmentation on or off leaves the others as they were.
        """
        height, width = size
        if self.cutout > min(size):
            raise CourseError(
                f"cutout={self.cutout} is larger than the picture ({height}×{width}): "
                f"at most {min(size)}, and about half the side is usual."
            )
        places = 2 * self.pad_crop + 1
        limits = (places, places, 2 if self.flip else 1, height, width)
        columns = [torch.randint(limit, (count,), generator=generator) for limit in limits]
        return torch.stack(columns, dim=1)

    def apply(self, images: Tensor, choices: Tensor) -> Tensor:
        """uint8 `images` (N, C, H, W) changed as `choices` (N, 5) of `draw` says, on one device."""
        if images.dtype != torch.uint8 or images.dim() != 4 or choices.shape != (len(images), 5):
            raise CourseError(
                "Augment takes uint8 pictures (N, C, H, W) and choices (N, 5), not "
                f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)} and "
                f"{tuple(choices.shape)}."
            )
        top, left, mirrored, row, column = choices.unbind(1)
        out = images
        if self.pad_crop or self.flip:
            out = self._crop_and_flip(images, top, left, mirrored)
        if self.cutout:
            out = out & self._outside_hole(row, column, images)
        return images.clone() if out is images else out

    def _crop_and_flip(self, images: Tensor, top: Tensor, left: Tensor, mirrored: Tensor) -> Tensor:
        # The mirrored batch stands behind the plain one, so that a mirror is only a later start.
        both = torch.cat([images, images.flip(3)]) if self.flip else images
        padded = F.pad(both, (self.pad_crop,) * 4)
        picture = torch.arange(len(images), device=images.device) + mirrored * len(images)
        return _cut(padded, picture, top, left, images.shape[2:])

    def _outside_hole(self, row: Tensor, column: Tensor, images: Tensor) -> Tensor:
        """Masks (N, 1, H, W): no bit set in the square around (row, column), all bits elsewhere."""
        height, width = images.shape[2:]
        # One square in the middle of a canvas; each mask is the window that has it where it should.
        canvas = images.new_full((1, 1, 2 * height, 2 * width), 255)
        top, left = height - self.cutout // 2, width - self.cutout // 2
        canvas[:, :, top : top + self.cutout, left : left + self.cutout] = 0
        return _cut(canvas, torch.zeros_like(row), height - row, width - column, (height, width))


def _cut(
    images: Tensor, picture: Tensor, top: Tensor, left: Tensor, size: tuple[int, int]
) -> Tensor:
    """The windows of `size` (height, width) at `top`, `left` of each `picture`, in one gather."""
    images = images.contiguous()
    _, channels, rows, columns = images.shape
    height, width = size
    area = rows * columns
    # windows[s] is the window whose first pixel is the s-th in memory: a view, nothing is copied.
    reach = (channels - 1) * area + (height - 1) * columns + width - 1
    windows = images.as_strided(
        (max(images.numel() - reach, 0), channels, height, width), (1, area, columns, 1)
    )
    return windows.index_select(0, picture * (channels * area) + top * columns + left)
