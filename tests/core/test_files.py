from __future__ import annotations

import os
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch

from course_utils import core
from course_utils.core import CourseError, atomic_write, load_checkpoint, save_checkpoint
from course_utils.data import write_npz
from course_utils.experiments import save_results
from tests.toys import stripes


def test_the_new_file_appears_at_once_and_nothing_else_stays(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic_write(path) as file:
        file.write(b"old")
        assert not path.exists()
    with atomic_write(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_block_that_raises_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    with pytest.raises(error), atomic_write(path) as file:
        file.write(b"half of it")
        raise error
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_only_with_sync_the_disk_is_waited_for_and_before_the_file_appears(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append(path.exists()))
    for sync in (False, True):
        path = tmp_path / str(sync)
        with atomic_write(path, sync=sync):
            pass
    assert seen == [False]


@pytest.mark.parametrize(
    ("name", "save", "error"),
    [
        ("a.pt", lambda path: save_checkpoint(path, {"n": 1}), CourseError),
        ("a.npz", lambda path: write_npz(path, stripes(6), stripes(3)), OSError),
        ("a.json", lambda p: save_results("a", [{"n": 1}], command="", folder=p.parent), OSError),
    ],
)
def test_what_the_course_saves_is_whole_or_the_old_file(tmp_path, monkeypatch, name, save, error):
    def full(*_):
        raise OSError(28, "No space left on device")

    (tmp_path / name).write_bytes(b"old")
    with monkeypatch.context() as patch, pytest.raises(error, match="No space left"):
        patch.setattr(os, "replace", full)
        save(tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"old"
    assert os.listdir(tmp_path) == [name]
    save(tmp_path / name)
    assert (tmp_path / name).read_bytes() != b"old"


def test_saves_and_loads(tmp_path):
    path = tmp_path / "new" / "a.pt"
    save_checkpoint(path, {"weights": torch.ones(1), "name": "x"})
    content = load_checkpoint(path, {"weights": torch.Tensor, "name": str})
    assert content == {"weights": torch.ones(1), "name": "x"}


def test_files_that_are_missing_damaged_or_lack_an_entry(tmp_path):
    path = tmp_path / "a.pt"
    with pytest.raises(CourseError, match=r"no file .*: do this\."):
        load_checkpoint(path, {}, remedy="do this")
    save_checkpoint(path, {"n": 1})
    for needed in ({"n": str}, {"n": int, "m": int}):
        with pytest.raises(CourseError, match="another kind"):
            load_checkpoint(path, needed)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CourseError, match=r"damaged.*resume=False"):
        load_checkpoint(path, {"n": int})


def test_plain_keeps_numbers_and_drops_code(tmp_path):
    state = {
        "f": print,
        "numbers": [np.float64(0.5), np.int64(2), True, None, print],
        "pair": (1, np.float32(0.25)),
        "milestones": Counter({30: 2}),
        "ordered": OrderedDict(a=torch.ones(1)),
        7: {"text": np.str_("x"), "set": {1}},
    }
    plain = core.plain_state(state)
    del state["f"]
    assert plain == state | {"numbers": [0.5, 2, True, None, None], 7: {"text": "x"}}
    assert type(plain["milestones"]) is Counter and plain["numbers"][2] is True
    save_checkpoint(tmp_path / "a.pt", plain)
    assert torch.load(tmp_path / "a.pt", weights_only=True) == plain
