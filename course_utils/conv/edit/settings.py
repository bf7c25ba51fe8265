"""The settings of the edited layer, before and after; which ones are possible."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from course_utils.conv.arithmetic import conv2d_shape
from course_utils.conv.edit.draft import EditError
from course_utils.conv.impossible import Broken, ImpossibleSetting, require
from course_utils.conv.rules import WINDOW, channel_rules, window_rules
from course_utils.conv.window import together, whole
from course_utils.core import CourseError

CHANGEABLE = (
    *("out_channels", "kernel_size", "stride", "padding"),
    *("dilation", "groups", "bias", "padding_mode"),
)
"""What can be changed of a layer, by `nn.Conv2d`'s names and in its order."""


def settings_of(conv: nn.Conv2d) -> dict[str, Any]:
    """Return the layer's arguments; sizes as pairs, a padding in words unchanged."""
    names = ("in_channels", *CHANGEABLE)
    return {name: getattr(conv, name) for name in names} | {"bias": conv.bias is not None}


def simple_settings(conv: nn.Conv2d) -> dict[str, Any]:
    """Return what can be changed of a layer; one number where height and width agree."""
    settings = settings_of(conv)
    return {name: simple(settings[name]) for name in CHANGEABLE}


def simple(value: Any) -> Any:
    """Return (3, 3) as 3, which reads better; (3, 5) and "same" stay."""
    return together(value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class LayerEdit:
    """The change of one convolution: its settings before and after it.

    Attributes:
        name: of the layer in its model.
        shift: row and column of a larger kernel where the old one begins; None for its middle.
    """

    name: str
    before: dict[str, Any]
    after: dict[str, Any]
    shift: tuple[int | None, int | None] = (None, None)

    @classmethod
    def of(cls, name: str, conv: nn.Conv2d, changes: dict[str, Any]) -> LayerEdit:
        """Return the edit of a layer with these arguments of `nn.Conv2d`.

        Where the kernel or its dilation changes and no padding is given, the padding keeps the
        output's size if that is possible.

        Raises:
            CourseError: for an argument that a convolution does not have.
        """
        for setting in changes:
            if setting not in CHANGEABLE:
                close = difflib.get_close_matches(setting, CHANGEABLE, n=1)
                hint = f" Did you mean {close[0]}?" if close else ""
                hint += f" It has {', '.join(CHANGEABLE)}."
                raise CourseError(f"A convolution has no argument {setting!r}.{hint}")
        before = settings_of(conv)
        after = before | changes
        for setting in ("kernel_size", "stride", "dilation"):
            after[setting] = whole(setting, after[setting], 2)
        for setting in ("out_channels", "groups"):
            after[setting] = whole(setting, after[setting], 1)[0]
        after["bias"] = bool(after["bias"])
        if not isinstance(after["padding"], str):
            after["padding"] = whole("padding", after["padding"], 2)
        if "padding" not in changes and not isinstance(before["padding"], str):
            after["padding"] = paddings_to_try(before, after)[0]
        return cls(name, before, after)

    def rounded_to(self, multiple: int, each: int = 0) -> LayerEdit:
        """Return the edit with the nearest out_channels that is a multiple of a number.

        The groups divide it as well, or for a depthwise layer with `each` output channels per input
        channel that number.
        """
        if multiple == 1 or self.after["out_channels"] < 1:
            return self
        multiple = math.lcm(multiple, each or max(self.after["groups"], 1))
        times = (2 * self.after["out_channels"] + multiple) // (2 * multiple)  # halves go up
        channels = max(times, 1) * multiple
        return replace(self, after=self.after | {"out_channels": channels})

    def changes(self, *settings: str) -> bool:
        """Check whether any of these settings changes."""
        return any(self.before[name] != self.after[name] for name in settings)

    def resizes(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        """Check whether the output has another height or width, for any of some input shapes."""
        return output_sizes(self.before, shapes) != output_sizes(self.after, shapes)

    def require_possible(self, shapes: Sequence[tuple[int, ...]], depthwise: int = 0) -> None:
        """Check that a layer can have the new settings, and that it can run on its inputs.

        Args:
            shapes: of the inputs, (N, C, H, W).
            depthwise: output channels per input channel of a depthwise layer whose input channels
                change with its output channels; 0 for any other layer.

        Raises:
            ImpossibleSetting: with the formula, the numbers and the nearest possible settings.
        """

        def rules(s):
            yield from _depthwise_rules(s, depthwise) if depthwise else channel_rules(s)
            for shape in shapes:
                yield from window_rules(shape[-2:], s)

        after = {name: simple(value) for name, value in self.after.items()}
        require(rules, after, fixed={"in_channels"})


def paddings_to_try(before: dict, after: dict) -> list[tuple[int, int] | str]:
    """Return paddings with which the output may keep its size; the first one does at stride 1.

    The padding before is the last one, because a layer may pad its input itself.
    """
    if isinstance(before["padding"], str):
        return [before["padding"]]

    def spans(s: dict) -> list[int]:
        return [d * (k - 1) for d, k in zip(s["dilation"], s["kernel_size"], strict=True)]

    grown = [b - a for a, b in zip(spans(before), spans(after), strict=True)]
    totals = [2 * p + g for p, g in zip(before["padding"], grown, strict=True)]
    less, more = (tuple(max((n + up) // 2, 0) for n in totals) for up in (0, 1))
    keeps_size = totals == spans(after) and set(after["stride"]) == {1}
    if keeps_size and less != more:
        return ["same", less, more, before["padding"]]  # one pixel more on one side
    return list(dict.fromkeys((less, more, before["padding"])))


def _depthwise_rules(s: dict[str, Any], each: int) -> Iterator[Broken]:
    """Yield what is wrong with the channels of a layer with `each` outputs per input channel."""
    channels = s["out_channels"]
    if channels < 1 or channels % each:
        yield Broken(
            f"This depthwise layer has {each} output channels for each input channel.",
            "C_out mod (C_out / C_in) = 0",
            f"{channels} mod {each} = {channels % each}",
            ({"out_channels": max(1, round(channels / each)) * each},),
        )


def at_least_one(name: str, value: Any) -> int:
    """Return `value` if it is a whole number of at least 1.

    Raises:
        ImpossibleSetting: if it is something else.
    """
    number = whole(name, value, 1)[0]
    if number < 1:
        raise ImpossibleSetting(f"{name} must be at least 1, but is {value}.")
    return number


def require_parameters(name: str, conv: nn.Conv2d, changes: Collection[str]) -> None:
    """Check that the weight and the bias are parameters, if the changes need that.

    Raises:
        EditError: if they are computed from other numbers; with the call that ends this.
    """
    others = sorted(set(changes) - {"stride", "padding", "dilation", "padding_mode"})
    for what in ("weight", "bias"):
        if what in conv._parameters or not others:
            continue
        removals = {
            WeightNorm: "torch.nn.utils.remove_weight_norm({})",
            SpectralNorm: "torch.nn.utils.remove_spectral_norm({})",
            prune.BasePruningMethod: "torch.nn.utils.prune.remove({}, {!r})",
        }
        hooks = conv._forward_pre_hooks.values()
        known = [call for kind, call in removals.items() if any(isinstance(h, kind) for h in hooks)]
        if parametrize.is_parametrized(conv, what):
            known = ["torch.nn.utils.parametrize.remove_parametrizations({}, {!r})"]
        ends = "; ".join(known).format(f"model.get_submodule({name!r})", what)
        ends = f": {ends}" if ends else f" and make it an nn.Parameter named {what!r}"
        raise EditError(
            f"The {what} of {name} is computed (weight_norm, spectral_norm, pruning), so"
            f" {', '.join(others)} cannot be changed. Remove that first{ends}."
        )


def output_sizes(settings: dict[str, Any], shapes: Sequence[tuple[int, ...]]) -> list[tuple]:
    """Return height and width of the output for each input shape."""
    window = {name: settings[name] for name in WINDOW if name in settings}
    return [conv2d_shape(shape[-3:], 1, **window)[1:] for shape in shapes]


def set_window(conv: nn.Conv2d, settings: dict[str, Any]) -> None:
    """Set the kernel size, stride, padding, dilation and padding mode of a layer."""
    for name in WINDOW:
        setattr(conv, name, settings[name])
    sides = [0, 0, 0, 0]  # left, right, top, bottom: nn.Conv2d keeps them for padding modes
    if settings["padding"] == "same":
        for i, (d, k) in enumerate(zip(conv.dilation, conv.kernel_size, strict=True)):
            before = d * (k - 1) // 2
            sides[2 - 2 * i : 4 - 2 * i] = [before, d * (k - 1) - before]
    elif settings["padding"] != "valid":
        top, left = settings["padding"]
        sides = [left, left, top, top]
    conv._reversed_padding_repeated_twice = sides
