"""Where a study is kept: SQLite for one machine, PostgreSQL for many.

Only databases are offered, because only they notice a killed worker: each running trial sends
heartbeats, and a worker that sees a silent trial fails it and queues its candidate again. Optuna's
journal files have no heartbeat: the trial of a killed worker would count as running for ever.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import warnings
from collections.abc import Iterator
from pathlib import Path

import optuna
import sqlalchemy
from optuna.storages import RDBStorage
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from course_utils.core import CourseError, reason_of, whole_number
from course_utils.data import cache_dir

STORAGE_VARIABLE = "COURSE_STORAGE"
"""Environment variable with the address of the storage."""

HEARTBEAT = 10
"""Seconds between two heartbeats of a running trial."""

STORAGE_ERRORS = (DBAPIError, optuna.exceptions.StorageInternalError, sqlite3.Error)
"""Raised when a database does not answer."""

_TIMEOUTS = {
    "connect_timeout": 10,  # seconds
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}
"""For libpq: a host that does not answer counts as gone after about half a minute.

By default this takes hours, and a worker that waits so long cannot be stopped either.
"""


class StorageGone(CourseError):
    """The storage does not answer."""


class _Storage(RDBStorage):
    """A storage whose heartbeats go on after one of them has failed."""

    def record_heartbeat(self, trial_id: int) -> None:
        # An error would end Optuna's heartbeat thread, and the trial would be failed as silent
        # although it is running. If the storage stays away, the worker itself notices.
        with contextlib.suppress(*STORAGE_ERRORS):
            super().record_heartbeat(trial_id)


def storage_url(url: str | None = None) -> str:
    """Return `url`, or the environment variable's address, or a file in the user's cache.

    Raises:
        CourseError: the folder of that file cannot be written.
    """
    if url := url or os.environ.get(STORAGE_VARIABLE):
        return url
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CourseError(_no_folder(folder, reason_of(error))) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CourseError(_no_folder(folder, "Permission denied"))
    return f"sqlite:///{folder / 'search.db'}"


def _no_folder(folder: Path, reason: str) -> str:
    return (
        f"The folder {folder}, where searches are kept, cannot be written ({reason}): set the "
        f"environment variable COURSE_CACHE_DIR to another folder, or {STORAGE_VARIABLE} to the "
        "address of a database."
    )


def open_storage(
    url: str | None = None, *, heartbeat: int = HEARTBEAT, grace: int | None = None
) -> RDBStorage:
    """Open the storage at an address, and create its tables if it is new.

    Args:
        url: such as "sqlite:///search.db" or "postgresql+psycopg://user:password@host/database";
            for None see `storage_url`.
        heartbeat: seconds between two heartbeats of a trial. All workers of a study need the same
            value, because each judges the others by its own.
        grace: seconds of silence after which a trial counts as dead; three heartbeats if None.

    Raises:
        CourseError: this kind of storage is not known, its driver is not installed, or a number of
            seconds is not a whole number from 1 up.
        StorageGone: nothing answers at the address.
    """
    grace = 3 * heartbeat if grace is None else grace
    for name, value in (("heartbeat", heartbeat), ("grace", grace)):
        whole_number(name, value, 1)
    url = storage_url(url)
    shown = without_password(url)
    try:
        options = {"connect_args": _connection_timeouts(url), "pool_pre_ping": True}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            storage = _Storage(
                url, engine_kwargs=options, heartbeat_interval=heartbeat, grace_period=grace
            )
        if storage.engine.name == "sqlite":
            sqlalchemy.event.listen(storage.engine, "begin", _begin_immediate)
        return storage
    # A port that is not a number is a ValueError.
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        raise CourseError(
            f"{shown!r} cannot be used as a storage here ({_first_line(error)}). Give "
            "'sqlite:///search.db' or 'postgresql+psycopg://user@host/database' (which needs the "
            "package psycopg)."
        ) from error
    except STORAGE_ERRORS as error:
        raise StorageGone(f"No storage answers at {shown!r}: {_first_line(error)}.") from error


def _begin_immediate(connection: sqlalchemy.Connection) -> None:
    """Let a transaction of SQLite lock the file from its beginning.

    Optuna reads a trial's state with "SELECT ... FOR UPDATE", which SQLite does not have: two
    workers could both read that a trial is waiting, and both take it.
    """
    connection.connection.dbapi_connection.isolation_level = None  # sqlite3 begins none itself
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _connection_timeouts(url: str) -> dict[str, int]:
    """Return timeouts for the database's driver, except those that the address sets itself."""
    address = sqlalchemy.engine.make_url(url)
    if address.get_backend_name() == "sqlite":
        return {"timeout": 60}
    if address.drivername in ("postgresql", "postgresql+psycopg", "postgresql+psycopg2"):
        return {name: value for name, value in _TIMEOUTS.items() if name not in address.query}
    return {}


@contextlib.contextmanager
def storage_errors_in_words(url: str) -> Iterator[None]:
    """Turn a database's errors inside the block into a `StorageGone` that says how to go on."""
    try:
        yield
    except CourseError:
        raise  # has a clear message already
    except Exception as error:
        # Optuna may raise an error of its own on top: the database's error is among its causes.
        first: BaseException | None = error
        while first is not None and not isinstance(first, STORAGE_ERRORS):
            first = first.__cause__ or first.__context__
        if first is None:
            raise
        raise StorageGone(
            f"The storage {without_password(url)!r} does not answer any more "
            f"({_first_line(first)}). All finished trials are kept. When the storage is back, "
            "start the worker again with the same study: the trial that was running is tried again."
        ) from error


def without_password(url: str) -> str:
    """Return the address with its password hidden."""
    try:
        shown = sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        # The address cannot be read, but a password in it would stand before the last "@".
        kind, colon, rest = url.partition(":")
        shown = f"{kind}{colon}***@{rest.rpartition('@')[2]}" if "@" in rest else url
    return re.sub(r"(password=)[^&]*", r"\1***", shown)


def _first_line(error: BaseException) -> str:
    text = str(error.__cause__ or error).strip() or type(error).__name__
    return text.splitlines()[0]
