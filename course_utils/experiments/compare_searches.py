"""Compare the search methods of the article at equal budget.

    python -m course_utils.experiments.compare_searches

writes `assets/results/search_methods.json` and `search_tests.json`; that took 36 minutes on two
cores of a busy machine.

Every method gets 72 epochs of 3,000 pictures of Fashion-MNIST: 24 candidates of 3 epochs each, or
more candidates if a pruner ends some of them early. All methods search the same space around
`SimpleCNN`, use the same five seeds, and compare candidates on the validation pictures. When a
search has ended, its best network is measured once on the test pictures. The grid is visited in a
shuffled order. The others begin with random candidates, Optuna's CMA-ES with one: it draws the
next ones around the middle of the space.
"""

from __future__ import annotations

import argparse
import multiprocessing
from typing import Any

import optuna
from optuna.trial import TrialState
from torch import nn
from tqdm.auto import tqdm

from course_utils.data import load_dataset
from course_utils.experiments.results import Record, command_of, save_results
from course_utils.metrics import evaluate
from course_utils.search import Objective, Plan, SearchSpace, create_study, first_cnn_space, work
from course_utils.training import Precision

COMMAND = command_of(__file__)
SEEDS = (0, 1, 2, 3, 4)
TRIALS, EPOCHS, PICTURES = 24, 3, 3000
BUDGET = TRIALS * EPOCHS
"""Epochs of each search."""

ARTICLES = "the article's settings"
MIDDLE = "the middle of the space"

SEARCHES: dict[str, dict[str, Any]] = {
    "grid": {"method": "grid"},
    "random": {"method": "random"},
    "Bayesian (TPE)": {"method": "tpe"},
    "Bayesian (GP)": {"method": "gp"},
    "evolutionary (CMA-ES)": {"method": "cmaes"},
    "TPE with halving": {"method": "tpe", "pruner": "halving", "trials": 3 * TRIALS},
    "NSGA-II, two objectives": {"method": "nsga2", "objectives": ("accuracy", "multiply_adds")},
    # Not searches but controls of one candidate each: a grid of one point is the middle of the
    # space; the other one is the article's network, trained as in the article.
    MIDDLE: {"method": "grid", "trials": 1},
    ARTICLES: {"space": SearchSpace({"conv1.out_channels": [16]}), "trials": 1},
}
"""Name in the notebook -> settings of the plan."""


def run_search(name: str, seed: int) -> tuple[list[Record], Record]:
    """Run one search; return the candidates' records, and one for the best network's test accuracy.

    It uses plain float32 and one thread: every run on a machine has the same numbers.
    """
    space = first_cnn_space()
    settings = {"space": space, "trials": TRIALS, "epochs": EPOCHS, "pictures": PICTURES}
    plan = Plan(**settings | {"seed": seed} | SEARCHES[name])
    data = load_dataset(plan.data)
    best: list[tuple[float, nn.Module]] = []

    def keep(_trial, model: nn.Module, history) -> None:
        accuracy = history.validation_accuracy[-1]
        if not best or accuracy > best[0][0]:
            best[:] = [(accuracy, model)]

    objective = Objective(plan, data=data, precision=Precision(threads=1), on_trained=keep)
    records: list[Record] = []

    def note(trial) -> None:
        record = {
            "search": name,
            "seed": seed,
            "epochs": objective.epochs,  # of the whole search so far
            "state": trial.state.name.lower(),
            "accuracy": trial.values[0] if trial.state == TrialState.COMPLETE else None,
            "multiply_adds": trial.user_attrs.get("multiply_adds"),
        }
        records.append(record | {key: trial.params.get(key) for key in space})

    work(create_study(plan), objective, until=lambda: objective.epochs >= BUDGET, on_trial=note)
    accuracy, model = best[0]
    test = evaluate(model, data.test, mean=data.mean, std=data.std)
    best_one = {"candidates": len(records), "validation": accuracy, "test": test.accuracy}
    return records, {"search": name, "seed": seed} | best_one


def main(jobs: int = 2) -> None:
    """Run every search with every seed, `jobs` at a time, and write the results."""
    every = [(name, seed) for name in SEARCHES for seed in SEEDS]
    records: list[Record] = []
    tests: list[Record] = []
    # New processes, so that no search can change the state of another.
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for trials, test in tqdm(pool.imap_unordered(_run, every), total=len(every)):
            records += trials
            tests.append(test)
    made_with = {"optuna": optuna.__version__}
    shared = {"budget_epochs": BUDGET, "epochs": EPOCHS, "pictures": PICTURES}
    for file, rows in (("search_methods", records), ("search_tests", tests)):
        save_results(file, rows, command=COMMAND, settings=shared, made_with=made_with)


def _run(job: tuple[str, int]) -> tuple[list[Record], Record]:
    return run_search(*job)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    main(parser.parse_args().jobs)
