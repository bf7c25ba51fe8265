"""Searches from the command line: create a study, work on it from any machine, see its status.

python -m course_utils.search create --study NAME [--storage URL] [--method tpe] [--trials 24] ...
python -m course_utils.search worker --study NAME [--storage URL]
python -m course_utils.search status --study NAME [--storage URL]
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import importlib.util
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from course_utils.core import CourseError, file_exists
from course_utils.metrics import check_model_fits
from course_utils.search.candidate import WEIGHTS
from course_utils.search.cluster.fingerprint import check_fingerprint
from course_utils.search.cluster.queue import RETRIES, given_up
from course_utils.search.cluster.storage import (
    HEARTBEAT,
    STORAGE_VARIABLE,
    open_storage,
    storage_errors_in_words,
    storage_url,
    without_password,
)
from course_utils.search.cluster.worker import work
from course_utils.search.methods import METHODS, PRUNERS
from course_utils.search.objective import REASON, Objective
from course_utils.search.plan import Plan
from course_utils.search.presets import first_cnn_space
from course_utils.search.space import SearchSpace
from course_utils.search.study import (
    cost_of,
    create_study,
    open_study,
    pareto_front,
    plan_of,
    trials_of,
)
from course_utils.training import as_precision


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, or 1 after a message on stderr if it could not be done."""
    options = _parser().parse_args(arguments)
    try:
        url = storage_url(options.storage)
        with storage_errors_in_words(url):
            options.run(options, open_storage(url, heartbeat=options.heartbeat))
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _create(options: argparse.Namespace, storage: RDBStorage) -> None:
    space = first_cnn_space() if options.space is None else _read_space(options.space)
    settings = {name: getattr(options, name) for name in _PLAN_OPTIONS}
    objectives = ("accuracy", "multiply_adds") if options.cost else ("accuracy",)
    plan = Plan(space, objectives=objectives, **settings)
    # A plan that no worker could carry out is refused before the study's name is taken.
    objective = Objective(plan)
    check_model_fits(objective.model, objective.data)
    if plan.pictures is not None and plan.pictures > (most := len(objective.data.train)):
        raise CourseError(
            f"pictures={plan.pictures:,}: {objective.data.title} has {most:,} training pictures. "
            "Give at most that number, or leave it out to take all of them."
        )
    study = create_study(plan, options.study, storage)
    check_fingerprint(study, objective)
    print(f"{study.study_name}: {_counts(study)}")


def _work(options: argparse.Namespace, storage: RDBStorage) -> None:
    study = open_study(options.study, storage, seed=options.seed)
    if options.precision != "auto":
        as_precision(options.precision)  # an unknown one would be an error of every candidate
    stop = threading.Event()
    with _set_by_signals(stop):
        objective = Objective(plan_of(study), precision=options.precision, stop=stop)
        print(f"{options.study}: at work", flush=True)
        done = work(study, objective, storage, on_trial=_print_trial)
    why = "stopped; a running trial is queued again" if stop.is_set() else "nothing left to do"
    print(f"{options.study}: {why}, {done} trials done by this worker")
    _print_given_up(study)


def _status(options: argparse.Namespace, storage: RDBStorage) -> None:
    study = open_study(options.study, storage)
    print(f"{options.study}: {_counts(study)}")
    _print_given_up(study)
    for trial in pareto_front(study):
        _print_trial(trial)
    if importlib.util.find_spec("optuna_dashboard") is not None:
        address = without_password(storage_url(options.storage))
        print(f"To watch it in a browser: optuna-dashboard '{address}'")


@contextlib.contextmanager
def _set_by_signals(stop: threading.Event) -> Iterator[None]:
    """Let SIGTERM and SIGINT set `stop` inside the block, and restore their handlers after it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets only the main thread handle signals
        return
    before = {
        which: signal.signal(which, lambda *_: stop.set())
        for which in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


def _print_trial(trial: FrozenTrial) -> None:
    if trial.state == TrialState.COMPLETE:
        short = {k: f"{v:.3g}" if isinstance(v, float) else v for k, v in trial.params.items()}
        params = ", ".join(f"{name}={value}" for name, value in short.items())
        said = f"{trial.values[0]:.1%}, {cost_of(trial):,} multiply-adds; {params}"
    else:
        said = f"{trial.state.name.lower()}. {trial.user_attrs.get(REASON, '')}".strip()
    print(f"trial {trial.number}: {said}", flush=True)


def _print_given_up(study: optuna.Study) -> None:
    if missing := given_up(study.get_trials(deepcopy=False)):
        numbers = ", ".join(str(trial.number) for trial in missing)
        print(
            f"Given up: {len(missing)} of {plan_of(study).trials} candidates (last as trial "
            f"{numbers}). Each lost its worker or the storage {1 + RETRIES} times: check whether "
            "the machine has enough memory for them."
        )


def _counts(study: optuna.Study) -> str:
    counts = collections.Counter(trial.state.name.lower() for trial in trials_of(study))
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))


def _read_space(path: str) -> SearchSpace:
    """Read a space from a JSON file: name -> list of values, or Optuna's own description."""
    try:
        file_exists(path)
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CourseError(f"The space {path!r} cannot be read: {error}.") from None
    if not isinstance(content, dict):
        raise CourseError(f"The space {path!r} is not a JSON object of names and lists of values.")
    if content and all(isinstance(value, str) for value in content.values()):
        return SearchSpace.from_json(json.dumps(content))
    return SearchSpace(content)


_PLAN_OPTIONS: dict[str, dict[str, Any]] = {
    "method": {"choices": METHODS},
    "pruner": {"choices": PRUNERS},
    "weights": {"choices": WEIGHTS},
    "trials": {"type": int},
    "epochs": {"type": int},
    "pictures": {"type": int},
    "seed": {"type": int},
    "network": {"help": "module:name"},
    "data": {"help": "name of the data set"},
}
"""Settings of a `Plan` with the same names on the command line -> how they are read."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m course_utils.search", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(required=True)

    def command(name: str, run: Callable, text: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text)
        one.set_defaults(run=run)
        one.add_argument("--study", required=True, help="name of the study")
        where = f"its address; default: ${STORAGE_VARIABLE}, or a SQLite file"
        one.add_argument("--storage", help=where)
        beats = "seconds between two heartbeats; the same for all workers of a study"
        one.add_argument("--heartbeat", type=int, default=HEARTBEAT, help=beats)
        return one

    create = command("create", _create, "create a study and queue its trials")
    for name, options in _PLAN_OPTIONS.items():
        default = Plan.__dataclass_fields__[name].default
        create.add_argument(f"--{name}", default=default, **options)
    create.add_argument("--space", help="JSON file: name -> list of values; default: for SimpleCNN")
    create.add_argument("--cost", action="store_true", help="minimise multiply-adds, too")

    worker = command("worker", _work, "try candidates until none is left")
    worker.add_argument("--seed", type=int, help="of the sampler; default: a random one")
    worker.add_argument("--precision", default="float32", help="as for fit")

    command("status", _status, "show how far a study is, and its best candidates")
    return parser
