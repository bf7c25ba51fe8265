"""Alternatives and typical wrong answers of notebook 03_2's exercises."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from course_utils.conv import edit_conv


def widen_by_loop(first, bias, second, kept):
    kept = kept.tolist()
    columns = [second[:, i] / kept.count(i) for i in kept]
    return first[kept], bias[kept], torch.stack(columns, dim=1)


def all_on_the_first_copy(first, bias, second, kept):
    wide = second[:, kept].clone()
    seen = set()
    for place, channel in enumerate(kept.tolist()):
        if channel in seen:
            wide[:, place] = 0
        seen.add(channel)
    return first[kept], bias[kept], wide


def test_widen_other_ways(solved):
    solved("03_2.widen", widen_by_loop, all_on_the_first_copy)


def test_widen_rejects(rejected):
    rejected(
        "03_2.widen",
        (
            lambda first, bias, second, kept: (first[kept], bias[kept], second[:, kept]),
            "every channel twice",
        ),
        (
            lambda first, bias, second, kept: (first[kept], bias[kept], second[:, kept] / 2),
            "one channel twice, one once",
        ),
        (lambda first, bias, second, kept: (first[kept], bias[kept], second), "the shape"),
        (
            lambda first, bias, second, kept: (
                first[kept],
                bias[kept] / torch.bincount(kept)[kept],
                widen_by_loop(first, bias, second, kept)[2],
            ),
            "the bias",
        ),
        (lambda first, bias, second, kept: first[kept], "three tensors"),
    )


def grow_by_slices(weight, ring):
    *lead, height, width = weight.shape
    result = weight.new_zeros(*lead, height + 2 * ring, width + 2 * ring)
    result[..., ring : ring + height, ring : ring + width] = weight
    return result


def test_grow_kernel_another_way(solved):
    solved("03_2.grow_kernel", grow_by_slices)


def test_grow_kernel_rejects(rejected):
    rejected(
        "03_2.grow_kernel",
        (lambda weight, ring: F.pad(weight, (0, 2 * ring, 0, 2 * ring)), "in the middle"),
        (lambda weight, ring: F.pad(weight, (ring, ring)), "the shape"),
        (
            lambda weight, ring: F.interpolate(
                weight, size=[n + 2 * ring for n in weight.shape[2:]]
            ),
            "zeros around it",
        ),
    )


def test_separable_cost_as_a_sum(solved):
    solved("03_2.separable_cost", lambda c, n, k: 1 / n + 1 / k**2)


def test_separable_cost_rejects(rejected):
    rejected(
        "03_2.separable_cost",
        (lambda c, n, k: 1 / k**2, "16 channels in, 32 out"),
        (lambda c, n, k: n + k**2, "should be 0.1424"),
        (lambda c, n, k: k * k * c + c * n, "should be 0.1424"),
    )


def slim_twice_where_coupled(model, share, pictures):
    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.Conv2d):
            now = model.get_submodule(name).out_channels
            kernels = max(1, round(share * now))
            model = edit_conv(model, name, example_input=pictures, out_channels=kernels)
    return model


def slim_without_a_least(model, share, pictures):
    result = model
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d):
            kernels = round(share * layer.out_channels)
            result = edit_conv(result, name, example_input=pictures, out_channels=kernels)
    return result


def test_slim_rejects(rejected):
    rejected(
        "03_2.slim",
        (slim_twice_where_coupled, "a residual network"),
        (slim_without_a_least, "share 0.05"),
        (lambda model, share, pictures: model, "has 16 kernels, it should have 8"),
        (lambda model, share, pictures: model.state_dict(), "a network"),
    )
