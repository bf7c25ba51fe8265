from __future__ import annotations

import pytest
import torch

from course_utils.core.errors import CourseError
from course_utils.core.runtime import pick_device


def test_picks_what_there_is(monkeypatch):
    assert pick_device("cpu") == torch.device("cpu")
    for available, kind in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert pick_device().type == kind


@pytest.mark.parametrize("name", ["abacus", "cuda:99"])
def test_what_there_is_not(name):
    with pytest.raises(CourseError, match=f"{name}.*take 'auto' or 'cpu'"):
        pick_device(name)
