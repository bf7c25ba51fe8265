"""Ready search spaces: for the course's first network, and for any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from torch import Tensor, nn

from course_utils.conv import EditError, edit_conv
from course_utils.core import CourseError
from course_utils.search.space import LAYER_SETTINGS, SearchSpace, Values

MOST_LAYERS = 8
"""Layers that `space_for` takes: each adds dimensions, and a search has only so many trials."""

TRAINING: dict[str, Values] = {
    # The rates at which a training of two epochs does best are too high for one of thirty.
    "learning_rate": FloatDistribution(1e-3, 1e-2, log=True),
    "weight_decay": FloatDistribution(1e-3, 0.1, log=True),
    "schedule": ["cosine", "OneCycle"],
    "optimizer": ["AdamW"],  # under Adam, decay would be something else (notebook 02_3)
    "label_smoothing": [0.0, 0.1],
    "augment": ["none", "flip", "flip and crop"],
}
"""How a network may be trained."""

PROVEN: dict[str, Any] = {
    "learning_rate": 5e-3,
    "weight_decay": 0.01,
    "schedule": "OneCycle",
    "optimizer": "AdamW",
    "label_smoothing": 0.1,
}
"""A training that usually is good, to begin with; its augmentation depends on its length."""


def first_cnn_space() -> SearchSpace:
    """Of `SimpleCNN`, all numbers: rate and decay, how many kernels, and of what size."""
    return SearchSpace(
        {
            "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
            "conv2.out_channels": IntDistribution(8, 64, log=True),
            "conv1.out_channels": IntDistribution(4, 32, log=True),
            "conv2.kernel_size": range(1, 6, 2),
            "conv1.kernel_size": range(1, 6, 2),
            "weight_decay": FloatDistribution(1e-6, 1e-2, log=True),
        }
    )


def space_for(
    model: nn.Module,
    example_input: Tensor,
    settings: Sequence[str] = ("out_channels", "kernel_size", "depth"),
    *,
    training: bool = True,
) -> SearchSpace:
    """A space around any network, with its own values in it.

    Half to twice the channels, kernels two smaller to two larger, stride 1 or 2, dilation 1 or 2,
    the groups that divide both channels, one or two convolutions in the place of one. Of many
    layers `MOST_LAYERS` are taken, evenly over the network. Depthwise layers follow the others; the
    channels of a layer that gives the output stay.

    Args:
        example_input: a batch (N, C, H, W); only its shape counts.
        settings: those of `LAYER_SETTINGS` that may vary.
        training: whether the training may vary, too.

    Raises:
        CourseError: an unknown setting, or nothing to vary.
    """
    for name in settings:
        if name not in LAYER_SETTINGS:
            raise CourseError(f"{name!r} cannot be varied: choose of {', '.join(LAYER_SETTINGS)}.")
    convs = [
        (name, m)
        for name, m in model.named_modules()
        if isinstance(m, nn.Conv2d) and name and not (m.groups == m.in_channels > 1)
    ]
    if len(convs) > MOST_LAYERS:
        convs = [convs[i * len(convs) // MOST_LAYERS] for i in range(MOST_LAYERS)]
    values: dict[str, Values] = dict(TRAINING) if training else {}
    for name, conv in convs:
        # Groups must divide the channels on both sides: so these go in steps of four.
        ways = _ways(
            conv, 4 if "groups" in settings and conv.out_channels % 4 == 0 else conv.groups
        )
        for setting in settings:
            if setting in ways and (
                setting != "out_channels" or _widens(model, name, example_input)
            ):
                values[f"{name}.{setting}"] = ways[setting]
    if not values:
        raise CourseError(
            "There is nothing to vary: the network has no convolution of which "
            f"{' or '.join(settings) or 'nothing'} could be another."
        )
    return SearchSpace(values)


def _ways(conv: nn.Conv2d, step: int) -> dict[str, Values]:
    """What may become of each setting of a layer; the channels go in steps, if above 1."""
    channels, groups = conv.out_channels, conv.groups
    widths: BaseDistribution = IntDistribution(max(1, channels // 2), 2 * channels, log=True)
    if step > 1:
        widths = IntDistribution(step * -(-channels // (2 * step)), 2 * channels, step=step)
    ways: dict[str, Values] = {"out_channels": widths, "depth": [1, 2]}
    height, width = conv.kernel_size
    if height == width and height % 2:
        ways["kernel_size"] = range(max(1, height - 2), height + 3, 2)
    if conv.stride[0] == conv.stride[1]:
        ways["stride"] = sorted({1, 2, conv.stride[0]})
    if conv.dilation[0] == conv.dilation[1] and max(conv.kernel_size) > 1:
        ways["dilation"] = sorted({1, 2, conv.dilation[0]})
    dividing = [g for g in (1, 2, 4) if conv.in_channels % g == channels % g == 0]
    if len(dividing) > 1:
        ways["groups"] = sorted({*dividing, groups})
    return ways


def _widens(model: nn.Module, name: str, example_input: Tensor) -> bool:
    """Whether the layer can have more channels at all: the output's cannot."""
    conv = model.get_submodule(name)
    try:
        edit_conv(
            model, name, example_input=example_input, out_channels=conv.out_channels + conv.groups
        )
    except EditError:
        return False
    return True
