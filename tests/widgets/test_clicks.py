"""A double click counts once, two clicks count twice; the clock is the test's own."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from course_utils.core import seeded
from course_utils.widgets import clicks
from course_utils.widgets.one_click.panel import one_click_lab
from tests.toys import toy_data, toy_model
from tests.widgets.messages import click


class Clock:
    """Says when the page sent the click; without a page, what time it is."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(clicks, "clicked_at", clock)
    return clock


@pytest.mark.parametrize(
    ("times", "count"),
    [
        ([0], 1),
        ([0, 0], 1),
        ([0, 0.1, 0.2], 1),
        ([0, 0.5], 2),
        ([0, 3, 3.2], 2),
        ([0, 0.3, 0.6], 2),
        ([0, -600, -599.9], 2),  # the second is from another browser
    ],
)
def test_clicks_half_a_second_apart_count(clock, times, count):
    done = []
    button = clicks.button("Go", lambda: done.append(clock.now))
    for time in times:
        clock.now = time
        click(button)
    assert len(done) == count


def test_without_a_page_a_click_counts_from_the_end_of_the_action(clock):
    done = []

    def slow() -> None:
        done.append(clock.now)
        clock.now += 10

    button = clicks.button("Go", slow)
    for wait, count in ((0, 1), (0.4, 1), (0.2, 2)):
        clock.now += wait
        button.click()
        assert len(done) == count


def test_an_action_that_fails_may_be_tried_again(clock):
    done = []
    button = clicks.button("Go", lambda: done.append(1 / 0))
    other = clicks.button("Other", lambda: done.append(0))
    click(button)
    click(other)
    clock.now += 1
    click(other)
    assert done == [0, 0], "each button has its own time"


def test_a_button_that_is_enabled_again_takes_the_next_click(clock):
    done = []
    button = clicks.button("Go", lambda: done.append(0))
    for disabled, count in ((False, 1), (True, 1), (False, 2)):
        button.disabled = disabled
        click(button)
        assert len(done) == count


@pytest.mark.parametrize(("kind", "from_page"), [("comm_msg", True), ("execute_request", False)])
def test_the_page_says_when_it_was(monkeypatch, kind, from_page):
    sent = datetime(2020, 2, 2, tzinfo=UTC)
    header = {"msg_type": kind, "date": sent}
    kernel = SimpleNamespace(get_parent=lambda _channel: {"header": header})
    monkeypatch.setattr(clicks, "get_ipython", lambda: SimpleNamespace(kernel=kernel))
    assert (clicks.clicked_at() == sent.timestamp()) is from_page
    monkeypatch.setattr(clicks, "get_ipython", lambda: SimpleNamespace())
    assert clicks.clicked_at() > sent.timestamp()


def test_a_double_click_on_undo_takes_back_one_edit(clock):
    lab = one_click_lab(seeded(toy_model, 0), toy_data())
    for channels in (7, 8, 9):
        lab.set(out_channels=channels)
        lab.apply()
    for pause, left in ((0, 8), (0.2, 8), (1, 7), (0.1, 7)):
        clock.now += pause
        click(lab._undo_button)
        assert lab.model[0].out_channels == left
    assert lab.status == "The last edit is taken back."
    for pause, left in ((0, 8), (0.2, 8), (1, 9)):
        clock.now += pause
        click(lab._redo_button)
        assert lab.model[0].out_channels == left
