"""Channels behind a reshape: where they lie, and when their pixels are cut apart."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils.conv.edit.reshapes import Reshape, channel_blocks, reshaped
from tests.conv.edit.test_labels import channels, spread


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.data())
def test_reshaped_labels_are_those_of_the_reshaped_tensor(shape, data):
    dim = data.draw(st.integers(0, len(shape) - 1))
    total, new = math.prod(shape), []
    while total > 1:  # any other shape of as many numbers
        divisors = [d for d in range(1, total + 1) if total % d == 0]
        new.append(data.draw(st.sampled_from(divisors)) if len(new) < 5 else total)
        total //= new[-1]
    labels = channels(tuple(shape), dim)
    got = reshaped(labels, shape, new)
    if got is None:  # the pixels of a channel are no longer side by side
        assert len(new) > 1 and shape[dim] < math.prod(shape)
    else:
        assert torch.equal(spread(got, new), spread(labels, shape).reshape(new))
        assert all(got.numbers.shape[d] == new[d] for d in got.dims)


@pytest.mark.parametrize(
    ("old", "dim", "new", "lie"),
    [
        ((2, 1, 4, 4), 1, (2, 16), (-1,)),
        ((2, 1, 4, 4), 1, (2, 1, 16), (-2,)),
        ((2, 1, 4, 4), 1, (2, 4, 2, 2), (-3,)),
        ((2, 2, 2, 1, 4, 4), 3, (2, 4, 4, 4), (-3,)),  # behind others: with those before it
        ((2, 1, 2, 2, 4, 4), 1, (2, 4, 4, 4), (-3,)),
        ((2, 4, 4, 1), 3, (2, 16), (-1,)),
        ((2, 1, 1, 1), 1, (2, 1), (-1,)),
        ((2, 4, 1), 2, (2, 4, 1, 1), (-2,)),
    ],
)
def test_a_single_channel_lies_where_more_would(old, dim, new, lie):
    got = reshaped(channels(old, dim), old, new)
    assert got.dims == lie and got.numbers.shape[lie[0]] == new[lie[0]]


@pytest.mark.parametrize("new", [(1, 8, 1, 1), (8, 1, 1), (1, 1, 8), (1, 8, 1)])
def test_a_vector_of_parameters_gets_no_channels_along_what_is_put_around_it(new):
    assert reshaped(channels((8,), 0), (8,), new).dims == (new.index(8) - len(new),)


def test_pixels_that_would_be_cut_in_another_place_for_each_channel_are_found():
    assert reshaped(channels((2, 6, 4), 1), (2, 6, 4), (2, 4, 6)) is None
    assert reshaped(channels((2, 4, 16), 1), (2, 4, 16), (2, 16, 4)).dims == (-2,)


def test_splitting_channels_costs_no_memory():
    got = reshaped(channels((2, 6, 9, 9), 1), (2, 6, 9, 9), (2, 2, 3, 9, 9))
    assert got.numbers.shape == (1, 2, 3, 1, 1) and got.dims == (-4, -3)


def reshape(old: tuple[int, ...], new: tuple[int, ...]) -> Reshape:
    """Return the record of a reshape of a tensor (N, C, ...)."""
    labels = channels(old, 1)
    blocks, lie = channel_blocks([labels], old, new), reshaped(labels, old, new).dims
    return Reshape("view", blocks, old, new, frozenset(labels.dims), frozenset(lie))


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        (((2, 8, 4, 4), (2, 8, 16)), ((2, 12, 4, 4), (2, 12, 16)), True),
        (((2, 8, 4, 4), (2, 8, 16)), ((2, 16, 4, 4), (2, 8, 32)), False),  # to pixels
        (((2, 8, 4, 4), (2, 8, 4, 4)), ((2, 16, 4, 4), (4, 8, 4, 4)), False),  # to pictures
        (((2, 8, 4, 4), (2, 32, 2, 2)), ((2, 9, 4, 4), (2, 36, 2, 2)), True),
        (((2, 8, 16), (2, 16, 8)), ((2, 16, 16), (2, 16, 16)), False),  # the second one grows
        (((2, 8, 4, 4), (2, 2, 4, 4, 4)), ((2, 2, 4, 4), (2, 2, 1, 4, 4)), True),
        (((2, 8, 4, 4), (2, 128)), ((2, 12, 3, 3), (2, 108)), True),  # fewer pixels, too
    ],
)
def test_a_reshape_must_do_the_same_with_more_channels(before, after, same):
    assert reshape(*after).does_as(reshape(*before)) == same
