"""A small residual network, the one that chapter 4 makes smaller and faster.

`load_pretrained("small_resnet")` returns it with trained weights.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from course_utils.core import CourseError, whole_number
from course_utils.models.simple import Layers


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions whose result is added to the input (He et al. 2016).

    If the shapes differ, a 1×1 convolution brings the input to the shape of the result.

    Shape:
        (N, in_channels, height, width) to (N, out_channels, height / stride, width / stride), the
        sizes rounded up.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.relu2 = nn.ReLU()
        self.shortcut = nn.Sequential()
        if stride > 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu1(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        return self.relu2(out + self.shortcut(x))


class SmallResNet(Layers):
    """A stem, one stage of residual blocks for each width, a mean over the picture, a linear layer.

    The stem and each stage but the first halve the size: 28×28 becomes 14×14, then 7×7 and 4×4.
    With one block in each stage it has 8 layers with weights on its longest path, as the smallest
    network of this kind: He et al. 2016, "Deep residual learning for image recognition".

    Args:
        in_channels: Channels of the images; 1 for grey, 3 for colour.
        classes: Number of scores.
        widths: Channels of each stage; the stem has those of the first.
        blocks: Residual blocks in each stage.
        image_size: Size of the pictures that it is trained on. It does not change the network,
            which takes pictures of any size.

    Shape:
        (N, in_channels, height, width) to (N, classes) logits.

    Attributes:
        stem, stage1, stage2, ..., classifier: Its parts.

    Raises:
        CourseError: If a number is below 1, or there is no width.

    >>> sum(weights.numel() for weights in SmallResNet().parameters())
    222570
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 10,
        widths: Sequence[int] = (32, 64, 96),
        blocks: int = 1,
        image_size: int | tuple[int, int] = 28,
    ) -> None:
        whole_number("in_channels", in_channels, 1)
        whole_number("classes", classes, 1)
        whole_number("blocks", blocks, 1)
        if not widths:
            raise CourseError("widths=(): give at least one number, such as (32, 64, 96).")
        for number, width in enumerate(widths):
            whole_number(f"widths[{number}]", width, 1)
        channels = widths[0]
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["stem"] = nn.Conv2d(in_channels, channels, 3, stride=2, padding=1, bias=False)
        layers["norm"] = nn.BatchNorm2d(channels)
        layers["relu"] = nn.ReLU()
        for number, width in enumerate(widths, start=1):
            first = ResidualBlock(channels, width, stride=1 if number == 1 else 2)
            others = [ResidualBlock(width, width) for _ in range(blocks - 1)]
            layers[f"stage{number}"] = nn.Sequential(first, *others)
            channels = width
        layers["pool"] = nn.AdaptiveAvgPool2d(1)
        layers["flatten"] = nn.Flatten()
        layers["classifier"] = nn.Linear(channels, classes)
        super().__init__(layers)
