from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from course_utils.conv import ImpossibleSetting
from course_utils.conv.edit.settings import CHANGEABLE, simple_settings
from course_utils.core.errors import CourseError
from course_utils.core.runtime import one_thread
from course_utils.widgets.one_click import look as module
from course_utils.widgets.one_click.bench import bench_for
from course_utils.widgets.one_click.look import (
    FOLLOWS,
    Look,
    brief_pictures,
    changes_of,
    edit,
    no_accuracy,
    train_briefly,
)
from tests.toys import same, toy_data, toy_model, weights

DATA = toy_data()


@pytest.fixture(autouse=True)
def quietly():
    with one_thread():
        yield


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


class TestSettings:
    def test_equal_pairs_are_one_number_and_others_stay(self):
        settings = simple_settings(nn.Conv2d(2, 4, (1, 7), padding=(0, 3), stride=2, bias=False))
        assert tuple(settings) == CHANGEABLE
        assert settings["kernel_size"] == (1, 7) and settings["padding"] == (0, 3)
        assert settings["stride"] == 2 and settings["bias"] is False

    def test_what_the_layer_has_is_no_change(self):
        conv = nn.Conv2d(2, 4, 3, padding=1)
        assert changes_of(conv, wanted(conv)) == {}
        assert changes_of(conv, wanted(conv, padding=1)) == {}

    def test_a_padding_of_its_own_counts_beside_another_change(self):
        conv = nn.Conv2d(2, 4, 3, padding=1)
        assert changes_of(conv, wanted(conv, kernel_size=5)) == {"kernel_size": 5}
        both = {"kernel_size": 5, "padding": 1}
        assert changes_of(conv, wanted(conv, **both)) == both
        assert changes_of(conv, wanted(conv, padding="valid")) == {"padding": "valid"}


class TestLook:
    def test_the_edited_network_stands_beside_the_former_one(self):
        model = two_layers()
        before = weights(model)
        bench = bench_for(model, DATA)
        look = Look(bench, "0", edit(bench, "0", {"out_channels": 7}))
        assert same(before, weights(model)) and model.training
        assert look.after.model[3].in_channels == 7
        assert look.touched == {"0", "1", "3"}
        assert [maps.shape for maps in look.maps] == [(4, 8, 8), (7, 8, 8)]
        assert look.same_function and look.difference < 1e-4
        assert look.accuracies[0] == look.accuracies[1] is not None

    def test_the_difference_is_measured(self):
        bench = bench_for(two_layers(), DATA)
        look = Look(bench, "3", edit(bench, "3", {"bias": False}))
        with torch.no_grad():
            images = bench.held_out.images
            old, new = (b.model.eval()(images) for b in (look.before, look.after))
        expected = (new - old).abs().max() / old.abs().max()
        assert look.difference == pytest.approx(float(expected), rel=1e-4)
        assert not look.same_function

    def test_without_an_edit_both_sides_are_one(self):
        look = Look(bench_for(two_layers(), DATA), "0")
        assert look.after is look.before and look.report is None and look.touched == frozenset()
        assert look.difference == 0 and look.same_function

    def test_the_picture_and_its_class_are_those_of_the_index(self):
        bench = bench_for(toy_model(), DATA)
        look = Look(bench, "0", index=4)
        assert look.label == DATA.classes[int(DATA.validation.labels[4])]
        assert torch.equal(look.image, DATA.normalise(DATA.validation.images[4]))
        with torch.no_grad():
            assert torch.allclose(look.maps[0], bench.model[0](look.image[None])[0])

    def test_a_network_that_costs_more_answers_fewer_pictures(self, monkeypatch):
        data = toy_data(validation=120)
        bench = bench_for(toy_model(), data)
        edited = edit(bench, "0", {"out_channels": 60})
        monkeypatch.setattr(module, "_AT_ONCE", 120 * bench.multiply_adds)
        assert Look(bench, "0").count == 64
        assert Look(bench, "0", edited).count == module.LEAST
        assert Look(edited.bench, "0", first=bench).count == module.LEAST

    def test_where_nothing_can_be_right_a_few_pictures_do(self, monkeypatch):
        bench = bench_for(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()), DATA)
        monkeypatch.setattr(module, "_AT_ONCE", 1)
        assert Look(bench, "0").count == 4

    def test_an_impossible_setting_says_what_is_nearest(self):
        bench = bench_for(two_layers(), DATA)
        with pytest.raises(ImpossibleSetting) as caught:
            edit(bench, "3", {"groups": 4})
        assert caught.value.nearest


class TestAccuracy:
    def test_it_is_the_share_of_right_answers(self):
        bench = bench_for(toy_model(), DATA)
        answers = bench.outputs(24).argmax(1)
        assert bench.accuracy(24) == (answers == DATA.validation.labels).float().mean()
        assert no_accuracy(bench) == ""

    @pytest.mark.parametrize(
        ("head", "says"),
        [
            (nn.Linear(6 * 16, 1000), "It gives 1,000 scores a picture, not one for each of the 3"),
            (nn.Unflatten(1, (6, 4, 4)), "It gives 6×4×4 numbers a picture"),
        ],
    )
    def test_there_is_none_where_the_outputs_are_not_the_classes(self, head, says):
        model = toy_model()
        model[6] = head
        bench = bench_for(model, DATA)
        assert bench.accuracy(8) is None
        assert no_accuracy(bench).startswith(says)
        with pytest.raises(CourseError, match="nothing to train it for"):
            train_briefly(bench)


class TestTraining:
    def test_a_copy_learns(self):
        bench = bench_for(toy_model(), toy_data(train=600))
        before = weights(bench.model)
        trained = train_briefly(bench)
        assert same(before, weights(bench.model))
        assert trained.pictures == 600
        assert trained.accuracy > bench.accuracy(24)
        right = module.Bench(trained.model, bench.held_out).accuracy(24)
        assert trained.accuracy == right

    def test_the_same_seed_gives_the_same_numbers(self):
        bench = bench_for(toy_model(dropout=0.3), DATA)
        first, second = (train_briefly(bench, pictures=40, seed=3) for _ in range(2))
        assert same(weights(first.model), weights(second.model)) and first.pictures == 40

    def test_a_stopped_one_gives_nothing(self):
        stop = threading.Event()
        stop.set()
        assert train_briefly(bench_for(toy_model(), DATA), stop=stop) is None

    def test_pictures_are_adapted_to_what_the_network_takes(self):
        model = nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(96, 3)
        )
        bench = bench_for(model, DATA)
        steps = []
        trained = train_briefly(bench, pictures=32, on_step=steps.append)
        assert bench.held_out.shape == (3, 64, 64) and len(steps) == 1
        assert 0 <= trained.accuracy <= 1
        small = module._brief_data(bench.held_out, 8)
        assert torch.equal(small.mean, DATA.mean.repeat(3))
        assert torch.equal(small.std, DATA.std.repeat(3))

    def test_a_network_that_costs_more_sees_fewer(self, monkeypatch):
        bench = bench_for(toy_model(), toy_data(train=2000))
        assert brief_pictures(bench) == 2000
        monkeypatch.setattr(module, "_BRIEFLY", 1000 * bench.multiply_adds)
        assert brief_pictures(bench) == 512
        monkeypatch.setattr(module, "_BRIEFLY", 1)
        assert brief_pictures(bench) == 256
