"""Is this the network that was asked for? Told by what it does, not by how it is written."""

from __future__ import annotations

import copy
import itertools

import torch
from torch import Tensor, nn

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
    """The network that the reader hands over: made by a function, by a class, or ready."""
    model = answer.given if isinstance(answer.given, nn.Module) else answer()
    if not isinstance(model, nn.Module):
        raise Wrong(f"build_cnn gives {a_kind_of(model)}, an nn.Module is wanted")
    return copy.deepcopy(model).cpu()


def run(model: nn.Module, pictures: Tensor) -> Tensor:
    """The network's output, whose shape is checked."""
    where = f"for pictures of the shape {tuple(pictures.shape)}"
    try:
        logits = model(pictures)
    except NotImplementedError:
        raise Unsolved("the network has no forward method so far") from None
    except Exception as error:
        raise Wrong(f"{where} the network raised {error_sentence(error)}") from None
    if logits is None or logits is Ellipsis:
        raise Unsolved("the network's forward returns nothing so far")
    if not isinstance(logits, Tensor):
        raise Wrong(f"{where} the network gives {a_kind_of(logits)}, a tensor is wanted")
    want = (len(pictures), 10)
    if logits.shape != want:
        raise Wrong(f"{where} the output has the shape {tuple(logits.shape)}, it should be {want}")
    if not bool(torch.isfinite(logits).all()):
        raise Wrong(f"{where} the output holds nan or infinity")
    return logits


def check_parameter_count(model: nn.Module) -> None:
    """20,490 numbers; if not, name each layer's share."""
    count = sum(parameter.numel() for parameter in model.parameters())
    if count == WANTED_PARAMETERS:
        return
    parts = ", ".join(
        f"{type(layer).__name__} {sum(p.numel() for p in layer.parameters(recurse=False)):,}"
        for layer in model.modules()
        if any(True for _ in layer.parameters(recurse=False))
    )
    missing = "; layers in a plain list or made in forward do not count"
    raise Wrong(
        f"the network has {count:,} parameters ({parts or 'none'}), {WANTED_PARAMETERS:,} are "
        f"wanted: 160 + 4,640 + 15,690{missing if count < WANTED_PARAMETERS else ''}"
    )


def check_blocks(model: nn.Module, pictures: Tensor) -> None:
    """What leaves a convolution must be rectified and max-pooled before the next layer."""
    layers = [layer for layer in model.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def remember(layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        seen[layer] = (given[0].detach(), output.detach())

    handles = [layer.register_forward_hook(remember) for layer in layers]
    model.eval()
    model(pictures)
    for handle in handles:
        handle.remove()
    order = list(seen)
    kinds = ["Conv2d" if isinstance(layer, nn.Conv2d) else "Linear" for layer in order]
    if kinds != ["Conv2d", "Conv2d", "Linear"]:
        raise Wrong(f"the layers run as {' → '.join(kinds)}; Conv2d → Conv2d → Linear is wanted")
    names = ("first convolution", "second convolution", "linear layer")
    for step, (name, following) in enumerate(itertools.pairwise(names)):
        left = seen[order[step]][1]
        arrived = seen[order[step + 1]][0]
        if arrived.numel() == left.numel():
            raise Wrong(
                f"between the {name} and the {following} nothing is pooled: "
                f"{left.shape[-2]} × {left.shape[-1]} pixels leave and arrive"
            )
        if bool((arrived < 0).any()):
            raise Wrong(
                f"numbers below zero reach the {following}: the ReLU after the {name} is missing"
            )
        pooled = nn.functional.max_pool2d(left.relu(), 2)
        if pooled.numel() != arrived.numel() or not torch.allclose(
            pooled.flatten(1).sort().values, arrived.flatten(1).sort().values, atol=1e-5
        ):
            raise Wrong(
                f"what reaches the {following} is not the {name}'s output after ReLU and "
                "nn.MaxPool2d(2)"
            )


def check_gradients(model: nn.Module, pictures: Tensor) -> None:
    """Every parameter must get a gradient that is not all zero."""
    model.train()
    model.zero_grad()
    labels = torch.arange(len(pictures)) % 10
    try:
        nn.functional.cross_entropy(run(model, pictures), labels).backward()
    except RuntimeError as error:
        raise Wrong(f"no gradient can flow back through the network: {one_line(error)}") from None
    for name, parameter in model.named_parameters():
        if parameter.grad is None or not bool(parameter.grad.any()):
            raise Wrong(
                f"no gradient reaches {name}: is something detached, or not used in forward?"
            )
