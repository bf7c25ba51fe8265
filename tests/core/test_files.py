from __future__ import annotations

import os

import pytest

from course_utils.core import checkpoint
from course_utils.core.errors import CourseError
from course_utils.core.files import atomic_write
from course_utils.data.npz import write_npz
from course_utils.experiments.results import save_results
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


def save_toy_results(path):
    save_results(path.stem, [{"a": 1}], command="make it", folder=path.parent)


@pytest.mark.parametrize(
    ("name", "save", "error"),
    [
        ("a.pt", lambda path: checkpoint.save(path, {"n": 1}), CourseError),
        ("a.npz", lambda path: write_npz(path, stripes(6), stripes(3)), OSError),
        ("a.json", save_toy_results, OSError),
    ],
)
def test_all_that_the_course_saves_is_whole_or_the_old_file(
    tmp_path, monkeypatch, name, save, error
):
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
