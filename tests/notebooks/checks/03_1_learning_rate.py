"""Check what notebook 03_1 says about its results."""

from statistics import fmean


def check(notebook):
    valley(notebook)
    range_tests(notebook)
    best_rates(notebook)
    rate_limit(notebook)
    optimizers(notebook)
    noise(notebook)
    traps(notebook)
    schedules(notebook)
    pairs(notebook)
    few_seeds(notebook)
    plateau(notebook)


def valley(n):
    plain, momentum = n.walks.values()
    assert 0.235 < abs(plain.path[-1][0]) < 0.24
    assert 1e-4 < abs(momentum.path[-1][0]) < 2.5e-4
    assert plain.curvatures == (1, 20) and len(plain.path) == 31
    plain_sgd = [n.descend(n.torch.optim.SGD, 0.005 * k) for k in range(1, 20)]  # up to 0.095
    assert min(walk.losses[-1] for walk in plain_sgd) > 0.999 * plain.losses[-1], "its best rate"
    assert momentum.losses[-1] < 1e-5 * plain.losses[-1]
    without = n.descend(n.torch.optim.SGD, 0.13)
    assert without.losses[-1] > 1e6 * without.losses[0]
    assert n.OPTIMIZERS["SGD + momentum"].keywords == {"momentum": 0.9}


def range_tests(n):
    n.torch.manual_seed(0)
    fresh = n.SimpleCNN().conv1.weight
    assert n.torch.equal(n.model.conv1.weight, fresh), "a range test changes no weight"
    sgd = n.sgd_test
    assert 0.015 < sgd.suggestion < 0.06 and sgd.exploded
    # The average rises long before the losses of single batches do.
    after = [x for rate, x in zip(sgd.rates, sgd.losses, strict=True) if rate > sgd.blow_up]
    assert len(after) >= 8 and sum(after[:5]) / 5 < 0.65 * sgd.losses[0]
    assert max(after) > 1.4 * sgd.losses[0], "the last losses explode"
    assert n.proposed["SGD + momentum"] > 3 * n.proposed["Adam"]
    adam, adamw = n.tests["Adam"], n.tests["AdamW"]
    both = zip(adam.smoothed, adamw.smoothed, adam.rates, strict=False)
    assert all(abs(one - other) < 0.1 for one, other, rate in both if rate < 0.01)


def best_rates(n):
    settings = n.results.settings
    assert (settings["epochs"], settings["pictures"]) == (6, 4500)
    assert len(n.data.train) + len(n.data.validation) - 4500 == 5500
    for rates, means in n.tuning_curves.values():
        assert rates == [0.0075 * 2**k for k in range(5)]
        assert max(means) - min(means[1:4]) < 0.0225


def rate_limit(n):
    learned = {
        (warmup, peak): int((rows.accuracy > 0.3).sum())
        for (warmup, peak), rows in n.trials.groupby(["warmup", "peak"])
    }
    without = {peak: count for (warmup, peak), count in learned.items() if not warmup}
    assert all(count == 8 for peak, count in without.items() if peak <= 0.12)
    assert without[0.17] == 7 and without[0.25] == 0 and without[0.35] == 2
    assert all(count <= 2 for peak, count in without.items() if peak >= 0.25)
    assert learned[0.3, 0.25] == 2 and learned[0.3, 0.35] == 0
    assert n.sgd_test.suggestion < 0.06
    low, right, high = n.first_try.runs
    assert 0.5 < low.validation_accuracy < 0.75 < right.validation_accuracy
    assert not high.validation_accuracy > 0.2  # a loss that became nan has no accuracy
    assert high.diverged or abs(sum(high.history.step_loss[-10:]) / 10 - 2.3) < 0.3


def optimizers(n):
    names = n.COMPARED_OPTIMIZERS
    assert all(1 / 3 < n.proposed[name] / n.peaks[name] < 3 for name in names)
    adam = n.adam
    assert adam.idxmax() == 0.01 and adam[0.01] - adam[0.03] > 4 and len(adam) == 5
    found = n.by_optimizer
    means = {name: fmean(values) for name, values in found.items()}
    others = [name for name in names if name != "RMSprop"]
    assert all(min(found[name]) > max(found["RMSprop"]) for name in others)
    assert 100 * (max(means.values()) - min(means.values())) < 2
    for one in others:
        for other in others:
            if one != other:
                gains = [a - b for a, b in zip(found[one], found[other], strict=True)]
                mean = n.mean_interval(gains)
                assert mean.low < 0 < mean.high
    weight = n.torch.zeros(1, requires_grad=True)
    weight.grad = n.torch.ones(1)
    n.torch.optim.RMSprop([weight], lr=0.001).step()
    assert abs(weight.item() + 0.01) < 1e-5, "ten times the rate"


def noise(n):
    means = {}
    for first in (0, 100):
        for name, settings in n.tried.items():
            ends = [n.noisy(*settings, seed=first + k).losses[-1] for k in range(100)]
            means[first, name] = fmean(ends)
        falling = means[first, "from 0.08 to 0.0008"]
        rest = [means[first, name] for name in n.tried if name.startswith("rate")]
        assert min(rest) == means[first, "rate 0.03"] > 2 * falling


def traps(n):
    assert len(set(n.short)) == 1 and len(set(n.long)) == 3
    assert n.used[0] == 0.05 and len(n.caught) == 1
    ends = [values[-1] for _, values in n.shapes.values()]
    assert all(0.0099 < end < 0.011 for end in ends)


def schedules(n):
    tuning = n.tuning[n.tuning.comparison == "schedules"]
    assert sorted(tuning.peak.unique()) == [0.0075 * 2**k for k in range(5)]
    found = n.by_schedule
    medians = {name: sorted(values)[2] for name, values in found.items()}
    above = {name for name in medians if medians[name] > medians["constant"]}
    assert above == {"cosine", "warm-up + cosine", "OneCycle", "ReduceLROnPlateau"}
    constant = found["constant"]
    assert 0.019 < max(constant) - min(constant) < 0.021
    columns = ["phase", "peak", "seed", "accuracy"]
    one, other = (
        n.frame[n.frame.method == name][columns].values
        for name in ("constant", "ReduceLROnPlateau")
    )
    assert (one == other).all(axis=1).sum() == 12 and len(other) == 15
    early = n.shapes["exponential"][1]
    assert sum(share < 0.101 for share in early) >= 149


def pairs(n):
    def gain(one, base):
        both = zip(n.by_schedule[one], n.by_schedule[base], strict=True)
        return n.mean_interval([100 * (a - b) for a, b in both])

    for name in ("cosine", "warm-up + cosine", "OneCycle"):
        mean = gain(name, "constant")
        assert 0.8 < mean.middle < 1.1 and -0.15 < mean.low < 0 < mean.high
    for name in ("StepLR", "exponential"):
        assert gain(name, "cosine").high < -0.3
        assert gain(name, "constant").low < 0 < gain(name, "constant").high
    warm = gain("warm-up + cosine", "cosine")
    assert 0 < warm.low < 0.02 and 0.19 < warm.middle < 0.21
    cycle = gain("OneCycle", "cosine")
    assert cycle.low < 0 < cycle.high
    assert 2 * (len(n.by_schedule) - 1) == 12, "comparisons"


def few_seeds(n):
    found = n.by_schedule
    for one, other, wanted in (
        ("cosine", "constant", {1: 4, 3: 10}),
        ("OneCycle", "warm-up + cosine", {1: 2, 3: 6}),
    ):
        gains = [a - b for a, b in zip(found[one], found[other], strict=True)]
        for size, count in wanted.items():
            assert sum(sum(group) > 0 for group in n.combinations(gains, size)) == count


def plateau(n):
    losses, rates = n.history.validation_loss, n.history.learning_rate
    lowered = [epoch for epoch in range(1, 12) if rates[epoch] < rates[epoch - 1]]
    assert len(lowered) >= 2
    assert all(losses[epoch - 1] > 0.9998 * min(losses[: epoch - 1]) for epoch in lowered)
