from __future__ import annotations

import re

from torch import nn

from course_utils.search import Improvement, SideBySide, Tried
from course_utils.widgets.improve_panel.words import (
    search_ended,
    summary,
    trained_table,
    values_table,
)
from tests.toys import toy_data, toy_model

START = Tried(0, 0, 0, {}, 0.25, 3744)
ONE = Tried(1, 1, 2, {"0.depth": 2, "0.kernel_size": 3, "learning_rate": 0.00123}, 0.5, 7056)
BAD = Tried(2, 1, 2, {"learning_rate": 9.0}, None, None, "its loss is <nan>")


def found(*tried: Tried, best: Tried = START) -> Improvement:
    model = toy_model()
    return Improvement(model, (1, 8, 8), "fresh", 0, START, best, model, list(tried))


def cells(table: str) -> list[str]:
    return re.findall(r"<t[hd](?: [^>]*)?>(.*?)</t[hd]>", table)


def test_the_summary_names_what_is_seen():
    assert summary(found(), START).endswith(": 0 candidates; as given: 25.0% at 3,744.")
    text = summary(found(ONE, BAD, best=ONE), BAD)
    assert "2 candidates, 1 of them without a result" in text
    assert "the best, number 1: 50.0% at 7,056; chosen, number 2: no result" in text


def test_the_end_of_a_search_without_a_result_says_why():
    assert search_ended(found(ONE, BAD), "").startswith("Done: 2 candidates.")
    assert search_ended(found(BAD), "").endswith("1 of 1: its loss is <nan>")


def test_the_values_stand_beside_the_former_ones():
    assert "its loss is &lt;nan&gt;" in values_table(found(BAD), BAD)
    text = cells(values_table(found(ONE), ONE))
    assert text[:6] == ["", "depth", "kernel_size", "0", "<b>1 → 2</b>", "3"]
    assert text[6:] == ["", "article", "candidate", "learning_rate", "0.001", "<b>0.00123</b>"]


def test_a_layer_of_which_less_may_vary():
    one = Tried(1, 1, 2, {"0.depth": 2, "2.0.depth": 1, "2.0.kernel_size": 5}, 0.5, 7056)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Sequential(nn.Conv2d(4, 4, 3)))
    given = Improvement(model, (1, 8, 8), "fresh", 0, START, START, model, [one])
    text = cells(values_table(given, one))
    assert text[3:] == ["0", "<b>1 → 2</b>", "–", "2.0", "1", "<b>3 → 5</b>"]


def test_the_table_of_trainings():
    side = SideBySide(found(ONE, best=ONE), toy_data(), "float32")
    assert trained_table(side) == ""
    assert side.train(ONE, 1) and side.train(START, 1)
    text = cells(trained_table(side))
    assert text[:5] == ["", "epochs", "validation accuracy", "parameters", "multiply-adds"]
    assert text[5:7] == ["candidate 1", "1"] and text[9] == "7,056"
    assert text[10] == "as given, article’s training" and len(text) == 15
    side.evaluate()
    assert len(cells(trained_table(side))) == 18
