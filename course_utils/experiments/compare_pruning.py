"""Compare criteria for pruning: half of the channels of `small_resnet`, at equal fine-tuning.

    python -m course_utils.experiments.compare_pruning

writes `assets/results/pruning.json`; that took about eight minutes on one core. It needs
torch-pruning, for comparison: `pip install "course-utils[benchmark]"`.

Every method leaves the same number of channels in each layer, and is trained for the same number of
epochs; only which channels stay is different. The test pictures are used once, at the end.

`python -m course_utils.experiments.compare_pruning speed` measures only the times again. They
depend on the numbers of channels and not on the weights, so nothing is trained for it.
"""

from __future__ import annotations

import copy
import importlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.metadata import version
from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from course_utils.compress import prune, prune_gradually
from course_utils.core import CourseError
from course_utils.data import Dataset, load_dataset
from course_utils.experiments.results import Record, command_of, load_results, save_results
from course_utils.experiments.small_resnet import small_resnet_recipe
from course_utils.metrics import Comparison, compare_models, evaluate
from course_utils.models import load_pretrained
from course_utils.training import Precision, fit, one_cycle

NAME = "pruning"
COMMAND = command_of(__file__)
SHARE, EPOCHS, ROUNDS = 0.5, 6, 2
CRITERIA = ("l1", "batch_norm", "taylor", "random")
GRADUAL, OTHER = "l1 in two rounds", "torch-pruning"
SEEDS = (0, 1, 2)

Cut = Callable[[nn.Module, Dataset, int], nn.Module]
"""(model, data, seed) -> a pruned copy."""


def fine_tuning(epochs: int = EPOCHS, seed: int = 0) -> dict[str, Any]:
    """Return arguments of `fit` for a pruned network: its recipe, with a smaller learning rate."""
    peak = 5e-3
    return small_resnet_recipe() | {
        "epochs": epochs,
        "learning_rate": peak,
        "scheduler": partial(one_cycle, peak=peak),
        "seed": seed,
        "precision": Precision(threads=1),
        "device": "cpu",
        "progress": False,
    }


def one_shot(criterion: str) -> Cut:
    """Return a function that prunes by a criterion of the course."""
    return lambda model, data, seed: prune(model, SHARE, importance=criterion, data=data, seed=seed)


def with_torch_pruning(model: nn.Module, data: Dataset, seed: int) -> nn.Module:
    """Return a copy pruned by torch-pruning, by the l2 norm of each group of coupled weights.

    Raises:
        CourseError: If torch-pruning is not installed.
    """
    try:
        library = importlib.import_module("torch_pruning")
    except ImportError as error:
        raise CourseError(
            'torch-pruning is not installed: pip install "course-utils[benchmark]".'
        ) from error
    pruned = copy.deepcopy(model)
    pruner = library.pruner.MagnitudePruner(
        pruned,
        data.normalise(data.train.images[:2]),
        importance=library.importance.MagnitudeImportance(p=2),
        pruning_ratio=SHARE,
        ignored_layers=[pruned.classifier],
        round_to=8,
    )
    pruner.step()
    return pruned


def methods() -> dict[str, Cut]:
    """Return the ways to choose the channels, by name."""
    return {name: one_shot(name) for name in CRITERIA} | {OTHER: with_torch_pruning}


def compare(model: nn.Module, data: Dataset, seeds: tuple[int, ...] = SEEDS) -> Iterator[Record]:
    """Prune and train by each method with each seed; yield a record for each.

    `speedup_1` and `speedup_64` are how many times as fast a batch of 1 and of 64 pictures is as
    with the whole network, measured in turns: medians, one thread, seconds of this process alone.
    """
    for seed in seeds:
        pruned = {name: cut(model, data, seed) for name, cut in methods().items()}
        before = {name: _accuracy(one, data) for name, one in pruned.items()}
        for one in pruned.values():
            fit(one, data, **fine_tuning(seed=seed))
        rounds = {"rounds": ROUNDS, "fine_tune": fine_tuning(EPOCHS // ROUNDS, seed)}
        pruned[GRADUAL] = prune_gradually(model, data, SHARE, **rounds)
        measured = compare_models({"whole": model} | pruned, data, clock=time.process_time)
        for name in ("whole", *pruned):
            one = measured[name]
            yield {
                "method": name,
                "seed": seed,
                "before": before.get(name),
                "accuracy": one.accuracy,
                "parameters": one.parameters,
                "multiply_adds": one.multiply_adds,
                **_speedups(measured, name),
            }


def with_new_times(records: Iterable[Record], model: nn.Module, data: Dataset) -> Iterator[Record]:
    """Yield stored records with times of networks of the same widths, measured again."""
    by_seed: dict[Any, list[Record]] = {}
    for record in records:
        by_seed.setdefault(record["seed"], []).append(record)
    for some in by_seed.values():
        names = [record["method"] for record in some if record["method"] != "whole"]
        models = {"whole": model} | {name: prune(model, SHARE) for name in names}
        measured = compare_models(models, data, clock=time.process_time)
        for record in some:
            yield record | _speedups(measured, record["method"])


def _speedups(measured: Comparison, name: str) -> Record:
    return {f"speedup_{n}": round(1 / measured.latency_ratio(name, n), 2) for n in (1, 64)}


def _accuracy(model: nn.Module, data: Dataset) -> float:
    return evaluate(model, data.test, mean=data.mean, std=data.std).accuracy


def main(*arguments: str) -> None:
    """Run all trainings and write the results; with "speed", only the times are new."""
    torch.set_num_threads(1)
    data, model = load_dataset("fashion-mnist"), load_pretrained("small_resnet")
    count = len(SEEDS) * (len(methods()) + 2)
    if arguments == ("speed",):
        stored = load_results(NAME)
        found = with_new_times(stored.records, model, data)
        versions = {"torch-pruning": stored.made_with["torch-pruning"]}
    else:
        found = compare(model, data)
        versions = {"torch-pruning": version("torch-pruning")}
    records = list(tqdm(found, total=count, desc=NAME, unit="network"))
    settings = {"share": SHARE, "epochs": EPOCHS, "rounds": ROUNDS, "data": data.name}
    path = save_results(NAME, records, command=COMMAND, settings=settings, made_with=versions)
    print(f"{len(records)} networks in {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
