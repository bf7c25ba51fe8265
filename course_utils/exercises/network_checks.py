"""Checks of the network of 02_2.build_cnn, by what it computes and not by how it is written."""

from __future__ import annotations

import copy
import itertools

import torch
from torch import Tensor, nn

from course_utils.exercises import answers
from course_utils.exercises.answers import (
    Answer,
    Unsolved,
    Wrong,
    a_kind_of,
    error_sentence,
    one_line,
)

WANTED_PARAMETERS = 20_490


def built(answer: Answer) -> nn.Module:
    """Return a copy of the reader's network: the answer is a function, a class or the network."""
    model = answer.given if isinstance(answer.given, nn.Module) else answer()
    if not isinstance(model, nn.Module):
        raise Wrong(f"build_cnn returns {a_kind_of(model)}, it should return an nn.Module")
    return copy.deepcopy(model).cpu()


def run(model: nn.Module, pictures: Tensor) -> Tensor:
    """Return the network's logits (N, 10) for pictures (N, 1, 28, 28), and check them."""
    where = f"for pictures of the shape {tuple(pictures.shape)}"
    try:
        logits = model(pictures)
    except NotImplementedError:
        raise Unsolved("the network has no forward method so far") from None
    except Exception as error:
        raise Wrong(f"{where} the network raised {error_sentence(error)}") from None
    if answers.is_missing(logits):
        raise Unsolved("the network's forward returns nothing so far")
    if not isinstance(logits, Tensor):
        raise Wrong(f"{where} the network returns {a_kind_of(logits)}, it should return a tensor")
    want = (len(pictures), 10)
    if logits.shape != want:
        raise Wrong(f"{where} the output has the shape {tuple(logits.shape)}, it should be {want}")
    if not bool(torch.isfinite(logits).all()):
        raise Wrong(f"{where} the output contains nan or infinity")
    return logits


def check_parameter_count(model: nn.Module) -> None:
    """Check the number of parameters; if it is wrong, name that of each layer."""
    count = sum(parameter.numel() for parameter in model.parameters())
    if count == WANTED_PARAMETERS:
        return
    own = [sum(p.numel() for p in layer.parameters(recurse=False)) for layer in model.modules()]
    named = zip(model.modules(), own, strict=True)
    parts = ", ".join(f"{type(layer).__name__} {size:,}" for layer, size in named if size)
    missing = "; layers in a plain list or made in forward do not count"
    raise Wrong(
        f"the network has {count:,} parameters ({parts or 'none'}), it should have "
        f"{WANTED_PARAMETERS:,}: 160 + 4,640 + 15,690{missing if count < WANTED_PARAMETERS else ''}"
    )


def check_blocks(model: nn.Module, pictures: Tensor) -> None:
    """Check that ReLU and max pooling follow each convolution, and nothing the linear layer.

    The network must compute the same in both modes, so dropout is found as well.
    """
    for training in (False, True):
        _check_blocks(model.train(training), pictures)


def _check_blocks(model: nn.Module, pictures: Tensor) -> None:
    layers = [layer for layer in model.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    ran: dict[nn.Module, tuple[Tensor, Tensor]] = {}  # layer -> (input, output), in running order

    def remember(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ran[layer] = (inputs[0].detach(), output.detach())

    handles = [layer.register_forward_hook(remember) for layer in layers]
    returned = model(pictures).detach()
    for handle in handles:
        handle.remove()
    kinds = ["Conv2d" if isinstance(layer, nn.Conv2d) else "Linear" for layer in ran]
    if kinds != ["Conv2d", "Conv2d", "Linear"]:
        raise Wrong(
            f"the layers run as {' → '.join(kinds)}, they should run as Conv2d → Conv2d → Linear"
        )
    names = ("first convolution", "second convolution", "linear layer")
    mode = " in train mode" if model.training else ""
    first, second, last = ran
    if not torch.equal(ran[first][0], pictures):
        raise Wrong(f"the images are changed{mode} before they reach the first convolution")
    named = zip(names, ran.values(), strict=True)
    for (name, (_, output)), (following, (arrived, _)) in itertools.pairwise(named):
        if arrived.numel() == output.numel():
            raise Wrong(
                f"between the {name} and the {following} there is no pooling: "
                f"the size stays {output.shape[-2]} × {output.shape[-1]}"
            )
        if bool((arrived < 0).any()):
            raise Wrong(
                f"negative numbers reach the {following}: the ReLU after the {name} is missing"
            )
        pooled = nn.functional.max_pool2d(output.relu(), 2)
        if pooled.numel() != arrived.numel() or not torch.allclose(
            pooled.flatten(1).sort().values, arrived.flatten(1).sort().values, atol=1e-5
        ):
            raise Wrong(
                f"what reaches the {following}{mode} is not the {name}'s output after ReLU and "
                "nn.MaxPool2d(2)"
            )
    for name, layer in zip(names, (first, second), strict=False):
        arrived, output = ran[layer]
        want = nn.functional.conv2d(arrived, layer.weight, layer.bias, padding=1)
        if output.shape != want.shape or not torch.allclose(output, want, atol=1e-4):
            raise Wrong(
                f"the {name} is not nn.Conv2d(..., kernel_size=3, padding=1) with its other "
                "arguments as they are"
            )
    if not torch.allclose(returned, ran[last][1], atol=1e-6):
        raise Wrong(
            f"what the network returns{mode} is not the output of the linear layer: leave out what "
            "follows it, because the loss takes the logits"
        )


def check_gradients(model: nn.Module, pictures: Tensor) -> None:
    """Check that every parameter gets a gradient that is not zero everywhere."""
    model.train()
    model.zero_grad()
    labels = torch.arange(len(pictures)) % 10
    try:
        nn.functional.cross_entropy(run(model, pictures), labels).backward()
    except RuntimeError as error:
        raise Wrong(f"no gradient flows back through the network: {one_line(error)}") from None
    for name, parameter in model.named_parameters():
        if parameter.grad is None or not bool(parameter.grad.any()):
            raise Wrong(
                f"no gradient reaches {name}: is something detached, or not used in forward?"
            )
