"""A search space: what it accepts, its grid, and that it can be stored."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from torch import nn

from course_utils.core.errors import CourseError
from course_utils.models.simple import SimpleCNN
from course_utils.search import SearchSpace
from course_utils.search.presets import MOST_LAYERS, space_for
from course_utils.search.space import LAYER_SETTINGS


def test_ranges_and_lists_become_distributions():
    space = SearchSpace({"a.b.kernel_size": range(3, 8, 2), "a.b.depth": [1, 2]})
    assert space["a.b.kernel_size"] == IntDistribution(3, 7, step=2)
    assert space["a.b.depth"] == CategoricalDistribution([1, 2])
    with pytest.raises(CourseError, match=r"no convolution 'a.b'. It has: conv1, conv2"):
        space.check_layers(SimpleCNN())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "empty"),
        ({"conv1.width": [1]}, "out_channels, kernel_size"),
        ({"rate": [1]}, "learning_rate, weight_decay"),
        ({".kernel_size": [1]}, "'.kernel_size' cannot be searched"),
        ({"conv1.kernel_size": []}, "no value"),
        ({"conv1.kernel_size": range(3, 3)}, "empty"),
        ({"conv1.kernel_size": 3}, "neither a distribution"),
        ({"schedule": "cosine"}, "neither a distribution"),
        ({"schedule": ["cosinus"]}, "'cosinus' is not known"),
        ({"learning_rate": ["a", "b"]}, "learning_rate: 'a'"),
        ({"learning_rate": [math.nan]}, "learning_rate: nan"),
        ({"conv1.depth": [1, None]}, "conv1.depth: None"),
        ({"conv1.kernel_size": [(3, 5)]}, r"conv1.kernel_size: \(3, 5\)"),
        ({"conv1.depth": CategoricalDistribution([True])}, "conv1.depth: True"),
        ({"optimizer": CategoricalDistribution(["adam"])}, "'adam' is not known"),
    ],
)
def test_values_that_mean_nothing_are_refused(values, said):
    with pytest.raises(CourseError, match=said):
        SearchSpace(values)


distributions = st.one_of(
    st.tuples(st.integers(1, 50), st.integers(0, 50), st.booleans()).map(
        lambda t: IntDistribution(t[0], t[0] + t[1], log=t[2])
    ),
    st.tuples(st.integers(-5, 50), st.integers(0, 20), st.integers(1, 4)).map(
        lambda t: IntDistribution(t[0], t[0] + t[1] * t[2], step=t[2])
    ),
    st.tuples(st.floats(1e-6, 1), st.floats(1.1, 1e4), st.booleans()).map(
        lambda t: FloatDistribution(t[0], t[0] * t[1], log=t[2])
    ),
    st.lists(st.integers(), min_size=1, max_size=5, unique=True).map(CategoricalDistribution),
)
NAMES = ("learning_rate", "c.out_channels", "c.kernel_size", "weight_decay")


@settings(max_examples=60)
@given(st.lists(distributions, min_size=1, max_size=4), st.integers(1, 100))
def test_a_space_can_be_stored_and_its_grid_lies_in_it_and_within_its_size(values, most):
    space = SearchSpace(dict(zip(NAMES, values, strict=False)))
    assert SearchSpace.from_json(space.to_json()) == space
    grid = space.grid(most)
    assert 1 <= len(grid) <= most
    assert len({tuple(point.items()) for point in grid}) == len(grid)
    for point in grid:
        assert list(point) == list(space)
        for name, value in point.items():
            assert space.contains(name, value)
            assert space[name]._contains(space[name].to_internal_repr(value))


def test_numbers_of_numpy_can_be_stored():
    space = SearchSpace({"c.depth": list(np.arange(1, 3)), "weight_decay": [np.float32(0.5)]})
    assert SearchSpace.from_json(space.to_json()) == space


@pytest.mark.parametrize("text", ["0.1", "cosine", "{}", '{"name": "None", "attributes": {}}'])
def test_what_is_no_distribution_is_said(text):
    with pytest.raises(CourseError, match=r"c\.depth: .* nor a distribution as Optuna writes it"):
        SearchSpace.from_json(json.dumps({"c.depth": text}))


def test_the_first_names_of_a_grid_get_most_values():
    rates = FloatDistribution(1e-4, 1e-1, log=True)
    space = SearchSpace(
        {"learning_rate": rates, "c.kernel_size": range(1, 6, 2), "c.depth": [1, 2]}
    )
    grid = space.grid(12)
    counts = {name: len({point[name] for point in grid}) for name in space}
    assert counts == {"learning_rate": 3, "c.kernel_size": 2, "c.depth": 2}
    rates = sorted({point["learning_rate"] for point in grid})
    assert [math.log10(rate) for rate in rates] == pytest.approx([-3.5, -2.5, -1.5])
    assert {point["c.kernel_size"] for point in space.grid(18)} == {1, 3, 5}
    with pytest.raises(CourseError, match="at least 1"):
        space.grid(0)


@pytest.mark.parametrize(
    ("name", "values", "inside", "outside"),
    [
        ("c.kernel_size", range(1, 8, 2), [1, 5, 7], [4, 9, (3, 5), "same", True]),
        ("schedule", ["cosine"], ["cosine"], ["OneCycle"]),
        ("learning_rate", FloatDistribution(0.01, 0.1), [0.05], [0.2]),
        ("label_smoothing", FloatDistribution(0, 0.5, step=0.1), [0.3], [0.25]),
    ],
)
def test_what_a_space_contains(name, values, inside, outside):
    space = SearchSpace({name: values})
    assert [value for value in inside + outside if space.contains(name, value)] == inside


def test_a_networks_own_values_are_in_its_space():
    space = space_for(SimpleCNN(), torch.zeros(1, 1, 28, 28), LAYER_SETTINGS)
    own = {"out_channels": 16, "kernel_size": 3, "stride": 1, "dilation": 1, "depth": 1}
    own |= {"padding": 1}
    for setting, value in own.items():
        assert space.contains(f"conv1.{setting}", value), setting
    assert "conv1.groups" not in space  # one input channel cannot be divided
    assert list(space["conv2.groups"].choices) == [1, 2, 4]


def test_a_layer_may_lose_its_padding_or_get_more():
    layers = [nn.Conv2d(1, 2, 3, padding=p) for p in (0, 1, "same", (1, 2))]
    example = torch.zeros(1, 1, 9, 9)
    for conv, wanted in zip(layers, ((0, 1), (0, 1, 2), None, None), strict=True):
        space = space_for(nn.Sequential(conv), example, ("padding",))
        found = space.get("0.padding")
        assert (found and found.choices) == wanted


def test_output_channels_and_depthwise_layers_are_left_alone():
    sizes = [(3, 8, 1, 1), (8, 8, 3, 8), (8, 6, 3, 2), (6, 4, 1, 1)]
    model = nn.Sequential(*(nn.Conv2d(i, o, kernel, groups=g) for i, o, kernel, g in sizes))
    space = space_for(model, torch.zeros(1, 3, 9, 9), ("out_channels",), training=False)
    assert list(space) == ["0.out_channels", "2.out_channels"]
    assert space["2.out_channels"] == IntDistribution(4, 12, step=2)


def test_where_groups_vary_the_channels_can_be_divided():
    space = space_for(SimpleCNN(), torch.zeros(1, 1, 28, 28), ("out_channels", "groups"))
    assert space["conv1.out_channels"] == IntDistribution(8, 32, step=4)
    assert space["conv2.out_channels"] == IntDistribution(16, 64, step=4)


def test_of_many_layers_some_are_taken():
    model = nn.Sequential(*(nn.Conv2d(2, 2, 3, padding=1) for _ in range(20)))
    space = space_for(model, torch.zeros(1, 2, 9, 9), ("kernel_size",), training=False)
    assert len(space) == MOST_LAYERS


def test_nothing_to_vary_is_said():
    for names, said in ((("width",), "cannot be varied"), ((), "nothing to vary")):
        with pytest.raises(CourseError, match=said):
            space_for(SimpleCNN(), torch.zeros(1, 1, 28, 28), names, training=False)
