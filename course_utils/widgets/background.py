"""Long work beside the notebook: a thread that a panel starts, watches and stops.

A loop in a cell blocks every slider, and no Stop button can reach it. Here the work runs in a
thread; it looks at `BackgroundRun.stopping` now and then and calls `tick` as often as it likes, and
the panel is redrawn a few times a second. Nothing is printed from the thread: what a thread prints
lands in whichever cell ran last.
"""

from __future__ import annotations

import atexit
import gc
import html
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ipywidgets import HTML

REDRAWS_PER_SECOND = 2  # each with a Matplotlib figure, in which nothing else gets on

_current: weakref.ref[BackgroundRun] | None = None
_starting = threading.Lock()


class BackgroundRun:
    """One piece of work in a thread.

    One runs at a time in a kernel: two trainings on one processor would both crawl, and a panel
    whose cell was run again has no button left to stop the first. So `start` asks the one that runs
    to stop, and waits for it.

    Args:
        work: called in the thread, without arguments; what it returns becomes `result`.
        on_tick: redraws; called in the thread by `tick`, at most `REDRAWS_PER_SECOND` times a
            second.
        on_end: called in the thread at the very end, also after an exception.

    Attributes:
        stopping: the event that asks the work to stop.
        displaced: whether another run asked for that.
        exception: what `work` raised, or None.
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
        self._working, self._ended, self._drawn = False, threading.Event(), 0.0
        # A daemon, so that a kernel that is shut down does not wait for the last epoch.
        self._thread = threading.Thread(target=self._run, name="course-training", daemon=True)

    @property
    def running(self) -> bool:
        """Whether the work has begun and not ended yet; False already when `on_end` is called."""
        return self._working

    def start(self) -> None:
        """Begin; if another run is on its way in this kernel, stop it first."""
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
        """Ask the work to end soon; returns at once."""
        self.stopping.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, `on_end` included. False when `timeout` seconds were not enough."""
        if self._thread.ident is None or threading.current_thread() is self._thread:
            return not self._working
        return self._ended.wait(timeout)

    @property
    def due(self) -> bool:
        """Whether `tick` would redraw."""
        return time.monotonic() - self._drawn >= 1 / REDRAWS_PER_SECOND

    def tick(self) -> None:
        """Redraw, unless that was done a moment ago; the work calls it as often as it likes."""
        if self.due:
            self._on_tick()
            self._drawn = time.monotonic()

    def _run(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:  # in a thread, nobody would see it
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
    """Take what is there after a first run out of Python's search for garbage, once in a kernel.

    A first training makes PyTorch import so much that a full search takes half a second, in which
    no button answers. Later ones pass over what is frozen, and take a few milliseconds.
    """
    if not _spared.is_set():
        _spared.set()
        gc.collect()  # or garbage would be kept, too
        gc.freeze()


class RunsInBackground:
    """A panel's part in a `BackgroundRun`: to stop it, to wait for it, and to say how it stands.

    The panel sets `_run`, and has the HTML widget `_status`.
    """

    _busy = "Training is on its way already: let it end, or press Stop first."
    """How a second run beside the first is refused."""

    _run: BackgroundRun | None = None
    _status: HTML

    @property
    def running(self) -> bool:
        """Whether the panel's work is on its way."""
        return self._run is not None and self._run.running

    def stop(self) -> None:
        """Ask the work to end early, a training before its next step."""
        if self.running:
            self._run.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of the work. False when `timeout` seconds were not enough."""
        return self._run is None or self._run.wait(timeout)

    def _refused(self) -> bool:
        """Whether no run may begin, which is said; if one may, all of the last one is shown."""
        if self.running:
            self._say(self._busy)
            return True
        self.wait()  # until the end of the last one has been shown
        return False

    def _say(self, text: str) -> None:
        self._status.value = html.escape(text)


class WhenIdle:
    """Work that may wait until the reader leaves the controls alone for a moment.

    Args:
        work: called in a thread as work(outdated); it should return soon once `outdated()` is true.
        on_error: called in the thread when `work` has raised something, kept in `exception`.
        patience: seconds without a new request before it begins.
    """

    def __init__(
        self,
        work: Callable[[Callable[[], bool]], None],
        on_error: Callable[[], None],
        patience: float = 0.2,
    ):
        self._work, self._on_error, self._patience = work, on_error, patience
        self._timer: threading.Timer | None = None
        self._asking = threading.Lock()  # nobody sees a timer that has not started yet
        self.exception: Exception | None = None

    def ask(self) -> None:
        """Do the work soon; a request that still waits is forgotten, one that runs is outdated."""
        with self._asking:
            self.cancel()
            self._timer = timer = threading.Timer(self._patience, lambda: self._run(timer))
            timer.daemon = True
            _idle.add(self)
            timer.start()

    def cancel(self) -> None:
        """Forget the request."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of what was asked for. False when `timeout` seconds were not enough."""
        end = None if timeout is None else time.monotonic() + timeout
        waited_for = None
        while True:
            with self._asking:
                timer = self._timer
            if timer in (None, waited_for, threading.current_thread()):
                return True
            timer.join(None if end is None else max(0.0, end - time.monotonic()))
            if timer.is_alive():
                return False
            waited_for = timer  # its own end may have asked for more

    def _run(self, timer: threading.Timer) -> None:
        try:
            self._work(lambda: self._timer is not timer)
        except Exception as error:  # in a thread, nobody would see it
            self.exception = error
            self._on_error()


_idle: weakref.WeakSet[WhenIdle] = weakref.WeakSet()


@atexit.register
def _stop_at_exit() -> None:
    # A thread inside torch while the interpreter is taken down ends in a crash.
    run = _current() if _current else None
    if run is not None and run.running:
        run.stop()
        run.wait(5)
    for idle in list(_idle):
        timer = idle._timer
        idle.cancel()
        if timer is not None and timer.is_alive():
            timer.join(5)
