from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.core import CourseError
from course_utils.training.precision import PLAIN, Precision, as_precision
from tests.toys import Strided, same, toy_model, weights


@settings(max_examples=50)
@given(
    st.builds(
        Precision,
        dtype=st.sampled_from([torch.float32, torch.bfloat16]),
        channels_last=st.booleans(),
        threads=st.none() | st.integers(1, 64),
    )
)
def test_every_name_is_understood(choice):
    assert Precision.from_name(choice.name) == choice
    assert as_precision(choice) is choice


def test_bfloat16_is_asked_for_with_the_layout_that_it_needs():
    assert as_precision("bfloat16") == Precision(torch.bfloat16, channels_last=True)
    assert as_precision("float32") == PLAIN == as_precision(PLAIN)


@pytest.mark.parametrize(
    "name", ["float64", "", "channels_last", "float32, 0 threads", "float32, x", "float32, 1, 2"]
)
def test_other_names_are_not(name):
    with pytest.raises(CourseError, match="'auto', 'float32', 'bfloat16'"):
        as_precision(name)


def test_arranges_weights_and_pictures():
    model = toy_model()
    parameters = list(model.parameters())
    before = weights(model)
    last = Precision(channels_last=True)
    last.arrange_model(model)
    assert model[0].weight.stride() == (9, 1, 3, 1)
    assert last.arrange(torch.rand(4, 1, 8, 8)).stride() == (64, 1, 8, 1)
    assert last.arrange(torch.rand(4, 3, 8, 8)).stride() == (192, 1, 24, 3)
    assert same(before, weights(model))
    PLAIN.arrange_model(model)
    assert model[0].weight.stride() == (9, 9, 3, 1)
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert last.arrange(torch.rand(4, 5)).stride() == (5, 1)


@pytest.mark.parametrize("in_forward", [False, True])
def test_a_layout_that_ends_the_process_is_not_taken(in_forward):
    model, images = Strided(in_forward), torch.rand(2, 1, 8, 8)
    state = torch.get_rng_state()
    found = Precision(torch.bfloat16, channels_last=True, threads=2).safe_for(model, images)
    assert found == Precision(torch.bfloat16, threads=2) and "unsafe" in found.reason
    assert PLAIN.safe_for(model, images) is PLAIN
    safe = Precision(channels_last=True)
    assert safe.safe_for(toy_model(norm=True, dropout=0.5), images) is safe
    assert torch.equal(state, torch.get_rng_state())
    assert safe.safe_for(model, images.to("meta")) is safe  # not the CPU


def test_autocast():
    x = torch.rand(4, 4)
    with as_precision("bfloat16").autocast(x.device):
        assert (x @ x).dtype == torch.bfloat16
    with PLAIN.autocast(x.device):
        assert (x @ x).dtype == torch.float32
