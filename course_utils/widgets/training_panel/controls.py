"""From the training panel's controls to the arguments of `fit`, and back to code that one may copy.

The panel offers a few optimizers and schedules by name; what a reader passes to the panel besides
stands in the lists as "yours".
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
"""What the panel's list says -> name in `OPTIMIZERS`."""

OFFERED_SHAPES = ("constant", "cosine", "one cycle")
"""Names of `SHAPES` that the panel offers. The peak is the slider's value. These end where torch's
own schedulers end by default; `SCHEDULES` ends at a hundredth of the peak."""

_DIGITS, _POWERS = (1, 2, 3, 5), range(-5, 0)
LEARNING_RATES = (*(float(f"{d}e{power}") for power in _POWERS for d in _DIGITS), 1.0)
"""What the slider offers: evenly spaced for whoever thinks in factors."""

YOURS = "yours"
_BATCHES = (16, 32, 64, 128, 256, 512)
_THE_PANELS_OWN = ("on_step", "on_epoch", "stop", "progress", "checkpoint", "resume")


def build_controls(
    arguments: Mapping[str, Any],
) -> tuple[dict[str, widgets.Widget], dict[str, Any], dict[str, Any]]:
    """Controls for what a reader may change, from arguments of `fit`.

    Returns:
        The controls; the first values of some of them, from `arguments`; and those of the
        `arguments` that have no control and go to `fit` as they are.

    Raises:
        CourseError: an argument that the panel itself gives to `fit`, or a ready optimizer or
            schedule, which could serve one training only.
    """
    rest = dict(arguments)
    for name in _THE_PANELS_OWN:
        if name in rest:
            raise CourseError(f"The panel itself gives {name}= to fit: leave it out.")
    for name, kind in (("optimizer", optim.Optimizer), ("scheduler", lr_scheduler.LRScheduler)):
        if isinstance(rest.get(name), kind):
            raise CourseError(
                f"Give a function that makes the {name}, not a ready one: after Reset the panel"
                " needs another."
            )
    initial = {
        name: rest.pop(name)
        for name in ("epochs", "batch_size", "learning_rate", "label_smoothing")
        if rest.get(name) is not None
    }
    optimizers, schedules = list(OFFERED_OPTIMIZERS), list(OFFERED_SHAPES)
    optimizer = rest.get("optimizer") or optim.AdamW
    if not isinstance(optimizer, str):
        known = [name for name, key in OFFERED_OPTIMIZERS.items() if OPTIMIZERS[key] is optimizer]
        optimizer = known[0] if known else optimizer
    if isinstance(optimizer, str):
        rest.pop("optimizer", None)
        initial["optimizer"] = optimizer
    else:
        optimizers.append(YOURS)
        initial["optimizer"] = YOURS
        own = getattr(optimizer, "keywords", {}).get("lr")
        if own is not None:
            initial.setdefault("learning_rate", own)
        if "learning_rate" not in initial:
            rest["learning_rate"] = None  # it has its own, which the slider must not replace
    scheduler = rest.get("scheduler")
    if scheduler is None or isinstance(scheduler, str):
        rest.pop("scheduler", None)
        initial["schedule"] = scheduler or "constant"
    else:
        schedules.append(YOURS)
        initial["schedule"] = YOURS
    initial["augment"] = rest.get("augment") is not None
    rates = sorted({*LEARNING_RATES, initial.get("learning_rate", 1e-3)})
    batches = sorted({*_BATCHES, initial.get("batch_size", 64)})
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


def fit_arguments(settings: Mapping[str, Any], rest: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `fit` for the values of the controls; `rest` as `build_controls` gave it."""
    arguments = dict(rest)
    for name in ("epochs", "batch_size", "label_smoothing", "learning_rate"):
        arguments[name] = settings[name]
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
    """The call of `fit` that does what the panel does."""
    parts = [f"epochs={settings['epochs']}", f"batch_size={settings['batch_size']}"]
    name = settings["optimizer"]
    code = optimizer_code(OFFERED_OPTIMIZERS[name]) if name in OFFERED_OPTIMIZERS else "..."
    parts.append(f"optimizer={code}")
    parts.append(f"learning_rate={settings['learning_rate']:.3g}")
    rate = f"{settings['learning_rate']:.3g}"
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
