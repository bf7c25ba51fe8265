"""Photographs that the package ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

_ASSETS = Path(__file__).parents[1] / "assets"


def load_photograph() -> Tensor:
    """Return a photograph of the cat Chelsea: uint8 (3, 256, 256), RGB.

    By Stéfan van der Walt, CC0, from the pictures of scikit-image; cropped and reduced in size.
    """
    from PIL import Image

    with Image.open(_ASSETS / "chelsea.png") as picture:
        return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1).contiguous()
