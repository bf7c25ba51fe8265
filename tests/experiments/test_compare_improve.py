"""The experiment with `improve`: its records."""

from __future__ import annotations

import pytest

from course_utils.experiments import compare_improve as experiment
from tests.toys import toy_data

ACCURACIES = ("train", "validation", "test")


@pytest.fixture(scope="module")
def run():
    """The records of a seed with a few epochs instead of minutes, and what the search found."""
    found, fit, search = [], experiment.fit, experiment.improve

    def short(*arguments, epochs, **options):
        return fit(*arguments, epochs=min(epochs, 5), **options)

    def keep(model, data, budget, seed, precision):
        assert (budget, precision) == ("120 s", "auto")
        found.append(search(model, data, "8 trials", seed=seed))
        return found[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "load_dataset", lambda _name: toy_data(train=300))
        patch.setattr(experiment, "fit", short)
        patch.setattr(experiment, "improve", keep)
        return experiment.run_seed(1), found[0]


def test_every_seed_has_the_article_and_the_search(run):
    records, found = run
    end, best, same = records[:3]
    assert (end["what"], best["what"]) == ("article", "article, best epoch")
    whats = [record["what"] for record in records[2:]]
    assert whats == ["same layers", "improve", "improve, cheap"]
    assert same["multiply_adds"] == end["multiply_adds"] and same["epochs"] == 5
    assert {record["seed"] for record in records} == {1}
    assert all(0 <= record[name] <= 1 for record in records for name in ACCURACIES)
    assert [record["candidates"] for record in records] == [1, 1, 1] + 2 * [len(found.tried)]
    assert end["multiply_adds"] == best["multiply_adds"] == found.start.multiply_adds
    assert best["validation"] >= end["validation"] and 1 <= best["epochs"] <= end["epochs"]


def test_the_search_is_recorded_as_it_ended(run):
    (article, _, _, best, cheap), found = run
    assert best["validation"] == found.best.accuracy and best["epochs"] == found.best.epochs
    assert best["multiply_adds"] == found.best.multiply_adds
    assert best["layers"] == found.layers(found.best) and article["layers"] == ""
    assert cheap["multiply_adds"] == found.cheapest(article["validation"]).multiply_adds
