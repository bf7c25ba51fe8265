"""The ladder: its rungs, one climb, its file of results, and a process that is killed."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from course_utils.core import CourseError
from course_utils.data import Dataset, load_dataset
from course_utils.experiments.ladder import __main__ as command
from course_utils.experiments.ladder import climb as climbing
from course_utils.experiments.ladder import ladder_file, rungs, shipped
from course_utils.experiments.ladder.climb import Machine, climb, trained
from course_utils.experiments.ladder.ladder_file import load_ladder, pack_right, unpack_right
from course_utils.experiments.ladder.rungs import PLANS, Plan, build, rung_named, rungs_of
from course_utils.metrics import evaluate, mean_interval
from course_utils.models import load_pretrained, pretrained, pretrained_card
from course_utils.training import AveragedWeights, Precision
from tests.toys import same, toy_data, weights

TINY = Plan("stripes", 1, 2, batch_size=20, sgd_batch_size=20, narrow=(4, 6), wide=(4, 6, 8))
TINY = replace(TINY, moved=1, shift=1)
SOME = ("article", "longer", "averaged", "larger", "views", "distilled")
CPU = Machine("cpu", Precision(threads=1))


def tiny_data(name: str = "stripes", *, validation: float = 0.1) -> Dataset:
    return toy_data(validation=24 if validation else 0, size=16)


@pytest.fixture
def tiny(monkeypatch):
    for module in (rungs, command):
        monkeypatch.setattr(module, "load_dataset", tiny_data)
    monkeypatch.setitem(PLANS, "fashion_mnist_small", TINY)


def run(folder: Path, names: tuple[str, ...] = SOME, **changes) -> Path:
    options = {"results": folder, "state": folder / "state", "names": names} | changes
    return command.run("fashion_mnist_small", TINY, [0], CPU, **options)


def without_seconds(folder: Path) -> list:
    rows = load_ladder("fashion_mnist_small", folder=folder).rows
    return [replace(row, seconds=0.0) for row in rows]


# The rungs


@pytest.mark.parametrize("plan", PLANS)
def test_each_rung_is_the_one_before_with_one_technique_more(plan):
    ladder = rungs_of(PLANS[plan])
    assert len({rung.name for rung in ladder}) == len(ladder) >= 13
    assert all(rung.adds for rung in ladder)
    assert ladder[0].network == {} and ladder[0].fit["learning_rate"] == 1e-3
    assert ladder[0].fit["optimizer"] is torch.optim.Adam and not ladder[0].standardise
    for before, rung in itertools.pairwise(ladder):
        ours = {f.name for f in dataclasses.fields(rung)} - {"name", "adds"}
        changed = {name for name in ours if getattr(rung, name) != getattr(before, name)}
        assert 1 <= len(changed) <= 4, (rung.name, changed)
        assert set(before.network) <= set(rung.network) and set(before.fit) <= set(rung.fit)


@pytest.mark.parametrize("name", [rung.name for rung in rungs_of(TINY)])
def test_the_seed_draws_the_first_weights(name):
    rung = rung_named(name, rungs_of(TINY))
    data = rungs.prepared(tiny_data(), rung)
    first, again, other = (build(rung, data, seed) for seed in (3, 3, 4))
    assert same(weights(first), weights(again)) and not same(weights(first), weights(other))
    assert isinstance(first, AveragedWeights) == bool(rung.average)
    if rung.network.get("patches"):
        assert not first.model.patches.weight.requires_grad


def test_the_article_normalises_with_a_half():
    half = rungs.prepared(tiny_data(), rungs_of(TINY)[0])
    assert half.normalise(half.test.images).abs().max() <= 1 and half.mean.tolist() == [0.5]


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_a_class_without_a_picture_in_a_part_is_named(part, tmp_path):
    data = tiny_data()
    kept = getattr(data, part).labels != 1
    data = replace(data, **{part: getattr(data, part).subset(kept)})
    with pytest.raises(CourseError, match=f"no {part} picture of the class 'right'"):
        climb(rungs_of(TINY)[1], TINY, 0, tmp_path, CPU, data=data)


def test_an_unknown_rung():
    with pytest.raises(CourseError, match=r"'artcle'.*'article'"):
        rung_named("artcle", rungs_of(TINY))


# One climb


def test_a_climb_measures_the_test_pictures(tmp_path):
    rung = rung_named("augmented", rungs_of(TINY))
    found = climb(rung, TINY, 0, tmp_path, CPU, data=tiny_data())
    assert found.test.total == 24 and found.epochs == 2 and 1 <= found.best_epoch <= 2
    assert found.parameters == 9 * 16 + 16 + 1024 * 3 + 3
    assert found.multiply_adds == 256 * 9 * 16 + 1024 * 3
    assert found.seconds > 0 and not found.network.training
    network, state = trained(rung, found.data, 0, tmp_path)
    assert same(weights(network), weights(found.network)) and state["seconds"] == found.seconds
    assert [file.name for file in tmp_path.iterdir()] == ["augmented_0.pt"]


def test_views_and_teacher_need_the_network_that_they_use(tmp_path):
    for name in ("views", "distilled"):
        rung = rung_named(name, rungs_of(TINY))
        with pytest.raises(CourseError, match="'larger' with seed 0"):
            climb(rung, TINY, 0, tmp_path, CPU, data=tiny_data())


def test_a_climb_can_be_stopped_and_goes_on(tmp_path):
    rung, stop = rung_named("averaged", rungs_of(TINY)), threading.Event()
    arguments = {"plan": TINY, "seed": 0, "machine": CPU, "data": tiny_data()}
    stopped = climb(
        rung, folder=tmp_path / "a", **arguments, stop=stop, on_step=lambda s: stop.set()
    )
    assert stopped is None
    one = climb(rung, folder=tmp_path / "a", **arguments)
    two = climb(rung, folder=tmp_path / "b", **arguments)
    assert same(weights(one.network), weights(two.network))


@pytest.mark.parametrize("when", ["fit", "evaluate"])
def test_too_little_memory_on_the_device_is_said_with_half_of_the_batch(
    tiny, tmp_path, monkeypatch, capsys, when
):
    def fail(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    # `fit` and `evaluate` themselves turn the allocator's error into words.
    monkeypatch.setattr(torch.nn.Conv2d, "forward", fail)
    if when == "evaluate":
        monkeypatch.undo()
        for module in (rungs, command):
            monkeypatch.setattr(module, "load_dataset", tiny_data)
        monkeypatch.setitem(PLANS, "fashion_mnist_small", TINY)
        run(tmp_path, ("article",))
        (tmp_path / "ladder.json").unlink()
        monkeypatch.setattr(torch.nn.Conv2d, "forward", fail)
    folders = ["--results", str(tmp_path), "--state", str(tmp_path / "state")]
    assert command.main(["--seeds", "0", "--device", "cpu", *folders]) == 1
    said = capsys.readouterr().err
    assert "'article'" in said and "20 pictures" in said and "--batch-size 10" in said


# The file of results


def test_a_ladder_is_trained_once_and_read_again(tiny, tmp_path, capsys, monkeypatch):
    run(tmp_path, ("article", "larger"))
    first = (tmp_path / "ladder.json").read_bytes()
    monkeypatch.setattr(climbing, "fit", None)  # what is done must not be trained
    run(tmp_path, ("article", "larger", "views"))
    ladder = load_ladder("fashion_mnist_small", folder=tmp_path)
    assert ladder.names == ["article", "larger", "views"] and ladder.seeds == [0]
    assert first != (tmp_path / "ladder.json").read_bytes()
    for row in ladder.rows:
        assert unpack_right(row.right, row.total).sum() == row.correct
    said = capsys.readouterr().out
    assert [said.count(f", {name}: ") for name in ladder.names] == [1, 1, 1]
    frame = ladder.frame()
    assert list(frame["rung"]) == ladder.names and frame["gain"].isna().tolist()[0]
    assert ladder.of("views")[0].epochs == 0 and ladder.of("views")[0].seconds == 0
    assert ladder.of("views")[0].multiply_adds == 6 * ladder.of("larger")[0].multiply_adds
    with pytest.raises(CourseError, match="article, larger, views"):
        ladder.of("nothing")


def _change(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["settings"].update(recipe="0" * 12), "recipe="),
        (lambda c: c["settings"].update(precision="bfloat16"), "precision=bfloat16 there"),
        (lambda c: c["settings"].update(processor="another"), "processor=another"),
        (lambda c: c["made_with"].update(torch="1.0"), "torch=1.0 there"),
        (lambda c: c["settings"].update(format=0), "another version of the course"),
        (lambda c: c["settings"].pop("format"), "another version of the course"),
        (lambda c: (c["columns"].pop(), [r.pop() for r in c["records"]]), "another version"),
        (lambda c: c.pop("records"), "damaged"),
    ],
)
def test_rows_of_another_ladder_are_not_mixed_in(tiny, tmp_path, capsys, change, said):
    run(tmp_path, ("article",))
    _change(tmp_path / "ladder.json", change)
    before = (tmp_path / "ladder.json").read_bytes()
    folders = ["--results", str(tmp_path), "--state", str(tmp_path / "state")]
    assert command.main(["--seeds", "0", "--device", "cpu", *folders]) == 1
    assert said in capsys.readouterr().err
    assert (tmp_path / "ladder.json").read_bytes() == before


@pytest.mark.parametrize("plan", [replace(TINY, epochs=3), replace(TINY, wide=(4, 6, 9))])
def test_another_setting_is_another_recipe(plan):
    assert ladder_file.recipe_of(rungs_of(plan)) != ladder_file.recipe_of(rungs_of(TINY))


@pytest.mark.parametrize("total", [1, 7, 8, 9, 2000])
def test_the_answers_are_kept_picture_by_picture(total):
    right = np.random.default_rng(0).random(total) < 0.9
    assert (unpack_right(pack_right(torch.from_numpy(right)), total) == right).all()
    for text, count in ((pack_right(right), total + 8), ("?", total), ("AAAA", total), (None, 1)):
        with pytest.raises(CourseError, match="train it again"):
            unpack_right(text, count)


def test_gains_are_paired_by_picture():
    def row(number, name, seed, right):
        return ladder_file.Row(
            number, name, seed, int(sum(right)), 4, 1, 1, 1, 1, 1.0, pack_right(right)
        )

    rows = (
        row(1, "a", 0, [1, 1, 0, 0]),
        row(1, "a", 1, [1, 0, 0, 0]),
        row(2, "b", 0, [1, 1, 1, 0]),
        row(2, "b", 1, [1, 1, 1, 1]),
        row(3, "c", 7, [0, 0, 0, 0]),
    )
    ladder = ladder_file.Ladder(rows, {}, {})
    assert ladder.gain("b", "a").middle == pytest.approx(0.5)
    assert ladder.accuracy("a").middle == pytest.approx(0.375)
    assert ladder.accuracy("c").middle == 0 < ladder.accuracy("c").high
    two, per_picture = ladder.accuracy("a"), ladder.right("a").mean(axis=0)
    assert (two.low, two.high) == pytest.approx(mean_interval(per_picture).ends)
    assert ladder.seed_gains("b", "a") == {0: 0.25, 1: 0.75}
    frame = ladder_file.Ladder(rows[:4], {}, {}).frame().set_index("rung").loc["b"]
    assert frame[["seed 0", "seed 1"]].tolist() == [25, 75]
    ends = frame[["seeds low", "seeds high"]].tolist()
    assert ends == pytest.approx([100 * end for end in mean_interval([0.25, 0.75]).ends])
    one = ladder_file.Ladder((rows[0], rows[2]), {}, {}).frame()
    assert one["seed 0"].tolist()[1] == 25 and one["seeds low"].isna().all()
    test = ladder.compared("b", "a", 1)
    assert (test.only_a, test.only_b, test.both) == (3, 0, 1)
    for wrong in (
        lambda: ladder.gain("c", "a"),
        lambda: ladder.seed_gains("c", "a"),
        lambda: ladder.compared("c", "a"),
    ):
        with pytest.raises(CourseError, match="seed"):
            wrong()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--device", "toaster"], "toaster"),
        (["--precision", "float8"], "float8"),
        (["--seeds", "-1"], "seed"),
        (["--batch-size", "0"], "batch_size"),
        (["--rungs", "first"], "'first'"),
        (["--threads", "0"], "threads"),
    ],
)
def test_wrong_arguments(tiny, tmp_path, capsys, arguments, said):
    assert command.main([*arguments, "--results", str(tmp_path)]) == 1
    assert said in capsys.readouterr().err


def test_absent_data_are_said_before_the_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path / "cache"))
    assert command.main(["--data", "cifar10", "--results", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "not on this computer" in said and "download=True" in said
    assert "--data fashion_mnist_small" in said
    assert not (tmp_path / "ladder_cifar10.json").exists()


def test_the_networks_that_ship(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pretrained, "_ASSETS", tmp_path)
    run(tmp_path, ("article",))
    with pytest.raises(CourseError, match="train that rung first"):
        shipped.ship(TINY, tmp_path / "state")
    run(tmp_path, ("larger",))
    shipped.ship(TINY, tmp_path / "state")
    for name, rung in shipped.SHIPPED.items():
        rung = rung_named(rung, rungs_of(TINY))
        network, _ = trained(rung, tiny_data(), 0, tmp_path / "state")
        assert same(weights(network), weights(load_pretrained(name)))
        assert pretrained_card(name).total == 24
    assert pretrained_card("ladder_first").mean.tolist() == [0.5]


# A program that is killed


def test_a_program_that_dies_at_any_file_goes_on(tiny, tmp_path, monkeypatch, capsys):
    run(tmp_path / "whole")
    whole = capsys.readouterr().out.count("seed 0, rung")
    real, count, dead = os.replace, 0, 0

    class Killed(BaseException):
        pass

    def dies(source, target):
        """Die at every third file: before it appears, or after that."""
        nonlocal count
        count += 1
        if count % 6 == 3:
            raise Killed
        real(source, target)
        if count % 6 == 0:
            raise Killed

    monkeypatch.setattr(os, "replace", dies)
    for _ in range(100):
        try:
            run(tmp_path / "killed")
            break
        except Killed:
            dead += 1
    assert dead > 5 and without_seconds(tmp_path / "killed") == without_seconds(tmp_path / "whole")
    said = [x for x in capsys.readouterr().out.splitlines() if x.startswith("seed 0, rung")]
    assert max(Counter(said).values()) == 1 and len(said) <= whole


_PROGRAM = """
import os, signal, sys
from pathlib import Path
from tests.experiments import test_ladder as t
from course_utils.experiments.ladder import __main__ as command, rungs
for module in (rungs, command):
    module.load_dataset = t.tiny_data
real, left = os.replace, int(sys.argv[2])
def replace(source, target):
    global left
    left -= 1
    real(source, target)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
os.replace = replace
t.run(Path(sys.argv[1]))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_process_goes_on_and_trains_no_rung_twice(tiny, tmp_path, capsys):
    run(tmp_path / "whole")
    capsys.readouterr()
    said, codes = [], []
    for left in (7, 9, 0):
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, str(tmp_path / "killed"), str(left)],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
            timeout=300,
        )
        codes.append(done.returncode)
        said += [x for x in done.stdout.splitlines() if x.startswith("seed 0, rung")]
    assert codes == [-signal.SIGKILL, -signal.SIGKILL, 0], done.stderr
    assert without_seconds(tmp_path / "killed") == without_seconds(tmp_path / "whole")
    assert max(Counter(said).values()) == 1


# What is committed


@pytest.mark.parametrize("data", ladder_file.FILES)
def test_the_committed_results_are_those_of_this_ladder(data):
    ladder = load_ladder(data)
    names = [rung.name for rung in rungs_of(PLANS[data])]
    assert ladder.settings["recipe"] == ladder_file.recipe_of(rungs_of(PLANS[data]))
    assert [name for name in names if name in ladder.names] == ladder.names
    for row in ladder.rows:
        right = unpack_right(row.right, row.total)
        assert right.sum() == row.correct and names[row.rung - 1] == row.name
    if "views" in ladder.names:
        assert ladder.gain("views", "article").low > 0.03
        assert min(ladder.seed_gains("views", "article").values()) > 0.04


def test_the_committed_ladder_of_the_shipped_pictures_is_whole():
    ladder = load_ladder("fashion_mnist_small")
    assert ladder.names == [rung.name for rung in rungs_of(PLANS["fashion_mnist_small"])]
    assert len(ladder.rows) == len(ladder.names) * len(ladder.seeds) and ladder.seeds
    for seed in ladder.seeds:
        assert sum(row.seconds for row in ladder.rows if row.seed == seed) < 15 * 60
    files = [ladder_file.FOLDER / f"{name}.json" for name in ladder_file.FILES.values()]
    assert sum(file.stat().st_size for file in files if file.exists()) < 40_000


@pytest.mark.parametrize(("name", "rung"), shipped.SHIPPED.items())
def test_the_shipped_networks_are_those_of_the_results(name, rung):
    rung = rung_named(rung, rungs_of(PLANS["fashion_mnist_small"]))
    row = next(r for r in load_ladder("fashion_mnist_small").of(rung.name) if r.seed == 0)
    network, data = load_pretrained(name), load_dataset("fashion-mnist", validation=rung.validation)
    data = rungs.prepared(data, rung)
    found = evaluate(network, data.test.subset(range(300)), mean=data.mean, std=data.std)
    # Other processors round differently: a picture or two may be on the border.
    assert (found.right.numpy() != unpack_right(row.right, row.total)[:300]).sum() <= 2
    card = pretrained_card(name)
    assert torch.equal(card.mean, data.mean) and card.correct == row.correct
