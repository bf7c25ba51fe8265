from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from course_utils.conv import edit_conv
from course_utils.core.errors import CourseError
from course_utils.core.runtime import one_thread
from course_utils.widgets.one_click import bench as module
from course_utils.widgets.one_click.bench import (
    Bench,
    HeldOut,
    adapted,
    bench_for,
    input_shape,
)
from tests.toys import toy_data, toy_model

DATA = toy_data()


@pytest.fixture(autouse=True)
def quietly():
    with one_thread():
        yield


class TestPictures:
    def test_grey_is_repeated_and_colour_averaged(self):
        grey, colour = torch.rand(2, 1, 4, 4), torch.rand(2, 3, 4, 4)
        assert torch.equal(adapted(grey, (3, 4, 4)), grey.expand(-1, 3, -1, -1))
        assert torch.equal(adapted(colour, (1, 4, 4)), colour.mean(1, keepdim=True))
        assert torch.equal(adapted(colour, (5, 4, 4))[:, 3:], colour[:, :2])
        assert adapted(colour, (3, 4, 4)) is colour

    def test_other_sizes_are_resized(self):
        flat = torch.full((2, 1, 8, 8), 0.25)
        for size in ((16, 16), (5, 3)):
            made = adapted(flat, (1, *size))
            assert made.shape == (2, 1, *size) and torch.allclose(made, torch.tensor(0.25))

    def test_they_are_the_first_of_validation(self):
        held_out = HeldOut(DATA, (1, 8, 8))
        assert len(held_out) == 24
        assert torch.equal(held_out.images, DATA.normalise(DATA.validation.images))
        assert torch.equal(held_out.labels, DATA.validation.labels)

    def test_without_validation_they_are_those_of_the_test(self):
        data = toy_data(validation=0)
        assert torch.equal(HeldOut(data, (1, 8, 8)).labels, data.test.labels)

    def test_large_ones_are_fewer(self):
        data = toy_data(validation=120)
        assert len(HeldOut(data, (3, 299, 299))) == 62
        assert len(HeldOut(data, (3, 64, 64))) == 120


class TestInputShape:
    def test_the_datas_own_size_comes_first(self):
        assert input_shape(toy_model(), DATA) == (1, 8, 8)

    @pytest.mark.parametrize("side", [32, 224])
    def test_a_network_for_one_size_gets_it(self, side):
        model = nn.Sequential(
            nn.Conv2d(3, 2, 4, 4), nn.Flatten(), nn.Linear(2 * (side // 4) ** 2, 3)
        )
        assert input_shape(model, DATA) == (3, side, side)
        assert model.training, "it is in the mode in which it was"

    def test_a_network_for_no_usual_size_is_refused_with_its_own_words(self):
        model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(7, 3))
        with pytest.raises(CourseError, match=r"accepts no picture of 1 channels.*RuntimeError"):
            input_shape(model, DATA)

    def test_a_network_without_convolution_or_numbers_is_refused(self):
        with pytest.raises(CourseError, match="no Conv2d"):
            input_shape(nn.Linear(3, 3), DATA)
        with pytest.raises(CourseError, match="meta device"):
            input_shape(toy_model().to("meta"), DATA)


class TestBench:
    def test_layers_stand_in_the_order_of_their_calls(self):
        class Backwards(nn.Module):
            def __init__(self):
                super().__init__()
                self.head = nn.Linear(4, 3)
                self.second = nn.Conv2d(2, 4, 3, stride=2)
                self.unused = nn.Conv2d(2, 2, 1)
                self.first = nn.Conv2d(1, 2, 3)

            def forward(self, x):
                return self.head(self.second(self.first(x)).mean((2, 3)))

        bench = bench_for(Backwards(), DATA)
        assert [block.name for block in bench.blocks] == ["first", "second", "head"]
        assert list(bench.convs) == ["first", "second"]
        first, second, head = bench.blocks
        assert (first.channels, first.size) == (2, (6, 6)) and str(first.receptive_field) == "3×3"
        assert (second.channels, second.size) == (4, (2, 2))
        assert (head.channels, head.size, head.receptive_field) == (3, None, None)
        assert bench.multiply_adds == 2 * 36 * 9 + 4 * 4 * 18 + 12
        assert bench.block("second") is second

    def test_a_layer_that_is_called_twice_is_one_block(self):
        conv = nn.Conv2d(1, 1, 3, padding=1)
        bench = bench_for(nn.Sequential(conv, conv), DATA)
        assert [block.name for block in bench.blocks] == ["0"]

    def test_an_adapter_is_part_of_its_layer(self):
        class Squared(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(1, 4, 3, padding=1)

            def forward(self, x):
                return self.conv(x).reshape(len(x), 2, 2, 8, 8).sum((1, 3, 4))

        bench = bench_for(Squared(), DATA)
        edited = edit_conv(bench.model, "conv", example_input=bench.example, out_channels=6)
        after = Bench(edited, bench.held_out)
        (block,) = after.blocks
        assert block.adapted == hasattr(edited.conv, "project")
        assert block.channels == len(after.maps("conv", 0)) == 6

    def test_outputs_are_computed_once_and_in_eval_mode(self):
        model = toy_model(dropout=0.5, norm=True)
        calls = []
        model.register_forward_hook(lambda *_: calls.append(model.training))
        bench = bench_for(model, DATA)
        calls.clear()
        many, few = bench.outputs(20), bench.outputs(8)
        assert torch.equal(many[:8], few) and calls == [False]
        assert model.training and not many.requires_grad

    def test_only_what_is_before_the_layer_runs_for_its_maps(self):
        model = toy_model()
        ran = []
        model[6].register_forward_hook(lambda *_: ran.append(1))
        bench = bench_for(model, DATA)
        ran.clear()
        assert bench.maps("0", 3).shape == (6, 8, 8) and ran == []
        assert bench.maps("0", 3) is bench.maps("0", 3)
        assert not model[0]._forward_pre_hooks

    def test_several_threads_get_the_answers_of_eval_mode(self, monkeypatch):
        monkeypatch.setattr(module, "_AT_ONCE", 1)
        data = toy_data(validation=200)
        right = bench_for(toy_model(norm=True).eval(), data).outputs(200)
        bench = bench_for(toy_model(norm=True), data)
        threads = [threading.Thread(target=bench.maps, args=("0", k)) for k in range(40)]
        for thread in threads:
            thread.start()
        outputs = bench.outputs(200)
        for thread in threads:
            thread.join()
        assert torch.allclose(outputs, right, atol=1e-6) and bench.model.training

    def test_an_output_without_a_row_a_picture_is_refused(self):
        class Total(nn.Conv2d):
            def forward(self, x):
                return super().forward(x).sum()

        bench = Bench(nn.Sequential(Total(1, 2, 3)), HeldOut(DATA, (1, 8, 8)))
        with pytest.raises((CourseError, TypeError)):
            bench.outputs(4)
