"""The training panel's controls, made from arguments of `fit`, and the arguments made from them.

The panel offers a few optimizers and schedules by name; one that the reader passes to the panel is
called "yours" in the lists.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets
from torch import optim
from torch.optim import lr_scheduler

from course_utils.core import CourseError
from course_utils.data import Augment
from course_utils.training import OPTIMIZERS, one_cycle, optimizer_code
from course_utils.widgets.controls import steps_slider
from course_utils.widgets.panel import choice, float_slider, int_slider, toggle

OFFERED_OPTIMIZERS = {
    "Adam": "Adam",
    "AdamW": "AdamW",
    "SGD": "SGD",
    "SGD with momentum": "SGD + Nesterov momentum",
    "RMSprop": "RMSprop",
}
"""Name in the panel's list -> name in `OPTIMIZERS`."""

OFFERED_SHAPES = ("constant", "cosine", "one cycle")
"""Names of `SHAPES` that the panel offers. Their peak is the slider's value. They end where torch's
own schedulers end by default; those of `SCHEDULES` end at a hundredth of the peak."""

_DIGITS, _POWERS = (1, 2, 3, 5), range(-5, 0)
LEARNING_RATES = (*(float(f"{d}e{power}") for power in _POWERS for d in _DIGITS), 1.0)
"""The slider's values; neighbours differ by about the same factor."""

YOURS = "yours"
_BATCHES = (16, 32, 64, 128, 256, 512)
_PASSED_BY_THE_PANEL = ("on_step", "on_epoch", "stop", "progress", "checkpoint", "resume")


def build_controls(
    arguments: Mapping[str, Any],
) -> tuple[dict[str, widgets.Widget], dict[str, Any], dict[str, Any]]:
    """Build the controls for what a reader may change, from arguments of `fit`.

    Returns:
        The controls; their first values that come from `arguments`; and the `arguments` without a
        control, which go to `fit` unchanged.

    Raises:
        CourseError: an argument that the panel itself passes to `fit`, or a ready optimizer or
            schedule, which works for one training only.
    """
    _refuse(arguments)
    rest = dict(arguments)
    initial = {
        name: rest.pop(name)
        for name in ("epochs", "batch_size", "learning_rate", "label_smoothing")
        if rest.get(name) is not None
    }
    initial["optimizer"] = _take_optimizer(rest)
    if "optimizer" in rest:
        own_rate = getattr(rest["optimizer"], "keywords", {}).get("lr")
        if own_rate is not None:
            initial.setdefault("learning_rate", own_rate)
        if "learning_rate" not in initial:
            rest["learning_rate"] = None  # it has its own, which the slider must not replace
    initial["schedule"] = _take_schedule(rest)
    initial["augment"] = rest.get("augment") is not None
    rates = sorted({*LEARNING_RATES, initial.get("learning_rate", 1e-3)})
    batches = sorted({*_BATCHES, initial.get("batch_size", 64)})
    optimizers = [*OFFERED_OPTIMIZERS, *[YOURS] * ("optimizer" in rest)]
    schedules = [*OFFERED_SHAPES, *[YOURS] * ("scheduler" in rest)]
    controls = {
        "epochs": int_slider("epochs", 8, 1, 30),
        "learning_rate": steps_slider("learning_rate", rates, 1e-3),
        "batch_size": steps_slider("batch_size", batches, 64),
        "optimizer": choice("optimizer", optimizers, "AdamW"),
        "schedule": choice("schedule", schedules, "constant"),
        "label_smoothing": float_slider("smoothing", 0.0, 0.0, 0.4, 0.05),
        "augment": toggle("augmentation", False),
    }
    return controls, initial, rest


def _refuse(arguments: Mapping[str, Any]) -> None:
    for name in _PASSED_BY_THE_PANEL:
        if name in arguments:
            raise CourseError(f"The panel itself passes {name}= to fit: leave it out.")
    for name, kind in (("optimizer", optim.Optimizer), ("scheduler", lr_scheduler.LRScheduler)):
        if isinstance(arguments.get(name), kind):
            what = f"a function that makes the {name}, not a ready {name}"
            raise CourseError(f"Pass {what}: after Reset the panel needs a new one.")


def _take_optimizer(rest: dict[str, Any]) -> str:
    """Return the optimizer's name in the panel's list; only the reader's own stays in `rest`."""
    optimizer = rest.get("optimizer") or optim.AdamW
    if not isinstance(optimizer, str):
        known = [name for name, key in OFFERED_OPTIMIZERS.items() if OPTIMIZERS[key] is optimizer]
        if not known:
            return YOURS
        optimizer = known[0]
    rest.pop("optimizer", None)
    return optimizer


def _take_schedule(rest: dict[str, Any]) -> str:
    """Return the schedule's name in the panel's list; only the reader's own stays in `rest`."""
    scheduler = rest.get("scheduler") or "constant"
    if not isinstance(scheduler, str):
        return YOURS
    rest.pop("scheduler", None)
    return scheduler


def fit_arguments(settings: Mapping[str, Any], rest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `fit` for values of the controls and `build_controls`' `rest`."""
    same = ("epochs", "batch_size", "label_smoothing", "learning_rate")
    arguments = dict(rest) | {name: settings[name] for name in same}
    if settings["optimizer"] == YOURS:
        arguments["learning_rate"] = rest.get("learning_rate", settings["learning_rate"])
    else:
        arguments["optimizer"] = OPTIMIZERS[OFFERED_OPTIMIZERS[settings["optimizer"]]]
    if settings["schedule"] != YOURS:
        arguments["scheduler"] = _schedule(settings["schedule"], settings["learning_rate"])
        arguments["scheduler_every"] = "step"
    arguments["augment"] = _augment(rest) if settings["augment"] else None
    return arguments


def code_for(settings: Mapping[str, Any], rest: Mapping[str, Any]) -> str:
    """Return the call of `fit` that does what the panel does."""
    name, rate = settings["optimizer"], f"{settings['learning_rate']:.3g}"
    optimizer = optimizer_code(OFFERED_OPTIMIZERS[name]) if name != YOURS else "..."
    parts = [f"epochs={settings['epochs']}", f"batch_size={settings['batch_size']}"]
    parts += [f"optimizer={optimizer}", f"learning_rate={rate}"]
    code = {
        "constant": "",
        "cosine": "lambda o, n: CosineAnnealingLR(o, n)",
        "one cycle": f"lambda o, n: OneCycleLR(o, {rate}, n, pct_start=0.25)",
        YOURS: "...",
    }[settings["schedule"]]
    if code:
        parts.append(f"scheduler={code}")
    if settings["label_smoothing"]:
        parts.append(f"label_smoothing={settings['label_smoothing']:g}")
    if settings["augment"]:
        parts.append(f"augment={_augment_code(_augment(rest))}")
    parts += [
        f"{key}={value!r}" if isinstance(value, (int, float, str)) else f"{key}=..."
        for key, value in rest.items()
        if key not in ("optimizer", "learning_rate", "scheduler", "scheduler_every", "augment")
    ]
    return f"fit(model, data, {', '.join(parts)})"


def _augment(rest: Mapping[str, Any]) -> Augment:
    return rest.get("augment") or Augment(pad_crop=2, flip=True)


def _augment_code(augment: Any) -> str:
    if not isinstance(augment, Augment):
        return "..."
    values = {field.name: getattr(augment, field.name) for field in dataclasses.fields(augment)}
    return f"Augment({', '.join(f'{name}={value}' for name, value in values.items() if value)})"


def _schedule(name: str, learning_rate: float) -> Any:
    if name == "cosine":
        return lr_scheduler.CosineAnnealingLR
    if name == "one cycle":
        return functools.partial(one_cycle, peak=learning_rate)
    return None
