"""The evaluation panel: a confusion matrix with its pictures, and a class that is made rare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets
from torch import nn

from course_utils.core import CourseError, check_network
from course_utils.data import Dataset, load_dataset
from course_utils.metrics import Evaluation, confusion, evaluate
from course_utils.models import load_pretrained
from course_utils.widgets.controls import code_toggle
from course_utils.widgets.evaluation_panel.judged import Judged, judge
from course_utils.widgets.evaluation_panel.picture import (
    HEIGHT,
    WIDTH,
    draw,
    share_text,
    spots,
    summary,
)
from course_utils.widgets.overlay import overlay
from course_utils.widgets.panel import Panel, choice, choice_slider

SHARES = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
OFFERED = ("first_cnn", "small_resnet")


class EvaluationPanel(Panel):
    """Look at every mistake of a network, and at what its measures say if a class is rare.

    A click on a cell of the confusion matrix, or the lists "true" and "predicted", shows the
    pictures in it. The slider leaves out pictures of one class. The orange bars are of the same
    network if it never answers with this class.

    Args:
        models: one network, or several by name. Default: those of notebooks 02_2 and 04_1.
        data: default: Fashion-MNIST; its test pictures are shown.
        settings: first values of the controls: `network`, `true`, `predicted`, `rare` and `share`.

    Raises:
        CourseError: a network does not fit the data, a class has no picture or there are more than
            40 classes, or a control cannot have a value.
    """

    def __init__(
        self,
        models: nn.Module | Mapping[str, nn.Module] | None = None,
        data: Dataset | None = None,
        **settings: Any,
    ):
        self.data = load_dataset("fashion-mnist") if data is None else data
        self._own = models is not None
        if models is None:
            models = {name: load_pretrained(name) for name in OFFERED}
        self._models = dict(models) if isinstance(models, Mapping) else {"model": models}
        if not self._models:
            raise CourseError("There is no network to evaluate: give at least one.")
        for model in self._models.values():
            check_network(model)
        self._found: dict[str, Evaluation] = {}
        self._buttons = widgets.HTML()
        classes = list(self.data.classes)
        first = settings.get("network", next(iter(self._models)))
        worst = [*self._worst(first), classes[0], classes[-1]][:2]
        shares = [(share_text(share), share) for share in SHARES]
        controls = {
            "network": choice("network", list(self._models)),
            "true": choice("true", classes, worst[0]),
            "predicted": choice("predicted", classes, worst[1]),
            "rare": choice("rare class", classes, worst[0]),
            "share": choice_slider("keep of it", shares, 1.0),
        }
        for name in ("true", "predicted"):
            controls[name].add_class(f"course-{name}")
        super().__init__(controls, title="Evaluation panel", width=WIDTH, initial=settings)
        self._lay_over_picture(self._buttons)
        left = self.children[1].children[0]
        left.children += (code_toggle(self._code),)

    def evaluation(self, network: str) -> Evaluation:
        """Return the answers of a network on all test pictures; each network runs once."""
        if network not in self._found:
            scale = {"mean": self.data.mean, "std": self.data.std}
            self._found[network] = evaluate(self._models[network], self.data.test, **scale)
        return self._found[network]

    def compute(
        self, *, network: str, true: str, predicted: str, rare: str, share: float
    ) -> Judged:
        found = self.evaluation(network)
        return judge(network, found, self.data.test.images, (true, predicted), rare, share)

    def picture(self, result: Judged) -> bytes:
        return draw(result)

    def describe(self, result: Judged) -> str:
        return summary(result)

    def describe_unmeasured(self, result: Judged) -> str:
        return summary(result, measured=False)

    def code(self, result: Judged) -> str:
        lines = ["from course_utils.metrics import class_report, confusion, evaluate, thinned", ""]
        if not self._own:
            lines[:0] = ["from course_utils.data import load_dataset"]
            lines[2:2] = ["from course_utils.models import load_pretrained"]
            lines += ['data = load_dataset("fashion-mnist")']
            lines += [f'model = load_pretrained("{result.name}")']
        else:
            lines += ["# model, data: the network and the data that you gave the panel"]
        kept = f"thinned(data.test.labels, data.classes, {result.rare!r}, {result.share})"
        test = "data.test" if result.share == 1 else f"data.test.subset({kept})"
        true, predicted = result.cell
        lines += [
            f"pictures = {test}",
            "found = evaluate(model, pictures, mean=data.mean, std=data.std)",
            "matrix = confusion(found.labels, found.predictions, data.classes)",
            f"in_the_cell = matrix.pictures({true!r}, {predicted!r})",
            "report = class_report(found.labels, found.predictions, data.classes)",
        ]
        return "\n".join(lines) + "\n"

    def adjust(self, result: Judged) -> None:
        """Lay a button over each cell."""
        self._buttons.value = overlay(spots(result), WIDTH, HEIGHT)

    def _worst(self, network: str) -> tuple[str, ...]:
        """Return the most frequent mistake of a network: (true class, predicted class)."""
        try:
            found = self.evaluation(network)
            return confusion(found.labels, found.predictions, self.data.classes).mistakes(1)[0][:2]
        except (CourseError, KeyError, IndexError):
            return ()  # `compute` will say what is wrong, or there is no mistake


def evaluation_panel(
    models: nn.Module | Mapping[str, nn.Module] | None = None,
    data: Dataset | None = None,
    **settings: Any,
) -> EvaluationPanel:
    """Open the evaluation panel; the arguments are those of `EvaluationPanel`."""
    return EvaluationPanel(models, data, **settings)
