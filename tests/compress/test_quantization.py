from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from course_utils.compress import layer_errors, mask_by_magnitude, quantize, relative_error
from course_utils.compress import round_weights as rounded_copy
from course_utils.compress.quantization import quantize_between
from course_utils.core import CourseError
from tests.toys import same, toy_model, weights

BITS = st.integers(2, 8)
TENSORS = arrays.arrays(
    "float32",
    arrays.array_shapes(min_dims=1, max_dims=3, max_side=5),
    elements=st.floats(-(2.0**100), 2.0**100, width=32),
).map(torch.from_numpy)


@given(TENSORS, BITS, st.booleans(), st.booleans())
def test_no_value_moves_by_more_than_half_a_scale_and_zero_not_at_all(x, bits, channels, symmetric):
    q = quantize(x, bits, channel_axis=0 if channels else None, symmetric=symmetric)
    assert q.codes.shape == x.shape
    assert q.lowest <= int(q.codes.min()) and int(q.codes.max()) <= q.highest
    assert q.highest - q.lowest + 1 == 2**bits - symmetric
    exact = (q.codes - q.zero_point) * q.scale
    assert ((exact - x.double()).abs() <= q.scale * (0.5 + 1e-6)).all()
    assert not exact[x == 0].any()
    assert not symmetric or not q.zero_point.any()
    # Every value is a level, and rounding a second time changes nothing.
    again = (q.values().double() / q.scale).round() + q.zero_point
    assert torch.equal(again.int(), q.codes)
    first = q.values()[0] if channels else q.values()
    assert torch.isin(first, q.levels()).all()


@given(TENSORS, BITS)
def test_channels_of_their_own_never_have_wider_levels(x, bits):
    one, own = quantize(x, bits), quantize(x, bits, channel_axis=0)
    assert own.scale.shape == (len(x), *[1] * (x.dim() - 1))
    used = x.flatten(1).any(1) if x.dim() > 1 else x != 0  # only zeros: any scale is right
    assert (own.scale.flatten() <= one.scale * (1 + 1e-9))[used].all()


def test_the_numbers_of_an_example():
    x = torch.tensor([-1.0, 0.0, 0.4, 2.0])
    q = quantize(x, 2)
    assert float(q.scale) == 1.0 and int(q.zero_point) == 1
    assert q.codes.tolist() == [0, 1, 1, 3] and q.levels().tolist() == [-1, 0, 1, 2]
    q = quantize(x, 2, symmetric=True)
    assert q.values().tolist() == [0, 0, 0, 2] and q.levels().tolist() == [-2, 0, 2]
    q = quantize_between(x, 0.0, 1.0, 8)
    assert q.values().tolist() == pytest.approx([0, 0, 0.4, 1])
    assert relative_error(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 3.0])) == 0.2
    assert relative_error(torch.zeros(2), torch.zeros(2)) == 0


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: quantize(torch.ones(2), 1), "bits=1"),
        (lambda: quantize(torch.ones(2), 9), "from 2 to 8"),
        (lambda: quantize(torch.ones(2), 4.0), "bits=4.0"),
        (lambda: quantize(torch.ones(2), channel_axis=1), "channel_axis=1"),
        (lambda: quantize(torch.tensor([1.0, torch.nan])), "nan or infinite"),
        (lambda: quantize(torch.ones(0)), "at least one number"),
        (lambda: quantize(torch.ones(2, dtype=torch.int64)), "floats"),
        (lambda: quantize_between(torch.ones(2), 1.0, 2.0), "do not contain 0"),
        (lambda: layer_errors(nn.ReLU()), "no convolution"),
        (lambda: layer_errors(toy_model(), 0), "bits=0"),
        (lambda: rounded_copy(mask_by_magnitude(toy_model(), 0.5)), "mask"),
    ],
)
def test_what_cannot_be_quantized(call, words):
    with pytest.raises(CourseError, match=words):
        call()


def test_a_network_with_rounded_weights():
    model = toy_model(norm=True)
    before = weights(model)
    rounded = rounded_copy(model, 3)
    assert same(before, weights(model))
    for layer in (rounded[0], rounded[6]):
        assert all(len(channel.unique()) <= 7 for channel in layer.weight)
    errors = {bits: layer_errors(model, bits) for bits in (8, 4, 2)}
    assert list(errors[8]) == ["0", "6"]
    for name in ("0", "6"):
        assert 0 < errors[8][name] < errors[4][name] < errors[2][name]
        original, now = model.get_submodule(name).weight, rounded.get_submodule(name).weight
        assert relative_error(original, now) == layer_errors(model, 3)[name]
    assert layer_errors(rounded, 3)["0"] < 1e-6
    assert torch.equal(rounded[0].bias, model[0].bias)
    assert layer_errors(model, 4, per_channel=False)["6"] > errors[4]["6"]
