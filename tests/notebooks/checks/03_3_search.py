"""Check what notebook 03_3 says about its numbers."""


def check(notebook):
    the_first_searches(notebook)
    luck(notebook)
    the_map(notebook)
    where_searches_begin(notebook)
    a_fair_comparison(notebook)
    halving(notebook)
    what_matters(notebook)
    accuracy_and_cost(notebook)
    one_click(notebook)
    what_it_gains(notebook)


def the_first_searches(n):
    found = n.second_search.result
    first = [one.accuracy for one in found.tried if one.round == 1]
    longer = [one.accuracy for one in found.tried if one.round == 2]
    assert found.start.accuracy < 0.2, "a guess"
    assert len(first) == 6 and min(longer) > max(first)
    assert [one.epochs for one in found.tried] == 6 * [2] + 2 * [6]
    first_params = [one.params for one in found.tried if one.round == 1]
    assert all(one.params in first_params for one in found.tried if one.round == 2)
    costs = [one.multiply_adds / found.start.multiply_adds for one in found.tried[:6]]
    assert 0.725 < n.of_article < 0.775, "about 75 %"
    assert costs[0] == 1 and 3.5 < costs[3] < 5 and 3.5 < costs[4] < 5
    assert all(one.params["conv1.kernel_size"] == 3 for one in found.tried[:6])
    assert len(n.choices) == 4 and 128**2 == 16384
    assert n.build({"conv1": n.large}).classifier.in_features == 128
    tried = sorted(n.study.trials, key=lambda trial: trial.params["learning_rate"])
    values = [trial.value for trial in tried]
    assert max(values) not in (values[0], values[-1]), "they rise and fall"


def luck(n):
    assert 0.868 < float(n.measured.max(dim=1).values.mean()) < 0.876


def the_map(n):
    assert (n.stored.settings["epochs"], n.stored.settings["images"]) == (3, 3000)
    assert len(n.rates) == 10 and len(n.kernels) == 5
    assert {value for value in n.table.to_numpy().ravel() if value < 0.6} == {0.1}, "a guess"
    safe = n.table.loc[:, :0.01]  # the rate decides nearly everything, the kernels nearly nothing
    assert safe.mean(axis=0).max() - safe.mean(axis=0).min() > 0.1
    assert safe.mean(axis=1).max() - safe.mean(axis=1).min() < 0.03
    assert 0.002 < n.table.mean(axis=0).idxmax() < 0.01, "near the middle, on its upper side"
    assert n.table.loc[[16, 32], 0.1].max() < 0.15, "too much for many kernels"

    def random(count):
        return n.mean_miss(lambda: [n.at(n.dice.random(), n.dice.random()) for _ in range(count)])

    n.dice.seed(1)
    grid = n.mean_miss(lambda: n.some_grid(3))
    assert abs(grid - random(9)) < 0.4 and grid < 1
    assert random(64) < 0.3 and n.mean_miss(lambda: n.some_grid(2)) > 1.1


def where_searches_begin(n):
    begin = {name: path[:8] for name, path in n.paths.items()}
    assert begin["TPE"] == begin["random"] != begin["CMA-ES"]
    assert begin["CMA-ES"][0] == begin["random"][0], "only the first one is random"

    def best_of_six(name, highest):
        searches = [n.search_map(n.samplers[name](seed), 6, highest) for seed in range(100, 200)]
        return sum(max(trial.value for trial in trials) for trials in searches) / 100

    for highest, ahead, behind in ((0.1, "CMA-ES", "random"), (0.01, "random", "CMA-ES")):
        assert best_of_six(ahead, highest) > best_of_six(behind, highest) + 0.001


def a_fair_comparison(n):
    ends = {name: n.curves[name][1][-1] for name in n.shown}
    assert all(one.overlaps(other) for one in ends.values() for other in ends.values())
    early = {name: dict(zip(*n.curves[name], strict=True)) for name in n.curves}
    ordered = early["grid, not shuffled"]
    behind = {epoch for epoch in ordered if ordered[epoch].middle < early["random"][epoch].middle}
    assert behind == set(range(3, 43, 3))
    assert all(early["grid"][e].middle > early["random"][e].middle for e in early["random"])
    grids = [record for record in n.results.records if record["search"] == "grid"]
    varied = {name for name in n.settings if len({record[name] for record in grids}) > 1}
    assert set(n.settings) - varied == {"conv1.kernel_size", "weight_decay"}
    assert all((r["conv1.kernel_size"], r["weight_decay"]) == (3, 1e-4) for r in grids)
    assert max(early["grid, not shuffled"]) == max(early["grid"]) == 72
    records = n.results.records
    for seed in range(5):
        mine = [record for record in records if record["seed"] == seed]
        rates = {
            name: [r["learning_rate"] for r in mine if r["search"] == name] for name in n.shown
        }
        assert rates["random"][:8] == rates["Bayesian (TPE)"][:8] == rates["Bayesian (GP)"][:8]
        row = [r["learning_rate"] for r in n.in_order if r["seed"] == seed][:8]
        assert set(row) == {min(rates["grid"])}
    for name in n.shown[1:]:
        difference = n.mean_interval(100 * (n.tests[name] - n.tests["random"]))
        assert difference.low < 0 < difference.high
    middle = n.tests["the middle of the space"]
    below = n.mean_interval(100 * (middle - n.tests["random"]))
    assert below.low < 0 < below.high and below.middle > -1
    assert n.mean_interval(100 * (middle - n.tests["the article's settings"])).low > 2
    lost = n.mean_interval(100 * (n.tests["the article's settings"] - n.tests["random"]))
    assert -4.7 < lost.middle < -3.5 and lost.high < -2


def halving(n):
    counts = n.counts
    assert counts["TPE with halving"] == 1.5 * counts["Bayesian (TPE)"]
    whole, halved = (dict(zip(*n.pair[name], strict=True)) for name in n.names)
    for epochs, mine in halved.items():
        other = whole[max(end for end in whole if end <= epochs)]
        assert mine.middle >= other.middle and mine.overlaps(other)


def what_matters(n):
    shares = n.importances(n.all_random)
    tenth = sorted(n.all_random.trials, key=lambda trial: -trial.value)[:12]
    assert len(n.all_random.trials) == 120 and max(shares, key=shares.get) == "learning_rate"
    assert all(one.params["learning_rate"] > 0.002 for one in tenth)
    assert all(one.params["conv1.kernel_size"] > 1 for one in tenth)
    seconds = set()
    for seed in range(5):
        others = [record for record in n.results.records if record["seed"] != seed]
        study = n.study_from_records(others, "random", n.first_cnn_space())
        ranking = n.importances(study)
        seconds.add(sorted(ranking, key=ranking.get)[-2])
    assert len(seconds) == 2


def accuracy_and_cost(n):
    cheap = {}
    for name in (n.two, "random", "grid"):
        mine = n.frame[(n.frame.search == name) & n.frame.accuracy.notna()]
        shares = []
        for seed, square in n.squares.iterrows():
            equal = mine[(mine.seed == seed) & (mine.accuracy >= square.accuracy)]
            if len(equal):
                shares.append(equal.multiply_adds.min() / square.multiply_adds)
        cheap[name] = shares
    assert len(cheap[n.two]) == 4 and max(cheap[n.two]) < 0.1
    assert len(cheap["grid"]) == len(cheap["random"]) == 5
    assert max(cheap["grid"] + cheap["random"]) < 0.2
    missed = n.squares.accuracy[4] - n.evolved[n.evolved.seed == 4].accuracy.max()
    assert round(1000 * missed) == 4  # of the 1,000 validation images


def one_click(n):
    assert [one.round for one in n.found.tried] == 6 * [1] + 2 * [2]
    narrow = n.yours.tried[1].params
    assert narrow["stem.out_channels"] == narrow["body.out_channels"] < 8


def what_it_gains(n):
    def gain(what, control):
        return n.mean_interval(100 * (n.accuracy[what] - n.accuracy[control]))

    assert 2 < gain("improve", "article").middle < 2.5 and gain("improve", "article").low > 1
    assert 1.3 < gain("improve", "article, best epoch").middle < 1.9
    assert 0.5 < gain("improve", "recipe of 02_2").middle < 1
    left = gain("improve", "same layers")
    assert -0.1 < left.low < 0 < left.high and 0.4 < left.middle < 0.7
    assert gain("same layers", "article").middle > 0.6 * gain("improve", "article").middle
    assert gain("same layers", "article, best epoch").low > 0
    cheap = gain("improve, cheap", "same layers")
    assert cheap.low < 0 < cheap.high and cheap.middle < 0
    share = n.cost["improve"] / n.cost["article"]
    assert share.between(2.5, 4.6).all()
    epochs = n.gains.pivot(index="seed", columns="what", values="epochs")
    assert (epochs["improve"].min(), epochs["improve"].max()) == (6, 29)
    assert list(epochs["improve, cheap"]).count(6) == 4 and set(epochs["same layers"]) == {30}
    half = n.cost["improve, cheap"] / n.cost["article"] < 0.51
    assert sum(half) == 4
    (fifth,) = half.index[~half]
    assert n.cost["improve, cheap"][fifth] == n.cost["improve"][fifth]
    assert n.accuracy["improve, cheap"][fifth] == n.accuracy["improve"][fifth]
