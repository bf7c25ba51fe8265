"""The queue, in one process: each candidate gets one result, whatever happens to a trial."""

from __future__ import annotations

import threading
from unittest.mock import DEFAULT, Mock

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from course_utils.search import Objective, Plan, SearchSpace, create_study, open_storage, work
from course_utils.search.__main__ import main
from course_utils.search.cluster import queue
from course_utils.search.cluster.queue import RETRIES, given_up, requeue
from course_utils.search.cluster.worker import _run_one
from course_utils.search.objective import REASON
from course_utils.search.study import QUEUE_POSITION, best_so_far, trial_table
from tests.search.queue import (
    TRIALS,
    check_nothing_is_lost_or_doubled,
    complete,
    positions,
    running,
    wait_for,
)
from tests.toys import toy_data, toy_model

AWAY = optuna.exceptions.StorageInternalError("away for a moment")


def test_a_trial_without_any_heartbeat_is_failed_too(grid, storage, monkeypatch):
    """A worker was killed just after it took the trial; then the storage is away for a moment."""
    study = create_study(grid, "early", storage)
    objective = Objective(grid, toy_model(), toy_data())
    ask(study)
    silent, record = study.trials[0]._trial_id, RDBStorage.record_heartbeat

    def fails(self, trial_id):
        if trial_id == silent:  # only a worker that waits sends a heartbeat for this one
            raise AWAY
        record(self, trial_id)

    with monkeypatch.context() as patch:
        patch.setattr(RDBStorage, "record_heartbeat", fails)
        with pytest.raises(optuna.exceptions.StorageInternalError):
            work(study, objective, storage)
    work(study, objective, storage)
    check_nothing_is_lost_or_doubled(study, failed=1)


def test_an_error_behind_a_result_is_not_swallowed(grid, storage, monkeypatch):
    study = create_study(grid, "behind", storage)
    breaks = Mock(side_effect=ZeroDivisionError("after the trial"))
    monkeypatch.setattr(study.sampler, "after_trial", breaks)
    with pytest.raises(ZeroDivisionError, match="after the trial"):
        work(study, Objective(grid, toy_model(), toy_data()), storage)


@pytest.mark.parametrize("objectives", [("accuracy",), ("accuracy", "multiply_adds")])
def test_a_result_that_comes_too_late_is_dropped(objectives, storage):
    space = SearchSpace({"learning_rate": [0.01]})
    plan = Plan(space, trials=TRIALS, epochs=1, objectives=objectives)
    study = create_study(plan, "late", storage)
    objective = Objective(plan, toy_model(), toy_data())

    def declared_dead(_history) -> None:  # as if this process had been asleep for a minute
        objective.on_epoch = None
        fail_like_a_killed_one(study, storage)

    objective.on_epoch = declared_dead
    assert work(study, objective, storage) == TRIALS
    check_nothing_is_lost_or_doubled(study, failed=1)


def fail_like_a_killed_one(study: optuna.Study, storage) -> None:
    """Do the first thing that a worker does that misses a heartbeat; it is killed before more."""
    (trial,) = running(study)
    storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def ask(study: optuna.Study) -> None:
    """Take a trial, and be killed."""
    with pytest.warns(UserWarning, match="Heartbeat"):
        study.ask()


def ask_and_be_failed(study: optuna.Study, storage) -> None:
    ask(study)
    fail_like_a_killed_one(study, storage)


@pytest.fixture
def storage(new_database):
    return open_storage(new_database, heartbeat=1, grace=1)


@pytest.fixture
def grid() -> Plan:
    space = SearchSpace({"learning_rate": [0.001, 0.003, 0.01, 0.02, 0.03]})
    return Plan(space, method="grid", trials=TRIALS, epochs=1)


def check_the_grid_is_complete(study: optuna.Study) -> None:
    check_nothing_is_lost_or_doubled(study, failed=1)
    rates = [t.params["learning_rate"] for t in complete(study)]
    assert sorted(rates) == [0.001, 0.003, 0.01, 0.02, 0.03]


def test_a_candidate_that_was_never_queued_again_is_found_by_the_next_worker(grid, storage):
    study = create_study(grid, "halfway", storage)
    ask_and_be_failed(study, storage)
    assert work(study, Objective(grid, toy_model(), toy_data()), storage) == TRIALS
    check_the_grid_is_complete(study)


def test_two_workers_that_queue_the_same_candidate_give_it_one_result(grid, storage):
    study = create_study(grid, "both", storage)
    ask_and_be_failed(study, storage)
    seen = study.get_trials()
    assert requeue(study, seen) == requeue(study, seen) == 1
    assert work(study, Objective(grid, toy_model(), toy_data()), storage) == TRIALS
    check_the_grid_is_complete(study)
    assert len(study.trials) == len(trial_table(study)) + 1 == TRIALS + 2
    assert len(best_so_far(study)) == TRIALS


def test_a_storage_that_is_away_for_a_moment_costs_no_candidate(grid, storage, monkeypatch):
    report = storage.set_trial_intermediate_value
    fails_once = Mock(wraps=report, side_effect=[DEFAULT, AWAY, *[DEFAULT] * TRIALS])
    monkeypatch.setattr(storage, "set_trial_intermediate_value", fails_once)
    study = create_study(grid, "away", storage)
    assert work(study, Objective(grid, toy_model(), toy_data()), storage) == TRIALS
    check_the_grid_is_complete(study)
    (failed,) = study.get_trials(states=(TrialState.FAIL,))
    assert failed.user_attrs[REASON] == queue.STORAGE_FAILED


FAILURES = (None, "ValueError: of the candidate", queue.STOPPED, queue.STORAGE_FAILED)
ENDS = [(state, None) for state in TrialState] + [(TrialState.FAIL, why) for why in FAILURES]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from([0, 1, None]), st.sampled_from(ENDS)), max_size=8))
def test_a_position_has_one_owner_or_is_queued_again_or_given_up(some):
    trials = [
        optuna.create_trial(
            state=state,
            value=0.5 if state == TrialState.COMPLETE else None,
            user_attrs={QUEUE_POSITION: position} | ({REASON: reason} if reason else {}),
        )
        for position, (state, reason) in some
    ]
    for number, trial in enumerate(trials):
        trial.number = number
    study = optuna.create_study()
    assert requeue(study, trials) == len(study.trials)
    owners = [
        trial
        for trial in trials
        if not queue.is_inconclusive(trial) and not queue.is_duplicate(trial.number, trials)
    ]
    each = positions([*owners, *study.trials, *given_up(trials)])
    assert each == sorted({position for position, _ in some} - {None})


@pytest.fixture
def single() -> Plan:
    return Plan(SearchSpace({"learning_rate": [0.01, 0.02]}), trials=1, epochs=2)


def test_heartbeats_go_on_after_one_has_failed(grid, storage, monkeypatch):
    record, calls = RDBStorage.record_heartbeat, []

    def fails_once(self, trial_id) -> None:
        calls.append(trial_id)
        if len(calls) == 2:
            raise AWAY
        record(self, trial_id)

    monkeypatch.setattr(RDBStorage, "record_heartbeat", fails_once)
    study = create_study(grid, "heard", storage)
    objective = Objective(grid, toy_model(), toy_data())

    def wait_for_the_next(_history) -> None:
        wait_for(lambda: len(calls) > 2)
        objective.stop.set()

    objective.stop, objective.on_epoch = threading.Event(), wait_for_the_next
    assert work(study, objective, storage) == 1
    assert len(set(calls)) == 1


def test_a_trial_that_kills_every_worker_is_given_up(single, storage, new_database, capsys):
    name = ["--study", "deadly", "--storage", new_database]
    study = create_study(single, "deadly", storage)
    for tries in range(1 + RETRIES):
        assert len(study.trials) == tries + 1 and given_up(study.trials) == []
        ask_and_be_failed(study, storage)
        requeue(study, study.trials)
    assert work(study, Objective(single, toy_model(), toy_data()), storage) == 0
    assert len(study.trials) == 1 + RETRIES
    for command in ("status", "worker"):
        assert main([command, *name]) == 0
        assert "Given up: 1 of 1 candidates (last as trial 3)" in capsys.readouterr().out


def test_stops_do_not_use_up_the_retries_of_the_dead(single, storage):
    study, stop = create_study(single, "stopped", storage), threading.Event()
    objective = Objective(single, toy_model(), toy_data(), stop=stop)
    objective.on_epoch = lambda history: stop.set()
    for _ in range(1 + RETRIES):
        stop.clear()
        assert work(study, objective, storage) == 0
    ask_and_be_failed(study, storage)
    stop.clear()
    objective.on_epoch = None
    assert work(study, objective, storage) == 1
    (done,) = complete(study)
    # The trial that was killed at once has drawn no values yet.
    assert len({t.params["learning_rate"] for t in study.trials if t.params}) == 1
    table = trial_table(study)
    assert list(table.reason) == ["the search was stopped"] * (1 + RETRIES) + ["", ""]
    assert table.trial[table.state == "complete"].tolist() == [done.number]


def test_a_worker_that_finds_the_queue_empty_leaves_no_row(single, storage):
    study = create_study(single, "race", storage)
    objective = Objective(single, toy_model(), toy_data())
    assert work(study, objective, storage) == 1
    assert _run_one(study, objective) is None  # as if another one had just taken the last
    assert len(study.trials) == 2 and len(trial_table(study)) == len(best_so_far(study)) == 1
