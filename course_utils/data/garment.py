"""A photograph of a garment, made into a picture like those of Fashion-MNIST."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from course_utils.core import CourseError

_LEAST_CONTRAST = 24  # of 255, between the garment and its background
_BACKGROUND = 0.15  # of the contrast: what is nearer to the background belongs to it


def like_fashion_mnist(photograph: Tensor, side: int = 28) -> Tensor:
    """Return a photograph of one garment as a picture like those of Fashion-MNIST.

    The steps are nearly those with which the data set was made (Xiao, Rasul and Vollgraf, 2017).
    The background becomes black, and the garment is the brighter the more it stands out. Then the
    margin is trimmed, the longer side is made as long as the picture, and black is added on both
    sides of the shorter one. The background is what has the colour of the corners, so it should be
    plain.

    Args:
        photograph: (channels, height, width), 0 to 255, as `load_photograph` returns it.
        side: Pixels of a side of the picture.

    Returns:
        uint8 (1, side, side).

    Raises:
        CourseError: If it is not a picture, or nothing stands out from the background.
    """
    from PIL import Image

    if photograph.ndim != 3 or 0 in photograph.shape:
        raise CourseError(
            f"A photograph has the shape (channels, height, width), not {tuple(photograph.shape)}."
        )
    colours = photograph.double().numpy()
    if not np.isfinite(colours).all():
        raise CourseError("The photograph has numbers that are not finite.")
    background = np.median(colours[:, :: _far(colours, 1), :: _far(colours, 2)], axis=(1, 2))
    # A red shirt on a green wall of the same brightness stands out, too.
    contrast = np.abs(colours - background[:, None, None]).max(0)
    largest = contrast.max()
    if largest < _LEAST_CONTRAST:
        raise CourseError(
            "Nothing stands out from the background: take a photograph of one garment on a plain "
            "background of another colour."
        )
    # On a bright background a dark garment becomes bright, as in the data set.
    bright = contrast * (255 / largest)
    bright[bright < _BACKGROUND * 255] = 0
    rows, columns = (np.flatnonzero(bright.any(axis)) for axis in (1, 0))
    trimmed = bright[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = side / max(trimmed.shape)
    height, width = (max(1, round(scale * n)) for n in trimmed.shape)
    small = Image.fromarray(trimmed.round().astype(np.uint8)).resize(
        (width, height), Image.Resampling.BOX
    )
    picture = np.zeros((1, side, side), dtype=np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    picture[0, top : top + height, left : left + width] = np.asarray(small)
    return torch.from_numpy(picture)


def _far(colours: np.ndarray, axis: int) -> int:
    """Return the step from the first to the last place along an axis, for its two ends."""
    return max(1, colours.shape[axis] - 1)
