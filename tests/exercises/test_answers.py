"""Reading numbers and tensors out of anything."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from course_utils.exercises.answers import (
    Answer,
    Case,
    Unsolved,
    Wrong,
    compare_numbers,
    compare_tensors,
    number,
    one_line,
    shown,
    tensor,
)


@pytest.mark.parametrize(
    "thirteen",
    [
        13,
        13.0,
        np.int64(13),
        np.float32(13),
        np.array([13]),
        torch.tensor(13),
        torch.tensor([[13.0]]),
    ],
)
def test_number_reads_what_equals_a_number(thirteen):
    assert number(thirteen) == 13


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("13", r"a str \('13'\), a number is wanted"),
        (True, r"a bool \(True\), a number is wanted"),
        ([13], "a list, a number is wanted"),
        (torch.tensor([1, 2]), r"a tensor of shape \(2,\), one number is wanted"),
        (np.zeros((2, 3)), r"a NumPy array of shape \(2, 3\), one number is wanted"),
        (torch.tensor(float("nan")), "nan, which is not a finite number"),
        (float("-inf"), "-inf, which is not a finite number"),
    ],
)
def test_number_names_what_it_got(value, said):
    with pytest.raises(Wrong, match=said):
        number(value)


@pytest.mark.parametrize(
    "value", [[[1, 2], [3, 4]], np.array([[1, 2], [3, 4]]), torch.tensor([[1, 2], [3, 4]])]
)
def test_tensor_reads_lists_arrays_and_tensors(value):
    assert torch.equal(tensor(value, "", (2, 2)), torch.tensor([[1.0, 2.0], [3.0, 4.0]]).double())


def test_tensor_is_a_copy():
    given = torch.zeros(2, dtype=torch.float64)
    read = tensor(given)
    given += 1
    assert torch.equal(read, torch.zeros(2).double())


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("text", "a tensor is wanted"),
        ([[1], [2, 3]], "a list; a tensor is wanted"),
        (torch.ones(2, dtype=torch.complex64), "a tensor is wanted"),
        (torch.ones(2, 3), r"has the shape \(2, 3\), it should have \(3,\)"),
        (torch.tensor([1.0, float("nan"), 2.0]), "nan or infinity"),
    ],
)
def test_tensor_names_what_is_wrong(value, said):
    with pytest.raises(Wrong, match=said):
        tensor(value, "here", (3,))


def test_one_wrong_element_of_many_is_found():
    want = torch.zeros(10, 10)
    got = want.clone()
    got[7, 3] = 0.5
    with pytest.raises(Wrong, match=r"here: row 7, column 3 is 0\.5, it should be 0\.0"):
        compare_tensors(got, want, "here")
    compare_tensors(want + 1e-7, want, "here")


def test_arguments_are_copies_even_inside_lists():
    def spoiling(image, pair):
        image.zero_()
        pair[0].zero_()
        return 1

    image, pair = torch.ones(2), [torch.ones(2)]
    assert Answer(spoiling, "spoiling")(image, pair) == 1
    assert bool(image.all())
    assert bool(pair[0].all())


def test_a_branch_without_return_is_wrong_and_not_unsolved():
    answer = Answer(lambda n: n if n < 3 else None, "partial")
    cases = [Case((1,)), Case((5,), "five")]
    with pytest.raises(Wrong, match=r"five: for 5 partial returns nothing \(None\)"):
        compare_numbers(answer, cases, lambda n: n, str)
    with pytest.raises(Unsolved, match="partial returns nothing so far"):
        Answer(lambda n: None, "partial")(5)


def test_torchs_own_not_implemented_is_an_error_with_its_text():
    def floored():
        raise NotImplementedError('"floor" not implemented for ComplexFloat')

    with pytest.raises(Wrong, match=r'NotImplementedError: "floor" not implemented'):
        Answer(floored, "floored")()


def test_the_stop_button_still_works():
    def stopped():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Answer(stopped, "stopped")()


def test_whole_numbers_are_compared_exactly():
    answer = Answer(lambda n: n + 1, "off by one")
    with pytest.raises(Wrong, match="you gave 10,000,001, it is 10,000,000"):
        compare_numbers(answer, [Case((10_000_000,))], lambda n: n, str)


def test_texts_are_stable_and_short():
    assert one_line("<f at 0x7f12ab>\n  next   line") == "<f> next line"
    assert len(one_line("x" * 500)) == 200
    assert [shown(1605632), shown(13.0), shown(0.123456)] == ["1,605,632", "13.0", "0.1235"]
    assert shown(88021.64) == "88,021.6"
