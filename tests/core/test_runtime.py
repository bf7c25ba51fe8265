from __future__ import annotations

import pytest
import torch

from course_utils.core.errors import CourseError
from course_utils.core.runtime import borrowed, pick_device, use_threads
from course_utils.training.precision import Precision
from tests.toys import same, toy_model, weights


def test_picks_what_there_is(monkeypatch):
    assert pick_device("cpu") == torch.device("cpu")
    for available, kind in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert pick_device().type == kind


@pytest.mark.parametrize("name", ["abacus", "cuda:99"])
def test_what_there_is_not(name):
    with pytest.raises(CourseError, match=f"{name}.*take 'auto' or 'cpu'"):
        pick_device(name)


def test_a_borrowed_model_comes_home():
    model = toy_model(3).double().train()
    before, threads = weights(model), torch.get_num_threads()
    with pytest.raises(KeyError), borrowed(model, torch.device("cpu")):
        Precision(channels_last=True).arrange_model(model)
        use_threads(threads + 1)
        model(torch.rand(2, 3, 8, 8, dtype=torch.float64)).sum().backward()
        raise KeyError
    assert same(before, weights(model))
    assert not model.training and torch.get_num_threads() == threads
    assert all(
        p.grad is None and p.stride() == torch.empty(p.shape).stride() for p in model.parameters()
    )
