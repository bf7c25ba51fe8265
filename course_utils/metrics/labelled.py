"""Check labels, predictions and scores before anything is computed from them.

Lists, arrays and tensors on any device are taken; all results are arrays of NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from course_utils.core import CourseError


def class_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of at least two classes as a tuple.

    Raises:
        CourseError: If they are not such names, or a name stands there twice.
    """
    if isinstance(classes, (str, bytes)) or not isinstance(classes, Sequence):
        raise CourseError(
            f"classes={classes!r}: give the names of all classes, such as data.classes."
        )
    names = tuple(map(str, classes))
    if len(set(names)) < max(2, len(names)):
        raise CourseError(
            f"classes has {len(names)} names, {len(set(names))} of them different: give at least "
            "2 names, each once."
        )
    return names


def class_numbers(values: Any, classes: int | None, what: str = "labels") -> np.ndarray:
    """Return the number of a class for each picture, int64 (N,).

    Args:
        classes: Number of classes; None if it is not known.

    Raises:
        CourseError: If they have another shape, are not whole numbers, or not from 0 to
            `classes` - 1 (or from 0 up).
    """
    found = as_numbers(values, what)
    if found.ndim == 2 and (classes is None or found.shape[1] == classes):
        raise CourseError(
            f"{what} are of shape {found.shape}, a score for each class, but one class for each "
            "picture is needed: scores.argmax(1) returns it."
        )
    if found.ndim != 1 or not len(found):
        raise CourseError(
            f"{what} are of shape {found.shape}: give one class for each picture, shape (N,), with "
            "at least one picture."
        )
    if found.dtype.kind not in "iu":
        until = "up" if classes is None else f"to {classes - 1}"
        raise CourseError(f"{what} are {found.dtype}: give whole numbers from 0 {until}.")
    low, high = int(found.min()), int(found.max())
    if classes is None and low < 0:
        raise CourseError(f"{what} begin at {low}: classes are counted from 0.")
    if classes is not None and (low < 0 or high >= classes):
        raise CourseError(
            f"{what} run from {low} to {high}, but there are {classes} classes, 0 to {classes - 1}."
        )
    return found.astype(np.int64)


def labels_and_predictions(
    labels: Any, predictions: Any, classes: int | None, what: str = "predictions"
) -> tuple[np.ndarray, np.ndarray]:
    """Return both as int64 (N,).

    Raises:
        CourseError: As for `class_numbers`, or if they have different lengths.
    """
    true = class_numbers(labels, classes)
    predicted = class_numbers(predictions, classes, what)
    if len(true) != len(predicted):
        raise CourseError(
            f"There are {len(true)} labels, but {len(predicted)} {what}: give one for each picture "
            "of the whole set, in the same order."
        )
    return true, predicted


def labels_and_scores(labels: Any, scores: Any, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels as int64 (N,) and scores as float64 (N, classes).

    Raises:
        CourseError: If the labels are not as for `class_numbers`, or the scores have another shape
            or are not finite.
    """
    true, found = class_numbers(labels, classes), as_numbers(scores, "scores")
    if found.shape != (len(true), classes):
        raise CourseError(
            f"scores are of shape {found.shape}, but {len(true)} labels and {classes} classes need "
            f"({len(true)}, {classes}): a score for each picture and each class."
        )
    found = found.astype(np.float64)
    if bad := int((~np.isfinite(found)).any(1).sum()):
        raise CourseError(
            f"The scores of {bad} of {len(found)} pictures are not finite: look for NaN in the "
            "network's weights or pictures."
        )
    return true, found


def labels_and_probabilities(
    labels: Any, probabilities: Any, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels as int64 (N,) and probabilities as float64 (N, classes).

    Raises:
        CourseError: As for `labels_and_scores`, or if a row is not from 0 to 1 with the sum 1.
    """
    true, found = labels_and_scores(labels, probabilities, classes)
    # Probabilities of half precision add up to 1 within a few thousandths.
    if found.min() < 0 or np.abs(found.sum(1) - 1).max() > 0.01:
        raise CourseError(
            f"The scores run from {found.min():.3g} to {found.max():.3g}, but probabilities from 0 "
            "to 1 with the sum 1 for each picture are needed: logits.softmax(1) returns them."
        )
    return true, found


def check_every_class(labels: np.ndarray, classes: Sequence[str], what: str) -> None:
    """Raise a `CourseError` if a class has no picture, so that `what` is not defined for it."""
    missing = [name for k, name in enumerate(classes) if not (labels == k).any()]
    if len(missing) == len(classes) - 1:
        only = classes[int(labels[0])]
        raise CourseError(
            f"All {len(labels)} pictures are of the class {only!r}, so {what} is not defined: give "
            "pictures of every class; few(...) of a set takes the same number of each."
        )
    if missing:
        names = ", ".join(map(repr, missing[:5])) + ", …" * (len(missing) > 5)
        raise CourseError(
            f"There is no picture of {names} among {len(labels)}, so {what} is not defined: give "
            "pictures of every class; few(...) of a set takes the same number of each."
        )


def as_numbers(values: Any, what: str) -> np.ndarray:
    """Return an array of real numbers.

    Raises:
        CourseError: If `values` is not one.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.double() if values.is_floating_point() else values).numpy()
    try:
        found = np.asarray(values)
    except ValueError:  # rows of different lengths
        found = np.array(None)
    if found.dtype.kind not in "biuf":
        raise CourseError(
            f"{what} are not numbers ({type(values).__name__}): give a tensor, an array or a list "
            "of numbers."
        )
    return found
