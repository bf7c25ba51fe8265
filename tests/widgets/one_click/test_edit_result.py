from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.conv import ImpossibleSetting
from course_utils.conv.edit.settings import CHANGEABLE, simple_settings
from course_utils.widgets.one_click import edit_result as module
from course_utils.widgets.one_click.edit_result import (
    FOLLOWS,
    EditResult,
    edit_network,
    requested_changes,
)
from course_utils.widgets.one_click.measured_network import MeasuredNetwork
from tests.toys import same, toy_data, toy_model, weights

DATA = toy_data()


def wanted(conv: nn.Conv2d, **changes: object) -> dict:
    return simple_settings(conv) | {"padding": FOLLOWS} | changes


def two_layers() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 6, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(6 * 64, 3),
        )


def test_equal_pairs_are_one_number_and_others_stay():
    settings = simple_settings(nn.Conv2d(2, 4, (1, 7), padding=(0, 3), stride=2, bias=False))
    assert tuple(settings) == CHANGEABLE
    assert settings["kernel_size"] == (1, 7) and settings["padding"] == (0, 3)
    assert settings["stride"] == 2 and settings["bias"] is False


def test_what_the_layer_has_is_no_change():
    conv = nn.Conv2d(2, 4, 3, padding=1)
    assert requested_changes(conv, wanted(conv)) == {}
    assert requested_changes(conv, wanted(conv, padding=1)) == {}


def test_a_padding_of_its_own_counts_beside_another_change():
    conv = nn.Conv2d(2, 4, 3, padding=1)
    assert requested_changes(conv, wanted(conv, kernel_size=5)) == {"kernel_size": 5}
    both = {"kernel_size": 5, "padding": 1}
    assert requested_changes(conv, wanted(conv, **both)) == both
    assert requested_changes(conv, wanted(conv, padding="valid")) == {"padding": "valid"}


def test_the_edited_network_stands_beside_the_former_one():
    model = two_layers()
    before = weights(model)
    network = MeasuredNetwork.for_data(model, DATA)
    result = EditResult(network, "0", edit_network(network, "0", {"out_channels": 7}))
    assert same(before, weights(model)) and model.training
    assert result.after.model[3].in_channels == 7
    assert result.touched == {"0", "1", "3"}
    assert [maps.shape for maps in result.maps] == [(4, 8, 8), (7, 8, 8)]
    assert result.same_function and result.difference < 1e-4
    assert result.accuracies[0] == result.accuracies[1] is not None


def test_the_difference_is_measured():
    network = MeasuredNetwork.for_data(two_layers(), DATA)
    result = EditResult(network, "3", edit_network(network, "3", {"bias": False}))
    with torch.no_grad():
        images = network.held_out.images
        old, new = (b.model.eval()(images) for b in (result.before, result.after))
    expected = (new - old).abs().max() / old.abs().max()
    assert result.difference == pytest.approx(float(expected), rel=1e-4)
    assert not result.same_function


def test_without_an_edit_both_sides_are_one():
    result = EditResult(MeasuredNetwork.for_data(two_layers(), DATA), "0")
    assert result.after is result.before and result.report is None and result.touched == frozenset()
    assert result.difference == 0 and result.same_function


def test_the_picture_and_its_class_are_those_of_the_index():
    network = MeasuredNetwork.for_data(toy_model(), DATA)
    result = EditResult(network, "0", index=4)
    assert result.label == DATA.classes[int(DATA.validation.labels[4])]
    assert torch.equal(result.image, DATA.normalise(DATA.validation.images[4]))
    with torch.no_grad():
        assert torch.allclose(result.maps[0], network.model[0](result.image[None])[0])


def test_a_network_that_costs_more_answers_fewer_pictures(monkeypatch):
    data = toy_data(validation=120)
    network = MeasuredNetwork.for_data(toy_model(), data)
    edited = edit_network(network, "0", {"out_channels": 60})
    monkeypatch.setattr(module, "_MOST_COST", 120 * network.multiply_adds)
    assert EditResult(network, "0").count == 64
    assert EditResult(network, "0", edited).count == module.LEAST
    assert EditResult(edited.network, "0", original=network).count == module.LEAST


def test_where_nothing_can_be_right_a_few_pictures_do(monkeypatch):
    network = MeasuredNetwork.for_data(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()), DATA)
    monkeypatch.setattr(module, "_MOST_COST", 1)
    assert EditResult(network, "0").count == 4


def test_an_impossible_setting_says_what_is_nearest():
    network = MeasuredNetwork.for_data(two_layers(), DATA)
    with pytest.raises(ImpossibleSetting) as caught:
        edit_network(network, "3", {"groups": 4})
    assert caught.value.nearest
