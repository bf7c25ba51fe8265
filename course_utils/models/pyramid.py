"""The feature pyramid network: every level of a network with the meaning of the deepest one.

Lin et al. 2017, "Feature pyramid networks for object detection".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.core import CourseError, whole_number


class FeaturePyramid(nn.Module):
    """Merge feature maps of several sizes into maps of one width, from the top down.

    - `lateral`: a 1×1 convolution for each level, to `out_channels`;
    - top-down: each level is enlarged to the size of the next finer one, and added to it;
    - `smooth`: a 3×3 convolution for each level, because an enlarged map has steps.

    With the same weights it computes the same as `torchvision.ops.FeaturePyramidNetwork`.

    Args:
        in_channels: Channels of each level, from the finest level to the coarsest.
        out_channels: Channels of every level of the result.
        top_down: Whether to add the coarser levels; without it, no level sees another one.

    Shape:
        A list of (N, in_channels[i], height, width), each level smaller than the one before, to a
        list of (N, out_channels, height, width) of the same heights and widths.

    Raises:
        CourseError: If a number of channels is below 1, or, in a call, the number of levels or of
            their channels is another one.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int, top_down: bool = True):
        super().__init__()
        for level, channels in enumerate(in_channels):
            whole_number(f"in_channels[{level}]", channels, 1)
        if not in_channels:
            raise CourseError("in_channels is empty: give the channels of at least one level.")
        whole_number("out_channels", out_channels, 1)
        self.lateral = nn.ModuleList(nn.Conv2d(c, out_channels, 1) for c in in_channels)
        self.smooth = nn.ModuleList(
            nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in in_channels
        )
        self.top_down = top_down

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        if len(levels) != len(self.lateral):
            raise CourseError(
                f"The pyramid takes {len(self.lateral)} feature maps, not {len(levels)}: give one "
                "for each entry of in_channels, the largest map first."
            )
        merged = [lateral(level) for lateral, level in zip(self.lateral, levels, strict=True)]
        if self.top_down:
            for fine in range(len(merged) - 2, -1, -1):
                # To the size, not by the factor 2: of 15 rows the coarser level has 8, not 7.5.
                coarse = F.interpolate(merged[fine + 1], size=merged[fine].shape[-2:])
                merged[fine] = merged[fine] + coarse
        return [smooth(level) for smooth, level in zip(self.smooth, merged, strict=True)]
