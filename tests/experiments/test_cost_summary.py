"""The ladder and the networks of chapter 4 in one picture."""

from __future__ import annotations

from course_utils.experiments import course_tradeoffs, load_ladder
from course_utils.plots import tradeoffs


def test_each_cost_has_its_best_rung_and_the_networks_of_chapter_4():
    ladder = load_ladder("fashion_mnist_small")
    charts, kinds = course_tradeoffs(ladder)
    work, size = charts.values()
    assert work.keys() == size.keys() == kinds.keys()
    rungs = [name for name, kind in kinds.items() if kind == "ladder"]
    assert rungs == [name for name in ladder.names if name in rungs]
    assert len({work[name][0] for name in rungs}) == len(rungs) > 3
    for name in ladder.names:
        row, mean = ladder.of(name)[0], ladder.accuracy(name).middle
        (shown,) = (work[one] for one in rungs if work[one][0] == row.multiply_adds / 1e6)
        assert mean <= shown[1][0]
    for name in rungs:
        mean, row = ladder.accuracy(name), ladder.of(name)[0]
        assert work[name] == (row.multiply_adds / 1e6, (mean.middle, mean.low, mean.high))
        assert size[name][0] == row.parameters / 250
    assert kinds["half its channels, int8"] == "chapter 4" and len(kinds) == len(rungs) + 5
    assert work["half its channels"][0] < work["small_resnet"][0] / 3
    assert size["small_resnet, int8"][0] < size["small_resnet"][0] / 3
    assert tradeoffs(charts, kinds=kinds).alt
