"""The feature pyramid computes what torchvision's computes."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import FeaturePyramidNetwork

from course_utils.core import CourseError
from course_utils.models import FeaturePyramid


@pytest.mark.parametrize(
    "channels, sizes",
    [
        ((8, 16, 24), ((16, 16), (8, 8), (4, 4))),
        ((8, 16, 24), ((15, 20), (8, 10), (4, 5))),
        ((4, 6, 8, 10), ((29, 13), (15, 7), (7, 3), (1, 2))),
        ((5, 3), ((9, 7), (2, 6))),
        ((7,), ((5, 9),)),
    ],
)
def test_it_equals_torchvision(channels, sizes):
    torch.manual_seed(0)
    ours, theirs = FeaturePyramid(channels, 16), FeaturePyramidNetwork(list(channels), 16)
    for mine, yours in ((ours.lateral, theirs.inner_blocks), (ours.smooth, theirs.layer_blocks)):
        for one, other in zip(mine, yours, strict=True):
            one.load_state_dict(other[0].state_dict())
            torch.nn.init.normal_(one.bias)
            other[0].bias.data.copy_(one.bias.data)
    maps = [torch.randn(2, c, *size) for c, size in zip(channels, sizes, strict=True)]
    expected = theirs({str(k): level for k, level in enumerate(maps)})
    for level, other in zip(ours(maps), expected.values(), strict=True):
        torch.testing.assert_close(level, other, atol=1e-6, rtol=0)


def test_only_top_down_sees_the_coarser_levels():
    maps = [torch.randn(1, 4, 8, 8), torch.randn(1, 4, 4, 4)]
    changed = [maps[0], maps[1] + 1]
    for top_down in (True, False):
        pyramid = FeaturePyramid((4, 4), 8, top_down=top_down)
        same = torch.equal(pyramid(maps)[0], pyramid(changed)[0])
        assert same != top_down


def test_what_cannot_be_a_pyramid():
    for channels, out, words in (
        ((), 8, "in_channels is empty"),
        ((4, 0), 8, r"in_channels\[1\]=0"),
        ((4,), 0, "out_channels=0"),
    ):
        with pytest.raises(CourseError, match=words):
            FeaturePyramid(channels, out)
    with pytest.raises(CourseError, match="takes 2 feature maps, not 1"):
        FeaturePyramid((4, 4), 8)([torch.zeros(1, 4, 2, 2)])
