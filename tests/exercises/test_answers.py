"""Reading numbers and tensors from any answer."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch

from course_utils.exercises import answers
from course_utils.exercises.answers import Answer, Case, Unsolved, Wrong


def test_number():
    arrays = np.array([13]), torch.tensor(13), torch.tensor([[13.0]])
    for thirteen in (13, 13.0, np.int64(13), np.float32(13), *arrays):
        assert answers.number(thirteen) == 13
    for value, named in (
        ("13", "a str ('13')"),
        (True, "a bool (True)"),
        ([13], "a list"),
        (torch.tensor([1, 2]), "a tensor of shape (2,)"),
        (np.zeros((2, 3)), "a NumPy array of shape (2, 3)"),
        (torch.tensor(math.nan), "nan"),
        (-math.inf, "-inf"),
    ):
        with pytest.raises(Wrong, match=re.escape(named)):
            answers.number(value)


def test_tensor():
    rows = [[1, 2], [3, 4]]
    for value in (rows, np.array(rows), torch.tensor(rows)):
        assert torch.equal(answers.tensor(value, "", (2, 2)), torch.tensor(rows).double())
    given = torch.zeros(2, dtype=torch.float64)
    read = answers.tensor(given)
    given += 1
    assert not read.any(), "it is a copy"
    for value, named in (
        ("text", "a str ('text')"),
        ([[1], [2, 3]], "a list"),
        (torch.ones(2, dtype=torch.complex64), "real numbers"),
        (torch.ones(2, 3), "(2, 3)"),
        (torch.tensor([1.0, math.nan, 2.0]), "nan"),
    ):
        with pytest.raises(Wrong, match=re.escape(named)):
            answers.tensor(value, "here", (3,))


def test_one_wrong_element_of_many_is_found():
    want = torch.zeros(10, 10)
    got = want.clone()
    got[7, 3] = 0.5
    with pytest.raises(Wrong, match=r"row 7, column 3 is 0\.5"):
        answers.compare_tensors(got, want, "here")
    answers.compare_tensors(want + 1e-7, want, "here")


def test_arguments_are_copies_even_inside_lists():
    def spoiling(image, pair):
        image.zero_()
        pair[0].zero_()
        return 1

    image, pair = torch.ones(2), [torch.ones(2)]
    assert Answer(spoiling, "spoiling")(image, pair) == 1
    assert bool(image.all()) and bool(pair[0].all())


def test_a_branch_without_return_is_wrong_and_not_unsolved():
    answer = Answer(lambda n: n if n < 3 else None, "partial")
    with pytest.raises(Wrong, match="five"):
        answers.compare_numbers(answer, [Case((1,)), Case((5,), "five")], lambda n: n, "{}")
    with pytest.raises(Unsolved, match="partial"):
        Answer(lambda n: None, "partial")(5)


def raising(error):
    def answer():
        raise error

    return Answer(answer, "answer")


def test_torchs_own_not_implemented_is_an_error_with_its_text():
    with pytest.raises(Wrong, match='"floor" not implemented'):
        raising(NotImplementedError('"floor" not implemented for ComplexFloat'))()


def test_the_stop_button_still_works():
    with pytest.raises(KeyboardInterrupt):
        raising(KeyboardInterrupt)()


def test_whole_numbers_are_compared_exactly():
    answer = Answer(lambda n: n + 1, "off by one")
    with pytest.raises(Wrong, match="10,000,001"):
        answers.compare_numbers(answer, [Case((10_000_000,))], lambda n: n, "{}")


def test_texts_are_stable_and_short():
    assert answers.one_line("<f at 0x7f12ab>\n  next   line") == "<f> next line"
    assert len(answers.one_line("x" * 500)) == 200
    numbers = {1605632: "1,605,632", 13.0: "13.0", 0.123456: "0.1235", 88021.64: "88,021.6"}
    assert list(map(answers.shown, numbers)) == list(numbers.values())
