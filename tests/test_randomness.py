from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils.randomness import private_random_numbers, seed_layers

numbers = st.tuples(st.integers(-(2**63), 2**63 - 2), st.integers(0, 2**40))


def draw(*seeds: int) -> list[int]:
    with private_random_numbers():
        seed_layers("cpu", *seeds)
        return torch.randint(2**40, (3,)).tolist()


@given(numbers)
def test_a_function_of_all_numbers(seeds):
    first, second = seeds
    assert draw(first, second) == draw(first, second)
    assert draw(first, second) != draw(first, second + 1)
    assert draw(first, second) != draw(first + 1, second)
    assert draw(first, second) != draw(first)
    if first != second:
        assert draw(first, second) != draw(second, first)


def test_others_notice_nothing_even_after_an_exception():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    with pytest.raises(KeyError), private_random_numbers("cpu"):
        torch.manual_seed(9)
        torch.rand(5)
        raise KeyError
    assert torch.equal(torch.rand(4), expected)
