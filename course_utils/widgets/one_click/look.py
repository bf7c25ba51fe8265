"""What the one-click lab computes: one convolution edited, the rest following, and what it changes.

A `Bench` is a network with all that is measured on it, each quantity once. An edit makes another
bench, and a `Look` holds the two side by side:

>>> from course_utils.data.load import load_dataset
>>> from course_utils.models.simple import SimpleCNN
>>> bench = bench_for(SimpleCNN(), load_dataset("fashion-mnist"))
>>> look = Look(bench, "conv1", edit(bench, "conv1", {"out_channels": 24}))
>>> look.before.parameters, look.after.parameters, look.same_function
(20490, 22874, True)
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from course_utils.conv import (
    CHANGEABLE,
    ROUNDING,
    EditReport,
    edit_conv,
    relative_change,
    simple_settings,
)
from course_utils.core import CourseError
from course_utils.data import Dataset, ImageSet
from course_utils.training import Step, fit
from course_utils.widgets.one_click.bench import (
    LEAST,
    MOST,
    Bench,
    HeldOut,
    adapted,
    bench_for,
)

__all__ = [
    "FOLLOWS",
    "Bench",
    "Edited",
    "Look",
    "Trained",
    "bench_for",
    "brief_pictures",
    "changes_of",
    "edit",
    "no_accuracy",
    "train_briefly",
]

FOLLOWS = "as it follows"
"""The value of padding that leaves it to `edit_conv`: the output keeps its size if it can."""

_FEW = 4  # held-out pictures
_AT_ONCE = 2e9  # multiply-adds; about a tenth of a second
_BRIEFLY = 4e10  # multiply-adds of all pictures that a brief training sees, forward


def changes_of(conv: nn.Conv2d, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the `wanted` settings that the layer has not, as arguments of `edit_conv`.

    A padding that equals the layer's own counts beside other changes: it says that the padding
    must not follow them.
    """
    own = simple_settings(conv)
    changes = {n: wanted[n] for n in CHANGEABLE if n != "padding" and wanted[n] != own[n]}
    padding = wanted["padding"]
    if padding != FOLLOWS and (changes or padding != own["padding"]):
        changes["padding"] = padding
    return {name: changes[name] for name in CHANGEABLE if name in changes}


@dataclass(frozen=True)
class Edited:
    """A bench with the edited network, and the report of the edit."""

    bench: Bench
    report: EditReport


def edit(bench: Bench, layer: str, changes: Mapping[str, Any]) -> Edited:
    """Edit one convolution of the bench's network; the bench itself stays as it is.

    Raises:
        ImpossibleSetting: no layer has such settings.
        EditError: the network cannot follow, or the layer's channels are its outputs.
    """
    model, report = edit_conv(
        bench.model, layer, example_input=bench.example, return_report=True, **changes
    )
    return Edited(Bench(model, bench.held_out), report)


@dataclass(frozen=True)
class Look:
    """One layer of a network before and after an edit.

    Args:
        before: the network as the edit found it.
        layer: name of the edited layer.
        edited: what the edit made; None if nothing is changed.
        index: of the held-out picture whose maps are shown.
        first: the network that a chain of edits began with; None if `before` is that.
        trained: accuracies of copies of `before` and `after` that were trained briefly; None for
            one that was not.
    """

    before: Bench
    layer: str
    edited: Edited | None = None
    index: int = 0
    first: Bench | None = None
    trained: tuple[float | None, float | None] = (None, None)

    @property
    def after(self) -> Bench:
        return self.edited.bench if self.edited else self.before

    @property
    def report(self) -> EditReport | None:
        return self.edited.report if self.edited else None

    @cached_property
    def touched(self) -> frozenset[str]:
        """Names of all layers that the edit changed."""
        return frozenset(self.report.touched if self.report else ())

    @property
    def image(self) -> Tensor:
        """The picture whose maps are shown: float (C, H, W)."""
        return self.before.held_out.images[self.index]

    @property
    def label(self) -> str:
        held_out = self.before.held_out
        return held_out.data.classes[int(held_out.labels[self.index])]

    @cached_property
    def maps(self) -> tuple[Tensor, Tensor]:
        """Of the layer, before and after: float (K, H, W) each."""
        return tuple(bench.maps(self.layer, self.index) for bench in (self.before, self.after))

    @cached_property
    def count(self) -> int:
        """Held-out pictures that are answered at once: fewer for a network that costs more."""
        benches = [bench for bench in (self.first, self.before, self.after) if bench]
        cost = max(bench.multiply_adds for bench in benches)
        # An accuracy needs some pictures; whether the function is the same shows on a few.
        count, least = MOST, _FEW if no_accuracy(self.before) else LEAST
        while count > least and count * cost > _AT_ONCE:
            count //= 2
        return min(count, len(self.before.held_out))

    @cached_property
    def difference(self) -> float:
        """max |y' − y| / max |y| over the outputs y before and y' after, of `count` pictures."""
        if self.edited is None:
            return 0.0
        before, after = (bench.outputs(self.count) for bench in (self.before, self.after))
        return relative_change(before, after)

    @property
    def same_function(self) -> bool:
        return self.difference < ROUNDING

    @cached_property
    def accuracies(self) -> tuple[float | None, float | None]:
        """At once, before and after, of `count` pictures; None where there is no such thing."""
        return tuple(bench.accuracy(self.count) for bench in (self.before, self.after))


def no_accuracy(bench: Bench) -> str:
    """Why a network's outputs cannot be called right or wrong; "" if they can."""
    outputs, classes = bench.outputs(1), bench.held_out.data.classes
    if outputs.shape == (1, len(classes)):
        return ""
    data = bench.held_out.data.title
    if outputs.dim() == 2:
        what = f"It gives {outputs.shape[1]:,} scores"
    else:
        what = f"It gives {'×'.join(map(str, outputs.shape[1:]))} numbers"
    return f"{what} a picture, not one for each of the {len(classes)} classes of {data}."


@dataclass(frozen=True)
class Trained:
    """A copy of a network after a brief training.

    Attributes:
        model: the copy.
        accuracy: on all held-out pictures, in [0, 1].
        pictures: that it learned from.
    """

    model: nn.Module
    accuracy: float
    pictures: int


def brief_pictures(bench: Bench) -> int:
    """How many pictures a brief training shows: fewer for a network that costs more."""
    count = 8192
    while count > 256 and count * bench.multiply_adds > _BRIEFLY:
        count //= 2
    return min(count, len(bench.held_out.data.train))


def train_briefly(
    bench: Bench,
    *,
    pictures: int | None = None,
    seed: int = 0,
    stop: threading.Event | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Trained | None:
    """Train a copy of the network for a few seconds; None if it was stopped.

    One pass over the first training pictures with AdamW, the learning rate falling from 0.001 to 0
    along a cosine: little enough to leave a network as it is that has learned already.

    Args:
        pictures: to learn from. Default: `brief_pictures(bench)`.
        seed: of the order of the pictures, and of dropout.
        stop, on_step: as of `fit`.

    Raises:
        CourseError: the network's outputs are not the data's classes.
        Diverged: the loss is nan or infinite.
    """
    reason = no_accuracy(bench)
    if reason:
        raise CourseError(f"There is nothing to train it for. {reason}")
    pictures = pictures or brief_pictures(bench)
    model = copy.deepcopy(bench.model)
    history = fit(
        model,
        _brief_data(bench.held_out, pictures),
        epochs=1,
        learning_rate=1e-3,
        scheduler=CosineAnnealingLR,
        precision="float32",
        device=next(model.parameters()).device,
        seed=seed,
        stop=stop,
        on_step=on_step,
        progress=False,
    )
    if history.stopped:
        return None
    after = Bench(model, bench.held_out)
    return Trained(model, after.accuracy(len(bench.held_out)), pictures)


def _brief_data(held_out: HeldOut, pictures: int) -> Dataset:
    """The first training pictures of the data, in the shape that the network takes."""
    data = held_out.data
    train = data.train.subset(range(pictures))
    images = adapted(train.images.float(), held_out.shape).round().to(torch.uint8)
    train = ImageSet(images, train.labels, train.classes)
    small = Dataset(data.name, data.title, train, train.subset([]), train.subset([]))
    # Of all training pictures, as of the held-out ones; a data set measures only what it holds.
    channels = torch.arange(held_out.shape[0]) % len(data.mean)
    for name in ("mean", "std"):
        values = getattr(data, name)
        mixed = values.mean()[None] if held_out.shape[0] == 1 else values[channels]
        object.__setattr__(small, name, mixed)
    return small
