"""A classifier of a few pictures, what it was right about, and what it says of a new picture."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.core import CourseError
from course_utils.data import ImageSet, read_pictures
from course_utils.metrics import Interval, wilson_interval
from course_utils.training import cross_validated, linear_head

FOLDS = 4
"""Parts of the cross-validation; fewer if a class has fewer pictures."""


@dataclass(frozen=True, eq=False)
class Classifier:
    """A linear layer on features, and what it was right about.

    Attributes:
        name: Where its pictures are from.
        pictures: Each was judged by a classifier that had not seen it.
        answers: The class of each, int64 (N,), as judged.
        head: It has learned from all pictures.
    """

    name: str
    pictures: ImageSet
    answers: Tensor
    head: nn.Linear = field(repr=False)

    @property
    def correct(self) -> int:
        """Number of right answers."""
        return int((self.answers == self.pictures.labels).sum())

    @property
    def interval(self) -> Interval:
        """Wilson's interval of the share of right answers, 95 %."""
        return wilson_interval(self.correct, len(self.pictures))

    @property
    def confusion(self) -> Tensor:
        """Number of pictures by true class (row) and answer (column), int64."""
        classes = len(self.pictures.classes)
        places = classes * self.pictures.labels + self.answers
        return torch.bincount(places, minlength=classes**2).reshape(classes, classes)

    @property
    def mistakes(self) -> list[int]:
        """Places of the pictures whose answer was wrong."""
        return (self.answers != self.pictures.labels).nonzero().flatten().tolist()


@dataclass(frozen=True, eq=False)
class Classified:
    """The panel's result: a classifier, and its answer for a new picture.

    Attributes:
        new: uint8 (3, size, size).
        new_name: Of the new picture.
        probabilities: Of all classes, the most probable first.
    """

    classifier: Classifier
    new: Tensor
    new_name: str
    probabilities: Mapping[str, float]


def classifier_of(pictures: ImageSet, found: Tensor, name: str) -> Classifier:
    """Return a classifier of pictures whose features are `found`, (N, features).

    Raises:
        CourseError: If there are fewer than two classes, or a class has fewer than two pictures.
    """
    counts = torch.bincount(pictures.labels, minlength=len(pictures.classes)).tolist()
    require_enough(dict(zip(pictures.classes, counts, strict=True)))
    answers = cross_validated(found, pictures.labels, folds=min(FOLDS, *counts))
    return Classifier(name, pictures, answers, linear_head(found, pictures.labels))


def classified(classifier: Classifier, new: Tensor, found: Tensor, name: str) -> Classified:
    """Return what the panel shows of a new picture with the features `found`, (1, features)."""
    with torch.no_grad():
        shares = classifier.head(found)[0].softmax(0)
    order = shares.argsort(descending=True).tolist()
    named = {classifier.pictures.classes[k]: shares[k].item() for k in order}
    return Classified(classifier, new, name, named)


def require_enough(counts: Mapping[str, int]) -> None:
    """Raise a CourseError unless there are two classes or more, each with two pictures or more."""
    if len(counts) < 2:
        found = f"only one class, {next(iter(counts))}" if counts else "no picture of yours yet"
        raise CourseError(
            f"There is {found}: give pictures of at least two classes, each under its name, or a "
            "folder with a sub-folder for each class."
        )
    for name, count in counts.items():
        if count < 2:
            raise CourseError(
                f"{name} has {count or 'no'} picture{'s' * (count != 1)}, but each class needs at "
                "least two: one to learn from while the other one is judged."
            )


def opened(files: Iterable[Mapping[str, Any]]) -> list[io.BytesIO]:
    """Return uploaded files, the value of a `FileUpload`, as files to read from."""
    found = []
    for one in files:
        file = io.BytesIO(bytes(one["content"]))
        file.name = str(one["name"])  # an error names it
        found.append(file)
    return found


class Collection:
    """Pictures that the reader gave so far, class by class.

    Args:
        size: Side of the pictures in pixels.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._pictures: dict[str, Tensor] = {}

    @property
    def counts(self) -> dict[str, int]:
        """Class -> number of its pictures."""
        return {name: len(pictures) for name, pictures in self._pictures.items()}

    def add(self, name: str, sources: Sequence[Any]) -> None:
        """Add pictures to a class; of files that cannot all be read, none is added.

        Raises:
            CourseError: If the class has no name, or a file cannot be read.
        """
        name = " ".join(name.split())
        if not name:
            raise CourseError(
                "These pictures have no class yet: write the name of their class first, such as "
                "cat, and then add them again."
            )
        new = read_pictures(sources, size=self._size)
        old = self._pictures.get(name)
        self._pictures[name] = new if old is None else torch.cat([old, new])

    def as_set(self) -> ImageSet:
        """Return all pictures.

        Raises:
            CourseError: If there are fewer than two classes, or a class has only one picture.
        """
        require_enough(self.counts)
        labels = [torch.full((n,), k) for k, n in enumerate(self.counts.values())]
        images = torch.cat(list(self._pictures.values()))
        return ImageSet(images, torch.cat(labels), tuple(self._pictures))
