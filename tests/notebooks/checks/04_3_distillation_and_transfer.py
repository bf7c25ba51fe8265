"""What the prose of notebook 04_3 says of its numbers."""

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
    assert gain["no labels"].low > 0
    by = n.ways
    assert set(by) == {"frozen", "last parts", "all", "scratch"}

    assert 0.4 < n.right < 0.68
    accuracy = n.accuracy
    assert accuracy.loc[("emoji", 10)].frozen - accuracy.loc[("emoji", 10)].scratch >= 10
    assert accuracy.loc[("cifar10", 10)].frozen - accuracy.loc[("cifar10", 10)].scratch >= 25
    assert n.moved["stem"] == n.moved["stage6"] == 0 < n.moved["stage7"] < 0.002
    assert abs(n.share["before"] - n.share["after"]) < 0.06 and 0.38 < n.share["before"] < 0.5
    assert n.mine_result.total == 20 and n.table.sum() == 20
