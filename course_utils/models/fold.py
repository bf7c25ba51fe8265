"""Fold BatchNorm into the convolutions before it."""

from __future__ import annotations

import copy
from collections import Counter
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from course_utils.core import check_network


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Return a faster copy of a network in which convolutions contain the BatchNorm after them.

    In eval mode BatchNorm multiplies each channel by a number and adds another one, which weights
    and bias of the convolution can do as well. The function stays the same, within rounding; an
    `nn.Identity` takes the place of the BatchNorm. The copy is in eval mode and cannot be trained
    as before.

    Only neighbours in one `nn.Sequential` are folded, because only there the order is certain; and
    no layer that the network contains twice.
    """
    check_network(model)
    model = copy.deepcopy(model).eval()
    places = Counter(module for _, module in model.named_modules(remove_duplicate=False))
    for module in list(model.modules()):
        if type(module).forward is not nn.Sequential.forward:
            continue
        for (name, conv), (norm_name, norm) in pairwise(list(module._modules.items())):
            if type(conv) is not nn.Conv2d or type(norm) is not nn.BatchNorm2d:
                continue
            # The weight may be computed from others, and the statistics may be each batch's own.
            foldable = "weight" in conv._parameters and norm.running_mean is not None
            if foldable and places[conv] == places[norm] == 1:
                setattr(module, name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, nn.Identity())
    return model
