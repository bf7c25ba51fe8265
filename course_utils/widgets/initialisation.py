"""The initialisation panel: how signal and gradient fare in a deep stack of fresh layers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_utils import charts
from course_utils.initialisation import ACTIVATIONS, SCHEMES, SignalSpread, signal_spread
from course_utils.widgets.background import WhenIdle
from course_utils.widgets.panel import Panel, choice, int_slider, toggle

_WIDTH, _HEIGHT = 700, 340
_LEFT, _TOP, _CHART, _LABELS = 42, 30, (216, 262), 108
_LIMITS = (1e-12, 1e12)  # always the same, so that what moves is the line and not the axis
_HEALTHY = (0.1, 10.0)  # what the verdict calls "hold"

_SHORT = {"he read as variance": "he as variance"}


@dataclass(frozen=True)
class InitialisationView:
    """What the panel shows: the chosen scheme, and those of the others that are known by now."""

    chosen: SignalSpread
    others: tuple[SignalSpread, ...] = ()


def draw(view: InitialisationView) -> bytes:
    """Spread per layer of the activations (left) and of the gradients (right), as a PNG."""
    sheet = charts.Sheet(_WIDTH, _HEIGHT)
    width, height = _CHART
    right = _LEFT + width + 2 * _LABELS
    depth = view.chosen.depth
    layers = list(range(1, depth + 1))
    common = {
        "x_limits": (1, max(2, depth)),
        "y_limits": _LIMITS,
        "logarithmic": True,
        "band": _HEALTHY,
        "x_label": "layer",
        "x_ticks": _layer_ticks(depth),
    }
    forward = sheet.chart((_LEFT, _TOP, width, height), title="spread of the activations", **common)
    backward = sheet.chart(
        (right, _TOP, width, height), title="spread of the gradients", numbers=False, **common
    )
    for chart, name, end in ((forward, "activation_std", -1), (backward, "gradient_std", 0)):
        labels = []
        for spread in (*view.others, view.chosen):
            chosen = spread is view.chosen
            values = getattr(spread, name)
            colour = charts.BLUE if chosen else charts.FAINT
            chart.line(layers, values, colour, 3 if chosen else 1.5)
            if chosen:
                chart.dots(layers, values, colour, 3 if depth > 20 else 4)
            text = _SHORT.get(spread.scheme, spread.scheme)
            labels.append((text, values[end], charts.BLUE if chosen else charts.GREY))
        chart.side_labels(labels, right=chart is forward)
        chart.done()
    sheet.text("shaded: within a factor of ten", _LEFT, _TOP + height + 19, 11, charts.GREEN)
    return sheet.to_png()


def _layer_ticks(depth: int) -> list[int]:
    step = next(step for step in (1, 2, 5, 10) if depth / step <= 8)
    return sorted({1, *range(step, depth + 1, step)})


class InitialisationPanel(Panel):
    """Initialisation panel: scheme × depth × activation × BatchNorm × width of a stack of layers.

    The chosen scheme is shown at once; the others appear faintly behind it as soon as the controls
    have been left alone for a moment.

    Args:
        images: float pictures (N, C, H, W) that are sent in. Default: Fashion-MNIST's first ones.
        seed: of the weights.
        settings: first values of the controls: `scheme`, `depth`, `activation`, `batch_norm` and
            `width`.

    Raises:
        CourseError: a name in `settings` is not a control of the panel.
    """

    def __init__(self, images: Tensor | None = None, *, seed: int = 0, **settings: Any):
        self._images = _first_pictures() if images is None else images.detach()
        self._seed = seed
        self._known: dict[tuple[Any, ...], SignalSpread] = {}
        self._rest = WhenIdle(self._compute_others, on_error=self.refresh)
        controls = {
            "scheme": choice("scheme", list(SCHEMES)),
            "depth": int_slider("depth", 20, 1, 40),
            "activation": choice("activation", list(ACTIVATIONS)),
            "batch_norm": toggle("BatchNorm", False),
            "width": int_slider("width", 64, 8, 96, 8),
        }
        super().__init__(controls, title="Initialisation panel", width=_WIDTH, initial=settings)

    def compute(self, *, scheme: str, **stack: Any) -> InitialisationView:
        error, self._rest.exception = self._rest.exception, None
        if error is not None:
            raise error
        chosen = self._spread(scheme, stack)
        keys = [self._key(name, stack) for name in SCHEMES if name != scheme]
        others = tuple(self._known[key] for key in keys if key in self._known)
        if len(others) < len(keys):
            self._rest.ask()
        return InitialisationView(chosen, others)

    def picture(self, result: InitialisationView) -> bytes:
        return draw(result)

    def describe(self, result: InitialisationView) -> str:
        spread = result.chosen
        norm = " with BatchNorm" if spread.batch_norm else ""
        layers = "1 layer" if spread.depth == 1 else f"{spread.depth} layers"
        return f"{spread.scheme}, {layers}, {spread.activation}{norm}. {spread.verdict}"

    def code(self, result: InitialisationView) -> str:
        spread = result.chosen
        return (
            f"initialise(model, {spread.scheme!r}, nonlinearity={spread.activation!r},"
            f" seed={self._seed})"
        )

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the other schemes stand in the picture. False when `timeout` was too short."""
        return self._rest.wait(timeout)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        self.wait(5)  # so that the static picture of a notebook has all the lines
        return super()._repr_mimebundle_(**kwargs)

    # Inside -------------------------------------------------------------------------------------

    def _key(self, scheme: str, stack: dict[str, Any]) -> tuple[Any, ...]:
        return (scheme, *sorted(stack.items()))

    def _spread(self, scheme: str, stack: dict[str, Any]) -> SignalSpread:
        key = self._key(scheme, stack)
        if key not in self._known:
            if len(self._known) > 5000:
                self._known.clear()
            with _one_thread():
                self._known[key] = signal_spread(
                    scheme, **stack, images=self._images, seed=self._seed
                )
        return self._known[key]

    def _compute_others(self, outdated: Callable[[], bool]) -> None:
        stack = {name: value for name, value in self.settings.items() if name != "scheme"}
        for scheme in SCHEMES:
            if outdated():
                return
            self._spread(scheme, stack)
        self.refresh()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Layers as small as these gain nothing by several, and lose much where others want them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _first_pictures() -> Tensor:
    from course_utils.data import load_dataset

    data = load_dataset("fashion-mnist")
    return data.normalise(data.train.images[:8]).to(torch.float32)


def initialisation_panel(images: Tensor | None = None, **keywords: Any) -> InitialisationPanel:
    """A live panel of initialisation schemes; the arguments are those of `InitialisationPanel`."""
    return InitialisationPanel(images, **keywords)
