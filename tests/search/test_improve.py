"""`improve`: within its budget, stopped at any time, and its code does what it did."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from importlib import import_module

import numpy as np
import optuna
import pytest
import torch
from optuna.distributions import FloatDistribution

from course_utils.core.errors import CourseError
from course_utils.search import SearchSpace
from course_utils.search.budget import Budget
from course_utils.search.choice import winner
from course_utils.search.improve import EPOCHS, IN_VAIN, StoppedEarly, improve
from course_utils.search.presets import PROVEN, space_for
from course_utils.training.fit import fit
from tests.toys import same, toy_data, toy_model, weights

rounds = import_module("course_utils.search.improve")  # the room has a function of this name

EXAMPLE = torch.zeros(2, 1, 8, 8)


@pytest.fixture(scope="module")
def found(data):
    model = toy_model()
    before, state = weights(model), torch.get_rng_state()
    found = improve(model, data, "30 trials", precision="float32", seed=1)
    assert same(before, weights(model)) and torch.equal(state, torch.get_rng_state())
    return found


def test_it_keeps_within_a_number_of_trials(found):
    assert len(found.tried) == 30
    assert [one.number for one in found.tried] == list(range(1, 31))
    assert [one.round for one in found.tried] == sorted(one.round for one in found.tried)
    assert {one.round for one in found.tried} == {1, 2, 3}
    assert all(one.epochs == EPOCHS[one.round] for one in found.tried)
    assert not found.stopped and not found.now


def test_the_networks_own_layers_come_first(found):
    own = {name: found.tried[0].params[name] for name in ("0.out_channels", "0.kernel_size")}
    assert own == {"0.out_channels": 6, "0.kernel_size": 3}
    assert found.tried[0].multiply_adds == found.start.multiply_adds
    assert found.tried[0].params["schedule"] == PROVEN["schedule"]


def bare(one):
    """A candidate's values without its augmentation, which depends on the round."""
    return {name: value for name, value in one.params.items() if name != "augment"}


def test_later_rounds_take_the_best_of_earlier_ones(found):
    first, second, third = ([one for one in found.tried if one.round == n] for n in EPOCHS)
    assert len(third) == 3 and bare(found.tried[0]) in map(bare, third)
    for before, chosen in ((first, second), (second, third)):
        best = max(one.accuracy for one in before)
        cheapest = min(one.multiply_adds for one in before if one.accuracy == best)
        assert chosen[0].multiply_adds == cheapest
        own = found.tried[0]
        assert all(bare(one) in map(bare, [*before, own]) for one in chosen)


def test_nothing_is_trained_twice_in_a_round(data):
    """The network's own layers are the only ones, and the best of all rounds."""
    found = improve(toy_model(), data, "8 trials", space={"0.out_channels": [6]})
    assert [one.round for one in found.tried] == [1, 2, 3]


def test_long_trainings_are_augmented(found):
    for one in found.tried:
        cheap = one.multiply_adds <= found.start.multiply_adds / 2
        long = "flip" if cheap else "flip and crop"
        assert one.params["augment"] == (long if one.round == 3 else "none")


def test_the_best_is_the_best(found, data):
    assert found.best == winner(found.tried, found.start, len(data.validation))
    assert found.best.accuracy > found.start.accuracy
    with torch.no_grad():
        right = found.network(data.normalise(data.validation.images)).argmax(1)
    accuracy = (right == data.validation.labels).double().mean()
    assert float(accuracy) == pytest.approx(found.best.accuracy)
    assert not found.network.training
    assert found.settings == found.best.params
    front = found.front()
    assert front[-1].accuracy == max(one.accuracy for one in found.tried)
    assert [one.multiply_adds for one in front] == sorted(one.multiply_adds for one in front)
    assert found.cheapest(0).multiply_adds == min(one.multiply_adds for one in front)
    assert found.cheapest(1.1) is None


def test_the_same_seed_finds_the_same(found, data):
    again = improve(toy_model(), data, "30 trials", precision="float32", seed=1)
    assert [one.params for one in again.tried] == [one.params for one in found.tried]
    assert [one.accuracy for one in again.tried] == [one.accuracy for one in found.tried]
    assert same(weights(again.network), weights(found.network))


def test_its_code_makes_the_same_network(found, data):
    values = {"model": toy_model(), "data": data}
    code = found.code().replace("    seed=1,\n", "    seed=1,\n    precision='float32',\n")
    exec(compile(code, "<code>", "exec"), values)  # what a reader would paste
    assert values["history"].validation_accuracy[-1] == found.best.accuracy
    assert same(weights(values["model"]), weights(found.network))


def test_code_without_an_edit_leaves_the_readers_network_alone(data):
    model = toy_model()
    found = improve(model, data, "1 trial", space=SearchSpace({"learning_rate": [0.01]}))
    values, before = {"model": model, "data": data}, weights(model)
    exec(compile(found.code(found.tried[0]), "<code>", "exec"), values)
    assert same(before, weights(model)) and not same(before, weights(values["model"]))
    assert found.code(found.start) == "# model is the network as it was given.\n"


def test_a_search_stopped_at_once_says_so(data):
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedEarly, match="stopped before anything was known"):
        improve(toy_model(), data, stop=stop)


def test_too_little_time_to_measure_the_network_itself_is_said(data):
    with pytest.raises(CourseError, match=r"The 0\.0001 s were over before .* more time") as error:
        improve(toy_model(), data, 1e-4)
    assert not isinstance(error.value, StoppedEarly)


def test_a_slow_beginning_takes_the_time_of_the_first_round_but_not_its_first_candidate(
    data, monkeypatch
):
    """The first round ends after 1 s."""
    real = rounds.evaluate

    def slow(*arguments, **options):
        time.sleep(1.5)
        return real(*arguments, **options)

    monkeypatch.setattr(rounds, "evaluate", slow)
    found = improve(toy_model(), data, 4.0, precision="float32")
    assert [one.number for one in found.tried if one.round == 1] == [1]


def test_its_owner_may_go_on_with_the_network(data):
    model = toy_model()
    fit(model, data, epochs=3, learning_rate=0.01, progress=False)
    found = improve(model, data, "1 trial", weights="keep", precision="float32")
    before = weights(found.build(found.start))
    fit(model, data, epochs=1, learning_rate=0.01, progress=False)
    assert same(before, weights(found.build(found.start)))


@pytest.mark.parametrize("kind", [ZeroDivisionError, CourseError, optuna.TrialPruned])
def test_an_error_of_the_callback_comes_out(data, kind):
    for text in ("candidate 1", "candidate 2: epoch 1 of 2", "candidate 2 done"):

        def on_change(found, text=text) -> None:
            if found.now.endswith(text):
                raise kind(text)

        with pytest.raises(kind, match=text):
            improve(toy_model(), data, "3 trials", precision="float32", on_change=on_change)


def test_frozen_layers_stay_as_they_are(data):
    model = toy_model()
    model[0].requires_grad_(False)
    found = improve(model, data, "1 trial", space={"learning_rate": [0.01]}, precision="float32")
    assert found.weights == "fresh"
    assert torch.equal(found.network[0].weight, model[0].weight)
    with pytest.raises(CourseError, match="requires a gradient"):
        improve(model.requires_grad_(False), data, "1 trial")


def test_its_report_names_what_changed(found):
    report = found.report()
    assert f"{found.best.accuracy:.1%} now" in report
    assert f"candidate {found.best.number}, {found.best.epochs} epochs" in report
    assert "0.out_channels: 6" in report
    assert found.layers(found.tried[0]) == found.layers(found.start) == ""
    assert found.layers(found.tried[5]) == "0.out_channels 6 → 3, 0.depth 1 → 2"
    assert len(found.frame()) == 30


def test_what_was_learned_is_kept(data):
    model = toy_model()
    fit(model, data, epochs=12, learning_rate=0.01, progress=False)
    space = space_for(model, EXAMPLE, ("out_channels",), training=False)
    found = improve(model, data, "3 trials", space=space, precision="float32")
    assert found.weights == "keep"
    assert found.best.accuracy >= found.start.accuracy
    assert improve(model, data, "1 trials", space=space, weights="fresh").weights == "fresh"


def test_if_nothing_is_better_the_network_comes_back(data):
    model = toy_model()
    fit(model, data, epochs=12, learning_rate=0.01, progress=False)
    space = SearchSpace({"learning_rate": [1e-9]})
    found = improve(model, data, "2 trials", space=space, precision="float32")
    assert found.best == found.start and same(weights(found.network), weights(model))
    assert "no candidate was better" in found.report()


def test_it_keeps_within_its_seconds(data):
    started = time.perf_counter()
    found = improve(toy_model(), data, 6.0, precision="float32")
    assert time.perf_counter() - started < 12
    assert {one.round for one in found.tried} == {1, 2, 3}


def test_a_candidate_that_would_take_too_long_is_cut_off():
    started = time.perf_counter()
    found = improve(toy_model(), toy_data(train=60_000), 0.5, precision="float32")
    assert time.perf_counter() - started < 2  # measured: 0.5 s; one epoch takes more than a second
    assert found.best == found.start and not found.stopped


@pytest.fixture
def search():
    """A search of 30 s; of these the last round has 0.6 · 30 = 18."""
    search = rounds._Search(
        toy_model(), toy_data(train=60), Budget(seconds=30), None, "auto", "float32", 0, None, None
    )
    search.round = 1
    return search


def test_a_candidate_that_is_too_slow_for_the_last_round_is_given_up(search):
    search._check_pace(0.3)  # the first may take what it takes: 60 pictures are one step an epoch
    first = replace(search.found.start, epochs=2, seconds=0.2)
    search.found.tried.append(first)
    search._check_pace(1.09)  # an epoch: 0.1 s, and 0.79 more; 20 of these take 17.8 s
    with pytest.raises(optuna.TrialPruned, match=r"0\.9 s, too long for 20 of them in the 18 s"):
        search._check_pace(1.11)


def test_what_is_hardly_slower_than_the_network_itself_is_not_given_up(search):
    search._check_pace(0.3)
    search.found.tried.append(replace(search.found.start, epochs=2, seconds=1.8))  # 0.9 s each
    with pytest.raises(optuna.TrialPruned, match="too long"):
        search._check_pace(0.46)
    search._check_pace(0.44)


def test_only_seconds_are_a_reason_to_give_up_what_is_slow(data, monkeypatch):
    def seconds(model, *_arguments, **_options):
        return 100.0 if model[0].out_channels > 6 else 0.001

    monkeypatch.setattr(rounds, "step_seconds", seconds)
    space = space_for(toy_model(), EXAMPLE, ("out_channels",))
    found = improve(toy_model(), data, 3.0, space=space, precision="float32")
    wide = [one for one in found.tried if one.params["0.out_channels"] > 6]
    assert wide and all("too long" in one.reason and one.accuracy is None for one in wide)
    assert all(one.accuracy for one in found.tried if one not in wide)
    found = improve(toy_model(), data, "3 trials", space=space, precision="float32")
    assert [one.params["0.out_channels"] for one in found.tried] == [6, 4, 3]
    assert all(one.accuracy for one in found.tried)


def paced(search, number, seconds):
    """A candidate of this round's number that took so long for each epoch."""
    return replace(search.found.start, round=number, epochs=2, seconds=2 * seconds)


def test_there_is_time_for_so_many_epochs(search):
    search.found.tried.append(paced(search, 1, 1.0))
    search.round = 2  # ends after 12 s
    for _ in range(2):
        # the first of all and the first cheap one may take of the third's time
        assert search._epochs_for(paced(search, 1, 4.0)) == 6
        assert search._epochs_for(paced(search, 1, 6.0)) == 0
        search.found.tried.append(paced(search, 2, 1.0))
    assert search._epochs_for(paced(search, 1, 1.5)) == 6
    assert search._epochs_for(paced(search, 1, 2.1)) == 0
    search.round = 3
    search.begun -= 12  # that have gone by
    assert search._epochs_for(paced(search, 2, 0.59)) == 30
    assert search._epochs_for(paced(search, 2, 0.71)) == 25
    assert search._epochs_for(paced(search, 2, 0.89)) == 20
    assert search._epochs_for(paced(search, 2, 0.91)) == 0
    short, long = paced(search, 2, 0.1), paced(search, 2, 0.2)
    assert search._epochs_for(paced(search, 2, 0.71), after=short) == 21  # 2.4 s are left for it
    assert search._epochs_for(paced(search, 2, 0.71), after=long) == 25  # 4.8 would be too much
    search.begun -= 7.5
    assert search._epochs_for(paced(search, 2, 0.51)) == 20
    search.begun -= 0.5
    assert search._epochs_for(paced(search, 2, 0.51)) == 0


def test_a_number_of_trials_leaves_each_all_its_epochs(search):
    search.budget = Budget(trials=3)
    for search.round, epochs in EPOCHS.items():
        assert search._epochs_for(paced(search, 1, 1000.0)) == epochs


def test_a_candidate_that_breaks_is_told_with_its_reason(data, monkeypatch):
    def breaks(*_arguments, **_options):
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr("course_utils.search.objective.fit", breaks)
    found = improve(toy_model(), data, "2 trials")
    assert [one.reason for one in found.tried] == ["ZeroDivisionError: by nought"] * 2


def test_it_can_be_stopped_at_any_time():
    data, stop = toy_data(train=6000), threading.Event()
    asked = []

    def on_change(found) -> None:
        if len(found.tried) == 1 and not asked:
            threading.Timer(0.1, lambda: (asked.append(time.perf_counter()), stop.set())).start()

    found = improve(toy_model(), data, 60, precision="float32", stop=stop, on_change=on_change)
    assert time.perf_counter() - asked[0] < 2  # measured: 0.02 s; a busy machine may take longer
    assert found.stopped and found.best.number >= 1
    assert "stopped early" in found.report()


def test_it_tells_how_things_stand(data):
    told = []
    improve(
        toy_model(), data, "4 trials", precision="float32", on_change=lambda f: told.append(f.now)
    )
    assert "round 1, candidate 1: epoch 1 of 2" in told
    assert told[-1] == ""


def test_impossible_candidates_are_told_apart(data):
    space = SearchSpace({"0.groups": [3]})
    found = improve(toy_model(), data, "2 trials", space=space, precision="float32")
    assert [one.accuracy for one in found.tried] == [None]
    assert "groups" in found.tried[0].reason
    assert found.best == found.start


def test_a_space_of_impossible_candidates_only_is_left_soon(data):
    space = {"0.groups": [3], "learning_rate": FloatDistribution(1e-3, 1e-2)}
    found = improve(toy_model(), data, "200 trials", space=space, precision="float32")
    assert len(found.tried) == IN_VAIN and all(one.accuracy is None for one in found.tried)


@pytest.mark.parametrize(
    "budget", [0, -1, True, None, [1], "", "soon", "0 trials", "1.5 trials", "1.2.3 s"]
)
def test_a_budget_that_is_none_is_refused(budget, data):
    with pytest.raises(CourseError, match="budget="):
        improve(toy_model(), data, budget)


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("2 min", Budget(seconds=120)),
        ("24 trials", Budget(trials=24)),
        ("1 trial", Budget(trials=1)),
        ("90s", Budget(seconds=90)),
        (0.5, Budget(seconds=0.5)),
        (np.int64(120), Budget(seconds=120)),
    ],
)
def test_budgets_may_be_written(text, budget):
    assert Budget.of(text) == budget and Budget.of(budget) is budget


def test_networks_and_pictures_that_do_not_fit_are_said(data):
    with pytest.raises(CourseError, match="pictures"):
        improve(toy_model(channels=3), data, "1 trial")
    bare = replace(data, validation=data.validation.subset(torch.tensor([], dtype=torch.int64)))
    with pytest.raises(CourseError, match="validation"):
        improve(toy_model(), bare, "1 trial")
    with pytest.raises(CourseError, match="no convolution"):
        improve(toy_model(), data, "1 trial", space=SearchSpace({"conv9.stride": [1]}))
