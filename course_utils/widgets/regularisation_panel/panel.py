"""The regularisation panel: each method's effect on the gap between training and validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from course_utils.data import Dataset, load_dataset
from course_utils.training import (
    DECAYING_OPTIMIZERS,
    History,
    Regularisation,
    RegularisationRun,
    augmented,
    gaps_as_frame,
    train_regularised,
)
from course_utils.widgets.background import BackgroundRun
from course_utils.widgets.comparing import ComparesRuns
from course_utils.widgets.controls import steps_slider
from course_utils.widgets.panel import Panel, choice, float_slider, int_slider, toggle
from course_utils.widgets.regularisation_panel.picture import WIDTH, RegularisationView, draw

if TYPE_CHECKING:
    import pandas

_DECAYS = (0.0, 1e-5, 1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0)
_L1 = (0.0, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3)
_PICTURES = 10  # in a row


class RegularisationPanel(ComparesRuns, Panel):
    """Regularisation panel: choose methods, press Train, and one more run joins the comparison.

    Every run starts from the same weights and sees the same training pictures, so the methods are
    the only difference. The accuracy on the training pictures is measured without dropout and
    without augmentation, like the accuracy on the validation pictures.

    Args:
        data: with validation pictures. Default: Fashion-MNIST.
        model: dropout -> network with fresh weights. Default: `SimpleCNN`.
        seed: of all random numbers.
        settings: first values of the controls: the fields of `Regularisation`.

    Attributes:
        runs: all runs so far, the first one first.

    Raises:
        CourseError: a name in `settings` is not a control of the panel, or cannot have that value.
    """

    def __init__(
        self,
        data: Dataset | None = None,
        *,
        model: Callable[[float], nn.Module] | None = None,
        seed: int = 0,
        **settings: Any,
    ):
        self.data = load_dataset("fashion-mnist") if data is None else data
        self._model, self._seed = model, seed
        self._samples = _one_of_each(self.data)

        plain, side = Regularisation(), min(self.data.image_shape[1:])
        most = len(self.data.train)
        step = min(500, most)
        controls = {
            "dropout": float_slider("dropout", 0.0, 0.0, 0.9, 0.1, ".1f"),
            "optimizer": choice("optimizer", list(DECAYING_OPTIMIZERS)),
            "weight_decay": steps_slider("weight_decay", _DECAYS, 0.0),
            "l1": steps_slider("l1", _L1, 0.0),
            "pad_crop": int_slider("pad_crop", 0, 0, min(8, side)),
            "flip": toggle("flip", False),
            "cutout": int_slider("cutout", 0, 0, side),
            "pictures": int_slider("pictures", min(plain.pictures, most), step, most, step),
            "epochs": int_slider("epochs", plain.epochs, 1, 60),
        }
        shown = {"title": "Regularisation panel", "width": WIDTH, "extra": self.build_buttons()}
        super().__init__(controls, **shown, initial=settings)

    def frame(self) -> pandas.DataFrame:
        """Return one row for each run: the methods, both accuracies and the gap."""
        return gaps_as_frame(self.runs)

    # What the panel shows

    def compute(self, **settings: Any) -> RegularisationView:
        chosen = self.plan(**settings)
        copies = augmented(self._samples, chosen, copies=2, seed=self._seed)
        rows = torch.cat([self._samples[None], copies])
        return RegularisationView(rows, chosen.augment is not None, tuple(self.runs), self.going)

    def picture(self, result: RegularisationView) -> bytes:
        return draw(result)

    def describe_no_run(self, result: RegularisationView) -> str:
        return "No run yet. Press Train for a run without any method: it shows the gap to narrow."

    def describe_last_run(self, result: RegularisationView) -> str:
        last = result.runs[-1]
        text = (
            f"{last.train_accuracy:.1%} on the training pictures,"
            f" {last.validation_accuracy:.1%} on the validation pictures,"
            f" gap {100 * last.gap:.1f} points."
        )
        if len(result.runs) > 1:
            text += f" The first had {100 * result.runs[0].gap:.1f}."
        return text

    def code(self, result: RegularisationView) -> str:
        plain, settings = Regularisation(), self.settings.items()
        changed = [f"{name}={value!r}" for name, value in settings if value != getattr(plain, name)]
        return f"train_regularised(Regularisation({', '.join(changed)}), data)"

    # What a run is

    def plan(self, **settings: Any) -> Regularisation:
        return Regularisation(**settings)

    def train_one(self, plan: Regularisation, run: BackgroundRun) -> RegularisationRun | None:
        def on_epoch(history: History) -> None:
            accuracies = history.train_accuracy[-1], history.validation_accuracy[-1]
            self.going = RegularisationRun(plan, *accuracies)

        return train_regularised(
            plan,
            self.data,
            model=self._model,
            seed=self._seed,
            stop=run.stopping,
            on_step=self.on_step,
            on_epoch=on_epoch,
        )


def _one_of_each(data: Dataset) -> Tensor:
    """Return a training picture of each class, at most one row: uint8 (N, C, H, W)."""
    labels = data.train.labels
    first = [int((labels == label).nonzero()[0]) for label in labels.unique()][:_PICTURES]
    return data.train.images[first].cpu()


def regularisation_panel(data: Dataset | None = None, **keywords: Any) -> RegularisationPanel:
    """Open the regularisation panel; the arguments are those of `RegularisationPanel`."""
    return RegularisationPanel(data, **keywords)
