"""Check what notebook 02_2 says about its results."""

import torch


def check(notebook):
    # One epoch by hand.
    assert 0.03 < notebook.before.accuracy < 0.20 and abs(notebook.before.loss - 2.30) < 0.15
    assert len(notebook.losses) == 141 and notebook.losses[0] > 2
    assert 0.3 < sum(notebook.losses[-20:]) / 20 < 0.7
    assert notebook.after.accuracy >= 0.75

    # The share of the dense layers.
    assert 0.74 < notebook.shares["ours"] < 0.78 and notebook.shares["VGG-16"] > 0.85
    assert 0.07 < notebook.shares["ResNet-50"] < 0.09

    # The trained network of the course, and its first kernels, before and after.
    assert notebook.test.accuracy >= 0.88
    right = dict(zip(notebook.data.classes, notebook.matrix.diagonal(), strict=True))
    assert min(right, key=right.get) == "Shirt"
    easy = ("Trouser", "Sandal", "Sneaker", "Ankle boot", "Bag")
    assert min(right[name] for name in easy) > 0.92
    assert torch.equal(notebook.start, notebook.panel.model.conv1.weight)
    pair = notebook.start.flatten(1), notebook.end.flatten(1)
    assert torch.nn.functional.cosine_similarity(*pair).mean() > 0.8
    assert notebook.end.norm() > 1.1 * notebook.start.norm()
    assert notebook.different == 0

    # Five seeds: the learning rates, as validation accuracies after each epoch.
    right_rate, high, low = (points[1] for points in notebook.curves.values())
    assert high[1] < high[0] - 0.05 and 0.025 < right_rate[-1] - high[-1] < 0.04
    assert low == sorted(low) and low[-1] < right_rate[-1] - 0.03

    # Five seeds: frozen kernels. Each seed is compared with itself.
    assert notebook.last.loc["all layers trained", "kernels_alike"].min() > 0.9
    accuracies = {
        name: notebook.last.loc[name].sort_values("seed")["test_accuracy"].to_numpy()
        for name in notebook.ways
    }
    trained, one_frozen, both_frozen = accuracies.values()
    assert (trained > one_frozen).all() and (one_frozen > both_frozen).all()
    assert round(100 * trained.mean(), 1) == 89.7 and round(100 * one_frozen.mean(), 1) == 88.7
    assert both_frozen.min() > 0.86

    # The first layer of EfficientNet-Lite0.
    result = notebook.photograph_lab.result
    assert notebook.photograph_lab.error == "" and result.trained_kernels_kept == 32
    assert sum(kernel.abs().max() < 1e-6 for kernel in result.weight) == 4
