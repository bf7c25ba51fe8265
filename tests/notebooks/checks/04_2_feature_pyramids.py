"""Checks of what notebook 04_2 says about its numbers."""

from __future__ import annotations

from types import SimpleNamespace


def check(notebook: SimpleNamespace) -> None:
    """Check the ranges and the claims of the text."""
    n = notebook
    # At stride 16 the other eye, at the right, is the place most like the left one.
    level = n.similar[2].clone()
    rows, columns = level.shape
    row, column = int(n.eye[0] * rows), int(n.eye[1] * columns)
    level[:, : column + 4] = -1
    other = divmod(int(level.argmax()), columns)
    assert abs(other[0] - row) <= 2 and 9 <= other[1] <= 12, other
    assert level.max() > 0.5
    # The levels and what goes to them.
    assert n.difference < 1e-6
    assert 0.6 < n.now.mean < 0.8, n.now
    assert n.after_three.mean > 0.8 and n.after_three.mean > n.now.mean
    classes = n.after_three.classes
    assert classes["white cell"] > 0.9 and min(classes.values()) == classes["platelet"] > 0.65
    # What appears while it learns: nothing, then mostly red cells.
    counts = [len(found) for _, found in n.shown]
    assert counts[0] == 0 and counts[-1] > 10
    assert (n.shown[2][1].labels == 0).float().mean() > 0.5
    assert len(n.pair[0]) > 2 * len(n.pair[1])
    # The panel, without stride 4.
    curves = n.panel.result.curves
    assert curves["platelet"].at[0] < 0.05 < 0.9 < curves["white cell"].at[0]
    _the_experiments(n)


def _the_experiments(n: SimpleNamespace) -> None:
    frame = n.results.frame().set_index(["task", "detector", "seed"])["small"].unstack("detector")
    gain = frame["pyramid"] - frame["three levels"]
    assert (gain.loc["context"] > 0.15).all(), gain
    assert abs(gain.loc["colour"].mean()) < 0.05 and abs(gain.loc["cells"].mean()) < 0.1, gain
    assert (frame["three levels"] - frame["one level"]).min() > 0.1
    backbones = n.backbones.frame().groupby("backbone")["ap50"].mean()
    assert backbones["frozen Lite0"] > 0.82 and backbones["small"] > 0.75, backbones
    for name in n.cells.classes:
        one, other = (n.estimates[f"{name}, {backbone}"] for backbone in backbones.index)
        assert one.overlaps(other), name
