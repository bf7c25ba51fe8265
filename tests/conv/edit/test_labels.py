"""Labels move as the numbers of their tensor do."""

from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils.conv.edit import labels as lb


def channels(shape: tuple[int, ...], dim: int) -> torch.Tensor:
    return lb.along(torch.arange(1, shape[dim] + 1), dim, len(shape))


def spread(labels: torch.Tensor, shape) -> torch.Tensor:
    return labels.expand(tuple(shape)).contiguous()


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.data())
def test_reshaped_labels_are_those_of_the_reshaped_tensor(shape, data):
    dim = data.draw(st.integers(0, len(shape) - 1))
    total, new = math.prod(shape), []
    while total > 1:  # any other shape of as many numbers
        divisors = [d for d in range(1, total + 1) if total % d == 0]
        new.append(data.draw(st.sampled_from(divisors)) if len(new) < 5 else total)
        total //= new[-1]
    labels = channels(tuple(shape), dim)
    got = lb.reshaped(labels, shape, new)
    assert torch.equal(spread(got, new), spread(labels, shape).reshape(new))


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.data())
def test_squashed_labels_say_the_same(shape, data):
    dim = data.draw(st.integers(0, len(shape) - 1))
    full = spread(channels(tuple(shape), dim), shape)
    small = lb.squash(full)
    assert torch.equal(spread(small, shape), full)
    assert small.numel() == shape[dim]


def test_splitting_channels_costs_no_memory():
    got = lb.reshaped(channels((2, 6, 9, 9), 1), (2, 6, 9, 9), (2, 2, 3, 9, 9))
    assert got.shape == (1, 2, 3, 1, 1)


def test_channels_without_a_label_get_zero():
    labels, none = channels((1, 2, 1, 1), 1), torch.zeros(1, 1, 1, 1, dtype=torch.long)
    assert lb.concatenated([labels, none], [2, 3], 1).flatten().tolist() == [1, 2, 0, 0, 0]
    assert lb.padded(labels, (0, 0, 0, 0, 1, 2)).flatten().tolist() == [0, 1, 2, 0, 0]
    assert torch.equal(lb.padded(labels, (1, 1, 1, 1)), labels)  # pixels have no labels
