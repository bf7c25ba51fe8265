"""Train a network of the course by its recipe, and describe the result for its file."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from course_utils.core import private_random_numbers
from course_utils.data import Dataset
from course_utils.metrics import evaluate
from course_utils.training import Precision, fit


def train_by_recipe(kind: type[nn.Module], data: Dataset, recipe: dict[str, Any]) -> dict[str, Any]:
    """Train a new network and return the content of its file, for `save_pretrained`.

    It uses plain float32 and one thread: with more threads the order of the sums, and so the last
    digits, depend on the number of cores.

    Args:
        kind: Class of the network; it takes `in_channels`, `classes` and `image_size`.
        recipe: Arguments of `fit`; its seed also draws the first weights.
    """
    channels, *size = data.image_shape
    arguments = {"in_channels": channels, "classes": len(data.classes), "image_size": tuple(size)}
    with private_random_numbers():
        torch.manual_seed(recipe["seed"])
        model = kind(**arguments)
    fit(model, data, **recipe, device="cpu", precision=Precision(threads=1))
    result = evaluate(model, data.test, mean=data.mean, std=data.std)
    return {
        "model": model.state_dict(),
        "arguments": arguments,
        "data": data.name,
        "classes": list(data.classes),
        "mean": data.mean,
        "std": data.std,
        "correct": result.correct,
        "total": result.total,
        "recipe": recipe_as_text(recipe),
    }


def recipe_as_text(recipe: dict[str, Any]) -> dict[str, str]:
    """Return the arguments of a recipe as text, as a card has them."""
    return {key: _as_text(value) for key, value in recipe.items()}


def result_in_words(content: dict[str, Any]) -> str:
    """Return how many test pictures the network of a file classifies correctly."""
    share = content["correct"] / content["total"]
    return f"{share:.1%} of {content['total']:,} test pictures"


def _as_text(value: object) -> str:
    if isinstance(value, partial):
        arguments = ", ".join(f"{key}={v!r}" for key, v in value.keywords.items())
        return f"{value.func.__name__}({arguments})"
    return value.__name__ if isinstance(value, type) else repr(value)
