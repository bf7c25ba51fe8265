"""Exercises of notebook 03_2: wider layers, larger kernels, separable convolutions, slimming."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.exercises import answers
from course_utils.exercises.answers import Answer, Case, Wrong
from course_utils.exercises.base import exercise


def _check_widen(answer: Answer) -> str:
    random = torch.Generator().manual_seed(0)
    cases = [
        ([0, 0, 1, 1], "every channel twice"),
        ([0, 1, 1], "one channel twice, one once"),
        ([1, 0, 0, 0], "one channel three times, in another order"),
        ([0, 1], "no copies"),
    ]
    for kept, what in cases:
        first = torch.randn(2, 3, 3, 3, generator=random)
        bias = torch.randn(2, generator=random)
        second = torch.randn(4, 2, 3, 5, generator=random)
        where = f"{what} (kept = {kept})"
        got = answer(first, bias, second, torch.tensor(kept), where=f"{where}:")
        if not isinstance(got, (tuple, list)) or len(got) != 3:
            raise answers.wrong_kind(got, "three tensors", f"{where}:")
        answers.compare_tensors(got[0], first[kept], f"{where}: the first weight")
        answers.compare_tensors(got[1], bias[kept], f"{where}: the bias", "a copy keeps its bias")
        wide = answers.tensor(got[2], f"{where}: the second weight", (4, len(kept), 3, 5))
        pictures = torch.randn(2, 3, 8, 8, generator=random)
        want = F.conv2d(F.conv2d(pictures, first, bias).relu(), second).double()
        maps = F.conv2d(pictures.double(), first[kept].double(), bias[kept].double()).relu()
        both = F.conv2d(maps, wide)
        factor = (both.abs().mean() / want.abs().mean()).item()
        because = f"it is {factor:.2f} times as large: divide a channel's weight among its copies"
        said = f"{where}: the output of both layers together"
        answers.compare_tensors(both, want, said, because)
    return "Copies share the weight: this is Net2WiderNet (Chen et al. 2016)."


@exercise(
    "03_2.widen",
    check=_check_widen,
    hints=(
        "first_weight[kept] returns the new kernels: indexing with a list or tensor copies rows. "
        "Which dimension of the second weight stands for its input channels?",
        "If channel 3 exists twice, the second layer adds its map twice. How must the weights of "
        "that channel change? torch.bincount(kept) counts the copies.",
        "second_weight[:, kept] / torch.bincount(kept)[kept].view(1, -1, 1, 1)",
    ),
)
def widen(
    first_weight: torch.Tensor,
    first_bias: torch.Tensor,
    second_weight: torch.Tensor,
    kept: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Copy channels between two convolutions without changing what the two compute together.

    Weights are (C_out, C_in, k_h, k_w). New channel i of the first layer is its old channel
    kept[i]. Return (first_weight, first_bias, second_weight) of the wider pair.
    """
    copies = torch.bincount(kept)[kept]
    second = second_weight[:, kept] / copies.view(1, -1, 1, 1)
    return first_weight[kept], first_bias[kept], second


def _check_grow_kernel(answer: Answer) -> str:
    random = torch.Generator().manual_seed(0)
    shapes = [
        ((4, 2, 3, 3), 1, "a 3 × 3 kernel, one more pixel on each side"),
        ((4, 2, 3, 3), 2, "two more pixels on each side"),
        ((4, 2, 1, 5), 1, "a 1 × 5 kernel"),
        ((6, 1, 3, 3), 1, "a depthwise layer of 6 channels"),
        ((4, 2, 3, 3), 0, "nothing to add"),
    ]
    for shape, ring, what in shapes:
        weight = torch.randn(*shape, generator=random)
        want = F.pad(weight, (ring,) * 4)
        because = "the old kernel should be in the middle, with zeros around it"
        answers.compare_tensors(answer(weight, ring, where=f"{what}:"), want, what, because)
    return "With equally larger padding the layer computes the same as before, and can learn more."


@exercise(
    "03_2.grow_kernel",
    check=_check_grow_kernel,
    hints=(
        "Only the last two dimensions grow: (C_out, C_in, k_h, k_w) to "
        "(C_out, C_in, k_h + 2 · ring, k_w + 2 · ring).",
        "Either make zeros of the new size and put the old weight in the middle, or look at "
        "nn.functional.pad.",
        "nn.functional.pad(weight, (ring, ring, ring, ring)): left, right, top, bottom",
    ),
)
def grow_kernel(weight: torch.Tensor, ring: int) -> torch.Tensor:
    """Add `ring` zeros on every side of each kernel: (C_out, C_in, k_h + 2·ring, k_w + 2·ring)."""
    return nn.functional.pad(weight, (ring, ring, ring, ring))


def _check_separable_cost(answer: Answer) -> str:
    cases = [
        Case((16, 32, 3), "", "9·16 + 16·32 weights instead of 9·16·32"),
        Case((64, 64, 3), "as many channels out as in"),
        Case((32, 8, 5), "fewer channels out than in"),
        Case((3, 16, 7), "a large kernel"),
        Case((16, 32, 1), "a 1 × 1 kernel", "here it is more, not less"),
    ]
    answers.compare_numbers(
        answer,
        cases,
        lambda c, n, k: float((k * k * c + c * n) / (k * k * c * n)),
        "{0} channels in, {1} out, kernel {2} × {2}",
    )
    return "It is 1 / C_out + 1 / k²: with 3 × 3 kernels and many channels, about 1/9."


@exercise(
    "03_2.separable_cost",
    check=_check_separable_cost,
    hints=(
        "A depthwise layer has one k × k kernel for each channel. The 1 × 1 layer after it has "
        "C_in · C_out weights.",
        "The plain layer has C_in · C_out · k · k weights. Biases do not count.",
        "(k * k * c_in + c_in * c_out) / (k * k * c_in * c_out)",
    ),
)
def separable_cost(in_channels: int, out_channels: int, kernel_size: int) -> float:
    """Compute the weights of a depthwise-separable convolution, as a share of a plain one's.

    Depthwise (one kernel for each channel), then 1 × 1. Without biases.
    """
    k, c_in, c_out = kernel_size, in_channels, out_channels
    return (k * k * c_in + c_in * c_out) / (k * k * c_in * c_out)


class _Residual(nn.Module):
    """Adds the outputs of two layers, so they must have the same number of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.inner = nn.Conv2d(8, 12, 3, padding=1)
        self.outer = nn.Conv2d(12, 8, 3, padding=1)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.outer(self.inner(x).relu())
        return self.head(x.mean((2, 3)))


def _check_slim(answer: Answer) -> str:
    chain = nn.Sequential(
        *(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Flatten()),
        nn.Linear(32 * 4 * 4, 10),
    )
    models = [(chain, "a chain"), (_Residual(), "a residual network, where two layers are coupled")]
    pictures = torch.zeros(2, 1, 8, 8)
    for model, what in models:
        for share in (0.5, 1.5, 0.05):
            where = f"{what}, share {share}"
            before = copy.deepcopy(model.state_dict())
            got = answer(model, share, pictures, where=f"{where}:")
            if not isinstance(got, nn.Module):
                raise answers.wrong_kind(got, "a network", f"{where}:")
            for name, layer in model.named_modules():
                if isinstance(layer, nn.Conv2d):
                    want = max(1, round(share * layer.out_channels))
                    has = got.get_submodule(name).out_channels
                    if has != want:
                        raise Wrong(
                            f"{where}: layer {name} has {has} kernels, it should have {want}: "
                            f"{share} times {layer.out_channels}"
                        )
            if got(pictures).shape != (2, 10):
                raise Wrong(f"{where}: the output has the shape {tuple(got(pictures).shape)}")
            if any(not torch.equal(v, before[k]) for k, v in model.state_dict().items()):
                raise Wrong(f"{where}: the network that was passed in has changed")
    return "One loop resizes any network."


@exercise(
    "03_2.slim",
    check=_check_slim,
    hints=(
        "model.named_modules() contains every layer with its name. Change one nn.Conv2d after the "
        "other, always in the result of the edit before.",
        "If layers are coupled, changing one changes the other. So take the number of kernels "
        "from `model`, not from the network that you are editing.",
        "max(1, round(share * layer.out_channels)) for each layer of `model`, and "
        "result = edit_conv(result, name, example_input=pictures, out_channels=...)",
    ),
)
def slim(model: nn.Module, share: float, pictures: torch.Tensor) -> nn.Module:
    """Return a copy whose convolutions have `share` times their kernels, rounded, at least 1.

    pictures: a batch that the model accepts, for edit_conv's example_input.
    """
    from course_utils.conv import edit_conv

    result = model
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d):
            kernels = max(1, round(share * layer.out_channels))
            result = edit_conv(result, name, example_input=pictures, out_channels=kernels)
    return result
