"""A small one-stage detector without anchors: every place of a feature map proposes one box.

Tian et al. 2019, "FCOS: Fully convolutional one-stage object detection".
"""

from __future__ import annotations

import copy
import itertools
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.core import CourseError, evaluation_mode, is_number, seeded, whole_number
from course_utils.models.pyramid import FeaturePyramid
from course_utils.models.simple import Layers

RARE = 0.01
"""First probability of every class at every place: nearly all places are background."""

COMPARED = 500
"""The most boxes of a picture that NMS compares with each other, the surest ones."""

_GROUPS = 8  # of GroupNorm


class SmallBackbone(nn.Module):
    """Four stages, each of which halves the picture: one 3×3 convolution in the first, then two.

    Args:
        in_channels: Channels of the pictures.
        widths: Channels of the stages, three or more.

    Shape:
        (N, in_channels, height, width) to the maps of the last three stages, from fine to coarse:
        a list of (N, channels[i], height / strides[i], width / strides[i]), rounded up.

    Attributes:
        channels, strides: Of the three maps; with four stages the strides are 4, 8 and 16.
    """

    def __init__(self, in_channels: int = 3, widths: Sequence[int] = (16, 32, 64, 128)) -> None:
        super().__init__()
        if len(widths) < 3:
            raise CourseError(f"widths={tuple(widths)}: give three stages or more.")
        sizes = [whole_number("a width", width, 1) for width in (in_channels, *widths)]
        stages = []
        for a, b in itertools.pairwise(sizes):
            layers = _block("down", a, b, stride=2)
            if stages:
                layers += _block("conv", b, b)
            stages.append(Layers(OrderedDict(layers)))
        self.stages = nn.ModuleList(stages)
        self.channels = tuple(widths[-3:])
        self.strides = tuple(2 ** (len(widths) - k) for k in (2, 1, 0))

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = [images]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[-3:]


class Lite0Backbone(nn.Module):
    """A copy of the first five stages of a trained EfficientNet-Lite0, frozen.

    Its weights get no gradient, and BatchNorm keeps its statistics in train mode, too. Pictures are
    padded with zeros at the right and the bottom to multiples of 32 pixels, see
    `EfficientNetLite0`.

    Args:
        network: An `EfficientNetLite0`, as `load_pretrained("efficientnet_lite0")` returns it.

    Shape:
        As `SmallBackbone`, with 24, 40 and 112 channels and strides of 4, 8 and 16 pixels.

    Raises:
        CourseError: If the network is another one.
    """

    channels, strides = (24, 40, 112), (4, 8, 16)
    _ends = ("stage2", "stage3", "stage5")

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        names = ["stem", *(f"stage{number}" for number in range(1, 6))]
        if lacking := [name for name in names if not hasattr(network, name)]:
            raise CourseError(
                f"A {type(network).__name__} has no {lacking[0]}: give the network of "
                "load_pretrained('efficientnet_lite0')."
            )
        self.layers = nn.ModuleDict({name: copy.deepcopy(getattr(network, name)) for name in names})
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Lite0Backbone:
        """Leave the layers in eval mode, whatever `mode` is."""
        return super().train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        height, width = images.shape[-2:]
        x = F.pad(images, (0, -width % 32, 0, -height % 32))
        maps = []
        for name, layer in self.layers.items():
            x = layer(x)
            if name in self._ends:
                maps.append(x)
        return maps


class Detector(nn.Module):
    """A backbone, a feature pyramid, and one head that reads every level.

    At each place of a level the head says: a score for each class, how far the four sides of the
    box are, and how near the place is to the middle of the object ("centreness"). The same head
    reads all levels, so an object looks alike to it whatever its size.

    Args:
        classes: Number of classes.
        backbone: A module with `channels` and `strides` of the maps that it returns; None for a new
            `SmallBackbone`.
        width: Channels of the pyramid and of the head, a multiple of 8.
        strides: Of the levels that are used, some of the backbone's; None for all.
        top_down: As for `FeaturePyramid`.

    Shape:
        (N, C, height, width), normalised, to a list of (N, classes + 5, H, W), one for each level:
        class scores (logits), the distances of the left, top, right and bottom side (before
        `softplus`, in strides), and centreness (a logit).

    Raises:
        CourseError: If a number is outside its range, or the backbone has no such stride.

    >>> model = Detector(classes=3)
    >>> [tuple(level.shape) for level in model(torch.zeros(1, 3, 120, 160))]
    [(1, 8, 30, 40), (1, 8, 15, 20), (1, 8, 8, 10)]
    >>> sum(weights.numel() for weights in model.parameters())
    338296
    """

    def __init__(
        self,
        classes: int = 3,
        backbone: nn.Module | None = None,
        width: int = 32,
        strides: Sequence[int] | None = None,
        top_down: bool = True,
    ) -> None:
        super().__init__()
        whole_number("classes", classes, 1)
        if whole_number("width", width, 1) % _GROUPS:
            raise CourseError(f"width={width}: give a multiple of {_GROUPS}, such as 32.")
        self.backbone = SmallBackbone() if backbone is None else backbone
        offered = tuple(self.backbone.strides)
        self.strides = offered if strides is None else tuple(strides)
        if not self.strides or list(self.strides) != [s for s in offered if s in self.strides]:
            raise CourseError(
                f"strides={self.strides}: give some of the backbone's {offered}, in this order."
            )
        self.classes = classes
        self._places = [offered.index(stride) for stride in self.strides]
        channels = [self.backbone.channels[place] for place in self._places]
        self.pyramid = FeaturePyramid(channels, width, top_down)
        conv, norm = nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(_GROUPS, width)
        self.tower = Layers(OrderedDict(conv=conv, norm=norm, relu=nn.ReLU()))
        self.scores = nn.Conv2d(width, classes, 3, padding=1)
        self.sides = nn.Conv2d(width, 5, 3, padding=1)
        self._begin_with_background()

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.read(self.backbone(images))

    def read(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return what the head says about the maps of the backbone."""
        found = []
        for level in self.pyramid([maps[place] for place in self._places]):
            x = self.tower(level)
            found.append(torch.cat([self.scores(x), self.sides(x)], dim=1))
        return found

    def with_new_weights(self, seed: int = 0) -> Detector:
        """Return a detector of the same layers that has learnt nothing.

        Layers without any weight that requires a gradient, such as those of a frozen backbone, keep
        their weights.
        """

        def make() -> Detector:
            new = copy.deepcopy(self)
            for layer in new.modules():
                own = list(layer.parameters(recurse=False))
                if hasattr(layer, "reset_parameters") and any(w.requires_grad for w in own):
                    layer.reset_parameters()
            new._begin_with_background()
            return new

        return seeded(make, seed)

    def _begin_with_background(self) -> None:
        # With probabilities of 1/2 the many places of background would be all of the first loss.
        nn.init.normal_(self.scores.weight, std=0.01)
        nn.init.constant_(self.scores.bias, -math.log((1 - RARE) / RARE))

    @torch.no_grad()
    def propose(self, images: Tensor) -> list[Proposals]:
        """Return what every place proposes for each picture (N, C, height, width), normalised.

        The model runs in eval mode and keeps its own mode.

        Raises:
            CourseError: If the pictures have no pixels or another number of axes.
        """
        if images.dim() != 4 or 0 in images.shape[1:]:
            raise CourseError(
                f"The detector takes pictures (N, C, height, width), not {tuple(images.shape)}."
            )
        if not len(images):
            return []
        with evaluation_mode(self):
            outputs = self(images)
        return proposals(outputs, self.strides, tuple(images.shape[-2:]))


@dataclass(frozen=True)
class Places:
    """The places of all levels, one after the other: P in all.

    Attributes:
        centres: (P, 2), x and y of each place in pixels of the picture.
        strides: (P,), of the level of each place.
        levels: (P,), the number of that level, 0 for the finest.
    """

    centres: Tensor
    strides: Tensor
    levels: Tensor

    @classmethod
    def of(cls, outputs: Sequence[Tensor], strides: Sequence[int]) -> Places:
        """Return the places of some maps (N, C, H, W)."""
        centres, every = [], []
        for number, (output, stride) in enumerate(zip(outputs, strides, strict=True)):
            height, width = output.shape[-2:]
            y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
            centres.append((torch.stack([x, y], dim=2).reshape(-1, 2) + 0.5) * stride)
            every.append(torch.tensor([[stride, number]]).expand(height * width, 2))
        device = outputs[0].device
        flat = torch.cat(every).to(device)
        return cls(torch.cat(centres).to(device), flat[:, 0], flat[:, 1])

    def boxes(self, sides: Tensor) -> Tensor:
        """Return boxes (..., P, 4) from the head's raw distances of their sides (..., P, 4)."""
        distances = F.softplus(sides) * self.strides[:, None]
        return torch.cat(
            [self.centres - distances[..., :2], self.centres + distances[..., 2:]], dim=-1
        )


def flatten(outputs: Sequence[Tensor]) -> Tensor:
    """Return maps (N, C, H, W) of several levels as one tensor (N, P, C), in float32."""
    return torch.cat([output.flatten(2) for output in outputs], dim=2).transpose(1, 2).float()


@dataclass(frozen=True)
class Detections:
    """Boxes that were found in a picture, the surest first: K in all.

    Attributes:
        boxes: (K, 4), left, top, right, bottom in pixels.
        scores: (K,), from 0 to 1.
        labels: (K,), numbers of classes.
        levels: (K,), the level that found each, 0 for the finest.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    levels: Tensor

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class Proposals:
    """The proposals of every place of a picture, before any choice.

    Attributes:
        boxes: (P, 4), cut off at the edges of the picture.
        scores: (P, classes), the square root of class probability times centreness, as in
            torchvision's FCOS.
        levels: (P,).
    """

    boxes: Tensor
    scores: Tensor
    levels: Tensor

    def choose(
        self,
        score: float = 0.05,
        overlap: float = 0.5,
        levels: Sequence[int] | None = None,
        most: int = 100,
    ) -> Detections:
        """Return the sure boxes, without those that overlap a surer one of their class too much.

        The second step is non-maximum suppression (NMS). It takes at most `COMPARED` boxes.

        Args:
            score: The lowest score of a box.
            overlap: The largest IoU of two boxes of a class that are both kept; 1 keeps all.
            levels: Numbers of the levels that may propose; None for all.
            most: The largest number of boxes.

        Raises:
            CourseError: If a number is outside its range.
        """
        from torchvision.ops import batched_nms

        for name, value in (("score", score), ("overlap", overlap)):
            if not (is_number(value) and 0 <= value <= 1):
                raise CourseError(f"{name}={value!r}: give a number from 0 to 1.")
        whole_number("most", most, 1)
        sure = self.scores >= score
        if levels is not None:
            allowed = torch.tensor(list(levels), dtype=self.levels.dtype)
            sure = sure & torch.isin(self.levels, allowed)[:, None]
        place, label = sure.nonzero(as_tuple=True)
        boxes, scores = self.boxes[place], self.scores[place, label]
        # No box of less than a hundredth of a pixel: its IoU would be 0 / 0.
        kept = ((boxes[:, 2:] - boxes[:, :2]) > 0.01).all(1)
        kept = kept.nonzero()[:, 0]
        kept = kept[scores[kept].argsort(descending=True, stable=True)[:COMPARED]]
        boxes, scores, place, label = (x[kept] for x in (boxes, scores, place, label))
        chosen = batched_nms(boxes, scores, label, overlap)[:most]
        return Detections(boxes[chosen], scores[chosen], label[chosen], self.levels[place[chosen]])


def proposals(
    outputs: Sequence[Tensor], strides: Sequence[int], size: tuple[int, int]
) -> list[Proposals]:
    """Return the proposals of each picture from the head's maps; `size` is (height, width)."""
    places, flat = Places.of(outputs, strides), flatten(outputs)
    boxes = places.boxes(flat[..., -5:-1])
    limits = torch.tensor([*size[::-1]] * 2, dtype=boxes.dtype, device=boxes.device)
    boxes = boxes.clamp(min=torch.zeros_like(limits), max=limits)
    scores = (flat[..., :-5].sigmoid() * flat[..., -1:].sigmoid()).sqrt()
    return [
        Proposals(*(part.cpu() for part in (one, score, places.levels)))
        for one, score in zip(boxes, scores, strict=True)
    ]


def _block(name: str, inputs: int, outputs: int, stride: int = 1) -> list[tuple[str, nn.Module]]:
    conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    layers = {name: conv, f"{name}_norm": nn.BatchNorm2d(outputs), f"{name}_relu": nn.ReLU()}
    return list(layers.items())
