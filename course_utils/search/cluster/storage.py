"""Where a study lives: SQLite on one machine, PostgreSQL for many.

Only databases are offered, for only they notice a killed worker: each running trial writes a
heartbeat, and one that has fallen silent is failed and queued again by whoever sees it. Optuna's
journal files have no heartbeat, and a trial whose worker was killed would be running for ever.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import warnings
from collections.abc import Iterator

import optuna
import sqlalchemy
from optuna.storages import RDBStorage

from course_utils.core import CourseError, whole_number
from course_utils.data import cache_dir

VARIABLE = "COURSE_STORAGE"
"""Environment variable with the address of the storage."""

HEARTBEAT = 10
"""Seconds between two signs of life of a running trial."""


class StorageGone(CourseError):
    """The storage does not answer any more."""


class _Storage(RDBStorage):
    """A sign of life that the storage does not hear is made good by the next one."""

    def record_heartbeat(self, trial_id: int) -> None:
        # Optuna's thread would end, and its living trial would be taken for dead. Whether the
        # storage is gone for good is noticed by the worker.
        with contextlib.suppress(*GONE):
            super().record_heartbeat(trial_id)


def storage_url(url: str | None = None) -> str:
    """The address: as given, or that of the environment variable, or a file in the user's cache."""
    url = url or os.environ.get(VARIABLE)
    if url:
        return url
    folder = cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'search.db'}"


def open_storage(
    url: str | None = None, *, heartbeat: int = HEARTBEAT, grace: int | None = None
) -> RDBStorage:
    """The storage at an address such as "sqlite:///search.db" or
    "postgresql+psycopg://user:password@host/database".

    Args:
        heartbeat: seconds between two signs of life of a trial; the same for all workers of a
            study, for each judges the others by its own.
        grace: seconds of silence after which a trial counts as dead; three heartbeats if None.

    Raises:
        CourseError: no such kind of storage, its driver is not installed, or a number of seconds
            that is no whole one from 1 up.
        StorageGone: nothing answers there.
    """
    grace = 3 * heartbeat if grace is None else grace
    for name, value in (("heartbeat", heartbeat), ("grace", grace)):
        whole_number(name, value, 1)
    url = storage_url(url)
    shown = hidden(url)
    try:
        options = {"connect_args": _patience(url), "pool_pre_ping": True}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            storage = _Storage(
                url,
                engine_kwargs=options,
                heartbeat_interval=heartbeat,
                grace_period=grace,
            )
        if storage.engine.name == "sqlite":
            sqlalchemy.event.listen(storage.engine, "begin", _lock)
        return storage
    except (
        sqlalchemy.exc.ArgumentError,
        sqlalchemy.exc.NoSuchModuleError,
        ImportError,
        ValueError,  # of a port that is no number
    ) as error:
        raise CourseError(
            f"{shown!r} is no storage that can be used here ({_line(error)}). Give "
            "'sqlite:///search.db' or 'postgresql+psycopg://user@host/database' (for which the "
            "package psycopg must be installed)."
        ) from error
    except GONE as error:
        raise StorageGone(f"No storage answers at {shown!r}: {_line(error)}.") from error


def _lock(connection: sqlalchemy.Connection) -> None:
    """Let a transaction of SQLite have the file for itself from its beginning.

    Optuna reads a trial's state "for update", which SQLite does not know: two workers might both
    read that a trial is waiting, and both take it.
    """
    connection.connection.dbapi_connection.isolation_level = None  # sqlite3 itself begins none
    connection.exec_driver_sql("BEGIN IMMEDIATE")


_PATIENCE = {
    "connect_timeout": 10,  # seconds
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}
"""For libpq: after about half a minute a host that has vanished counts as gone.

By default that takes hours, or for ever, and a worker that waits so long cannot end either.
"""


def _patience(url: str) -> dict[str, int]:
    """How long the driver waits; what the address says itself is left to it."""
    address = sqlalchemy.engine.make_url(url)
    if address.get_backend_name() == "sqlite":
        return {"timeout": 60}
    if address.drivername in ("postgresql", "postgresql+psycopg", "postgresql+psycopg2"):
        return {name: value for name, value in _PATIENCE.items() if name not in address.query}
    return {}


@contextlib.contextmanager
def answered_in_words(url: str) -> Iterator[None]:
    """A storage that goes away inside the block is an error that says how to go on.

    Raises:
        StorageGone: in the place of a database's error.
    """
    try:
        yield
    except CourseError:
        raise  # in words already
    except Exception as error:
        # Optuna sometimes stumbles over it in its turn: what counts is what came first.
        first: BaseException | None = error
        while first is not None and not isinstance(first, GONE):
            first = first.__cause__ or first.__context__
        if first is None:
            raise
        raise StorageGone(
            f"The storage {hidden(url)!r} does not answer any more ({_line(first)}). What was "
            "finished is kept: start the worker again with the same study when it is back; the "
            "trial that was on its way is tried again."
        ) from error


def hidden(url: str) -> str:
    """The address without its password."""
    try:
        shown = sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        # Nobody knows where in it a password is, but it is before the last "@".
        kind, colon, rest = url.partition(":")
        shown = f"{kind}{colon}***@{rest.rpartition('@')[2]}" if "@" in rest else url
    return re.sub(r"(password=)[^&]*", r"\1***", shown)


GONE = (
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    sqlalchemy.exc.DatabaseError,
    optuna.exceptions.StorageInternalError,
    sqlite3.Error,
)
"""What databases raise when they do not answer."""


def _line(error: BaseException) -> str:
    text = str(error.__cause__ or error).strip() or type(error).__name__
    return text.splitlines()[0]
