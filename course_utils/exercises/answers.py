"""Reading an answer that may be anything: call it safely, read numbers out of it, compare them.

Whatever goes wrong here becomes a sentence for the reader: `Wrong` (an answer that is not right)
or `Unsolved` (nothing to judge so far). Neither leaves `course_utils.exercises.check`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


class Wrong(Exception):
    """The answer fails; the text names the case in which it does, with the numbers."""


class Unsolved(Exception):
    """There is no answer yet; the text says what is missing."""


def one_line(text: object, limit: int = 200) -> str:
    """`text` without line breaks and memory addresses, cut after `limit` characters."""
    try:
        line = " ".join(str(text).split())
    except Exception:  # a reader's __str__ or __repr__ may fail, too
        line = f"<{type(text).__name__}>"
    # An address differs from run to run, and with it the notebook's committed output would.
    line = re.sub(r" at 0x[0-9a-fA-F]+", "", line)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def error_sentence(error: BaseException) -> str:
    """'ZeroDivisionError: division by zero', on one line."""
    return f"{type(error).__name__}: {one_line(error)}".removesuffix(": ")


def shown(value: float | int) -> str:
    """A number as a reader wants to see it: 1,605,632 or 0.1234."""
    if isinstance(value, int):
        return f"{value:,}"
    if (value.is_integer() or abs(value) >= 1000) and abs(value) < 1e15:
        return f"{value:,.1f}"
    return f"{value:.4g}"


def _copied(value: Any) -> Any:
    """`value` with its tensors cloned, so that nobody passes by changing the inputs."""
    if isinstance(value, torch.nn.Module):
        return value
    if isinstance(value, Tensor):
        return value.clone()
    if type(value) in (list, tuple):
        return type(value)(_copied(item) for item in value)
    return value


class Answer:
    """The reader's function.

    Calling it passes copies of the tensors on, and turns exceptions and empty results into `Wrong`
    or `Unsolved`. `given` is the reader's object itself.
    """

    def __init__(self, given: Any, name: str) -> None:
        self.given = given
        self.name = name
        self._returned_before = False

    def __call__(self, *arguments: Any, where: str = "", copy: bool = True) -> Any:
        """The reader's result; `where` describes the inputs in words: 'for size 28, kernel 3'."""
        result = self.run(*arguments, where=where, copy=copy)
        if result is None or result is Ellipsis:
            if not self._returned_before:
                raise Unsolved(
                    f"{self.name} returns nothing so far: write its body and `return` the result"
                )
            raise Wrong(
                f"{where or 'in one case'} {self.name} returns nothing (None): "
                "is there a branch without `return`?"
            )
        self._returned_before = True
        return result

    def run(self, *arguments: Any, where: str = "", copy: bool = True) -> Any:
        """Like a call, but a result of None is allowed (functions that change a model in place)."""
        if not callable(self.given):
            raise Wrong(
                f"a function is wanted here and this is {a_kind_of(self.given)}: hand over "
                f"{self.name} itself, without brackets behind it"
            )
        if copy:
            arguments = _copied(arguments)
        try:
            return self.given(*arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # With a text it is most likely torch's, about numbers that it cannot handle.
            if isinstance(error, NotImplementedError) and not error.args:
                raise Unsolved(f"{self.name} raises NotImplementedError") from None
            start = f"{where.removesuffix(':')}: " if where else ""
            raise Wrong(f"{start}{self.name} raised {error_sentence(error)}") from None


def a_kind_of(value: Any) -> str:
    """'an int (14)', 'a tensor of shape (2, 3)': what the reader gave, in words."""
    shape = getattr(value, "shape", None)
    kind = type(value).__name__.replace("ndarray", "NumPy array")
    article = "an" if kind[:1].lower() in "aeiou" else "a"
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(shape, tuple):
        return f"{article} {kind} of shape {shape}"
    if value is None or isinstance(value, (bool, int, float, str)):
        return f"{article} {kind} ({one_line(repr(value), 40)})"
    return f"{article} {kind}"


def number(value: Any, where: str = "") -> int | float:
    """One finite number out of an int, float, NumPy scalar or tensor of one element.

    Raises:
        Wrong: it is no number, more than one, or not finite.
    """
    if isinstance(value, Tensor) or hasattr(value, "item"):
        size = value.numel() if isinstance(value, Tensor) else value.size
        if size != 1:
            raise Wrong(f"{where} you gave {a_kind_of(value)}, one number is wanted".strip())
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Wrong(f"{where} you gave {a_kind_of(value)}, a number is wanted".strip())
    if not math.isfinite(value):
        raise Wrong(f"{where} you gave {value}, which is not a finite number".strip())
    return value


def tensor(
    value: Any,
    where: str = "",
    shape: tuple[int, ...] | None = None,
    wanted: str = "a tensor is wanted",
) -> Tensor:
    """The reader's tensor, array or nested list as a fresh float64 tensor (detached, on the CPU).

    Raises:
        Wrong: it cannot be read as numbers, has another shape, or holds nan or infinity.
    """
    if isinstance(value, (str, bytes, Mapping)):
        raise Wrong(f"{where} you gave {a_kind_of(value)}; {wanted}".strip())
    try:
        read = torch.as_tensor(value).detach().cpu()
        if read.is_complex():
            raise TypeError("complex numbers")
        read = read.to(torch.float64, copy=True)
    except Exception:
        raise Wrong(f"{where} you gave {a_kind_of(value)}; {wanted}".strip()) from None
    if shape is not None and tuple(read.shape) != tuple(shape):
        raise Wrong(
            f"{where} your result has the shape {tuple(read.shape)}, "
            f"it should have {tuple(shape)}".strip()
        )
    if not bool(torch.isfinite(read).all()):
        raise Wrong(f"{where} your result holds nan or infinity".strip())
    return read


def same(got: float | int, want: float | int) -> bool:
    """Whole numbers must agree exactly, others to four digits."""
    if isinstance(want, int):
        return got == want
    return math.isclose(got, want, rel_tol=1e-4, abs_tol=1e-5)


def alike(got: Tensor, want: Tensor) -> bool:
    """Same shape, and no element off by more than float32's rounding."""
    return got.shape == want.shape and bool(
        torch.allclose(got.double(), want.double(), rtol=1e-4, atol=1e-5)
    )


@dataclass(frozen=True)
class Case:
    """Arguments, the edge case that they are (`what`), why the right value is right (`because`)."""

    arguments: tuple[Any, ...]
    what: str = ""
    because: str = ""


def compare_numbers(
    answer: Answer,
    cases: Iterable[Case],
    reference: Callable[..., float | int],
    describe: Callable[..., str],
) -> None:
    """Call the answer on every case and compare with `reference`.

    Args:
        describe: the arguments in words, e.g. 'size 28, kernel 3'.

    Raises:
        Wrong: at the first case that differs.
    """
    for case in cases:
        where = f"for {describe(*case.arguments)}"
        if case.what:
            where = f"{case.what}: {where}"
        got = number(answer(*case.arguments, where=where), where)
        want = reference(*case.arguments)
        if not same(got, want):
            because = f" ({case.because})" if case.because else ""
            raise Wrong(f"{where} you gave {shown(got)}, it is {shown(want)}{because}")


def compare_tensors(got: Any, want: Tensor, where: str, because: str = "") -> None:
    """Compare element by element, and name the first one that differs.

    Raises:
        Wrong: another shape, nan, or a difference beyond float32's rounding.
    """
    read = tensor(got, where, tuple(want.shape))
    want = want.double()
    far = ~torch.isclose(read, want, rtol=1e-4, atol=1e-5)
    if bool(far.any()):
        place = tuple(int(i) for i in far.nonzero()[0])
        named = (
            f"the number at {list(place)}"
            if len(place) != 2
            else "row {}, column {}".format(*place)
        )
        tail = f" ({because})" if because else ""
        raise Wrong(
            f"{where}: {named} is {shown(float(read[place]))}, "
            f"it should be {shown(float(want[place]))}{tail}"
        )
