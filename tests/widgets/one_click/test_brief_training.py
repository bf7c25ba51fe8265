from __future__ import annotations

import threading

import torch
from torch import nn

from course_utils.widgets.one_click import brief_training as module
from course_utils.widgets.one_click.brief_training import train_briefly, training_size
from course_utils.widgets.one_click.measured_network import MeasuredNetwork
from tests.toys import same, toy_data, toy_model, weights

DATA = toy_data()


def test_a_copy_learns():
    network = MeasuredNetwork.for_data(toy_model(), toy_data(train=600))
    before = weights(network.model)
    trained = train_briefly(network)
    assert same(before, weights(network.model))
    assert trained.images == 600
    assert network.accuracy(24) < trained.accuracy
    assert trained.accuracy == MeasuredNetwork(trained.model, network.held_out).accuracy(24)


def test_the_same_seed_gives_the_same_numbers_and_a_stop_none():
    network = MeasuredNetwork.for_data(toy_model(dropout=0.3), DATA)
    first, second = (train_briefly(network, images=40, seed=3) for _ in range(2))
    assert same(weights(first.model), weights(second.model)) and first.images == 40
    stop = threading.Event()
    stop.set()
    assert train_briefly(network, stop=stop) is None


def test_pictures_are_adapted_to_what_the_network_takes():
    head = nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(96, 3)
    network = MeasuredNetwork.for_data(nn.Sequential(nn.Conv2d(3, 6, 3), *head), DATA)
    steps = []
    trained = train_briefly(network, images=32, on_step=steps.append)
    assert network.held_out.shape == (3, 64, 64) and len(steps) == 1
    assert 0 <= trained.accuracy <= 1
    small = module._first_images(network.held_out, 8)
    assert torch.equal(small.mean, DATA.mean.repeat(3))
    assert torch.equal(small.std, DATA.std.repeat(3))


def test_a_network_that_costs_more_sees_fewer(monkeypatch):
    network = MeasuredNetwork.for_data(toy_model(), toy_data(train=2000))
    assert training_size(network) == 2000
    monkeypatch.setattr(module, "_MOST_COST", 1000 * network.multiply_adds)
    assert training_size(network) == 512
    monkeypatch.setattr(module, "_MOST_COST", 1)
    assert training_size(network) == 256
