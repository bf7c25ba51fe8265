"""Gains of single techniques of the course, with intervals, from the stored results."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from course_utils.core import CourseError
from course_utils.experiments.results import Value, load_results
from course_utils.metrics import mean_interval

if TYPE_CHECKING:
    import pandas

Chosen = dict[str, Value]


class _Pair(NamedTuple):
    """Two choices of the records of a stored experiment, and what to call them."""

    technique: str
    instead: str
    results: str
    chosen: Chosen
    other: Chosen
    values: tuple[str, str] = ("accuracy", "accuracy")
    seed: str = "seed"


_FEW, _MOVED = "300 images", "300 images, new ones moved"
_SCHEDULES: Chosen = {"comparison": "schedules", "phase": "measured"}
_INT8: Chosen = {"network": "small_resnet", "comparison": "int8"}
_CIFAR10: Chosen = {"data": "cifar10", "labels": 10}
_TEST, _CORRECT, _TAUGHT = ("test", "test"), ("correct", "correct"), ("distilled", "alone")

_PAIRS = (
    _Pair(
        *("2.3 He's first weights", "PyTorch's", "initialisation"),
        {"scheme": "he", "learning_rate": 0.002},
        {"scheme": "default", "learning_rate": 0.002},
    ),
    _Pair(
        *("2.3 BatchNorm", "none, weights too small", "initialisation"),
        {"scheme": "normal 0.01", "batch_norm": True},
        {"scheme": "normal 0.01", "batch_norm": False},
    ),
    *(
        _Pair(
            f"2.3 {method}{', test images moved' if setting == _MOVED else ''}",
            *("nothing", "regularisation"),
            {"setting": setting, "method": method},
            {"setting": setting, "method": "nothing"},
        )
        for setting, method in (
            *((_FEW, "label smoothing 0.1"), (_FEW, "dropout 0.5")),
            *((_FEW, "augmentation"), (_MOVED, "augmentation")),
        )
    ),
    _Pair(
        *("3.1 cosine schedule", "constant rate", "learning_rate"),
        _SCHEDULES | {"method": "cosine"},
        _SCHEDULES | {"method": "constant"},
    ),
    *(
        _Pair(
            f"3.3 {words} search",
            *("the article's settings", "search_tests"),
            *({"search": search}, {"search": "the article's settings"}),
            _TEST,
        )
        for words, search in (("random", "random"), ("Bayesian", "Bayesian (TPE)"))
    ),
    _Pair(
        *("3.3 improve", "article, best epoch", "improve"),
        *({"what": "improve"}, {"what": "article, best epoch"}, _TEST),
    ),
    _Pair(
        *("4.1 half of the channels", "all channels", "pruning"),
        *({"method": "l1"}, {"method": "whole"}),
    ),
    _Pair(
        *("4.1 int8", "float", "quantization"),
        _INT8 | {"method": "ONNX Runtime", "setting": 7},
        _INT8 | {"method": "PyTorch", "setting": 32},
        _CORRECT,
    ),
    *(
        _Pair(
            f"4.3 distillation, {words}",
            *("student alone", "distillation"),
            *({"setting": setting}, {"setting": setting}, _TAUGHT),
        )
        for words, setting in (("all labels", "no time"), ("few labels", "no labels"))
    ),
    _Pair(
        *("4.3 frozen Lite0, CIFAR-10", "from scratch", "transfer"),
        *(_CIFAR10 | {"way": "frozen"}, _CIFAR10 | {"way": "scratch"}),
        seed="draw",
    ),
)


def technique_gains() -> pandas.DataFrame:
    """Return what techniques of chapters 2 to 4 brought in accuracy, a row for each.

    The columns are `technique` (with its section), `instead of`, `gain` with the ends `low` and
    `high` of its interval (in points; Student's, 95 %, over the differences of equal seeds),
    `seeds`, and `experiment`, the module that made the results. Each row compares on data and with
    a network of its own, so rows do not add up.
    """
    import pandas as pd

    return pd.DataFrame([_row(pair) for pair in _PAIRS])


def _row(pair: _Pair) -> dict[str, Value]:
    stored = load_results(pair.results)
    frame = stored.frame()
    if "correct" in frame:
        frame["correct"] = frame.correct / frame.total
    with_it, without = (
        _by_seed(frame, chosen, value, pair.seed)
        for chosen, value in zip((pair.chosen, pair.other), pair.values, strict=True)
    )
    # A network that was not trained again has one record, for all seeds.
    differences = with_it - (without.iloc[0] if len(without) == 1 else without)
    mean = mean_interval(100 * differences)
    return {
        "technique": pair.technique,
        "instead of": pair.instead,
        **{"gain": mean.middle, "low": mean.low, "high": mean.high},
        "seeds": len(differences),
        "experiment": stored.command.rpartition(".")[2],
    }


def _by_seed(frame: pandas.DataFrame, chosen: Chosen, value: str, seed: str) -> pandas.Series:
    """Return the chosen value of each seed."""
    rows = frame[(frame[list(chosen)] == list(chosen.values())).all(axis=1)]
    # An experiment may have a record for each epoch, with the same value at its end.
    values = rows.drop_duplicates([seed, value]).set_index(seed)[value]
    if not values.index.is_unique:
        raise CourseError(f"{chosen} has several values of {value!r} for a {seed}: choose further.")
    return values
