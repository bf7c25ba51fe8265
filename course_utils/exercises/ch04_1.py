"""Exercises of notebook 04_1: which channels stay, removing them, and the Taylor criterion."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from course_utils.exercises import answers
from course_utils.exercises.answers import Answer, Wrong
from course_utils.exercises.base import exercise


def _check_kept_channels(answer: Answer) -> str:
    random = torch.Generator().manual_seed(0)
    cases = [
        ((8, 3, 3, 3), 0.5, "half of 8 channels"),
        ((6, 2, 1, 1), 0.3, "0.3 of 6 channels: 4.2 stay, so 4"),
        ((5, 1, 3, 3), 0.9, "0.9 of 5 channels: at least one stays"),
        ((4, 2, 3, 3), 0.01, "so little that all stay"),
    ]
    for shape, share, what in cases:
        weight = torch.randn(*shape, generator=random)
        weight[0] = -3 * weight[0].abs()  # a channel of large negative weights is important, too
        count = max(1, round((1 - share) * shape[0]))
        norms = weight.abs().sum((1, 2, 3))
        want = norms.topk(count).indices.sort().values
        got = answer(weight, share, where=f"{what}:")
        read = answers.tensor(got, f"{what}:", (count,), "the numbers of the channels that stay")
        if torch.equal(read.sort().values.long(), want) and not torch.equal(read.long(), want):
            raise Wrong(f"{what}: the channels are the right ones; return them in ascending order")
        because = "compare the sums of absolute values, of each kernel over all its numbers"
        answers.compare_tensors(read, want, what, because)
    return "This is the criterion of Li et al. (2017), the one that everybody tries first."


@exercise(
    "04_1.kept_channels",
    check=_check_kept_channels,
    hints=(
        "weight[i] is everything that makes channel i. How large is it? Its sign does not count.",
        "weight.abs().sum((1, 2, 3)) is one number for each channel. topk finds the largest.",
        "The number that stays is max(1, round((1 - share) * len(weight))); .indices.sort().values "
        "puts the numbers of the channels in ascending order.",
    ),
)
def kept_channels(weight: torch.Tensor, share: float) -> torch.Tensor:
    """Choose the channels that stay when a share of them is removed, by the l1 norm.

    weight: (C_out, C_in, k_h, k_w) of a convolution. Return the numbers of the channels with the
    largest sums of absolute weights, in ascending order: (1 - share) of them, rounded, at least 1.
    """
    count = max(1, round((1 - share) * len(weight)))
    norms = weight.abs().sum((1, 2, 3))
    return norms.topk(count).indices.sort().values


def _check_remove_channels(answer: Answer) -> str:
    random = torch.Generator().manual_seed(1)
    for kept, what in [([0, 2, 3], "one of 4 channels goes"), ([1], "one channel stays")]:
        first = torch.randn(4, 2, 3, 3, generator=random)
        norm = torch.rand(4, 4, generator=random) + 0.5
        second = torch.randn(5, 4, 3, 3, generator=random)
        got = answer(first, norm, second, torch.tensor(kept), where=f"{what}:")
        if not isinstance(got, (tuple, list)) or len(got) != 3:
            raise answers.wrong_kind(got, "three tensors", f"{what}:")
        wanted = (first[kept], norm[:, kept], second[:, kept])
        names = ("the first weight", "the BatchNorm", "the second weight")
        for one, want, name in zip(got, wanted, names, strict=True):
            answers.compare_tensors(one, want, f"{what}: {name}")
        _require_same_function(first, norm, second, kept, got, what)
    return "Three places for one channel. In a residual network there are more: prune finds them."


def _require_same_function(
    first: Tensor, norm: Tensor, second: Tensor, kept: list[int], got: tuple, what: str
) -> None:
    """Check that the narrow pair computes what the wide one does without the other channels."""
    pictures = torch.randn(2, 2, 6, 6, generator=torch.Generator().manual_seed(2))

    def run(first: Tensor, norm: Tensor, second: Tensor, only: list[int] | None) -> Tensor:
        scale, shift, mean, variance = norm
        maps = F.batch_norm(F.conv2d(pictures, first), mean, variance, scale, shift).relu()
        if only is not None:
            gone = [i for i in range(maps.shape[1]) if i not in only]
            maps[:, gone] = 0
        return F.conv2d(maps, second)

    narrow = [answers.tensor(one).float() for one in got]
    answers.compare_tensors(
        run(*narrow, None), run(first, norm, second, kept), f"{what}: all of it"
    )


@exercise(
    "04_1.remove_channels",
    check=_check_remove_channels,
    hints=(
        "A channel is made by one kernel of the first layer, passes through the BatchNorm, and is "
        "read by the second layer. So three tensors lose something, each along another dimension.",
        "The second weight is (C_out, C_in, k_h, k_w): the channels that it reads are along its "
        "dimension 1.",
        "first_weight[kept], norm[:, kept], second_weight[:, kept]",
    ),
)
def remove_channels(
    first_weight: torch.Tensor, norm: torch.Tensor, second_weight: torch.Tensor, kept: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Remove channels between two convolutions with a BatchNorm between them.

    Weights are (C_out, C_in, k_h, k_w). norm has 4 rows, (4, C): scale, shift, running mean and
    running variance. kept: numbers of the channels that stay. Return all three, narrower.
    """
    return first_weight[kept], norm[:, kept], second_weight[:, kept]


def _check_taylor_scores(answer: Answer) -> str:
    random = torch.Generator().manual_seed(3)
    for shape, what in [((6, 3, 4, 4), "6 pictures, 3 channels"), ((1, 2, 1, 5), "one picture")]:
        maps = torch.randn(shape, generator=random)
        gradients = torch.randn(shape, generator=random)
        product = maps * gradients
        want = product.mean((2, 3)).abs().mean(0)
        read = answers.tensor(answer(maps, gradients, where=f"{what}:"), f"{what}:", want.shape)
        mistakes = [
            (
                product.mean((0, 2, 3)).abs(),
                "take the absolute value for each picture, before the"
                " mean over the pictures: else one picture hides what another one needs",
            ),
            (
                product.abs().mean((0, 2, 3)),
                "take the absolute value after the mean over the map,"
                " because the numbers of one map go together",
            ),
            (
                product.mean((0, 2, 3)),
                "the sign does not count: a channel matters if the loss would"
                " rise or fall without it",
            ),
        ]
        because = next((why for wrong, why in mistakes if answers.alike(read, wrong)), "")
        answers.compare_tensors(read, want, what, because)
    return "One pass forward and one back score every channel of the network at once."


@exercise(
    "04_1.taylor_scores",
    check=_check_taylor_scores,
    hints=(
        "If a number a of the map becomes 0, the loss changes by about −a · (its gradient). "
        "Multiply the two tensors, number by number.",
        "All numbers of one map go together: take the mean over height and width first.",
        "(maps * gradients).mean((2, 3)) is (N, C). Then .abs(), then the mean over the pictures.",
    ),
)
def taylor_scores(maps: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
    """Score channels by how much the loss would change without them (Molchanov et al., 2017).

    maps, gradients: (N, C, H, W), the outputs of a layer, and the gradients of the loss with
    respect to them. Multiply them, take the mean over each map, its absolute value, and the mean
    of that over the pictures. Return (C,).
    """
    return (maps * gradients).mean((2, 3)).abs().mean(0)
