"""Tools of the checks: call an answer safely, read numbers from its result, compare them.

An answer may be anything. What is wrong with it becomes a sentence for the reader: `Wrong` (the
answer is not right) or `Unsolved` (there is no answer yet). `course_utils.exercises.check` catches
both.
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
    """The answer is not right; the text names the case and the numbers."""


class Unsolved(Exception):
    """There is no answer yet; the text says what is missing."""


def one_line(text: object, limit: int = 200) -> str:
    """Return `text` without line breaks and memory addresses, cut after `limit` characters."""
    try:
        line = " ".join(str(text).split())
    except Exception:  # the reader's __str__ or __repr__ may fail
        line = f"<{type(text).__name__}>"
    # An address changes from run to run, and the notebook's committed output must not.
    line = re.sub(r" at 0x[0-9a-fA-F]+", "", line)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def error_sentence(error: BaseException) -> str:
    """Return the error in one line: 'ZeroDivisionError: division by zero'."""
    return f"{type(error).__name__}: {one_line(error)}".removesuffix(": ")


def shown(value: float | int) -> str:
    """Return a number in readable form: 1,605,632 or 0.1234."""
    if isinstance(value, int):
        return f"{value:,}"
    if (value.is_integer() or abs(value) >= 1000) and abs(value) < 1e15:
        return f"{value:,.1f}"
    return f"{value:.4g}"


def _copied(value: Any) -> Any:
    """Return `value` with its tensors cloned, so that an answer cannot change the check's own."""
    if isinstance(value, torch.nn.Module):
        return value
    if isinstance(value, Tensor):
        return value.clone()
    if type(value) in (list, tuple):
        return type(value)(_copied(item) for item in value)
    return value


class Answer:
    """The reader's function.

    A call passes copies of the tensors, and turns exceptions and empty results into `Wrong` or
    `Unsolved`. `given` is the reader's object itself.
    """

    def __init__(self, given: Any, name: str) -> None:
        self.given = given
        self.name = name
        self._returned_before = False

    def __call__(self, *arguments: Any, where: str = "", copy: bool = True) -> Any:
        """Return the reader's result. `where` describes the inputs: 'for size 28, kernel 3'."""
        result = self.run(*arguments, where=where, copy=copy)
        if is_missing(result):
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
        """Call the function; its result may be None (if it changes a model in place)."""
        if not callable(self.given):
            raise Wrong(
                f"this is {a_kind_of(self.given)}, it should be a function: pass {self.name} "
                "itself, without brackets after it"
            )
        if copy:
            arguments = _copied(arguments)
        try:
            return self.given(*arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # If it has a text, it is most likely torch's, about a type that it cannot handle.
            if isinstance(error, NotImplementedError) and not error.args:
                raise Unsolved(f"{self.name} raises NotImplementedError") from None
            start = f"{where.removesuffix(':')}: " if where else ""
            raise Wrong(f"{start}{self.name} raised {error_sentence(error)}") from None


def is_missing(value: Any) -> bool:
    """Return whether a value is that of an unsolved cell: None or `...`."""
    return value is None or value is Ellipsis


def a_kind_of(value: Any) -> str:
    """Return in words what the reader's value is: 'an int (14)', 'a tensor of shape (2, 3)'."""
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


def wrong_kind(value: Any, wanted: str, where: str = "") -> Wrong:
    """Return the error for a result of another kind, to be raised; `wanted`: 'a list of dicts'."""
    return Wrong(f"{where} your result is {a_kind_of(value)}, it should be {wanted}".strip())


def in_brackets(reason: str) -> str:
    """Return ' (reason)', or nothing if there is no reason."""
    return f" ({reason})" if reason else ""


def number(value: Any, where: str = "") -> int | float:
    """Return the number that an int, float, NumPy scalar or tensor of one element holds.

    Raises:
        Wrong: it is not a number, more than one, or not finite.
    """
    if isinstance(value, Tensor) or hasattr(value, "item"):
        size = value.numel() if isinstance(value, Tensor) else value.size
        if size != 1:
            raise wrong_kind(value, "one number", where)
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_kind(value, "a number", where)
    if not math.isfinite(value):
        raise Wrong(f"{where} your result is {value}, it should be a finite number".strip())
    return value


def tensor(
    value: Any,
    where: str = "",
    shape: tuple[int, ...] | None = None,
    wanted: str = "a tensor of real numbers",
) -> Tensor:
    """Return the reader's tensor, array or nested list as a new float64 tensor on the CPU.

    Raises:
        Wrong: it does not consist of numbers, has another shape, or contains nan or infinity.
    """
    if isinstance(value, (str, bytes, Mapping)):
        raise wrong_kind(value, wanted, where)
    try:
        read = torch.as_tensor(value).detach().cpu()
        if read.is_complex():
            raise TypeError("complex numbers")
        read = read.to(torch.float64, copy=True)
    except Exception:
        raise wrong_kind(value, wanted, where) from None
    if shape is not None and tuple(read.shape) != tuple(shape):
        raise Wrong(
            f"{where} your result has the shape {tuple(read.shape)}, "
            f"it should have {tuple(shape)}".strip()
        )
    if not bool(torch.isfinite(read).all()):
        raise Wrong(f"{where} your result contains nan or infinity".strip())
    return read


def same(got: float | int, want: float | int) -> bool:
    """Return whether two numbers agree: integers exactly, others to four digits."""
    if isinstance(want, int):
        return got == want
    return math.isclose(got, want, rel_tol=1e-4, abs_tol=1e-5)


def reason(mistakes: Iterable[tuple[float, str]], got: float, tolerance: float = 1e-4) -> str:
    """Return the text of the first mistake (wrong value, text) with the value `got`, or ''."""
    return next((why for value, why in mistakes if math.isclose(got, value, rel_tol=tolerance)), "")


def alike(got: Tensor, want: Tensor) -> bool:
    """Return whether two tensors have the same shape, and agree up to float32's rounding."""
    return got.shape == want.shape and torch.allclose(got.double(), want.double(), 1e-4, 1e-5)


def compare_number(got: Any, want: float | int, where: str, because: str = "") -> None:
    """Compare a result with the right number; `because` is shown in brackets if it is wrong.

    Where the right number is an int, a float of the same value is wrong: `nn.Conv2d` and
    `nn.Linear` refuse it as a setting.
    """
    _compare_value(got, want, where, because)
    _require_int(got, want, where)


def _compare_value(got: Any, want: float | int, where: str, because: str = "") -> None:
    read = number(got, where)
    if not same(read, want):
        raise Wrong(
            f"{where} your result is {shown(read)}, it should be {shown(want)}"
            f"{in_brackets(because)}"
        )


def _require_int(got: Any, want: float | int, where: str) -> None:
    if isinstance(want, int) and isinstance(number(got), float):
        raise Wrong(
            f"{where} your result is {shown(want)}, but as a float: return an int, because layers "
            "take no float as a setting (/ always returns a float, // of two ints an int)"
        )


@dataclass(frozen=True)
class Case:
    """Arguments, the edge case that they test (`what`), and the reason for the right value."""

    arguments: tuple[Any, ...]
    what: str = ""
    because: str = ""


def compare_numbers(
    answer: Answer,
    cases: Iterable[Case],
    reference: Callable[..., float | int],
    described: str,
) -> None:
    """Call the answer for every case and compare its result with that of `reference`.

    `described` has the arguments in words: 'size {}, kernel {}'.
    """
    results = []
    for case in cases:
        where = f"for {described.format(*case.arguments)}"
        if case.what:
            where = f"{case.what}: {where}"
        results.append((answer(*case.arguments, where=where), reference(*case.arguments), where))
        _compare_value(*results[-1], case.because)
    for result in results:  # a wrong number is said first
        _require_int(*result)


def compare_tensors(got: Any, want: Tensor, where: str, because: str = "") -> None:
    """Compare a result with the right tensor up to float32's rounding; name what differs first."""
    read = tensor(got, where, tuple(want.shape))
    want = want.double()
    far = ~torch.isclose(read, want, rtol=1e-4, atol=1e-5)
    if bool(far.any()):
        place = tuple(int(i) for i in far.nonzero()[0])
        named = f"the number at {list(place)}"
        if len(place) == 2:
            named = f"row {place[0]}, column {place[1]}"
        raise Wrong(
            f"{where}: {named} is {shown(float(read[place]))}, "
            f"it should be {shown(float(want[place]))}{in_brackets(because)}"
        )
