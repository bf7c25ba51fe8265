from __future__ import annotations

import itertools
import threading
import time

from course_utils.widgets import background
from course_utils.widgets.background import REDRAWS_PER_SECOND, BackgroundRun, WhenIdle

LONG = 120  # seconds; a limit for what takes milliseconds on a machine that is not busy


def endless() -> BackgroundRun:
    run = BackgroundRun(lambda: run.stopping.wait(LONG))
    return run


def test_the_work_runs_in_another_thread_and_gives_its_result():
    ended = []
    run = BackgroundRun(threading.get_ident, on_end=lambda: ended.append(run.running))
    assert not run.running and run.wait(0)
    run.start()
    assert run.wait(LONG)
    assert run.result != threading.get_ident()
    assert ended == [False]
    assert run.exception is None
    run = BackgroundRun(lambda: run.wait(LONG))
    run.start()
    assert run.wait(LONG)
    assert run.result is False, "waiting in the thread itself returns at once"


def test_stop_reaches_the_work():
    run = endless()
    run.start()
    assert run.running and not run.wait(0.05)
    run.stop()
    assert run.wait(LONG)
    assert run.result is True and not run.displaced


def test_an_exception_is_kept_and_the_wait_ends_even_when_the_end_fails(monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", seen.append)
    run = BackgroundRun(lambda: 1 / 0, on_end=lambda: {}["end"])
    run.start()
    assert run.wait(LONG)
    run._thread.join(LONG)
    assert isinstance(run.exception, ZeroDivisionError)
    assert [hook.exc_type for hook in seen] == [KeyError], "the end still comes"


def test_one_run_at_a_time():
    first, second, third = endless(), endless(), BackgroundRun(lambda: 3)
    first.start()
    second.start()
    assert first.wait(0) and first.displaced
    assert second.running and not second.displaced
    second.stop()
    assert second.wait(LONG)
    third.start()
    assert third.wait(LONG) and third.result == 3
    assert not second.displaced, "it had ended"


def test_redraws_are_few(monkeypatch):
    now, drawn = 0.0, []
    monkeypatch.setattr(background, "monotonic", lambda: now)
    run = BackgroundRun(lambda: None, on_tick=lambda: drawn.append(now))
    for step in range(1000):
        now = step / 100
        assert run.due == (not drawn or now - drawn[-1] >= 1 / REDRAWS_PER_SECOND)
        run.tick()
    assert len(drawn) == 10 * REDRAWS_PER_SECOND
    assert min(b - a for a, b in itertools.pairwise(drawn)) >= 1 / REDRAWS_PER_SECOND


def test_the_interpreter_ends_though_work_is_under_way(run_python):
    printed = run_python("""
import threading, torch
from course_utils.widgets.background import BackgroundRun, WhenIdle

begun = threading.Barrier(3)

def work(ended):
    x = torch.rand(4, 8, 32, 32, requires_grad=True)
    begun.wait()
    while not ended():
        torch.nn.functional.conv2d(x, torch.rand(8, 8, 3, 3)).sum().backward()

run = BackgroundRun(lambda: work(run.stopping.is_set))
run.start()
idle = WhenIdle(work, on_error=print, patience=0)
idle.ask()
begun.wait()
""")
    assert printed == ""


class Asked:
    """Counts what `WhenIdle` does; `hold` makes the work last until it is outdated."""

    def __init__(self, patience: float = 0):
        self.done, self.hold = [], False
        self.begun = threading.Semaphore(0)
        self.idle = WhenIdle(self.work, on_error=lambda: None, patience=patience)

    def work(self, outdated):
        hold = self.hold
        self.begun.release()
        while hold and not outdated():
            time.sleep(0.001)
        self.done.append("given up" if outdated() else "finished")


def test_many_requests_are_answered_once_and_a_cancelled_one_never():
    asked = Asked(patience=LONG)
    assert asked.idle.wait(0), "nothing is asked for yet"
    for _ in range(20):
        asked.idle.ask()
    assert not asked.idle.wait(0)
    asked.idle.patience = 0
    asked.idle.ask()
    assert asked.idle.wait(LONG)
    assert asked.done == ["finished"]
    asked.idle.patience = LONG
    asked.idle.ask()
    asked.idle.cancel()
    wait_for_timers()
    assert asked.done == ["finished"] and asked.idle.wait(0), "a cancelled request is forgotten"


def test_a_new_request_makes_the_running_one_stop():
    asked = Asked()
    asked.hold = True
    asked.idle.ask()
    assert asked.begun.acquire(timeout=LONG)
    assert not asked.idle.wait(0)
    asked.hold = False
    asked.idle.ask()
    assert asked.begun.acquire(timeout=LONG)
    assert asked.idle.wait(LONG)
    wait_for_timers()
    assert sorted(asked.done) == ["finished", "given up"]


def wait_for_timers() -> None:
    """Wait for the ends of all timers; one that is cancelled ends at once."""
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(LONG / 2)
            assert not thread.is_alive()


def test_waiting_lasts_until_what_the_work_itself_asks_for_is_done():
    done, errors = [], []

    def work(_outdated):
        done.append(len(done))
        if len(done) < 3:
            idle.ask()
        else:
            raise ValueError

    idle = WhenIdle(work, on_error=lambda: errors.append(idle.exception), patience=0)
    idle.ask()
    assert idle.wait(LONG)
    assert done == [0, 1, 2]
    assert [type(error) for error in errors] == [ValueError], "what the work raises is kept"


def test_what_the_first_run_imported_is_left_out_of_garbage_collection(run_python):
    """Once in a kernel, so in a process of its own; later objects are collected as usual."""
    run_python("""
import gc, threading, weakref
from course_utils.widgets.background import BackgroundRun

class Ring:
    def __init__(self):
        self.me = self

def run():
    BackgroundRun(lambda: None).start()
    for thread in threading.enumerate():
        if thread.name == "course-training":
            thread.join()

before = gc.get_freeze_count()  # Python 3.12 itself freezes some objects
run()
frozen = gc.get_freeze_count()
assert frozen > before
run()
assert gc.get_freeze_count() <= frozen
ring = weakref.ref(Ring())
gc.collect()
assert ring() is None
""")
