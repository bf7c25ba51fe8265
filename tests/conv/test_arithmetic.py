"""The arithmetic against PyTorch itself, on random settings, possible and impossible."""

from __future__ import annotations

import itertools
import pickle
import warnings
from unittest import mock

import pytest
import torch
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils.conv import ImpossibleSetting, impossible
from course_utils.conv import arithmetic as ar


def examples(count: int) -> settings:
    return settings(
        max_examples=count, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
    )


def sizes(low: int, high: int):
    """One number, or as often a pair."""
    pairs = [(h, w) for h in range(low, high + 1) for w in range(low, high + 1)]
    return st.sampled_from([*range(low, high + 1)] * (high - low + 1) + pairs)


WILD = sizes(-1, 9)
IMAGE = sizes(1, 9).map(lambda size: size if isinstance(size, tuple) else (size, size))
CONV = {  # argument: (values that mostly work, values that often do not)
    "in_channels": (st.none(), st.integers(-1, 6)),  # None: as many as the input has
    "out_channels": (st.sampled_from([4, 6, 12]), st.integers(-1, 9)),
    "kernel_size": (sizes(1, 3), WILD),
    "stride": (sizes(1, 3), WILD),
    "padding": (sizes(0, 2), WILD | st.sampled_from(["same", "valid", "full"])),
    "dilation": (st.just(1), WILD),
    "groups": (st.sampled_from([1, 2]), st.integers(-1, 7)),
    "padding_mode": (
        st.sampled_from(["zeros", "reflect", "replicate", "circular"]),
        st.sampled_from(["reflect", "circular", "mirror"]),
    ),
}
POOL = {
    "kernel_size": (sizes(2, 4), WILD),
    "stride": (st.none() | sizes(1, 3), WILD),
    "padding": (sizes(0, 1), sizes(-1, 5)),
    "dilation": (st.just(1), WILD),
    "ceil_mode": (st.booleans(), st.booleans()),
}


@st.composite
def cases(draw, arguments):
    """(input shape, arguments), with up to three arguments from the wilder ranges."""
    wild = draw(st.sets(st.sampled_from(sorted(arguments)), max_size=3))
    batch, channels = draw(st.sampled_from([((), 2), ((1,), 4), ((1,), 6), ((2,), 3)]))
    chosen = {name: draw(values[name in wild]) for name, values in arguments.items()}
    if chosen.get("in_channels", 0) is None:
        chosen["in_channels"] = channels
    return (*batch, channels, *draw(IMAGE)), chosen


def torch_shape(layer, input_shape, arguments):
    """Return the shape of PyTorch's own output on the CPU, or None if it refuses."""
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            return tuple(layer(**arguments)(torch.zeros(input_shape)).shape)
    except (RuntimeError, ValueError, TypeError, IndexError):
        return None


def our_shape(function, input_shape, arguments):
    """Return our shape and no error, or no shape and our error."""
    try:
        return function(input_shape, **arguments), None
    except ImpossibleSetting as error:
        return None, error


def check(function, layer, input_shape, arguments):
    ours, error = our_shape(function, input_shape, arguments)
    assert ours == torch_shape(layer, input_shape, arguments), (error, arguments)
    event("possible" if ours else "impossible")
    if error is not None:
        assert error.nearest and error.formula and error.filled
        repaired = arguments | error.nearest
        expected = torch_shape(layer, input_shape, repaired)
        assert expected is not None, (arguments, error.nearest)
        assert function(input_shape, **repaired) == expected
        for name, value in error.nearest.items():
            assert value != arguments[name]
            if isinstance(arguments[name], int):
                assert isinstance(value, int)
    return error


@examples(300)
@given(cases(CONV))
def test_conv2d_shape_agrees_with_pytorch(case):
    check(ar.conv2d_shape, nn.Conv2d, *case)


def test_a_batch_may_be_empty():
    """PyTorch does not even look at the dilation then; we do."""
    assert ar.conv2d_shape((0, 4, 9, 9), 6, 3, padding=1) == (0, 6, 9, 9)
    assert ar.pool2d_shape((0, 4, 9, 9), 3) == (0, 4, 3, 3)
    with pytest.raises(ImpossibleSetting):
        ar.conv2d_shape((0, 4, 9, 9), 6, 3, dilation=0)


@examples(200)
@given(cases(POOL))
def test_pool2d_shape_agrees_with_max_pooling(case):
    check(ar.pool2d_shape, nn.MaxPool2d, *case)


@examples(60)
@given(cases({name: values for name, values in POOL.items() if name != "dilation"}))
def test_pool2d_shape_agrees_with_average_pooling(case):
    assert our_shape(ar.pool2d_shape, *case)[0] == torch_shape(nn.AvgPool2d, *case)


def steps(old, new) -> int:
    old = 0 if old == "valid" else old
    if isinstance(old, str) or isinstance(new, str):
        return 0
    old, new = (v if isinstance(v, tuple) else (v, v) for v in (old, new))
    return sum(abs(a - b) for a, b in zip(old, new, strict=True))


def alternatives(name, value):
    """Return all values of one argument in a range that contains the nearest one."""
    if value == "same":
        return []
    numbers = range(0 if name == "padding" else 1, 11)
    return [*itertools.product(numbers, repeat=2)] if isinstance(value, tuple) else [*numbers]


def check_smallest(function, input_shape, arguments, names):
    """Check that no change of one argument is smaller than the one that the error names."""
    _, error = our_shape(function, input_shape, arguments)
    if error is None:
        return
    with mock.patch.object(impossible, "nearest_settings", return_value={}):  # slow, not needed
        works = {
            (name, steps(arguments[name], value))
            for name in names
            if arguments[name] is not None
            for value in alternatives(name, arguments[name])
            if our_shape(function, input_shape, arguments | {name: value})[0] is not None
        }
    if works:
        ((name, value),) = error.nearest.items()
        assert steps(arguments[name], value) <= min(distance for _, distance in works)


@examples(100)
@given(cases(CONV), cases(POOL))
def test_the_nearest_setting_is_the_smallest_change(conv, pool):
    names = ("kernel_size", "padding", "dilation")
    check_smallest(ar.conv2d_shape, *conv, (*names, "groups", "out_channels"))
    check_smallest(ar.pool2d_shape, *pool, names)


def test_shapes_that_are_not_a_pictures_and_values_that_are_not_numbers_are_refused():
    for shape in [(8, 8), (1, 3, 0, 8), (0, 8, 8), (1, 1, 3, 8, 8), (-1, 3, 8, 8)]:
        with pytest.raises(ImpossibleSetting, match="shape is"):
            ar.conv2d_shape(shape, 4, 3)
    for value in [2.5, "3", (3, 3, 3), (3,), None, True]:
        with pytest.raises(ImpossibleSetting, match=r"kernel_size .*whole number or a pair"):
            ar.conv2d_shape((1, 8, 8), 4, value)


def test_output_size_is_a_number_or_a_pair():
    assert ar.output_size(28, 3) == 26
    assert ar.output_size((28, 14), 3) == (26, 12)
    assert ar.output_size((28, 14), (3, 5), (1, 2), padding="valid") == (26, 5)
    assert ar.output_size(28, 4, dilation=3, padding="same") == 28
    with pytest.raises(ImpossibleSetting):
        ar.output_size(28, (3, 3))


def test_size_formula():
    formula = ar.size_formula
    assert formula(28, 4, padding="same") == "⌊(28 + (1 + 2) − 1·(4 − 1) − 1) / 1⌋ + 1 = 28"
    assert formula(5, 3, padding=-1) == "⌊(5 + 2·(−1) − 1·(3 − 1) − 1) / 1⌋ + 1 = 1"
    assert formula(5, 7) == "⌊(5 + 2·0 − 1·(7 − 1) − 1) / 1⌋ + 1 = −1"
    assert formula((5, 28), 3, padding=1).startswith(f"H: {formula(5, 3, padding=1)}, W: ⌊(28 + ")
    # With ceil_mode, a window that starts behind the input is dropped.
    assert formula(5, 3, 3, 1, ceil_mode=True) == "⌈(5 + 2·1 − 1·(3 − 1) − 1) / 3⌉ + 1 − 1 = 2"


def nearest(*arguments, **keywords):
    with pytest.raises(ImpossibleSetting) as caught:
        ar.conv2d_shape(*arguments, **keywords)
    return caught.value.nearest


def test_nearest_settings_that_a_reader_would_expect():
    assert nearest((1, 5, 5), 4, 6) == {"kernel_size": 5}
    assert nearest((1, 5, 5), 4, 7) == {"padding": 1}
    assert nearest((1, 5, 9), 4, (6, 3)) == {"kernel_size": (5, 3)}
    assert nearest((1, 5, 9), 4, [6, 3]) == {"kernel_size": (5, 3)}
    assert nearest((3, 28, 28), 16, 3, groups=2) == {"groups": 1}
    assert nearest((12, 28, 28), 18, 3, groups=5) == {"groups": 6}
    assert nearest((12, 28, 28), 12, 3, groups=5) == {"groups": 4}
    assert nearest((1, 9, 9), 4, 5, dilation=3) == {"dilation": 2}
    assert nearest((16, 28, 28), 15, 3, groups=16) == {"out_channels": 16}
    assert nearest((16, 28, 28), 31, 3, groups=16) == {"out_channels": 32}
    assert nearest((3, 28, 28), 16, 5, 2, "same") == {"padding": 2}
    assert nearest((3, 4, 4), 16, 3, 1, 9, padding_mode="reflect") == {"padding": 3}
    assert nearest((3, 8, 8), 16, 3, padding_mode="reflekt") == {"padding_mode": "reflect"}
    assert nearest((1, 8, 8), 16, 3, in_channels=3) == {"in_channels": 1}
    assert nearest((1, 8, 8), 4, 0, 0, groups=3) == {"kernel_size": 1, "stride": 1, "groups": 1}


def test_the_error_has_rule_numbers_and_nearest_setting():
    with pytest.raises(ImpossibleSetting) as caught:
        ar.conv2d_shape((1, 5, 5), 4, 6)
    error = caught.value
    assert error.sentence == "A kernel of 6 does not fit into a height of 5."
    assert str(error).splitlines() == [
        error.sentence,
        "Formula: H_out = ⌊(H + 2·p − d·(k − 1) − 1) / s⌋ + 1",
        "Here: ⌊(5 + 2·0 − 1·(6 − 1) − 1) / 1⌋ + 1 = 0, and at least 1 is needed",
        "Nearest setting that works: kernel_size=5",
    ]
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.nearest) == (str(error), error.nearest)


def test_same_padding_keeps_the_size_but_an_even_kernel_needs_dilation():
    for kernel, dilation in itertools.product([1, 3, 5, (3, 7)], [1, 2, (1, 3)]):
        padding = ar.same_padding(kernel, dilation)
        assert ar.output_size((9, 11), kernel, 1, padding, dilation) == (9, 11)
    assert ar.same_padding(4, 2) == 3
    with pytest.raises(ImpossibleSetting, match="padding='same'") as caught:
        ar.same_padding((3, 4))
    assert caught.value.nearest == {"kernel_size": (3, 3)}


@pytest.mark.parametrize(
    ("c_in", "c_out", "kernel", "groups", "bias"),
    [(1, 16, 3, 1, True), (8, 12, (3, 5), 4, False), (6, 6, 7, 6, True)],
)
def test_parameters_and_multiply_adds_count_what_pytorch_does(c_in, c_out, kernel, groups, bias):
    layer = nn.Conv2d(c_in, c_out, kernel, groups=groups, bias=bias)
    count = sum(p.numel() for p in layer.parameters())
    assert ar.conv2d_parameters(c_in, c_out, kernel, groups, bias) == count
    # With all weights and inputs 1, each output number is the number of its products.
    with torch.no_grad():
        layer.weight.fill_(1)
        if bias:
            layer.bias.zero_()
        maps = layer(torch.ones(2, c_in, 9, 9))
    expected = int(maps[0].sum())
    assert ar.conv2d_multiply_adds(maps.shape, c_in, kernel, groups) == expected
    assert ar.conv2d_multiply_adds(maps.shape[1:], c_in, kernel, groups) == expected


def test_costs_refuse_groups_that_do_not_divide():
    with pytest.raises(ImpossibleSetting) as caught:
        ar.conv2d_parameters(6, 8, 3, groups=4)
    assert caught.value.nearest == {"groups": 2}
