"""Compute the statistics of BatchNorm again, after a network was cut."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from course_utils.compress.masks import copy_with_masks
from course_utils.core import CourseError, check_network, device_of, evaluation_mode, whole_number


def recalibrate(model: nn.Module, images: Tensor, *, batch_size: int = 128) -> nn.Module:
    """Return a copy whose BatchNorm layers have the means and variances of these images.

    A network without some of its channels or weights has other activations, but BatchNorm still
    standardises them with the statistics of the whole network. Here they are computed again, as the
    mean over the batches. No weight changes: the copy has the same parameters, masks and modes.
    Li et al. 2020, "EagleEye: Fast sub-net evaluation for efficient neural network pruning".

    Args:
        images: Training images as the model takes them, float (N, C, H, W), at least 2.
        batch_size: About how many images at a time, at least 2. All batches are about as large.

    Raises:
        CourseError: If there are fewer than 2 images, or no BatchNorm collects statistics.
        Exception: Any error of the model.
    """
    check_network(model)
    batch_size = whole_number("batch_size", batch_size, 2)
    if len(images) < 2:
        raise CourseError(
            f"images has {len(images)} of them: a variance needs 2 or more; 1,000 are better."
        )
    copied = copy_with_masks(model)
    norms = [
        layer
        for layer in copied.modules()
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None
    ]
    if not norms:
        raise CourseError("The network has no BatchNorm with statistics: nothing can be computed.")
    momenta = [norm.momentum for norm in norms]
    # At most half as many batches as images, so that each batch has two images or more.
    count = min(-(-len(images) // batch_size), len(images) // 2)
    with evaluation_mode(copied), torch.no_grad():
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # PyTorch's word for the plain mean over all batches
            norm.train()
        for some in images.tensor_split(count):
            copied(some.to(device_of(copied)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return copied
