"""The convolution stepper: a small image, a kernel, one window at a time, every number shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import torch
from torch import Tensor

from course_utils.conv import (
    ImpossibleSetting,
    SlidingSteps,
    box_blur,
    laplacian,
    nearest_settings,
    sharpen,
    sobel,
    window_rules,
)
from course_utils.core import CourseError, decimal_text, product_text, sum_text
from course_utils.data import load_dataset
from course_utils.widgets.convolution_stepper import picture as stepper_picture
from course_utils.widgets.convolution_stepper.picture import View
from course_utils.widgets.panel import Panel, choice, int_slider

LARGEST_PICTURE, LARGEST_KERNEL = 8, 5  # more numbers cannot be seen at a glance
_TERMS_IN_WORDS = 9


def _tshirt() -> Tensor:
    """Return the first T-shirt of Fashion-MNIST's test set, 4 × 4 pixels averaged, 0 to 9."""
    test = load_dataset("fashion-mnist").test
    picture = test.images[int((test.labels == 0).nonzero()[0])].float()
    return (torch.nn.functional.avg_pool2d(picture, 4)[0] * 9 / 255).round()


def _digits(*rows: str) -> Tensor:
    return torch.tensor([[float(digit) for digit in row] for row in rows])


_SEVEN = "0000000", "0555550", "0000050", "0000500", "0005000", "0005000", "0000000"
IMAGES: dict[str, Callable[[], Tensor]] = {
    "a seven": lambda: _digits(*_SEVEN),
    "T-shirt (Fashion-MNIST)": _tshirt,
    "upright edge": lambda: _digits(*["1115555"] * 7),
    "diagonal": lambda: 5 * torch.eye(7),
    "impulse": lambda: _digits(*["0000000"] * 3, "0001000", *["0000000"] * 3),
}
KERNELS: dict[str, Callable[[], Tensor]] = {
    "1 to 9": lambda: torch.arange(1.0, 10).reshape(3, 3),
    "upright edge (Sobel x)": lambda: sobel("x"),
    "level edge (Sobel y)": lambda: sobel("y"),
    "mean (box blur)": box_blur,
    "sharpen": sharpen,
    "spot (Laplacian)": laplacian,
    "2 × 2 diagonal": lambda: torch.tensor([[1.0, 0], [0, -1]]),
    "1 × 1 double": lambda: torch.tensor([[2.0]]),
    "5 × 5 arrow": lambda: _digits("00100", "01000", "12223", "01000", "00100"),
}


def view(
    image: Tensor, kernel: Tensor, position: int, stride: int, padding: int, dilation: int
) -> View:
    """Return what the stepper shows; a `position` beyond the last window is the last window.

    Raises:
        ImpossibleSetting: no window fits; its `nearest` keeps the kernel.
    """
    window = {"stride": stride, "padding": padding, "dilation": dilation}
    try:
        steps = SlidingSteps(image, kernel, **window)
    except ImpossibleSetting as error:
        settings = {"kernel_size": tuple(kernel.shape), **window}
        sizes = tuple(image.shape)
        nearest = nearest_settings(lambda s: window_rules(sizes, s), settings, ("kernel_size",))
        raise ImpossibleSetting(error.sentence, error.formula, error.filled, nearest) from None
    turned = SlidingSteps(image, kernel, **window, mode="convolution")
    return View(steps, turned, min(max(position, 0), len(steps) - 1))


class ConvolutionStepper(Panel):
    """A window that slides over a small image, with its products and their sum in numbers.

    Args:
        image: your own image, (H, W), at most 8 × 8; anything that `torch.as_tensor` takes.
        kernel: your own kernel, (k_h, k_w), at most 5 × 5.
        settings: first values of the controls, e.g. `padding=1`.

    Raises:
        CourseError: an image or a kernel that is not a table or too large, or an unknown control.
    """

    def __init__(self, image: Any = None, kernel: Any = None, **settings: Any):
        self._images, self._kernels = dict(IMAGES), dict(KERNELS)
        if image is not None:
            own_image = _table("image", image, LARGEST_PICTURE)
            self._images = {"your image": lambda: own_image, **IMAGES}
        if kernel is not None:
            own_kernel = _table("kernel", kernel, LARGEST_KERNEL)
            self._kernels = {"your kernel": lambda: own_kernel, **KERNELS}
        self._loaded: dict[str, Tensor] = {}
        controls = {
            "image": choice("image", list(self._images)),
            "kernel": choice("kernel", list(self._kernels)),
            "stride": int_slider("stride", 1, 1, 3),
            "padding": int_slider("padding", 0, 0, 2),
            "dilation": int_slider("dilation", 1, 1, 3),
            "position": int_slider("position", 0, 0, 24),
        }
        self.play = widgets.Play(min=0, max=24, interval=700, show_repeat=False)
        widgets.link((self.play, "value"), (controls["position"], "value"))
        title = "Convolution, one window at a time"
        width = stepper_picture.WIDTH
        super().__init__(controls, title=title, width=width, extra=(self.play,), initial=settings)

    def compute(self, *, image: str, kernel: str, **settings: int) -> View:
        if image not in self._loaded:
            self._loaded[image] = self._images[image]()
        return view(self._loaded[image], self._kernels[kernel](), **settings)

    def adjust(self, result: View) -> None:
        last = len(result.correlation) - 1
        for control in (self.controls["position"], self.play):
            control.min, control.max = 0, last

    def picture(self, result: View) -> bytes:
        return stepper_picture.draw(result)

    def describe(self, result: View) -> str:
        step, flipped = result.step, result.flipped
        terms = list(
            map(product_text, step.patch.flatten().tolist(), step.kernel.flatten().tolist())
        )
        rest = len(terms) - _TERMS_IN_WORDS
        more = f" + … ({rest} more)" if rest > 0 else ""
        rows, columns = result.correlation.output.shape
        last = len(result.correlation) - 1
        return (
            f"window {result.position} of 0…{last} (row {step.row}, column {step.col}): "
            f"kernel as it lies: {sum_text(terms[:_TERMS_IN_WORDS])}{more} "
            f"= {decimal_text(step.sum)}; "
            f"kernel turned by 180°: {decimal_text(flipped.sum)}; "
            f"output {rows} × {columns}"
        )

    def code(self, result: View) -> str:
        """Return the sum of one window in code, as a learner would write it with loops."""
        steps, step = result.correlation, result.step
        pad = self.settings["padding"]
        name = f"torch.nn.functional.pad(image, ({pad},) * 4)" if pad else "image"
        places = []
        for at, spacing in zip((step.rows, step.cols), steps.dilation, strict=True):
            by = f":{spacing}" if spacing > 1 else ""
            places.append(f"{at[0]}:{at[-1] + 1}{by}")
        return f"({name}[{', '.join(places)}] * kernel).sum()  # {step.sum:g}"


def _table(name: str, values: Any, largest: int) -> Tensor:
    try:
        table = torch.as_tensor(values).detach().float()
    except (TypeError, ValueError, RuntimeError) as error:
        raise CourseError(f"The {name} must be a table of numbers (H, W): {error}") from error
    if table.ndim != 2 or not table.numel() or max(table.shape) > largest:
        shape = " × ".join(map(str, table.shape)) or "a single number"
        raise CourseError(
            f"The stepper takes a {name} of at most {largest} × {largest} numbers, not {shape}."
        )
    if not table.isfinite().all():
        raise CourseError(f"The {name} has numbers that are inf or nan.")
    return table


def convolution_stepper(
    image: Any = None, kernel: Any = None, **settings: Any
) -> ConvolutionStepper:
    """Open the convolution stepper; the arguments are those of `ConvolutionStepper`."""
    return ConvolutionStepper(image, kernel, **settings)
