"""Whether a model and a data set go together, said in the reader's words before training starts."""

from __future__ import annotations

import re

import torch
from torch import nn

from course_utils.core import CourseError, evaluation_mode
from course_utils.data import Dataset
from course_utils.metrics.evaluate import check_logits


def check_model_fits(model: nn.Module, data: Dataset, device: torch.device | str = "cpu") -> None:
    """Show two pictures to `model`, in eval mode, and see whether one score per class comes back.

    Raises:
        CourseError: If there is no training picture, or channels, picture size or number of classes
            are others than the model was built for.
    """
    if not len(data.train):
        raise CourseError(f"{data.title} has no training picture: there is nothing to learn from.")
    images = data.normalise(data.train.images[:2].to(device))
    with evaluation_mode(model), torch.no_grad():
        try:
            logits = model(images)
        except CourseError:
            raise
        except (RuntimeError, ValueError, TypeError) as error:
            raise CourseError(_in_words(str(error), data)) from error
    check_logits(logits, len(images), len(data.classes))


def _in_words(message: str, data: Dataset) -> str:
    channels, height, width = data.image_shape
    pictures = f"the pictures of {data.title} ({channels}×{height}×{width})"
    wrong = re.search(r"to have (\d+) channels?, but got (\d+) channels?", message)
    if wrong:
        expected, given = map(int, wrong.groups())
        if given == channels:
            return (
                f"The model's first convolution takes {expected} channels, but {pictures} have "
                f"{channels}: build the model with in_channels={channels}."
            )
        return (
            f"A convolution of the model takes {expected} channels, but the layer before it gives "
            f"{given}: make its in_channels {given}."
        )
    wrong = re.search(
        r"mat1 and mat2 shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x", message
    )
    if wrong:
        _, given, expected = map(int, wrong.groups())
        return (
            f"A linear layer of the model takes {expected} numbers, but with {pictures} it is "
            f"given {given}: build the model for this picture size, or set the layer's in_features "
            f"to {given}."
        )
    if re.search(r"[Kk]ernel size can't be greater|[Oo]utput size is too small", message):
        return (
            f"{pictures[0].upper()}{pictures[1:]} are too small for this model: one of its layers "
            "has nothing left to look at. Use fewer poolings or strides, or more padding."
        )
    first = message.strip().splitlines()[0] if message.strip() else "no message"
    return f"The model cannot take {pictures}: {first}"
