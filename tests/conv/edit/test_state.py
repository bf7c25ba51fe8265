"""A run of a network leaves nothing behind, whatever its modules do when they change their mode."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.conv.edit.state import private_run


class Frozen(nn.BatchNorm2d):
    """It stays in eval mode, and counts how often its mode is set."""

    calls = 0

    def train(self, mode=True):
        self.calls += 1
        return super().train(False)


class Noted(nn.Conv2d):
    """It notes each attribute that is set."""

    def __setattr__(self, name, value):
        self.__dict__.setdefault("noted", []).append(name)
        super().__setattr__(name, value)


def watched():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Dropout())
    model[1].train = lambda mode=True: setattr(model[1], "asked", mode)  # of one module only
    return model


@pytest.mark.parametrize("training", [True, False])
def test_a_module_decides_itself_what_a_mode_is(training):
    model = nn.Sequential(nn.Conv2d(1, 2, 1), Frozen(2), nn.Sequential(nn.Dropout())).eval()
    before = model[1].calls
    with private_run(model, training):
        modes = [m.training for m in model.modules()]
        assert modes == [training, training, False, training, training]
        assert model[1].calls == before + 1
    assert model[1].calls == before and not any(m.training for m in model.modules())


@pytest.mark.parametrize("training", [True, False])
def test_own_ways_to_set_the_mode_are_used(training):
    model = watched()
    with private_run(model, training):
        assert model[1].asked is training
    assert not hasattr(model[1], "asked")
    noting = Noted(1, 2, 1)
    with private_run(noting, training):
        assert noting.noted[-1] == "training"


@pytest.mark.parametrize("mode", [True, False])
def test_modes_and_what_a_forward_keeps_are_as_before(mode):
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Dropout(), nn.Sequential(nn.BatchNorm2d(2)))
    model.train(mode)
    model[1].eval()
    model.seen, model[0].pair = [torch.zeros(1)], {"a": [1, model[1]]}
    with private_run(model, not mode):
        model.seen.append("more")
        model[0].pair["a"].clear()
        model[0].new, model[0].stride = 1, (2, 2)
        model[2][0].running_mean = None
    assert [m.training for m in model.modules()] == [mode, mode, False, mode, mode]
    assert len(model.seen) == 1 and model[0].pair["a"][1] is model[1]
    assert not hasattr(model[0], "new") and model[0].stride == (1, 1)
    assert model[2][0].running_mean is not None
