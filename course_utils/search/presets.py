"""Ready search spaces: for the course's first network, and for any other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from torch import Tensor, nn

from course_utils.conv import EditError, edit_conv, simple
from course_utils.core import CourseError
from course_utils.search.space import LAYER_SETTINGS, SearchSpace, Values

MOST_LAYERS = 8
"""Layers that `space_for` takes at most: with more dimensions a search needs more trials."""

TRAINING: dict[str, Values] = {
    # Higher rates are best in a training of two epochs, but too high for one of thirty.
    "learning_rate": FloatDistribution(1e-3, 1e-2, log=True),
    "weight_decay": FloatDistribution(1e-3, 0.1, log=True),
    "schedule": ["cosine", "OneCycle"],
    "optimizer": ["AdamW"],  # with Adam, weight decay has another effect (notebook 02_3)
    "label_smoothing": [0.0, 0.1],
    "augment": ["none", "flip", "flip and crop"],
}
"""The settings of the training that `space_for` varies."""

PROVEN: dict[str, Any] = {
    "learning_rate": 5e-3,
    "weight_decay": 0.01,
    "schedule": "OneCycle",
    "optimizer": "AdamW",
    "label_smoothing": 0.1,
}
"""A training that is usually good, to begin with; its augmentation depends on its length."""


def first_cnn_space() -> SearchSpace:
    """Return a space for `SimpleCNN`: learning rate, weight decay, channels and kernel sizes."""
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
    """Return a space around any network; the network's own values are in it.

    A layer gets half to twice its channels, kernels two smaller to two larger, stride 1 or 2, its
    own padding, one more or none, dilation 1 or 2, groups that divide its channels on both sides,
    and one or two convolutions in its place. If padding may not vary, it follows the kernel size,
    so that the maps keep their size.

    If the network has many layers, `MOST_LAYERS` of them are taken, evenly spread. Depthwise layers
    are left out because they follow the layers before them; the channels of the output stay.

    Args:
        example_input: a batch (N, C, H, W); only its shape counts.
        settings: those of `LAYER_SETTINGS` that may vary.
        training: whether the training may vary, too.

    Raises:
        CourseError: a setting is unknown, or there is nothing to vary.
    """
    for name in settings:
        if name not in LAYER_SETTINGS:
            known = ", ".join(LAYER_SETTINGS)
            raise CourseError(f"{name!r} cannot be varied: choose from {known}.")
    convs = [
        (name, m)
        for name, m in model.named_modules()
        if isinstance(m, nn.Conv2d) and name and not (m.groups == m.in_channels > 1)
    ]
    if len(convs) > MOST_LAYERS:
        convs = [convs[i * len(convs) // MOST_LAYERS] for i in range(MOST_LAYERS)]
    values = dict(TRAINING) if training else {}
    for name, conv in convs:
        # Groups must divide the channels on both sides: so channels go in steps of four.
        four = "groups" in settings and conv.out_channels % 4 == 0
        possible = _possible_values(conv, channel_step=4 if four else conv.groups)
        for setting in settings:
            if setting in possible and (
                setting != "out_channels" or _can_widen(model, name, example_input)
            ):
                values[f"{name}.{setting}"] = possible[setting]
    if not values:
        raise CourseError(
            "There is nothing to vary: in no convolution of the network can "
            f"{' or '.join(settings) or 'any setting'} be changed."
        )
    return SearchSpace(values)


def _possible_values(conv: nn.Conv2d, channel_step: int) -> dict[str, Values]:
    channels, groups = conv.out_channels, conv.groups
    widths: BaseDistribution = IntDistribution(max(1, channels // 2), 2 * channels, log=True)
    if channel_step > 1:
        half = channel_step * math.ceil(channels / (2 * channel_step))
        widths = IntDistribution(half, 2 * channels, step=channel_step)
    values: dict[str, Values] = {"out_channels": widths, "depth": [1, 2]}
    height, width = conv.kernel_size
    if height == width and height % 2:
        values["kernel_size"] = range(max(1, height - 2), height + 3, 2)
    if conv.stride[0] == conv.stride[1]:
        values["stride"] = sorted({1, 2, conv.stride[0]})
    padding = simple(conv.padding)
    if isinstance(padding, int):
        values["padding"] = sorted({0, padding, padding + 1})
    if conv.dilation[0] == conv.dilation[1] and max(conv.kernel_size) > 1:
        values["dilation"] = sorted({1, 2, conv.dilation[0]})
    dividing = [g for g in (1, 2, 4) if conv.in_channels % g == channels % g == 0]
    if len(dividing) > 1:
        values["groups"] = sorted({*dividing, groups})
    return values


def _can_widen(model: nn.Module, name: str, example_input: Tensor) -> bool:
    """Return whether the layer can have more channels; the layer of the output cannot."""
    conv = model.get_submodule(name)
    wider = conv.out_channels + conv.groups
    try:
        edit_conv(model, name, example_input=example_input, out_channels=wider)
    except EditError:
        return False
    return True
