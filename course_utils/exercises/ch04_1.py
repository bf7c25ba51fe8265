"""Exercises of notebook 04_1: choosing and removing channels, Taylor, rounding with a gradient."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from course_utils.compress import quantize
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


def _check_scale_and_zero_point(answer: Answer) -> str:
    cases = [
        (-1.0, 1.0, 8, "the zero point is a code, so it is a whole number"),
        (0.0, 6.0, 8, "after a ReLU: the code 0 stands for 0"),
        (-1.0, 2.0, 2, "4 levels have 3 gaps"),
        (-3.0, 5.0, 4, ""),
        (0.5, 2.0, 4, "0 must be a level, so the range begins at 0"),
        (-3.0, -1.0, 3, "0 must be a level, so the range ends at 0"),
    ]
    for low, high, bits, why in cases:
        where = f"for {low:g} to {high:g} and {bits} bits:"
        got = answer(low, high, bits, where=where)
        if not isinstance(got, (tuple, list)) or len(got) != 2:
            raise answers.wrong_kind(got, "two numbers, (scale, zero point)", where)
        scale, zero_point = scale_and_zero_point(low, high, bits)
        off_by_one = (max(high, 0) - min(low, 0)) / 2**bits
        mistakes = [(off_by_one, f"{2**bits} levels have {2**bits - 1} gaps between them")]
        read = answers.number(got[0], f"{where} the scale")
        because = answers.reason(mistakes, float(read)) or why
        answers.compare_number(got[0], scale, f"{where} the scale", because)
        answers.compare_number(got[1], zero_point, f"{where} the zero point", why)
    return "value ≈ scale · (code − zero point); 0 is always exact (Jacob et al. 2018)."


@exercise(
    "04_1.scale_and_zero_point",
    check=_check_scale_and_zero_point,
    hints=(
        "b bits are 2 to the power of b codes, from 0 up. How many gaps are between them? The "
        "scale is the width of one gap.",
        "The lowest value has the code 0. How many gaps above it is the value 0? That number, "
        "rounded, is its code.",
        "If all values are positive, 0 is below the range: begin with low = min(low, 0).",
    ),
)
def scale_and_zero_point(low: float, high: float, bits: int) -> tuple[float, int]:
    """Compute the scale and the zero point of the levels for values from low to high.

    The codes are 0, 1, ... 2 ** bits - 1. The value 0 must be one of the levels, also if it is not
    between low and high. The zero point is a whole number. One of low and high is not 0.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / (2**bits - 1)
    return scale, round(-low / scale)


def _check_round_channels(answer: Answer) -> str:
    random = torch.Generator().manual_seed(0)
    sizes = torch.tensor([1.0, 0.01, 5.0, 0.3]).view(4, 1, 1, 1)
    for shape, bits in (((4, 2, 3, 3), 4), ((4, 1, 1, 1), 8), ((4, 3, 2, 5), 2)):
        weight = torch.randn(shape, generator=random) * sizes
        where = f"for a weight {shape} and {bits} bits"
        want = quantize(weight, bits, channel_axis=0, symmetric=True).values()
        one = quantize(weight, bits, symmetric=True).values()
        got = answer(weight, bits, where=f"{where}:")
        read = answers.tensor(got, f"{where}:", tuple(want.shape))
        if answers.alike(read, one):
            raise Wrong(
                f"{where}: all channels have the scale of the largest one, but each needs its own"
            )
        answers.compare_tensors(got, want, where, "the nearest level of this channel")
    return "A channel with small numbers keeps them: that is what per channel means."


@exercise(
    "04_1.round_channels",
    check=_check_round_channels,
    hints=(
        "First the scale of one channel: its largest absolute value has the largest code, which is "
        "2 ** (bits - 1) - 1. With 4 bits the codes go from -7 to 7.",
        "All channels at once: weight.abs().amax(dim=(1, 2, 3), keepdim=True) has the shape "
        "(C_out, 1, 1, 1), so it can be divided by and multiplied with the weight.",
        "Divide by the scale, round, multiply by the scale.",
    ),
)
def round_channels(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """Round a weight (C_out, C_in, k_h, k_w) to symmetric levels, a scale for each output channel.

    The codes go from -(2 ** (bits - 1) - 1) to 2 ** (bits - 1) - 1, and the zero point is 0. Return
    floats. No channel has only zeros.
    """
    largest = weight.abs().amax(dim=(1, 2, 3), keepdim=True)
    scale = largest / (2 ** (bits - 1) - 1)
    return (weight / scale).round() * scale


def _check_round_with_gradient(answer: Answer) -> str:
    x = torch.tensor([[-1.6, -0.2, 0.4], [0.7, 1.2, 2.6]], requires_grad=True)
    got = answer(x, where="for six numbers:", copy=False)
    answers.compare_tensors(_detached(got), x.detach().round(), "the rounded numbers")
    if not isinstance(got, Tensor) or not got.requires_grad:
        raise Wrong("the result has no gradient: detach only the difference, not x itself")
    factors = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    (gradient,) = torch.autograd.grad((got * factors).sum(), x, allow_unused=True)
    if gradient is None or not bool(gradient.any()):
        raise Wrong("the gradient is 0, as that of round() itself: nothing would be learned")
    answers.compare_tensors(gradient, factors, "the gradient", "it passes unchanged")
    return "Forward it rounds, backward it does nothing: the straight-through estimator."


def _detached(value: object) -> object:
    return value.detach() if isinstance(value, Tensor) else value


@exercise(
    "04_1.round_with_gradient",
    check=_check_round_with_gradient,
    hints=(
        "x + (something) has the gradient of x, if that something has no gradient of its own.",
        "Which something turns x into x.round()? Write x + (... - x).",
        "y.detach() is y without a gradient: put the difference in brackets and detach it.",
    ),
)
def round_with_gradient(x: torch.Tensor) -> torch.Tensor:
    """Round to whole numbers, with a gradient as if nothing had been rounded.

    Forward: x.round(). Backward: the gradient passes unchanged, so that a layer before this one can
    learn (the straight-through estimator).
    """
    return x + (x.round() - x).detach()
