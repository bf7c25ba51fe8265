"""The quantization panel: choose a filter and a number of bits, and see the levels it gets."""

from __future__ import annotations

from typing import Any

from torch import nn

from course_utils.compress import layer_errors
from course_utils.models import load_pretrained
from course_utils.widgets.controls import code_toggle
from course_utils.widgets.panel import Panel, choice, int_slider, toggle
from course_utils.widgets.quantization_panel.picture import WIDTH, describe, draw
from course_utils.widgets.quantization_panel.rounded_filter import RoundedFilter, rounded_filter


class QuantizationPanel(Panel):
    """Round the numbers of one filter to few levels.

    The upper row shows the filter as floats, rounded, and the change. Below are all numbers that
    share the scale, with the levels as lines, and the error of every layer with these settings.
    The network does not change.

    Args:
        model: your own network. Default: the residual network of chapter 4.
        settings: first values of the controls: `layer`, `filter`, `bits`, `per_channel` and
            `symmetric`.

    Raises:
        CourseError: the network has no convolution and no linear layer; a control cannot have a
            value.
    """

    set_first = ("layer",)  # it changes the number of filters

    def __init__(self, model: nn.Module | None = None, **settings: Any):
        self._own = model is not None
        self._model = load_pretrained(_NETWORK) if model is None else model
        self.controls = {
            "layer": choice("layer", list(layer_errors(self._model))),
            "filter": int_slider("filter", 0, 0, 0),
            "bits": int_slider("bits", 8, 2, 8),
            "per_channel": toggle("per channel", True),
            "symmetric": toggle("symmetric", False),
        }
        self._fit_layer()
        self._adapt_to(self.controls["layer"], lambda _: self._fit_layer())
        super().__init__(self.controls, title="Quantization panel", width=WIDTH, initial=settings)
        self._code_button = code_toggle(self._code)
        self.children[1].children[0].children += (self._code_button,)

    def compute(self, *, filter: int, **settings: Any) -> RoundedFilter:
        return rounded_filter(self._model, number=filter, **settings)

    def picture(self, result: RoundedFilter) -> bytes:
        return draw(result)

    def describe(self, result: RoundedFilter) -> str:
        return describe(result)

    def code(self, result: RoundedFilter) -> str:
        load = f'load_pretrained("{_NETWORK}")'
        model = "model = " + load if not self._own else "# model: the network that you gave"
        axis = ", channel_axis=0" if result.per_channel else ""
        symmetric = ", symmetric=True" if self.controls["symmetric"].value else ""
        lines = ["from course_utils.compress import quantize"]
        if not self._own:
            lines.append("from course_utils.models import load_pretrained")
        lines += ["", model, f'weight = model.get_submodule("{result.layer}").weight']
        lines.append(f"rounded = quantize(weight, {result.bits}{axis}{symmetric})")
        lines.append(f"rounded.codes[{result.number}], rounded.values()[{result.number}]")
        return "\n".join(lines) + "\n"

    def _fit_layer(self) -> None:
        """Offer the filters of the chosen layer."""
        weight = self._model.get_submodule(self.controls["layer"].value).weight
        self.controls["filter"].value = 0
        self.controls["filter"].max = len(weight) - 1


_NETWORK = "small_resnet"


def quantization_panel(model: nn.Module | None = None, **settings: Any) -> QuantizationPanel:
    """Open the quantization panel; the arguments are those of `QuantizationPanel`."""
    return QuantizationPanel(model, **settings)
