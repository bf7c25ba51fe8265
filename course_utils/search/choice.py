"""What `improve` decides without training anything: who begins, who goes on, who has won."""

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
    """The layers as they are, narrower, wider and deeper, trained as `PROVEN`: what `space` has.

    Of the width (Howard et al. 2017, "MobileNets") 0.7, which halves the multiply-adds, a half and
    the double; two convolutions in the place of one; and both, for half the width and twice the
    depth cost about what the network costs.
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
                    scaled = _on_grid(space[name], int(factors[setting] * own))
                    values[name] = scaled if space.contains(name, scaled) else own
        values = {
            name: value
            for name, value in values.items()
            if name in space and space.contains(name, value)
        }
        if values not in candidates:
            candidates.append(values)
    return candidates


def _on_grid(values: BaseDistribution, wanted: int) -> int:
    """A number that the values have, as a rule the next one down."""
    if isinstance(values, IntDistribution):
        within = min(max(wanted, values.low), values.high)
        return within - (within - values.low) % values.step
    return wanted


def augmentation_for(space: SearchSpace, round_number: int, cheap: bool = False) -> dict[str, str]:
    """{"augment": name} for a candidate of this round; {} if the space has no augmentation.

    In the first two rounds that is the weakest, in the last one the strongest, or for a cheap
    candidate the next after the weakest.
    """
    if "augment" not in space:
        return {}
    names = [name for name in AUGMENTATIONS if space.contains("augment", name)]
    some = names[:1] if round_number < 3 else names[:2] if cheap else names
    return {"augment": some[-1]}


def ranked(tried: Iterable[Tried], half: float) -> list[Tried]:
    """In turn the most accurate of all and of those with at most `half` multiply-adds."""
    complete = [one for one in tried if one.accuracy is not None]
    best = sorted(complete, key=lambda one: (-one.accuracy, one.multiply_adds))
    cheap = [one for one in best if one.multiply_adds <= half]
    in_turn = itertools.chain(*itertools.zip_longest(best, cheap))
    return list({one.number: one for one in in_turn if one is not None}.values())


def winner(tried: Iterable[Tried], start: Tried, pictures: int) -> Tried:
    """The candidate to take; `start` if none is more accurate than it.

    The highest of many accuracies is lucky, and the more of them are short trainings, the likelier
    it is one of these. So, by the one-standard-error rule (Breiman et al. 1984, "Classification
    and regression trees"): of the candidates within one standard error of the highest accuracy,
    those of the latest round, which were trained longest; of these the most accurate.

    Args:
        pictures: on which the accuracies were measured.
    """
    better = [one for one in tried if one.accuracy is not None and one.accuracy > start.accuracy]
    if not better:
        return start
    highest = max(one.accuracy for one in better)
    error = math.sqrt(highest * (1 - highest) / pictures)
    within = [one for one in better if one.accuracy >= highest - error]
    return max(within, key=lambda one: (one.round, one.accuracy, -one.number))


def has_learned(accuracy: float, data: Dataset) -> bool:
    """Whether an accuracy on the validation pictures is much more than a guess."""
    counts = data.validation.labels.bincount()
    guess = float(counts.max()) / len(data.validation)
    return accuracy > guess + 0.25 * (1 - guess)
