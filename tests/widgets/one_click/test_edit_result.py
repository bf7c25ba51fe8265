from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.conv import simple_settings
from course_utils.widgets.one_click import edit_result as module
from course_utils.widgets.one_click.edit_result import EditResult, edit_network, requested_changes
from course_utils.widgets.one_click.measured_network import MeasuredNetwork
from tests.toys import same, toy_data, toy_model, weights

DATA = toy_data()


@pytest.fixture
def network() -> MeasuredNetwork:
    first, second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
    model = nn.Sequential(first, nn.BatchNorm2d(4), second, nn.Flatten(), nn.Linear(6 * 64, 3))
    return MeasuredNetwork.for_data(model, DATA)


@pytest.mark.parametrize(
    ("changes", "requested"),
    [
        ({}, {}),
        ({"padding": 1}, {}),
        ({"padding": "valid"}, {"padding": "valid"}),
        ({"kernel_size": 5}, {"kernel_size": 5}),
        ({"kernel_size": 5, "padding": 1}, {"kernel_size": 5, "padding": 1}),
    ],
)
def test_a_padding_of_its_own_counts_only_beside_another_change(changes, requested):
    conv = nn.Conv2d(2, 4, 3, padding=1)
    wanted = simple_settings(conv) | {"padding": module.FOLLOWS} | changes
    assert requested_changes(conv, wanted) == requested


def test_the_edited_network_stands_beside_the_former_one(network):
    before = weights(network.model)
    result = EditResult(network, "0", edit_network(network, "0", {"out_channels": 7}))
    assert same(before, weights(network.model)) and network.model.training
    assert result.after.model[2].in_channels == 7
    assert result.touched == {"0", "1", "2"}
    assert [maps.shape for maps in result.maps] == [(4, 8, 8), (7, 8, 8)]
    assert result.same_function and result.difference < 1e-4
    assert result.accuracies[0] == result.accuracies[1] is not None


def test_the_difference_is_measured(network):
    result = EditResult(network, "2", edit_network(network, "2", {"bias": False}))
    with torch.no_grad():
        images = network.held_out.images
        old, new = (b.model.eval()(images) for b in (result.before, result.after))
    expected = (new - old).abs().max() / old.abs().max()
    assert result.difference == pytest.approx(float(expected), rel=1e-4)
    assert not result.same_function


def test_without_an_edit_both_sides_are_one(network):
    result = EditResult(network, "0", index=4)
    assert result.after is result.before and result.report is None and result.touched == frozenset()
    assert result.difference == 0 and result.same_function
    assert result.label == DATA.classes[int(DATA.validation.labels[4])]
    assert torch.equal(result.image, DATA.normalise(DATA.validation.images[4]))
    with torch.no_grad():
        assert torch.allclose(result.maps[0], network.model[0](result.image[None])[0], atol=1e-6)


def test_a_network_that_costs_more_answers_fewer_pictures(monkeypatch):
    network = MeasuredNetwork.for_data(toy_model(), toy_data(validation=120))
    edited = edit_network(network, "0", {"out_channels": 60})
    monkeypatch.setattr(module, "_MOST_COST", 120 * network.multiply_adds)
    assert EditResult(network, "0").count == 64
    assert EditResult(network, "0", edited).count == module.LEAST
    assert EditResult(edited.network, "0", original=network).count == module.LEAST
    monkeypatch.setattr(module, "_MOST_COST", 1)
    without = MeasuredNetwork.for_data(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()), DATA)
    assert EditResult(without, "0").count == 4, "no answer can be right"
