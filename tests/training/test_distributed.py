from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from course_utils.core import CourseError
from course_utils.data import Batches
from course_utils.training import distributed
from course_utils.training.distributed import Group
from tests.toys import same, toy_data, toy_model
from tests.training import distributed_cases as cases

ROOT = Path(__file__).resolve().parents[2]
CLOSE = 1e-5


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def ranks(folder) -> list[dict]:
    """Results of each of two processes; they are started only once, because this takes seconds."""
    launcher = "torch.distributed.run --standalone --local-addr 127.0.0.1 --nproc_per_node 2"
    script = f"-m {launcher} -m tests.training.distributed_cases".split()
    command = [sys.executable, *script, folder]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    if sys.platform == "linux":  # gloo then never looks up this machine's name
        environment["GLOO_SOCKET_IFNAME"] = "lo"
    # To a file: processes that hang would keep a pipe open.
    with (folder / "output.txt").open("w", encoding="utf-8") as file:
        launched = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT
        )
        try:
            launched.wait(timeout=300)  # a safety net
        except subprocess.TimeoutExpired:
            launched.terminate()  # the launcher ends its processes
            with contextlib.suppress(subprocess.TimeoutExpired):
                launched.wait(timeout=40)
        finally:
            launched.kill()
            launched.wait()
    output = (folder / "output.txt").read_text(encoding="utf-8", errors="replace")
    assert launched.returncode == 0, output[-5000:]
    return [torch.load(folder / f"rank{rank}.pt", weights_only=False) for rank in range(2)]


def largest_difference(one: dict, two: dict) -> float:
    """Of two results' losses, accuracies and weights."""
    mine, theirs = one["history"], two["history"]
    numbers = [
        abs(a - b)
        for name in ("step_loss", "train_loss", "validation_loss")
        for a, b in zip(mine[name], theirs[name], strict=True)
    ]
    for name in ("epoch", "train_accuracy", "validation_accuracy", "step_learning_rate", "stopped"):
        assert mine[name] == theirs[name], name
    assert one["weights"].keys() == two["weights"].keys()
    numbers += [(w - two["weights"][n]).abs().max().item() for n, w in one["weights"].items()]
    return max(numbers)


def assert_same_on_both(ranks: list[dict], name: str) -> dict:
    first, second = (rank[name] for rank in ranks)
    assert same(first["weights"], second["weights"])
    assert {**first["history"], "seconds": 0} == {**second["history"], "seconds": 0}
    return first


@pytest.mark.parametrize(
    "name", ["uneven", "fewer pictures than ranks", "adamw", "unused", "unused with l1", "own loss"]
)
def test_two_processes_give_the_numbers_of_one(ranks, folder, name):
    two = assert_same_on_both(ranks, name)
    one = cases.CASES[name](folder)
    assert len(two["history"]["step_loss"]) == len(one["history"]["step_loss"]) >= 16
    assert largest_difference(one, two) < CLOSE
    if "ranks" in name or name == "uneven":
        losses = two["history"]["step_loss"]
        assert len(losses) == 20 and losses[-1] < losses[0] - 0.05


def test_two_processes_validate_by_an_own_loss(ranks):
    two, one = ranks[0]["redraw"]["history"], ranks[1]["redraw"]["history"]
    assert two["validation_loss"] == one["validation_loss"] != [0, 0]
    assert not any(a == a for a in two["train_accuracy"] + two["validation_accuracy"])


def test_resumes_with_two_processes_and_with_one(ranks, folder, tmp_path):
    two = assert_same_on_both(ranks, "resumed")
    assert largest_difference(cases.train(**cases.SETTINGS), two) < CLOSE
    # The file of two processes, now complete, is one that a single process takes over.
    path = folder / "new" / "training.pt"
    one = cases.train(toy_model(), checkpoint=path, resume=True, **cases.SETTINGS)
    assert same(one["weights"], two["weights"]) and one["history"]["epoch"] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("damaged", ["damaged.pt is damaged"]),
        ("diverged", ["1e+09", "Try a learning rate of"]),
        ("loss of two calls", ["must call the model that it takes once in each step, not 2 times"]),
        ("few pictures", ["batch_size=1 is shared by 2 processes"]),
        ("few pictures for BatchNorm", ["batch_size=3 is shared by 2 processes", "at least 4"]),
    ],
)
def test_an_error_is_the_same_in_both(ranks, name, words):
    first, second = (rank[name] for rank in ranks)
    assert first["error"] == second["error"] and all(word in first["error"] for word in words)


def test_a_stop_in_one_process_stops_both_at_the_same_step(ranks):
    found = assert_same_on_both(ranks, "stopped")
    assert found["told"] == ranks[1]["stopped"]["told"] == [1, 2, 3, 4, 5, 6]
    assert found["history"]["stopped"] == "stopped after step 6 of 36"


def test_a_stop_in_one_process_while_it_validates_stops_both(ranks):
    found = assert_same_on_both(ranks, "stopped in validation")
    assert found["history"]["epoch"] == [] and len(found["history"]["step_loss"]) == 4


@pytest.mark.parametrize("name", ["automatic", "enough pictures for BatchNorm"])
def test_both_train(ranks, name):
    """The precision is chosen once for both; BatchNorm has two pictures in each."""
    assert assert_same_on_both(ranks, name)["history"]["step_loss"]


def test_batch_norm_on_the_cpu_warns_once_and_gives_the_same_model(ranks):
    found = assert_same_on_both(ranks, "norm")
    # 63 = 4 * 15 + 3: the last batch would leave a single picture to one of them.
    assert len(found["history"]["step_loss"]) == 8
    assert len(found["warnings"]) == 1 and ranks[1]["norm"]["warnings"] == []


def test_callbacks_run_in_both_and_the_bar_is_one(ranks):
    first, second = (rank["bar and callbacks"] for rank in ranks)
    assert first["steps"] == second["steps"] and [s[0] for s in first["steps"]] == [1, 2]
    assert first["epochs"] == second["epochs"] == [1, 2]
    assert "2/2" in first["shown"] and second["shown"] == ""


def test_the_group_of_the_caller_is_left_to_them(ranks):
    assert [rank["group of the caller"]["total"] for rank in ranks] == [2.0, 2.0]


# --- the helpers, in one process


def test_alone_nothing_happens(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    cpu, model = torch.device("cpu"), nn.Linear(2, 2)
    with distributed.joined(cpu) as group, group.parallel(model, cpu) as wrapped:
        assert not dist.is_initialized() and group == Group(0, 1) and wrapped is model
        assert group.sum([1, 2.5]) == [1, 2.5] and group.of_first(lambda: model) is model
    for device in ("auto", "cuda", "cpu", "mps"):
        assert distributed.own_device(device) == device


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_parts_are_those_of_tensor_split(size):
    for count in range(1, 12):
        numbers, groups = torch.arange(count), [Group(rank, size) for rank in range(size)]
        parts = [numbers[group.own(count)] for group in groups]
        assert all(map(torch.equal, parts, numbers.tensor_split(size)))
        assert sum(group.share(count) for group in groups) == pytest.approx(1)


@pytest.mark.parametrize("batch_size", [3, 8, 10, 17, 100])
@pytest.mark.parametrize("augment", [None, cases.Augment(pad_crop=2, flip=True)])
def test_the_batches_of_all_ranks_are_those_of_one_process(batch_size, augment):
    data = toy_data(train=41)
    settings = {"mean": data.mean, "std": data.std, "shuffle": True, "augment": augment}
    whole = Batches(data.train, batch_size, **settings)
    ranks = [Batches(data.train, batch_size, **settings, rank=r, world_size=3) for r in range(3)]
    for batches in (whole, *ranks):
        batches.set_epoch(2)
        assert batches.sizes == [len(labels) for _, labels in whole]
    for (images, labels), *parts in zip(whole, *ranks, strict=True):
        sizes = [Group(r, 3).own(len(labels)) for r in range(3)]
        for part, (own_images, own_labels) in zip(sizes, parts, strict=True):
            count = part.stop - part.start
            assert len(own_labels) == max(1, count)
            assert torch.equal(own_images[:count], images[part])
            assert torch.equal(own_labels[:count], labels[part])


def test_several_processes_that_cannot_find_each_other(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(CourseError, match=r"WORLD_SIZE=2 .* cannot find each other"):
        cases.train()
    with pytest.raises(CourseError, match="one process only"):
        distributed.own_device("mps")


def test_more_processes_than_gpus(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert distributed.own_device("auto") == torch.device("cuda:1")
    assert distributed.own_device("cpu") == "cpu"
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(CourseError, match="with 2 GPUs"):
        distributed.own_device("cuda")


def test_batch_norm_is_synchronised_on_cuda_and_comes_back():
    """The exchange itself needs several GPUs; that of the layers does not."""
    model = nn.Sequential(toy_model(norm=True), nn.BatchNorm1d(3))
    before = list(model.modules())
    mean = model[1].running_mean
    with Group(0, 2)._batch_norm_of_all(model, torch.device("cuda")):
        assert isinstance(model[1], nn.SyncBatchNorm) and model[1].running_mean is mean
        assert isinstance(model[0][1], nn.SyncBatchNorm)
        assert model[1].weight is before[-1].weight
    assert all(a is b for a, b in zip(before, model.modules(), strict=True))
