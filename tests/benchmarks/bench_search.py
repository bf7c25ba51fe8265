"""Trials per minute of two search workers on two cores, compared with one.

Workers are processes of `python -m course_utils.search worker` on an SQLite file. All trials cost
the same. The time is measured from the start of the first trial to the end of the last, so the
import of PyTorch does not count. Rounds with one and with two workers alternate; the ratio is the
median.

    python -m tests.benchmarks.bench_search
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from optuna.distributions import FloatDistribution

from course_utils.search import Plan, SearchSpace, create_study, open_storage
from tests.benchmarks.report import verdict

LIMIT = 1 / 1.6
ROUNDS, TRIALS = 3, 8


def trials_per_minute(folder: Path, name: str, workers: int) -> float:
    """Return the trials per minute of one study with this number of workers."""
    url = f"sqlite:///{folder}/search.db"
    space = SearchSpace({"learning_rate": FloatDistribution(1e-3, 1e-2, log=True)})
    plan = Plan(space, method="random", trials=TRIALS, epochs=2, pictures=3000)
    study = create_study(plan, name, open_storage(url))
    command = [sys.executable, "-m", "course_utils.search", "worker"]
    started = [
        subprocess.Popen(
            [*command, "--study", name, "--storage", url],
            stdout=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        for _ in range(workers)
    ]
    for process in started:
        if process.wait() != 0:
            raise RuntimeError(f"a worker ended with {process.returncode}")
    trials = study.get_trials()
    first = min(trial.datetime_start for trial in trials)
    last = max(trial.datetime_complete for trial in trials)
    return 60 * TRIALS / (last - first).total_seconds()


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        rates = [
            [trials_per_minute(Path(folder), f"{workers} {i}", workers) for workers in (1, 2)]
            for i in range(ROUNDS)
        ]
    ratio = statistics.median(one / two for one, two in rates)
    one, two = (statistics.median(column) for column in zip(*rates, strict=True))
    figures = f"{one:.0f} and {two:.0f} trials a minute, {1 / ratio:.2f} times"
    return verdict("two workers on two cores", figures, [("one / two", ratio, LIMIT)])


if __name__ == "__main__":
    sys.exit(main())
