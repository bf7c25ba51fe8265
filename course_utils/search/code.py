"""A candidate as plain Python: the edits, the weights to begin with, and the training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from course_utils.search.candidate import AUGMENTATIONS, Settings
from course_utils.training import SCHEDULES, optimizer_code


def code_of(
    params: Mapping[str, Any],
    epochs: int,
    image_shape: tuple[int, ...],
    weights: str,
    seed: int,
) -> str:
    """Python that turns `model` into a candidate and trains it on `data`; both exist already.

    It does what the search did, to the same numbers where the precision is the same.
    """
    settings = Settings.of(params)
    t = settings.training
    optimizer = optimizer_code(
        t["optimizer"], prefix="torch.optim.", weight_decay=t["weight_decay"]
    )
    used = ["from functools import partial", "", "import torch", ""]
    if t["augment"] != "none":
        used.append("from course_utils.data import Augment")
    names = [*(["deepen"] if _deeper(settings) else []), *(["edit_conv"] if settings.edits else [])]
    if names:
        used.append(f"from course_utils.conv import {', '.join(names)}")
    used.append("from course_utils.training import Schedule")
    refresh = "draw_again" if weights == "fresh" else "tell_copies_apart"
    used.append(f"from course_utils.search import {refresh}")
    used.append("from course_utils.training import fit")
    shape = ", ".join(map(str, (2, *image_shape)))
    if not names:  # the given network stays as it is
        used = ["import copy", *used]
    lines = [
        *used,
        "",
        "original = model" if names else "original, model = model, copy.deepcopy(model)",
    ]
    if settings.edits:
        lines.append(f"example_input = torch.zeros({shape})  # only its shape counts")
    for layer, changes in settings.edits.items():
        arguments = ", ".join(f"{name}={value!r}" for name, value in changes.items())
        lines.append(
            f'model = edit_conv(model, "{layer}", example_input=example_input, {arguments})'
        )
    lines += [
        f'model = deepen(model, "{layer}", {depth})' for layer, depth in _deeper(settings).items()
    ]
    lines += [f"torch.manual_seed({seed})"]
    lines += [
        f"{refresh}(model)" if weights == "fresh" else f"{refresh}(original, model)",
        "",
        "history = fit(",
        "    model,",
        "    data,",
        f"    epochs={epochs},",
        f"    batch_size={t['batch_size']},",
        f"    optimizer={optimizer},",
        f"    learning_rate={t['learning_rate']!r},",
        f"    scheduler={SCHEDULES[t['schedule']].code},",
        f"    label_smoothing={t['label_smoothing']!r},",
        f"    augment={AUGMENTATIONS[t['augment']]!r},",
        f"    seed={seed},",
        ")",
    ]
    return "\n".join(lines) + "\n"


def _deeper(settings: Settings) -> dict[str, int]:
    return {layer: depth for layer, depth in settings.depths.items() if depth > 1}
