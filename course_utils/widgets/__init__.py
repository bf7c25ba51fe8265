"""The live panels, one module each; a panel's module is imported when the panel is asked for."""

from __future__ import annotations

import importlib
from typing import Any

# A module must not be called as its panel is: importing it would put it in the panel's place.
_MODULES = {
    "conv2d_lab": "lab",
    "convolution_stepper": "stepper",
    "kernel_playground": "playground",
    "training_panel": "training",
    "initialisation_panel": "initialisation",
    "regularisation_panel": "regularisation",
    "schedule_panel": "schedule",
    "one_click_lab": "one_click",
    "improve_panel": "improve",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
