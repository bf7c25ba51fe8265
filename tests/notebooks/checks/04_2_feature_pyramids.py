"""Checks of what notebook 04_2 says about its numbers."""

from __future__ import annotations

from types import SimpleNamespace


def check(notebook: SimpleNamespace) -> None:
    """Check the ranges and the claims of the text."""
    n = notebook
    _the_pictures(n)
    _the_fields(n)
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
    _the_curves(n)
    _the_panel(n)
    _the_experiments(n)
    # Two stages: most parameters are in the second one.
    sizes = {
        part: sum(weights.numel() for weights in layers.parameters())
        for part, layers in n.faster.named_children()
    }
    assert sizes["roi_heads"] > 0.8 * sum(sizes.values()) > 10 * sizes["rpn"], sizes


def _the_pictures(n: SimpleNamespace) -> None:
    """Check where, beside the place that was asked, each picture has its most similar place."""

    def best(level, first_column):
        part = level[:, first_column:]
        row, column = divmod(int(part.argmax()), part.shape[1])
        return row, column + first_column, float(part.max())

    row, column, value = best(n.ask_levels(n.photograph, 0.37, 0.28)[2], 7)
    assert row in (5, 6) and 9 <= column <= 12 and value > 0.5, (row, column, value)
    row, column, value = best(n.others[2], 7)
    assert (row, column) == (4, 9) and value > 0.8, (row, column, value)
    # The other ear of the zebra does not stand out from places that are not an ear.
    zebra = n.others[5]
    ear = float(zebra[:3, 10:].max())
    assert 0.3 < ear < 0.5 and (zebra > 0.8 * ear).sum() >= 6, zebra


def _the_fields(n: SimpleNamespace) -> None:
    """Check the arithmetic of the text with the layers of the detector without its path."""
    body = n.seeded(lambda: n.Detector(3, top_down=False), seed=0)
    for level, (stages, size) in enumerate(((2, 39), (3, 87), (4, 183))):
        parts = [*body.backbone.stages[:stages], body.pyramid.smooth[level], body.tower]
        windows = [m for part in (*parts, body.scores) for m in part.modules()]
        stack = [m for m in windows if isinstance(m, n.nn.Conv2d)]
        assert n.conv.receptive_field(stack).size == size, (level, stack)


def _the_curves(n: SimpleNamespace) -> None:
    """Check where the curves leave 100 %, and which one falls furthest."""
    leaves, late = {}, {}
    for name, (recall, precision) in n.curves.items():
        leaves[name] = float(recall[(precision < 1).nonzero()[0]])
        late[name] = float(precision[(recall >= 0.9).nonzero()[0]])
    assert min(leaves, key=leaves.get) == "red cell" and 0.07 < leaves["red cell"] < 0.12, leaves
    assert max(leaves, key=leaves.get) == "platelet" and 0.3 < leaves["platelet"] < 0.4, leaves
    assert min(late, key=late.get) == "platelet" and n.curves["platelet"][0][-1] < 0.95, late


def _the_panel(n: SimpleNamespace) -> None:
    """Check what the three questions say; the panel is left at NMS 1 with all levels."""

    def shares(**settings):
        n.panel.set(score=0.3, **settings)
        return {name: curve.at for name, curve in n.panel.result.curves.items()}

    none = shares(overlap=1.0, stride_4=True)
    with_nms, coarse = (shares(overlap=0.4, stride_4=on) for on in (True, False))
    assert coarse["platelet"] == (0, 1)
    for name in ("red cell", "white cell"):
        assert abs(coarse[name][0] - with_nms[name][0]) < 0.003, coarse
    assert coarse["white cell"][1] > with_nms["white cell"][1] + 0.03
    assert max(precision for _, precision in none.values()) < 0.2, none
    assert none["white cell"][0] == with_nms["white cell"][0] == 1
    assert none["red cell"][0] > with_nms["red cell"][0] + 0.01
    assert none["platelet"][0] < with_nms["platelet"][0] - 0.03
    # The reason: with room for more boxes no platelet is lost.
    proposals = n.propose_all(n.trained, n.cells)
    every = [one.choose(score=0.3, overlap=1.0, most=400) for one in proposals]
    assert max(map(len, every)) < 400
    labels = n.torch.cat([found.labels for found in every])
    found = int(n.match_all(every, n.cells.test).right[labels == 2].sum())
    assert found / n.cells.test.counts["platelet"] >= with_nms["platelet"][0]


def _the_experiments(n: SimpleNamespace) -> None:
    frame = n.results.frame().set_index(["task", "detector", "seed"])["small"].unstack("detector")
    gain = frame["pyramid"] - frame["three levels"]
    assert (gain.loc["context"] > 0.15).all(), gain
    assert abs(gain.loc["colour"].mean()) < 0.05 and abs(gain.loc["cells"].mean()) < 0.1, gain
    assert (frame["three levels"] - frame["one level"]).min() > 0.1
    backbones = n.backbones.frame().groupby("backbone")["ap50"].mean()
    assert backbones["frozen Lite0"] > 0.82 and backbones["small"] > 0.75, backbones
    runs = {name: n.runs.loc[name] for name in ("frozen Lite0", "small")}
    frozen, small = (runs[name].set_index("seed") for name in runs)
    assert (small["white cell"] - frozen["white cell"]).between(0.007, 0.013).all()
    assert frozen["platelet"].min() > small["platelet"].max()
    assert small["white cell"].min() > frozen["white cell"].max()
    assert small["red cell"].max() > frozen["red cell"].max()
    assert small["red cell"].min() < frozen["red cell"].min()
