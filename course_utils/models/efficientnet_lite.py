"""EfficientNet-Lite0, a network that knows the 1,000 classes of ImageNet.

It is made of one kind of block, MBConv, repeated 16 times. `load_pretrained("efficientnet_lite0")`
returns it with trained weights.

Tan and Le 2019, "EfficientNet: Rethinking model scaling for convolutional neural networks". The
Lite networks are for small devices: no squeeze-and-excitation, and ReLU6 instead of Swish.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from course_utils.models.simple import Layers


class Stage(NamedTuple):
    """Blocks of the same width; only the first one has the stride."""

    blocks: int
    kernel_size: int
    stride: int
    expansion: int
    out_channels: int


STAGES = (
    Stage(blocks=1, kernel_size=3, stride=1, expansion=1, out_channels=16),
    Stage(blocks=2, kernel_size=3, stride=2, expansion=6, out_channels=24),
    Stage(blocks=2, kernel_size=5, stride=2, expansion=6, out_channels=40),
    Stage(blocks=3, kernel_size=3, stride=2, expansion=6, out_channels=80),
    Stage(blocks=3, kernel_size=5, stride=1, expansion=6, out_channels=112),
    Stage(blocks=4, kernel_size=5, stride=2, expansion=6, out_channels=192),
    Stage(blocks=1, kernel_size=3, stride=1, expansion=6, out_channels=320),
)


class MBConv(nn.Module):
    """An inverted bottleneck: expand, filter each channel, project (Sandler et al. 2018).

    - `expand`: a 1×1 convolution to `expansion` times as many channels; not there if that is 1.
    - `depthwise`: one kernel for each channel, with the stride.
    - `project`: a 1×1 convolution to `out_channels`; no ReLU6 after it, because that would throw
      away a part of what the few channels contain.

    If input and output have the same shape, the input is added to the output.

    Shape:
        (N, in_channels, height, width) to (N, out_channels, height / stride, width / stride).
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        wide = in_channels * expansion
        if expansion > 1:
            self.expand = _layers(in_channels, wide)
        self.depthwise = _layers(wide, wide, kernel_size, stride, groups=wide)
        self.project = _layers(wide, out_channels, activation=False)
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        wide = self.expand(x) if hasattr(self, "expand") else x
        out = self.project(self.depthwise(wide))
        return x + out if self.shortcut else out


class EfficientNetLite0(Layers):
    """EfficientNet-Lite0: `stem`, `stage1` to `stage7`, `head`, and a linear `classifier`.

    Args:
        classes: Number of scores.

    Shape:
        (N, 3, height, width) to (N, classes) logits. Both sizes at least 32. If they are multiples
        of 32, such as 224, then the padding is TensorFlow's "same", with which the weights were
        trained. With other sizes some layer has an odd size; there TensorFlow would move its
        windows by one pixel, and round the output's size up instead of down.

    >>> sum(weights.numel() for weights in EfficientNetLite0().parameters())
    4652008
    """

    def __init__(self, classes: int = 1000) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict(stem=_layers(3, 32, 3, stride=2))
        channels = 32
        for number, (blocks, kernel_size, stride, expansion, out) in enumerate(STAGES, start=1):
            first = MBConv(channels, out, kernel_size, stride, expansion)
            others = [MBConv(out, out, kernel_size, 1, expansion) for _ in range(blocks - 1)]
            layers[f"stage{number}"] = nn.Sequential(first, *others)
            channels = out
        layers["head"] = _layers(channels, 1280)
        layers["pool"] = nn.AdaptiveAvgPool2d(1)
        layers["flatten"] = nn.Flatten()
        layers["dropout"] = nn.Dropout(0.2)
        layers["classifier"] = nn.Linear(1280, classes)
        super().__init__(layers)


def _layers(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: bool = True,
) -> nn.Sequential:
    """Return a convolution that keeps the size (divided by the stride), BatchNorm and ReLU6."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    padding = kernel_size // 2
    if stride > 1:
        # TensorFlow pads an even size by kernel_size - stride in all, and more at the end.
        total, padding = kernel_size - stride, 0
        before, after = total // 2, total - total // 2
        layers["pad"] = nn.ZeroPad2d((before, after, before, after))
    layers["conv"] = nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False
    )
    layers["norm"] = nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.01)
    if activation:
        layers["relu"] = nn.ReLU6()
    return nn.Sequential(layers)


def from_original_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the original weights (`_blocks.0._depthwise_conv.weight`, ...) by our names."""
    names = {
        **{"_conv_stem": "stem.conv", "_bn0": "stem.norm"},
        **{"_conv_head": "head.conv", "_bn1": "head.norm", "_fc": "classifier"},
    }
    places = [(s, b) for s, stage in enumerate(STAGES, start=1) for b in range(stage.blocks)]
    for number, (stage, block) in enumerate(places):
        # The original numbers its BatchNorms: bn0 follows `expand`.
        for norm, part in enumerate(("expand", "depthwise", "project")):
            ours, theirs = f"stage{stage}.{block}.{part}", f"_blocks.{number}"
            names[f"{theirs}._{part}_conv"] = f"{ours}.conv"
            names[f"{theirs}._bn{norm}"] = f"{ours}.norm"
    renamed = {}
    for name, weights in state.items():
        layer, _, kind = name.rpartition(".")
        renamed[f"{names.get(layer, layer)}.{kind}"] = weights
    return renamed
