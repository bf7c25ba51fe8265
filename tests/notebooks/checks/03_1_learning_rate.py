"""Check what notebook 03_1 says about its results."""


def check(notebook):
    three_rates(notebook)
    traps(notebook)
    range_tests(notebook)
    schedules(notebook)
    few_seeds(notebook)
    optimizers(notebook)
    the_limit(notebook)


def three_rates(n):
    low, right, high = n.runs.values()
    assert 0.46 < low.validation_accuracy < 0.65
    assert right.validation_accuracy > 0.7
    assert not high.validation_accuracy > 0.2  # a loss that became nan has no accuracy
    losses = low.history.step_loss
    assert abs(losses[0] - 2.3) < 0.1 and 1.9 < sum(losses[-10:]) / 10 < 2.2
    end = sum(high.history.step_loss[-10:]) / 10
    assert high.diverged or abs(end - 2.3) < 0.3

    toy = {name: rate for name, (rate, _) in n.rates.items()}
    assert 1.25 < toy["too high"] / toy["about right"] < 1.4
    network = {name: rate for name, (_, rate) in n.rates.items()}
    assert round(network["too high"] / network["about right"]) == 33
    paths = {name: n.descend(n.torch.optim.SGD, rate) for name, rate in toy.items()}
    limit = 2 / max(paths["too high"].curvatures)
    assert paths["too low"].curvatures == (1, 20)
    assert [round(toy[name] / limit, 2) for name in ("about right", "too high")] == [0.8, 1.05]
    assert paths["too high"].losses[-1] > 2 * paths["too high"].losses[0]
    assert paths["about right"].losses[-1] < 0.05 * paths["too low"].losses[-1]
    plain, momentum = n.walks.values()
    assert momentum.losses[-1] < 0.2 * plain.losses[-1]
    assert n.OPTIMIZERS["SGD + momentum"].keywords == {"momentum": 0.9}


def traps(n):
    assert len(set(n.short)) == 1 and len(set(n.long)) == 3
    assert n.used[0] == 0.05
    assert max(abs(a - b) for a, b in zip(n.mine, n.named, strict=True)) < 1e-6
    assert round(min(n.momenta), 3) == 0.85
    assert round(max(n.momenta), 3) == round(n.momenta[0], 3) == 0.95
    assert round(n.curves["OneCycle"][0], 6) == 1 / 25
    ends = [values[-1] for _, values in (*n.falling.values(), *n.rising.values())]
    assert len(ends) == 5 and all(0.0099 < end < 0.011 for end in ends)
    assert n.curves["ReduceLROnPlateau"] == n.curves["constant"]


def range_tests(n):
    n.torch.manual_seed(0)
    fresh = n.SimpleCNN().conv1.weight
    assert n.torch.equal(n.model.conv1.weight, fresh), "a range test changes no weight"
    sgd = n.tests["SGD + momentum"]
    assert 0.015 < sgd.suggestion < 0.06 and sgd.exploded
    # The average rises long before the losses of single batches do.
    after = [x for rate, x in zip(sgd.rates, sgd.losses, strict=True) if rate > sgd.blow_up]
    assert len(after) >= 8 and sum(after[:5]) / 5 < 0.65 * sgd.losses[0]
    assert max(after) > 1.4 * sgd.losses[0], "the last losses explode"
    assert 12 > n.proposed["SGD + momentum"] / n.proposed["AdamW"] > 3
    assert n.proposed["AdamW"] > 2 * n.proposed["RMSprop"]
    adam, adamw = n.tests["Adam"], n.tests["AdamW"]
    pairs = zip(adam.smoothed, adamw.smoothed, adam.rates, strict=False)
    assert all(abs(one - other) < 0.1 for one, other, rate in pairs if rate < 0.01)


def schedules(n):
    settings = n.results.settings
    assert (settings["epochs"], settings["pictures"]) == (6, 4500)
    assert len(n.data.train) + len(n.data.validation) - 4500 == 5500
    tuning = n.tuning[n.tuning.comparison == "schedules"]
    assert sorted(tuning.peak.unique()) == [0.0075 * 2**k for k in range(5)]
    best = {}
    for name in ("constant", "cosine"):
        means = tuning[tuning.method == name].groupby("peak").accuracy.mean()
        best[name] = means.idxmax()
        assert means.max() - means[[0.015, 0.03, 0.06]].min() < 0.025
    assert best["cosine"] == 2 * best["constant"]
    assert tuning[tuning.method == "constant"].accuracy.max() < 0.88

    found = {name: n.seeds_of("schedules")[name] for name in n.SCHEDULES}
    intervals = n.intervals
    assert all(i.ends == (min(found[name]), max(found[name])) for name, i in intervals.items())
    assert all(round(100 * i.level) == 94 for i in intervals.values())
    high, early = ("cosine", "warm-up + cosine", "OneCycle"), ("StepLR", "exponential")
    others = [interval.middle for name, interval in intervals.items() if name not in high]
    assert min(intervals[name].middle for name in high) > max(others)
    assert all(intervals[a].overlaps(intervals[b]) for a in high for b in high)
    assert all(intervals[a].high < intervals[b].low for a in early for b in high)
    middles = [interval.middle for interval in intervals.values()]
    assert 0.01 < max(middles) - min(middles) < 0.015

    points = (100 * n.ahead).round(1)
    warm, constant = sorted(points["warm-up + cosine"]), sorted(points["constant"])
    assert warm[0] == 0 and warm[-1] == 0.4
    assert constant[0] == -1.9 and constant[3] < 0 and constant[4] == 0
    columns = ["phase", "peak", "seed", "accuracy"]
    one, other = (
        n.frame[n.frame.method == name][columns].values
        for name in ("constant", "ReduceLROnPlateau")
    )
    assert (one == other).all(axis=1).sum() == 12 and len(other) == 15
    assert n.SCHEDULES["ReduceLROnPlateau"].patience == 1

    low = [name for name in found if n.at_end[name] < 0.011]
    assert set(low) == {*high, *early}
    assert all(n.spread[name] < 0.5 * n.spread["constant"] for name in low)
    assert round(n.spread["exponential"], 1) <= min(round(n.spread[name], 1) for name in high)
    assert sum(share < 0.101 for share in n.curves["exponential"]) >= 149


def few_seeds(n):
    found = n.seeds_of("schedules")
    for one, other, wanted in (
        ("cosine", "constant", {1: 4, 3: 10}),
        ("OneCycle", "warm-up + cosine", {1: 2, 3: 6}),
    ):
        pairs = [a - b for a, b in zip(found[one], found[other], strict=True)]
        for size, count in wanted.items():
            assert sum(sum(group) > 0 for group in n.combinations(pairs, size)) == count
    for images, least, most in ((1000, 0.018, 0.023), (5500, 0.008, 0.012)):
        low, high = n.wilson_interval(round(0.87 * images), images)
        assert least < (high - low) / 2 < most


def optimizers(n):
    columns = ["phase", "peak", "seed", "accuracy"]
    frame = n.frame
    once = frame[(frame.comparison == "schedules") & (frame.method == "cosine")][columns]
    again = frame[(frame.comparison == "optimizers") & (frame.method == "SGD + momentum")][columns]
    assert (once.values == again.values).all() and len(once) == 15 and len(frame) - 15 == 150
    names = n.COMPARED_OPTIMIZERS
    assert all(1 / 3 < n.proposed[name] / n.peaks[name] < 3 for name in names)
    adam = n.adam
    assert adam.idxmax() == 0.01 and adam[0.01] - adam[0.03] > 4 and min(adam.index) == 0.0004
    three, by = [name for name in names if name != "RMSprop"], n.by
    assert all(
        by[a].overlaps(by[b]) and by[a].low > by["RMSprop"].high for a in three for b in three
    )
    assert all(0.01 < by[name].middle - by["RMSprop"].middle < 0.016 for name in three)


def the_limit(n):
    stored = n.tuning[(n.tuning.comparison == "schedules") & (n.tuning.peak == 0.12)]
    assert stored.accuracy.min() > 0.82
    assert not min(n.near.values()) > 0.3  # which seeds learn depends on the processor
    losses, rates = n.history.validation_loss, n.history.learning_rate
    lowered = [epoch for epoch in range(1, 12) if rates[epoch] < rates[epoch - 1]]
    assert len(lowered) >= 2
    assert all(losses[epoch - 1] > 0.9998 * min(losses[: epoch - 1]) for epoch in lowered)
