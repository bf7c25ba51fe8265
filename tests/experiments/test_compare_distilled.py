"""The experiment with a pruned network and its teacher."""

from __future__ import annotations

from torch import nn

from course_utils.data import load_dataset
from course_utils.experiments import compare_distilled as module
from course_utils.experiments import load_results, quantization_accuracies, quantization_tradeoffs
from tests.toys import toy_data


def test_the_student_is_measured_in_floats_and_in_int8(monkeypatch):
    def network(width):
        layers = nn.Conv2d(1, width, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36 * width, 3)
        return nn.Sequential(*layers).eval()

    monkeypatch.setattr(module, "student", lambda *_: network(4))
    monkeypatch.setattr(module, "SECONDS", 0.01)
    records = list(module.compare(network(16), toy_data(train=320), seeds=(5, 6)))
    found = [(r["seed"], r["setting"], r["method"]) for r in records]
    each = [(32, "PyTorch"), (7, "ONNX Runtime")]
    assert found == [(seed, *one) for seed in (5, 6) for one in each]
    assert all(r["total"] == 24 and r["bytes"] > 0 for r in records)
    assert all(r["speedup_1"] > 0 and r["speedup_64"] > 0 for r in records)


def test_the_student_is_half_of_its_teacher_and_learns_from_it(monkeypatch):
    calls = []
    monkeypatch.setattr(module, "fit", lambda model, data, **more: calls.append(more))
    data, teacher = load_dataset("fashion-mnist"), module.load_pretrained(module.TEACHER)
    half = module.student(teacher, data, 2)
    assert 2 * half.classifier.in_features == teacher.classifier.in_features
    assert calls[0]["loss"].teacher is teacher and calls[0]["seed"] == 2


def test_the_committed_file_is_of_this_experiment():
    results = load_results(module.NAME)
    assert results.command == module.COMMAND and results.settings["teacher"] == module.TEACHER
    frame = results.frame()
    assert set(frame.network) == {module.STUDENT}
    for _, part in frame.groupby("setting"):
        assert sorted(part.seed) == list(module.SEEDS)


def test_what_the_notebook_says_about_the_results():
    frame = load_results(module.NAME).frame()
    taught = frame[frame.setting == 7].sort_values("seed").correct.tolist()
    alone = quantization_accuracies("pruned")
    alone = alone[alone.setting == 7].sort_values("seed").correct.tolist()
    gains = [one - other for one, other in zip(taught, alone, strict=True)]
    assert min(gains) < 0 < max(gains) and max(map(abs, gains)) < 8, "of 2,000 pictures"
    assert frame[frame.setting == 7].speedup_64.median() > 7
    charts, kinds = quantization_tradeoffs()
    name = "pruned, distilled, ONNX Runtime int8, 7 bits"
    assert kinds[name] == "distilled" and all(name in points for points in charts.values())
