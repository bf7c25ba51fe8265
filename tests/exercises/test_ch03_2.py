"""Right and wrong answers to the exercises of notebook 03_2."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from course_utils.conv import edit_conv
from course_utils.exercises import find
from course_utils.models import EfficientNetLite0


def test_followers_are_those_of_edit_conv(solved, rejected):
    worked = find("03_2.followers").worked()
    model = EfficientNetLite0()
    changed = "stage3.1.project.conv"
    report = edit_conv(
        model, changed, example_input=torch.zeros(1, 3, 64, 64), out_channels=48, return_report=True
    )[1]
    assert {changed, *worked} == set(report.touched)
    solved("03_2.followers", tuple(reversed(worked)), {changed, *worked})
    rejected(
        "03_2.followers",
        ("stage3.1.project.norm", "a list of names"),
        (worked[:2], "2 of 5 are right"),
        ([*worked, "stage3.1.depthwise.conv"], "inside the block"),
        ([*worked, "head.conv"], "stay as they are"),
        ([], "0 of 5"),
        ([7], "'7' does not have to follow"),
    )


def test_widen(solved, rejected):
    def by_loop(first, bias, second, kept):
        kept = kept.tolist()
        columns = [second[:, i] / kept.count(i) for i in kept]
        return first[kept], bias[kept], torch.stack(columns, dim=1)

    def all_on_the_first_copy(first, bias, second, kept):
        wide = second[:, kept].clone()
        for place, channel in enumerate(kept.tolist()):
            if channel in kept[:place]:
                wide[:, place] = 0
        return first[kept], bias[kept], wide

    def bias_divided(first, bias, second, kept):
        first, bias, second = by_loop(first, bias, second, kept)
        return first, bias / torch.bincount(kept)[kept], second

    solved("03_2.widen", by_loop, all_on_the_first_copy)
    rejected(
        "03_2.widen",
        (lambda a, bias, b, kept: (a[kept], bias[kept], b[:, kept]), "every channel twice"),
        (lambda a, bias, b, kept: (a[kept], bias[kept], b[:, kept] / 2), "twice, one once"),
        (lambda a, bias, b, kept: (a[kept], bias[kept], b), "the shape"),
        (bias_divided, "the bias"),
        (lambda a, bias, b, kept: a[kept], "three tensors"),
    )


def test_grow_kernel(solved, rejected):
    def by_slices(weight, ring):
        *lead, height, width = weight.shape
        result = weight.new_zeros(*lead, height + 2 * ring, width + 2 * ring)
        result[..., ring : ring + height, ring : ring + width] = weight
        return result

    solved("03_2.grow_kernel", by_slices)
    rejected(
        "03_2.grow_kernel",
        (lambda w, ring: F.pad(w, (0, 2 * ring, 0, 2 * ring)), "in the middle"),
        (lambda w, ring: F.pad(w, (ring, ring)), "the shape"),
        (lambda w, ring: F.pad(w, [ring] * 4, mode="replicate"), "zeros around it"),
    )


def test_separable_cost(solved, rejected):
    solved("03_2.separable_cost", lambda c, n, k: 1 / n + 1 / k**2)
    rejected(
        "03_2.separable_cost",
        (lambda c, n, k: 1 / k**2, "16 channels in, 32 out"),
        (lambda c, n, k: k * k * c + c * n, "should be 0.1424"),
    )


def slim(take_from_result=False, least=0):
    """An answer with one mistake."""

    def answer(model, share, pictures):
        result = model
        for name, layer in model.named_modules():
            if isinstance(layer, nn.Conv2d):
                layer = result.get_submodule(name) if take_from_result else layer
                kernels = max(least, round(share * layer.out_channels))
                result = edit_conv(result, name, example_input=pictures, out_channels=kernels)
        return result

    return answer


def test_slim(rejected):
    rejected(
        "03_2.slim",
        (slim(take_from_result=True, least=1), "a residual network"),
        (slim(), "share 0.05"),
        (lambda model, share, pictures: model, "has 16 kernels, it should have 8"),
        (lambda model, share, pictures: model.state_dict(), "a network"),
    )
