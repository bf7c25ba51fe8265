"""The sensitivity of each layer: the accuracy when it alone is cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from course_utils.compress.criteria import Importance
from course_utils.compress.masks import require_share
from course_utils.compress.pruning import NothingToRemove, plan_widths, prepared
from course_utils.compress.recalibration import recalibrate
from course_utils.conv import narrow
from course_utils.core import CourseError, whole_number
from course_utils.data import Dataset
from course_utils.metrics import Interval, evaluate, wilson_interval

if TYPE_CHECKING:
    import pandas

SHARES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Cut:
    """The accuracy of a network in which one group of coupled layers is cut.

    Attributes:
        layer: The first layer of the group.
        layers: All convolutions of the group.
        share: Of its channels that was asked for.
        channels: That are left.
        correct, total: Right answers, and pictures.
    """

    layer: str
    layers: tuple[str, ...]
    share: float
    channels: int
    correct: int
    total: int

    @property
    def accuracy(self) -> float:
        """Share of right answers, in [0, 1]."""
        return self.correct / self.total

    @property
    def interval(self) -> Interval:
        """Wilson's interval of the accuracy, 95 %."""
        return wilson_interval(self.correct, self.total)


@dataclass(frozen=True)
class Sensitivity:
    """The accuracy of a network when each layer alone is cut.

    Attributes:
        accuracy: Of the whole network, on the same pictures.
        cuts: In the order of the layers, the smallest share first.
    """

    accuracy: float
    cuts: tuple[Cut, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """The first layer of each group, in order."""
        return tuple(dict.fromkeys(cut.layer for cut in self.cuts))

    def of(self, layer: str) -> tuple[Cut, ...]:
        """Return the cuts of a group, by its first layer."""
        return tuple(cut for cut in self.cuts if cut.layer == layer)

    def as_frame(self) -> pandas.DataFrame:
        """Return a table: a row for each group, the accuracy for each share, in per cent."""
        import pandas

        rows = {
            layer: {f"{cut.share:.0%}": round(100 * cut.accuracy, 1) for cut in self.of(layer)}
            for layer in self.layers
        }
        return pandas.DataFrame.from_dict(rows, orient="index")


def sensitivity(
    model: nn.Module,
    data: Dataset,
    *,
    shares: Sequence[float] = SHARES,
    part: str = "validation",
    pictures: int = 500,
    importance: Importance = "l1",
    divisible_by: int = 1,
    floor: int = 1,
    seed: int = 0,
    recalibrate_on: int = 0,
) -> Sensitivity:
    """Measure the accuracy when each group of coupled layers alone loses a share of its channels.

    Nothing is trained. The network does not change.

    Args:
        shares: Of the channels, each between 0 and 1.
        part: Of `data`: "validation", or "train". The test pictures are for the end.
        pictures: How many of them, the same number of each class; fewer if there are not so many.
        importance, divisible_by, floor, seed: As for `prune`.
        recalibrate_on: How many training pictures `recalibrate` sees after each cut. With 0,
            BatchNorm keeps the statistics of the whole network, which are wrong after the cut.

    Raises:
        CourseError: If a share is not between 0 and 1, there are no pictures, or as `prune` and
            `recalibrate`.
    """
    shares = sorted(require_share(share) for share in shares)
    if not shares:
        raise CourseError("shares is empty: give some, such as (0.25, 0.5, 0.75).")
    if part not in ("validation", "train"):
        raise CourseError(f"part={part!r}: give 'validation' or 'train'.")
    model, example, groups, known = prepared(model, None, data, importance, seed)
    few = getattr(data, part)
    if not len(few):
        raise CourseError(f"{data.title} has no {part} pictures to measure on.")
    few = few.few(min(whole_number("pictures", pictures, 1), len(few)), seed=seed)
    scale = {"mean": data.mean, "std": data.std}
    count = min(whole_number("recalibrate_on", recalibrate_on, 0), len(data.train))
    seen = data.normalise(data.train.few(count, seed=seed).images) if count else None

    def cuts() -> Iterator[Cut]:
        for group in groups:
            for share in shares:
                settings = {"divisible_by": divisible_by, "floor": floor}
                try:
                    widths = plan_widths(groups, {group.name: share}, **settings)
                except NothingToRemove:
                    continue
                cut, untouched = narrow(model, widths, importance=known, example_input=example)
                if not untouched:
                    cut = cut if seen is None else recalibrate(cut, seen)
                    result = evaluate(cut, few, **scale)
                    counts = result.correct, result.total
                    yield Cut(group.name, group.layers, share, widths[group.name], *counts)

    return Sensitivity(evaluate(model, few, **scale).accuracy, tuple(cuts()))
