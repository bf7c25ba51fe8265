"""The classes that a network sees in one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from course_utils.core import (
    CourseError,
    device_of,
    evaluation_mode,
    reason_of,
    shape_text,
    whole_number,
)
from course_utils.metrics.evaluate import check_logits

if TYPE_CHECKING:
    from course_utils.models import Card


class ClassProbability(NamedTuple):
    """A class, its probability in [0, 1], and its position among the network's scores."""

    name: str
    probability: float
    index: int


def top_classes(
    model: nn.Module, picture: Tensor, card: Card, *, count: int = 5, size: int | None = None
) -> list[ClassProbability]:
    """Return the most probable classes of a picture, the most probable first.

    The network runs in eval mode and without gradients; it does not change.

    Args:
        model: Returns logits (N, classes); such as `load_pretrained("efficientnet_lite0")`, or an
            edited copy of it.
        picture: (C, height, width), uint8 or floats from 0 to 1; such as `load_photograph()`.
        card: Of the network, from `pretrained_card`: it prepares the picture and names the classes.
        count: Number of classes; all, if the network has fewer.
        size: Side of the picture that the network is shown, in pixels; None for the card's size.
            A smaller one is faster.

    Raises:
        CourseError: If it is not such a picture, or the network does not take it, or does not
            return one finite score for each class.

    >>> from course_utils.data import load_photograph
    >>> from course_utils.models import load_pretrained, pretrained_card
    >>> model = load_pretrained("efficientnet_lite0")
    >>> top_classes(model, load_photograph(), pretrained_card("efficientnet_lite0"))[0].name
    'Egyptian cat'
    """
    whole_number("count", count, 1)
    if isinstance(picture, Tensor) and picture.dim() != 3:
        raise CourseError(
            f"Show one picture (C, height, width) at a time, not a tensor of shape "
            f"{tuple(picture.shape)}."
        )
    batch = card.preprocess(picture, size)[None].to(device_of(model))
    with evaluation_mode(model), torch.no_grad():
        try:
            logits = model(batch)
        except CourseError:
            raise
        except (RuntimeError, ValueError, TypeError, AssertionError) as error:
            raise CourseError(
                f"The network does not take a picture of {shape_text(batch.shape[1:])} "
                f"({reason_of(error)}): use its own card, and the card's size={card.size}."
            ) from error
    check_logits(logits, 1, len(card.classes))
    if not logits.isfinite().all():
        raise CourseError("The network's scores are not finite: look for NaN in its weights.")
    values, indices = logits[0].float().softmax(0).topk(min(count, len(card.classes)))
    found = zip(values.tolist(), indices.tolist(), strict=True)
    return [ClassProbability(card.classes[i], probability, i) for probability, i in found]
