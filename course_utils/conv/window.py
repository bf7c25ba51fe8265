"""One direction of a sliding window: the symbols of the size formula as numbers, and its value."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple

from course_utils.conv.impossible import ImpossibleSetting, Settings

Size = int | tuple[int, int]
"""One number for both directions, or a pair (height, width)."""


class Axis(NamedTuple):
    """One direction of a sliding window: the formula's symbols as numbers."""

    name: str  # "height", "width", or "length" if there is only one direction
    n: int
    k: int
    s: int
    before: int  # padding on the top or left side
    after: int
    d: int
    ceil_mode: bool

    @property
    def output(self) -> int:
        """The output size: `windows`, without a last one that starts after the input."""
        last_start = (self.windows - 1) * self.s
        return self.windows - int(self.ceil_mode and last_start >= self.n + self.before)

    @property
    def windows(self) -> int:
        """The formula's value; below 1 if no window fits."""
        return (self.room - self.span) // self.s + 1

    @property
    def room(self) -> int:
        """The largest span that fits; with ceil_mode, a window may reach s − 1 pixels further."""
        return self.n + self.padding + (self.s - 1 if self.ceil_mode else 0)

    @property
    def span(self) -> int:
        """The number of pixels from the kernel's first to its last: d·(k − 1) + 1."""
        return self.d * (self.k - 1) + 1

    @property
    def padding(self) -> int:
        return self.before + self.after

    @property
    def symbol(self) -> str:
        return {"height": "H", "width": "W", "length": "n"}[self.name]

    @property
    def formula(self) -> str:
        """The formula in symbols."""
        left, right = self._brackets
        n = self.symbol
        return f"{n}_out = {left}({n} + 2·p − d·(k − 1) − 1) / s{right} + 1"

    @property
    def filled(self) -> str:
        """The formula with the numbers in place of the symbols, and its value."""
        left, right = self._brackets
        padding = f"({self.before} + {self.after})"
        if self.before == self.after:
            padding = f"2·{self.before}" if self.before >= 0 else f"2·({self.before})"
        dropped = "" if self.output == self.windows else " − 1"
        return (
            f"{left}({self.n} + {padding} − {self.d}·({self.k} − 1) − 1) / {self.s}{right}"
            f" + 1{dropped} = {self.output}"
        ).replace("-", "−")

    @property
    def _brackets(self) -> str:
        return "⌈⌉" if self.ceil_mode else "⌊⌋"


def axes_of(sizes: Sequence[int], s: Settings) -> list[Axis]:
    """Return the directions of a window over an input of `sizes`, whose settings are in range."""
    count = len(sizes)
    names = ("length",) if count == 1 else ("height", "width")
    kernel = whole("kernel_size", s["kernel_size"], count)
    stride = kernel if s["stride"] is None else whole("stride", s["stride"], count)
    dilation = whole("dilation", s["dilation"], count)
    if s["padding"] == "same":  # an odd pixel goes below or to the right, as in PyTorch
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


def window_output(window: dict[str, Any], size: Sequence[int]) -> tuple[int, int]:
    """Return the output size of a window, in arithmetic that `torch.jit` and `torch.fx` can trace.

    Its padding is one of `nn.Conv2d`, "same" (⌈n / s⌉, also with a stride), or a pair (before,
    after) for each direction.
    """
    padding = 0 if window["padding"] == "valid" else window["padding"]
    values = (window["kernel_size"], window["stride"], window["dilation"], padding)
    pairs = (value if is_pair(value) else (value, value) for value in values)
    result = []
    for i, (k, s, d, p) in enumerate(zip(*pairs, strict=True)):
        n = size[i]  # `torch.fx` cannot iterate over sizes
        if p == "same":
            result.append((n + s - 1) // s)
        else:
            total = sum(p) if isinstance(p, tuple) else 2 * p
            result.append((n + total - d * (k - 1) - 1) // s + 1)
    return tuple(result)


# One number or a pair


def is_pair(value: Any) -> bool:
    return isinstance(value, tuple | list)


def whole(name: str, value: Any, count: int) -> tuple[int, ...]:
    """Return `value`, one number or one for each direction, as `count` integers.

    Raises:
        ImpossibleSetting: if it is something else; the text calls it `name`.
    """
    values = tuple(value) if is_pair(value) else (value,) * count
    if len(values) != count or not all(
        isinstance(v, Integral) and not isinstance(v, bool) for v in values
    ):
        wanted = "a whole number" if count == 1 else "a whole number or a pair of them"
        raise ImpossibleSetting(f"{name} must be {wanted}, not {value!r}.")
    return tuple(int(v) for v in values)


def together(values: Sequence) -> Any:
    """Return one number if all `values` are equal, otherwise the tuple."""
    return values[0] if len(set(values)) == 1 else tuple(values)
