from __future__ import annotations

import gc

import pytest
import torch
from torch import nn

from course_utils import core
from course_utils.core import CourseError, device_of, garbage_later, one_thread, pick_device


def test_picks_what_there_is(monkeypatch):
    assert pick_device("cpu") == torch.device("cpu")
    for available, kind in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert pick_device().type == kind
    for name in ("abacus", "cuda:99"):
        with pytest.raises(CourseError, match=f"{name}.*'cpu'"):
            pick_device(name)


def test_the_device_of_a_model():
    assert device_of(nn.ReLU()) == torch.device("cpu")
    assert device_of(nn.Linear(1, 1, device="meta")) == torch.device("meta")


def test_one_thread_restores_the_number_even_after_an_error():
    before = torch.get_num_threads()
    try:
        core.use_threads(3)
        with pytest.raises(KeyError), one_thread():
            assert torch.get_num_threads() == 1
            raise KeyError
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_networks_without_a_mode():
    class Exported(nn.Module):  # what `torch.export` returns
        def eval(self):
            raise NotImplementedError

    model = nn.Sequential(nn.Identity())
    del model[0].training  # as in a frozen TorchScript module
    for network in (model, Exported()):
        with core.evaluation_mode(network):
            pass
        assert network.training


@pytest.mark.parametrize("keep", [core.kept_modes, core.evaluation_mode])
def test_modes_are_restored_module_by_module(keep):
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm2d(2).eval())
    with pytest.raises(KeyError), keep(model):
        assert model.training == (keep is core.kept_modes)
        model.train()
        raise KeyError
    assert [module.training for module in model.modules()] == [True, True, False]


@pytest.mark.parametrize("collecting", [True, False])
def test_garbage_waits_and_the_setting_is_restored_even_after_an_error(collecting):
    before = gc.isenabled()
    try:
        (gc.enable if collecting else gc.disable)()
        with pytest.raises(KeyError), garbage_later():
            with garbage_later():
                assert not gc.isenabled()
            assert not gc.isenabled(), "the inner block leaves it to the outer one"
            raise KeyError
        assert gc.isenabled() == collecting
    finally:
        (gc.enable if before else gc.disable)()
