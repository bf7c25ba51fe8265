from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils import parametrizations

from course_utils.models import fold_batch_norm
from tests.models.test_efficientnet_lite import SMALL
from tests.toys import same, weights


def norms(model):
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def trained(norm):
    nn.init.uniform_(norm.running_mean)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    nn.init.uniform_(norm.weight)
    return norm


def test_lite0_folds_completely(lite0):
    before = weights(lite0)
    folded = fold_batch_norm(lite0)
    assert (norms(lite0), norms(folded)) == (49, 0) and not folded.training
    with torch.no_grad():
        torch.testing.assert_close(folded(SMALL), lite0(SMALL), atol=1e-3, rtol=1e-4)
    assert same(before, weights(lite0))


def test_only_what_certainly_follows_is_folded():
    conv, relu, norm = nn.Conv2d(3, 3, 1), nn.ReLU(), trained(nn.BatchNorm2d(3))
    own = nn.BatchNorm2d(3, track_running_stats=False)
    spectral = parametrizations.spectral_norm(nn.Conv2d(3, 3, 1))
    kept = [
        nn.Sequential(relu, conv, relu, norm),  # the same ReLU twice
        nn.Sequential(conv, norm, conv, norm),
        nn.Sequential(conv, own),
        nn.Sequential(spectral, norm),
        nn.ModuleList([conv, norm]),
    ]
    assert [norms(fold_batch_norm(model)) for model in kept] == [1] * len(kept)
    folded = nn.Sequential(nn.Sequential(conv, norm), relu)
    pictures = torch.randn(2, 3, 4, 4)
    assert norms(fold_batch_norm(folded)) == 0
    torch.testing.assert_close(fold_batch_norm(folded)(pictures), folded.eval()(pictures))
