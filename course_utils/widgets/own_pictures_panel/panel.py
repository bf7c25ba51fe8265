"""The own-pictures panel: from a few pictures of each class to a classifier in under a minute."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ipywidgets as widgets
import torch
from torch import Tensor, nn

from course_utils.core import CourseError, one_thread
from course_utils.data import (
    PHOTOGRAPHS,
    Dataset,
    ImageSet,
    load_dataset,
    load_folder,
    read_pictures,
    resized,
)
from course_utils.models import Card, card_of, load_pretrained
from course_utils.training import features, with_head
from course_utils.widgets.background import BackgroundRun, RunsInBackground
from course_utils.widgets.controls import code_toggle, row_of
from course_utils.widgets.own_pictures_panel.classified import (
    Classified,
    Classifier,
    Collection,
    classified,
    classifier_of,
    opened,
)
from course_utils.widgets.own_pictures_panel.picture import WIDTH, draw, summary
from course_utils.widgets.panel import LABEL_WIDTH, Panel, choice

_NETWORK = "efficientnet_lite0"
_AT_ONCE = 16  # pictures between two looks at Stop
_HELP = "Your own pictures, class by class, or a folder; then Train."


class OwnPicturesPanel(RunsInBackground, Panel):
    """Own-pictures panel: a few pictures of each class -> a classifier, and its mistakes.

    The network is frozen; a linear layer learns from its features. Each picture is judged by a
    layer that has not seen it (`cross_validated`); the layer that answers for the new picture has
    learned from all. The computation runs in the background, and Stop ends it. Until then the panel
    shows its example.

    Args:
        network: A trained network. Default: EfficientNet-Lite0.
        card: Of its pictures; None for that of a network of `load_pretrained`.
        example: Shown first: a classifier of the training pictures. The first test picture of each
            class is a new picture. Default: twelve emoji of each of four kinds.
        size: Side of the pictures in pixels.
        settings: First values of the controls `class_name`, `folder` and `photograph`.

    Attributes:
        classifier: The one that is shown.

    Raises:
        CourseError: If there is no card, the example is too small, or a control cannot have such a
            value.
    """

    _busy = "The classifier is on its way already: let it end, or press Stop first."

    def __init__(
        self,
        network: nn.Module | None = None,
        *,
        card: Card | None = None,
        example: Dataset | None = None,
        size: int = 96,
        **settings: Any,
    ):
        self._is_own = network is not None
        self._network = load_pretrained(_NETWORK) if network is None else network
        self._card = card_of(self._network) if card is None else card
        if self._card is None:
            raise CourseError(
                "Of this network it is not known what pictures it takes: give card=..., such as "
                "pretrained_card(...)."
            )
        self._size = size
        # The background and a new picture must not ask the network at the same time.
        self._asking = threading.Lock()
        self._done = self._all = 0
        self._collected = Collection(size)
        with one_thread():
            example = _emoji() if example is None else example
            mine = replace(example.train, images=resized(example.train.images, size))
            found = self._features(mine.images)
            name = f"Example, {example.title}"
            self._example = self.classifier = classifier_of(mine, found, name)
        first = [(example.test.labels == k).nonzero()[0] for k in example.test.labels.unique()]
        self._new = {  # name -> new picture (1, 3, size, size)
            f"example of {example.classes[example.test.labels[row]]}": resized(
                example.test.images[row], size
            )
            for row in first
        }
        self._new_features: dict[str, Tensor] = {}

        controls = {
            "class_name": _text("class", "such as cat"),
            "pictures": _upload("Add pictures of this class", multiple=True),
            "folder": _text("or a folder", "such as pets"),
            "photograph": choice("new picture", [*self._new, *PHOTOGRAPHS]),
            "file": _upload("Another new picture"),
        }
        self._photograph = controls["photograph"]
        self._adapt_to(controls["pictures"], self._take)
        self._adapt_to(controls["file"], self._take_new)
        hint = "Compute the features of your pictures, and let a linear layer learn from them"
        self._train_button = self._button("Train", self.train, hint, "play", "success")
        hint = "Stop before the next pictures"
        self._stop_button = self._button("Stop", self.stop, hint, "stop", "warning")
        hint = "Forget your pictures, and show the example"
        reset = self._button("Start over", self.reset, hint)
        self._bar = widgets.IntProgress(min=0, max=1, layout={"width": "auto"})
        self._status = widgets.HTML()
        self._say(_HELP)
        self._show_state()
        row = row_of(self._train_button, self._stop_button, reset)
        super().__init__(
            controls, title="Own-pictures panel", width=WIDTH, initial=settings, extra=(row,)
        )
        left = self.children[1].children[0]
        mine = [controls[name] for name in ("class_name", "pictures", "folder")]
        new = [controls[name] for name in ("photograph", "file")]
        left.children = (*mine, row, self._bar, self._status, *new, code_toggle(self._code))

    # What the buttons do; cells and tests call the same

    def add(self, class_name: str, sources: Sequence[Any]) -> None:
        """Add pictures to a class, as the button does.

        Args:
            sources: Paths, or files that are open for reading bytes.

        Raises:
            CourseError: If the class has no name, or a file cannot be read; then none is added.
        """
        self._collected.add(class_name, sources)
        given = ", ".join(f"{name} {count}" for name, count in self._collected.counts.items())
        self._say(f"Your pictures: {given}. Add more, or press Train.")

    def train(self, wait: bool = False) -> None:
        """Make a classifier of the reader's pictures, in the background.

        If one is being made already, only the status line says so.

        Args:
            wait: Return only when it is there.

        Raises:
            CourseError: If there are pictures of fewer than two classes, only one of a class, or
                both pictures and a folder.
        """
        if self._refused():
            return
        folder, given = self.settings["folder"].strip(), self._collected.counts
        if folder and given:
            raise CourseError(
                "There are a folder and pictures that you added: empty the field of the folder, or "
                "press Start over."
            )
        mine = None if folder else self._collected.as_set()
        run = BackgroundRun(
            lambda: self._work(folder, mine, run),
            on_tick=self._on_tick,
            on_end=self._shown(self._on_end),
        )
        self._run, self._done, self._all = run, 0, 1
        self._say("Reading the pictures …")
        self._show_state(running=True)
        self.refresh()  # takes away an earlier error
        run.start()
        if wait:
            self.wait()

    def reset(self) -> None:
        """Forget the reader's pictures, and show the example."""
        self.stop()
        self.wait()
        self._collected, self._failure = Collection(self._size), None
        self.classifier = self._example
        self._bar.value = 0
        self._say(_HELP)
        self.set(class_name="", folder="")

    @property
    def model(self) -> nn.Module:
        """The network with the classifier as its last layer; a copy."""
        return with_head(self._network, self.classifier.head)

    # What the panel shows

    def compute(self, *, photograph: str, **_others: Any) -> Classified:
        if photograph not in self._new:
            self._new[photograph] = read_pictures([photograph], size=self._size)
        new = self._new[photograph]
        if photograph not in self._new_features:
            self._new_features[photograph] = self._features(new)
        return classified(self.classifier, new[0], self._new_features[photograph], photograph)

    def picture(self, result: Classified) -> bytes:
        return draw(result)

    def describe(self, result: Classified) -> str:
        return summary(result)

    def describe_unmeasured(self, result: Classified) -> str:
        return summary(result, measured=False)

    def code(self, result: Classified) -> str:
        folder = self.settings["folder"].strip() or "pictures"
        network = "network, card  # those that you gave the panel"
        made = [f'network = load_pretrained("{_NETWORK}")', "card = card_of(network)"]
        lines = [
            "from course_utils.data import load_folder",
            *([] if self._is_own else ["from course_utils.models import card_of, load_pretrained"]),
            "from course_utils.training import features, linear_head, with_head",
            "",
            *([f"# {network}"] if self._is_own else made),
            f"mine = load_folder({folder!r}).train  # a sub-folder for each class",
            "found = features(network, mine.images, card=card)",
            "classifier = with_head(network, linear_head(found, mine.labels))",
        ]
        return "\n".join(lines) + "\n"

    # Inside

    def _take(self, files: Any) -> None:
        """Add uploaded files to the class in the field, and empty the button for the next ones."""
        if not files:
            return
        self.controls["pictures"].value = ()
        self.add(self.controls["class_name"].value, opened(files))

    def _take_new(self, files: Any) -> None:
        """Offer an uploaded file as the new picture, and choose it."""
        if not files:
            return
        self.controls["file"].value = ()
        file = opened(files)[-1]
        name = f"your {file.name}"  # not the name of a photograph of the course
        self._new[name] = read_pictures([file], size=self._size)
        self._new_features.pop(name, None)  # of another picture with this name
        if name not in self._photograph.options:
            self._photograph.options = [*self._photograph.options, name]
        self._photograph.value = name

    def _features(self, images: Tensor) -> Tensor:
        with self._asking:
            return features(self._network, images, card=self._card, size=self._size)

    def _work(self, folder: str, mine: ImageSet | None, run: BackgroundRun) -> Classifier | None:
        with one_thread():
            if mine is None:
                data = load_folder(folder, size=self._size)
                images = torch.cat([data.train.images, data.test.images])
                labels = torch.cat([data.train.labels, data.test.labels])
                mine = ImageSet(images, labels, data.classes)
            self._all, found = len(mine), []
            for some in mine.images.split(_AT_ONCE):
                if run.stopping.is_set():
                    return None
                run.tick()
                found.append(self._features(some))
                self._done += len(some)
            return classifier_of(mine, torch.cat(found), folder or "Your pictures")

    def _on_tick(self) -> None:
        self._bar.max, self._bar.value = self._all, self._done
        self._say(f"Features of {self._done:,} of {self._all:,} pictures")

    def _on_end(self) -> None:
        run = self._run
        if run.exception is not None:
            self._failure = run.exception
            self._say("Ended by an error.")
        elif run.result is None:
            self._say(f"{run.why_stopped}; the classifier is the one from before.")
        else:
            self.classifier = run.result
            self._bar.max, self._bar.value = self._all, self._done
            self._say("Done. Choose a new picture, or add more of your own and train again.")
        self._show_state()
        self.refresh()

    def _show_state(self, running: bool = False) -> None:
        self._train_button.disabled, self._stop_button.disabled = running, not running


def _emoji() -> Dataset:
    """Return emoji of four kinds: twelve of each to learn from, and the test pictures."""
    emoji = load_dataset("emoji", validation=0)
    kinds = torch.tensor([0, 3, 4, 5])
    classes = tuple(emoji.classes[kind] for kind in kinds)

    def of_kinds(part: ImageSet, most: int) -> ImageSet:
        rows = torch.cat([(part.labels == kind).nonzero().flatten()[:most] for kind in kinds])
        labels = torch.bucketize(part.labels[rows], kinds)
        return ImageSet(part.images[rows], labels, classes)

    train, test = of_kinds(emoji.train, 12), of_kinds(emoji.test, 1)
    return Dataset(emoji.name, emoji.title, train, train.subset([]), test)


def _text(description: str, placeholder: str) -> widgets.Text:
    style = {"description_width": LABEL_WIDTH}
    return widgets.Text(
        description=description, placeholder=placeholder, style=style, continuous_update=False
    )


def _upload(description: str, multiple: bool = False) -> widgets.FileUpload:
    return widgets.FileUpload(
        description=description, accept="image/*", multiple=multiple, layout={"width": "auto"}
    )


def own_pictures_panel(network: nn.Module | None = None, **keywords: Any) -> OwnPicturesPanel:
    """Open the own-pictures panel; the arguments are those of `OwnPicturesPanel`."""
    return OwnPicturesPanel(network, **keywords)
