from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from course_utils.core.errors import CourseError
from course_utils.widgets.one_click import measured_network as module
from course_utils.widgets.one_click.brief_training import train_briefly
from course_utils.widgets.one_click.held_out import HeldOutImages
from course_utils.widgets.one_click.measured_network import MeasuredNetwork
from tests.toys import toy_data, toy_model

DATA = toy_data()


def test_layers_stand_in_the_order_of_their_calls():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 3)
            self.second = nn.Conv2d(2, 4, 3, stride=2)
            self.unused = nn.Conv2d(2, 2, 1)
            self.first = nn.Conv2d(1, 2, 3)

        def forward(self, x):
            return self.head(self.second(self.first(x)).mean((2, 3)))

    network = MeasuredNetwork.for_data(Backwards(), DATA)
    assert [block.name for block in network.blocks] == ["first", "second", "head"]
    assert list(network.convs) == ["first", "second"]
    first, second, head = network.blocks
    assert (first.channels, first.size) == (2, (6, 6)) and str(first.receptive_field) == "3×3"
    assert (second.channels, second.size) == (4, (2, 2))
    assert (head.channels, head.size, head.receptive_field) == (3, None, None)
    assert network.multiply_adds == 2 * 36 * 9 + 4 * 4 * 18 + 12
    assert network.block("second") is second
    conv = nn.Conv2d(1, 1, 3, padding=1)
    called_twice = MeasuredNetwork.for_data(nn.Sequential(conv, conv), DATA)
    assert [block.name for block in called_twice.blocks] == ["0"]


def test_outputs_are_computed_once_and_in_eval_mode():
    model = toy_model(dropout=0.5, norm=True)
    calls = []
    model.register_forward_hook(lambda *_: calls.append(model.training))
    network = MeasuredNetwork.for_data(model, DATA)
    calls.clear()
    many, few = network.outputs(20), network.outputs(8)
    assert torch.equal(many[:8], few) and calls == [False]
    assert model.training and not many.requires_grad
    right = many.argmax(1) == DATA.validation.labels[:20]
    assert network.accuracy(20) == right.float().mean() and network.why_no_accuracy == ""


def test_only_what_is_before_the_layer_runs_for_its_maps():
    model = toy_model()
    ran = []
    model[6].register_forward_hook(lambda *_: ran.append(1))
    network = MeasuredNetwork.for_data(model, DATA)
    ran.clear()
    assert network.maps("0", 3).shape == (6, 8, 8) and ran == []
    assert network.maps("0", 3) is network.maps("0", 3)
    assert not model[0]._forward_pre_hooks


def test_several_threads_get_the_answers_of_eval_mode(monkeypatch):
    monkeypatch.setattr(module, "_BATCH", 1)
    data = toy_data(validation=200)
    right = MeasuredNetwork.for_data(toy_model(norm=True).eval(), data).outputs(200)
    network = MeasuredNetwork.for_data(toy_model(norm=True), data)
    with ThreadPoolExecutor(40) as pool:
        for k in range(40):
            pool.submit(network.maps, "0", k)
        outputs = network.outputs(200)
    assert torch.allclose(outputs, right, atol=1e-6) and network.model.training


def test_an_output_without_a_row_a_picture_is_refused():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(0))
    network = MeasuredNetwork(model, HeldOutImages(DATA, (1, 8, 8)))
    with pytest.raises(CourseError, match="one row for each image"):
        network.outputs(4)


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (nn.Linear(6 * 16, 1000), "It returns 1,000 scores an image, not one for each of the 3"),
        (nn.Unflatten(1, (6, 4, 4)), "It returns 6×4×4 numbers an image"),
    ],
)
def test_there_is_none_where_the_outputs_are_not_the_classes(head, says):
    model = toy_model()
    model[6] = head
    network = MeasuredNetwork.for_data(model, DATA)
    assert network.accuracy(8) is None
    assert network.why_no_accuracy.startswith(says)
    with pytest.raises(CourseError, match="cannot be trained here"):
        train_briefly(network)
