"""Results to draw, and one figure of each kind and extreme."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator, Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from course_utils import conv, metrics, plots
from course_utils.plots import canvas
from course_utils.training import History, SignalSpread, descend


def history(epochs: int, shift: float = 0.0, first_bad: int = 10**6) -> History:
    done = [*range(1, epochs + 1)]
    losses = [math.nan if e >= first_bad else 1 / (e + 1) + shift for e in done]
    return History(
        epoch=done,
        train_loss=losses,
        train_accuracy=[1 - loss / 2 for loss in losses],
        validation_loss=[1.2 * loss for loss in losses],
        validation_accuracy=[1 - loss / 1.8 for loss in losses],
    )


def spread(
    scheme: str = "he", factor: float = 1.0, depth: int = 12, batch_norm=False, forward=None
) -> SignalSpread:
    forward = forward or [factor**k for k in range(1, depth + 1)]
    both = forward, forward[::-1]
    return SignalSpread(scheme, depth, "relu", batch_norm, *both, "Activations hold.")


def image_set(n: int = 20, channels: int = 1, size: int = 28) -> SimpleNamespace:
    images = random(n, channels, size, size).mul(60).add(128).clamp(0, 255).to(torch.uint8)
    classes = ("Ankle boot", "T-shirt/top", "Bag")
    return SimpleNamespace(images=images, labels=torch.arange(n) % 3, classes=classes)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def found_boxes(count: int, **options) -> plots.Figure:
    boxes = torch.tensor([[2.0, 3, 12, 9], [0, 0, 30, 20]])
    pictures = random(count, 3, 20, 30).mul(20).add(180).clamp(0, 255).to(torch.uint8)
    parts = [boxes] * count, [torch.tensor([0, 1])] * count
    return plots.detections(pictures, *parts, ("red cell", "white cell"), **options)


def run(train: float, validation: float) -> SimpleNamespace:
    return SimpleNamespace(train_accuracy=train, validation_accuracy=validation)


def pixels(png: bytes) -> np.ndarray:
    """Return the RGB array (H, W, 3) that a browser shows."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@contextlib.contextmanager
def written() -> Iterator[list[tuple[str, int, int, int, int]]]:
    """Collect (text, left, top, size, right) of each line that is written on a `Canvas`."""
    found, original = [], canvas.Canvas.text

    def text(self, text, left, top, size=13, **style):
        right = left + canvas.text_width(text, size, style.get("bold", False))
        found.append((text, left, top, size, right))
        original(self, text, left, top, size, **style)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canvas.Canvas, "text", text)
        yield found


def contrast(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the contrast ratio of two sRGB colours in [0, 1], as WCAG 2.2 defines it."""
    colours = np.array([first, second])
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    dark, bright = sorted(linear @ (0.2126, 0.7152, 0.0722))
    return (bright + 0.05) / (dark + 0.05)


def texts_in(figure: plots.Figure, panel: int = 0) -> list[str]:
    """Return the texts in one panel of a figure."""
    return [text.get_text() for text in figure.axes[panel].texts]


def judged(classes: int = 10, seed: int = 0, n: int = 400):
    """Return labels, probabilities, and names of classes; the answers are often right."""
    draw = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), draw.integers(0, classes, n)])
    logits = draw.normal(0, 1, (len(labels), classes)) + 2.5 * np.eye(classes)[labels]
    exponential = np.exp(2 * logits)
    names = tuple(f"class {k} of all" for k in range(classes))
    return labels, exponential / exponential.sum(1, keepdims=True), names


def confused(classes: int, n: int = 400):
    labels, scores, names = judged(classes, n=n)
    return metrics.confusion(labels, scores.argmax(1), names)


SOBEL = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
STACK = nn.Sequential(
    nn.Conv2d(3, 8, 7, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(8, 8, 3, dilation=2)
)
ZEROS, INF = [0.0] * 12, [10.0 ** (9 * k) for k in range(1, 5)] + [math.inf] * 8

SAMPLES = {
    "confusion": lambda: plots.confusion_matrix(confused(10), title="One class for another"),
    "confusion, rates": lambda: plots.confusion_matrix(confused(3, 40_000), rates=True),
    "confusion, a class is missing": lambda: plots.confusion_matrix(
        metrics.confusion([0, 0], [0, 2], ("a", "b", "c"))
    ),
    "ROC": lambda: plots.class_curves(metrics.roc_curves(*judged())),
    "ROC, left end": lambda: plots.class_curves(
        metrics.roc_curves(*judged(2)), highlight="class 1 of all", until=0.1
    ),
    "precision-recall": lambda: plots.class_curves(
        metrics.precision_recall_curves(*judged(12)), highlight=judged(12)[2]
    ),
    "reliability": lambda: plots.reliability_diagram(metrics.reliability(*judged()[:2])),
    "reliability, three": lambda: plots.reliability_diagram(
        {name: metrics.reliability(*judged(seed=k)[:2]) for k, name in enumerate("abc")}
    ),
    "reliability, one picture": lambda: plots.reliability_diagram(
        metrics.reliability([1], [[1.0, 0.0]])
    ),
    "boxes": lambda: found_boxes(1),
    "boxes, two rows": lambda: found_boxes(5, titles=[f"step {k}" for k in range(5)]),
    "boxes, wrong ones": lambda: found_boxes(
        2, titles=["before", "after"], right=[torch.tensor([True, False])] * 2
    ),
    "curves": lambda: plots.learning_curves(history(8)),
    "curves, no epoch": lambda: plots.learning_curves(history(0)),
    "curves, one epoch": lambda: plots.learning_curves(history(1)),
    "curves, diverged": lambda: plots.learning_curves(history(9, first_bad=4)),
    "curves, all nan": lambda: plots.learning_curves(history(3, first_bad=1)),
    "curves, several": lambda: plots.learning_curves(
        {"weight decay 0.01": history(5), "dropout 0.5": history(9, 0.001), "x": history(0)}
    ),
    "curves, nobody": lambda: plots.learning_curves({}),
    "layers": lambda: plots.layer_statistics(spread()),
    "layers, several": lambda: plots.layer_statistics(
        [spread("he"), spread("xavier", 0.3), spread("he read as variance", 4.0)], title="Twelve"
    ),
    "layers, 0 and inf": lambda: plots.layer_statistics(
        {
            "zeros": spread(forward=ZEROS),
            "normal 1": spread(forward=INF),
            "nan": spread(forward=[math.nan] * 12),
        }
    ),
    "layers, one": lambda: plots.layer_statistics(spread(depth=1)),
    "layers, tiny": lambda: plots.layer_statistics(spread(forward=[1e-45] * 12)),
    "filters": lambda: plots.filters(random(16, 1, 3, 3), title="conv1"),
    "filters, titles": lambda: plots.filters(random(16, 1, 3, 3), list(map(str, range(16)))),
    "filters, RGB": lambda: plots.filters(nn.Conv2d(3, 8, 3)),
    "filters, many": lambda: plots.filters(random(64, 32, 3, 3)),
    "filters, one zero": lambda: plots.filters(torch.zeros(1, 1, 3, 3)),
    "filters, 1×1": lambda: plots.filters(random(4, 8, 1, 1)),
    "filters, 1×7": lambda: plots.filters(random(4, 1, 1, 7)),
    "filters, nan": lambda: plots.filters(torch.full((2, 1, 3, 3), math.nan)),
    "maps": lambda: plots.feature_maps(random(16, 28, 28), [f"map {i}" for i in range(16)]),
    "maps, ReLU": lambda: plots.feature_maps(random(1, 5, 14, 14).relu(), columns=2),
    "maps, large": lambda: plots.feature_maps(random(3, 300, 200)),
    "maps, 1 pixel": lambda: plots.feature_maps(np.ones((40, 1, 1))),
    "images": lambda: plots.images(image_set()),
    "images, one": lambda: plots.images(image_set(), [-1]),
    "images, more than there are": lambda: plots.images(image_set(5), 100),
    "images, RGB, predictions": lambda: plots.images(
        image_set(20, 3, 32), 8, predictions=torch.zeros(20, dtype=torch.int64)
    ),
    "row": lambda: plots.picture_row(
        [image_set().images[0], SOBEL, random(26, 26)], ["photograph", "kernel", "of\nboth"]
    ),
    "row, columns": lambda: plots.picture_row(random(5, 8, 8), list("abcde"), columns=3),
    "row, one": lambda: plots.picture_row([np.arange(12.0).reshape(3, 4)]),
    "row, RGB": lambda: plots.picture_row([random(3, 8, 8).relu(), np.zeros((8, 9, 3), np.uint8)]),
    "bars": lambda: plots.bars(
        {"SimpleCNN": 0.893, "nearest neighbour": 0.801},
        {"SimpleCNN": (0.879, 0.906)},
        form="{:.1%}",
        title="Accuracy",
        highlight="SimpleCNN",
    ),
    "bars, one": lambda: plots.bars({"a": 12_845_056}, form="{:,.0f}"),
    "bars, odd": lambda: plots.bars({"a": -0.3, "b": 0.4, "c": math.nan, "d": math.inf}),
    "bars, zeros": lambda: plots.bars({"a": 0.0, "b": 0.0}),
    "pairs": lambda: plots.before_and_after(
        {"kernel 5": (0.89, 0.9), "stride 2": (0.3, 0.86)},
        ("at once", "trained"),
        percent=True,
        title="Accuracy",
    ),
    "pairs, one": lambda: plots.before_and_after({"a": (3, 1)}),
    "gaps": lambda: plots.gaps({"none": run(1.0, 0.8), "dropout 0.5": run(0.9, 0.85)}, rows=4),
    "gaps, none": lambda: plots.gaps({}),
    "heat map": lambda: plots.heatmap(
        np.arange(100).reshape(10, 10), [f"T-shirt {i}" for i in range(10)], xlabel="predicted"
    ),
    "heat map, signed": lambda: plots.heatmap([[1, -2.0, math.nan]], (["row"], list("xyz"))),
    "heat map, zero": lambda: plots.heatmap([[0]], ["a"], ylabel="true"),
    "lines": lambda: plots.lines(
        {"kernel 3": ([1, 2, 3], [9, 18, 27]), "kernel 5": ([1, 2, 3], [25, 50, 75])},
        xlabel="layers",
        ylabel="Parameters",
        markers=True,
    ),
    "lines, log": lambda: plots.lines(
        {"loss": (np.logspace(-5, 0, 9), [1, 2, math.nan, 3, 4, 5, 0, -1, math.inf])}, log="xy"
    ),
    "lines, none": lambda: plots.lines({}),
    "lines, marks": lambda: plots.lines({"a": ([1, 9], [1, 2])}, log="x", marks={"best": 3.0}),
    "valley": lambda: plots.descents({"rate 0.08": descend(torch.optim.SGD, 0.08)}),
    "valley, several": lambda: plots.descents(
        {f"rate {rate}": descend(torch.optim.SGD, rate) for rate in (0.01, 0.1, 1e9)}
    ),
    "lines, one point": lambda: plots.lines({"a": ([1], [0.5]), "b": ([], [])}, percent="y"),
    "effective fields": lambda: plots.effective_fields(
        [conv.effective_receptive_field(STACK, "0", random(1, 3, 40, 50))] * 3, list("abc")
    ),
    "field": lambda: plots.receptive_field_diagram([3, (3, 2), (3, 1, 4)]),
    "field, modules": lambda: plots.receptive_field_diagram(STACK),
    "field, 1×1": lambda: plots.receptive_field_diagram([nn.Conv2d(3, 8, 1)]),
    "field, wide": lambda: plots.receptive_field_diagram([(7, 2, 1)] * 5),
}
