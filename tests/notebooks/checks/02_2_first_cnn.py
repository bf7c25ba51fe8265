"""Check what notebook 02_2 says about its results."""

import torch


def check(notebook):
    # A blank page is a sandal, not surely.
    notebook.drawing.set(start="a blank page")
    assert notebook.drawing.result.first[0] == "Sandal"
    assert notebook.drawing.result.first[1] < 0.33

    # The three mistakes.
    w = {name: points[1] for name, points in notebook.paths.items()}
    assert abs(w["right"][-1] - 3) < 0.02 and set(w["A"]) == {0}
    assert max(w["B"][-13:]) > 5 and min(w["B"][-13:]) < 1 and w["C"] == sorted(w["C"])[::-1]

    # A softmax too many.
    (_, right), (_, soft) = notebook.both.values()
    assert sum(right[-20:]) / 20 < 0.7 and 1.46 < sum(soft[-20:]) / 20 < 1.9

    # One epoch by hand.
    assert 0.12 < notebook.before.accuracy < 0.20 and abs(notebook.before.loss - 2.30) < 0.15
    assert len(notebook.losses) == 141 and notebook.losses[0] > 2
    assert 0.3 < sum(notebook.losses[-20:]) / 20 < 0.7
    assert notebook.after.accuracy >= 0.75

    # The share of the dense layers.
    assert 0.74 < notebook.shares["ours"] < 0.78 and notebook.shares["VGG-16"] > 0.85
    assert 0.07 < notebook.shares["ResNet-50"] < 0.09

    # The trained network of the course, and its first kernels, before and after.
    assert notebook.test.accuracy >= 0.88
    right = dict(zip(notebook.names, notebook.matrix.diagonal(), strict=True))
    assert set(sorted(right, key=right.get)[:2]) == {"T-shirt/top", "Shirt"}
    easy = ("Trouser", "Sandal", "Sneaker", "Ankle boot", "Bag")
    assert min(right[name] for name in easy) > 0.92
    assert torch.equal(notebook.start, notebook.panel.model.conv1.weight)
    assert notebook.alike.mean() > 0.8
    assert notebook.end.norm() > 1.1 * notebook.start.norm()
    assert notebook.different == 0

    # Five seeds: the learning rates, as validation accuracies after each epoch.
    right_rate, high, low = (points[1] for points in notebook.curves.values())
    assert high[1] < high[0] - 0.05 and 0.025 < right_rate[-1] - high[-1] < 0.04
    assert low == sorted(low) and low[-1] < right_rate[-1] - 0.03

    # Five seeds: frozen kernels. Each seed is compared with itself.
    assert notebook.last.loc["all layers trained", "kernels_alike"].min() > 0.9
    accuracies = {
        name: notebook.last.loc[name].sort_values("seed")["validation_accuracy"].to_numpy()
        for name in notebook.ways
    }
    trained, one_frozen, both_frozen, linear = accuracies.values()
    assert (trained > one_frozen).all() and (one_frozen > both_frozen).all()
    assert (both_frozen > linear).all()
    assert round(100 * trained.mean(), 1) == 89.4 and round(100 * one_frozen.mean(), 1) == 88.5
    assert 0.84 < both_frozen.mean() < 0.86

    # The first layer of EfficientNet-Lite0.
    result = notebook.photograph_lab.result
    assert notebook.photograph_lab.error == "" and result.trained_kernels_kept == 32
    assert sum(kernel.abs().max() < 1e-6 for kernel in result.weight) == 4
