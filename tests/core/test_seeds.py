from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import core
from course_utils.core import mixed_seed, private_random_numbers, seeded, splitmix64

numbers = st.tuples(st.integers(-(2**63), 2**63 - 2), st.integers(0, 2**40))


def draw(*seeds: int) -> list[int]:
    with private_random_numbers():
        core.seed_layers("cpu", *seeds)
        return torch.randint(2**40, (3,)).tolist()


@settings(max_examples=40)
@given(numbers)
def test_a_function_of_all_numbers(seeds):
    first, second = seeds
    drawn = draw(first, second)
    assert drawn == draw(first, second)
    others = [(first, second + 1), (first + 1, second), (first,), (second, first)]
    assert drawn not in [draw(*other) for other in others if other != seeds]


@settings(max_examples=40)
@given(numbers, st.integers(1, 64))
def test_a_seed_has_as_many_bits_as_asked_for(seeds, bits):
    assert mixed_seed(*seeds, bits=bits) == mixed_seed(*seeds, bits=64) >> (64 - bits)
    assert 0 <= mixed_seed(*seeds, bits=bits) < 2**bits


@settings(max_examples=40)
@given(st.lists(st.integers(0, 2**64 - 1)))
def test_an_array_is_mixed_as_its_numbers_are(several):
    assert splitmix64(0) == 0xE220A8397B1DCDAF  # as in the authors' own program
    mixed = splitmix64(np.array(several, dtype=np.uint64))
    assert mixed.dtype == np.uint64 and mixed.tolist() == [splitmix64(one) for one in several]


def test_others_notice_nothing_even_after_an_exception():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    with pytest.raises(KeyError), private_random_numbers("cpu"):
        torch.manual_seed(9)
        torch.rand(5)
        raise KeyError
    assert torch.equal(torch.rand(4), expected)


def test_what_is_seeded_depends_on_the_seed_alone():
    state = torch.get_rng_state()
    first, again, other = (seeded(lambda: torch.rand(5), seed) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    "make", [lambda: torch.nn.Conv2d(4, 6, 3, groups=2), lambda: torch.nn.Linear(7, 5)]
)
def test_default_weights_are_torchs(make):
    with private_random_numbers():
        torch.manual_seed(3)
        torchs, ours = make(), make()
    with torch.no_grad():
        core.draw_default_weights(ours.weight, ours.bias, torch.Generator().manual_seed(3))
    assert torch.equal(ours.weight, torchs.weight) and torch.equal(ours.bias, torchs.bias)
