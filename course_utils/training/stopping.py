"""The end of a training before its last epoch, in all processes at the same step."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from course_utils.training.distributed import Group


class Stopped(Exception):
    """The training was asked to stop."""


class StopRequest:
    """The `stop` event of `fit`; several processes that train together stop at the same step.

    Only some of the processes may have an event.
    """

    def __init__(self, event: threading.Event | None, group: Group) -> None:
        self.event, self.group = event, group
        self.possible = group.any(event is not None)

    def _asked_here(self) -> bool:
        return self.event is not None and self.event.is_set()

    def check(self) -> None:
        """Raise `Stopped` in all processes if any of them was asked; all have to call this."""
        if self.possible and self.group.any(self._asked_here()):
            raise Stopped

    def check_here(self) -> None:
        """Raise `Stopped` in this process alone if it was asked."""
        if self._asked_here():
            raise Stopped

    @contextlib.contextmanager
    def on_all_processes(self) -> Iterator[None]:
        """Where one process raises `Stopped` inside the block, let all raise it at the end."""
        stopped = False
        try:
            yield
        except Stopped:
            stopped = True
        if self.group.any(stopped):
            raise Stopped
