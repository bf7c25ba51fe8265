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

from optuna import pruners, samplers
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler


def _random_trials(trials: int) -> int:
    """Return how many trials are random first: Optuna's ten, or a third of a small budget."""
    return min(10, max(3, trials // 3))


METHODS: dict[str, Callable[[int | None, int], BaseSampler]] = {
    "grid": lambda seed, trials: samplers.RandomSampler(seed),  # all its points are queued already
    "random": lambda seed, trials: samplers.RandomSampler(seed),
    "tpe": lambda seed, trials: samplers.TPESampler(
        seed=seed, n_startup_trials=_random_trials(trials)
    ),
    "gp": lambda seed, trials: samplers.GPSampler(
        seed=seed, n_startup_trials=_random_trials(trials), deterministic_objective=False
    ),
    # It optimizes numbers only; settings that are names are drawn at random.
    "cmaes": lambda seed, trials: samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False),
    # About five generations for any budget.
    "nsga2": lambda seed, trials: samplers.NSGAIISampler(
        seed=seed, population_size=max(4, trials // 5)
    ),
}
"""By the name that a `Plan` takes: a function from the seed and the trials to the sampler."""

FOR_TWO_OBJECTIVES = ("random", "tpe", "gp", "nsga2")

PRUNERS: dict[str, Callable[[int], BasePruner]] = {
    "none": lambda epochs: pruners.NopPruner(),
    # Li et al. 2020, "A system for massively parallel hyperparameter tuning" (asynchronous halving)
    "halving": lambda epochs: pruners.SuccessiveHalvingPruner(1, 3),
    # Li et al. 2018, "Hyperband: a novel bandit-based approach"
    "hyperband": lambda epochs: pruners.HyperbandPruner(1, epochs, 3),
    "median": lambda epochs: pruners.MedianPruner(n_startup_trials=4),
}
"""By the name that a `Plan` takes: a function from the epochs of a training to the pruner."""


def make_sampler(method: str, seed: int | None, trials: int) -> BaseSampler:
    """Create the sampler of a method; None draws a random seed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return METHODS[method](seed, trials)
