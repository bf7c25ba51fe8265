"""The Conv2d lab: every argument of `nn.Conv2d` on a control, the layer rebuilt at every change."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_utils import pictures
from course_utils.conv.lab import INITIALISATIONS, ConvResult, ConvSettings, build_and_run
from course_utils.widgets.panel import Panel, choice, int_slider, toggle

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")
_WIDTH, _HEIGHT, _LEFT = 660, 412, 196


def draw(result: ConvResult) -> bytes:
    """Input and kernels to the left, feature maps to the right, as one palette PNG."""
    canvas = pictures.Canvas(_WIDTH, _HEIGHT)
    channels, height, width = result.input.shape
    canvas.text(f"input {channels} × {height} × {width}", 2, 0)
    shown = result.input.numpy()
    canvas.paste(pictures.tile(pictures.grey_indices(shown), (_LEFT - 12, 184)), 2, 20)

    # A kernel has one slice for each input channel of its group; a picture of all of them would be a carpet.
    slices = result.weight.shape[1]
    first = " (first slice)" if slices > 1 else ""
    canvas.text("kernels " + " × ".join(map(str, result.weight.shape)) + first, 2, 212)
    kernels = pictures.signed_indices(result.weight[:, 0].numpy())
    canvas.paste(pictures.tile(kernels, (_LEFT - 12, _HEIGHT - 236)), 2, 232)

    canvas.text("feature maps " + " × ".join(map(str, result.maps.shape)), _LEFT, 0)
    maps = pictures.signed_indices(result.maps.numpy())
    canvas.paste(pictures.tile(maps, (_WIDTH - _LEFT - 2, _HEIGHT - 40)), _LEFT, 20)
    largest = float(np.abs(result.maps.numpy()).max(initial=0.0))
    canvas.text(f"blue negative, white 0, red positive; largest |value| {largest:.2f}", _LEFT, _HEIGHT - 16, 11)
    return canvas.to_png()


def code_for(settings: ConvSettings) -> str:
    """The call that builds this layer, default arguments left out."""
    arguments = [str(settings.in_channels), str(settings.out_channels), f"kernel_size={settings.kernel_size}"]
    defaults = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": True, "padding_mode": "zeros"}
    arguments += [
        f"{name}={getattr(settings, name)!r}"
        for name, default in defaults.items()
        if getattr(settings, name) != default
    ]
    return f"nn.Conv2d({', '.join(arguments)})"


class Conv2dLab(Panel):
    """Conv2d lab: move any argument of `nn.Conv2d`; the layer, its maps and its costs follow.

    Args:
        image: float tensor (C, H, W) to convolve. Default: the reader chooses among a Fashion-MNIST picture,
            a photograph, and the 16 feature maps which the first layer of the trained network passes on.
        trained: an `nn.Conv2d` whose kernels the toggle "trained" shows. Default: the layer of the network
            of notebook 02_2 (shipped, trained by `python -m course_utils.pretrained`) that belongs to the input.
        index: which test picture to begin with.
        settings: first values of the controls, e.g. `kernel_size=5`.

    Raises:
        CourseError: a name in `settings` is not a control of the panel.
    """

    def __init__(
        self, image: Tensor | None = None, *, trained: nn.Conv2d | None = None, index: int = 0, **settings: Any
    ):
        self._sources = _sources(image, trained)
        controls = {
            "source": choice("input", list(self._sources)),
            "index": int_slider("picture", index, 0, 99),
            "trained": toggle("trained kernels", False),
            "initialisation": choice("initialisation", list(INITIALISATIONS)),
            "in_channels": int_slider("in_channels", 1 if image is None else len(image), 1, 16),
            "out_channels": int_slider("out_channels", 16, 1, 32),
            "kernel_size": int_slider("kernel_size", 3, 1, 11),
            "stride": int_slider("stride", 1, 1, 6),
            "padding": _padding_slider(),
            "dilation": int_slider("dilation", 1, 1, 6),
            "groups": int_slider("groups", 1, 1, 16),
            "bias": toggle("bias", True),
            "padding_mode": choice("padding_mode", PADDING_MODES),
        }
        super().__init__(controls, title="Conv2d lab", width=_WIDTH)
        if settings:
            self.set(**settings)

    def compute(self, *, source: str, index: int, trained: bool, **settings: Any) -> ConvResult:
        image, layer = self._sources[source](index)
        return build_and_run(ConvSettings(**settings), image, trained=layer if trained else None)

    def picture(self, result: ConvResult) -> bytes:
        return draw(result)

    def describe(self, result: ConvResult) -> str:
        shape = " × ".join(map(str, result.shape))
        kept = ""
        if self.controls["trained"].value:
            kept = f"; {result.trained_kernels_kept} of {result.weight.shape[0]} kernels as trained"
        return (
            f"output {shape}: {result.formula}; {result.parameters:,} parameters; "
            f"{result.multiply_adds:,} multiply-adds; "
            f"receptive field {result.receptive_field} × {result.receptive_field}{kept}"
        )

    def code(self, result: ConvResult) -> str:
        settings = {k: v for k, v in self.settings.items() if k not in ("source", "index", "trained")}
        return code_for(ConvSettings(**settings))


def _padding_slider():
    import ipywidgets as widgets

    return widgets.SelectionSlider(
        options=[("valid", "valid"), *((str(n), n) for n in range(11)), ("same", "same")],
        value=1,
        description="padding",
        style={"description_width": "110px"},
        layout={"width": "320px"},
    )


def _sources(image: Tensor | None, trained: nn.Conv2d | None) -> dict[str, Any]:
    """Name of an input -> function of the picture's index that gives (image, trained layer that belongs to it)."""
    from course_utils.pretrained import load_pretrained

    network = load_pretrained("first_cnn")
    first, second = trained or network.conv1, network.conv2
    if image is not None:
        return {"your image": lambda index: (image.detach().float(), first)}

    from course_utils.data import load_dataset, load_photograph

    data = load_dataset("fashion-mnist")
    photograph = load_photograph().float() / 255

    def picture(index: int) -> Tensor:
        return data.normalise(data.test.images[index : index + 1])[0]

    def feature_maps(index: int) -> Tensor:
        with torch.no_grad():
            return nn.functional.max_pool2d(network.conv1(picture(index)[None]).relu(), 2)[0]

    return {
        "a Fashion-MNIST picture: 1 channel": lambda index: (picture(index), first),
        "a photograph: 3 channels": lambda index: (photograph[:, 16:240:2, 16:240:2], first),
        "maps behind conv1: 16 channels": lambda index: (feature_maps(index), second),
    }


def conv2d_lab(image: Tensor | None = None, **keywords: Any) -> Conv2dLab:
    """A live panel with every argument of `nn.Conv2d`; the arguments are those of `Conv2dLab`."""
    return Conv2dLab(image, **keywords)
