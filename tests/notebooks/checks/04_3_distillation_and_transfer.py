"""Check what the prose of notebook 04_3 says of its numbers."""

from __future__ import annotations

import math


def check(notebook):
    n = notebook
    n.panel.set(temperature=1)
    first, lynx = (n.panel.result.probabilities[name] for name in ("Egyptian cat", "lynx"))
    assert 0.06 < lynx / first < 0.15
    n.panel.set(temperature=2)
    first, lynx = (n.panel.result.probabilities[name] for name in ("Egyptian cat", "lynx"))
    assert 0.22 < lynx / first < 0.42
    n.panel.set(temperature=4)
    assert n.panel.result.others[0] == 992 and n.panel.result.others[1] > 0.9

    values = n.kl.values()
    assert [math.isnan(value) for value in values] == [True, True, False, False, False]
    assert n.kl["logits, softmax"] < 0 and n.kl["right: log_softmax, softmax"] > 0
    alone, taught = (one.score for one in n.students.values())
    assert taught - alone > 0.02

    gain = n.intervals
    certain = {name for name, one in gain.items() if one.low > 0 or one.high < 0}
    assert certain == {"no labels", "patient, above fixed answers"}
    assert 8 < gain["no labels"].middle < 9.5 and gain["no time"].middle < 0
    assert 0.8 < gain["patient, above fixed answers"].middle < 1.5
    assert [len(n.gains[name]) for name in ("no labels", "weak teacher")] == [5, 3]
    for way in ("last parts", "all"):
        pairs = zip(n.ways["frozen"], n.ways[way], strict=True)
        assert all(frozen > tuned for frozen, tuned in pairs)

    assert 0.4 < n.right < 0.68
    accuracy = n.accuracy
    ahead = accuracy.frozen - accuracy.scratch
    assert 13 < ahead["emoji", 10] < 15 and ahead["cifar10", 10] > 30
    assert ahead["fashion-mnist"].max() < 0 and accuracy.loc[("blood cells", 10)].scratch > 90
    assert n.moved["stem"] == n.moved["stage6"] == 0 < n.moved["stage7"] < 0.002
    assert abs(n.share["before"] - n.share["after"]) < 0.06 and 0.38 < n.share["before"] < 0.5
    assert n.mine_result.total == 20 and n.table.sum() == 20

    assert next(iter(n.by_hand.result.probabilities)) == "mammals"
    n.by_hand.set(photograph="cat")
    name, share = next(iter(n.by_hand.result.probabilities.items()))
    assert name != "mammals" and share > 0.5 and n.by_hand.error == ""
