"""The rules for the arguments of a convolution or a pooling, as PyTorch checks them.

Each generator yields a `Broken` for each rule that the settings break. A later rule may rely on the
rules before it, so `impossible.require` raises an error for the first one only.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from course_utils.conv.impossible import Broken, Settings
from course_utils.conv.window import Axis, axes_of, is_pair, together, whole

WINDOW = ("kernel_size", "stride", "padding", "dilation", "padding_mode")
"""The arguments of `nn.Conv2d` that describe its sliding window."""

PADDING_WORDS = ("same", "valid")
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")

_SYMBOLS = {
    **{"kernel_size": "k", "stride": "s", "dilation": "d"},
    **{"groups": "g", "in_channels": "C_in", "out_channels": "C_out"},
}


def at_least_one(s: Settings, name: str, count: int) -> Iterator[Broken]:
    """Check that an argument is at least 1 in each of `count` directions."""
    value = s[name]
    if min(whole(name, value, count)) < 1:
        yield Broken(
            f"{name} must be at least 1, but is {value}.",
            f"{_SYMBOLS[name]} ≥ 1",
            f"{value} ≥ 1 is false".replace("-", "−"),
            ({name: _each(value, lambda v: max(v, 1))},),
        )


def channel_rules(s: Settings, channels: int | None = None) -> Iterator[Broken]:
    """Check in_channels, out_channels and groups; `channels` is the input's number of channels."""
    for name in ("in_channels", "out_channels", "groups"):
        yield from at_least_one(s, name, 1)
    c_in, c_out, g = s["in_channels"], s["out_channels"], s["groups"]
    if channels is not None and c_in != channels:
        yield Broken(
            f"The input has {channels} channel{'s' * (channels != 1)}, but in_channels = {c_in}.",
            "C_in = number of the input's channels",
            f"{c_in} = {channels} is false",
            ({"in_channels": channels},),
        )
    if c_in % g or c_out % g:
        common = [n for n in range(1, min(c_in, c_out) + 1) if c_in % n == c_out % n == 0]
        repairs = [{"groups": min(common, key=lambda n: abs(n - g))}]
        if c_in % g == 0:
            repairs.append({"out_channels": max(1, round(c_out / g)) * g})
        yield Broken(
            f"groups = {g} must divide in_channels = {c_in} and out_channels = {c_out}.",
            "C_in mod g = 0 and C_out mod g = 0",
            f"{c_in} mod {g} = {c_in % g} and {c_out} mod {g} = {c_out % g}",
            tuple(repairs),
        )


def range_rules(s: Settings, count: int) -> Iterator[Broken]:
    """Check the range of each argument of a window, in `count` directions."""
    for name in ("kernel_size", "stride", "dilation"):
        if s[name] is not None:  # None: the stride of a pooling that equals its kernel size
            yield from at_least_one(s, name, count)
    padding, mode = s["padding"], s.get("padding_mode", "zeros")
    if isinstance(padding, str) and padding not in PADDING_WORDS:
        yield _unknown_word("padding", padding, PADDING_WORDS, 0)
    if mode not in PADDING_MODES:
        yield _unknown_word("padding_mode", mode, PADDING_MODES, "zeros")
    # In the other modes PyTorch accepts negative padding and crops the picture.
    if isinstance(padding, str):
        return
    if min(whole("padding", padding, count)) < 0 and mode == "zeros":
        yield Broken(
            f"padding must be at least 0, but is {padding}.",
            "p ≥ 0",
            f"{padding} ≥ 0 is false".replace("-", "−"),
            ({"padding": _each(padding, lambda p: max(p, 0))},),
        )


def window_rules(sizes: Sequence[int], s: Settings, pooling: bool = False) -> Iterator[Broken]:
    """Check a window that slides over an input of `sizes` pixels."""
    yield from range_rules(s, len(sizes))
    if pooling and isinstance(s["padding"], str):
        yield _unknown_word("padding", s["padding"], (), 0)
    axes = axes_of(sizes, s)
    if s["padding"] == "same" and max(axis.s for axis in axes) > 1:
        as_number = {"padding": together([axis.padding // 2 for axis in axes])}
        yield Broken(
            "padding='same' keeps the size, but a stride above 1 makes it smaller.",
            "padding='same' needs s = 1",
            f"s = {s['stride']}",
            (as_number, {"stride": _each(s["stride"], lambda _: 1)}),
        )
    if pooling:
        yield from _pool_padding_rule(axes, s)
    if s.get("padding_mode") in ("reflect", "circular"):
        yield from _padding_mode_rule(axes, s)
    yield from _fit_rule(axes, s)


def _unknown_word(name: str, word: Any, allowed: Sequence[str], default: Any) -> Broken:
    close = difflib.get_close_matches(str(word).lower(), allowed, n=1)
    wanted = [repr(option) for option in allowed] + ["numbers"] * (name == "padding")
    return Broken(
        f"{name} = {word!r} is not possible here.",
        f"{name} is one of: {', '.join(wanted)}",
        f"{word!r} is none of them",
        ({name: close[0] if close else default},),
    )


def _pool_padding_rule(axes: Sequence[Axis], s: Settings) -> Iterator[Broken]:
    """Check that no window can lie in the padding alone: the padding is at most half a window."""
    for axis in axes:
        if axis.before > axis.k // 2:
            yield Broken(
                f"The padding of a pooling is at most half its window, but is {s['padding']}.",
                "p ≤ ⌊k / 2⌋",
                f"{axis.before} ≤ ⌊{axis.k} / 2⌋ is false",
                (
                    _at_most(s, "padding", [a.k // 2 for a in axes]),
                    _at_least(s, "kernel_size", [2 * a.before for a in axes]),
                ),
            )


def _padding_mode_rule(axes: Sequence[Axis], s: Settings) -> Iterator[Broken]:
    """Check that the picture has enough pixels to copy: for "reflect" all except the edge."""
    mode = s["padding_mode"]
    limits = [axis.n - 1 if mode == "reflect" else axis.n for axis in axes]
    for axis, limit in zip(axes, limits, strict=True):
        if axis.after > limit:
            relation = "<" if mode == "reflect" else "≤"
            yield Broken(
                f"padding_mode={mode!r} can put at most {limit} pixels around an input of"
                f" {axis.name} {axis.n}, but the padding is {axis.after}.",
                f"p {relation} {axis.symbol}",
                f"{axis.after} {relation} {axis.n} is false",
                tuple(_within(axes, limits, s)),
            )


def _within(axes: Sequence[Axis], limits: Sequence[int], s: Settings) -> Iterator[Settings]:
    """Yield the changes after which the padding is within `limits`."""
    if s["padding"] != "same":
        yield _at_most(s, "padding", limits)
        return
    pairs = list(zip(axes, limits, strict=True))
    yield _at_most(s, "kernel_size", [2 * limit // a.d + 1 for a, limit in pairs])
    yield {"padding": together([min(a.padding // 2, limit) for a, limit in pairs])}
    yield _at_most(s, "dilation", [2 * limit // max(a.k - 1, 1) for a, limit in pairs])


def _fit_rule(axes: Sequence[Axis], s: Settings) -> Iterator[Broken]:
    """Check that the kernel fits into the padded input."""
    for axis in axes:
        if axis.span > axis.room:
            kernel = f"A kernel of {axis.k}"
            if axis.d > 1:
                kernel += f" with dilation {axis.d}, which spans {axis.span} pixels,"
            padded = f" and {axis.padding} of padding" if axis.padding else ""
            yield Broken(
                f"{kernel} does not fit into a {axis.name} of {axis.n}{padded}.",
                axis.formula,
                f"{axis.filled}, and at least 1 is needed",
                tuple(_fitting(axes, s)),
            )


def _fitting(axes: Sequence[Axis], s: Settings) -> Iterator[Settings]:
    """Yield the largest kernel, smallest padding and largest dilation with which a window fits."""

    def largest_kernel(axis: Axis) -> int:
        for k in range(axis.k, 0, -1):
            smaller = axis._replace(k=k, s=k if s["stride"] is None else axis.s)
            if smaller.span <= smaller.room:
                return k
        return 0

    yield _at_most(s, "kernel_size", [largest_kernel(a) for a in axes])
    yield _at_least(s, "padding", [a.before + -((a.room - a.span) // 2) for a in axes])
    yield _at_most(s, "dilation", [(a.room - 1) // max(a.k - 1, 1) for a in axes])


# Repairs: an argument that was given as one number stays one number


def _each(value: Any, change: Callable[[int], int]) -> Any:
    return tuple(map(change, value)) if is_pair(value) else change(value)


def _bounded(s: Settings, name: str, limits: Sequence[int], choose: Callable) -> Settings:
    value = 0 if s[name] == "valid" else s[name]
    if is_pair(value):
        return {name: tuple(map(choose, value, limits))}
    return {name: choose(value, *limits)}


_at_most = functools.partial(_bounded, choose=min)
_at_least = functools.partial(_bounded, choose=max)
