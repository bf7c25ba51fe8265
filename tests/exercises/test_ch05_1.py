"""Right and wrong answers to the exercises of notebook 05_1."""

from __future__ import annotations

import torch
from sklearn.model_selection import train_test_split


def test_normalised_range(solved, rejected):
    solved("05_1.normalised_range", lambda m, s: [-m / s, (1 - m) / s])
    rejected(
        "05_1.normalised_range",
        (lambda m, s: (0.0, 1.0), "before normalisation"),
        (lambda m, s: (-1.0, 1.0), "for mean 0.5 and deviation 0.25"),
        (lambda m, s: -m / s, "two numbers"),
    )


def test_leaked(solved, rejected):
    def by_bytes(train, test):
        known = {picture.numpy().tobytes() for picture in train}
        return [picture.numpy().tobytes() in known for picture in test]

    solved("05_1.leaked", by_bytes, lambda a, b: torch.tensor(by_bytes(a, b)).int())
    rejected(
        "05_1.leaked",
        (lambda a, b: [False] * len(b), "test picture 1 is also a training picture"),
        (lambda a, b: [True] * len(b), "test picture 0 is not in the training part"),
        (lambda a, b: [(a == x).float().mean((1, 2, 3)).max() > 0.8 for x in b], "one pixel"),
        (lambda a, b: by_bytes(a, b)[:1], "shape"),
    )


def test_mean_of_views(solved, rejected):
    solved(
        "05_1.mean_of_views",
        lambda m, x: m(torch.cat([x, x.flip(3)])).chunk(2)[0] / 2 + m(x.flip(3)) / 2,
    )
    rejected(
        "05_1.mean_of_views",
        (lambda m, x: m(x) + m(x.flip(3)), "take the mean"),
        (lambda m, x: m(x), "pictures alone"),
        (lambda m, x: m(x.flip(3)), "mirror images alone"),
        (lambda m, x: m((x + x.flip(3)) / 2), "not of the views"),
        (lambda m, x: (m(x) + m(x.flip(2))) / 2, "should be"),
        (lambda m, x: m(x)[0], "shape"),
    )


def test_stratified_split(solved, rejected):
    def by_sklearn(labels, count):
        held = torch.cat([(labels == k).nonzero()[-count:, 0] for k in labels.unique()])
        rest = set(range(len(labels))) - set(held.tolist())
        return torch.tensor(sorted(rest)), held

    solved("05_1.stratified_split", by_sklearn)
    rejected(
        "05_1.stratified_split",
        (lambda y, n: (torch.arange(len(y))[:-n], torch.arange(len(y))[-n:]), "of every class"),
        (lambda y, n: (torch.arange(len(y)), by_sklearn(y, n)[1]), "exactly one of the two"),
        (lambda y, n: by_sklearn(y, n)[::-1], "pictures of class"),
        (lambda y, n: train_test_split(range(len(y)), test_size=1)[0], "two tensors"),
    )


def test_averaged(solved, rejected):
    def with_powers(values, decay):
        weights = [(1 - decay) * decay**k for k in range(len(values) - 1)][::-1]
        first = decay ** (len(values) - 1)
        return first * values[0] + sum(w * v for w, v in zip(weights, values[1:], strict=True))

    solved("05_1.averaged", with_powers)
    rejected(
        "05_1.averaged",
        (lambda v, d: sum(v) / len(v), "three values"),
        (lambda v, d: with_powers(v, 1 - d) if d != 0.5 else with_powers(v, d), "old average"),
        (lambda v, d: with_powers([0.0, *v], d), "three values"),
    )
