"""Right and wrong answers to the exercises of notebook 04_1."""

from __future__ import annotations

import torch


def test_kept_channels(solved, rejected):
    def by_sorting(weight, share):
        norms = weight.flatten(1).abs().mean(1)
        order = norms.argsort(descending=True)
        return sorted(order[: max(1, round((1 - share) * len(weight)))].tolist())

    def unsorted(weight, share):
        count = max(1, round((1 - share) * len(weight)))
        return weight.flatten(1).abs().sum(1).topk(count).indices

    def by_sum(weight, share):
        count = max(1, round((1 - share) * len(weight)))
        return weight.sum((1, 2, 3)).topk(count).indices.sort().values

    solved("04_1.kept_channels", by_sorting)
    rejected(
        "04_1.kept_channels",
        (unsorted, "ascending order"),
        (by_sum, "absolute values"),
        (lambda w, share: torch.arange(int(share * len(w))), "half of 8"),
        (lambda w, share: "all", "the numbers of the channels"),
    )


def test_remove_channels(solved, rejected):
    def by_loop(first, norm, second, kept):
        places = kept.tolist()
        return (
            torch.stack([first[i] for i in places]),
            torch.stack([norm[:, i] for i in places], 1),
            torch.stack([second[:, i] for i in places], 1),
        )

    solved("04_1.remove_channels", by_loop)
    rejected(
        "04_1.remove_channels",
        (lambda a, norm, b, kept: (a[kept], norm, b[:, kept]), "the BatchNorm"),
        (lambda a, norm, b, kept: (a[kept], norm[:, kept], b), "the second weight"),
        (lambda a, norm, b, kept: (a[kept] * 2, norm[:, kept], b[:, kept]), "the first weight"),
        (lambda a, norm, b, kept: a[kept], "three tensors"),
    )


def test_taylor_scores(solved, rejected):
    def by_sum(maps, gradients):
        pictures, _, height, width = maps.shape
        return (maps * gradients).sum((2, 3)).abs().sum(0) / (pictures * height * width)

    solved("04_1.taylor_scores", by_sum)
    rejected(
        "04_1.taylor_scores",
        (lambda a, g: (a * g).abs().mean((0, 2, 3)), "after the mean over the map"),
        (lambda a, g: (a * g).mean((0, 2, 3)).abs(), "for each picture"),
        (lambda a, g: (a * g).mean((0, 2, 3)), "the sign"),
        (lambda a, g: a.abs().mean((0, 2, 3)), "6 pictures"),
        (lambda a, g: (a * g).mean((2, 3)), "the shape"),
    )
