"""Grad-CAM: which parts of a picture speak for a class, seen at one layer of a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from course_utils.core import (
    CourseError,
    check_network,
    device_of,
    error_line,
    evaluation_mode,
    is_out_of_memory,
    shape_text,
    whole_number,
)


def grad_cam(model: nn.Module, picture: Tensor, class_index: int, layer: str) -> Tensor:
    """Return how much each place of a layer's maps speaks for a class: float (h, w), at least 0.

    With the feature maps Aₖ that the layer returns, and the score y (logit) of the class, each map
    has the weight wₖ = the mean over all places of ∂y / ∂Aₖ. The result is ReLU(Σ wₖ Aₖ), by
    Selvaraju et al. (2017, "Grad-CAM: Visual explanations from deep networks via gradient-based
    localization"). It is as small as the maps: enlarge it to lay it over the picture. Late layers
    show where objects are, early ones only edges.

    The network runs in eval mode; it does not change, and neither do the gradients of its
    parameters.

    Args:
        model: returns scores (1, classes) for one picture.
        picture: (C, H, W) or (1, C, H, W), float, prepared as the network takes it.
        class_index: of the class among the scores.
        layer: name of a module that returns maps (1, K, h, w), such as a convolution. Of a layer
            that is called several times the last call counts.

    Raises:
        CourseError: there is no such layer or class, the network does not take the picture, or the
            layer does not return maps.
    """
    check_network(model)
    modules = dict(model.named_modules())
    if layer not in modules:
        raise CourseError(f"{layer!r} is not a layer of this model.")
    if not isinstance(picture, Tensor) or picture.dim() not in (3, 4):
        raise CourseError("Give one picture as a tensor (C, H, W) or (1, C, H, W).")
    batch = picture[None] if picture.dim() == 3 else picture
    if len(batch) != 1 or not batch.is_floating_point():
        raise CourseError(
            f"Give one picture of floats, not {len(batch)} of type {batch.dtype}.".replace(
                "torch.", ""
            )
        )
    found: list[Tensor] = []

    def cut(_module: nn.Module, _inputs: tuple, output: object) -> Tensor:
        """Let the gradient begin at the maps: what comes before them is not needed."""
        maps = next((one for one in tree_leaves(output) if isinstance(one, Tensor)), None)
        if maps is not output or maps.dim() != 4:
            shape = "no tensor" if maps is None else f"a tensor ({shape_text(maps.shape)})"
            raise CourseError(f"{layer} returns {shape}, not maps (1, K, h, w).")
        found[:] = [maps.detach().requires_grad_()]
        return found[0].clone()  # what follows may change it in place

    handle = modules[layer].register_forward_hook(cut)
    try:
        with evaluation_mode(model), torch.inference_mode(False), torch.enable_grad():
            scores = _scores(model, batch.detach().clone().to(device_of(model)))
            if not found:
                raise CourseError(f"{layer} is not used when the model runs.")
            whole_number("class_index", class_index, 0, scores.shape[1] - 1)
            gradient = None
            if scores.requires_grad:
                (gradient,) = torch.autograd.grad(scores[0, class_index], found, allow_unused=True)
    finally:
        handle.remove()
    maps = found[0].detach()[0].float()
    if gradient is None:  # the score does not depend on these maps
        return torch.zeros(maps.shape[1:])
    weights = gradient[0].float().mean((1, 2), keepdim=True)
    return (weights * maps).sum(0).relu().cpu()


def _scores(model: nn.Module, batch: Tensor) -> Tensor:
    try:
        scores = model(batch)
    except CourseError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise CourseError(
            f"The network does not take a picture of {shape_text(batch.shape[1:])}"
            f" ({error_line(error)})."
        ) from error
    if not isinstance(scores, Tensor) or scores.dim() != 2 or len(scores) != 1:
        what = shape_text(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise CourseError(f"The network must return scores (1, classes), not {what}.")
    return scores
