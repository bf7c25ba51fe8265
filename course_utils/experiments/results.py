"""Results of long experiments: committed, readable, and made again by one command.

What takes minutes is not run in a notebook's cell. A command makes it once and leaves
`assets/results/<name>.json`, with that command in it; the notebook shows the file. Nothing in it
hangs on the machine: no date, no times, no path; records are in order and numbers rounded, so that
a second run changes as little as can be.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_utils.core import CourseError, atomic_write

if TYPE_CHECKING:
    import pandas

Value = str | bool | int | float | None
Record = dict[str, Value]

FOLDER = Path(__file__).parents[1] / "assets" / "results"
DIGITS = 6
"""Significant digits that are kept of each number."""

_NAME = re.compile(r"[a-z0-9_]+")


@dataclass(frozen=True)
class Results:
    """What an experiment left.

    Attributes:
        name: of `load_results`.
        command: makes the file again, run in the repository's root.
        records: one dict for each run, all with the same keys, in the order of their values.
        made_with: version by name, of Python, torch and what else the experiment names.
        settings: what all runs have in common, such as the number of epochs.
    """

    name: str
    command: str
    records: tuple[Record, ...]
    made_with: dict[str, str]
    settings: Record = field(default_factory=dict)

    def frame(self) -> pandas.DataFrame:
        """One row a record; what was no finite number is NaN."""
        import pandas as pd

        return pd.DataFrame(list(self.records))


def save_results(
    name: str,
    records: Sequence[Mapping[str, Any]],
    *,
    command: str,
    settings: Mapping[str, Any] | None = None,
    made_with: Mapping[str, str] | None = None,
    folder: str | os.PathLike[str] = FOLDER,
) -> Path:
    """Write the records of an experiment, replacing the file of an earlier run.

    Args:
        name: small letters, digits and _ only.
        records: flat dicts with the same keys each: texts, truth values, numbers (NumPy's and
            tensors of one element, too) or None. A number that is not finite becomes None.
        command: that made them, as it is typed in the repository's root.
        settings: what all runs have in common; a flat dict as well.
        made_with: further versions by name; Python's and torch's are added.
        folder: where to; another one in tests.

    Returns:
        The file's path.

    Raises:
        CourseError: the name is no plain one, there is no record, the records' keys differ, or a
            value is of another kind.
    """
    path = _path(name, folder)
    if not records:
        raise CourseError("There is nothing to save: an experiment leaves at least one record.")
    first = list(records[0])
    for number, record in enumerate(records, 1):
        if set(record) != set(first):
            raise CourseError(
                f"Record {number} has the keys {', '.join(map(str, record))}, the first one has "
                f"{', '.join(map(str, first))}: give all of them the same."
            )
    # Workers may finish in any order; the file must not tell.
    rows = sorted(({key: _plain(r[key], key) for key in first} for r in records), key=_order)
    content = {
        "command": command,
        "made_with": dict(sorted((_versions() | dict(made_with or {})).items())),
        "settings": {key: _plain(value, key) for key, value in (settings or {}).items()},
        "columns": first,
    }
    # One line a record: short enough to read, and a change of one run is a change of one line.
    head = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).removesuffix("\n}")
    values = (list(row.values()) for row in rows)  # the keys once, not in every line
    lines = ",\n".join(f"  {json.dumps(v, ensure_ascii=False, allow_nan=False)}" for v in values)
    with atomic_write(path) as file:
        file.write(f'{head},\n "records": [\n{lines}\n ]\n}}\n'.encode())
    return path


def load_results(name: str, *, folder: str | os.PathLike[str] = FOLDER) -> Results:
    """Read what `save_results` wrote.

    Raises:
        CourseError: there are none of this name, or the file is damaged.
    """
    path = _path(name, folder)
    if not path.is_file():
        there = sorted(one.stem for one in path.parent.glob("*.json"))
        known = f"there are: {', '.join(there)}" if there else "none are there at all"
        raise CourseError(f"There are no results called {name!r}; {known}.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        results = Results(
            name,
            content["command"],
            tuple(dict(zip(content["columns"], row, strict=True)) for row in content["records"]),
            content["made_with"],
            content["settings"],
        )
        keys = list(results.records[0])
        sound = (
            isinstance(results.command, str)
            and isinstance(results.made_with, dict)
            and _is_flat(results.settings)
            and all(_is_flat(record) and list(record) == keys for record in results.records)
        )
    except (KeyError, IndexError, TypeError, ValueError):
        sound = False
    if not sound:
        raise CourseError(
            f"{path} is damaged or no file of results: install the course again, or make it anew "
            "with the command that its notebook names."
        )
    return results


def _path(name: str, folder: str | os.PathLike[str]) -> Path:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise CourseError(
            f"{name!r} is no name of results: use small letters, digits and _, such as "
            '"learning_rate".'
        )
    return Path(folder) / f"{name}.json"


def _plain(value: Any, key: str) -> Value:
    """A value as JSON can hold it; numbers rounded."""
    if hasattr(value, "item") and math.prod(getattr(value, "shape", (0,))) == 1:
        value = value.item()  # of NumPy and torch
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    raise CourseError(
        f"{key!r} is of the type {type(value).__name__}; a record holds texts, numbers, truth "
        "values and None."
    )


def _order(record: Record) -> tuple[tuple[int, Value, str], ...]:
    """For sorting: column by column; None before truth values, numbers and texts.

    Equal values of different types, 1 and 1.0, are told apart: they are written differently.
    """
    kinds = {type(None): 0, bool: 1, str: 3}
    return tuple(
        (kinds.get(type(v), 2), 0 if v is None else v, type(v).__name__) for v in record.values()
    )


def _is_flat(record: Any) -> bool:
    return isinstance(record, dict) and all(
        value is None or isinstance(value, (str, bool, int, float)) for value in record.values()
    )


def _versions() -> dict[str, str]:
    import torch

    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, "torch": torch.__version__.partition("+")[0]}
