"""The experiment with few bits, and the reading of its results."""

from __future__ import annotations

import pytest

from course_utils.experiments import compare_quantization as module
from course_utils.experiments import (
    load_results,
    quantization_accuracies,
    quantization_speedups,
    quantization_tradeoffs,
)
from tests.toys import same, toy_data, toy_model, weights


def test_every_comparison_measures_the_same_network(tmp_path, monkeypatch):
    for name, value in {"SEEDS": (0,), "BITS": (4,), "LOW_BITS": (3,), "TRAINED_ON": 30}.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(module, "CALIBRATIONS", (1, 5))
    monkeypatch.setattr(module, "PICTURES", 40)
    model = toy_model(norm=True).eval()
    measured, before = module.Measured("toy", toy_data()), weights(model)
    records = [
        *module.int8(measured, model, tmp_path),
        *module.calibrations(measured, tmp_path),
        *module.bits(measured, model),
        *module.training(measured, model),
    ]
    assert same(before, weights(model))
    found = {(r["comparison"], r["method"], r["setting"]) for r in records}
    assert len(found) == len(records) == 6 + 4 + 2 + 3
    assert all(0 <= r["correct"] <= r["total"] == 24 for r in records)
    assert all(
        r["bytes"] for r in records if r["comparison"] == "int8" and "VNNI" not in r["method"]
    )


def test_the_committed_files_are_of_this_experiment():
    results, speed = load_results(module.NAME), load_results(module.SPEED)
    assert results.command == speed.command == module.COMMAND
    assert results.settings["calibration pictures"] == module.PICTURES
    assert results.settings["epochs"] == module.EPOCHS
    assert speed.settings["VNNI"] in (True, False, None)
    frame = results.frame()
    assert set(frame.network) == set(module.NETWORKS)
    for network in module.NETWORKS:
        calibrated = frame[(frame.network == network) & (frame.comparison == "calibration")]
        assert len(calibrated) == 2 * len(module.CALIBRATIONS) * len(module.SEEDS)
    assert set(speed.frame().batch) == set(module.BATCHES)


@pytest.mark.parametrize("network", module.NETWORKS)
def test_what_the_notebook_reads(network):
    bits = quantization_accuracies("bits", network)
    assert set(bits.method) == {"per channel", "per tensor"} and bits.accuracy.between(0, 1).all()
    for batch in module.BATCHES:
        for instructions in ("all", "AVX2"):
            speedups = quantization_speedups(batch, instructions, network)
            assert speedups["PyTorch"] == 1 and min(speedups.values()) > 0
            assert list(speedups.values()) == sorted(speedups.values())
    charts, kinds = quantization_tradeoffs(network)
    time, size = charts.values()
    assert time.keys() == size.keys() == kinds.keys() and len(kinds) >= 5
    assert time["PyTorch"][0] == 1
    for cost, (middle, low, high) in (*time.values(), *size.values()):
        assert cost > 0 and low < middle < high
