"""Results of long experiments: stored in readable files, and made again by one command.

An experiment of minutes is not run in a notebook's cell. A command runs it once and writes
`assets/results/<name>.json`, with that command in it; the notebook shows the file. The file has no
date, no times and no path, its records are sorted and its numbers rounded: so a second run changes
as little as possible.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_utils.core import CourseError, atomic_write, file_exists

if TYPE_CHECKING:
    import pandas

Value = str | bool | int | float | None
Record = dict[str, Value]

FOLDER = Path(__file__).parents[1] / "assets" / "results"
DIGITS = 6
"""Significant digits of each stored number."""

_NAME = re.compile(r"[a-z0-9_]+")


@dataclass(frozen=True)
class Results:
    """The stored results of an experiment.

    Attributes:
        name: as in `load_results`.
        command: makes the file again, run in the repository's root.
        records: one dict for each run, all with the same keys, sorted by their values.
        made_with: name -> version, of Python, torch and other packages that the experiment names.
        settings: values that all runs share, such as the number of epochs.
    """

    name: str
    command: str
    records: tuple[Record, ...]
    made_with: dict[str, str]
    settings: Record = field(default_factory=dict)

    def frame(self) -> pandas.DataFrame:
        """Return a table with one row for each record; numbers that were not finite are NaN."""
        import pandas as pd

        return pd.DataFrame(list(self.records))


def command_of(file: str) -> str:
    """Return the command that runs an experiment, from the `__file__` of its module."""
    return f"python -m {__package__}.{Path(file).stem}"


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
        name: of the file, without its ending; lower-case letters, digits and _ only.
        records: dicts with the same keys. A value is a string, a bool, a number (of NumPy, or a
            tensor of one element, too) or None. A number that is not finite becomes None.
        command: runs the experiment in the repository's root, see `command_of`.
        settings: values that all runs share, of the same types.
        made_with: further versions by name; those of Python and torch are added.
        folder: of the file; another one in tests.

    Returns:
        The file's path.

    Raises:
        CourseError: the name has other letters, there is no record, the records' keys differ, a
            value has another type, or the file cannot be written.
    """
    path = _path(name, folder)
    if not records:
        raise CourseError("There is nothing to save: an experiment has at least one record.")
    first = list(records[0])
    for number, record in enumerate(records, 1):
        if set(record) != set(first):
            raise CourseError(
                f"Record {number} has the keys {', '.join(map(str, record))}, the first one has "
                f"{', '.join(map(str, first))}: all records need the same keys."
            )
    # Workers may finish in any order; the file is the same.
    rows = sorted(({key: _plain(r[key], key) for key in first} for r in records), key=_order)
    versions = {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "torch": version("torch").partition("+")[0],
        **(made_with or {}),
    }
    content = {
        "command": command,
        "made_with": dict(sorted(versions.items())),
        "settings": {key: _plain(value, key) for key, value in (settings or {}).items()},
        "columns": first,
    }
    # One line for each record: a change in one run is a change in one line.
    head = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).removesuffix("\n}")
    values = (list(row.values()) for row in rows)  # the keys are in "columns"
    lines = ",\n".join(f"  {json.dumps(v, ensure_ascii=False, allow_nan=False)}" for v in values)
    with atomic_write(path) as file:
        file.write(f'{head},\n "records": [\n{lines}\n ]\n}}\n'.encode())
    return path


def load_results(name: str, *, folder: str | os.PathLike[str] = FOLDER) -> Results:
    """Read what `save_results` wrote.

    Raises:
        CourseError: there are no results of this name, or the file is damaged.
    """
    path = _path(name, folder)
    if not file_exists(path, CourseError):
        there = sorted(one.stem for one in path.parent.glob("*.json"))
        known = f"there are: {', '.join(there)}" if there else "there are none at all"
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
    except (KeyError, IndexError, TypeError, ValueError, OSError):
        sound = False
    if not sound:
        raise CourseError(
            f"{path} is damaged or not a file of results: install the course again, or run the "
            "command that its notebook names."
        )
    return results


def _path(name: str, folder: str | os.PathLike[str]) -> Path:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise CourseError(
            f"{name!r} cannot be a name of results: use lower-case letters, digits and _, such as "
            '"learning_rate".'
        )
    return Path(folder) / f"{name}.json"


def _plain(value: Any, key: str) -> Value:
    if hasattr(value, "item") and math.prod(getattr(value, "shape", (0,))) == 1:
        value = value.item()  # of NumPy and torch
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    raise CourseError(
        f"{key!r} is of the type {type(value).__name__}; a record has strings, numbers, bools and "
        "None."
    )


def _order(record: Record) -> tuple[tuple[int, Value, str], ...]:
    """Return a key for sorting by columns: None first, then bools, numbers and strings.

    1 and 1.0 are equal but written differently, so the type comes into the key as well.
    """
    kinds = {type(None): 0, bool: 1, str: 3}
    return tuple(
        (kinds.get(type(v), 2), 0 if v is None else v, type(v).__name__) for v in record.values()
    )


def _is_flat(record: Any) -> bool:
    return isinstance(record, dict) and all(isinstance(v, Value) for v in record.values())
