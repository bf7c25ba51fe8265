"""The bands behind the prose of notebook 05_3."""


def check(n):
    scale, ladder = n.scale, n.ladder
    gains = {b: ladder.gain(b, a) for a, b in zip(ladder.names, ladder.names[1:], strict=False)}
    longer = ladder.seed_gains("longer", "article").values()
    assert len(longer) == 3 and min(longer) > 0.015 and max(longer) < 0.045
    assert gains.pop("longer").low > 0.015
    assert max(abs(g.middle) for g in gains.values()) < 0.013
    assert sum(g.low < 0 < g.high for g in gains.values()) > len(gains) / 2
    top = max(ladder.accuracy(name).middle for name in ladder.names)
    assert 0.045 < top - ladder.accuracy("article").middle < 0.055
    work, size = n.charts.values()
    assert min(size, key=lambda name: size[name][0]) == "half its channels, int8"
    cheap = min(work, key=lambda name: work[name][0])
    assert 0.88 < work[cheap][1][0] < 0.9
    gains = n.gains.set_index("technique")
    assert (gains[gains.gain.abs() > 8].low > 5).all() and (gains.gain.abs() > 8).sum() == 4
    assert -3.5 < gains.gain["2.3 augmentation"] < -2.5
    assert gains.gain["2.3 augmentation, test images moved"] > 6
    for name, lost in (("4.1 half of the channels", 0.7), ("4.1 int8", 0.2)):
        assert abs(gains.gain[name] + lost) < 0.05 and gains.high[name] < 0
    best = max(one[1][0] for name, one in work.items() if n.kinds[name] == "ladder")
    assert best - work[cheap][1][0] > 0.015
    more = [c for c, a in work.values() if a[0] > work[cheap][1][0] + 0.01]
    assert min(more) > 10 * work[cheap][0]
    others = [a[0] for c, a in size.values() if c < 1.5 * size["half its channels, int8"][0]]
    assert sorted(others)[-2] == size["half its channels, int8"][1][0]
    assert max(others) == size["half its channels, distilled, int8"][1][0]
    assert size["half its channels, int8"][0] < 0.1 * size["small_resnet"][0]
    first, top = n.rungs.ladder_first, n.rungs.ladder_top
    assert 5 < top["none"] - first["none"] < 8 and 25 < first["brightness"] - top["brightness"] < 40
    assert (first > top)[["noise", "contrast"]].all() and (top > first)[["blur", "jpeg"]].all()

    accuracies = {}
    for name, model in n.networks.items():
        kinds = list(n.metrics.CORRUPTIONS)
        found = n.metrics.corruption_accuracies(model, n.few, **scale, kinds=kinds, strengths=[5])
        accuracies[name] = found.set_index("kind").accuracy
    simple, better = accuracies["first_cnn"], accuracies["small_resnet"]
    for kind in ("brightness", "contrast"):
        assert better[kind] < 0.3 and better[kind] < simple[kind] - 0.2
    for name, clean in (("first_cnn", 0.898), ("small_resnet", 0.922)):
        assert accuracies[name]["jpeg"] > clean - 0.02
        assert accuracies[name][["blur", "noise"]].between(clean - 0.165, clean - 0.025).all()
        background, garment = (n.by_part[f"{part}, {name}"] for part in n.parts)
        assert 0.03 < clean - garment < 0.055
        assert clean - background > 0.85 * (clean - accuracies[name]["brightness"])
    for kind in ("brightness", "contrast"):
        was, now = n.pairs[kind]
        assert was < 0.4 and now > 0.89
    assert abs(n.pairs["noise"][0] - n.pairs["noise"][1]) < 0.02

    first = n.networks["first_cnn"]
    for changed, low, high in ((n.noisy, 0.875, 0.925), (n.attacked, 0.575, 0.625)):
        answers = n.metrics.probabilities(first, changed, **scale).argmax(1)
        assert low < (answers == n.few.labels).double().mean() < high
    own = [f"made for {name}, shown to {name}" for name in n.networks]
    assert all(n.shares[name] < 0.15 for name in own)
    noise = [share for name, share in n.shares.items() if name.startswith("noise")]
    crossed = [name for name in n.shares if name.startswith("made") and name not in own]
    assert len(noise) == len(crossed) == 2 and min(noise) > 0.83
    others = [n.shares[name] for name in crossed]
    assert all(0.6 < share < 0.85 for share in others)
    n.panel.set(attack="pgd", level=16)
    for name in n.networks:
        n.panel.set(network=name)
        sixteen, most = n.panel.result.curves["pgd"][-2:]
        assert sixteen < 0.15 and most < 0.02

    likely = {name: n.card.classes[one.argmax()] for name, one in n.seen.items()}
    assert list(likely.values()) == ["Egyptian cat", "tiger cat", "lynx", "toaster"]
    assert n.seen["towards a toaster"].max() > 0.9
    clean = n.seen["as it is"].topk(2).values
    assert 0.3 < clean[1] < clean[0] < 0.39

    groups = n.by_light.accuracy
    assert 0.12 < 1 - groups["most light"] < 0.14 and 0.05 < 1 - groups["least light"] < 0.07
    ends = n.by_light.loc[["most light", "least light"]]
    assert ends.high.iloc[0] < ends.low.iloc[1]
    assert n.by_class.index[0] == "Shirt" and n.by_class.high.iloc[0] < n.by_class.accuracy.iloc[1]
    assert all(abs(measured - expected) < 0.01 for measured, expected in n.both.values())
    assert n.by_own.low.max() < n.by_own.high.min()
    assert abs(n.by_own.accuracy["most light"] - n.by_own.accuracy["least light"]) < 0.02
