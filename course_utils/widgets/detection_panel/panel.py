"""The detection panel: a photograph, the boxes that a detector finds, precision and recall."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from course_utils.core import whole_number
from course_utils.data import Dataset, load_boxes
from course_utils.models import Detector, load_cell_detector
from course_utils.training import History, Step, fit_detector
from course_utils.widgets.background import BackgroundRun, RunsInBackground
from course_utils.widgets.controls import row_of
from course_utils.widgets.detection_panel.picture import WIDTH, draw, words
from course_utils.widgets.detection_panel.view import LOWEST, DetectionView, DetectorViewer
from course_utils.widgets.panel import Panel, float_slider, int_slider, toggle

_EPOCHS = 3


class DetectionPanel(RunsInBackground, Panel):
    """Choose boxes of a detector by score, overlap and level, and watch one learn.

    Solid boxes are right, dashed ones are wrong, and a cross marks an object that was missed. Train
    begins with new weights and shows what the network finds while it learns.

    Args:
        detector: Default: the trained detector of blood cells.
        data: Of the detector. Default: the blood cells.
        settings: First values of the controls: `picture`, `score`, `overlap`, and `stride_4` and so
            on, one for each level.

    Attributes:
        detector: The detector that the panel shows; after a training the new one.

    Raises:
        CourseError: A control cannot have a value.
    """

    def __init__(
        self, detector: Detector | None = None, data: Dataset | None = None, **settings: Any
    ):
        self.data = load_boxes("bccd") if data is None else data
        shown = load_cell_detector() if detector is None else detector
        self._viewer = DetectorViewer(shown, self.data)
        self._learning: DetectorViewer | None = None
        self._step: Step | None = None
        controls = {
            "picture": int_slider("photograph", 0, 0, max(0, len(self.data.test) - 1)),
            "score": float_slider("score", 0.4, LOWEST, 0.95, 0.05),
            "overlap": float_slider("NMS overlap", 0.4, 0.0, 1.0, 0.05),
        }
        controls |= {f"stride_{s}": toggle(f"stride {s}", True) for s in shown.strides}
        self._train_button = self._button(
            "Train", self.train, "Train new weights, and watch", "play", "success"
        )
        self._stop_button = self._button("Stop", self.stop, "End it early", "stop", "warning")
        self._bar = widgets.IntProgress(min=0, max=1, layout={"width": "auto"})
        self._status = widgets.HTML()
        self._show_state()
        extra = row_of(self._train_button, self._stop_button), self._bar, self._status
        title = "Detection panel"
        super().__init__(controls, title=title, width=WIDTH, extra=extra, initial=settings)

    @property
    def detector(self) -> Detector:
        """The detector that the panel shows."""
        return self._viewer.detector

    def compute(self, *, picture: int, score: float, overlap: float, **on: bool) -> DetectionView:
        whole_number("picture", picture, 0, len(self.data.test) - 1)
        levels = [k for k, s in enumerate(self.detector.strides) if on[f"stride_{s}"]]
        if self._learning is not None:
            return self._learning.glance(picture, score, overlap, levels)
        return self._viewer.view(picture, score, overlap, levels)

    def picture(self, result: DetectionView) -> bytes:
        return draw(result)

    def describe(self, result: DetectionView) -> str:
        return words(result)

    def describe_unmeasured(self, result: DetectionView) -> str:
        return words(result, measured=False)

    def code(self, result: DetectionView) -> str:
        chosen = self.settings
        levels = [k for k, s in enumerate(self.detector.strides) if chosen[f"stride_{s}"]]
        return (
            f"propose_all(detector, data)[{chosen['picture']}].choose("
            f"score={chosen['score']:g}, overlap={chosen['overlap']:g}, levels={levels})"
        )

    # What the buttons do; cells and tests call the same

    def train(self, wait: bool = False, **options: Any) -> None:
        """Train a detector with new weights in the background, and then show it.

        Args:
            wait: Return only when the training has ended.
            options: Of `fit_detector`.
        """
        if self._refused():
            return
        new = self.detector.with_new_weights()
        options = {"epochs": _EPOCHS, "progress": False, **options}

        def work() -> History:
            return fit_detector(new, self.data, stop=run.stopping, on_step=self._on_step, **options)

        run = BackgroundRun(work, on_tick=self._on_tick, on_end=self._shown(self._on_end))
        self._run, self._step = run, None
        self._learning = DetectorViewer(new, self.data)
        self._say("Trying what computes fastest here …")
        self._show_state(running=True)
        self.refresh()
        run.start()
        if wait:
            self.wait()

    # Inside

    def _on_step(self, step: Step) -> None:
        self._step = step
        self._run.tick()

    def _on_tick(self) -> None:
        step = self._step
        self._bar.max, self._bar.value = step.steps, step.step
        self._say(f"step {step.step} of {step.steps}")
        self.refresh()

    def _on_end(self) -> None:
        run, learning, self._learning = self._run, self._learning, None
        if run.exception is not None:
            self._failure = run.exception
            self._say("Ended by an error; the detector of before is shown.")
        else:
            # A detector that was stopped early is worth looking at, too.
            self._viewer = learning
            stopped = run.result.stopped
            self._say(f"{run.why_stopped} at {self._bar.value} steps." if stopped else "Trained.")
        self._show_state()
        self.refresh()

    def _show_state(self, running: bool = False) -> None:
        self._train_button.disabled, self._stop_button.disabled = running, not running


def detection_panel(
    detector: Detector | None = None, data: Dataset | None = None, **settings: Any
) -> DetectionPanel:
    """Open the detection panel; the arguments are those of `DetectionPanel`."""
    return DetectionPanel(detector, data, **settings)
