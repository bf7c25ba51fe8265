"""The experiment with a deep network from several starts."""

from __future__ import annotations

import torch
from torch import nn

from course_utils.data import load_dataset
from course_utils.experiments import compare_initialisation as module
from course_utils.experiments.results import load_results


def test_the_network_is_as_deep_as_asked():
    for norm in (False, True):
        model = module.deep_network(norm, depth=5)
        assert sum(isinstance(layer, nn.Conv2d) for layer in model) == 5
        assert sum(isinstance(layer, nn.BatchNorm2d) for layer in model) == 5 * norm
        assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_zeros_stay_at_a_guess():
    starts = (("zeros", False, 2e-3), ("normal 0.01", True, 2e-3), ("he", False, 5e-4))
    runs = list(module.compare(load_dataset("fashion-mnist"), starts, (3,), images=40, epochs=1))
    asked = ("scheme", "batch_norm", "learning_rate", "seed")
    assert [tuple(run[name] for name in asked) for run in runs] == [(*s, 3) for s in starts]
    assert runs[0]["logit_spread"] < 1e-6 < runs[2]["logit_spread"]
    assert abs(runs[0]["first_loss"] - 2.302585) < 1e-5 and runs[0]["accuracy"] == 0.1


def test_the_committed_file_is_of_this_experiment():
    results = load_results(module.NAME)
    assert results.command == module.COMMAND
    found = {(r["scheme"], r["batch_norm"], r["learning_rate"], r["seed"]) for r in results.records}
    assert found == {(*start, seed) for start in module.STARTS for seed in module.SEEDS}
