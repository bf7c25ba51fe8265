"""Exercises of notebook 02_3: He's initialisation, and the parts of regularisation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from course_utils.exercises import answers, flip_checks, weight_checks
from course_utils.exercises.answers import (
    Answer,
    Unsolved,
    Wrong,
    error_sentence,
    in_brackets,
    shown,
)
from course_utils.exercises.base import exercise


def _check_he_std(answer: Answer) -> str:
    layers = [
        (nn.Linear(1568, 10), "a linear layer"),
        (nn.Conv2d(1, 16, 3), "a convolution on one channel"),
        (nn.Conv2d(16, 32, 3), "a convolution on several channels"),
        (nn.Conv2d(8, 12, (3, 5)), "a kernel that is not square"),
        (nn.Conv2d(16, 32, 3, groups=2), "a convolution in 2 groups"),
        (nn.Conv2d(24, 24, 3, groups=24), "a depthwise convolution"),
        (nn.Conv2d(64, 10, 1, bias=False), "a 1 × 1 convolution without bias"),
        (nn.Linear(7, 900), "a linear layer with more outputs than inputs"),
    ]
    for layer, what in layers:
        where = f"{what}: for {layer}"
        got = float(answers.number(answer(layer, where=where), where))
        because = weight_checks.other_rule(layer, got) or f"n_in is {layer.weight[0].numel():,}"
        answers.compare_number(got, weight_checks.he(layer), where, because)
    return "n_in is how many inputs one output depends on: layer.weight[0].numel()."


@exercise(
    "02_3.he_std",
    check=_check_he_std,
    hints=(
        "How many input numbers are summed for one output number? That is n_in.",
        "For nn.Linear it is in_features. For nn.Conv2d it is kernel height · kernel width · "
        "the channels that one filter sees: in_channels / groups.",
        "There is a shorter way for both kinds: the first dimension of layer.weight counts the "
        "outputs. What is layer.weight[0], and how many numbers are in it?",
    ),
)
def he_std(layer: nn.Module) -> float:
    """Compute He's standard deviation √(2 / n_in) for the weights of an nn.Conv2d or nn.Linear.

    n_in: how many input numbers one output number is computed from. Consider kernels that are not
    square, and groups.
    """
    # The weight has one row (or one stack of grids) for each output, and every number of it is
    # multiplied by one input: so groups and kernels that are not square need no case of their own.
    n_in = layer.weight[0].numel()
    return (2 / n_in) ** 0.5  # the root: the formula with 2 / n_in is the variance


def _check_initialise(answer: Answer) -> str:
    model = weight_checks.sample_model()
    marked = weight_checks.Marked(model)
    answer.run(model, where="for a network with convolutions, norms and a linear layer")
    weights = [layer.weight for layer in marked.layers.values()]
    if all(bool((weight == weight_checks.MARK).all()) for weight in weights):
        raise Unsolved("initialise has not changed a weight so far")
    marked.check_in_place()
    for name, layer in marked.layers.items():
        weight = layer.weight.detach()
        if bool((weight == weight_checks.MARK).all()):
            raise Wrong(
                f"{name}: the weights did not change; model.modules() includes nested layers"
            )
        weight_checks.check_weights(name, layer, weight)
        if layer.bias is not None and bool(layer.bias.any()):
            raise Wrong(
                f"{name}: a bias is {shown(layer.bias.flatten()[0].item())}, it should be 0"
            )
    marked.check_others()
    narrow = nn.Conv2d(1, 2000, 3)  # n_in is 9: here 10 or 8 makes a difference that can be seen
    answer.run(nn.Sequential(narrow), where="for a first layer of a grey image")
    weight_checks.check_weights("a first layer of a grey image", narrow, narrow.weight.detach())
    if torch.equal(model[2][2][0].weight, model[3].weight):
        raise Wrong(
            "two layers of the same size got the same weights: draw new ones for each layer"
        )
    return "The signal now keeps about the same strength from layer to layer."


@exercise(
    "02_3.initialise",
    check=_check_initialise,
    hints=(
        "The loop over model.modules() above finds every layer, also a nested one. Which two types "
        "do you need, and how does isinstance test for both?",
        "A method whose name ends in _ changes a tensor in place: weight.normal_(mean, std). Your "
        "he_std says which std. PyTorch allows it only inside `with torch.no_grad():`.",
        "Some layers were built with bias=False. What is layer.bias then, and what happens if you "
        "call a method of it?",
    ),
)
def initialise(model: nn.Module) -> None:
    """Initialise the whole model by He's rule, in place.

    Weights of every nn.Conv2d and nn.Linear: normal with mean 0 and standard deviation √(2 / n_in).
    Their biases: 0. BatchNorm and other layers do not change.
    """
    with torch.no_grad():  # a new start is not a computation to differentiate
        for layer in model.modules():  # also nested ones
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                n_in = layer.weight[0].numel()  # the weights of one output, whatever the groups
                layer.weight.normal_(0, (2 / n_in) ** 0.5)  # in place: the optimizer knows it
                if layer.bias is not None:  # before a norm there is often no bias
                    layer.bias.zero_()


def _check_l1_penalty(answer: Answer) -> str:
    tiny = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3))
    for model, what in [
        (nn.Sequential(nn.Linear(5, 4, bias=False)), "a linear layer without bias"),
        (tiny, "layers with biases"),
        (weight_checks.sample_model(), "a nested network with BatchNorm"),
    ]:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_()
        where = f"{what}:"
        got = answer(model, where=where)
        if isinstance(got, Tensor) and got.numel() != 1:
            raise answers.wrong_kind(got, "one number (the sum)", where)
        read = float(answers.number(got, where))
        weights = [layer.weight for _, layer in weight_checks.weighted_layers(model)]
        want = sum(weight.abs().sum().item() for weight in weights)
        because = weight_checks.other_penalty(model, weights, read)
        answers.compare_number(read, want, where, because)
        if not isinstance(got, Tensor) or not got.requires_grad:
            raise Wrong(
                f"{where} the value {shown(want)} is right, but no gradient flows back from it: "
                "return the tensor, without .item(), .data, float() or no_grad"
            )
        gradients = torch.autograd.grad(got, weights, allow_unused=True)
        for weight, gradient in zip(weights, gradients, strict=True):
            answers.compare_tensors(
                torch.zeros_like(weight) if gradient is None else gradient,
                weight.detach().sign(),
                f"{where} the penalty's gradient",
                "the derivative of |w| is the sign of w",
            )
    return (
        "Its gradient is the sign of each weight, so it pulls small weights as hard as large ones."
    )


@exercise(
    "02_3.l1_penalty",
    check=_check_l1_penalty,
    hints=(
        "Which layers have weights that multiply pixels? Only their weights count.",
        "It is the loop of `initialise` again: the same layers, and a number from each of them.",
        "Stay with tensors until the end: .item(), float() and no_grad cut the result off from the "
        "weights, so that no gradient flows back.",
    ),
)
def l1_penalty(model: nn.Module) -> torch.Tensor:
    """Compute the sum of |w| over the weights of all nn.Conv2d and nn.Linear layers of the model.

    Biases and normalisation layers do not count. Gradients must flow back from the result, a
    tensor: loss + 1e-5 * l1_penalty(model) is what will be minimised.
    """
    # Layers are chosen by type and not by the name "weight", because BatchNorm has one, too.
    layers = [layer for layer in model.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    # A sum of tensors is a tensor, so autograd knows how it depends on each weight.
    return sum(layer.weight.abs().sum() for layer in layers)


def _check_decay_groups(answer: Answer) -> str:
    small = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    for model, decay in [(small, 0.05), (weight_checks.sample_model(), 0.3)]:
        where = f"for weight_decay {decay}"
        groups = answer(model, decay, where=where)
        if not isinstance(groups, (list, tuple)) or not all(isinstance(g, dict) for g in groups):
            raise answers.wrong_kind(groups, "a list of dicts", where)
        default = 0.0123  # shows which groups rely on the optimizer's default
        try:
            optimizer = torch.optim.AdamW([dict(group) for group in groups], weight_decay=default)
        except Exception as error:
            raise Wrong(f"{where} torch.optim.AdamW says {error_sentence(error)}") from None
        given = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
        _check_each_parameter(model, decay, given, default, where)
    return "Biases and norms only shift and scale: pulling them to 0 does not regularise."


def _check_each_parameter(
    model: nn.Module, decay: float, given: dict[int, Any], default: float, where: str
) -> None:
    weights = {id(layer.weight) for _, layer in weight_checks.weighted_layers(model)}
    owners = dict(model.named_modules())
    for name, parameter in model.named_parameters():
        owner = type(owners[name.rpartition(".")[0]]).__name__
        label = f"{name} ({owner})"
        if id(parameter) not in given:
            raise Wrong(f"{where}: {label} is in no group, so the optimizer would never change it")
        got, want = given.pop(id(parameter)), decay if id(parameter) in weights else 0.0
        if got == default:
            raise Wrong(
                f"{where}: the group of {label} has no weight_decay: AdamW would use its default, "
                "0.01"
            )
        if not isinstance(got, (int, float)) or not answers.same(float(got), want):
            raise Wrong(f"{where}: {label} has the weight decay {got}, it should have {want}")
    if given:
        raise Wrong(f"{where} the groups contain tensors that are not parameters of the model")


@exercise(
    "02_3.decay_groups",
    check=_check_decay_groups,
    hints=(
        "Split model.parameters() into two lists. What is different between the weight of a "
        "convolution or linear layer and a bias or BatchNorm weight?",
        "The number of dimensions, parameter.dim(): weights of convolutions have 4 and those of "
        "linear layers 2, biases and norms 1.",
        "Return both lists, each in a dict of its own with its weight_decay, as in the optimizer "
        "with two groups above. Write the 0.0 down: without it AdamW uses its default, 0.01.",
    ),
)
def decay_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Make parameter groups for torch.optim.AdamW: decay for weights, none for biases and norms.

    Return a list of dicts with the keys "params" and "weight_decay". The weights of nn.Conv2d and
    nn.Linear get `weight_decay`; biases and all parameters of normalisation layers get 0.0. Every
    parameter belongs to exactly one group.
    """
    # A weight that multiplies inputs is a matrix or a stack of grids; biases, and the scales and
    # shifts of norms, are one number for each channel. The two tests leave no parameter out.
    decayed = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _check_mean_std(answer: Answer) -> str:
    generator = torch.Generator().manual_seed(35)
    for size, what in [
        ((60, 1, 28, 28), "grey images"),
        ((60, 3, 32, 32), "images in colour"),
        ((50, 3, 20, 36), "images that are not square"),
    ]:
        # Images of different brightness, and a different range for each channel.
        light = torch.rand(size[0], 1, 1, 1, generator=generator) * 0.8 + 0.2
        ranges = torch.linspace(255, 120, size[1]).view(1, -1, 1, 1)
        images = (torch.rand(size, generator=generator) * light * ranges).to(torch.uint8)
        where = f"{what}: for images of the shape {size}"
        got = answer(images, where=where)
        if isinstance(got, Tensor):
            got = tuple(got)
        if not isinstance(got, (tuple, list)) or len(got) != 2:
            raise answers.wrong_kind(got, "two tensors, mean and std", where)
        scaled = images.double() / 255
        mean, std = scaled.mean(dim=(0, 2, 3)), scaled.std(dim=(0, 2, 3))
        mistakes = [
            (255 * std, "scale 0 … 255 to 0 … 1"),
            (std**2, "that is the variance"),
            (scaled.std(dim=(2, 3)).mean(dim=0), "that is the mean of the images' own stds"),
        ]
        _check_statistic("mean", got[0], mean, [(255 * mean, "scale 0 … 255 to 0 … 1")], where)
        _check_statistic("std", got[1], std, mistakes, where)
    return "Computed from your own images, not copied from ImageNet."


def _check_statistic(
    word: str, value: Any, want: Tensor, mistakes: list[tuple[Tensor, str]], where: str
) -> None:
    """Compare the mean or std of each channel (C,); name the mistake if it is a known one."""
    read = answers.tensor(value, f"{where}, {word}:", tuple(want.shape))
    if torch.allclose(read, want, rtol=1e-3):
        return
    because = next((why for wrong, why in mistakes if torch.allclose(read, wrong, rtol=1e-3)), "")
    channel = int((read - want).abs().argmax())
    raise Wrong(
        f"{where} the {word} of channel {channel} is {shown(float(read[channel]))}, "
        f"it should be {shown(float(want[channel]))}{in_brackets(because)}"
    )


@exercise(
    "02_3.mean_std",
    check=_check_mean_std,
    hints=(
        "uint8 stores integers from 0 to 255: first convert them to floats between 0 and 1.",
        "One number for each channel: which three of the dimensions (N, C, H, W) must disappear?",
        "mean and std take several dimensions at once, as a tuple: tensor.mean(dim=(…)).",
    ),
)
def mean_std(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute mean and standard deviation of each channel, of pixels scaled to 0 … 1.

    images: uint8 (N, C, H, W). Return two tensors of the shape (C,), over all pixels of all
    images.
    """
    scaled = images.float() / 255  # uint8 has no mean
    # All pixels of a channel at once: the mean of the images' own deviations would be smaller,
    # because it leaves out how much the images differ from each other.
    return scaled.mean(dim=(0, 2, 3)), scaled.std(dim=(0, 2, 3))


def _check_random_flip(answer: Answer) -> str:
    generator = torch.Generator().manual_seed(36)
    count = 400
    images = torch.randint(0, 256, (count, 3, 6, 9), generator=generator, dtype=torch.uint8)
    where = f"for {count} images of the shape (3, 6, 9)"
    mirrored = [_mirrored(answer, images, seed, where) for seed in (1, 1, 2, 3, 4, 5)]
    share = torch.stack(mirrored).double().mean().item()
    if share in (0, 1):
        raise Wrong(f"{where} {'every' if share else 'no'} image was flipped")
    if all(len(each.unique()) == 1 for each in mirrored):
        raise Wrong(f"{where} all images were treated alike: draw one number for each image")
    if not 0.35 < share < 0.65:
        raise Wrong(f"{where} {share:.0%} of them were flipped, it should be about half")
    if not torch.equal(mirrored[0], mirrored[1]):
        raise Wrong(f"{where} the same seed flipped other images: draw with generator=generator")
    if torch.equal(mirrored[0], mirrored[2]):
        raise Wrong(f"{where} seeds 1 and 2 flipped the same images: draw with the generator")
    few = images[:100]
    coins = [_mirrored(answer, few, seed, "for 100 images") for seed in range(60)]
    flip_checks.check_independence(torch.stack(coins), "for 100 images and 60 seeds,")
    flip_checks.check_generator(answer, images, where)
    _mirrored(answer, images[:7, :1, :6, :6].contiguous(), 1, "for images of the shape (1, 6, 6)")
    return "To the network, flipped images are new images, and their labels stay right."


def _mirrored(answer: Answer, images: Tensor, seed: int, where: str) -> Tensor:
    """Return which images the answer mirrored (N,); check that nothing else changed."""
    passed, generator = images.clone(), torch.Generator().manual_seed(seed)
    got = answer(passed, generator, where=where, copy=False)
    flat = answers.tensor(got, where, tuple(images.shape))
    if not torch.equal(passed, images):
        raise Wrong(
            f"{where} the images that were passed in have changed, so the data set would stay "
            "flipped: work on a copy"
        )
    if not isinstance(got, Tensor) or got.dtype != torch.uint8:
        raise Wrong(f"{where} the result should stay torch.uint8, like the images")
    kept = (flat == images).flatten(1).all(dim=1)
    mirrored = (flat == images.flip(-1)).flatten(1).all(dim=1)
    if not bool((kept | mirrored).all()):
        first = int((~(kept | mirrored)).nonzero()[0])
        upside = torch.equal(flat[first], images[first].flip(-2).double())
        because = "it is upside down: the width is the last axis" if upside else "left ↔ right"
        raise Wrong(f"{where} image {first} is neither itself nor its mirror image ({because})")
    return mirrored


@exercise(
    "02_3.random_flip",
    check=_check_random_flip,
    hints=(
        "Draw N random numbers at once: torch.rand(len(images), generator=generator).",
        "coins < 0.5 says which images to mirror; images.flip(-1) mirrors all of "
        "them, left ↔ right.",
        "torch.where(condition, a, b) takes from a where the condition is true, else from b. The "
        "condition must have four dimensions: coins[:, None, None, None].",
    ),
)
def random_flip(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror each image, left ↔ right, with probability one half, independently of the others.

    images: uint8 (N, C, H, W), must not change. All random numbers come from `generator`.
    """
    coins = torch.rand(len(images), generator=generator) < 0.5  # one for each image
    # (N, 1, 1, 1) is stretched over channels and pixels, so a coin decides about a whole image.
    # torch.where makes a new tensor: the data set itself stays as it is.
    return torch.where(coins[:, None, None, None], images.flip(-1), images)
