"""What a study does, as one value that can be stored beside its trials."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from torch import nn

from course_utils.core import CourseError, seeded, whole_number
from course_utils.data import Dataset, load_dataset
from course_utils.search.candidate import WEIGHTS
from course_utils.search.methods import METHODS, PRUNERS
from course_utils.search.space import SearchSpace, Values

LARGEST_SEED = 2**32 - 1
"""NumPy's random numbers, which Optuna's samplers draw, know no larger one."""

OBJECTIVES = {"accuracy": "maximize", "multiply_adds": "minimize"}
"""What can be asked for, and Optuna's direction of it."""


@dataclass(frozen=True)
class Plan:
    """What is searched, where, how, and for how long. Two workers with one plan do the same.

    Args:
        space: what may vary.
        method: one of `METHODS`.
        trials: how many candidates are tried.
        epochs: of each candidate's training.
        pictures: how many training pictures it sees in an epoch; None for all.
        objectives: ("accuracy",), on the validation pictures, or ("accuracy", "multiply_adds").
        pruner: one of `PRUNERS`: whether hopeless trainings end early.
        network: "module:name" of a function or class that gives the network to start from, for
            workers that are told nothing else.
        data: name of the data set, for `load_dataset`.
        weights: "fresh" or "keep", see `candidate.build`.
        seed: of the sampler, the weights and the training.

    Raises:
        CourseError: something unknown, a number below 1 or that is no whole one, or things that do
            not go together.
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
            if getattr(self, name) not in known:
                raise CourseError(
                    f"{name}={getattr(self, name)!r} is not known: choose {_either(known)}."
                )
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
                "With two objectives no training can be ended early: nobody can say which of two "
                "candidates is ahead. Use pruner='none'."
            )
        if len(self.objectives) > 1 and not METHODS[self.method].several_objectives:
            several = [name for name, m in METHODS.items() if m.several_objectives]
            raise CourseError(f"{self.method} knows one objective only: use {_either(several)}.")

    @classmethod
    def of(cls, space: SearchSpace | Mapping[str, Values], **settings: Any) -> Plan:
        """A plan of a plain dict."""
        return cls(space if isinstance(space, SearchSpace) else SearchSpace(space), **settings)

    def to_json(self) -> str:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return json.dumps(values | {"space": json.loads(self.space.to_json())})

    @classmethod
    def from_json(cls, text: str) -> Plan:
        values = json.loads(text)
        values["space"] = SearchSpace.from_json(json.dumps(values["space"]))
        values["objectives"] = tuple(values["objectives"])
        return cls(**values)

    def differences(self, other: Plan) -> list[str]:
        """The names of what is not the same."""
        mine, theirs = json.loads(self.to_json()), json.loads(other.to_json())
        return [name for name in mine if mine[name] != theirs[name]]

    def load_network(self) -> nn.Module:
        """The network that `network` names, with the weights that `seed` gives.

        Raises:
            CourseError: there is none of that name, or what is there gives no network.
        """
        module, _, name = self.network.partition(":")
        try:
            make = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise CourseError(
                f"network={self.network!r} cannot be found ({error}): give 'module:name' of a "
                "function or class that needs no arguments."
            ) from None
        try:
            model = seeded(make, self.seed)
        except Exception as error:
            raise CourseError(
                f"network={self.network!r} cannot be made ({type(error).__name__}: {error}): "
                "give a function or class that needs no arguments."
            ) from error
        if not isinstance(model, nn.Module):
            raise CourseError(
                f"network={self.network!r} gives a {type(model).__name__}, which is no network: it "
                "has to give a torch.nn.Module."
            )
        return model

    def load_data(self) -> Dataset:
        """The data set, with as many training pictures as the plan wants."""
        return self.thinned(load_dataset(self.data))

    def thinned(self, data: Dataset) -> Dataset:
        """`data` with `pictures` training pictures, of each class the same number; all if it has no
        more."""
        if self.pictures is None or self.pictures >= len(data.train):
            return data
        return replace(data, train=data.train.few(self.pictures, seed=self.seed))


def _either(names: Iterable[str]) -> str:
    return " or ".join(repr(name) for name in names)
