from __future__ import annotations

import torch

from course_utils.data import load_photograph


def test_the_photograph():
    picture = load_photograph()
    assert (picture.shape, picture.dtype) == ((3, 256, 256), torch.uint8)
    assert picture.is_contiguous()
    # A ginger cat: red before green before blue, and from black to nearly white.
    red, green, blue = picture.double().mean(dim=(1, 2)).tolist()
    assert red > green > blue
    assert picture.max() - picture.min() > 200
