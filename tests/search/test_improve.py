"""`improve`: within its budget, stopped at any time, and its code does what it did."""

from __future__ import annotations

import copy
import math
import threading
from dataclasses import replace
from importlib import import_module
from unittest.mock import Mock

import optuna
import pytest
import torch
from optuna.distributions import FloatDistribution

from course_utils.core.errors import CourseError
from course_utils.search import SearchSpace
from course_utils.search.improve import MAX_FRUITLESS, StoppedEarly, improve
from course_utils.search.presets import PROVEN, space_for
from course_utils.search.rounds import EPOCHS
from course_utils.search.selection import winner
from course_utils.training.fit import fit
from tests.toys import same, toy_data, toy_model, weights

module = import_module("course_utils.search.improve")  # the room has a function of this name

EXAMPLE = torch.zeros(2, 1, 8, 8)
EXACT = {"precision": "float32"}


@pytest.fixture(scope="module")
def found(data):
    model = toy_model()
    before, state = weights(model), torch.get_rng_state()
    found = improve(model, data, "30 trials", **EXACT, seed=1)
    assert same(before, weights(model)) and torch.equal(state, torch.get_rng_state())
    return found


def test_it_keeps_within_a_number_of_trials(found):
    assert len(found.tried) == 30
    assert [one.number for one in found.tried] == list(range(1, 31))
    assert [one.round for one in found.tried] == sorted(one.round for one in found.tried)
    assert {one.round for one in found.tried} == {1, 2, 3}
    for one in found.tried:
        assert one.epochs == EPOCHS[one.round]
        long = "flip" if one.multiply_adds <= found.start.multiply_adds / 2 else "flip and crop"
        assert one.params["augment"] == (long if one.round == 3 else "none")
    assert not found.stopped and not found.now
    own = found.tried[0].params
    assert (own["0.out_channels"], own["0.kernel_size"]) == (6, 3)
    assert own["schedule"] == PROVEN["schedule"]


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


def test_the_best_is_the_best(found, data):
    assert found.best == winner(found.tried, found.start, len(data.validation))
    assert found.best.accuracy > found.start.accuracy
    with torch.no_grad():
        right = found.network(data.normalise(data.validation.images)).argmax(1)
    accuracy = (right == data.validation.labels).double().mean()
    assert float(accuracy) == pytest.approx(found.best.accuracy)
    assert not found.network.training and found.settings == found.best.params
    front = found.pareto_front()
    assert front[-1].accuracy == max(one.accuracy for one in found.tried)
    assert [one.multiply_adds for one in front] == sorted(one.multiply_adds for one in front)
    assert found.cheapest(0).multiply_adds == min(one.multiply_adds for one in front)
    assert found.cheapest(1.1) is None


def test_the_same_seed_finds_the_same(data):
    one, other = (improve(toy_model(), data, "10 trials", seed=1, **EXACT) for _ in range(2))
    assert [o.params for o in one.tried] == [o.params for o in other.tried]
    assert [o.accuracy for o in one.tried] == [o.accuracy for o in other.tried]
    assert same(weights(one.network), weights(other.network))
    assert {o.round for o in one.tried} == {1, 2, 3}


def test_its_code_makes_the_same_network(found, data):
    deeper, augmented = found.tried[5], found.tried[-1]
    for one in (found.best, deeper, augmented):
        values = {"model": toy_model(), "data": data}
        code = found.code(one).replace("    seed=1,\n", "    seed=1,\n    precision='float32',\n")
        exec(compile(code, "<code>", "exec"), values)  # what a reader would paste
        assert values["history"].validation_accuracy[-1] == one.accuracy
        if one is found.best:
            assert same(weights(values["model"]), weights(found.network))


def test_code_without_an_edit_leaves_the_readers_network_alone(data):
    model = toy_model()
    found = improve(model, data, "1 trial", space=SearchSpace({"learning_rate": [0.01]}))
    values, before = {"model": model, "data": data}, weights(model)
    exec(compile(found.code(found.tried[0]), "<code>", "exec"), values)
    assert same(before, weights(model)) and not same(before, weights(values["model"]))
    assert found.code(found.start) == "# model is the network as it was given.\n"


def test_an_end_before_the_network_itself_is_measured_is_said(data):
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedEarly, match="stopped before the network"):
        improve(toy_model(), data, stop=stop)
    with pytest.raises(CourseError, match=r"0\.0001 s .* more time") as error:
        improve(toy_model(), data, "0.0001 s")
    assert not isinstance(error.value, StoppedEarly)


class Clock:
    """The search's clock: whenever it is read, as in each training step, 0.01 s have passed."""

    now = 0.0

    def perf_counter(self) -> float:
        self.now += 0.01
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """An epoch of `data` takes 0.05 s and a little more."""
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "step_seconds", lambda *_arguments, **_options: 0.01)
    return clock


def test_it_keeps_within_its_seconds(data, clock):
    found = improve(toy_model(), data, "6 s", **EXACT)
    assert clock.now < 6.1 and found.tried[-1].at <= 6.0
    assert {one.round for one in found.tried} == {1, 2, 3}
    assert not found.stopped


def searched(found):
    return [(one.params, one.accuracy, one.round) for one in found.tried]


def test_on_a_slower_machine_the_same_seed_finds_the_same(data, clock, monkeypatch):
    """And a limit in seconds only cuts it off."""
    fast = improve(toy_model(), data, 12, seed=1)
    clock.now = 0.0
    monkeypatch.setattr(module, "step_seconds", lambda *_arguments, **_options: 1e6)
    train = module.Objective._train

    def slow(*arguments):
        clock.now += 100.0
        return train(*arguments)

    monkeypatch.setattr(module.Objective, "_train", slow)
    limited = improve(toy_model(), data, "12 candidates, 1000 s", seed=1)
    assert searched(improve(toy_model(), data, 12, seed=1)) == searched(fast)
    assert 1 < len(limited.tried) < 12 and searched(limited) == searched(fast)[: len(limited.tried)]
    assert [one.round for one in fast.tried] == 9 * [1] + 2 * [2] + [3]


def test_a_training_is_cut_off_at_the_end_of_the_seconds(clock):
    told, data = [], toy_data(6000)
    found = improve(toy_model(), data, "0.5 s", on_change=lambda f: told.append(f.now), **EXACT)
    assert told == ["round 1, candidate 1", ""] and clock.now < 0.6
    assert found.best == found.start and not found.stopped


def test_a_slow_beginning_takes_the_time_of_the_first_round_but_not_its_first_candidate(
    data, clock, monkeypatch
):
    """The first round ends after 1 s."""
    evaluate = module.evaluate

    def slow(*arguments, **options):
        clock.now += 1.5
        return evaluate(*arguments, **options)

    monkeypatch.setattr(module, "evaluate", slow)
    found = improve(toy_model(), data, "4 s", **EXACT)
    assert [one.number for one in found.tried if one.round == 1] == [1]


def test_its_owner_may_go_on_with_the_network(trained, data):
    model = copy.deepcopy(trained)
    found = improve(model, data, "1 trial", weights="keep", **EXACT)
    before = weights(found.build(found.start))
    fit(model, data, epochs=1, learning_rate=0.01, progress=False)
    assert same(before, weights(found.build(found.start)))


@pytest.mark.parametrize("kind", [ZeroDivisionError, CourseError, optuna.TrialPruned])
def test_an_error_of_the_callback_comes_out(kind, data):
    def on_change(found) -> None:
        if found.now.endswith(text):
            raise kind(text)

    for text in ("candidate 1", "candidate 2: epoch 1 of 2", "candidate 2 done"):
        with pytest.raises(kind, match=text):
            improve(toy_model(), data, "3 trials", on_change=on_change, **EXACT)


def test_frozen_layers_stay_as_they_are(data):
    model = toy_model()
    model[0].requires_grad_(False)
    found = improve(model, data, "1 trial", space={"learning_rate": [0.01]}, **EXACT)
    assert found.weights == "fresh"
    assert torch.equal(found.network[0].weight, model[0].weight)


def test_its_report_names_what_changed(found):
    report = found.report()
    assert f"{found.best.accuracy:.1%} now" in report
    assert f"candidate {found.best.number}, {found.best.epochs} epochs" in report
    assert "0.out_channels: 6" in report
    assert found.layers(found.tried[0]) == found.layers(found.start) == ""
    assert found.layers(found.tried[5]) == "0.out_channels 6 → 3, 0.depth 1 → 2"
    assert len(found.frame()) == 30


@pytest.fixture(scope="module")
def trained(data):
    model = toy_model()
    fit(model, data, epochs=12, learning_rate=0.01, progress=False)
    return model


def test_what_was_learned_is_kept(trained, data):
    space = space_for(trained, EXAMPLE, ("out_channels",), training=False)
    found = improve(trained, data, "3 trials", space=space, **EXACT)
    assert found.weights == "keep"
    assert found.best.accuracy >= found.start.accuracy
    assert improve(trained, data, "1 trials", space=space, weights="fresh").weights == "fresh"


def test_if_nothing_is_better_the_network_comes_back(trained, data):
    space = SearchSpace({"learning_rate": [1e-9]})
    found = improve(trained, data, "2 trials", space=space, **EXACT)
    assert found.best == found.start and same(weights(found.network), weights(trained))
    assert "no candidate was better" in found.report()


def test_only_seconds_are_a_reason_to_give_up_what_is_slow(data, clock, monkeypatch):
    def seconds(model, *_arguments, **_options):
        return 100.0 if model[0].out_channels > 6 else 0.001

    monkeypatch.setattr(module, "step_seconds", seconds)
    space = space_for(toy_model(), EXAMPLE, ("out_channels",))
    found = improve(toy_model(), data, "3 s", space=space, **EXACT)
    wide = [one for one in found.tried if one.params["0.out_channels"] > 6]
    assert wide and all("too long" in one.reason and one.accuracy is None for one in wide)
    assert all(one.accuracy for one in found.tried if one not in wide)
    found = improve(toy_model(), data, "3 trials", space=space, **EXACT)
    assert [one.params["0.out_channels"] for one in found.tried] == [6, 4, 3]
    assert all(one.accuracy for one in found.tried)


def test_a_candidate_that_breaks_is_told_with_its_reason(data, monkeypatch):
    breaks = Mock(side_effect=ZeroDivisionError("by nought"))
    monkeypatch.setattr("course_utils.search.objective.fit", breaks)
    found = improve(toy_model(), data, "2 trials")
    assert [one.reason for one in found.tried] == ["ZeroDivisionError: by nought"] * 2


@pytest.mark.parametrize("pictures", [1, 2, 12, 60, 65, 100, 199])
def test_few_pictures_are_enough(pictures):
    data = toy_data(train=pictures)
    found = improve(toy_model(norm=pictures > 1), data, "6 trials", **EXACT)
    assert {one.round for one in found.tried} == {1, 2}
    assert all(one.accuracy is not None for one in found.tried), found.report()
    assert found.tried[0].params["schedule"] == "OneCycle"


def test_few_pictures_are_enough_for_any_batch_size(data):
    space = {"batch_size": [16, 256], "schedule": ["OneCycle"]}
    found = improve(toy_model(), data, "4 trials", space=space, **EXACT)
    assert all(one.accuracy is not None for one in found.tried), found.report()


def test_a_class_of_one_picture_is_no_obstacle():
    data = toy_data(train=9)
    keep = torch.tensor([0, 1, 2, 3, 6])  # one of the second and of the third class
    data = replace(data, train=data.train.subset(keep), validation=data.validation.subset([0, 3]))
    found = improve(toy_model(), data, "4 trials", **EXACT)
    assert all(one.accuracy is not None for one in found.tried), found.report()


def test_a_search_without_any_result_says_why(data):
    space = {"0.groups": [3], "learning_rate": FloatDistribution(1e-3, 1e-2)}
    found = improve(toy_model(), data, "3 trials", space=space, **EXACT)
    assert f"No candidate has a result:\n  3 of 3: {found.tried[0].reason}" in found.report()
    assert "better" not in found.report()
    found.tried.clear()
    assert "No candidate was finished" in found.report()
    found.tried.append(found.start)
    assert found.why_no_result() == ""


class Countdown:
    """An event that is set after it has been read `left` more times."""

    left = math.inf

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_it_can_be_stopped_at_any_time():
    told, stop = [], Countdown()

    def on_change(found) -> None:
        told.append(found.now)
        if found.now == "round 1, candidate 2":
            stop.left = 10  # an epoch of these pictures has 19 steps

    found = improve(toy_model(), toy_data(1200), 600, stop=stop, on_change=on_change, **EXACT)
    assert told[-2:] == ["round 1, candidate 2", ""]
    assert found.stopped and [one.number for one in found.tried] == [1]
    assert "stopped early" in found.report()


def test_a_space_of_impossible_candidates_only_is_left_soon(data):
    space = {"0.groups": [3], "learning_rate": FloatDistribution(1e-3, 1e-2)}
    found = improve(toy_model(), data, "200 trials", space=space, **EXACT)
    assert len(found.tried) == MAX_FRUITLESS and found.best == found.start
    assert all(one.accuracy is None and "groups" in one.reason for one in found.tried)


def test_networks_and_pictures_that_do_not_fit_are_said(data):
    refused = {
        "pictures": (toy_model(channels=3), data),
        "validation": (toy_model(), toy_data(validation=0)),
        "no convolution 'conv9'": (toy_model(), data),
        "requires a gradient": (toy_model().requires_grad_(False), data),
    }
    for said, arguments in refused.items():
        with pytest.raises(CourseError, match=said):
            improve(*arguments, space={"conv9.stride": [1]})
