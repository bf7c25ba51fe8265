"""The experiment with taught students."""

from __future__ import annotations

import torch

from course_utils.data import load_dataset
from course_utils.experiments import compare_distillation as module
from course_utils.experiments.results import load_results
from course_utils.metrics import mean_interval


def test_rows_find_the_answers_of_their_pictures():
    data = load_dataset("fashion-mnist")
    pictures = data.train.few(40)
    rows = module.with_rows(data, pictures)
    assert torch.equal(rows.train.images, pictures.images)
    assert rows.train.labels.tolist() == list(range(40))
    assert torch.equal(rows.mean, data.mean)


def test_a_student_learns_from_answers_alone():
    data = load_dataset("fashion-mnist")
    pictures = data.train.few(200)
    answers = 5 * torch.eye(10)[(pictures.labels + 1) % 10]  # the teacher says the next class
    model = module.student(0)
    accuracy = module._from_answers(data, pictures, answers, 0, epochs=6, model=model)
    seen = data.normalise(pictures.images)
    with torch.no_grad():
        guesses = model(seen).argmax(1)
    assert accuracy < 0.2 and (guesses == (pictures.labels + 1) % 10).float().mean() > 0.4


def test_the_committed_file_is_of_this_experiment():
    results = load_results(module.NAME)
    assert results.settings["unlabelled"] == module.UNLABELLED
    frame = results.frame()
    assert set(frame.setting) == set(module.SETTINGS)
    for setting in module.SETTINGS:
        few = setting in ("weak teacher", "hard answers")
        seeds = module.LITE0_SEEDS if few else module.SEEDS
        assert sorted(frame[frame.setting == setting].seed) == list(seeds)
    gains = frame.distilled - frame.alone
    interval = mean_interval(gains[frame.setting == "no labels"])
    assert interval.low > 0, "the setting in which distillation helps"
