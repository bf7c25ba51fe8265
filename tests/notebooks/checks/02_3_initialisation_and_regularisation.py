"""Check what notebook 02_3 says about its results."""


def check(notebook):
    of_starts(notebook)
    of_trainings(notebook)
    of_overfitting(notebook)
    of_penalties(notebook)
    of_pixels(notebook)
    of_methods(notebook)


def both_ends(spread):
    """Return the spread of activations after the last layer, and of gradients at the first."""
    return spread.activation_std[-1], spread.gradient_std[0]


def of_starts(n):
    assert n.different == {0.0: 1, 0.01: 1, "random": 16}
    factors = {name: values[-1] ** (1 / 20) for name, values in n.sizes.items()}
    for name, factor in {"0.5": 5.66, "√(2/n)": 1, "√(1/n)": 0.71, "0.01": 0.113}.items():
        assert abs(factors[name] / factor - 1) < 0.04
    right, wrong = n.readings
    assert 0.1 < right.activation_std[-1] < 2 and wrong.activation_std[-1] > 1e10
    assert 3.5 < (wrong.activation_std[-1] / wrong.activation_std[0]) ** (1 / 19) < 4.5

    for seed in range(5):
        found = {
            asked: both_ends(n.signal_spread(*asked, images=n.images, seed=seed))
            for asked in n.asked
        }
        assert all(0.1 < value < 10 for value in found["he", 40, "relu"])
        assert 0.5 < found["he", 20, "tanh"][0] < 1 and 1 < found["he", 20, "tanh"][1] < 10
        assert 0.05 < found["xavier", 20, "tanh"][0] < 0.2
        for scheme in ("he", "xavier", "orthogonal"):
            sigmoid = n.signal_spread(scheme, 20, "sigmoid", images=n.images, seed=seed)
            assert sigmoid.activation_std[-1] > 0.1 * sigmoid.activation_std[0]
            assert sigmoid.gradient_std[0] < 1e-11
    assert n.x.std() > 0.05 and n.x.std(dim=0).mean() < 1e-12
    for scheme in n.training.SCHEMES:
        sigmoid = n.signal_spread(scheme, 20, "sigmoid", images=n.images, seed=0)
        assert not 0.1 < sigmoid.gradient_std[0] < 10

    assert (n.norm(n.maps) - n.by_hand).abs().max() < 1e-3
    assert n.changes["train"] > 0.1 and n.changes["eval"] < 1e-4
    for spread in n.saved:
        assert 0.1 < spread.activation_std[-1] < 2
        assert 1.1 < spread.gradient_std[0] ** (1 / 19) < 1.3
    assert all(value == 7 for value in n.nested[1][0].weight)


def of_trainings(n):
    reached = n.reached
    for name in ("zeros", "normal 0.01", "default"):
        assert reached[name] == [0.1] * 5
    assert sum(value > 0.5 for value in reached["xavier"]) == 2 and min(reached["xavier"]) == 0.1
    assert sorted(reached["he"])[0] == 0.1 and sorted(reached["he"])[1] > 0.67
    assert max(reached["normal 1"]) < 0.25 and min(reached["normal 0.01 + BatchNorm"]) >= 0.5
    assert min(reached["he, small steps"]) > 0.6
    he = n.starts[(n.starts["scheme"] == "he") & (n.starts["learning_rate"] == 0.002)]
    failed = he["accuracy"] == 0.1
    assert he["first_loss"].max() < 2.6 and (he["logit_spread"] < 1e-4).eq(failed).all()
    losses = n.starts[n.starts["scheme"] == "normal 1"]["first_loss"]
    assert losses.min() > 3e18 and losses.max() < 2e19


def of_overfitting(n):
    assert sum(p.numel() for p in n.large_network().parameters()) == 204_778
    loss, accuracy = n.by_heart.validation_loss, n.by_heart.validation_accuracy
    assert n.by_heart.train_accuracy[-1] > 0.99 and 0.74 < accuracy[-1] < 0.84
    assert loss[-1] > 1.15 * min(loss) and accuracy[-1] > max(accuracy) - 0.05
    assert int((n.labels != n.small.train.labels).sum()) == 90
    validation = n.memorised.validation_accuracy
    assert n.memorised.train_accuracy[-1] > 0.9
    assert max(validation[:12]) > max(validation[20:]) and validation[-1] < max(validation) - 0.08
    assert (n.epoch, n.kept, n.lowest) == (6, 4, 0.75)
    assert n.early.best_epoch <= 15 and n.early.last_epoch == n.early.best_epoch + 5
    best = n.stopped.validation_loss[n.early.best_epoch - 1]
    assert best == min(n.stopped.validation_loss)


def of_penalties(n):
    small, large, small_w, large_w = (left[-1] for left in n.decays.values())
    assert abs(small_w - large_w) < 0.02 and small < 0.2 and large > 0.9
    shares = {name: (w.abs() < 0.002).float().mean().item() for name, w in n.weights.items()}
    assert shares["without L1"] < 0.15 and 0.35 < shares["L1 0.001"] < 0.65


def of_pixels(n):
    assert n.work[224] == 49 * n.work[32]
    assert abs(n.ours.mean() + 0.7) < 0.05 and abs(n.ours.std() - 1.6) < 0.05
    measured = n.measured
    assert round(measured["offset"].max(), 2) == 0.18 and measured["offset"].min() > 0
    assert [round(f(measured["deviation"]), 2) for f in (min, max)] == [1.08, 1.16]


def of_methods(n):
    def interval(found, name, factor=100):
        return n.mean_interval([factor * value for value in found[name]])

    def means(found, **bands):
        for name, (low, high) in bands.items():
            assert low < interval(found, name.replace("_", " ")).middle < high

    def contains_zero(found, name):
        low, high = interval(found, name).ends
        return low <= 0 <= high

    wrong, right, loss = n.with_wrong, n.with_right, n.losses_gained
    assert all(len(values) == 5 for each in (wrong, right, loss) for values in each.values())
    means(
        wrong, early_stopping=(9.5, 10.9), augmentation=(6.5, 7.5), four_times_the_images=(16, 17)
    )
    assert 3.5 < interval(wrong, "dropout 0.5").middle < 4.5
    helping = ("early stopping", "augmentation", "dropout 0.5", "four times the images")
    assert all(interval(wrong, name).low > 0 for name in helping)
    unsure = ("weight decay 1", "label smoothing 0.1")
    assert all(contains_zero(wrong, name) for name in unsure)
    unsure += ("dropout 0.5", "early stopping")
    assert all(contains_zero(right, name) for name in unsure)
    means(right, four_times_the_images=(3, 4), augmentation=(-3.5, -2.5))
    assert interval(right, "four times the images").low > 0
    assert interval(right, "augmentation").high < 0
    assert len(loss) == 6 and all(interval(loss, name, 1).high < 0 for name in loss)

    moved, many, dropped = n.elsewhere.values()
    assert all(len(values) == 5 for values in n.elsewhere.values())
    found = {"moved": moved, "many": many, "dropped": dropped}
    means(found, moved=(5.5, 6.9), many=(-4, -3))
    assert interval(found, "moved").low > 0 > interval(found, "many").high
    assert contains_zero(found, "dropped")
    gap = n.nothing.mean(numeric_only=True).loc["3,000 images"]
    assert 0.05 < gap["train_accuracy"] - gap["accuracy"] < 0.07
    assert min(n.elsewhere["new images moved: augmentation"]) > 0.06
    for epochs, shares in n.curves.values():
        best = max(shares)
        assert 0.71 <= best < 0.73 and 10 <= epochs[shares.index(best)] <= 15
    nothing, dropout, augmentation = (shares[-1] for _, shares in n.curves.values())
    assert 0.61 < nothing < 0.63 and dropout > nothing + 0.03 and augmentation > nothing + 0.05
    kept = n.kept_runs
    added = {name: kept[name] - kept["nothing"] for name in ("dropout 0.5", "augmentation")}
    assert all(contains_zero(added, name) for name in added)
    assert 0.895 < n.known["augmentation"] < 0.905 and n.known["nothing"] > 0.999
    plain = n.runs[(n.runs["method"] == "nothing") & n.runs["setting"].str.contains("wrong")]
    assert (plain["train_accuracy"] > 0.98).all()
    assert len(n.methods_panel.runs) >= 1 and n.methods_panel.runs[0].gap > 0.08
