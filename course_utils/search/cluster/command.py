"""Searches from the command line: make a study, work on it from anywhere, see how it stands.

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
from collections.abc import Iterator, Sequence
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from course_utils.core import CourseError
from course_utils.metrics import check_model_fits
from course_utils.search.cluster.fingerprint import check_same
from course_utils.search.cluster.queue import RETRIES, given_up
from course_utils.search.cluster.storage import (
    HEARTBEAT,
    VARIABLE,
    answered_in_words,
    hidden,
    open_storage,
    storage_url,
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
from course_utils.training import asked_for


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 if all went well, 1 with one sentence on stderr if not."""
    options = _parser().parse_args(arguments)
    try:
        url = storage_url(options.storage)
        with answered_in_words(url):
            options.run(options, open_storage(url, heartbeat=options.heartbeat))
    except CourseError as error:
        print(f"{error}", file=sys.stderr)
        return 1
    return 0


def _create(options: argparse.Namespace, storage: RDBStorage) -> None:
    space = first_cnn_space() if options.space is None else _read_space(options.space)
    names = ("method", "trials", "epochs", "pictures", "pruner", "network", "data", "seed")
    objectives = ("accuracy", "multiply_adds") if options.cost else ("accuracy",)
    settings = {name: getattr(options, name) for name in names}
    plan = Plan(space, objectives=objectives, weights=options.weights, **settings)
    # What no worker could do is refused while the name is still free.
    objective = Objective(plan)
    check_model_fits(objective.model, objective.data)
    if plan.pictures is not None and plan.pictures > (most := len(objective.data.train)):
        raise CourseError(
            f"pictures={plan.pictures:,}: {objective.data.title} has {most:,} training pictures. "
            "Give no more than that, or leave it out to take them all."
        )
    study = create_study(plan, options.study, storage)
    check_same(study, objective)
    print(f"{study.study_name}: {_counts(study)}")


def _work(options: argparse.Namespace, storage: RDBStorage) -> None:
    study = open_study(options.study, storage, seed=options.seed)
    if options.precision != "auto":
        asked_for(options.precision)  # one that is not known would speak against every candidate
    stop = threading.Event()
    with _set_by_signals(stop):
        objective = Objective(plan_of(study), precision=options.precision, stop=stop)
        print(f"{options.study}: at work", flush=True)
        done = work(study, objective, storage, on_trial=_say)
    why = "stopped; a trial on its way is queued again" if stop.is_set() else "nothing left to do"
    print(f"{options.study}: {why}, {done} trials done by this worker")
    _say_what_was_given_up(study)


def _status(options: argparse.Namespace, storage: RDBStorage) -> None:
    study = open_study(options.study, storage)
    print(f"{options.study}: {_counts(study)}")
    _say_what_was_given_up(study)
    for trial in pareto_front(study):
        print(_line(trial))
    if importlib.util.find_spec("optuna_dashboard") is not None:
        print(
            f"To watch it in a browser: optuna-dashboard '{hidden(storage_url(options.storage))}'"
        )


@contextlib.contextmanager
def _set_by_signals(stop: threading.Event) -> Iterator[None]:
    """Let SIGTERM and SIGINT set `stop` in the block; afterwards they do what they did before."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is told of signals
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


def _say(trial: FrozenTrial) -> None:
    print(_line(trial), flush=True)


def _line(trial: FrozenTrial) -> str:
    if trial.state != TrialState.COMPLETE:
        reason = trial.user_attrs.get(REASON, "")
        return f"trial {trial.number}: {trial.state.name.lower()}. {reason}".strip()
    cost = cost_of(trial)
    params = ", ".join(f"{name}={_short(value)}" for name, value in trial.params.items())
    return f"trial {trial.number}: {trial.values[0]:.1%}, {cost:,} multiply-adds; {params}"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _say_what_was_given_up(study: optuna.Study) -> None:
    if missing := given_up(study.get_trials(deepcopy=False)):
        numbers = ", ".join(str(trial.number) for trial in missing)
        print(
            f"Given up: {len(missing)} of {plan_of(study).trials} candidates (last as trial "
            f"{numbers}). Each lost its worker or the storage {1 + RETRIES} times: see whether the "
            "machine has enough memory for them."
        )


def _counts(study: optuna.Study) -> str:
    counts = collections.Counter(trial.state.name.lower() for trial in trials_of(study))
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "no trial"


def _read_space(path: str) -> SearchSpace:
    """A space from a JSON file: name -> list of values, or Optuna's own description."""
    try:
        content = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise CourseError(f"The space {path!r} cannot be read: {error}.") from None
    if not isinstance(content, dict):
        raise CourseError(f"The space {path!r} is no JSON object of names and lists of values.")
    if all(isinstance(value, str) for value in content.values()) and content:
        return SearchSpace.from_json(json.dumps(content))
    return SearchSpace(content)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m course_utils.search", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(required=True)

    def command(name: str, run, text: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text)
        one.set_defaults(run=run)
        one.add_argument("--study", required=True, help="name of the study")
        one.add_argument("--storage", help=f"its address; default: ${VARIABLE}, or a SQLite file")
        one.add_argument(
            "--heartbeat",
            type=int,
            default=HEARTBEAT,
            help="seconds between signs of life; the same for all workers of a study",
        )
        return one

    one = command("create", _create, "make a study and queue its trials")
    plan = Plan.__dataclass_fields__
    one.add_argument("--method", choices=METHODS, default=plan["method"].default)
    one.add_argument("--pruner", choices=PRUNERS, default=plan["pruner"].default)
    one.add_argument("--weights", choices=("fresh", "keep"), default=plan["weights"].default)
    for name in ("trials", "epochs", "pictures", "seed"):
        one.add_argument(f"--{name}", type=int, default=plan[name].default)
    one.add_argument("--network", default=plan["network"].default, help="module:name")
    one.add_argument("--data", default=plan["data"].default, help="name of the data set")
    one.add_argument("--space", help="JSON file: name -> list of values; default: for SimpleCNN")
    one.add_argument("--cost", action="store_true", help="minimise multiply-adds, too")

    one = command("worker", _work, "try candidates until none is left")
    one.add_argument("--seed", type=int, help="of the sampler; default: one that nobody else has")
    one.add_argument("--precision", default="float32", help="as for fit")

    command("status", _status, "how a study stands, and its best candidates")
    return parser
