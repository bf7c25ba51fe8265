"""The initialisation panel: the spread of signal and gradient in a deep stack of fresh layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_utils import plots
from course_utils.data import load_dataset
from course_utils.training import ACTIVATIONS, SCHEMES, SignalSpread, signal_spread
from course_utils.widgets.background import WhenIdle
from course_utils.widgets.panel import Panel, choice, int_slider, toggle

_WIDTH, _HEIGHT = 700, 350
_LIMITS = (1e-12, 1e12)  # always the same, so that the line moves and not the axis


@dataclass(frozen=True)
class InitialisationView:
    """The spreads that the panel shows: of the chosen scheme, and of those measured by now."""

    chosen: SignalSpread
    others: tuple[SignalSpread, ...] = ()


def draw(view: InitialisationView) -> bytes:
    """Draw the spread by layer of the activations (left) and of the gradients (right), as a PNG."""
    figure = plots.layer_statistics(
        {spread.scheme: spread for spread in (*view.others, view.chosen)},
        highlight=view.chosen.scheme,
        limits=_LIMITS,
        title="Spread by layer; shaded: within a factor of ten of the start",
        width=_WIDTH,
        height=_HEIGHT,
    )
    # An invisible name keeps the space that the names of the other schemes need later.
    at = {"xycoords": "axes fraction", "textcoords": "offset points"}
    look = {"fontsize": plots.SMALL, "alpha": 0}
    figure.axes[0].annotate(max(SCHEMES, key=len), (1, 0.5), (5, 0), **at, **look)
    return figure.to_png(compress_level=1)


class InitialisationPanel(Panel):
    """Initialisation panel: scheme × depth × activation × BatchNorm × width of a stack of layers.

    The chosen scheme is shown at once; the others appear in grey behind it when no control has been
    moved for a moment.

    Args:
        images: float pictures (N, C, H, W), the input. Default: the first ones of Fashion-MNIST.
        seed: of the weights.
        settings: first values of the controls: `scheme`, `depth`, `activation`, `batch_norm` and
            `width`.

    Raises:
        CourseError: a name in `settings` is not a control of the panel.
    """

    def __init__(self, images: Tensor | None = None, *, seed: int = 0, **settings: Any):
        if images is None:
            data = load_dataset("fashion-mnist")
            images = data.normalise(data.train.images[:8]).to(torch.float32)
        self._images = images.detach()
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
        arguments = f"{spread.scheme!r}, nonlinearity={spread.activation!r}, seed={self._seed}"
        return f"initialise(model, {arguments})"

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the picture has all schemes; return False if `timeout` seconds are too few."""
        return self._rest.wait(timeout)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        # The static picture of a notebook should have all lines, which takes about a second.
        self.wait(60)
        return super()._repr_mimebundle_(**kwargs)

    def _key(self, scheme: str, stack: dict[str, Any]) -> tuple[Any, ...]:
        return (scheme, *sorted(stack.items()))

    def _spread(self, scheme: str, stack: dict[str, Any]) -> SignalSpread:
        key = self._key(scheme, stack)
        if key not in self._known:
            if len(self._known) > 5000:
                self._known.clear()
            self._known[key] = signal_spread(scheme, **stack, images=self._images, seed=self._seed)
        return self._known[key]

    def _compute_others(self, outdated: Callable[[], bool]) -> None:
        stack = {name: value for name, value in self.settings.items() if name != "scheme"}
        for scheme in SCHEMES:
            if outdated():
                return
            self._spread(scheme, stack)
        self.refresh()


def initialisation_panel(images: Tensor | None = None, **keywords: Any) -> InitialisationPanel:
    """Open the initialisation panel; the arguments are those of `InitialisationPanel`."""
    return InitialisationPanel(images, **keywords)
