"""The experiment that looks where the time of int8 goes."""

from __future__ import annotations

import pytest

from course_utils.experiments import load_results
from course_utils.experiments import profile_int8 as module
from tests.toys import toy_data, toy_model


def test_the_parts_of_a_pass_are_shares_of_it():
    def node(name, kind, *times):
        for dur in times:
            yield {
                "cat": "Node",
                "name": f"{name}_kernel_time",
                "dur": dur,
                "args": {"op_name": kind},
            }

    events = [{"name": "model_run", "dur": dur} for dur in (900, 100, 100)]
    events += [{"name": "session_initialization", "dur": 7000}]
    events += node("a", "QLinearConv", 500, 30, 30)
    events += [*node("b", "QLinearConv", 20, 20, 20), *node("c", "QuantizeLinear", 4, 5, 6)]
    events += [*node("d", "DequantizeLinear", 5, 5, 5), *node("e", "QGemm", 10, 10, 10)]
    assert module.parts(events) == pytest.approx(
        {
            "convolutions": 0.5,
            "to codes and back": 0.1,
            "other operations": 0.1,
            "between operations": 0.3,
        }
    )


def test_a_network_is_measured_both_ways(tmp_path, monkeypatch):
    for name, value in {"REPEATS": 1, "ROUNDS": 4, "SECONDS": 0.01}.items():
        monkeypatch.setattr(module, name, value)
    data = toy_data()
    calibration = data.normalise(data.train.images)
    records = list(module.profile(toy_model(norm=True).eval(), calibration, tmp_path))
    found = {(r["what"], r["name"]): r["value"] for r in records}
    assert len(found) == len(records) == 8 + 4 + 2
    for how in ("in turns", "repeated"):
        assert found["times as fast", f"PyTorch, {how}"] == 1
    shares = [value for (what, _), value in found.items() if what == "parts"]
    assert all(0 <= share <= 1.5 for share in shares) and found["parts", "convolutions"] >= 0


def test_the_committed_file_is_of_this_experiment():
    results = load_results(module.NAME)
    assert results.command == module.COMMAND and results.settings["batch"] == 1
    frame = results.frame().set_index(["what", "name"]).value
    int8 = frame["times as fast", "ONNX Runtime int8, 7 bits, repeated"]
    turns = frame["times as fast", "ONNX Runtime int8, 7 bits, in turns"]
    assert len(int8) == module.REPEATS and int8.min() > turns.max()
    assert frame["parts"].groupby("name").median().sum() == pytest.approx(1, abs=0.05)
