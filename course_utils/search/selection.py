"""The choices of `improve`: the first candidates, those of the next round, and the winner."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

from optuna.distributions import BaseDistribution, IntDistribution
from torch import nn

from course_utils.data import Dataset
from course_utils.search.candidate import AUGMENTATIONS
from course_utils.search.presets import PROVEN
from course_utils.search.records import Tried, own_value
from course_utils.search.space import SearchSpace


def first_candidates(model: nn.Module, space: SearchSpace) -> list[dict[str, Any]]:
    """Return the candidates to begin with, as far as they are in `space`; trained as in `PROVEN`.

    The network's own layers come first. Then their widths are multiplied by 0.7, which halves the
    multiply-adds, by 0.5 and by 2 (Howard et al. 2017, "MobileNets"). Then two convolutions take
    the place of each, at full width and at half width, which costs about as much as the network.
    """
    candidates: list[dict[str, Any]] = []
    for width, depth in ((1, 1), (0.7, 1), (0.5, 1), (2, 1), (1, 2), (0.5, 2)):
        factors = {"out_channels": width, "depth": depth}
        values = dict(PROVEN)
        for layer, settings in space.layers.items():
            for setting in settings:
                own, name = own_value(model, layer, setting), f"{layer}.{setting}"
                values[name] = own
                if setting in factors:
                    scaled = _round_down(space[name], int(factors[setting] * own))
                    values[name] = scaled if space.contains(name, scaled) else own
        values = {k: v for k, v in values.items() if k in space and space.contains(k, v)}
        if values not in candidates:
            candidates.append(values)
    return candidates


def _round_down(values: BaseDistribution, wanted: int) -> int:
    if isinstance(values, IntDistribution):
        within = min(max(wanted, values.low), values.high)
        return within - (within - values.low) % values.step
    return wanted


def augmentation_for(space: SearchSpace, round_number: int, cheap: bool = False) -> dict[str, str]:
    """Return {"augment": name} for a candidate of a round; {} if the space has no augmentation.

    The first two rounds have the weakest augmentation of the space. The last round has the
    strongest, or the second weakest for a cheap candidate.
    """
    if "augment" not in space:
        return {}
    names = [name for name in AUGMENTATIONS if space.contains("augment", name)]
    if round_number < 3:
        return {"augment": names[0]}
    return {"augment": names[:2][-1] if cheap else names[-1]}


def ranked(tried: Iterable[Tried], cheap_cost: float) -> list[Tried]:
    """Return the candidates in the order in which they get into the next round.

    In turn: the most accurate of all, and the most accurate of those that need at most
    `cheap_cost` multiply-adds.
    """
    complete = [one for one in tried if one.accuracy is not None]
    best = sorted(complete, key=lambda one: (-one.accuracy, one.multiply_adds))
    cheap = [one for one in best if one.multiply_adds <= cheap_cost]
    in_turn = itertools.chain(*itertools.zip_longest(best, cheap))
    return list({one.number: one for one in in_turn if one is not None}.values())


def winner(tried: Iterable[Tried], start: Tried, pictures: int) -> Tried:
    """Return the candidate to take; `start` if none is more accurate.

    The highest of many accuracies is partly luck, and most candidates have had a short training.
    So a relative of the one-standard-error rule is used (Breiman et al. 1984, "Classification and
    regression trees", take the simplest): of the candidates within one standard error of the
    highest accuracy, those of the latest round are preferred, because they were trained longest; of
    these the most accurate wins.
    The accuracies were measured on this number of `pictures`.
    """
    better = [one for one in tried if one.accuracy is not None and one.accuracy > start.accuracy]
    if not better:
        return start
    highest = max(one.accuracy for one in better)
    error = math.sqrt(highest * (1 - highest) / pictures)
    within = [one for one in better if one.accuracy >= highest - error]
    return max(within, key=lambda one: (one.round, one.accuracy, -one.number))


def has_learned(accuracy: float, data: Dataset) -> bool:
    """Return whether the accuracy on the validation pictures is far above a guess.

    That means: right on a quarter of the pictures on which a guess of the largest class is wrong.
    """
    counts = data.validation.labels.bincount()
    guess = float(counts.max()) / len(data.validation)
    return accuracy > guess + 0.25 * (1 - guess)
