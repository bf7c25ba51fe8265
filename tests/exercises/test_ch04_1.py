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


def test_scale_and_zero_point(solved, rejected):
    def by_torch(low, high, bits):
        ends = torch.tensor([min(low, 0), max(high, 0)], dtype=torch.float64)
        scale = (ends[1] - ends[0]) / (2**bits - 1)
        return scale, torch.round(-ends[0] / scale).int()

    def outside(low, high, bits):
        scale = (high - low) / (2**bits - 1)
        return scale, round(-low / scale)

    solved("04_1.scale_and_zero_point", by_torch)
    rejected(
        "04_1.scale_and_zero_point",
        (lambda low, high, bits: ((high - low) / 2**bits, 0), "256 levels have 255 gaps"),
        (lambda low, high, bits: ((high - low) / (2**bits - 1), 0), "the zero point"),
        (outside, "begins at 0"),
        (lambda low, high, bits: (high - low) / 255, "two numbers"),
    )


def test_round_channels(solved, rejected):
    def one_by_one(weight, bits):
        most = 2 ** (bits - 1) - 1
        rows = []
        for channel in weight:
            scale = channel.abs().max() / most
            rows.append(torch.clamp(torch.round(channel / scale), -most, most) * scale)
        return torch.stack(rows)

    def whole(weight, bits):
        scale = weight.abs().max() / (2 ** (bits - 1) - 1)
        return (weight / scale).round() * scale

    def too_many(weight, bits):
        scale = weight.abs().amax((1, 2, 3), keepdim=True) / 2 ** (bits - 1)
        return (weight / scale).round() * scale

    def codes(weight, bits):
        scale = weight.abs().amax((1, 2, 3), keepdim=True) / (2 ** (bits - 1) - 1)
        return (weight / scale).round()

    solved("04_1.round_channels", one_by_one)
    rejected(
        "04_1.round_channels",
        (whole, "each needs its own"),
        (too_many, "nearest level"),
        (codes, "it should be"),
        (lambda weight, bits: weight.flatten(1), "shape"),
    )


def test_round_with_gradient(solved, rejected):
    class Through(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.round()

        @staticmethod
        def backward(ctx, gradient):
            return gradient

    solved("04_1.round_with_gradient", Through.apply)
    rejected(
        "04_1.round_with_gradient",
        (lambda x: x.round(), "the gradient is 0"),
        (lambda x: x.round().detach(), "no gradient"),
        (lambda x: (x + (x.round() - x)).detach(), "no gradient"),
        (lambda x: x, "the rounded numbers"),
        (lambda x: 2 * x + (x.round() - 2 * x).detach(), "the gradient"),
    )
