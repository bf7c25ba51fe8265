"""The panel of targeted attacks: a photograph becomes whatever the reader chooses."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
from torch import nn

from course_utils.core import CourseError
from course_utils.data import PHOTOGRAPHS
from course_utils.models import Card, card_of, load_pretrained
from course_utils.widgets.adversarial_panel.attacked import Misled, PhotographAttack
from course_utils.widgets.adversarial_panel.picture import WIDTH, describe_misled, draw_misled
from course_utils.widgets.background import BackgroundRun, RunsInBackground
from course_utils.widgets.controls import code_toggle, row_of, steps_slider
from course_utils.widgets.panel import Panel, choice, choice_slider

LEVELS = (1, 2, 4, 8)
STEPS = (1, 5, 10, 20)
AWAY = "anything else"
"""The choice that aims at no class, but away from the five most probable ones."""
TARGETS = ("toaster", "teapot", "banana", "pizza", "school bus", "golden retriever", "volcano")


class TargetedPanel(RunsInBackground, Panel):
    """Change a photograph by at most ε, so that a network takes it for a class of your choice.

    The button Attack starts PGD in the background, from the photograph as it is. Beside the result
    stands noise of the same size. The network does not change.

    Args:
        model: A trained network. Default: EfficientNet-Lite0.
        card: Its classes and pictures; None for that of a network of `load_pretrained`.
        targets: Names of the classes to choose from; None for seven of ImageNet.
        settings: First values of the controls: `photograph`, `target`, `level` (ε in grey levels
            of 255) and `steps`.

    Raises:
        CourseError: If there is no card, a target is not a class, or a control cannot have a value.
    """

    _busy = "An attack is on its way: wait for its end, or press Stop first."

    def __init__(
        self,
        model: nn.Module | None = None,
        *,
        card: Card | None = None,
        targets: tuple[str, ...] | None = None,
        **settings: Any,
    ):
        self._own = model is not None
        model = load_pretrained(_NETWORK) if model is None else model
        card = card_of(model) if card is None else card
        if card is None:
            raise CourseError(
                "Of this network no classes are known: give card=..., such as pretrained_card(...)."
            )
        if targets is None:
            targets = tuple(name for name in TARGETS if name in card.classes) or card.classes[:7]
        for name in targets:
            if name not in card.classes:
                raise CourseError(
                    f"{name!r} is not a class of {card.name}: take names of card.classes."
                )
        self._attack = PhotographAttack(model, card)
        controls = {
            "photograph": choice("photograph", list(PHOTOGRAPHS)),
            "target": choice("target", [*targets, AWAY]),
            "level": choice_slider("ε", [(f"{one}/255", one) for one in LEVELS], 4),
            "steps": steps_slider("steps", STEPS, 10),
        }
        self._start = self._button("Attack", self.attack, "Begin", "play", "success")
        self._end = self._button("Stop", self.stop, "End the attack early", "stop", "warning")
        self._status = widgets.HTML()
        self._show_state()
        extra = (row_of(self._start, self._end), self._status)
        super().__init__(
            controls, title="Targeted attack", width=WIDTH, extra=extra, initial=settings
        )
        left = self.children[1].children[0]
        left.children += (code_toggle(self._code),)

    def compute(self, **settings: Any) -> Misled:
        return self._attack.glance(**settings)

    def picture(self, result: Misled) -> bytes:
        return draw_misled(result)

    def describe(self, result: Misled) -> str:
        return describe_misled(result)

    def describe_unmeasured(self, result: Misled) -> str:
        return describe_misled(result, measured=False)

    def code(self, result: Misled) -> str:
        name = "towards" if result.watched is not None else "away_from"
        lines = [
            "from course_utils.data import load_photograph",
            f"from course_utils.metrics import {name}, pgd, probabilities",
            "",
        ]
        if self._own:
            lines += ["# model, card: the network that you gave the panel, and its card"]
        else:
            lines[2:2] = ["from course_utils.models import load_pretrained, pretrained_card"]
            lines += [f'model = load_pretrained("{_NETWORK}")']
            lines += [f'card = pretrained_card("{_NETWORK}")']
        lines += [
            f'pixels = card.pixels(load_photograph("{result.photograph}"))[None]',
            'scale = {"mean": card.mean, "std": card.std}',
        ]
        if result.watched is not None:
            lines += [f'loss = towards(card.classes.index("{result.target}"))']
        else:
            lines += [
                "shares = probabilities(model, pixels, **scale)[0]",
                f"loss = away_from(shares.topk({self._attack.likely}).indices.tolist())",
            ]
        lines += [
            f"settings = dict(epsilon={result.level} / 255, steps={result.steps}, seed=None)",
            "changed = pgd(model, pixels, loss=loss, **settings, **scale)",
        ]
        return "\n".join(lines) + "\n"

    # What the buttons do; cells and tests call the same

    def attack(self, wait: bool = False) -> None:
        """Attack in the background with the settings as they are now, and then show the result.

        While one is under way, a second one is refused with a sentence. With `wait`, return only
        when it has ended.
        """
        if self._refused():
            return
        settings = self.settings

        def on_step(step: int) -> bool:
            self._said = f"step {step} of {settings['steps']}"
            run.tick()
            return run.stopping.is_set()

        run = BackgroundRun(
            lambda: self._attack.run(**settings, on_step=on_step),
            on_tick=lambda: self._say(self._said),
            on_end=self._shown(self._on_end),
        )
        self._run = run
        self._say("Attacking …")
        self._show_state(running=True)
        run.start()
        if wait:
            self.wait()

    # Inside

    def _on_end(self) -> None:
        run = self._run
        self._failure = run.exception
        if run.exception is None and not run.result:
            self._say(f"{run.why_stopped}: the attack was not completed.")
        else:
            self._say("")
        self._show_state()
        self.refresh()

    def _show_state(self, running: bool = False) -> None:
        self._start.disabled, self._end.disabled = running, not running


_NETWORK = "efficientnet_lite0"


def targeted_panel(model: nn.Module | None = None, **keywords: Any) -> TargetedPanel:
    """Open the panel of targeted attacks; the arguments are those of `TargetedPanel`."""
    return TargetedPanel(model, **keywords)
