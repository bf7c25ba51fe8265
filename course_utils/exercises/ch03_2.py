"""Exercises of notebook 03_2: who follows, larger kernels, wider layers, costs, slimming."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.exercises import answers
from course_utils.exercises.answers import Answer, Case, Unsolved, Wrong, one_line
from course_utils.exercises.base import exercise

_CHANGED = "stage3.1.project.conv"
_FOLLOWERS = {
    "stage3.1.project.norm": "it normalises exactly these channels",
    "stage3.0.project.conv": "its output is added to that of the changed layer",
    "stage3.0.project.norm": "it normalises channels that are added to those of the changed layer",
    "stage3.1.expand.conv": "it reads the same channels as the shortcut",
    "stage4.0.expand.conv": "it reads the sum",
}


def _check_followers(names: Any) -> str:
    if isinstance(names, str) or not isinstance(names, (list, tuple, set)):
        raise answers.wrong_kind(names, 'a list of names, such as ["stage3.1.project.norm"]')
    if any(answers.is_missing(name) for name in names):
        raise Unsolved("a name in the list is still missing")
    found = {str(name) for name in names} - {_CHANGED}
    if extra := sorted(found - set(_FOLLOWERS)):
        why = "its channels stay as they are"
        if "depthwise" in extra[0] or "expand.norm" in extra[0]:
            why = "it is inside the block, where the number of channels stays"
        raise Wrong(f"{one_line(repr(extra[0]), 60)} does not have to follow: {why}")
    if missing := [name for name in _FOLLOWERS if name not in found]:
        raise Wrong(
            f"{len(found)} of {len(_FOLLOWERS)} are right; one that is missing is in "
            f"{missing[0].rsplit('.', 2)[0]}: {_FOLLOWERS[missing[0]]}"
        )
    return "Two layers before the sum, two that read it, and the BatchNorms between."


@exercise(
    "03_2.followers",
    check=_check_followers,
    is_value=True,
    hints=(
        "Choose the layer in the lab above and look at the drawing, without moving a slider: where "
        "does the output of stage3.1.project.conv go?",
        "It is added to what the shortcut brings, so both must have the same number of channels. "
        "Which convolution makes what the shortcut brings?",
        "Behind each of the two convolutions that are added is a BatchNorm. And two convolutions "
        "read: one at the start of the shortcut, one behind the sum.",
    ),
)
def followers() -> list[str]:
    """Name the layers that have to follow if stage3.1.project.conv gets 48 output channels.

    A list of names such as "stage3.1.project.norm", of convolutions and BatchNorms, in any order.
    """
    return [
        "stage3.1.project.norm",  # normalises the new channels
        "stage3.0.project.conv",  # its output is added to them, by the shortcut
        "stage3.0.project.norm",
        "stage3.1.expand.conv",  # reads what the shortcut brings
        "stage4.0.expand.conv",  # reads the sum
    ]


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
        "nn.functional.pad takes one number for each side, of the last dimension first: left, "
        "right, top, bottom.",
    ),
)
def grow_kernel(weight: torch.Tensor, ring: int) -> torch.Tensor:
    """Add `ring` zeros on every side of each kernel: (C_out, C_in, k_h + 2·ring, k_w + 2·ring)."""
    # Left, right, top, bottom: only the last two dimensions grow. The new weights are 0, so they
    # add nothing to any output until training changes them.
    return nn.functional.pad(weight, (ring, ring, ring, ring))


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
        "Copy the input channels of the second weight like the rows of the first, then divide each "
        "by its number of copies, torch.bincount(kept)[kept]: a column of the weight for each "
        "number, so the number needs the shape (1, -1, 1, 1).",
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
    kept[i]; every old channel is in `kept` at least once. Return (first_weight, first_bias,
    second_weight) of the wider pair.
    """
    copies = torch.bincount(kept)[kept]  # of the channel that stands at each new place
    # The second layer adds up its input channels. A channel that comes twice would count twice, so
    # each copy gets half of its weight. Each copy keeps the whole bias: its map is the old map.
    second = second_weight[:, kept] / copies.view(1, -1, 1, 1)
    return first_weight[kept], first_bias[kept], second


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
        "Add the weights of the two layers, then divide by those of the plain one.",
    ),
)
def separable_cost(in_channels: int, out_channels: int, kernel_size: int) -> float:
    """Compute the weights of a depthwise-separable convolution, as a share of a plain one's.

    Depthwise (one kernel for each channel), then 1 × 1. Without biases.
    """
    k, c_in, c_out = kernel_size, in_channels, out_channels
    # Depthwise: k² for each input channel. 1 × 1: one weight for each pair of channels.
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
    return "One loop resizes a whole network."


@exercise(
    "03_2.slim",
    check=_check_slim,
    hints=(
        "model.named_modules() contains every layer with its name. Change one nn.Conv2d after the "
        "other, always in the result of the edit before.",
        "If layers are coupled, changing one changes the other. So take the number of kernels "
        "from `model`, not from the network that you are editing.",
        "Start with result = model, and let each edit_conv make a new `result`. How many kernels "
        "is 5 % of 8, rounded? At least one must stay.",
    ),
)
def slim(model: nn.Module, share: float, pictures: torch.Tensor) -> nn.Module:
    """Return a copy whose convolutions have `share` times their kernels, rounded, at least 1.

    pictures: a batch that the model accepts, for edit_conv's example_input.
    """
    from course_utils.conv import edit_conv

    result = model
    # The number comes from `model`: in `result`, a coupled layer has already been changed.
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d):
            kernels = max(1, round(share * layer.out_channels))
            result = edit_conv(result, name, example_input=pictures, out_channels=kernels)
    return result
