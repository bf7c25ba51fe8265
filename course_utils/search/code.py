"""A candidate as Python code: the edits, the weights to begin with, and the training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from course_utils.search.candidate import AUGMENTATIONS, Settings
from course_utils.training import SCHEDULES, optimizer_code


def candidate_code(
    params: Mapping[str, Any], epochs: int, image_shape: tuple[int, ...], weights: str, seed: int
) -> str:
    """Return code that makes a candidate from `model` and trains it on `data`; both must exist.

    It does what the search did, with the same numbers if the precision is the same.
    """
    settings = Settings.of(params)
    deeper = {layer: depth for layer, depth in settings.depths.items() if depth > 1}
    reset = "reset_weights" if weights == "fresh" else "add_noise_to_copies"
    lines = [
        *_imports(settings, deeper, reset),
        "",
        *_edits(settings, deeper, image_shape),
        f"torch.manual_seed({seed})",
        f"{reset}(model)" if weights == "fresh" else f"{reset}(original, model)",
        "",
        *_training(settings.training, epochs, seed),
    ]
    return "\n".join(lines) + "\n"


def _imports(settings: Settings, deeper: dict[str, int], reset: str) -> list[str]:
    edits = ["deepen"] * bool(deeper) + ["edit_conv"] * bool(settings.edits)
    lines = [] if edits else ["import copy"]
    lines += ["from functools import partial", "", "import torch", ""]
    if settings.training["augment"] != "none":
        lines.append("from course_utils.data import Augment")
    if edits:
        lines.append(f"from course_utils.conv import {', '.join(edits)}")
    return [
        *lines,
        f"from course_utils.search import {reset}",
        "from course_utils.training import Schedule, fit",
    ]


def _edits(
    settings: Settings, deeper: dict[str, int], image_shape: tuple[int, ...]
) -> Iterator[str]:
    if not settings.edits and not deeper:  # the training must leave the given network alone
        yield "original, model = model, copy.deepcopy(model)"
        return
    yield "original = model"
    if settings.edits:
        shape = ", ".join(map(str, (2, *image_shape)))
        yield f"example_input = torch.zeros({shape})  # only its shape counts"
    for layer, changes in settings.edits.items():
        arguments = ", ".join(f"{name}={value!r}" for name, value in changes.items())
        yield f'model = edit_conv(model, "{layer}", example_input=example_input, {arguments})'
    for layer, depth in deeper.items():
        yield f'model = deepen(model, "{layer}", {depth})'


def _training(training: Mapping[str, Any], epochs: int, seed: int) -> list[str]:
    optimizer = optimizer_code(
        training["optimizer"], prefix="torch.optim.", weight_decay=training["weight_decay"]
    )
    return [
        "history = fit(",
        "    model,",
        "    data,",
        f"    epochs={epochs},",
        f"    batch_size={training['batch_size']},",
        f"    optimizer={optimizer},",
        f"    learning_rate={training['learning_rate']!r},",
        f"    scheduler={SCHEDULES[training['schedule']].code},",
        f"    label_smoothing={training['label_smoothing']!r},",
        f"    augment={AUGMENTATIONS[training['augment']]!r},",
        f"    seed={seed},",
        ")",
    ]
