from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.core import CourseError
from course_utils.widgets import first_layer
from course_utils.widgets.one_click.networks import YOURS, networks
from tests.toys import same, toy_model, weights


def test_yours_come_first_and_are_the_same_objects():
    one, two = toy_model(), toy_model()
    found = networks(one, {"two": two})
    assert list(found)[:3] == [YOURS, "two", "first_cnn"]
    assert found[YOURS].make() is one and found["two"].make() is two
    assert found["two"].line == "model = two" and found[YOURS].line == ""
    assert found["two"].label == "two: Sequential"
    found = networks(models={"resnet18": one, "my net": two})
    assert found["resnet18"].make() is one and list(found).count("resnet18") == 1
    assert found["my net"].line == "", "that is not a name of a variable"


@pytest.mark.parametrize(
    "name",
    ["first_cnn", "resnet18", "squeezenet1_1", "mobilenet_v3_small", "efficientnet_lite0"],
)
def test_the_lines_of_code_make_the_same_kind_of_network(name):
    network = networks()[name]
    before = torch.get_rng_state()
    model = network.make()
    assert torch.equal(before, torch.get_rng_state())
    assert same(weights(model), weights(network.make()))
    names: dict = {}
    exec(f"{network.imports}\n{network.line}", names)
    assert type(names["model"]) is type(model)


def test_without_the_package_with_its_weights_lite0_is_not_offered(monkeypatch):
    assert list(networks())[-1] == "efficientnet_lite0"
    monkeypatch.setattr(first_layer, "find_spec", lambda _: None)
    assert list(networks()) == ["first_cnn", "resnet18", "squeezenet1_1", "mobilenet_v3_small"]
    one = toy_model()
    assert networks(models={"efficientnet_lite0": one})["efficientnet_lite0"].make() is one


def test_other_objects_are_refused():
    with pytest.raises(CourseError, match="'net': Conv2d is a class"):
        networks(models={"net": nn.Conv2d})
    with pytest.raises(CourseError, match=r"'yours': .* not a str"):
        networks("resnet18")
