"""The experiments of notebook 05_2: their records, and what is committed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from course_utils.data import load_dataset
from course_utils.experiments import evaluated_networks, load_results, rare_class
from course_utils.metrics import evaluate
from course_utils.models import load_pretrained

DATA = load_dataset("fashion-mnist")
FEW = replace(
    DATA, train=DATA.train.few(200), validation=DATA.validation.few(40), test=DATA.test.few(60)
)


def test_a_network_is_trained_and_judged():
    short = {"epochs": 1, "scheduler": None, "learning_rate": 1e-3}
    model = evaluated_networks.train_network("narrow", FEW, 1, **short)
    assert (model.conv1.out_channels, model.conv2.out_channels) == (8, 16)
    again = evaluated_networks.train_network("narrow", FEW, 1, **short)
    assert torch.equal(model.conv1.weight, again.conv1.weight)
    record = evaluated_networks.record("narrow", FEW, 1, model)
    found = evaluate(model, FEW.test, mean=FEW.mean, std=FEW.std)
    assert [*map(int, record["predictions"])] == found.predictions.tolist()
    assert record["accuracy"] == found.accuracy and record["temperature"] > 0
    assert 0 <= record["error_after"] <= 1 and abs(record["excess"]) <= record["error"] + 1e-9


def test_a_class_is_rare_in_the_training_and_not_in_the_test():
    record = rare_class.run(FEW, 0.5, 0, pictures=100, epochs=1)
    assert (record["strength"], record["seed"]) == (0.5, 0)
    assert all(0 <= record[name] <= 1 for name in ("accuracy", "macro_f1", "recall", "f1"))


def test_the_committed_answers_are_those_of_the_shipped_network():
    results = load_results("evaluated_networks")
    first = next(r for r in results.records if (r["network"], r["seed"]) == ("first_cnn", 0))
    model = load_pretrained("first_cnn")
    with torch.no_grad():
        logits = model(DATA.normalise(DATA.test.images[:300]))
    stored = np.array([*map(int, first["predictions"])])
    # Other processors round differently: a picture or two may be on the border.
    assert (logits.argmax(1).numpy() != stored[:300]).sum() <= 2
    for record in results.records:
        answers = np.array([*map(int, record["predictions"])])
        right = (answers == DATA.test.labels.numpy()).mean()
        assert right == pytest.approx(record["accuracy"], abs=1e-6)


def test_the_committed_results_have_every_run():
    runs = {(r["network"], r["seed"]) for r in load_results("evaluated_networks").records}
    assert runs == {(n, s) for n in evaluated_networks.NETWORKS for s in evaluated_networks.SEEDS}
    runs = {(r["strength"], r["seed"]) for r in load_results("rare_class").records}
    assert runs == {(w, s) for w in rare_class.STRENGTHS for s in rare_class.SEEDS}
