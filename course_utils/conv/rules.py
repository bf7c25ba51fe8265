"""What the arguments of a convolution or a pooling must keep to, as PyTorch checks them.

Each generator yields a `Broken` for what is wrong with the settings, later rules relying on those
before them; `impossible.require` turns the first one into an error with the nearest way out.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral
from typing import Any, NamedTuple

from course_utils.conv.impossible import Broken, ImpossibleSetting, Settings

WINDOW = ("kernel_size", "stride", "padding", "dilation", "padding_mode")
"""What `nn.Conv2d` is told about its sliding window."""

PADDING_WORDS = ("same", "valid")
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")

_SYMBOLS = {
    "kernel_size": "k",
    "stride": "s",
    "dilation": "d",
    "groups": "g",
    "in_channels": "C_in",
    "out_channels": "C_out",
}


class Axis(NamedTuple):
    """One direction of a sliding window: the formula's symbols as numbers."""

    name: str  # "height", "width", or "length" where there is only one
    n: int
    k: int
    s: int
    before: int  # padding on the top or left side
    after: int
    d: int
    ceil_mode: bool

    @property
    def padding(self) -> int:
        return self.before + self.after

    @property
    def symbol(self) -> str:
        return {"height": "H", "width": "W", "length": "n"}[self.name]

    @property
    def span(self) -> int:
        """Pixels from the kernel's first to its last, both counted."""
        return self.d * (self.k - 1) + 1

    @property
    def room(self) -> int:
        """The largest span that fits; with ceil_mode the window may hang out by s − 1."""
        return self.n + self.padding + (self.s - 1 if self.ceil_mode else 0)

    @property
    def windows(self) -> int:
        """The formula's value; below 1 where no window fits."""
        return (self.room - self.span) // self.s + 1

    @property
    def output(self) -> int:
        """`windows`, less the last one if it starts behind the input (ceil_mode only)."""
        last_start = (self.windows - 1) * self.s
        return self.windows - int(self.ceil_mode and last_start >= self.n + self.before)

    @property
    def formula(self) -> str:
        left, right = "⌈⌉" if self.ceil_mode else "⌊⌋"
        n = self.symbol
        return f"{n}_out = {left}({n} + 2·p − d·(k − 1) − 1) / s{right} + 1"

    @property
    def filled(self) -> str:
        left, right = "⌈⌉" if self.ceil_mode else "⌊⌋"
        even = self.before == self.after
        padding = f"2·{self.before}" if even else f"({self.before} + {self.after})"
        padding = f"2·({self.before})" if self.before < 0 else padding
        dropped = "" if self.output == self.windows else " − 1"
        return (
            f"{left}({self.n} + {padding} − {self.d}·({self.k} − 1) − 1) / {self.s}{right}"
            f" + 1{dropped} = {self.output}"
        ).replace("-", "−")


def axes_of(sizes: Sequence[int], s: Settings) -> list[Axis]:
    """The directions of a window over an input of `sizes`; the settings' own ranges are kept."""
    count = len(sizes)
    names = ("length",) if count == 1 else ("height", "width")
    kernel = whole("kernel_size", s["kernel_size"], count)
    stride = kernel if s["stride"] is None else whole("stride", s["stride"], count)
    dilation = whole("dilation", s["dilation"], count)
    if s["padding"] == "same":  # what can't be halved goes behind the picture, as in PyTorch
        totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        padding = [(total // 2, total - total // 2) for total in totals]
    else:
        number = 0 if s["padding"] == "valid" else s["padding"]
        padding = [(p, p) for p in whole("padding", number, count)]
    ceil_mode = bool(s.get("ceil_mode", False))
    return [
        Axis(names[i], sizes[i], kernel[i], stride[i], *padding[i], dilation[i], ceil_mode)
        for i in range(count)
    ]


# Rules


def channel_rules(s: Settings, channels: int | None = None) -> Iterator[Broken]:
    """Rules of in_channels, out_channels and groups; `channels` are those of the input."""
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
    """Rules of each argument of a window by itself, in `count` directions."""
    for name in ("kernel_size", "stride", "dilation"):
        if s[name] is not None:  # None: a pooling's stride that follows its kernel size
            yield from at_least_one(s, name, count)
    padding, mode = s["padding"], s.get("padding_mode", "zeros")
    if isinstance(padding, str) and padding not in PADDING_WORDS:
        yield _unknown_word("padding", padding, PADDING_WORDS, 0)
    if mode not in PADDING_MODES:
        yield _unknown_word("padding_mode", mode, PADDING_MODES, "zeros")
    # In the other modes PyTorch takes negative padding and crops the picture.
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
    """Rules of a window that slides over an input of `sizes` pixels."""
    yield from range_rules(s, len(sizes))
    if pooling and isinstance(s["padding"], str):
        yield _unknown_word("padding", s["padding"], (), 0)
    axes = axes_of(sizes, s)
    if s["padding"] == "same" and max(axis.s for axis in axes) > 1:
        as_number = {"padding": together([axis.padding // 2 for axis in axes])}
        yield Broken(
            "padding='same' keeps the size, which a stride above 1 cannot do.",
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
    """More padding than half a window would let a window lie in the padding alone."""
    for axis in axes:
        if axis.before > axis.k // 2:
            yield Broken(
                f"Pooling pads by at most half of its window, but padding = {s['padding']}.",
                "p ≤ ⌊k / 2⌋",
                f"{axis.before} ≤ ⌊{axis.k} / 2⌋ is false",
                (
                    _at_most(s, "padding", [a.k // 2 for a in axes]),
                    _at_least(s, "kernel_size", [2 * a.before for a in axes]),
                ),
            )


def _padding_mode_rule(axes: Sequence[Axis], s: Settings) -> Iterator[Broken]:
    """A reflection has all pixels but the edge's to give, a turn round the picture all."""
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
    """The changes that bring the padding within `limits`."""
    if s["padding"] != "same":
        yield _at_most(s, "padding", limits)
        return
    pairs = list(zip(axes, limits, strict=True))
    yield _at_most(s, "kernel_size", [2 * limit // a.d + 1 for a, limit in pairs])
    yield {"padding": together([min(a.padding // 2, limit) for a, limit in pairs])}
    yield _at_most(s, "dilation", [2 * limit // max(a.k - 1, 1) for a, limit in pairs])


def _fit_rule(axes: Sequence[Axis], s: Settings) -> Iterator[Broken]:
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
    """The largest kernel, the least padding and the largest dilation with which a window fits."""

    def largest_kernel(axis: Axis) -> int:
        for k in range(axis.k, 0, -1):
            smaller = axis._replace(k=k, s=k if s["stride"] is None else axis.s)
            if smaller.span <= smaller.room:
                return k
        return 0

    yield _at_most(s, "kernel_size", [largest_kernel(a) for a in axes])
    yield _at_least(s, "padding", [a.before + -((a.room - a.span) // 2) for a in axes])
    yield _at_most(s, "dilation", [(a.room - 1) // max(a.k - 1, 1) for a in axes])


# Numbers and pairs: an argument that was given as one number stays one number


def whole(name: str, value: Any, count: int) -> tuple[int, ...]:
    """`value` as `count` integers."""
    values = tuple(value) if _is_pair(value) else (value,) * count
    if len(values) != count or not all(
        isinstance(v, Integral) and not isinstance(v, bool) for v in values
    ):
        wanted = "a whole number" if count == 1 else "a whole number or a pair of them"
        raise ImpossibleSetting(f"{name} must be {wanted}, not {value!r}.")
    return tuple(int(v) for v in values)


def together(values: Sequence) -> Any:
    """One number if all `values` are equal, else the tuple."""
    return values[0] if len(set(values)) == 1 else tuple(values)


def at_least_one(s: Settings, name: str, count: int) -> Iterator[Broken]:
    value = s[name]
    if min(whole(name, value, count)) < 1:
        yield Broken(
            f"{name} must be at least 1, but is {value}.",
            f"{_SYMBOLS[name]} ≥ 1",
            f"{value} ≥ 1 is false".replace("-", "−"),
            ({name: _each(value, lambda v: max(v, 1))},),
        )


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple | list)


def _each(value: Any, change: Callable[[int], int]) -> Any:
    return tuple(map(change, value)) if _is_pair(value) else change(value)


def _bounded(s: Settings, name: str, limits: Sequence[int], choose: Callable) -> Settings:
    value = 0 if s[name] == "valid" else s[name]
    if _is_pair(value):
        return {name: tuple(map(choose, value, limits))}
    return {name: choose(value, *limits)}


def _at_most(s: Settings, name: str, limits: Sequence[int]) -> Settings:
    return _bounded(s, name, limits, min)


def _at_least(s: Settings, name: str, limits: Sequence[int]) -> Settings:
    return _bounded(s, name, limits, max)
