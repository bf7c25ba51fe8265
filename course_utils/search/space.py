"""A search space over the convolutions of a network and over how it is trained, written once.

    space = SearchSpace(
        {
            "conv1.out_channels": range(8, 33),
            "conv1.kernel_size": range(3, 8, 2),
            "conv2.depth": [1, 2],
            "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
            "schedule": ["constant", "one_cycle"],
        }
    )

A name with a dot is a setting of that layer, as in `edit_conv`, or its `depth`; a name without a
dot is a setting of the training.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)
from torch import nn

from course_utils.core import CourseError, error_line
from course_utils.search.candidate import ARTICLE, CHOICES

LAYER_SETTINGS = (
    *("out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "depth"),
)
"""Settings of a layer that can be searched; `depth` is the number of convolutions in its place."""

TRAINING_SETTINGS = tuple(ARTICLE)
"""Settings of the training that can be searched."""

Values = BaseDistribution | range | Sequence[Any]
"""One of Optuna's distributions, a `range` of whole numbers, or the values to choose from."""


class SearchSpace(Mapping[str, BaseDistribution]):
    """The settings that are searched, and the values that each may have.

    Args:
        values: name -> values, see above. In a grid the first names get the most values.

    Raises:
        CourseError: the space is empty, a name is not a setting that can be searched, or its values
            are missing or not allowed.
    """

    def __init__(self, values: Mapping[str, Values]) -> None:
        if not values:
            raise CourseError(
                "The search space is empty: name at least one setting, such as "
                '{"conv1.out_channels": range(8, 33)}.'
            )
        self._distributions = {name: _distribution(name, v) for name, v in values.items()}

    def __getitem__(self, name: str) -> BaseDistribution:
        return self._distributions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._distributions)

    def __len__(self) -> int:
        return len(self._distributions)

    def __repr__(self) -> str:
        return f"SearchSpace({self._distributions})"

    @property
    def layers(self) -> dict[str, list[str]]:
        """Layer -> its settings that are searched."""
        found: dict[str, list[str]] = {}
        for name in self:
            layer, dot, setting = name.rpartition(".")
            if dot:
                found.setdefault(layer, []).append(setting)
        return found

    def check_layers(self, model: nn.Module) -> None:
        """Check that every layer of the space is a convolution of `model`.

        Raises:
            CourseError: one is not; the message lists those that are.
        """
        convs = [name for name, m in model.named_modules() if isinstance(m, nn.Conv2d)]
        for layer in self.layers:
            if layer not in convs:
                some = ", ".join(convs[:8] + ["..."] * (len(convs) > 8)) or "none"
                raise CourseError(f"The network has no convolution {layer!r}. It has: {some}.")

    def contains(self, name: str, value: Any) -> bool:
        """Return whether `name` may have this value."""
        values = self[name]
        if isinstance(values, CategoricalDistribution):
            return value in values.choices
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        if not values.low <= value <= values.high:
            return False
        if values.step is None:
            return True
        steps = (value - values.low) / values.step
        return math.isclose(steps, round(steps), abs_tol=1e-9)

    def largest(self, name: str, default: float) -> float:
        """Return the largest number that `name` may have; `default` if it is not searched."""
        values = self.get(name)
        if values is None:
            return default
        return max(values.choices) if isinstance(values, CategoricalDistribution) else values.high

    def suggest(self, trial: optuna.trial.BaseTrial) -> dict[str, Any]:
        """Return a value for each name, chosen by the trial's sampler."""
        params: dict[str, Any] = {}
        for name, v in self.items():
            if isinstance(v, CategoricalDistribution):
                params[name] = trial.suggest_categorical(name, v.choices)
            else:
                whole = isinstance(v, IntDistribution)
                suggest = trial.suggest_int if whole else trial.suggest_float
                params[name] = suggest(name, v.low, v.high, step=v.step, log=v.log)
        return params

    def grid(self, most: int) -> list[dict[str, Any]]:
        """Return at most `most` points of a grid; the first names get the most values.

        Every name begins with one value. Then the names get one more value in turn, as long as the
        grid does not become too large. The values are the centres of equal parts of the range, on a
        logarithmic scale if the distribution has one.

        Raises:
            CourseError: `most` is below 1.
        """
        if most < 1:
            raise CourseError(f"A grid of {most} points has no candidate: give at least 1.")
        counts = dict.fromkeys(self, 1)
        growing = True
        while growing:
            growing = False
            for name, values in self.items():
                more = counts | {name: counts[name] + 1}
                fits = math.prod(more.values()) <= most
                if fits and len(_evenly_spaced(values, more[name])) == more[name]:
                    counts, growing = more, True
        axes = [_evenly_spaced(values, counts[name]) for name, values in self.items()]
        return [dict(zip(self, point, strict=True)) for point in itertools.product(*axes)]

    def to_json(self) -> str:
        """Return text from which `from_json` makes an equal space."""
        return json.dumps({name: distribution_to_json(v) for name, v in self.items()})

    @classmethod
    def from_json(cls, text: str) -> SearchSpace:
        """Create the space that `to_json` wrote.

        Raises:
            CourseError: a value is not a distribution as Optuna writes it.
        """
        values = json.loads(text)
        try:
            for name, written in values.items():
                values[name] = json_to_distribution(written)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CourseError(
                f"{name}: {written!r} is neither a list of values nor a distribution as Optuna "
                f"writes it ({error_line(error)})."
            ) from None
        return cls(values)


def _distribution(name: str, values: Values) -> BaseDistribution:
    layer, dot, setting = name.rpartition(".")
    known = LAYER_SETTINGS if dot else TRAINING_SETTINGS
    if setting not in known or (dot and not layer):
        where = f"Of the layer {layer!r}" if dot else "Of the training"
        raise CourseError(
            f"{name!r} cannot be searched. {where} you can choose: {', '.join(known)}."
        )
    if isinstance(values, range):
        if not values or values.step < 1:
            raise CourseError(f"{name}: {values} is empty: give a range such as range(8, 33).")
        return IntDistribution(values[0], values[-1], step=values.step)
    if isinstance(values, CategoricalDistribution):
        values = list(values.choices)
    elif isinstance(values, BaseDistribution) and setting not in CHOICES:
        return values
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise CourseError(
            f"{name}: {values!r} is neither a distribution of Optuna nor a list of values."
        )
    if not values:
        raise CourseError(f"{name}: there is no value to choose from.")
    unknown = [value for value in values if setting in CHOICES and value not in CHOICES[setting]]
    if unknown:
        raise CourseError(
            f"{name}: {unknown[0]!r} is not known; there are: {', '.join(CHOICES[setting])}."
        )
    if setting not in CHOICES:
        values = [_number(name, value) for value in values]
    return CategoricalDistribution(values)


def _number(name: str, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise CourseError(f"{name}: {value!r} is not a number, and this setting needs one.")
    return int(value) if isinstance(value, Integral) else float(value)


def _evenly_spaced(values: BaseDistribution, count: int) -> list[Any]:
    """Return the centres of `count` equal parts of the range, or fewer if it has fewer values."""
    if isinstance(values, CategoricalDistribution):
        every = len(values.choices)
        count = min(count, every)
        return [values.choices[int(centre)] for centre in _centres(0, every, count)]
    # Each value of a stepped range is the centre of a part, so the range begins half a step lower.
    half = 0.0 if values.step is None else values.step / 2
    low, high = values.low, values.high
    if values.log:
        ends = math.log(low - half), math.log(high + half)
        centres = [math.exp(centre) for centre in _centres(*ends, count)]
    else:
        centres = _centres(low - half, high + half, count)
    if values.step is not None:
        centres = [low + round((centre - low) / values.step) * values.step for centre in centres]
    return list(dict.fromkeys(min(max(centre, low), high) for centre in centres))


def _centres(low: float, high: float, count: int) -> list[float]:
    return [low + (high - low) * (i + 0.5) / count for i in range(count)]
