"""Long work in a background thread that a panel starts, watches and stops.

A loop in a cell blocks every slider, and no Stop button can reach it. So the work runs in a thread.
It checks `BackgroundRun.stopping` regularly and calls `tick` as often as it likes; the panel is
redrawn a few times a second. The thread prints nothing: its output would appear in the cell that
happened to run last.
"""

from __future__ import annotations

import atexit
import gc
import html
import math
import threading
import weakref
from collections.abc import Callable
from time import monotonic
from typing import Any

from ipywidgets import HTML

REDRAWS_PER_SECOND = 2  # drawing a Matplotlib figure holds up everything else

_current: weakref.ref[BackgroundRun] | None = None
_starting = threading.Lock()


class BackgroundRun:
    """One piece of work in a thread.

    Only one runs at a time in a kernel: two trainings on one processor would both be slow, and a
    panel whose cell was run again has no button left to stop the first run. So `start` stops the
    run before it and waits for its end.

    Args:
        work: called in the thread, without arguments; its return value becomes `result`.
        on_tick: redraws the panel; called in the thread by `tick`, at most `REDRAWS_PER_SECOND`
            times a second.
        on_end: called in the thread at the very end, also after an exception.

    Attributes:
        stopping: the event that asks the work to stop.
        displaced: whether another run asked for that.
        exception: the exception that `work` raised, or None.
    """

    def __init__(
        self,
        work: Callable[[], Any],
        *,
        on_tick: Callable[[], None] = lambda: None,
        on_end: Callable[[], None] = lambda: None,
    ):
        self._work, self._on_tick, self._on_end = work, on_tick, on_end
        self.stopping, self.displaced = threading.Event(), False
        self.result: Any = None
        self.exception: BaseException | None = None
        self._working, self._ended, self._drawn = False, threading.Event(), -math.inf
        # A daemon, so that the shutdown of a kernel does not wait for the last epoch.
        self._thread = threading.Thread(target=self._run, name="course-training", daemon=True)

    @property
    def running(self) -> bool:
        """True from `start` until the work has ended; already False when `on_end` is called."""
        return self._working

    def start(self) -> None:
        """Begin; if another run is under way in this kernel, stop it first."""
        global _current
        with _starting:
            other = _current() if _current else None
            if other is not None:
                if other.running:
                    other.displaced = True
                    other.stop()
                other.wait(10)
            _current = weakref.ref(self)
            self._working = True
            self._thread.start()

    def stop(self) -> None:
        """Ask the work to end soon, and return at once."""
        self.stopping.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, `on_end` included; return False if that took over `timeout` seconds."""
        if self._thread.ident is None or threading.current_thread() is self._thread:
            return not self._working
        return self._ended.wait(timeout)

    @property
    def why_stopped(self) -> str:
        """The beginning of the sentence about a run that was stopped."""
        return "Another panel began to train" if self.displaced else "Stopped"

    @property
    def due(self) -> bool:
        """True when `tick` would redraw."""
        return monotonic() - self._drawn >= 1 / REDRAWS_PER_SECOND

    def tick(self) -> None:
        """Redraw, unless that happened a moment ago; the work calls it as often as it likes."""
        if self.due:
            self._on_tick()
            self._drawn = monotonic()

    def _run(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:  # nobody would see it in a thread
            self.exception = error
        finally:
            self._working = False
            try:
                self._on_end()
            finally:
                self._ended.set()
                _spare_the_collector()


_spared = threading.Event()


def _spare_the_collector() -> None:
    """Exclude the objects that exist now from garbage collection, once in a kernel.

    The first training makes PyTorch import so much that a full collection takes half a second, and
    no button answers in that time. Later ones skip the frozen objects and take milliseconds.
    """
    if not _spared.is_set():
        _spared.set()
        gc.collect()  # otherwise garbage would be frozen, too
        gc.freeze()


class RunsInBackground:
    """A panel's part in a `BackgroundRun`: stop it, wait for it, and show its status.

    The panel sets `_run`, has the HTML widget `_status`, and sets `_failure` to the exception that
    ended a run.
    """

    _busy = "Training is on its way already: let it end, or press Stop first."
    """The answer to a second run beside the first."""

    _run: BackgroundRun | None = None
    _status: HTML

    @property
    def running(self) -> bool:
        """True while the panel's work is under way."""
        return self._run is not None and self._run.running

    @property
    def status(self) -> str:
        """The line under the progress bar, as plain text."""
        return html.unescape(self._status.value)

    def stop(self) -> None:
        """Ask the work to end early; a training ends before its next step."""
        if self.running:
            self._run.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of the work; return False if that took over `timeout` seconds."""
        return self._run is None or self._run.wait(timeout)

    def _refused(self) -> bool:
        """Return True, and say why, if no run may begin now; else finish showing the last one."""
        if self.running:
            self._say(self._busy)
            return True
        self.wait()  # the end of the last run may still be drawn
        return False

    def _say(self, text: str) -> None:
        self._status.value = html.escape(text)


class WhenIdle:
    """Work that begins in a thread once the reader has not moved a control for a moment.

    Args:
        work: called in a thread as work(outdated); it should return soon once `outdated()` is true.
        on_error: called in the thread after `work` raised an exception, kept in `exception`.
        patience: seconds without a new request before the work begins.
    """

    def __init__(
        self,
        work: Callable[[Callable[[], bool]], None],
        on_error: Callable[[], None],
        patience: float = 0.2,
    ):
        self._work, self._on_error, self.patience = work, on_error, patience
        self._timer: threading.Timer | None = None
        self._asking = threading.Lock()  # `wait` must not see a timer that has not started yet
        self.exception: Exception | None = None

    def ask(self) -> None:
        """Request the work; this cancels a waiting request and makes a running one outdated."""
        with self._asking:
            self.cancel()
            self._timer = timer = threading.Timer(self.patience, lambda: self._run(timer))
            timer.daemon = True
            _idle.add(self)
            timer.start()

    def cancel(self) -> None:
        """Cancel the request that waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the requested work; return False if that took over `timeout` seconds."""
        end = None if timeout is None else monotonic() + timeout
        waited_for = None
        while True:
            with self._asking:
                timer = self._timer
            if timer in (None, waited_for, threading.current_thread()):
                return True
            timer.join(None if end is None else max(0.0, end - monotonic()))
            if timer.is_alive():
                return False
            waited_for = timer  # the work itself may have made a new request

    def _run(self, timer: threading.Timer) -> None:
        try:
            self._work(lambda: self._timer is not timer)
        except Exception as error:  # nobody would see it in a thread
            self.exception = error
            self._on_error()


_idle: weakref.WeakSet[WhenIdle] = weakref.WeakSet()


@atexit.register
def _stop_at_exit() -> None:
    # A thread that is inside torch while the interpreter shuts down crashes the process.
    run = _current() if _current else None
    if run is not None and run.running:
        run.stop()
        run.wait(5)
    for idle in list(_idle):
        timer = idle._timer
        idle.cancel()
        if timer is not None and timer.is_alive():
            timer.join(5)
