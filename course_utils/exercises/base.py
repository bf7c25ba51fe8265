"""Exercises, and the functions that a notebook calls: check, hint, solution.

An exercise is a worked solution: a function with the decorator `exercise`. Everything else comes
from it. The unsolved cell (`stub`) is its signature and docstring with the body `...`, the task is
the first line of the docstring, and the printed solution is its source. So they always agree.

The exercises of chapter 02_1 are in the module `ch02_1`, imported when the first of them is asked
for: the first cell of every notebook imports `check`, so that must be cheap.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import importlib
import inspect
import io
import os
import textwrap
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from course_utils.core import CourseError
from course_utils.exercises.answers import Answer, Unsolved, Wrong, error_sentence, is_missing

# One module each: ch00.py, ch01.py, ...
CHAPTERS = (
    *("00", "01", "02_1", "02_2", "02_3", "03_1", "03_2", "03_3"),
    *("04_1", "04_2", "04_3", "05_1", "05_2", "05_3"),
)

Check = Callable[[Any], str]
Worked = Callable[..., Any]


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        name: chapter and title, "02_1.output_size".
        worked: the worked solution. If the answer is a value (a dict, a kernel), this function
            takes no arguments and returns the value.
        check: takes the reader's `Answer` (or value). Raises `Wrong` or `Unsolved`, or returns one
            sentence that the reader sees when the exercise is solved.
        hints: from gentle to explicit.
        is_value: True if the answer is a value, False if it is a function.
    """

    name: str
    worked: Worked
    check: Check
    hints: tuple[str, ...]
    is_value: bool = False

    @property
    def variable(self) -> str:
        """Name of the answer in the notebook."""
        return self.worked.__name__

    @property
    def task(self) -> str:
        """The task in one line."""
        return (inspect.getdoc(self.worked) or "").splitlines()[0]

    @property
    def solution(self) -> str:
        """Source of the worked solution, ready to paste into a cell."""
        source, function = self._source()
        if not self.is_value:
            return source
        last = textwrap.dedent("\n".join(source.splitlines()[function.body[-1].lineno - 1 :]))
        return f"{self.variable} = {last.removeprefix('return ')}\n"

    @property
    def stub(self) -> str:
        """Text of the unsolved cell: signature, docstring and the body `...`."""
        if self.is_value:
            comment = textwrap.indent(inspect.getdoc(self.worked), "# ", lambda line: True)
            lines = "\n".join(line.rstrip() for line in comment.splitlines())
            return f"{lines}\n{self.variable} = ...\n"
        source, function = self._source()
        head = source.splitlines()[: function.body[0].end_lineno]
        return "\n".join([*head, "    ..."]) + "\n"

    @property
    def cell(self) -> str:
        """The stub, and below it the line that checks it."""
        gap = "\n" if self.is_value else "\n\n"
        return f'{self.stub}{gap}check("{self.name}", {self.variable})\n'

    def _source(self) -> tuple[str, ast.FunctionDef]:
        """Return the function's source without its decorators, and its syntax tree."""
        source = textwrap.dedent(inspect.getsource(self.worked))
        # `lineno` is the line of `def`, after the decorators.
        start = ast.parse(source).body[0].lineno - 1
        source = "\n".join(source.splitlines()[start:]) + "\n"
        return source, ast.parse(source).body[0]


_OFF = "The worked solutions are switched off here (COURSE_SOLUTIONS): ask your teacher."

_exercises: dict[str, Exercise] = {}
_hints_given: dict[str, int] = {}


def exercise(
    name: str, *, check: Check, hints: tuple[str, ...], is_value: bool = False
) -> Callable[[Worked], Worked]:
    """Register the decorated function as the worked solution of the exercise `name`.

    Raises:
        ValueError: the name is taken by another function.
    """

    def register(worked: Worked) -> Worked:
        other = _exercises.get(name)
        if other is not None and other.worked.__qualname__ != worked.__qualname__:
            raise ValueError(f"two exercises are named {name}")
        _exercises[name] = Exercise(name, worked, check, tuple(hints), is_value)
        return worked

    return register


def names(chapter: str = "") -> list[str]:
    """Return the names of all exercises, or of one chapter: `names("02_1")`."""
    found = []
    for each in [chapter] if chapter else CHAPTERS:
        _import(each)
        found += [name for name in _exercises if name.startswith(f"{each}.")]
    return found


def find(name: str) -> Exercise:
    """Return the exercise `name`.

    Raises:
        CourseError: there is no such exercise; the text offers close names.
    """
    if not isinstance(name, str):
        raise CourseError(
            f"The exercise's name comes first, as text: "
            f'"{names()[0]}". Got an object of type {type(name).__name__}.'
        )
    _import(name.partition(".")[0])
    if name in _exercises:
        return _exercises[name]
    known = names()
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    # A reader may leave out the chapter ("output_size").
    by_title = {each.partition(".")[2]: each for each in known}
    for title in difflib.get_close_matches(name.rpartition(".")[2], by_title, n=3, cutoff=0.6):
        if by_title[title] not in close:
            close.append(by_title[title])
    offer = f"close names: {', '.join(close)}" if close else f"there are: {', '.join(known)}"
    raise CourseError(f"There is no exercise called {name!r}; {offer}.")


def _import(chapter: str) -> None:
    """Import the module of a chapter, which registers its exercises."""
    if chapter in CHAPTERS:
        importlib.import_module(f"course_utils.exercises.ch{chapter}")


def check(name: str, answer: Any) -> None:
    """Check an answer and print one line: solved, not solved yet, or what is wrong.

    An error in the answer (a function or a value) is not raised but printed as part of that line.
    What the answer itself prints is not shown.

    Raises:
        CourseError: there is no such exercise.
    """
    print(verdict(find(name), answer))


def hint(name: str) -> None:
    """Print the next hint; after the last one, say so and start again.

    Raises:
        CourseError: there is no such exercise.
    """
    hints = find(name).hints
    given = _hints_given.get(name, 0)
    _hints_given[name] = (given + 1) % (len(hints) + 1)
    if given == len(hints):
        more = f'solution("{name}") prints a worked solution.' if _solutions_are_on() else _OFF
        print(f"That was the last hint. {more}")
    else:
        print(f"Hint {given + 1} of {len(hints)}: {hints[given]}")


def solution(name: str) -> None:
    """Print the source of the worked solution, unless `COURSE_SOLUTIONS=off` switches them off.

    Raises:
        CourseError: there is no such exercise.
    """
    found = find(name)
    print(found.solution if _solutions_are_on() else f"{_OFF}\n", end="")


def _solutions_are_on() -> bool:
    """Return whether the environment lets solutions be seen; a class may begin without them.

    The package is open to be read, so this keeps nobody from looking who wants to.
    """
    return os.environ.get("COURSE_SOLUTIONS", "").strip().lower() not in ("off", "0", "no", "false")


def verdict(exercise: Exercise, answer: Any) -> str:
    """Return the line that `check` prints."""
    try:
        if is_missing(answer):
            raise Unsolved(f"{exercise.variable} is still `{'...' if answer is ... else 'None'}`")
        with _isolated():
            said = exercise.check(
                answer if exercise.is_value else Answer(answer, exercise.variable)
            )
    except Unsolved as unsolved:
        return f'… not solved yet: {unsolved}. Stuck? hint("{exercise.name}")'
    except Wrong as wrong:
        return f"✘ {wrong}"
    except KeyboardInterrupt:  # the Stop button
        raise
    except BaseException as error:
        return f"✘ this answer cannot be checked: {error_sentence(error)}"
    return f"✔ solved: {exercise.name}. {said}".rstrip()


@contextlib.contextmanager
def _isolated() -> Iterator[None]:
    """Isolate a check from the notebook, and the notebook from the check.

    Prints and warnings of the answer are hidden, because it is called many times, on numbers that
    the reader did not choose. The seed, gradient mode, default type and device are put back.
    """
    grad, dtype = torch.is_grad_enabled(), torch.get_default_dtype()
    hidden = io.StringIO()
    try:
        with (
            contextlib.redirect_stdout(hidden),
            contextlib.redirect_stderr(hidden),
            warnings.catch_warnings(),
            torch.random.fork_rng(devices=[]),
            torch.device("cpu"),
        ):
            warnings.simplefilter("ignore")
            torch.default_generator.manual_seed(0)  # torch.manual_seed would also reseed GPUs
            torch.set_grad_enabled(True)
            torch.set_default_dtype(torch.float32)
            yield
    finally:
        torch.set_grad_enabled(grad)
        torch.set_default_dtype(dtype)
