"""What an exercise is, and the functions that a notebook calls: check, hint, solution.

An exercise is its worked solution, a function with the decorator `exercise`. Everything else comes
from it: the unsolved cell (`stub`) is its signature and docstring with the body `...`, the task is
the first line of the docstring, the solution that is printed is its source. So they cannot drift
apart.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import inspect
import io
import textwrap
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from course_utils.core import CourseError
from course_utils.exercises.answers import Answer, Unsolved, Wrong, error_sentence

Check = Callable[[Any], str]


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        name: chapter and title, "02_1.output_size".
        worked: the solution, a real function. Where a value is asked for (a dict, a kernel) it
            takes no arguments and returns that value.
        check: gets the reader's `Answer` (or value); raises `Wrong` or `Unsolved`, or returns one
            sentence that the reader sees when it is solved.
        hints: from gentle to explicit.
        is_value: whether a value is asked for, not a function.
    """

    name: str
    worked: Callable[..., Any]
    check: Check
    hints: tuple[str, ...]
    is_value: bool = False

    @property
    def variable(self) -> str:
        """The name that the answer has in the notebook."""
        return self.worked.__name__

    @property
    def task(self) -> str:
        """The task in one line."""
        return (inspect.getdoc(self.worked) or "").splitlines()[0]

    @property
    def solution(self) -> str:
        """Source of the worked solution, ready to be pasted into a cell."""
        source, function = self._source()
        if not self.is_value:
            return source
        value = function.body[-1].value
        return f"{self.variable} = {_segment(source, value)}\n"

    @property
    def stub(self) -> str:
        """Text of the notebook's unsolved cell: signature, docstring and the body `...`."""
        if self.is_value:
            comment = textwrap.indent(inspect.getdoc(self.worked), "# ", lambda line: True)
            lines = "\n".join(line.rstrip() for line in comment.splitlines())
            return f"{lines}\n{self.variable} = ...\n"
        source, function = self._source()
        head = source.splitlines()[: function.body[0].end_lineno]
        return "\n".join([*head, "    ..."]) + "\n"

    @property
    def cell(self) -> str:
        """The stub and, below it, the line that checks it."""
        gap = "\n" if self.is_value else "\n\n"
        return f'{self.stub}{gap}check("{self.name}", {self.variable})\n'

    def _source(self) -> tuple[str, ast.FunctionDef]:
        """The function's source without its decorators, and its syntax tree."""
        source = textwrap.dedent(inspect.getsource(self.worked))
        # A node's `lineno` is the line of `def`: the decorators stand before it.
        start = ast.parse(source).body[0].lineno - 1
        source = "\n".join(source.splitlines()[start:]) + "\n"
        return source, ast.parse(source).body[0]


def _segment(source: str, node: ast.AST) -> str:
    """The text of `node`, its first line at the margin and the others moved left as far."""
    first, *others = ast.get_source_segment(source, node).splitlines()
    return "\n".join([first, *textwrap.dedent("\n".join(others)).splitlines()])


_exercises: dict[str, Exercise] = {}
_hints_given: dict[str, int] = {}


def exercise(
    name: str, *, check: Check, hints: tuple[str, ...], is_value: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function as the worked solution of the exercise `name`.

    Raises:
        ValueError: the name is taken by another function.
    """

    def register(worked: Callable[..., Any]) -> Callable[..., Any]:
        other = _exercises.get(name)
        if other is not None and other.worked.__qualname__ != worked.__qualname__:
            raise ValueError(f"two exercises are named {name}")
        _exercises[name] = Exercise(name, worked, check, tuple(hints), is_value)
        return worked

    return register


def names(chapter: str = "") -> list[str]:
    """Names of all exercises, or of one chapter: `names("02_1")`."""
    return [name for name in _exercises if name.startswith(f"{chapter}." if chapter else "")]


def find(name: str) -> Exercise:
    """The exercise called `name`.

    Raises:
        CourseError: there is none; the text offers close names.
    """
    if isinstance(name, str) and name in _exercises:
        return _exercises[name]
    if not isinstance(name, str):
        example = next(iter(_exercises), "02_1.output_size")
        raise CourseError(
            f"The exercise's name comes first, as text: "
            f'"{example}". Got an object of type {type(name).__name__}.'
        )
    close = difflib.get_close_matches(name, _exercises, n=3, cutoff=0.5)
    # Someone who leaves the chapter out ("output_size") means that part of the name.
    by_title = {known.partition(".")[2]: known for known in _exercises}
    for title in difflib.get_close_matches(name.rpartition(".")[2], by_title, n=3, cutoff=0.6):
        if by_title[title] not in close:
            close.append(by_title[title])
    offer = f"close names: {', '.join(close)}" if close else f"there are: {', '.join(_exercises)}"
    raise CourseError(f"There is no exercise called {name!r}; {offer}.")


def check(name: str, answer: Any) -> None:
    """Check an answer and print one line: solved, not solved yet, or what is wrong and where.

    Never raises because of the answer. What the answer itself prints is not shown.

    Args:
        name: the exercise, e.g. "02_1.output_size".
        answer: the function (or value) that the exercise asks for.

    Raises:
        CourseError: there is no exercise of that name.
    """
    print(verdict(find(name), answer))


def hint(name: str) -> None:
    """Print the next hint; after the last one, say so and start again.

    Raises:
        CourseError: there is no exercise of that name.
    """
    found = find(name)
    given = _hints_given.get(found.name, 0)
    if given == len(found.hints):
        _hints_given[found.name] = 0
        print(f'That was the last hint. solution("{found.name}") prints a worked solution.')
        return
    _hints_given[found.name] = given + 1
    print(f"Hint {given + 1} of {len(found.hints)}: {found.hints[given]}")


def solution(name: str) -> None:
    """Print the source of the worked solution.

    Raises:
        CourseError: there is no exercise of that name.
    """
    print(find(name).solution, end="")


def stub(name: str) -> str:
    """Text of the unsolved cell of a notebook.

    Raises:
        CourseError: there is no exercise of that name.
    """
    return find(name).stub


def cell(name: str) -> str:
    """The stub and, below it, the line that checks it: the whole cell of a notebook.

    Raises:
        CourseError: there is no exercise of that name.
    """
    return find(name).cell


def verdict(exercise: Exercise, answer: Any) -> str:
    """The line that `check` prints."""
    if answer is None or answer is Ellipsis:
        return _not_yet(
            exercise, f"{exercise.variable} is still `{'None' if answer is None else '...'}`"
        )
    try:
        with _apart():
            said = exercise.check(
                answer if exercise.is_value else Answer(answer, exercise.variable)
            )
    except Unsolved as missing:
        return _not_yet(exercise, str(missing))
    except Wrong as wrong:
        return f"✘ {wrong}"
    except KeyboardInterrupt:  # the reader's own Stop button
        raise
    except BaseException as error:
        return f"✘ this answer cannot be checked: {error_sentence(error)}"
    return f"✔ solved: {exercise.name}. {said}".rstrip()


def _not_yet(exercise: Exercise, missing: str) -> str:
    return f'… not solved yet: {missing}. Stuck? hint("{exercise.name}")'


@contextlib.contextmanager
def _apart() -> Iterator[None]:
    """Keep a check from touching the notebook, and the notebook from touching a check.

    Prints and warnings of the answer are swallowed (it is called many times, on numbers that the
    reader never chose); the seed, gradient mode, default type and device of the notebook stay.
    """
    grad, dtype = torch.is_grad_enabled(), torch.get_default_dtype()
    swallowed = io.StringIO()
    try:
        with (
            contextlib.redirect_stdout(swallowed),
            contextlib.redirect_stderr(swallowed),
            warnings.catch_warnings(),
            torch.random.fork_rng(devices=[]),
            torch.device("cpu"),
        ):
            warnings.simplefilter("ignore")
            torch.default_generator.manual_seed(0)  # torch.manual_seed would reseed GPUs, too
            torch.set_grad_enabled(True)
            torch.set_default_dtype(torch.float32)
            yield
    finally:
        torch.set_grad_enabled(grad)
        torch.set_default_dtype(dtype)
