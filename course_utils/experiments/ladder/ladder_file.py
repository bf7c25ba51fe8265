"""The results of a ladder: one row for each rung and seed, with what was right, picture by picture.

>>> ladder = load_ladder("fashion_mnist_small")
>>> ladder.names[0]
'article'
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from math import nan
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from course_utils.core import CourseError
from course_utils.experiments.ladder.climb import Climbed, Machine
from course_utils.experiments.ladder.rungs import PLANS, Plan, Rung, rungs_of
from course_utils.experiments.recipes import recipe_as_text
from course_utils.experiments.results import FOLDER, Record, load_results, save_results
from course_utils.metrics import (
    Estimate,
    McNemar,
    bootstrap_interval,
    mcnemar,
    mean_interval,
    wilson_interval,
)

if TYPE_CHECKING:
    import pandas

FORMAT = 1
FILES = {"fashion_mnist_small": "ladder", "cifar10": "ladder_cifar10"}
"""Name of each ladder on the command line -> name of its results."""


def pack_right(right: Any) -> str:
    """Return, as a short text, for which pictures a network was right: bool (N,)."""
    bits = np.packbits(np.asarray(right, dtype=bool))
    return base64.b64encode(zlib.compress(bits.tobytes(), 9)).decode()


def unpack_right(text: str, total: int) -> np.ndarray:
    """Return what `pack_right` packed, bool (total,).

    Raises:
        CourseError: If it is not such a text, or not of so many pictures.
    """
    try:
        data = zlib.decompress(base64.b64decode(text, validate=True))
    except (binascii.Error, zlib.error, ValueError, TypeError) as error:
        raise CourseError("A row of the ladder's results is damaged: train it again.") from error
    if len(data) != -(-total // 8):
        raise CourseError(
            f"A row of the ladder's results has {8 * len(data)} answers for {total} pictures: "
            "train it again."
        )
    return np.unpackbits(np.frombuffer(data, np.uint8), count=total).astype(bool)


@dataclass(frozen=True)
class Row:
    """One rung with one seed. `rung` counts from 1; `right` is the text of `pack_right`."""

    rung: int
    name: str
    seed: int
    correct: int
    total: int
    parameters: int
    multiply_adds: int
    epochs: int
    best_epoch: int
    seconds: float
    right: str

    @property
    def accuracy(self) -> float:
        """Share of the test pictures that were classified correctly."""
        return self.correct / self.total

    @classmethod
    def of(cls, number: int, seed: int, found: Climbed) -> Row:
        """Return the row of a trained rung."""
        return cls(
            number,
            found.rung.name,
            seed,
            found.test.correct,
            found.test.total,
            found.parameters,
            found.multiply_adds,
            found.epochs,
            found.best_epoch,
            round(found.seconds, 1),
            pack_right(found.test.right),
        )


@dataclass(frozen=True)
class Ladder:
    """The rows of a ladder, rungs in their order, of each the seeds in theirs.

    Attributes:
        settings: What all rows share: data, recipe, device, processor and the like.
        made_with: Versions.
    """

    rows: tuple[Row, ...]
    settings: Record
    made_with: dict[str, str]

    @property
    def names(self) -> list[str]:
        """The rungs that have a row, the first one first."""
        return list(dict.fromkeys(row.name for row in self.rows))

    @property
    def seeds(self) -> list[int]:
        """All seeds."""
        return sorted({row.seed for row in self.rows})

    def of(self, name: str) -> list[Row]:
        """Return the rows of one rung.

        Raises:
            CourseError: If it has none.
        """
        found = [row for row in self.rows if row.name == name]
        if not found:
            raise CourseError(
                f"There is no result of the rung {name!r}; there are {', '.join(self.names)}."
            )
        return found

    def accuracy(self, name: str) -> Estimate:
        """Return the mean accuracy of a rung over its seeds, with a 95 % interval.

        With three or more seeds it is Student's interval of the mean: how much seeds differ. Two
        seeds say too little about that (the interval would be 12.7 standard errors to each side),
        so with one or two it says how much test sets of this size differ: with one seed it is
        Wilson's, with two that of the mean over the pictures.
        """
        rows = self.of(name)
        if len(rows) > 2:
            return mean_interval(row.accuracy for row in rows)
        if len(rows) == 2:
            return mean_interval(self.right(name).mean(axis=0))
        low, high = wilson_interval(rows[0].correct, rows[0].total)
        return Estimate(rows[0].accuracy, low, high, 0.95)

    def right(self, name: str) -> np.ndarray:
        """Return for which pictures a rung was right, bool (seeds, pictures)."""
        return np.stack([unpack_right(row.right, row.total) for row in self.of(name)])

    def chart(self) -> dict[str, tuple[Estimate, list[float]]]:
        """Return what `plots.ladder_rows` draws: the mean of each rung, and its seeds."""
        return {
            name: (self.accuracy(name), [row.accuracy for row in self.of(name)])
            for name in self.names
        }

    def gain(self, name: str, over: str) -> Estimate:
        """Return how much better a rung is than another one, with a 95 % interval.

        Both are compared on the same pictures, and a picture counts with the mean over the seeds
        that both have; the pictures are drawn again and again (paired bootstrap).
        """
        pairs = self._pairs(name, over).values()
        first, second = (
            np.mean([unpack_right(row.right, row.total) for row in rows], axis=0)
            for rows in zip(*pairs, strict=True)
        )
        return bootstrap_interval(np.mean, first - second, resamples=2000)

    def seed_gains(self, name: str, over: str) -> dict[int, float]:
        """Return, for each seed that both rungs have, how much better `name` is, in [-1, 1].

        `metrics.mean_interval` of the values says how much seeds change the gain.
        """
        pairs = self._pairs(name, over).items()
        return {seed: mine.accuracy - theirs.accuracy for seed, (mine, theirs) in pairs}

    def _pairs(self, name: str, over: str) -> dict[int, tuple[Row, Row]]:
        mine, theirs = ({row.seed: row for row in self.of(one)} for one in (name, over))
        both = sorted(mine.keys() & theirs.keys())
        if not both:
            raise CourseError(f"{name!r} and {over!r} have no seed in common.")
        return {seed: (mine[seed], theirs[seed]) for seed in both}

    def compared(self, name: str, over: str, seed: int = 0) -> McNemar:
        """Return McNemar's test of two rungs with one seed; A is `name`."""
        pair = []
        for one in (name, over):
            rows = [row for row in self.of(one) if row.seed == seed]
            if not rows:
                raise CourseError(f"The rung {one!r} has no result with seed {seed}.")
            pair.append(unpack_right(rows[0].right, rows[0].total).astype(int))
        return mcnemar(np.ones_like(pair[0]), *pair)

    def frame(self) -> pandas.DataFrame:
        """Return a table with one row for each rung; accuracies and gains in percent.

        "gain" is over the rung before, "low" and "high" the ends of its interval over pictures.
        "seed 0" and so on are the gains of single seeds; with two or more, "seeds low" and "seeds
        high" are the ends of Student's interval of their mean. "seconds" is the processor's time
        of one seed.
        """
        import pandas as pd

        found, before = [], None
        adds = {rung.name: rung.adds for plan in PLANS.values() for rung in rungs_of(plan)}
        for name in self.names:
            rows, gain, spread = self.of(name), None, (nan, nan)
            each = dict.fromkeys((row.seed for row in rows), nan)
            if before is not None:
                gain, each = self.gain(name, before), self.seed_gains(name, before)
                if len(each) > 1:
                    spread = mean_interval(each.values()).ends
            ends = (gain.middle, gain.low, gain.high) if gain else (None, None, None)
            found.append(
                {
                    "rung": name,
                    "adds": adds.get(name, ""),
                    "accuracy": 100 * fmean(row.accuracy for row in rows),
                    **{
                        key: None if value is None else 100 * value
                        for key, value in zip(("gain", "low", "high"), ends, strict=True)
                    },
                    **{f"seed {seed}": 100 * value for seed, value in each.items()},
                    **{
                        f"seeds {end}": 100 * value
                        for end, value in zip(("low", "high"), spread, strict=True)
                    },
                    "parameters": rows[0].parameters,
                    "multiply_adds": rows[0].multiply_adds,
                    "epochs": rows[0].epochs,
                    "seconds": fmean(row.seconds for row in rows),
                }
            )
            before = name
        return pd.DataFrame(found, index=range(1, len(found) + 1))


def load_ladder(data: str, *, folder: str | os.PathLike[str] = FOLDER) -> Ladder:
    """Read the results of a ladder.

    Args:
        data: "fashion_mnist_small" or "cifar10".

    Raises:
        CourseError: If there is no such ladder, its file is missing or damaged, or was written by
            another version of the course.
    """
    if data not in FILES:
        raise CourseError(f"There is no ladder of {data!r}: there are {', '.join(FILES)}.")
    results = load_results(FILES[data], folder=folder)
    made = results.settings.get("format")
    names = {one.name for one in fields(Row)}
    if made != FORMAT or any(set(record) != names for record in results.records):
        raise CourseError(
            f"The results {FILES[data]!r} are of another version of the course (format {made}, "
            f"this one reads {FORMAT}): move the file away, or give --results another folder."
        )
    rows = sorted((Row(**r) for r in results.records), key=lambda row: (row.rung, row.seed))
    return Ladder(tuple(rows), results.settings, results.made_with)


def recipe_of(rungs: Sequence[Rung]) -> str:
    """Return a short text that differs between ladders with different rungs or settings."""
    texts = [{**asdict_of(rung), "fit": recipe_as_text(dict(rung.fit))} for rung in rungs]
    return hashlib.sha256(repr(texts).encode()).hexdigest()[:12]


def asdict_of(rung: Rung) -> dict[str, Any]:
    """Return the fields of a rung that decide its numbers."""
    found = {one.name: getattr(rung, one.name) for one in fields(rung)}
    del found["adds"], found["fit"]
    return found


def settings_of(data: str, plan: Plan, machine: Machine) -> dict[str, Any]:
    """Return what all rows of a ladder share."""
    return {
        "format": FORMAT,
        "data": plan.data,
        "recipe": recipe_of(rungs_of(plan)),
        "device": machine.device,
        "processor": machine.name,
        "precision": machine.precision.name,
    }


@dataclass
class LadderFile:
    """The file of results while a ladder is trained; written after each row, all or nothing.

    Args:
        data: Name on the command line.
        settings: Of `settings_of`.
        folder: Of the file.

    Raises:
        CourseError: If the file is of another recipe, device, precision or version.
    """

    data: str
    command: str
    settings: Mapping[str, Any]
    folder: Path = FOLDER

    def __post_init__(self) -> None:
        self.done()

    @property
    def path(self) -> Path:
        """Of the file."""
        return Path(self.folder) / f"{FILES[self.data]}.json"

    def done(self) -> dict[tuple[str, int], Row]:
        """Return the rows so far, by rung and seed."""
        if not self.path.exists():
            return {}
        ladder = load_ladder(self.data, folder=self.folder)
        here = {**self.settings, "torch": _torch()}
        there = {**ladder.settings, "torch": ladder.made_with.get("torch")}
        other = [name for name in here if here[name] != there.get(name)]
        if other:
            words = "; ".join(f"{n}={there.get(n)} there, {here[n]} here" for n in other)
            raise CourseError(
                f"{self.path} is of another ladder ({words}), and rows of both must not be mixed: "
                "give --results another folder, or the same settings."
            )
        return {(row.name, row.seed): row for row in ladder.rows}

    def add(self, row: Row) -> None:
        """Write the file with one more row."""
        # Read again: another process may work on other seeds.
        rows = self.done() | {(row.name, row.seed): row}
        records = [asdict(one) for one in rows.values()]
        save_results(
            FILES[self.data],
            records,
            command=self.command,
            settings=self.settings,
            folder=self.folder,
        )


def _torch() -> str:
    return version("torch").partition("+")[0]
