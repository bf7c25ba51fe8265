"""Workers as real processes that start in a moment, and a network that lets a test find them.

Python's fork server imports the package once; each worker is a process that is forked from it. It
has its own memory, signals and connections, and can be killed like any other.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from tests.toys import toy_model

GATE_VARIABLE = "COURSE_TEST_GATE"
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "course_utils.search.cluster.command",
        "tests.search.cluster.worker_process",
        # What the package imports only when it is needed.
        "alembic.command",
        "optuna.storages._rdb.models",
        "psycopg",
        "sklearn.model_selection",
        "sqlalchemy.dialects.sqlite",
        "torch._dynamo",
    ]
)


class Gated(nn.Sequential):
    """A network that trains as soon as the file that the environment variable names exists."""

    def forward(self, x: Tensor) -> Tensor:
        while self.training and not Path(os.environ[GATE_VARIABLE]).exists():
            time.sleep(0.02)
        return super().forward(x)


def make() -> nn.Module:
    return Gated(*toy_model())


def _run(arguments: Sequence[str], environment: Mapping[str, str], output: str) -> int:
    os.environ.update(environment)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{output}.{name}", os.O_WRONLY | os.O_CREAT), number)
    from course_utils.search.cluster.command import main

    raise SystemExit(main(arguments))


class Worker:
    """`python -m course_utils.search worker` in a process of its own; killed after the block."""

    def __init__(
        self, study: str, environment: Mapping[str, str], output: Path, *, heartbeat: int = 1
    ) -> None:
        arguments = ["worker", "--study", study, "--heartbeat", str(heartbeat)]
        self.output = str(output)
        self.process = CONTEXT.Process(target=_run, args=(arguments, environment, self.output))
        self.process.start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_exception) -> None:
        self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def end(self) -> tuple[int | None, str, str]:
        """Wait for the end; return the exit code and what was printed."""
        self.process.join(120)
        out, err = (Path(f"{self.output}.{name}").read_text() for name in ("out", "err"))
        return self.process.exitcode, out, err
