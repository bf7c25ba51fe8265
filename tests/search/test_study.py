"""Studies: every method, the queue, what is refused, and what is read from them."""

from __future__ import annotations

import threading
import warnings
from contextlib import ExitStack
from dataclasses import replace
from unittest.mock import Mock

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from course_utils import search
from course_utils.core.errors import CourseError
from course_utils.search import Objective, Plan, SearchSpace, work
from course_utils.search.methods import FOR_TWO_OBJECTIVES, METHODS, PRUNERS
from course_utils.search.objective import REASON
from course_utils.search.presets import first_cnn_space
from course_utils.search.study import create_study, quiet
from tests.search.queue import complete, positions
from tests.toys import toy_data, toy_model


def searched(plan: Plan, data, **options) -> optuna.Study:
    study = create_study(plan)
    work(study, Objective(plan, toy_model(), data, **options))
    return study


@pytest.mark.filterwarnings("error::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("method", METHODS)
def test_every_method_tries_its_candidates_and_no_more(method, plan, data):
    study = searched(replace(plan, method=method, trials=6), data)
    trials = study.get_trials()
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 6
    assert len({tuple(t.params.items()) for t in trials}) > 1
    assert all(0 <= t.value <= 1 and search.cost_of(t) > 0 for t in trials)
    curve = search.best_so_far(study)
    assert curve == sorted(curve) and curve[-1] == study.best_value


@pytest.mark.parametrize("method", FOR_TWO_OBJECTIVES)
def test_cost_can_be_minimised_too(method, plan, data):
    plan = replace(plan, method=method, trials=5, objectives=("accuracy", "multiply_adds"))
    study = searched(plan, data)
    front = search.pareto_front(study)
    assert [t.values for t in front] == [[t.values[0], search.cost_of(t)] for t in front]
    assert {t.number for t in front} <= {t.number for t in study.best_trials}
    if len({t.values[0] for t in study.trials}) > 1:
        assert sum(search.importances(study).values()) == pytest.approx(1)


def test_the_same_seed_gives_the_same_numbers(plan, data):
    one, other = (searched(plan, data) for _ in range(2))
    assert [t.params for t in one.trials] == [t.params for t in other.trials]
    assert [t.value for t in one.trials] == [t.value for t in other.trials]


@pytest.mark.parametrize("pruner", PRUNERS)
def test_hopeless_trainings_end_early(pruner, data):
    rates = SearchSpace({"learning_rate": [1e-9, 0.01]})
    plan = Plan(rates, method="random", trials=12, epochs=4, pruner=pruner)
    objective = Objective(plan, toy_model(), data)
    study = create_study(plan)
    work(study, objective)
    pruned = study.get_trials(states=(TrialState.PRUNED,))
    assert bool(pruned) == (pruner != "none")
    assert all(t.params["learning_rate"] == 1e-9 for t in pruned)
    assert all("behind the others after epoch" in t.user_attrs[REASON] for t in pruned)
    assert objective.epochs == sum(len(t.intermediate_values) for t in study.trials)


@pytest.mark.parametrize(
    ("values", "said"), [({"0.groups": [1, 2]}, "groups"), ({"learning_rate": [0.1, 1e30]}, "rate")]
)
def test_impossible_networks_and_trainings_are_pruned_with_the_reason(values, said, data):
    plan = Plan(SearchSpace(values), method="grid", trials=2, epochs=2)
    table = search.trial_table(searched(plan, data))
    assert list(table.state) == ["complete", "pruned"]
    assert table.reason[0] == "" and said in table.reason[1]


def test_an_unexpected_error_fails_with_its_name(plan, data, monkeypatch):
    breaks = Mock(side_effect=ZeroDivisionError("by nought"))
    monkeypatch.setattr("course_utils.search.objective.fit", breaks)
    study = searched(plan, data)
    assert {t.state for t in study.trials} == {TrialState.FAIL}
    assert study.trials[0].user_attrs[REASON] == "ZeroDivisionError: by nought"


def test_a_stopped_search_goes_on(plan, data):
    plan, stop = replace(plan, epochs=2), threading.Event()
    study, objective = create_study(plan), Objective(plan, toy_model(), data, stop=stop)
    assert work(study, objective, on_trial=lambda trial: stop.set()) == 1
    stop.clear()
    objective.on_epoch = lambda history: stop.set()  # in the middle of a trial
    assert work(study, objective) == 0
    (failed,) = study.get_trials(states=(TrialState.FAIL,))
    assert failed.user_attrs[REASON] == "the search was stopped"
    assert positions([failed, study.trials[-1]]) == [1, 1]
    assert study.trials[-1].state == TrialState.WAITING
    stop.clear()
    objective.on_epoch = None
    assert work(study, objective) == plan.trials - 1
    assert positions(complete(study)) == [0, 1, 2, 3]


def test_an_interrupted_kernel_loses_no_candidate(plan, data):
    objective = Objective(plan, toy_model(), data)

    def interrupt(_history) -> None:
        objective.on_epoch = None
        raise KeyboardInterrupt

    study, objective.on_epoch = create_study(plan), interrupt
    with pytest.raises(KeyboardInterrupt):
        work(study, objective)
    assert [t.state for t in study.trials].count(TrialState.WAITING) == plan.trials
    assert work(study, objective) == plan.trials
    assert positions(complete(study)) == [0, 1, 2, 3]


def test_an_interruption_while_the_result_is_written_loses_no_candidate(plan, data, monkeypatch):
    study, objective = create_study(plan), Objective(plan, toy_model(), data)
    tell = study.sampler.after_trial
    interrupts = iter([KeyboardInterrupt])

    def after_trial(*arguments):
        for interrupt in interrupts:
            raise interrupt
        tell(*arguments)

    monkeypatch.setattr(study.sampler, "after_trial", after_trial)
    with pytest.raises(KeyboardInterrupt):
        work(study, objective)
    work(study, objective)
    assert {t.state for t in study.trials} <= {TrialState.COMPLETE, TrialState.FAIL}
    assert positions(complete(study)) == [0, 1, 2, 3]


@pytest.mark.parametrize("method", FOR_TWO_OBJECTIVES)
def test_a_study_that_goes_on_draws_other_candidates(method):
    space = SearchSpace({"learning_rate": FloatDistribution(1e-3, 1e-1, log=True)})
    plan = Plan(space, method=method, trials=6, epochs=1)
    objective = Objective(plan, toy_model(), toy_data())

    def rates(*ends: int) -> list[float]:
        storage = InMemoryStorage()
        for end in ends:
            study = create_study(plan, "one", storage)
            work(study, objective, until=lambda: len(complete(study)) >= end)  # noqa: B023
        return [trial.params["learning_rate"] for trial in study.trials]

    whole, again, thirds = rates(6), rates(6), rates(2, 4, 6)
    assert whole == again and whole[:2] == thirds[:2]
    assert len(set(thirds)) == 6


def test_a_study_of_one_name_goes_on_with_the_same_plan_only(plan, data):
    storage = InMemoryStorage()
    study = create_study(plan, "one", storage)
    work(study, Objective(plan, toy_model(), data), until=lambda: len(complete(study)) >= 2)
    again = create_study(plan, "one", storage)
    assert len(complete(again)) == 2 and search.plan_of(again) == plan
    assert [d.name for d in again.directions] == ["MAXIMIZE"]
    other = replace(plan, space=SearchSpace({"learning_rate": [0.1]}), seed=3)
    with pytest.raises(CourseError, match="its space and seed differ"):
        create_study(other, "one", storage)
    with pytest.raises(CourseError, match=r"no study 'two' in this storage; it has: one"):
        search.open_study("two", storage)
    optuna.create_study(study_name="theirs", storage=storage)
    with pytest.raises(CourseError, match="was not made by this course"):
        create_study(plan, "theirs", storage)


def test_nothing_to_compare_is_said(plan):
    with pytest.raises(CourseError, match="validation"):
        Objective(plan, toy_model(), toy_data(validation=0))
    with pytest.raises(CourseError, match="at least 4"):
        search.importances(create_study(plan))


def test_quiet_blocks_may_overlap():
    verbosity, one, other = optuna.logging.get_verbosity, ExitStack(), ExitStack()
    before = verbosity()
    one.enter_context(quiet())
    other.enter_context(quiet())
    one.close()
    assert verbosity() == optuna.logging.ERROR
    other.close()
    assert verbosity() == before
    with quiet():
        optuna.logging.set_verbosity(optuna.logging.DEBUG)
    assert verbosity() == optuna.logging.DEBUG
    optuna.logging.set_verbosity(before)


def test_a_search_in_a_thread_leaves_the_filters_of_warnings_to_others(plan, data):
    study, objective = create_study(plan), Objective(plan, toy_model(), data)
    training, go_on = threading.Event(), threading.Event()
    objective.on_epoch = lambda history: (training.set(), go_on.wait(120))
    with warnings.catch_warnings():
        thread = threading.Thread(target=work, args=(study, objective))
        thread.start()
        assert training.wait(120)
        warnings.filterwarnings("error", message="mine")
        go_on.set()
        thread.join()
        with pytest.raises(UserWarning, match="mine"):
            warnings.warn("mine", stacklevel=1)


@pytest.mark.parametrize("trials", [1, 6, 24])
def test_a_grid_is_visited_in_a_shuffled_order(trials):
    """In its own order a search that ends early would know only the lowest learning rates."""
    space = first_cnn_space()

    def queued(seed):
        study = create_study(Plan(space, method="grid", trials=trials, seed=seed))
        return [trial.system_attrs["fixed_params"] for trial in study.get_trials(deepcopy=False)]

    orders = [queued(seed) for seed in range(4)]
    grid = space.grid(trials)
    assert all(sorted(order, key=grid.index) == grid for order in orders)
    assert queued(2) == orders[2]
    assert trials < 6 or len([order for order in orders if order != grid]) >= 3
