from __future__ import annotations

import os
import signal
import socket
import zipfile
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch

from course_utils import core
from course_utils.core import CourseError, atomic_write, load_checkpoint, save_checkpoint
from course_utils.core.files import file_exists
from course_utils.data import write_npz
from course_utils.experiments import save_results
from tests.processes import as_nobody, in_another_process
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
    ("name", "save"),
    [
        ("a.pt", lambda path: save_checkpoint(path, {"n": 1})),
        ("a.npz", lambda path: write_npz(path, stripes(6), stripes(3))),
        ("a.json", lambda p: save_results("a", [{"n": 1}], command="", folder=p.parent)),
    ],
)
def test_what_the_course_saves_is_whole_or_the_old_file(tmp_path, monkeypatch, name, save):
    def full(*_):
        raise OSError(28, "No space left on device")

    (tmp_path / name).write_bytes(b"old")
    with monkeypatch.context() as patch, pytest.raises(CourseError, match="No space left"):
        patch.setattr(os, "replace", full)
        save(tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"old"
    assert os.listdir(tmp_path) == [name]
    save(tmp_path / name)
    assert (tmp_path / name).read_bytes() != b"old"


def test_a_file_that_is_too_large_for_the_disk_is_one_sentence(tmp_path, run_python):
    """All writers of the package, in a process that cannot write more than 1,000 bytes."""
    run_python(f"""
import pathlib, pytest, resource, signal, torch
from course_utils.core import CourseError, save_checkpoint
from course_utils.data import write_npz
from course_utils.experiments import save_results
from tests.toys import stripes

folder = pathlib.Path({str(tmp_path)!r})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for write in (
    lambda: save_checkpoint(folder / "a.pt", {{"n": torch.ones(9999)}}),
    lambda: write_npz(folder / "a.npz", stripes(60), stripes(30)),
    lambda: save_results("a", [{{"n": "x" * 2000}}], command="", folder=folder),
):
    with pytest.raises(CourseError, match=r"cannot be written \\(File too large\\): choose"):
        write()
""")
    assert not os.listdir(tmp_path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_said_when_the_file_is_written(tmp_path):
    with pytest.raises(CourseError, match="No space left"), atomic_write(tmp_path / "a") as file:
        os.dup2(os.open("/dev/full", os.O_WRONLY), file.fileno())
        file.write(b"x" * 10_000_000)
    assert not os.listdir(tmp_path)


DEAD = 2**22 + 1
"""Linux has no process with this number or a higher one."""


def test_the_next_writer_removes_what_dead_processes_left_and_nothing_else(tmp_path):
    locked, dead = DEAD, DEAD + 1
    kept = [
        *(f"a[1].pt.{os.getppid()}.unfinished", "a[1].pt.x.unfinished", "b.pt.1.unfinished"),
        *(f"b.pt.{dead}.unfinished", f"a[1].pt.{locked}.unfinished", "a1.pt.999.unfinished"),
    ]
    for name in (*kept, f"a[1].pt.{dead}.unfinished", f"a[1].pt.{10**30}.unfinished"):
        (tmp_path / name).write_bytes(b"half")
    with open(tmp_path / kept[4], "ab") as file:  # as a process on another machine holds it
        core.files.fcntl.flock(file, core.files.fcntl.LOCK_EX)
        save_checkpoint(tmp_path / "a[1].pt", {"n": 1})
    assert sorted(os.listdir(tmp_path)) == sorted(["a[1].pt", *kept])


def test_what_a_killed_writer_leaves_is_gone_after_the_next(tmp_path):
    def be_killed() -> None:
        with atomic_write(tmp_path / "a") as file:
            file.write(b"half")
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_another_process(be_killed) == -signal.SIGKILL
    assert [name.endswith(".unfinished") for name in os.listdir(tmp_path)] == [True]
    with atomic_write(tmp_path / "a") as file:
        file.write(b"whole")
    assert os.listdir(tmp_path) == ["a"]


def odd_places(folder) -> dict[str, str]:
    """Make what is not a file, and return for each path a word of the sentence about it."""
    os.mkfifo(folder / "pipe.pt")
    (folder / "folder.pt").mkdir()
    for name, target in (("one", "two"), ("two", "one"), ("lost", "nowhere"), ("good", "pipe.pt")):
        (folder / f"{name}.pt").symlink_to(
            folder / target if name in ("lost", "good") else f"{target}.pt"
        )
    words = {"pipe": "pipe", "folder": "folder", "one": "circle", "lost": "link to", "good": "pipe"}
    places = {str(folder / f"{name}.pt"): word for name, word in words.items()}
    return places | {"a\0b": "null", "/dev/null": "device", str(folder / ("x" * 300)): "too long"}


def test_a_path_that_is_not_a_file_has_its_own_sentence(tmp_path, monkeypatch):
    for path, word in odd_places(tmp_path).items():
        for use in (
            file_exists,
            lambda p: load_checkpoint(p, {}),
            lambda p: save_checkpoint(p, {"n": 1}),
            lambda p: write_npz(p, stripes(6), stripes(3)),
        ):
            with pytest.raises(CourseError, match=word):
                use(path)
    with socket.socket(socket.AF_UNIX) as one:
        monkeypatch.chdir(tmp_path)  # a socket's path must be short
        one.bind("socket.pt")
        with pytest.raises(CourseError, match="is a socket"):
            file_exists("socket.pt")
    for wrong in (None, 5, b"a"):
        with pytest.raises(CourseError, match="cannot be used as a file"):
            file_exists(wrong)
    assert not file_exists(tmp_path / "none") and not file_exists(__file__ + "/none")


def test_a_folder_where_one_may_not_write(tmp_path):
    path = tmp_path / "a.pt"
    save_checkpoint(path, {"n": 1})
    tmp_path.chmod(0o500)

    def use() -> None:
        for write in (
            lambda: save_checkpoint(path, {"n": 1}),
            lambda: write_npz(tmp_path / "new" / "a.npz", stripes(6), stripes(3)),
            lambda: save_results("a", [{"n": 1}], command="", folder=tmp_path),
        ):
            with pytest.raises(CourseError, match="Permission denied"):
                write()

    assert as_nobody(use) == 0
    assert os.listdir(tmp_path) == ["a.pt"]


def test_a_changed_byte_anywhere_is_noticed(tmp_path):
    path = tmp_path / "a.pt"
    save_checkpoint(path, {"weights": torch.arange(40.0), "name": "x", "more": torch.ones(3)})
    good = path.read_bytes()
    for place in range(0, len(good), 7):
        changed = bytearray(good)
        changed[place] ^= 1 << place % 8 if place % 2 else 0xFF
        path.write_bytes(changed)
        with pytest.raises(CourseError, match="damaged"):
            load_checkpoint(path, {"weights": torch.Tensor})
    for wrong in (good + b"x", good[:-1], good[:-66], b"x" + good, good[:-1] + b"g"):
        path.write_bytes(wrong)
        with pytest.raises(CourseError, match="damaged"):
            load_checkpoint(path, {"weights": torch.Tensor})


def test_a_changed_byte_in_a_file_of_torch_alone_never_changes_what_is_read(tmp_path):
    path = tmp_path / "a.pt"
    torch.save({"weights": torch.arange(40.0)}, path)
    good, refused = path.read_bytes(), 0
    for place in range(0, len(good), 11):
        changed = bytearray(good)
        changed[place] ^= 0x10
        path.write_bytes(changed)
        try:
            assert load_checkpoint(path, {})["weights"].tolist() == [*range(40)], place
        except CourseError:
            refused += 1
    assert refused > len(good) / 44


def test_an_archive_that_claims_more_than_it_holds_is_refused_unread(tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**6))
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    with pytest.raises(CourseError, match=r"damaged.*ValueError"):
        load_checkpoint(path, {})


def test_weights_that_do_not_fit_or_are_not_finite(tmp_path):
    model = torch.nn.Linear(2, 1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    good = {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}
    for changes, text in (
        ({"weight": torch.tensor([[1.0, float("nan")]])}, "in weight there are numbers"),
        ({"bias": torch.tensor([float("-inf")])}, "in bias .* not finite"),
        ({"weight": torch.ones(2, 1)}, "another model"),
        ({"weight": torch.ones(1, 2).double()}, "another model"),
        ({"more": torch.ones(1)}, "another model"),
        ({"bias": 0.0}, "another model"),
    ):
        with pytest.raises(CourseError, match=text):
            core.load_weights(model, good | changes, "a.pt", "Do this.")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    core.load_weights(model, good, "a.pt", "Do this.")
    assert model.weight.tolist() == [[1, 1]]


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
