from __future__ import annotations

from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch

from course_utils.core import checkpoint
from course_utils.core.errors import CourseError


def test_saves_and_loads(tmp_path):
    path = tmp_path / "new" / "a.pt"
    checkpoint.save(path, {"weights": torch.arange(3.0), "name": "x"})
    content = checkpoint.load(path, {"weights": torch.Tensor, "name": str})
    assert content["weights"].tolist() == [0.0, 1.0, 2.0] and content["name"] == "x"


def test_no_such_file(tmp_path):
    with pytest.raises(CourseError, match=r"no file .*: do this\."):
        checkpoint.load(tmp_path / "a.pt", {}, remedy="do this")


def test_lacks_an_entry(tmp_path):
    checkpoint.save(tmp_path / "a.pt", {"n": 1})
    for needed in ({"n": str}, {"n": int, "m": int}):
        with pytest.raises(CourseError, match="another kind"):
            checkpoint.load(tmp_path / "a.pt", needed)


def test_plain_keeps_numbers_and_drops_code(tmp_path):
    state = {
        "f": print,
        "numbers": [np.float64(0.5), np.int64(2), True, None, print],
        "pair": (1, np.float32(0.25)),
        "milestones": Counter({30: 2}),
        "ordered": OrderedDict(a=torch.ones(1)),
        7: {"text": np.str_("x"), "set": {1}},
    }
    plain = checkpoint.plain(state)
    assert plain == {
        "numbers": [0.5, 2, True, None, None],
        "pair": (1, 0.25),
        "milestones": Counter({30: 2}),
        "ordered": OrderedDict(a=torch.ones(1)),
        7: {"text": "x"},
    }
    assert type(plain["milestones"]) is Counter and plain["numbers"][2] is True
    checkpoint.save(tmp_path / "a.pt", plain)
    assert torch.load(tmp_path / "a.pt", weights_only=True) == plain
