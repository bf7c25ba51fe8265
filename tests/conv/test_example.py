"""The ways to call a model on an example input."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import nn

from course_utils.conv.example import count_pictures, ways_to_call

PICTURE, BATCH = torch.zeros(3, 8, 8), torch.zeros(2, 3, 8, 8)


class Model(nn.Module):
    def forward(self, x, mask=None):
        return x


class Pair(NamedTuple):
    low: torch.Tensor
    high: torch.Tensor


def first(example_input):
    return ways_to_call(Model(), example_input)[0]


@pytest.mark.parametrize("value", [BATCH, PICTURE, [PICTURE, PICTURE], {0: BATCH}, {"y": BATCH}, 3])
def test_one_input_is_passed_as_it_is(value):
    (argument,), named = first(value)
    assert argument is value and not named


def test_several_inputs_and_names():
    assert first((BATCH, PICTURE)) == ((BATCH, PICTURE), {})
    assert first({"x": BATCH, "mask": None}) == ((), {"x": BATCH, "mask": None})
    assert first({"x": BATCH})[1]["x"] is BATCH


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (PICTURE, lambda way: way[0][0].shape == (1, 3, 8, 8)),
        ((BATCH, BATCH), lambda way: len(way[0]) == 1),
        (Pair(BATCH, BATCH), lambda way: isinstance(way[0][0], Pair)),
        ((BATCH, {"mask": BATCH}), lambda way: len(way[0]) == 1 and way[1].get("mask") is BATCH),
        ({"y": BATCH}, lambda way: way[1].get("y") is BATCH),
        ({"x": BATCH}, lambda way: way[0][0]["x"] is BATCH),
    ],
)
def test_what_else_it_may_mean(value, other):
    assert any(map(other, ways_to_call(Model(), value)[1:]))


@pytest.mark.filterwarnings("ignore:.*jit.script:FutureWarning")
def test_a_scripted_model_tells_no_names():
    assert len(ways_to_call(torch.jit.script(nn.Identity()), {"x": BATCH})) == 2


TOKENS = torch.zeros(5, 7, 4)


@pytest.mark.parametrize(
    ("values", "first_batch", "pictures"),
    [
        ((BATCH,), 2, 2),
        ((BATCH, PICTURE), 1, 2),
        ((torch.zeros(1), BATCH), 2, 2),
        ((PICTURE,), 1, 1),
        (([PICTURE] * 4,), 4, 4),
        (([PICTURE] * 4,), 1, 4),
        (({"images": [PICTURE] * 4, "sizes": [1]},), 4, 4),
        (([{"image": PICTURE, "mask": PICTURE}] * 4,), 4, 4),
        (([BATCH, BATCH, BATCH],), 2, 2),  # the maps of a pyramid
        ((TOKENS,), 35, 5),
        ((TOKENS,), None, 5),
        ((torch.tensor(3.0), "words", None), None, 1),
    ],
)
def test_the_number_of_pictures(values, first_batch, pictures):
    assert count_pictures((values, {}), first_batch) == pictures
    assert count_pictures(((), {f"x{i}": v for i, v in enumerate(values)}), first_batch) == pictures
