"""Labels move as the numbers of their tensor do."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from course_utils.conv.edit import labels as lb


def channels(shape: tuple[int, ...], dim: int) -> lb.Labels:
    return lb.Labels.of(torch.arange(1, shape[dim] + 1), dim, len(shape))


def spread(labels: lb.Labels, shape) -> torch.Tensor:
    return labels.numbers.expand(tuple(shape)).contiguous()


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.data())
def test_squashed_labels_say_the_same(shape, data):
    dim = data.draw(st.integers(0, len(shape) - 1))
    full = spread(channels(tuple(shape), dim), shape)
    small = lb.squashed(full, ())
    assert torch.equal(spread(small, shape), full)
    assert small.numbers.numel() == shape[dim]
    assert lb.squashed(full, {dim - len(shape)}).dims == (dim - len(shape),)


def test_channels_without_a_label_get_zero():
    labels, none = channels((1, 2, 1, 1), 1), torch.zeros(1, 1, 1, 1, dtype=torch.long)
    got = lb.concatenated([labels.numbers, none], [2, 3], 1)
    assert got.flatten().tolist() == [1, 2, 0, 0, 0]


@pytest.mark.parametrize("mode", ["constant", "replicate", "reflect", "circular"])
@pytest.mark.parametrize("pads", [(1, 2), (2, 0), (-1, 1), (0, -2)])
def test_padded_labels_are_those_of_the_padded_tensor(mode, pads):
    labels = channels((1, 1, 4, 1, 1), 2)
    wanted = F.pad(labels.numbers.double(), (0, 0, 0, 0, *pads), mode=mode).flatten().tolist()
    got = lb.padded(labels, (1, 1, 2, 2, *pads), mode)  # pixels have no labels
    assert got.vector.tolist() == wanted and got.dims == labels.dims


@pytest.mark.parametrize(
    "index",
    [
        *(0, slice(1, 3), None, ..., [1, 0], (slice(None), 1), (..., -1), (None, 0, ..., None)),
        *((slice(None), [2, 1]), (slice(None), slice(None, None, 2), None), (..., [True, False])),
    ],
    ids=str,
)
def test_an_index_tells_where_each_dimension_goes(index):
    sizes = (3, 4, 5, 2)
    got = torch.empty(sizes)[index]
    picked = lb.picked(index, 4)
    assert len(picked) == got.ndim
    for place, d in enumerate(picked):
        assert got.shape[place] == 1 if d is None else got.shape[place] <= sizes[d]


def test_an_index_of_several_lists_is_left_alone():
    assert lb.picked(([0, 1], [1, 0]), 4) is None
    assert lb.picked((0, slice(None), [1, 0]), 4) is None
