"""The small networks that the course trains.

- `SimpleCNN`: two convolutions and one linear layer, the network of §2.2.2;
- `AveragingCNN`: three convolutions, then the mean of each map (§1.1);
- `DenseBaseline`: a network without convolutions, for comparison (§1.1).

Each is an `nn.Sequential` with named layers: `print(model)` shows them, `model.conv1` is one layer,
`model[:3]` are the first three.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from course_utils.core import CourseError, private_random_numbers, require_memory, whole_number

if TYPE_CHECKING:
    from course_utils.data import Dataset


class Layers(nn.Sequential):
    """Named layers one after the other; a part of them is a plain `nn.Sequential`."""

    def __getitem__(self, index: int | slice) -> nn.Module:
        if isinstance(index, slice):  # nn.Sequential would call the subclass's __init__
            return nn.Sequential(OrderedDict(list(self._modules.items())[index]))
        return super().__getitem__(index)


class SimpleCNN(Layers):
    """Two blocks of convolution, ReLU and pooling, then a linear layer.

    Each convolution (3×3, padding 1) keeps the size of its input and each pooling halves it,
    rounded down: 28×28 becomes 14×14 and then 7×7. The scores are logits, as `F.cross_entropy`
    needs them.

    Args:
        in_channels: Channels of the images; 1 for grey, 3 for colour.
        classes: Number of scores.
        image_size: Side of the square images in pixels, or (height, width).
        widths: Output channels of the two convolutions.
        dropout: Probability with which an input of the linear layer is set to zero while training
            (Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from
            overfitting"). 0 leaves the layer out.
        batch_norm: Normalise after each convolution (Ioffe and Szegedy 2015, "Batch
            normalization"); the convolutions then have no bias, because the normalisation would
            remove it.

    Shape:
        (N, in_channels, height, width) to (N, classes).

    Attributes:
        conv1, conv2: The two `nn.Conv2d`.
        classifier: The `nn.Linear`.

    Raises:
        CourseError: If the image is smaller than 4×4 pixels, so that the two poolings leave nothing
            of it, or a setting is outside its range.
        OutOfMemory: If the weights need more memory than is free.

    >>> SimpleCNN(in_channels=1, classes=10, image_size=28).classifier
    Linear(in_features=1568, out_features=10, bias=True)
    """

    conv1: nn.Conv2d
    conv2: nn.Conv2d
    classifier: nn.Linear

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 10,
        image_size: int | tuple[int, int] = 28,
        widths: tuple[int, int] = (16, 32),
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        height, width = _pair(image_size)
        if len(widths) != 2:
            raise CourseError(
                f"widths={tuple(widths)} has {len(widths)} numbers, but the network has two "
                "convolutions: give two, such as (16, 32)."
            )
        _check(in_channels, classes, dropout, widths=widths)
        first, second = widths
        _require_memory_for(
            9 * (in_channels * first + first * second),
            second * (height // 4) * (width // 4) * classes,
        )
        rows, columns = height // 2 // 2, width // 2 // 2
        if rows < 1 or columns < 1:
            raise CourseError(
                f"A {height}×{width} image is too small: pooling halves it twice, "
                f"{height}×{width} → {height // 2}×{width // 2} → {rows}×{columns}, and nothing is "
                "left. Give at least 4×4 pixels."
            )

        layers: OrderedDict[str, nn.Module] = OrderedDict()
        channels = in_channels
        for number, out_channels in enumerate(widths, start=1):
            conv = nn.Conv2d(channels, out_channels, 3, padding=1, bias=not batch_norm)
            layers[f"conv{number}"] = conv
            if batch_norm:
                layers[f"norm{number}"] = nn.BatchNorm2d(out_channels)
            layers[f"relu{number}"] = nn.ReLU()
            layers[f"pool{number}"] = nn.MaxPool2d(2)
            channels = out_channels
        layers["flatten"] = nn.Flatten()
        if dropout:
            layers["dropout"] = nn.Dropout(dropout)
        layers["classifier"] = nn.Linear(channels * rows * columns, classes)
        super().__init__(layers)

    @classmethod
    def for_data(cls, data: Dataset, *, dropout: float = 0.0, seed: int | None = None) -> SimpleCNN:
        """Return a network for the pictures of a data set, with a score for each of its classes.

        Args:
            data: Only the shape of its pictures and the number of its classes are used.
            dropout: As above.
            seed: Draws the weights as after `torch.manual_seed(seed)`, without changing torch's
                global random numbers. None draws from these.
        """
        channels, *size = data.image_shape
        with contextlib.nullcontext() if seed is None else private_random_numbers():
            if seed is not None:
                torch.default_generator.manual_seed(seed)
            return cls(channels, len(data.classes), tuple(size), dropout=dropout)


class AveragingCNN(Layers):
    """Three blocks of convolution and ReLU, then the mean of each map and a linear layer.

    The mean is called global average pooling (Lin et al. 2014, "Network in network"): it loses
    where in the image something was. It takes images of any size from 4×4 pixels up.

    Args:
        in_channels: Channels of the images; 1 for grey, 3 for colour.
        classes: Number of scores.
        widths: Output channels of the three convolutions. The first two are followed by pooling.

    Shape:
        (N, in_channels, height, width) to (N, classes).

    Attributes:
        classifier: The `nn.Linear`.

    Raises:
        CourseError: If a number is below 1, or there are not three widths.
        OutOfMemory: If the weights need more memory than is free.
    """

    classifier: nn.Linear

    def __init__(
        self, in_channels: int = 1, classes: int = 10, widths: tuple[int, int, int] = (16, 32, 48)
    ) -> None:
        if len(widths) != 3:
            raise CourseError(f"widths={tuple(widths)}: give three, such as (16, 32, 48).")
        _check(in_channels, classes, 0, widths=widths)
        channels = (in_channels, *widths)
        _require_memory_for(*(9 * a * b for a, b in itertools.pairwise(channels)))
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, (c_in, c_out) in enumerate(itertools.pairwise(channels), start=1):
            layers[f"conv{number}"] = nn.Conv2d(c_in, c_out, 3, padding=1)
            layers[f"relu{number}"] = nn.ReLU()
            layers[f"pool{number}"] = nn.MaxPool2d(2) if number < 3 else nn.AdaptiveAvgPool2d(1)
        super().__init__(
            layers | {"flatten": nn.Flatten(), "classifier": nn.Linear(widths[-1], classes)}
        )


class DenseBaseline(Layers):
    """Linear layers and ReLUs: every pixel is connected with every neuron.

    It does not know which pixels are neighbours: it learns equally well if the pixels of all images
    are shuffled in the same way.

    Args:
        in_channels: Channels of the images.
        classes: Number of scores.
        image_size: Side of the square images in pixels, or (height, width).
        hidden: Neurons of each hidden layer; () for a linear classifier.
        dropout: Probability of dropping a neuron of a hidden layer while training.

    Shape:
        (N, in_channels, height, width) to (N, classes).

    Attributes:
        classifier: The last `nn.Linear`.

    Raises:
        CourseError: If a number is below 1 or `dropout` is not in [0, 1).
        OutOfMemory: If the weights need more memory than is free.
    """

    classifier: nn.Linear

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 10,
        image_size: int | tuple[int, int] = 28,
        hidden: Sequence[int] = (128,),
        dropout: float = 0.0,
    ) -> None:
        height, width = _pair(image_size)
        _check(in_channels, classes, dropout, hidden=hidden)
        sizes = [in_channels * height * width, *hidden, classes]
        _require_memory_for(*(a * b for a, b in itertools.pairwise(sizes)))
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        features = in_channels * height * width
        for number, neurons in enumerate(hidden, start=1):
            layers[f"hidden{number}"] = nn.Linear(features, neurons)
            layers[f"relu{number}"] = nn.ReLU()
            if dropout:
                layers[f"dropout{number}"] = nn.Dropout(dropout)
            features = neurons
        layers["classifier"] = nn.Linear(features, classes)
        super().__init__(layers)


def _pair(image_size: int | tuple[int, int]) -> tuple[int, int]:
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    whole_number("height", height, 1)
    whole_number("width", width, 1)
    return height, width


def _require_memory_for(*weights: int) -> None:
    what = f"A network with {sum(weights):,} weights"
    require_memory(
        4 * sum(weights), what, "give fewer channels, neurons or classes, or fewer pixels"
    )


def _check(in_channels: int, classes: int, dropout: float, **layers: Sequence[int]) -> None:
    whole_number("in_channels", in_channels, 1)
    whole_number("classes", classes, 1)
    for name, sizes in layers.items():
        for number, size in enumerate(sizes):
            whole_number(f"{name}[{number}]", size, 1)
    if not 0 <= dropout < 1:
        raise CourseError(
            f"dropout={dropout}: give a probability from 0 to below 1; 0.5 drops half of the "
            "values, 1 would drop all of them."
        )
