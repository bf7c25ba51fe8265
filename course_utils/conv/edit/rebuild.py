"""The weights of the new network: those of the old one, in their new places."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from course_utils.conv.edit.matching import Matching


def rebuilt(tensor: Tensor, name: str, matching: Matching) -> Tensor | None:
    """A parameter's numbers in their new places; None if nothing changes."""
    changed = False
    for dim in range(tensor.ndim):
        axis = (name, dim)
        if axis not in matching.old.axes:
            continue
        if axis not in matching.old.consumers:
            rows = matching.rows(axis)
            if rows is not None:
                tensor = tensor.index_select(dim, torch.from_numpy(rows).to(tensor.device))
                changed = True
            continue
        found = matching.columns(axis)
        if found is None:
            continue
        index, share = (torch.from_numpy(x).to(tensor.device) for x in found)
        share, index, changed = share.to(tensor.dtype), index.clamp(min=0), True
        if len(index) == 1:
            along = [1] * tensor.ndim
            along[dim] = -1
            tensor = tensor.index_select(dim, index[0]) * share.reshape(along)
        else:  # the rows of each group take their own channels
            group = torch.arange(len(tensor), device=tensor.device) * len(index) // len(tensor)
            row = torch.arange(len(tensor), device=tensor.device)[:, None]
            rest = (1,) * (tensor.ndim - 2)
            shares = share[group]
            tensor = tensor[row, index[group]] * shares.reshape(*shares.shape, *rest)
    return tensor if changed else None


def fix_attributes(model: nn.Module, depthwise: set[str]) -> None:
    """Let the layers' own numbers say what their weights say."""
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        shape = tuple(weight.shape) if isinstance(weight, Tensor) else ()
        match module:
            case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
                if f"{name}.weight".removeprefix(".") in depthwise:
                    each = module.out_channels // module.in_channels
                    module.groups = module.in_channels = shape[0] // each
                module.out_channels, module.in_channels = shape[0], shape[1] * module.groups
            case nn.ConvTranspose1d() | nn.ConvTranspose2d() | nn.ConvTranspose3d():
                module.in_channels, module.out_channels = shape[0], shape[1] * module.groups
            case nn.Linear():
                module.out_features, module.in_features = shape
            case nn.modules.batchnorm._NormBase():
                vector = weight if shape else module.running_mean
                if vector is not None:
                    module.num_features = len(vector)
            case nn.GroupNorm() if shape:
                module.num_channels = shape[0]
            case nn.LayerNorm() if len(shape) == 1:
                module.normalized_shape = shape
            case nn.PReLU():
                module.num_parameters = shape[0]
