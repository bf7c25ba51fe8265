from __future__ import annotations

import base64
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import ipywidgets as widgets
import pytest

from course_utils.core import CourseError
from course_utils.plots.canvas import Canvas
from course_utils.widgets.control_values import option_values, set_value
from course_utils.widgets.panel import (
    Panel,
    choice,
    choice_slider,
    float_slider,
    int_slider,
    toggle,
)
from tests.widgets.messages import move


class Doubt(CourseError):
    def __init__(self, text: str, nearest: dict):
        super().__init__(text)
        self.nearest = nearest


class Squares(Panel):
    """Squares its number; refuses 9, breaks at 7, and cannot be drawn at 6."""

    def __init__(self, **options):
        self.computed = 0
        self.position = int_slider("position", 0, 0, 3)
        controls = {
            "number": int_slider("number", 2, 0, 10),
            "scale": float_slider("scale", 1.0, 0.0, 2.0, 0.5),
            "colour": choice("colour", ["blue", "red"], "red"),
            "loud": toggle("loud", False),
            "padding": widgets.SelectionSlider(options=[("1", 1), ("2", 2), ("same", "same")]),
            "position": self.position,
        }
        super().__init__(controls, title="Squares & more", width=60, **options)

    def compute(self, *, number, scale, colour, loud, padding, position):
        self.computed += 1
        if number == 9:
            raise Doubt("Nine is <too> much.\nFormula: n < 9", {"number": 8})
        if number == 5:
            raise Doubt("Five needs what this panel has not.", {"groups": 2})
        if number == 7:
            raise RuntimeError("seven is out")
        if number == 4:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: allocate 4000 bytes")
        return number**2 * scale

    def adjust(self, result):
        self.position.max = max(1, int(result))

    def picture(self, result):
        if result == 36:
            raise ZeroDivisionError("nothing to draw")
        canvas = Canvas(60, 20)
        canvas.text(str(result), 1, 1)
        return canvas.to_png()

    def describe(self, result):
        return f"square < {result:g}"

    def code(self, result):
        return f"f({result:g})" if result > 1 else ""


@pytest.fixture
def panel():
    return Squares()


def texts(panel: Panel) -> tuple[str, str, str]:
    """Return the error, the summary and the code in the page."""
    return panel._error.value, panel._summary.value, panel._code.value


def marks(panel: Panel) -> str:
    """Return what marks an error: the message, its button, and a stale picture."""
    visible = {"message": panel._message, "button": panel._nearest_button}
    names = [name for name, widget in visible.items() if widget.layout.display is None]
    return " ".join(names + ["stale"] * ("course-stale" in panel._picture._dom_classes))


def test_a_new_panel_shows_its_result(panel):
    assert panel.result == 4
    assert panel.summary == "square < 4"
    assert bytes(panel.shown_picture).startswith(b"\x89PNG")
    assert texts(panel) == ("", "square &lt; 4", "f(4)") and "message" not in marks(panel)
    assert "stale" not in marks(panel)
    assert "Squares &amp; more" in panel.children[0].value
    # ipywidgets 8.1 shows "Click to show javascript error" in place of an Image that has a tooltip.
    assert panel._picture.tooltip is None


def test_a_change_of_any_control_refreshes_once_and_so_does_set(panel):
    picture = panel.shown_picture
    panel.controls["number"].value = 3
    assert (panel.computed, panel.result) == (2, 9)
    assert panel.shown_picture != picture
    panel.controls["scale"].value = 2.0
    assert (panel.computed, panel.result) == (3, 18)
    panel.set(number=4, scale=0.5, colour="blue", loud=True)
    assert panel.computed == 4
    assert list(panel.settings.values()) == [4, 0.5, "blue", True, 1, 0]


def test_an_impossible_setting_is_answered_in_words(panel):
    picture = panel.shown_picture
    panel.controls["number"].value = 9
    assert panel.error == panel.summary == "Nine is <too> much.\nFormula: n < 9"
    assert isinstance(panel.exception, Doubt)
    assert panel.nearest == {"number": 8}
    assert panel._nearest_button.description == "Nearest that works: number = 8"
    assert panel.shown_picture == picture, "the last picture that worked stays, marked as stale"
    assert texts(panel) == ("Nine is &lt;too&gt; much.\nFormula: n &lt; 9", "", "")
    assert marks(panel) == "message button stale"


def test_the_button_applies_the_nearest_setting_and_everything_is_clear_again(panel):
    panel.controls["number"].value = 9
    panel._nearest_button.click()
    assert panel.settings["number"] == 8
    assert panel.result == 64
    assert (panel.error, panel.exception, panel.nearest) == ("", None, {})
    assert texts(panel) == ("", "square &lt; 64", "f(64)")
    assert "message" not in marks(panel) and "stale" not in marks(panel)


def test_a_nearest_setting_of_foreign_arguments_is_not_offered(panel):
    panel.set(number=9)
    panel.set(number=5)
    assert panel.error.startswith("Five") and panel.nearest == {}
    assert marks(panel) == "message stale"
    panel.apply_nearest()
    assert panel.settings["number"] == 5


@pytest.mark.parametrize(
    ("number", "text"),
    [(7, "RuntimeError: seven is out"), (6, "ZeroDivisionError: nothing to draw")],
)
def test_an_unexpected_exception_is_shown_not_lost(panel, number, text):
    panel.set(number=number)
    assert type(panel.exception).__name__ in text
    assert panel.error == panel.summary == f"Unexpected {text}"
    assert marks(panel) == "message stale"
    panel.set(number=1)
    assert panel.exception is None and panel.result == 1


def test_no_memory_is_a_sentence(panel):
    panel.set(number=4)
    assert panel.error.startswith("There is not enough memory for 4 kB more: make the network")


def test_unknown_controls_and_impossible_values_are_named(panel):
    for change, words in (
        ({"size": 3}, "no control 'size'"),
        ({"colour": "green"}, "'colour'.*'green'.*'blue', 'red'"),
        ({"number": "three"}, "'number'.*'three'"),
    ):
        with pytest.raises(CourseError, match=words):
            panel.set(**change)
    panel.set(number=3)
    assert panel.result == 9


def test_a_slider_grows_where_a_setting_lies_beyond_its_end(panel):
    panel.set(number=12, padding=7)
    assert panel.controls["number"].max == 12 and panel.result == 144
    assert panel.settings["padding"] == 7
    assert panel.controls["padding"].options[-1] == ("7", 7)
    slider = widgets.FloatLogSlider(value=1e-3, min=-4, max=-1)
    panel = Panel({"rate": slider}, title="r", width=9)
    assert isinstance(panel.exception, NotImplementedError), "the base class is abstract"
    panel.set(rate=0.01)
    assert (slider.min, slider.max) == (-4, -1)
    panel.set(rate=10.0)
    assert slider.max == pytest.approx(1) and slider.value == pytest.approx(10)
    panel.set(rate=1e-6)
    assert slider.min == pytest.approx(-6) and slider.value == pytest.approx(1e-6)


def test_a_slider_over_a_few_numbers_gets_a_step_for_one_more():
    for values, more, expected in (
        ((0.1, 0.5), 0.33, [0.1, 0.33, 0.5]),
        ((0.1, 0.5), 2, [0.1, 0.5, 2]),
        ((0.1, 0.5), 0.5, [0.1, 0.5]),
        ((1, 4), 2, [1, 2, 4]),
        (("same", 1), 0, ["same", 1, 0]),
    ):
        slider = choice_slider("x", [(f"<{one}>", one) for one in values], values[-1])
        set_value("x", slider, more)
        assert option_values(slider) == expected and slider.value == more
        kept = {one: label for label, one in slider.options if one in values}
        assert kept == {one: f"<{one}>" for one in values}
    for values, wrong in (((1, 4), 2.5), ((0.1, 0.5), math.nan), ((0.1, 0.5), math.inf)):
        with pytest.raises(CourseError, match="'x' cannot be"):
            set_value(
                "x", choice_slider("x", [(str(one), one) for one in values], values[0]), wrong
            )


@pytest.mark.parametrize("sent", [0.05 + 28 * 0.01, 0.32999999999999996, 0.33])
def test_a_page_that_counts_in_steps_adds_no_digits(sent):
    panel = Panel({"every": float_slider("every", 0.1, 0.05, 1.0, 0.01)}, title="e", width=9)
    move(panel.controls["every"], value=sent)
    assert panel.settings == {"every": 0.33}


def test_first_values_are_computed_once_and_checked():
    button = widgets.Button(description="Go")
    panel = Squares(initial={"number": 3, "scale": 2.0}, extra=(button,))
    assert (panel.computed, panel.result) == (1, 18)
    with pytest.raises(CourseError, match="no control 'size'"):
        Squares(initial={"size": 3})
    left = panel.children[1].children[0]
    assert left.children == (*panel.controls.values(), button), "further widgets come last"


def test_the_controls_follow_the_result_without_another_refresh(panel):
    panel.set(number=3, position=3)
    panel.set(number=1)
    assert (panel.position.max, panel.position.value) == (1, 1)
    assert panel.computed == 3


def test_where_no_kernel_runs_the_picture_and_its_line_are_left(panel):
    bundle = panel._repr_mimebundle_()
    assert bundle["text/plain"] == "Squares & more: square < 4"
    assert base64.b64decode(bundle["image/png"]) == panel.shown_picture
    assert "application/vnd.jupyter.widget-view+json" in bundle
    panel.set(number=9)
    assert panel._repr_mimebundle_()["text/plain"].startswith("Squares & more: Nine is <too> much.")


def test_changes_by_other_threads_are_neither_lost_nor_mixed():
    class Slow(Squares):
        inside = most = 0

        def compute(self, **settings):
            self.inside += 1
            self.most = max(self.most, self.inside)
            time.sleep(0.002)
            self.inside -= 1
            return super().compute(**settings)

    panel = Slow()
    numbers = [0, 1, 2, 3, 4, 8, 10]

    def move(steps):
        for number in steps:
            panel.set(number=number, loud=bool(number % 2))
            panel.controls["scale"].value = number % 3

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(move, [numbers[k:] + numbers[:k] for k in range(4)]))
    assert panel.most == 1, "one refresh at a time"
    assert panel.exception is None
    assert panel.result == panel.settings["number"] ** 2 * panel.settings["scale"]
    assert panel._summary.value == f"square &lt; {panel.result:g}"


def test_a_change_while_the_panel_adjusts_itself_waits_its_turn():
    entered, changed = threading.Event(), threading.Event()

    class Adjusting(Squares):
        def adjust(self, result):
            super().adjust(result)
            if result == 9:
                entered.set()
                changed.wait(0.2)

    panel = Adjusting()
    thread = threading.Thread(target=lambda: panel.set(number=3))
    thread.start()
    assert entered.wait(120)
    panel.controls["scale"].value = 2.0
    changed.set()
    thread.join(120)
    assert panel.result == 18


def test_a_list_of_many_takes_one_value_or_several_and_its_error_is_short():
    control = widgets.SelectMultiple(options=[(f"kernel {k}", k) for k in range(2000)])
    for value, expected in ((7, (7,)), ([1, 3], (1, 3)), ((), ()), ({5}, (5,))):
        set_value("by_hand", control, value)
        assert control.value == expected
    with pytest.raises(CourseError, match=r"cannot be .*2000.*: choose one of 0, .*…, 1999") as e:
        set_value("by_hand", control, 2000)
    assert len(str(e.value)) < 500
