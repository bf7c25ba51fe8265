"""Compare models: accuracy, size, cost, receptive field, measured latency and file size.

>>> from course_utils.data import load_dataset
>>> from course_utils.models import SimpleCNN
>>> models = {"narrow": SimpleCNN(), "wide": SimpleCNN(widths=(32, 64))}
>>> result = compare_models(models, load_dataset("fashion-mnist"), latency=False)
>>> result["wide"].parameters - result["narrow"].parameters
29696
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from course_utils.conv import ReceptiveField, layer_table
from course_utils.core import (
    CourseError,
    check_network,
    device_of,
    evaluation_mode,
    private_random_numbers,
)
from course_utils.data import Dataset
from course_utils.metrics.compatibility import check_model_fits
from course_utils.metrics.evaluate import check_logits, evaluate
from course_utils.metrics.intervals import Interval, wilson_interval
from course_utils.metrics.latency import Latency, measure_latency, typical_ratio

if TYPE_CHECKING:
    import pandas

PARTS = ("train", "validation", "test")
Pictures = tuple[Tensor, Tensor | None]  # images, labels


@dataclass(frozen=True)
class Measurements:
    """The measurements of one model.

    Attributes:
        correct, total: number of pictures that it classifies correctly, and of all pictures; None
            without labels.
        parameters: number of parameters; shared ones count once.
        multiply_adds: for one picture, of convolutions and matrix products.
        receptive_field: of the `nn.Conv2d` that is called last; None if there is none, or if its
            field is not known (after squeeze-and-excitation, for example, it sees the whole
            picture). An earlier layer does not count instead: the numbers of two models would
            belong to different layers.
        file_bytes: size of the file that `torch.save(model.state_dict(), ...)` writes.
        latency: by batch size; empty if it was not measured.
    """

    correct: int | None
    total: int | None
    parameters: int
    multiply_adds: int
    receptive_field: ReceptiveField | None
    file_bytes: int
    latency: Mapping[int, Latency] = field(default_factory=dict)

    @property
    def accuracy(self) -> float | None:
        """Share of pictures that were classified correctly, in [0, 1]; None without labels."""
        return None if self.correct is None else self.correct / self.total

    def interval(self, confidence: float = 0.95) -> Interval | None:
        """Return Wilson's interval for the accuracy, see `wilson_interval`; None without labels."""
        if self.correct is None:
            return None
        return wilson_interval(self.correct, self.total, confidence)


@dataclass(frozen=True)
class Comparison:
    """The measurements of several models by name; the others are compared with the first."""

    models: Mapping[str, Measurements]

    def __getitem__(self, name: str) -> Measurements:
        return self.models[name]

    def latency_ratio(self, name: str, batch_size: int = 1) -> float:
        """Return the latency of model `name` divided by that of the first; below 1 it is faster.

        See `typical_ratio` in `latency`.
        """
        first = next(iter(self.models.values()))
        return typical_ratio(self.models[name].latency[batch_size], first.latency[batch_size])

    def as_frame(self) -> pandas.DataFrame:
        """Return a table of texts: a row for each quantity, a column for each model.

        One more column for each model but the first shows the difference from the first: accuracy
        in percentage points, everything else as a factor. Unknown values are "–". The numbers are
        in `comparison[name]`.
        """
        import pandas

        first, *others = self.models
        columns = {name: _column(one) for name, one in self.models.items()}
        for name in others:
            columns[f"{name} vs {first}"] = self._differences(name, first)
        frame = pandas.DataFrame(columns, index=list(columns[first]))
        known = [any(column[row] != "–" for column in columns.values()) for row in frame.index]
        return frame[known]

    def _differences(self, name: str, first: str) -> dict[str, str]:
        a, b = self.models[first], self.models[name]
        points = "–"
        if a.accuracy is not None and b.accuracy is not None:
            gained = 100 * (b.accuracy - a.accuracy)
            points = f"{gained:+.1f} points".replace("-", "−") if gained else "same"
        sizes = [one.receptive_field and one.receptive_field.size for one in (a, b)]
        plain = all(isinstance(size, int) for size in sizes)
        return {
            "accuracy": points,
            "parameters": _factor(b.parameters, a.parameters),
            "multiply-adds": _factor(b.multiply_adds, a.multiply_adds),
            "receptive field": _factor(sizes[1], sizes[0]) if plain else "–",
            **{_row(n): f"×{self.latency_ratio(name, n):.2f}" for n in a.latency},
            "file size (bytes)": _factor(b.file_bytes, a.file_bytes),
        }

    def _repr_html_(self) -> str:
        return self.as_frame().to_html()

    def __str__(self) -> str:
        return self.as_frame().to_string()


def compare_models(
    models: Mapping[str, nn.Module],
    data: Dataset | Pictures,
    *,
    part: str = "test",
    batch_size: int = 256,
    latency: bool = True,
    latency_batches: Sequence[int] = (1, 64),
    seconds: float = 0.5,
    clock: Callable[[], float] | None = None,
) -> Comparison:
    """Measure several models on the same pictures; each runs in eval mode and does not change.

    The latency is the time of a forward pass on the model's device, on the CPU with one thread. The
    models take turns, so that a busy machine slows them all equally.

    Args:
        models: by name. Each takes float32 (N, C, H, W) and returns logits (N, classes).
        data: a data set, or (images, labels): images as the models take them, float (N, C, H, W),
            and labels int64 (N,), or None.
        part: of the data set: "test", or "validation" while you still choose between models.
        batch_size: pictures at a time for the accuracy.
        latency_batches: batch sizes for the latency; too few pictures are repeated.
        seconds: for each model and each of `latency_batches`; see `measure_latency`.
        clock: as for `measure_latency`; `time.process_time` counts only the work of this process.

    Raises:
        CourseError: if there is no model or no picture, a setting is wrong, or a model does not fit
            the data; the message names the model.
        Exception: any other error of a model.
    """
    _check(models, data, part, latency_batches)
    with private_random_numbers():
        measured = {}
        for name, model in models.items():
            try:
                measured[name] = _measure(model, data, part, batch_size)
            except CourseError as error:
                raise CourseError(f"{name}: {error}") from error
        times: dict[str, dict[int, Latency]] = {name: {} for name in models}
        for count in latency_batches if latency else ():
            images = _pictures(data, part, count)
            timed = measure_latency(models, images, seconds=seconds, clock=clock)
            for name, taken in timed.items():
                times[name][count] = taken
    return Comparison({n: Measurements(**m, latency=times[n]) for n, m in measured.items()})


def _check(
    models: Mapping[str, nn.Module], data: Dataset | Pictures, part: str, batches: Sequence[int]
) -> None:
    if not models:
        raise CourseError("There is nothing to compare: give at least one model.")
    if any(count < 1 for count in batches):
        raise CourseError(f"latency_batches={tuple(batches)}: give whole numbers from 1 up.")
    for name, model in models.items():
        check_network(model)
        if any(parameter.is_meta for parameter in model.parameters()):
            raise CourseError(f"{name} is on the meta device: it has no numbers, so it cannot run.")
    if isinstance(data, Dataset):
        if part not in PARTS:
            raise CourseError(f"part={part!r}: give one of {', '.join(map(repr, PARTS))}.")
        images, labels = getattr(data, part).images, None
    elif not isinstance(data, tuple | list) or len(data) != 2:
        raise CourseError(f"data is a {type(data).__name__}: give a Dataset or (images, labels).")
    else:
        images, labels = data
        if not images.is_floating_point() or images.dim() != 4:
            raise CourseError(
                "images must be as the models take them, float of shape (N, C, H, W), not "
                f"{str(images.dtype).removeprefix('torch.')} of shape {tuple(images.shape)}: "
                "dataset.normalise(images) makes them of uint8 pictures."
            )
    if labels is not None and labels.shape != (len(images),):
        shapes = f"({len(images)},), one for each picture, not {tuple(labels.shape)}"
        raise CourseError(f"labels must be of shape {shapes}.")
    if not len(images):
        raise CourseError("There is no picture to compare on: give at least one.")


def _measure(
    model: nn.Module, data: Dataset | Pictures, part: str, batch_size: int
) -> dict[str, Any]:
    """Return the fields of `Measurements` except the latency."""
    correct, total = _count_right(model, data, part, batch_size)
    rows = layer_table(model, _pictures(data, part, 1).to(device_of(model)))
    called = [row for row in rows if row.output_shape is not None]
    convs = [row for row in called if isinstance(model.get_submodule(row.name), nn.Conv2d)]
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return {
        "correct": correct,
        "total": total,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "multiply_adds": sum(row.multiply_adds or 0 for row in rows),
        "receptive_field": convs[-1].receptive_field if convs else None,
        "file_bytes": file.tell(),
    }


def _count_right(
    model: nn.Module, data: Dataset | Pictures, part: str, batch_size: int
) -> tuple[int | None, int | None]:
    """Return (correct, total); (None, None) without labels."""
    if isinstance(data, Dataset):
        check_model_fits(model, data, device_of(model))
        settings = {"mean": data.mean, "std": data.std, "batch_size": batch_size}
        result = evaluate(model, getattr(data, part), **settings)
        return result.correct, result.total
    images, labels = data
    if labels is None:
        return None, None
    correct = 0
    with evaluation_mode(model), torch.no_grad():
        for some, right in zip(images.split(batch_size), labels.split(batch_size), strict=True):
            logits = model(some.to(device_of(model)))
            # The number of classes is not known here: the model's own counts.
            check_logits(logits, len(right), logits.shape[-1] if isinstance(logits, Tensor) else 0)
            correct += int((logits.argmax(1).to(right.device) == right).sum())
    return correct, len(labels)


def _pictures(data: Dataset | Pictures, part: str, count: int) -> Tensor:
    """Return the first `count` pictures, float (count, C, H, W), repeated if there are fewer."""
    images = getattr(data, part).images if isinstance(data, Dataset) else data[0]
    chosen = images[torch.arange(count) % len(images)]
    return data.normalise(chosen) if isinstance(data, Dataset) else chosen


def _column(one: Measurements) -> dict[str, str]:
    accuracy = "–" if one.accuracy is None else f"{one.accuracy:.1%} ({one.interval()})"
    return {
        "accuracy": accuracy,
        "parameters": f"{one.parameters:,}",
        "multiply-adds": f"{one.multiply_adds:,}",
        "receptive field": "–" if one.receptive_field is None else str(one.receptive_field),
        **{_row(count): str(taken) for count, taken in one.latency.items()},
        "file size (bytes)": f"{one.file_bytes:,}",
    }


def _row(batch_size: int) -> str:
    return f"latency, batch {batch_size}"


def _factor(value: float, reference: float) -> str:
    """Return the ratio as text; "same" if equal, because ×1.00 may be rounded."""
    if value == reference:
        return "same"
    return f"×{value / reference:.2f}" if reference else "–"
