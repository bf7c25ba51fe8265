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


def test_channel_statistics(solved, rejected):
    def by_rows(images):
        rows = images.transpose(0, 1).flatten(1).double() / 255
        return rows.mean(1), rows.std(1, correction=0)

    solved("05_1.channel_statistics", by_rows)
    rejected(
        "05_1.channel_statistics",
        (lambda x: (by_rows(x)[0] * 255, by_rows(x)[1] * 255), "divide by 255"),
        (lambda x: (x.float() / 255).std_mean()[::-1], "shape"),
        (lambda x: (by_rows(x)[0], by_rows(x)[1] ** 2), "the deviations should be"),
        (lambda x: by_rows(x)[0], "two tensors"),
    )


def test_mirrored(solved, rejected):
    def one_by_one(images, coins):
        pairs = zip(images, coins, strict=True)
        return torch.stack([image.flip(2) if coin else image for image, coin in pairs])

    def in_place(images, coins):
        images[coins] = images[coins].flip(3)
        return images

    solved("05_1.mirrored", one_by_one)
    rejected(
        "05_1.mirrored",
        (in_place, "copy first"),
        (lambda x, c: one_by_one(x, ~c), "True means mirror"),
        (lambda x, c: x.flip(3), "all are mirrored"),
        (lambda x, c: torch.where(c[:, None, None, None], x.flip(2), x), "on their heads"),
        (lambda x, c: x, "not right"),
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
