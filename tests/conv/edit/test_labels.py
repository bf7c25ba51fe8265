"""Labels move as the numbers of their tensor do."""

from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils.conv.edit import labels as lb

sizes = st.integers(1, 4)


def channels(shape: tuple[int, ...], dim: int) -> torch.Tensor:
    return lb.along(torch.arange(1, shape[dim] + 1), dim, len(shape))


def spread(labels: torch.Tensor, shape) -> torch.Tensor:
    return labels.expand(tuple(shape)).contiguous()


@given(st.lists(sizes, min_size=1, max_size=5), st.data())
def test_reshaped_labels_are_those_of_the_reshaped_tensor(shape, data):
    dim = data.draw(st.integers(0, len(shape) - 1))
    total = math.prod(shape)
    new = []
    while total > 1:  # any other shape of as many numbers
        divisors = [d for d in range(1, total + 1) if total % d == 0]
        new.append(data.draw(st.sampled_from(divisors)))
        total //= new[-1]
        if new[-1] == 1 and len(new) > 4:
            new[-1] *= total
            total = 1
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


def test_flattening_repeats_a_channel_for_each_pixel():
    got = lb.reshaped(channels((2, 3, 4, 5), 1), (2, 3, 4, 5), (2, 60))
    assert got.shape == (1, 60)
    assert got[0].tolist() == [1] * 20 + [2] * 20 + [3] * 20


def test_splitting_channels_costs_no_memory():
    got = lb.reshaped(channels((2, 6, 9, 9), 1), (2, 6, 9, 9), (2, 2, 3, 9, 9))
    assert got.shape == (1, 2, 3, 1, 1)


def test_concatenation_puts_zero_where_there_is_no_label():
    none = torch.zeros(1, 1, 1, 1, dtype=torch.long)
    got = lb.concatenated([channels((1, 2, 1, 1), 1), none], [2, 3], 1)
    assert got.reshape(-1).tolist() == [1, 2, 0, 0, 0]


def test_padding_pixels_changes_no_label_and_padding_channels_puts_zero():
    labels = channels((1, 2, 4, 4), 1)
    assert lb.padded(labels, (1, 1, 1, 1)) is not None
    assert torch.equal(lb.padded(labels, (1, 1, 1, 1)), labels)
    assert lb.padded(labels, (0, 0, 0, 0, 1, 2)).reshape(-1).tolist() == [0, 1, 2, 0, 0]
