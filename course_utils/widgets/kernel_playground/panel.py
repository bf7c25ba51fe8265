"""The kernel playground: a photograph, a kernel to choose or to write, and the result."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_utils.conv import PRESETS, filter_image
from course_utils.core import CourseError, decimal_text
from course_utils.data import PHOTOGRAPHS, load_photograph
from course_utils.widgets import first_layer
from course_utils.widgets.kernel_playground.kernel_grid import SIZES, KernelGrid
from course_utils.widgets.kernel_playground.picture import (
    SIDE,
    WIDTH,
    Filtered,
    draw,
    meaning_of_sum,
)
from course_utils.widgets.panel import Panel, choice, float_slider, int_slider

OWN = "your own numbers"
LEARNED = f"learned by {first_layer.NAME}"
_BRIGHTNESS = (0.299, 0.587, 0.114)  # ITU-R BT.601


def _parameters_of(preset: str) -> tuple[str, ...]:
    """Return the arguments of a preset that have a slider."""
    if preset == LEARNED:
        return ("number",)
    return tuple(name for name in _SLIDERS if name in _arguments_of(preset))


@functools.cache
def _arguments_of(preset: str) -> Mapping[str, inspect.Parameter]:
    return {} if preset in (OWN, LEARNED) else inspect.signature(PRESETS[preset].make).parameters


_SLIDERS = ("size", "sigma", "amount", "theta", "wavelength", "number")


class KernelPlayground(Panel):
    """A kernel on a photograph: choose a kernel, change its numbers, see the result.

    The kernels that EfficientNet-Lite0 has learned take the photograph in its colours, all others
    its brightness.

    Args:
        photograph: your own picture: (H, W), (C, H, W) or (H, W, C) with one or three channels,
            uint8 or floats from 0 to 1; shown with at most 256 × 256 pixels. Default: the cat
            Chelsea (CC0).
        settings: first values of the controls, e.g. `preset="Sobel x"` or
            `kernel=[[0, 1, 0], [1, -4, 1], [0, 1, 0]]`.

    Raises:
        CourseError: not a photograph, or an unknown control or preset.
    """

    set_first = ("kernel", "preset")  # the kernel may be refused, the preset moves the sliders

    def __init__(self, photograph: Any = None, **settings: Any):
        self._credit = ""
        if photograph is None:
            photograph, self._credit = load_photograph("cat"), PHOTOGRAPHS["cat"]
        self._colours = _colours(photograph)
        self._photograph = _brightness(self._colours)
        self._grid = KernelGrid(PRESETS["identity"]().tolist(), guard=self._shown)
        self._following = False
        learned = [LEARNED] if first_layer.is_offered() else []
        controls = {
            "preset": choice("preset", [*PRESETS, *learned, OWN], "Sobel x"),
            "size": int_slider("size", 5, 3, 15, 2),
            "sigma": float_slider("sigma (pixels)", 1.0, 0.3, 4.0, 0.1, ".1f"),
            "amount": float_slider("amount", 1.0, 0.0, 4.0, 0.1, ".1f"),
            "theta": int_slider("theta (degrees)", 0, 0, 175, 5),
            "wavelength": float_slider("wavelength", 4.0, 2.0, 12.0, 0.5, ".1f"),
            "number": int_slider("kernel number", 0, 0, 31),
            "kernel": self._grid,
        }
        self._adapt_to(self._grid, self._write_own)
        self._adapt_to(controls["preset"], self._take_defaults)
        super().__init__(controls, title="Kernel playground", width=WIDTH, initial=settings)

    def compute(self, *, preset: str, kernel: Any, **parameters: float) -> Filtered:
        if preset == LEARNED:
            return self._learned(int(parameters["number"]))
        if preset == OWN:
            numbers, text = torch.tensor(kernel, dtype=torch.float32), ""
        else:
            chosen = {name: parameters[name] for name in _parameters_of(preset)}
            if "theta" in chosen:
                chosen["theta"] = math.radians(chosen["theta"])
            numbers, text = PRESETS[preset](**chosen), PRESETS[preset].description
        result = filter_image(self._photograph, numbers)
        return Filtered(self._photograph, numbers, result, text, self._credit)

    def _learned(self, number: int) -> Filtered:
        """Filter each colour with its slice of a learned kernel, and add the three up."""
        kernel = first_layer.first_layer().weight[number]
        picture = first_layer.as_it_sees(self._colours)
        parts = [filter_image(one, slice_) for one, slice_ in zip(picture, kernel, strict=True)]
        text = (
            f"Kernel {number} of the first layer has a grid for each colour; the three results"
            " are added up."
        )
        return Filtered(picture, kernel, torch.stack(parts).sum(0), text, self._credit)

    def adjust(self, result: Filtered) -> None:
        """Show the sliders that this preset has, and its numbers in the fields."""
        preset = self.controls["preset"].value
        for name in _SLIDERS:
            used = name in _parameters_of(preset)
            self.controls[name].layout.display = None if used else "none"
        small = len(result.kernel) in SIZES and not result.in_colour
        self._grid.layout.display = None if small else "none"
        if small and preset != OWN:
            self._following = True
            try:
                self._grid.value = result.kernel.tolist()
            finally:
                self._following = False

    def _set_controls(self, values: Mapping[str, Any]) -> None:
        super()._set_controls({"preset": OWN, **values} if "kernel" in values else values)

    def _take_defaults(self, preset: str) -> None:
        """Move the sliders to the default values of a newly chosen preset."""
        for name, argument in _arguments_of(preset).items():
            if name not in _SLIDERS:
                continue
            default = argument.default
            self.controls[name].value = math.degrees(default) if name == "theta" else default

    def _write_own(self, _kernel: Any) -> None:
        if not self._following:
            self.controls["preset"].value = OWN

    def picture(self, result: Filtered) -> bytes:
        return draw(result)

    def describe(self, result: Filtered) -> str:
        preset = self.controls["preset"].value
        digits = 1 if result.in_colour else 0  # the colours are normalised
        low, high = (decimal_text(end.item(), digits) for end in result.result.aminmax())
        if result.in_colour:
            shape = " × ".join(map(str, result.kernel.shape))
            return f"{preset}, {shape}. {result.text} Result from {low} to {high}."
        size = len(result.kernel)
        return (
            f"{preset}, {size} × {size}. {result.text + ' ' if result.text else ''}"
            f"Here {meaning_of_sum(result.kernel)}. Result from {low} to {high}."
        )

    def code(self, result: Filtered) -> str:
        preset = self.controls["preset"].value
        if preset == LEARNED:
            number = self.controls["number"].value
            kernel = f'load_pretrained("efficientnet_lite0").stem.conv.weight[{number}]'
            return f"sum(map(filter_image, normalised, {kernel}))"
        if preset == OWN:
            rows = [[float(f"{value:.4g}") for value in row] for row in result.kernel.tolist()]
            return f"filter_image(photograph, torch.tensor({rows}))"
        values = {name: f"{self.controls[name].value:g}" for name in _parameters_of(preset)}
        if "theta" in values:
            values["theta"] = f"math.radians({values['theta']})"
        arguments = ", ".join(f"{name}={value}" for name, value in values.items())
        return f'filter_image(photograph, PRESETS["{preset}"]({arguments}))'


def _colours(photograph: Any) -> Tensor:
    """Return a picture's colours, float32 (3, H, W), 0 to 255, at most 256 pixels each way."""
    picture = torch.as_tensor(np.asarray(photograph))
    if picture.ndim == 3 and picture.shape[0] not in (1, 3) and picture.shape[2] in (1, 3):
        picture = picture.permute(2, 0, 1)
    if picture.ndim == 2:
        picture = picture[None]
    if picture.ndim != 3 or picture.shape[0] not in (1, 3) or min(picture.shape[1:]) < 8:
        raise CourseError(
            "A photograph is a table (H, W), (C, H, W) or (H, W, C) of one or three channels and "
            f"at least 8 × 8 pixels, not {tuple(np.shape(photograph))}."
        )
    scale = 1.0 if picture.dtype == torch.uint8 else 255.0
    picture = picture.float() * scale
    if not picture.isfinite().all() or picture.min() < 0 or picture.max() > 255:
        raise CourseError("A photograph holds uint8 numbers, or floats from 0 to 1.")
    longer = max(picture.shape[1:])
    if longer > SIDE:
        size = [max(8, round(n * SIDE / longer)) for n in picture.shape[1:]]
        picture = torch.nn.functional.interpolate(picture[None], size, mode="area")[0]
    return picture.expand(3, -1, -1).contiguous()


def _brightness(colours: Tensor) -> Tensor:
    """Return the brightness of colours (3, H, W): (H, W)."""
    return (colours * torch.tensor(_BRIGHTNESS)[:, None, None]).sum(0)


def kernel_playground(photograph: Any = None, **settings: Any) -> KernelPlayground:
    """Open the kernel playground; the arguments are those of `KernelPlayground`."""
    return KernelPlayground(photograph, **settings)
