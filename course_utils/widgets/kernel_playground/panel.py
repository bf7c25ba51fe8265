"""The kernel playground: a photograph, a kernel to choose or to write, and the result."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_utils.conv import PRESETS, filter_image, is_signed
from course_utils.core import CourseError, decimal_text, number_text
from course_utils.data import PHOTOGRAPHS, load_photograph
from course_utils.plots import canvas
from course_utils.widgets.kernel_playground.kernel_grid import SIZES, KernelGrid
from course_utils.widgets.panel import Panel, choice, float_slider, int_slider

OWN = "your own numbers"
_SIDE, _KERNEL = 256, 176  # pixels: the photograph's longer side, the kernel's picture
_EDGE, _GAP, _TOP = 8, 16, 26
_WIDTH, _HEIGHT = 2 * _EDGE + 2 * _SIDE + 2 * _GAP + _KERNEL, _TOP + _SIDE + 22
_BRIGHTNESS = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True)
class Filtered:
    """A picture filtered by a kernel.

    Attributes:
        picture: brightness, float32 (H, W), 0 to 255.
        kernel: (k, k).
        result: the cross-correlation of both, float32 (H, W).
        text: what the kernel does, in a sentence; "" for the reader's own.
        credit: author of the picture.
    """

    picture: Tensor
    kernel: Tensor
    result: Tensor
    text: str
    credit: str = ""

    @property
    def signed(self) -> bool:
        """True if 0 is the middle of the result's scale."""
        return is_signed(self.kernel)


def meaning_of_sum(kernel: Tensor) -> str:
    """Say what the sum of a kernel's numbers means for an even area of a picture."""
    total = kernel.sum().item()
    if is_signed(kernel):
        return "the numbers sum to 0: an even area becomes 0, only changes are visible"
    if abs(total - 1) < 1e-4:
        return "the numbers sum to 1: an even area keeps its brightness"
    if total < 0:
        return f"the numbers sum to {decimal_text(total)}, below 0: what is bright becomes dark"
    brighter = f"an even area becomes {total:.3g} times as bright"
    return f"the numbers sum to {decimal_text(total)}: {brighter}"


def draw(filtered: Filtered) -> bytes:
    """Draw picture, kernel and result side by side, as a PNG."""
    sheet = canvas.Canvas(_WIDTH, _HEIGHT)
    height, width = filtered.picture.shape
    sheet.text(f"photograph {height} × {width}", _EDGE, 4)
    sheet.paste(canvas.grey_indices(filtered.picture.numpy(), 0, 255), _EDGE, _TOP)
    sheet.text(filtered.credit, _EDGE, _TOP + height + 4, 11)

    left = _EDGE + _SIDE + _GAP
    size = len(filtered.kernel)
    sheet.text(f"kernel {size} × {size}", left, 4)
    _draw_kernel(sheet, filtered.kernel, left)

    left += _KERNEL + _GAP
    sheet.text("result", left, 4)
    result = filtered.result.numpy()
    if filtered.signed:
        limit = _full_colour(result)
        sheet.paste(canvas.signed_indices(result, limit), left, _TOP)
        legend = f"blue below 0, red above; full from ±{limit:.3g}"
    else:
        sheet.paste(canvas.grey_indices(result, 0, 255), left, _TOP)
        legend = "black 0 or less, white 255 or more"
    sheet.text(legend, left, _TOP + height + 4, 11)
    return sheet.to_png()


def _full_colour(result: np.ndarray) -> float:
    """Return the magnitude that one number in a hundred exceeds, for the full colour.

    With the largest magnitude all others would be pale. A ninth of the pixels is enough.
    """
    return float(np.percentile(np.abs(result[::3, ::3]), 99)) or float(np.abs(result).max())


def _draw_kernel(sheet: canvas.Canvas, kernel: Tensor, left: int) -> None:
    size = len(kernel)
    grounds = canvas.signed_indices(kernel.numpy())
    cell = _KERNEL // size
    rows = kernel.tolist() if size <= max(SIZES) else []
    texts = [[number_text(value).replace("−", "–") for value in row] for row in rows]
    sheet.table(grounds, texts, left, _TOP, (cell, cell), 13 if size <= 3 else 11)
    y = _TOP + size * cell + 10
    sheet.text(f"sum {decimal_text(kernel.sum().item())}", left, y, 12)
    sheet.text(f"largest {decimal_text(kernel.max().item())}", left, y + 17, 12)


def _parameters_of(preset: str) -> tuple[str, ...]:
    """Return the arguments of a preset that have a slider."""
    return tuple(name for name in _SLIDERS if name in _arguments_of(preset))


@functools.cache
def _arguments_of(preset: str) -> Mapping[str, inspect.Parameter]:
    return {} if preset == OWN else inspect.signature(PRESETS[preset].make).parameters


_SLIDERS = ("size", "sigma", "amount", "theta", "wavelength")


class KernelPlayground(Panel):
    """A kernel on a photograph: choose a kernel, change its numbers, see the result.

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
        self._photograph = _brightness(photograph)
        self._grid = KernelGrid(PRESETS["identity"]().tolist(), guard=self._shown)
        self._following = False
        controls = {
            "preset": choice("preset", [*PRESETS, OWN], "Sobel x"),
            "size": int_slider("size", 5, 3, 15, 2),
            "sigma": float_slider("sigma (pixels)", 1.0, 0.3, 4.0, 0.1, ".1f"),
            "amount": float_slider("amount", 1.0, 0.0, 4.0, 0.1, ".1f"),
            "theta": int_slider("theta (degrees)", 0, 0, 175, 5),
            "wavelength": float_slider("wavelength", 4.0, 2.0, 12.0, 0.5, ".1f"),
            "kernel": self._grid,
        }
        self._adapt_to(self._grid, self._write_own)
        self._adapt_to(controls["preset"], self._take_defaults)
        super().__init__(controls, title="Kernel playground", width=_WIDTH, initial=settings)

    def compute(self, *, preset: str, kernel: Any, **parameters: float) -> Filtered:
        if preset == OWN:
            numbers, text = torch.tensor(kernel, dtype=torch.float32), ""
        else:
            chosen = {name: parameters[name] for name in _parameters_of(preset)}
            if "theta" in chosen:
                chosen["theta"] = math.radians(chosen["theta"])
            numbers, text = PRESETS[preset](**chosen), PRESETS[preset].description
        result = filter_image(self._photograph, numbers)
        return Filtered(self._photograph, numbers, result, text, self._credit)

    def adjust(self, result: Filtered) -> None:
        """Show the sliders that this preset has, and its numbers in the fields."""
        preset = self.controls["preset"].value
        for name in _SLIDERS:
            used = name in _parameters_of(preset)
            self.controls[name].layout.display = None if used else "none"
        small = len(result.kernel) in SIZES
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
        arguments = _arguments_of(preset)
        for name in _parameters_of(preset):
            default = arguments[name].default
            self.controls[name].value = math.degrees(default) if name == "theta" else default

    def _write_own(self, _kernel: Any) -> None:
        if not self._following:
            self.controls["preset"].value = OWN

    def picture(self, result: Filtered) -> bytes:
        return draw(result)

    def describe(self, result: Filtered) -> str:
        size = len(result.kernel)
        low, high = (decimal_text(end.item(), 0) for end in result.result.aminmax())
        preset = self.controls["preset"].value
        return (
            f"{preset}, {size} × {size}. {result.text + ' ' if result.text else ''}"
            f"Here {meaning_of_sum(result.kernel)}. Result from {low} to {high}."
        )

    def code(self, result: Filtered) -> str:
        preset = self.controls["preset"].value
        if preset == OWN:
            rows = [[float(f"{value:.4g}") for value in row] for row in result.kernel.tolist()]
            return f"filter_image(photograph, torch.tensor({rows}))"
        values = {name: f"{self.controls[name].value:g}" for name in _parameters_of(preset)}
        if "theta" in values:
            values["theta"] = f"math.radians({values['theta']})"
        arguments = ", ".join(f"{name}={value}" for name, value in values.items())
        return f'filter_image(photograph, PRESETS["{preset}"]({arguments}))'


def _brightness(photograph: Any) -> Tensor:
    """Return a picture's brightness, float32 (H, W), 0 to 255, at most 256 pixels each way."""
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
    if len(picture) == 3:
        picture = (picture * torch.tensor(_BRIGHTNESS)[:, None, None]).sum(0, keepdim=True)
    longer = max(picture.shape[1:])
    if longer > _SIDE:
        size = [max(8, round(n * _SIDE / longer)) for n in picture.shape[1:]]
        picture = torch.nn.functional.interpolate(picture[None], size, mode="area")[0]
    return picture[0].contiguous()


def kernel_playground(photograph: Any = None, **settings: Any) -> KernelPlayground:
    """Open the kernel playground; the arguments are those of `KernelPlayground`."""
    return KernelPlayground(photograph, **settings)
