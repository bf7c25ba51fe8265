"""The Conv2d lab: a control for every argument of `nn.Conv2d`; each change rebuilds the layer."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from course_utils.conv import (
    INITIALISATIONS,
    PADDING_MODES,
    ConvResult,
    ConvSettings,
    build_and_run,
)
from course_utils.core import CourseError
from course_utils.plots import canvas
from course_utils.widgets import first_layer
from course_utils.widgets.panel import Panel, choice, choice_slider, int_slider, toggle

_PHOTOGRAPH = "photograph, 3 channels"
_PADDINGS = [("valid", "valid"), *((str(n), n) for n in range(11)), ("same", "same")]
# 16 maps of 28 × 28 pixels fit four times enlarged, with frames, gaps and numbers.
_WIDTH, _HEIGHT, _LEFT, _TOP, _EDGE = 684, 586, 204, 27, 8


def draw(
    result: ConvResult, colours: Callable[[Tensor], np.ndarray] = first_layer.stretched_colours
) -> bytes:
    """Draw input and kernels on the left, feature maps on the right, as a PNG.

    Kernel k makes map k: both have their number below.

    With three input channels, input and kernels are drawn in colour; `colours` makes those of the
    input.
    """
    sheet = canvas.Canvas(_WIDTH, _HEIGHT)
    column = _LEFT - 2 * _EDGE
    in_colour = len(result.input) == 3 and result.weight.shape[1] == 3
    sheet.text("input " + " × ".join(map(str, result.input.shape)), _EDGE, 4)
    if not in_colour:
        shown = canvas.grey_indices(result.input.numpy())
        sheet.paste(canvas.tile(shown, (column, column)), _EDGE, _TOP)

    # A kernel has one slice for each input channel of its group: too many to show all of them.
    slices, y = result.weight.shape[1], _TOP + column + 12
    sheet.text("kernels " + " × ".join(map(str, result.weight.shape)), _EDGE, y)
    if slices > 1:
        shown = "in colour; grey is 0" if in_colour else f"shown: the first of {slices} slices"
        sheet.text(shown, _EDGE, y + 18, 11)
    y += 39 if slices > 1 else 23
    box = column, _HEIGHT - y - 24
    places = sheet.numbered(canvas.signed_indices(result.weight[:, 0].numpy()), _EDGE, y, box)

    sheet.text("feature maps " + " × ".join(map(str, result.shape)), _LEFT, 4)
    maps = result.maps.numpy()
    room = _WIDTH - _LEFT - _EDGE, _HEIGHT - _TOP - 24
    sheet.numbered(canvas.signed_indices(maps), _LEFT, _TOP, room)
    largest = float(np.abs(maps).max(initial=0.0))
    legend = f"blue negative, white 0, red positive; largest |value| {largest:.2f}"
    sheet.text(legend, _LEFT, _HEIGHT - 20, 11)
    if not in_colour:
        return sheet.to_png()
    picture = canvas.coloured(sheet.pixels)
    picture.paste(canvas.tile_colours(colours(result.input)[None], (column, column)), (_EDGE, _TOP))
    kernels = first_layer.kernel_colours(result.weight)
    size, _ = canvas.numbered_places(len(kernels), kernels.shape[1:3], box)
    for kernel, place in zip(kernels, places, strict=True):
        picture.paste(Image.fromarray(kernel).resize(size[::-1], Image.Resampling.NEAREST), place)
    return canvas.to_png(picture)


def code_for(settings: ConvSettings) -> str:
    """Return the call that builds this layer, without default arguments."""
    channels = f"{settings.in_channels}, {settings.out_channels}"
    arguments = [channels, f"kernel_size={settings.kernel_size}"]
    parameters = inspect.signature(nn.Conv2d).parameters
    for name in ("stride", "padding", "dilation", "groups", "bias", "padding_mode"):
        value = getattr(settings, name)
        if value != parameters[name].default:
            arguments.append(f"{name}={value!r}")
    return f"nn.Conv2d({', '.join(arguments)})"


class Conv2dLab(Panel):
    """Conv2d lab: move any argument of `nn.Conv2d`; the layer, its maps and its costs follow.

    Args:
        image: tensor (C, H, W) or (H, W) to convolve. Default: the reader chooses among a
            Fashion-MNIST picture, a photograph in colour, and the 16 feature maps that the trained
            network's second layer gets from the first.
        layer: an `nn.Conv2d` whose kernels the toggle "trained kernels" shows. Default: the layer
            of the shipped network (notebook 02_2, trained by
            `python -m course_utils.experiments.first_cnn`) that takes this input, and for the
            photograph the first layer of EfficientNet-Lite0, if its weights are installed.
        index: number of the first test picture.
        show_formula: whether the line below the picture has the formula of the output's size.
        settings: first values of the controls, e.g. `kernel_size=5`.

    Raises:
        CourseError: `image` has another shape, or a name in `settings` is not a control.
    """

    set_first = ("source",)  # it moves in_channels

    def __init__(
        self,
        image: Tensor | None = None,
        *,
        layer: nn.Conv2d | None = None,
        index: int = 0,
        show_formula: bool = True,
        **settings: Any,
    ):
        self._show_formula = show_formula
        image = None if image is None else _checked(image)
        self._sources = _sources(image, layer)
        self._lite0 = layer is None and first_layer.is_offered()
        channels = 1 if image is None else len(image)
        controls = {
            "source": choice("input", list(self._sources)),
            "index": int_slider("image", index, 0, 99),
            "trained": toggle("trained kernels", False),
            "initialisation": choice("initialisation", list(INITIALISATIONS)),
            "in_channels": int_slider("in_channels", channels, 1, max(16, channels)),
            "out_channels": int_slider("out_channels", 16, 1, 32),
            "kernel_size": int_slider("kernel_size", 3, 1, 11),
            "stride": int_slider("stride", 1, 1, 6),
            "padding": choice_slider("padding", _PADDINGS, 1),
            "dilation": int_slider("dilation", 1, 1, 6),
            "groups": int_slider("groups", 1, 1, 16),
            "bias": toggle("bias", True),
            "padding_mode": choice("padding_mode", PADDING_MODES),
        }
        self._adapt_to(controls["source"], self._take_channels)
        super().__init__(controls, title="Conv2d lab", width=_WIDTH, initial=settings)

    def _take_channels(self, source: str) -> None:
        """Show a newly chosen input with all its channels."""
        image, _ = self._sources[source](0)
        self.controls["in_channels"].value = len(image)

    def compute(self, *, source: str, index: int, trained: bool, **settings: Any) -> ConvResult:
        image, layer = self._sources[source](index)
        return build_and_run(ConvSettings(**settings), image, trained=layer if trained else None)

    def picture(self, result: ConvResult) -> bytes:
        own = self.controls["source"].value == _PHOTOGRAPH
        return draw(result, first_layer.seen_colours if own else first_layer.stretched_colours)

    def describe(self, result: ConvResult) -> str:
        shape = " × ".join(map(str, result.shape))
        field = result.receptive_field.size
        by = ""
        if self.controls["source"].value == _PHOTOGRAPH and self._lite0:
            by = f" in {first_layer.NAME}"
        formula = f": {result.formula}" if self._show_formula else ""
        kept = f"; {result.trained_kernels_kept} of {len(result.weight)} kernels as trained{by}"
        return (
            f"output {shape}{formula}; {result.parameters:,} parameters; "
            f"{result.multiply_adds:,} multiply-adds; receptive field {field} × {field}"
            f"{kept if self.controls['trained'].value else ''}"
        )

    def code(self, result: ConvResult) -> str:
        others = ("source", "index", "trained")
        settings = {name: value for name, value in self.settings.items() if name not in others}
        return code_for(ConvSettings(**settings))


def _checked(image: Tensor) -> Tensor:
    image = torch.as_tensor(image).detach().float()
    image = image[None] if image.ndim == 2 else image
    if image.ndim != 3 or not image.numel():
        shape = tuple(image.shape)
        raise CourseError(f"The image must have the shape (C, H, W) or (H, W), not {shape}.")
    return image


def _sources(image: Tensor | None, layer: nn.Conv2d | None) -> dict[str, Any]:
    """Return name of an input -> function of the picture's index -> (image, its trained layer)."""
    from course_utils.models import load_pretrained

    network = load_pretrained("first_cnn")
    first, second = layer or network.conv1, network.conv2
    if image is not None:
        return {"your image": lambda index: (image, first)}

    from course_utils.data import load_dataset, load_photograph

    data = load_dataset("fashion-mnist")

    @functools.cache
    def photograph() -> Tensor:
        return first_layer.as_it_sees(load_photograph()[:, 16:240:2, 16:240:2])

    def picture(index: int) -> Tensor:
        count = len(data.test)
        if index >= count:
            raise CourseError(
                f"There are {count:,} test pictures, numbered from 0: none has number {index:,}."
            )
        return data.normalise(data.test.images[index : index + 1])[0]

    def feature_maps(index: int) -> Tensor:
        with torch.no_grad():
            return nn.functional.max_pool2d(network.conv1(picture(index)[None]).relu(), 2)[0]

    def learned() -> nn.Conv2d:
        return first_layer.first_layer() if layer is None and first_layer.is_offered() else first

    return {
        "clothing, 1 channel": lambda index: (picture(index), first),
        _PHOTOGRAPH: lambda index: (photograph(), learned()),
        "conv1 maps, 16 channels": lambda index: (feature_maps(index), second),
    }


def conv2d_lab(image: Tensor | None = None, **keywords: Any) -> Conv2dLab:
    """Open the Conv2d lab; the arguments are those of `Conv2dLab`."""
    return Conv2dLab(image, **keywords)
