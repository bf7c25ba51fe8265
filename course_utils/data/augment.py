"""Random changes of the training pictures, a whole batch at a time.

Every picture gets its own crop, mirror and hole, yet the whole batch is changed in one step: crop
and mirror are one gather from a padded copy, the hole is one bitwise "and". Applied to a whole
batch, `torchvision.transforms.v2` would crop every picture in the *same* place; picture by picture
it is about twenty times slower.

The random numbers are drawn on the CPU and then sent to the pictures' device, so the same seed
leads to the same pictures on a CPU and on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from course_utils.core import CourseError, shape_text, whole_number


@dataclass(frozen=True)
class Augment:
    """Pad-and-crop, mirror and cutout, drawn independently for each picture.

    Args:
        pad_crop: Width in pixels of a black frame around the picture, from which a window of the
            picture's size is cut at a random place: the picture moves by up to `pad_crop` pixels
            (He et al. 2016, "Deep residual learning for image recognition", use 4 for 32×32).
        flip: Whether to mirror left and right, with probability 1/2.
        cutout: Side, in pixels, of a black square whose centre is anywhere on the picture. Part of
            it may lie outside, as in the paper (DeVries and Taylor 2017, "Improved regularization
            of convolutional neural networks with Cutout"; 16 for CIFAR-10). The paper's square has
            the mean colour; here it is black, like the frame.

    Raises:
        CourseError: If `pad_crop` or `cutout` is not a whole number from 0 up, or, in a call, if
            `cutout` is larger than the picture.

    `augment(images, generator)` does everything. `Batches` draws the numbers of a whole epoch with
    `draw` and then calls `apply` for one batch after the other; your own augmentation needs these
    two methods.

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
            whole_number(name, getattr(self, name), 0)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return changed copies of `images` (N, C, H, W), of the same dtype, on the same device.

        `generator` is a generator of the CPU, whatever the device of the images.
        """
        choices = self.draw(len(images), tuple(images.shape[-2:]), generator)
        return self.apply(images, choices.to(images.device))

    def draw(self, count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Return the random numbers for `count` pictures of `size` (H, W): int64 (count, 5).

        Columns: top and left edge of the window in the padded picture, mirrored (0 or 1), row and
        column of the cutout's centre. All five are always drawn, so that switching one augmentation
        on or off does not change the others.
        """
        height, width = size
        if self.cutout > min(size):
            raise CourseError(
                f"cutout={self.cutout} is larger than the picture ({shape_text(size)}): "
                f"give at most {min(size)}; about half the side is usual."
            )
        places = 2 * self.pad_crop + 1
        limits = (places, places, 2 if self.flip else 1, height, width)
        columns = [torch.randint(limit, (count,), generator=generator) for limit in limits]
        return torch.stack(columns, dim=1)

    def apply(self, images: Tensor, choices: Tensor) -> Tensor:
        """Return `images`, uint8 (N, C, H, W), changed by the `choices` (N, 5) of `draw`.

        Both must be on the same device.
        """
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
        # The mirrored batch follows the plain one, so mirrored pictures only start further on.
        both = torch.cat([images, images.flip(3)]) if self.flip else images
        padded = F.pad(both, (self.pad_crop,) * 4)
        picture = torch.arange(len(images), device=images.device) + mirrored * len(images)
        return _cut(padded, picture, top, left, images.shape[2:])

    def _outside_hole(self, row: Tensor, column: Tensor, images: Tensor) -> Tensor:
        """Return masks (N, 1, H, W): 0 in the square around (row, column), 255 elsewhere."""
        height, width = images.shape[2:]
        # A square in the middle of a canvas; each mask is a window that has it in the right place.
        canvas = images.new_full((1, 1, 2 * height, 2 * width), 255)
        top, left = height - self.cutout // 2, width - self.cutout // 2
        canvas[:, :, top : top + self.cutout, left : left + self.cutout] = 0
        return _cut(canvas, torch.zeros_like(row), height - row, width - column, (height, width))


def _cut(
    images: Tensor, picture: Tensor, top: Tensor, left: Tensor, size: tuple[int, int]
) -> Tensor:
    """Cut windows of `size` (height, width) at `top`, `left` of each `picture`, in one gather."""
    images = images.contiguous()
    _, channels, rows, columns = images.shape
    height, width = size
    area = rows * columns
    # windows[s] is the window that starts at pixel s of the memory. This is a view, not a copy.
    reach = (channels - 1) * area + (height - 1) * columns + width - 1
    windows = images.as_strided(
        (max(images.numel() - reach, 0), channels, height, width), (1, area, columns, 1)
    )
    return windows.index_select(0, picture * (channels * area) + top * columns + left)
