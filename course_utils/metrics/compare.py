"""Models side by side: accuracy, size, cost, receptive field, measured latency and file size.

>>> from course_utils.data.load import load_dataset
>>> from course_utils.models.simple import SimpleCNN
>>> narrow, wide = SimpleCNN(), SimpleCNN(widths=(32, 64))
>>> result = compare(narrow, wide, load_dataset("fashion-mnist"), latency=False)
>>> result["after"].parameters - result["before"].parameters
29696
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from course_utils.conv import LayerRow, ReceptiveField, layer_table
from course_utils.core import CourseError, device_of, evaluation_mode, private_random_numbers
from course_utils.data import Dataset
from course_utils.metrics.compatibility import check_model_fits
from course_utils.metrics.evaluate import (
    Interval,
    check_logits,
    evaluate,
    wilson_interval,
)
from course_utils.metrics.latency import Latency, measure_latency, typical_ratio

if TYPE_CHECKING:
    import pandas

PARTS = ("train", "validation", "test")
Pictures = tuple[Tensor, Tensor | None]  # images, labels


@dataclass(frozen=True)
class Measurements:
    """What is known of one model.

    Attributes:
        correct, total: pictures that it recognises, of so many; None without labels.
        parameters: numbers that it learns, shared ones counted once.
        multiply_adds: of one picture, over convolutions and linear layers.
        receptive_field: of the `nn.Conv2d` that is called last; None if there is none, or its field
            is not known (behind squeeze-and-excitation it sees the whole picture, say). Never that
            of an earlier layer instead: two models' numbers would not be of the same layer.
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
        """Share of right answers, in [0, 1]; None without labels."""
        return None if self.correct is None else self.correct / self.total

    def interval(self, confidence: float = 0.95) -> Interval | None:
        """Wilson's interval of the accuracy, see `metrics.wilson_interval`; None without labels."""
        if self.correct is None:
            return None
        return wilson_interval(self.correct, self.total, confidence)


@dataclass(frozen=True)
class Comparison:
    """Models side by side; `comparison[name]` is one of them, the first is what others refer to."""

    models: Mapping[str, Measurements]

    def __getitem__(self, name: str) -> Measurements:
        return self.models[name]

    def latency_ratio(self, name: str, batch_size: int = 1) -> float:
        """How many times as long as the first model `name` takes; below 1 it is faster.

        The median over the rounds of the ratio within each round: what slows the machine for a
        while slows both models of a round, and so leaves it as it is.
        """
        first = next(iter(self.models.values()))
        return typical_ratio(self.models[name].latency[batch_size], first.latency[batch_size])

    def as_frame(self) -> pandas.DataFrame:
        """A table to read: a row for each quantity, a column for each model.

        Behind them, for each model but the first, how it differs from the first: accuracy in
        percentage points, all else as a factor. What is not known is "–". The numbers themselves
        are in `comparison[name]`.
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


def compare(
    before: nn.Module, after: nn.Module, data: Dataset | Pictures, **options: Any
) -> Comparison:
    """Two models side by side, named "before" and "after"; for `options` see `compare_models`."""
    return compare_models({"before": before, "after": after}, data, **options)


def compare_models(
    models: Mapping[str, nn.Module],
    data: Dataset | Pictures,
    *,
    part: str = "test",
    batch_size: int = 256,
    latency: bool = True,
    latency_batches: Sequence[int] = (1, 64),
    seconds: float = 0.5,
) -> Comparison:
    """Several models side by side; each runs in eval mode and stays as it was.

    The latency is that of a forward pass on the device where the model is, on the CPU with one
    thread. The models take turns, so that a busy machine does harm to all alike.

    Args:
        models: by name. Each takes float32 (N, C, H, W) and gives logits (N, classes).
        data: a data set, or (images, labels): images as the models take them, float (N, C, H, W),
            labels int64 (N,), or None where there are none.
        part: of the data set: "test", or "validation" while you still choose between models.
        batch_size: pictures at a time when the accuracy is measured.
        latency: measure it, too.
        latency_batches: pictures in a batch whose latency is measured; where there are fewer
            pictures they are repeated.
        seconds: for each model and each of `latency_batches`; see `latency.measure_latency`.

    Raises:
        CourseError: if there is no model or no picture, a setting is wrong, or a model and the data
            do not go together; the text names the model.
        Exception: whatever else a model raises on the pictures.
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
            for name, taken in measure_latency(models, images, seconds=seconds).items():
                times[name][count] = taken
    return Comparison({n: Measurements(**m, latency=times[n]) for n, m in measured.items()})


def _check(
    models: Mapping[str, nn.Module], data: Dataset | Pictures, part: str, batches: Sequence[int]
) -> None:
    """Raise a `CourseError` for what has nothing to do with any one model."""
    if not models:
        raise CourseError("There is nothing to compare: give at least one model.")
    if any(count < 1 for count in batches):
        raise CourseError(f"latency_batches={tuple(batches)}: give whole numbers from 1 up.")
    for name, model in models.items():
        if any(parameter.is_meta for parameter in model.parameters()):
            raise CourseError(
                f"{name} lies on the meta device: without numbers nothing can be run."
            )
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
        raise CourseError(
            f"labels must be of shape ({len(images)},), one for each picture, not "
            f"{tuple(labels.shape)}."
        )
    if not len(images):
        raise CourseError("There is no picture to compare on: give at least one.")


def _measure(
    model: nn.Module, data: Dataset | Pictures, part: str, batch_size: int
) -> dict[str, Any]:
    """All of `Measurements` but the latency."""
    correct, total = _count_right(model, data, part, batch_size)
    rows = layer_table(model, _pictures(data, part, 1).to(device_of(model)))
    fields = [row.receptive_field for row in rows if _is_called_conv(model, row)]
    return {
        "correct": correct,
        "total": total,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "multiply_adds": sum(row.multiply_adds or 0 for row in rows),
        "receptive_field": fields[-1] if fields else None,
        "file_bytes": _file_bytes(model),
    }


def _count_right(
    model: nn.Module, data: Dataset | Pictures, part: str, batch_size: int
) -> tuple[int | None, int | None]:
    """Pictures that the model recognises, of so many; (None, None) without labels."""
    if isinstance(data, Dataset):
        check_model_fits(model, data, device_of(model))
        result = evaluate(
            model, getattr(data, part), mean=data.mean, std=data.std, batch_size=batch_size
        )
        return result.correct, result.total
    images, labels = data
    if labels is None:
        return None, None
    correct = 0
    with evaluation_mode(model), torch.no_grad():
        for some, right in zip(images.split(batch_size), labels.split(batch_size), strict=True):
            logits = model(some.to(device_of(model)))
            # How many classes there are is not known here: as many as the model says.
            check_logits(logits, len(right), logits.shape[-1] if isinstance(logits, Tensor) else 0)
            correct += int((logits.argmax(1).to(right.device) == right).sum())
    return correct, len(labels)


def _pictures(data: Dataset | Pictures, part: str, count: int) -> Tensor:
    """The first `count` pictures, float (count, C, H, W); they begin again where they end."""
    images = getattr(data, part).images if isinstance(data, Dataset) else data[0]
    chosen = images[torch.arange(count) % len(images)]
    return data.normalise(chosen) if isinstance(data, Dataset) else chosen


def _is_called_conv(model: nn.Module, row: LayerRow) -> bool:
    return row.output_shape is not None and isinstance(model.get_submodule(row.name), nn.Conv2d)


def _file_bytes(model: nn.Module) -> int:
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    return buffer.tell()


# The table


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
    """How many times as large; "same" if equal, as ×1.00 may be only nearly that."""
    if value == reference:
        return "same"
    return f"×{value / reference:.2f}" if reference else "–"
