"""The plan of a study, as one value that is stored beside its trials."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from torch import nn

from course_utils.core import CourseError, error_line, seeded, whole_number
from course_utils.data import Dataset, load_dataset
from course_utils.search.candidate import WEIGHTS
from course_utils.search.methods import FOR_TWO_OBJECTIVES, METHODS, PRUNERS
from course_utils.search.space import SearchSpace

LARGEST_SEED = 2**32 - 1
"""The largest seed of NumPy's random numbers, which Optuna's samplers use."""

OBJECTIVES = {"accuracy": "maximize", "multiply_adds": "minimize"}
"""What a search can optimize, and Optuna's direction of it."""


@dataclass(frozen=True)
class Plan:
    """The space, the method and the length of a study; all its workers have the same plan.

    Args:
        space: what may vary.
        method: one of `METHODS`.
        trials: how many candidates are tried.
        epochs: of each candidate's training.
        pictures: training pictures in an epoch; None for all.
        objectives: ("accuracy",), on the validation pictures, or ("accuracy", "multiply_adds").
        pruner: one of `PRUNERS`, which end trainings early that are far behind the others.
        network: "module:name" of a function or class that returns the network to start from, for
            workers on the command line.
        data: name of the data set, for `load_dataset`.
        weights: "fresh" or "keep", see `candidate.build`.
        seed: of the sampler, the weights and the training.

    Raises:
        CourseError: an unknown name, a number that is not a whole number from 1 up, or settings
            that exclude each other.
    """

    space: SearchSpace
    method: str = "tpe"
    trials: int = 24
    epochs: int = 3
    pictures: int | None = None
    objectives: tuple[str, ...] = ("accuracy",)
    pruner: str = "none"
    network: str = "course_utils.models:SimpleCNN"
    data: str = "fashion-mnist"
    weights: str = "fresh"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (("method", METHODS), ("pruner", PRUNERS), ("weights", WEIGHTS)):
            if (value := getattr(self, name)) not in known:
                raise CourseError(f"{name}={value!r} is not known: choose {_or_list(known)}.")
        for name in ("trials", "epochs", "pictures"):
            value = getattr(self, name)
            if name != "pictures" or value is not None:
                object.__setattr__(self, name, whole_number(name, value, 1))
        object.__setattr__(self, "seed", whole_number("seed", self.seed, 0, LARGEST_SEED))
        if self.objectives not in (("accuracy",), ("accuracy", "multiply_adds")):
            raise CourseError(
                f"objectives={self.objectives}: ('accuracy',) or ('accuracy', 'multiply_adds')."
            )
        if len(self.objectives) > 1 and self.pruner != "none":
            raise CourseError(
                "With two objectives no training can be ended early, because neither of two "
                "candidates need be ahead of the other. Use pruner='none'."
            )
        if len(self.objectives) > 1 and self.method not in FOR_TWO_OBJECTIVES:
            raise CourseError(
                f"{self.method} takes one objective only: use {_or_list(FOR_TWO_OBJECTIVES)}."
            )

    def to_json(self) -> str:
        """Return the plan as text, from which `from_json` makes an equal one."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return json.dumps(values | {"space": json.loads(self.space.to_json())})

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Create the plan that `to_json` wrote."""
        values = json.loads(text)
        values["space"] = SearchSpace.from_json(json.dumps(values["space"]))
        values["objectives"] = tuple(values["objectives"])
        return cls(**values)

    def differences(self, other: Plan) -> list[str]:
        """Return the names of the settings that differ."""
        mine, theirs = json.loads(self.to_json()), json.loads(other.to_json())
        return [name for name in mine if mine[name] != theirs[name]]

    def load_network(self) -> nn.Module:
        """Create the network that `network` names, with weights drawn by `seed`.

        Raises:
            CourseError: the name is not found, or does not return a network.
        """
        module, _, name = self.network.partition(":")
        try:
            model = seeded(getattr(importlib.import_module(module), name), self.seed)
        except Exception as error:
            raise CourseError(
                f"network={self.network!r} cannot be made ({error_line(error)}): give "
                "'module:name' of a function or class that needs no arguments."
            ) from error
        if not isinstance(model, nn.Module):
            raise CourseError(
                f"network={self.network!r} returns a {type(model).__name__}, which is not a "
                "network: it has to return a torch.nn.Module."
            )
        return model

    def load_data(self) -> Dataset:
        """Load the data set, with `pictures` training pictures."""
        return self.limit_pictures(load_dataset(self.data))

    def limit_pictures(self, data: Dataset) -> Dataset:
        """Return `data` with at most `pictures` training pictures, equally many of each class."""
        if self.pictures is None or self.pictures >= len(data.train):
            return data
        return replace(data, train=data.train.few(self.pictures, seed=self.seed))


def _or_list(names: Iterable[str]) -> str:
    return " or ".join(repr(name) for name in names)
