from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from course_utils.compress import has_masks, mask_by_magnitude, prune, recalibrate, sparsity
from course_utils.core import CourseError
from course_utils.metrics import evaluate
from tests.compress.toy_networks import DATA, trained_resnet
from tests.toys import same, weights

IMAGES = DATA.normalise(DATA.train.images)


def small(norm: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 4, 3), norm, nn.Dropout(0.5), nn.Conv2d(4, 2, 3)).eval()


@pytest.mark.parametrize(
    ("images", "batch_size"), [(120, 128), (120, 40), (100, 33), (7, 2), (2, 2), (3, 2), (9, 8)]
)
def test_the_statistics_are_the_mean_over_the_batches_and_nothing_else_changes(images, batch_size):
    model = small(nn.BatchNorm2d(4, momentum=0.3))
    before, some = weights(model), IMAGES[:images]
    found = recalibrate(model, some, batch_size=batch_size)
    assert same(before, weights(model))
    maps = model[0](some).detach()
    batches = maps.tensor_split(min(-(-images // batch_size), images // 2))
    assert min(map(len, batches)) >= 2 and max(map(len, batches)) <= batch_size + 1
    for name, want in (
        ("running_mean", torch.stack([part.mean((0, 2, 3)) for part in batches]).mean(0)),
        ("running_var", torch.stack([part.var((0, 2, 3)) for part in batches]).mean(0)),
    ):
        torch.testing.assert_close(getattr(found[1], name), want)
    assert found[1].momentum == 0.3
    assert all(map(torch.equal, model.parameters(), found.parameters()))
    assert all(one.grad is None and one.requires_grad for one in found.parameters())


def test_modes_and_masks_stay_and_dropout_does_not_disturb():
    model = mask_by_magnitude(small(nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(4))), 0.5)
    model.train()
    model[3].eval()
    model(IMAGES[:4]).sum().backward()  # a masked weight with a history cannot be copied as it is
    found = recalibrate(model, IMAGES)
    assert [one.training for one in found.modules()] == [one.training for one in model.modules()]
    assert has_masks(found) and sparsity(found) == sparsity(model) > 0.4
    assert same(weights(found), weights(recalibrate(model, IMAGES)))
    torch.testing.assert_close(found[1][1].running_mean, model[0](IMAGES).detach().mean((0, 2, 3)))


def test_it_repairs_a_network_whose_activations_have_changed():
    model = trained_resnet()
    cut = prune(model, 0.5, divisible_by=1, floor=1)
    broken = copy.deepcopy(cut)
    for layer in broken.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean += 5
            layer.running_var *= 9
    accuracies = [
        evaluate(one, DATA.validation, mean=DATA.mean, std=DATA.std).accuracy
        for one in (broken, recalibrate(broken, IMAGES), recalibrate(cut, IMAGES))
    ]
    assert accuracies[0] < accuracies[1] == accuracies[2]


@pytest.mark.parametrize(
    ("norm", "images", "settings", "words"),
    [
        (nn.Identity(), 9, {}, "no BatchNorm"),
        (nn.BatchNorm2d(4, track_running_stats=False), 9, {}, "no BatchNorm with statistics"),
        (nn.BatchNorm2d(4), 1, {}, "images has 1"),
        (nn.BatchNorm2d(4), 0, {}, "images has 0"),
        (nn.BatchNorm2d(4), 9, {"batch_size": 1}, "batch_size=1"),
    ],
)
def test_what_cannot_be_recalibrated(norm, images, settings, words):
    with pytest.raises(CourseError, match=words):
        recalibrate(small(norm), IMAGES[:images], **settings)
