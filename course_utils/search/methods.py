"""Search methods by name, as samplers of Optuna, and pruners, which end bad trials early.

- grid: every combination of a few values of each setting;
- random: Bergstra and Bengio 2012, "Random search for hyper-parameter optimization";
- Bayesian: "tpe", Bergstra et al. 2011, "Algorithms for hyper-parameter optimization", and "gp",
  Gaussian processes (Snoek, Larochelle and Adams 2012, "Practical Bayesian optimization");
- evolutionary: "cmaes", Hansen and Ostermeier 2001, "Completely derandomized self-adaptation in
  evolution strategies"; for two objectives "nsga2", Deb et al. 2002, "A fast and elitist
  multiobjective genetic algorithm".
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler


def _random(seed: int | None, trials: int) -> BaseSampler:
    return optuna.samplers.RandomSampler(seed)


def _random_trials(trials: int) -> int:
    """Return how many trials are random first: Optuna's ten, or a third of a small budget."""
    return min(10, max(3, trials // 3))


def _tpe(seed: int | None, trials: int) -> BaseSampler:
    return optuna.samplers.TPESampler(n_startup_trials=_random_trials(trials), seed=seed)


def _gp(seed: int | None, trials: int) -> BaseSampler:
    return optuna.samplers.GPSampler(
        seed=seed, n_startup_trials=_random_trials(trials), deterministic_objective=False
    )


def _cmaes(seed: int | None, trials: int) -> BaseSampler:
    # It optimizes numbers only; settings that are names are drawn at random.
    return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)


def _nsga2(seed: int | None, trials: int) -> BaseSampler:
    # About five generations for any budget.
    return optuna.samplers.NSGAIISampler(population_size=max(4, trials // 5), seed=seed)


METHODS: dict[str, Callable[[int | None, int], BaseSampler]] = {
    "grid": _random,  # all its points are queued at the start
    "random": _random,
    "tpe": _tpe,
    "gp": _gp,
    "cmaes": _cmaes,
    "nsga2": _nsga2,
}
"""By the name that a `Plan` takes: a function from the seed and the trials to the sampler."""

FOR_TWO_OBJECTIVES = ("random", "tpe", "gp", "nsga2")

PRUNERS: dict[str, Callable[[int], BasePruner]] = {
    "none": lambda epochs: optuna.pruners.NopPruner(),
    # Li et al. 2020, "A system for massively parallel hyperparameter tuning" (asynchronous halving)
    "halving": lambda epochs: optuna.pruners.SuccessiveHalvingPruner(1, 3),
    # Li et al. 2018, "Hyperband: a novel bandit-based approach"
    "hyperband": lambda epochs: optuna.pruners.HyperbandPruner(1, epochs, 3),
    "median": lambda epochs: optuna.pruners.MedianPruner(n_startup_trials=4),
}
"""By the name that a `Plan` takes: a function from the epochs of a training to the pruner."""


def make_sampler(method: str, seed: int | None, trials: int) -> BaseSampler:
    """Create the sampler of a method; None draws a random seed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return METHODS[method](seed, trials)
