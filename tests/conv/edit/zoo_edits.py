"""The twelve kinds of edit that are tried on every network, and what must hold after each."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map

from course_utils.conv.arithmetic import conv2d_shape
from course_utils.conv.impossible import ImpossibleSetting

Changes = dict[str, Any]
EXACT = ("out_x2", "out_+25%", "kernel+2_same", "groups_1", "bias_on")
TOLERANCE = 1e-4  # of the largest output


def kinds(conv: nn.Conv2d) -> dict[str, Changes]:
    """Return those of the twelve kinds that make sense for this layer."""
    wider, larger = 2 * conv.out_channels, tuple(k + 2 for k in conv.kernel_size)
    faster, kept = tuple(2 * s for s in conv.stride), {"padding": conv.padding}
    edits: dict[str, Changes] = {
        "out_x2": {"out_channels": wider},
        "kernel+2": {"kernel_size": larger},
        "kernel+2_pad_kept": {"kernel_size": larger} | kept,
        "stride_x2": {"stride": faster},
        "combo": {"out_channels": wider, "kernel_size": larger, "stride": faster},
    }
    if not isinstance(conv.padding, str):
        more = tuple(p + d for p, d in zip(conv.padding, conv.dilation, strict=True))
        edits["kernel+2_same"] = {"kernel_size": larger, "padding": more}
    if conv.out_channels > 1:
        edits["out_half"] = {"out_channels": conv.out_channels // 2}
    if conv.out_channels > 3:
        edits["out_+25%"] = {"out_channels": conv.out_channels * 5 // 4}
    if max(conv.kernel_size) > 1 and max(conv.dilation) == 1:
        edits["dilation2_pad_kept"] = {"dilation": (2, 2)} | kept
    if conv.groups > 1:
        edits["groups_1"] = {"groups": 1}
    elif conv.in_channels % 2 == conv.out_channels % 2 == 0:
        edits["groups_2"] = {"groups": 2}
    if conv.bias is None:
        edits["bias_on"] = {"bias": True}
    return edits


def run(model: nn.Module, inputs: tuple[Tensor, ...], training: bool = False) -> Any:
    with torch.no_grad():
        return model.train(training)(*inputs)


MODES = (True, False)  # as it trains, and as it computes


def shapes(model: nn.Module, inputs: tuple[Tensor, ...], modes: tuple[bool, ...] = MODES) -> list:
    """Return the shapes of all outputs, in each mode."""
    results = [run(model, inputs, training) for training in modes]
    return [tree_map(lambda t: tuple(t.shape), result) for result in results]


def outputs(value: Any) -> Tensor:
    """Return all numbers of an output as one vector."""
    return torch.cat([t.flatten() for t in tree_flatten(value)[0]])


def difference(a: Any, b: Any) -> float:
    """Return max |Δy| / max |y|."""
    a, b = outputs(a), outputs(b)
    return float((a - b).abs().max() / a.abs().max())


def sizes_seen(model: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, list[tuple[int, ...]]]:
    """Return the shapes of the inputs of every Conv2d that runs, in the order of first calls."""
    seen: dict[str, list[tuple[int, ...]]] = {}
    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):

            def note(_module, given, name=name):
                seen.setdefault(name, []).append(tuple(given[0].shape))

            hooks.append(module.register_forward_pre_hook(note))
    run(model, inputs)
    for hook in hooks:
        hook.remove()
    return seen


def fits(conv: nn.Conv2d, changes: Changes, seen: list[tuple[int, ...]]) -> bool:
    """Check whether the changed layer alone can run on its inputs."""
    window = ("kernel_size", "stride", "padding", "dilation")
    settings = {name: changes.get(name, getattr(conv, name)) for name in window}
    try:
        return all(conv2d_shape(shape, 1, **settings) for shape in seen)
    except ImpossibleSetting:
        return False


def gives_the_output(
    model: nn.Module,
    name: str,
    inputs: tuple[Tensor, ...],
    former: list,
    modes: tuple[bool, ...] = MODES,
) -> bool:
    """Check whether the network's output grows with this layer, which then cannot be changed."""
    probe = copy.deepcopy(model)
    conv = probe.get_submodule(name)
    if hasattr(conv, "parametrizations"):
        return False
    conv.weight, conv.bias = nn.Parameter(torch.cat([conv.weight.detach()] * 2)), None
    try:
        return shapes(probe, inputs, modes) != former
    except Exception:
        return False


def problems(model: nn.Module, name: str, changes: Changes) -> Iterator[str]:
    """Yield the settings that the edited layer should have and does not."""
    conv = model.get_submodule(name)
    if not isinstance(conv, nn.Conv2d):
        yield f"{name} is {type(conv).__name__}"
        return
    for argument, value in changes.items():
        has = getattr(conv, argument)
        if argument == "bias":
            has = has is not None
        elif isinstance(value, int) and isinstance(has, tuple):
            value = (value,) * len(has)
        if has != value:
            yield f"{argument} is {has}, not {value}"
    wanted = (conv.out_channels, conv.in_channels // conv.groups, *conv.kernel_size)
    if tuple(conv.weight.shape) != wanted:
        yield f"weight {tuple(conv.weight.shape)}, not {wanted}"


def layers_with_weights(model: nn.Module) -> list[str]:
    kinds_of_layer = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.ConvTranspose2d)
    return [name for name, m in model.named_modules() if isinstance(m, kinds_of_layer)]


def spread(items: list, count: int) -> list:
    """Return `count` items (all, if fewer), evenly spread, from the first one to the last."""
    if len(items) <= count:
        return items
    if count == 1:
        return items[:1]
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]
