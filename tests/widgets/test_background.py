from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time

import pytest

from course_utils.widgets.background import (
    REDRAWS_PER_SECOND,
    BackgroundRun,
    WhenIdle,
)


def until_stopped(run_box: list[BackgroundRun]) -> str:
    assert run_box[0].stopping.wait(20)
    return "stopped"


def endless() -> BackgroundRun:
    box: list[BackgroundRun] = []
    box.append(BackgroundRun(lambda: until_stopped(box)))
    return box[0]


def test_the_work_runs_in_another_thread_and_gives_its_result():
    ended = []
    run = BackgroundRun(threading.get_ident, on_end=lambda: ended.append(run.running))
    assert not run.running and run.wait(0)
    run.start()
    assert run.wait(10)
    assert run.result != threading.get_ident()
    assert ended == [False]
    assert run.exception is None


def test_stop_reaches_the_work():
    run = endless()
    run.start()
    assert run.running and not run.wait(0.05)
    run.stop()
    assert run.wait(10)
    assert run.result == "stopped" and not run.displaced


def test_an_exception_is_kept_and_the_end_still_comes():
    ended = []

    def work() -> None:
        raise KeyError("lost")

    run = BackgroundRun(work, on_end=lambda: ended.append(True))
    run.start()
    assert run.wait(10)
    assert isinstance(run.exception, KeyError) and ended == [True]


def test_the_wait_ends_even_when_the_end_fails(monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", seen.append)
    run = BackgroundRun(lambda: None, on_end=lambda: 1 / 0)
    run.start()
    assert run.wait(10)
    run._thread.join(10)
    assert [hook.exc_type for hook in seen] == [ZeroDivisionError]


def test_one_run_at_a_time():
    first, second = endless(), endless()
    first.start()
    second.start()
    assert first.wait(0) and first.displaced
    assert second.running and not second.displaced
    second.stop()
    assert second.wait(10)


def test_a_run_that_has_ended_is_not_displaced():
    first, second = BackgroundRun(lambda: 1), BackgroundRun(lambda: 2)
    first.start()
    first.wait(10)
    second.start()
    assert second.wait(10) and not first.displaced and second.result == 2


def test_redraws_are_few():
    drawn = []
    run = BackgroundRun(lambda: None, on_tick=lambda: drawn.append(time.monotonic()))
    begin = time.monotonic()
    while time.monotonic() - begin < 0.8:
        run.tick()
    seconds = time.monotonic() - begin
    assert 2 <= len(drawn) <= seconds * REDRAWS_PER_SECOND + 1
    assert min(b - a for a, b in itertools.pairwise(drawn)) >= 0.99 / REDRAWS_PER_SECOND


def test_waiting_in_the_thread_itself_returns_at_once():
    run = BackgroundRun(lambda: run.wait(30))
    run.start()
    assert run.wait(10)
    assert run.result is False


@pytest.mark.parametrize("kind", ["BackgroundRun", "WhenIdle"])
def test_the_interpreter_ends_though_work_is_under_way(kind):
    start = {
        "BackgroundRun": "r = BackgroundRun(lambda: work(r.stopping.is_set)); r.start()",
        "WhenIdle": "r = WhenIdle(work, on_error=print, patience=0); r.ask(); time.sleep(0.1)",
    }[kind]
    code = f"""
import time, torch
from course_utils.widgets.background import BackgroundRun, WhenIdle
def work(ended):
    x = torch.rand(4, 8, 32, 32, requires_grad=True)
    while not ended():
        torch.nn.functional.conv2d(x, torch.rand(8, 8, 3, 3)).sum().backward()
{start}
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


class Asked:
    """Counts what `WhenIdle` does."""

    def __init__(self, **keywords):
        self.begun, self.given_up, self.finished, self.errors = 0, 0, 0, 0
        self.hold, self.fail = threading.Event(), False
        self.idle = WhenIdle(self.work, on_error=self.failed, **keywords)

    def failed(self):
        self.errors += 1

    def work(self, outdated):
        self.begun += 1
        if self.fail:
            raise RuntimeError("no")
        while self.hold.is_set():
            if outdated():
                self.given_up += 1
                return
            time.sleep(0.001)
        self.finished += 1


def test_many_requests_are_answered_once():
    asked = Asked(patience=0.1)
    assert asked.idle.wait(1)  # for nothing
    for _ in range(20):
        asked.idle.ask()
    assert asked.idle.wait(10)
    assert (asked.begun, asked.finished) == (1, 1)


def test_a_new_request_makes_the_running_one_stop():
    asked = Asked(patience=0)
    asked.hold.set()
    asked.idle.ask()
    while not asked.begun:
        time.sleep(0.001)
    assert not asked.idle.wait(0.01)
    asked.idle.ask()
    while asked.begun < 2 or not asked.given_up:
        time.sleep(0.001)
    asked.hold.clear()
    assert asked.idle.wait(10)
    assert (asked.begun, asked.given_up, asked.finished) == (2, 1, 1)


def test_a_forgotten_request_is_not_answered():
    asked = Asked(patience=0.05)
    asked.idle.ask()
    asked.idle.cancel()
    time.sleep(0.1)
    assert asked.begun == 0


def test_what_the_work_raises_is_told():
    asked = Asked(patience=0)
    asked.fail = True
    asked.idle.ask()
    assert asked.idle.wait(10)
    assert asked.errors == 1 and isinstance(asked.idle.exception, RuntimeError)


def test_waiting_lasts_until_what_the_work_itself_asks_for_is_done():
    done = []

    def work(_outdated):
        done.append(len(done))
        if len(done) < 3:
            idle.ask()

    idle = WhenIdle(work, on_error=lambda: None, patience=0.01)
    idle.ask()
    assert idle.wait(10)
    assert done == [0, 1, 2]


def test_what_is_there_after_the_first_run_is_out_of_the_search_for_garbage():
    """Once in a kernel, so in a process of its own; what comes later is collected as ever."""
    code = """
import gc, time, weakref
from course_utils.widgets.background import BackgroundRun

class Ring:
    def __init__(self):
        self.me = self

def run():
    one = BackgroundRun(lambda: None)
    one.start()
    assert one.wait(20)

assert gc.get_freeze_count() == 0
run()
end = time.monotonic() + 20
while not gc.get_freeze_count():
    assert time.monotonic() < end
    time.sleep(0.01)
frozen = gc.get_freeze_count()
run()
time.sleep(0.2)
assert gc.get_freeze_count() <= frozen
ring = weakref.ref(Ring())
gc.collect()
assert ring() is None
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
