"""The silence panel: switch kernels of a layer off, and see when the network loses the cat."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets
from torch import Tensor, nn

from course_utils.conv import ORDERS
from course_utils.core import CourseError, one_thread
from course_utils.data import Dataset
from course_utils.models import Card
from course_utils.widgets.background import WhenIdle
from course_utils.widgets.controls import code_toggle
from course_utils.widgets.one_click.measured_network import MeasuredNetwork
from course_utils.widgets.one_click.networks import networks
from course_utils.widgets.overlay import overlay
from course_utils.widgets.panel import LABEL_WIDTH, Panel, choice, int_slider
from course_utils.widgets.photograph_upload import photograph_upload
from course_utils.widgets.silence_panel.picture import WIDTH, draw, height_of, spots, summary
from course_utils.widgets.silence_panel.silenced import Choice, KernelSilencer, Silenced

_AT_ONCE = 8  # points of the curve between two pictures of it


class SilencePanel(Panel):
    """Silence kernels of one layer, one by one or many, and see what the network sees then.

    The slider takes kernels away in the chosen order; a click on a map, or the list "by hand",
    switches a single one off and on. The curve shows the probability of the first class for every
    number of kernels that the slider can take; it appears while nothing is moved. If the panel
    shows photographs, a button takes one of the reader's.

    The panel never changes the network: `model` is a copy with the silent kernels.

    Args:
        model: your own network. Default: EfficientNet-Lite0 if its weights are installed, else the
            network of notebook 02_2.
        data, card, photographs, picture_size: as for `one_click_lab`.
        classes: names of classes whose probabilities the curve adds up. Default: the class that the
            network sees first.
        settings: first values of the controls: `layer`, `picture`, `order`, `take_away`, `by_hand`
            and `seed`.

    Raises:
        CourseError: the network has no convolution, or its classes have no names; one of `classes`
            is not one of them; a photograph cannot be used; a control cannot have a value.
    """

    set_first = ("layer",)  # it changes the others

    def __init__(
        self,
        model: nn.Module | None = None,
        data: Dataset | None = None,
        *,
        card: Card | None = None,
        photographs: Any = None,
        picture_size: int | None = None,
        classes: Sequence[str] | None = None,
        **settings: Any,
    ):
        offered = networks(model)
        name = "efficientnet_lite0" if "efficientnet_lite0" in offered else "first_cnn"
        self._choice = next(iter(offered.values())) if model is not None else offered[name]
        shown = {"card": card, "photographs": photographs, "side": picture_size}
        network = MeasuredNetwork.shown(self._choice.make(), data, **shown)
        self._classes = classes
        self._silencer = KernelSilencer(network, classes)
        self._curve = WhenIdle(self._complete_curve, on_error=self.refresh, patience=0.1)
        self._worker: threading.Thread | None = None
        self._buttons = widgets.HTML()
        held_out = network.held_out
        pictures = [(held_out.label(k), k) for k in range(min(32, len(held_out)))]
        if held_out.data is not None:
            pictures = [(f"{k}: {label}", k) for label, k in pictures]
        self.controls = {
            "layer": choice("layer", list(network.convs)),
            "picture": choice("image", pictures),
            "order": choice("order", list(ORDERS)),
            "take_away": int_slider("take away", 0, 0, 32),
            "by_hand": widgets.SelectMultiple(
                description="by hand", rows=5, style={"description_width": LABEL_WIDTH}
            ),
            "seed": int_slider("seed", 0, 0, 9),
        }
        self.controls["by_hand"].add_class("course-by-hand")
        self._fit_layer()
        self._adapt_to(self.controls["layer"], lambda _: self._fit_layer())
        super().__init__(self.controls, title="Silence panel", width=WIDTH, initial=settings)
        self._lay_over_picture(self._buttons)
        self._code_button = code_toggle(self._code)
        left = self.children[1].children[0]
        self._upload = photograph_upload(
            self._take_photograph, self._shown, "your photograph", "of an animal or a thing"
        )
        own = (self._upload,) if held_out.data is None else ()
        left.children += (*own, self._code_button)

    @property
    def model(self) -> nn.Module:
        """A copy of the network in which the chosen kernels are silent."""
        return self._silencer.model(self.result)

    def compute(
        self,
        *,
        layer: str,
        take_away: int,
        **others: Any,
    ) -> Silenced:
        error, self._curve.exception = self._curve.exception, None
        if error is not None:
            raise error
        if not layer:
            raise CourseError("This network has no Conv2d that runs, so nothing can be silenced.")
        chosen = _choice_of({"layer": layer, **others})
        taken = min(take_away, self._silencer.network.convs[layer].out_channels)
        result = self._silencer.silenced(chosen, taken)
        if not result.complete and threading.current_thread() is not self._worker:
            self._curve.ask()
        return result

    def picture(self, result: Silenced) -> bytes:
        return draw(result)

    def describe(self, result: Silenced) -> str:
        return summary(result)

    def describe_unmeasured(self, result: Silenced) -> str:
        return summary(result, measured=False)

    def code(self, result: Silenced) -> str:
        layer, shape = result.choice.layer, tuple(result.network.example.shape)
        lines = ["import torch", "", "from course_utils.conv import silence_kernels"]
        lines.append(self._choice.imports or "")
        lines.append(self._choice.line or "# model: the network that you gave the panel")
        lines.append(f"example_input = torch.zeros{shape}  # only its shape counts")
        kernels = list(result.silent)
        lines.append(f'model = silence_kernels(model, "{layer}", {kernels}, example_input)')
        return "\n".join(lines) + "\n"

    def adjust(self, result: Silenced) -> None:
        """Show the seed where it counts, and lay the buttons over the maps."""
        used = self.controls["order"].value == "at random"
        self.controls["seed"].layout.display = None if used else "none"
        self._buttons.value = overlay(spots(result), WIDTH, height_of(result))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the curve is complete; return False if `timeout` seconds are too few."""
        return self._curve.wait(timeout)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        self.wait(60)  # the static picture of a notebook should have the whole curve
        return super()._repr_mimebundle_(**kwargs)

    def _fit_layer(self) -> None:
        """Offer the kernels of the chosen layer, all of them switched on."""
        conv = self._silencer.network.convs.get(self.controls["layer"].value)
        kernels = 1 if conv is None else conv.out_channels
        self.controls["by_hand"].value = ()
        self.controls["by_hand"].options = [(f"kernel {k}", k) for k in range(kernels)]
        self.controls["take_away"].value = 0
        self.controls["take_away"].max = kernels

    def _take_photograph(self, name: str, photograph: Tensor) -> None:
        """Show a photograph of the reader's, as the last one of the list."""
        network = self._silencer.network
        held_out = network.held_out.joined(f"{name} (yours)", photograph)
        more = MeasuredNetwork(network.model, held_out, network.card)
        self._silencer = KernelSilencer(more, self._classes)
        control, last = self.controls["picture"], len(held_out) - 1
        with self._one_refresh():
            control.options = [*control.options, (held_out.label(last), last)]
            control.value = last

    def _complete_curve(self, outdated: Callable[[], bool]) -> None:
        self._worker = threading.current_thread()
        chosen = _choice_of(self.settings)
        with one_thread():
            for number, _ in enumerate(self._silencer.complete(chosen), start=1):
                if outdated():
                    return
                if number % _AT_ONCE == 0:
                    self.refresh()
        if not outdated():
            self.refresh()


def _choice_of(settings: Mapping[str, Any]) -> Choice:
    """Return what the curve depends on; only a random order depends on the seed."""
    seed = settings["seed"] if settings["order"] == "at random" else 0
    by_hand = tuple(sorted(settings["by_hand"]))
    return Choice(settings["layer"], settings["picture"], settings["order"], seed, by_hand)


def silence_panel(model: nn.Module | None = None, **keywords: Any) -> SilencePanel:
    """Open the silence panel; the arguments are those of `SilencePanel`."""
    return SilencePanel(model, **keywords)
