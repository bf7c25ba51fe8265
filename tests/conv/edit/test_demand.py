from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils.conv import ConvEditor, ConvSettings, build_and_run, deepen, edit_conv
from course_utils.core import CourseError, OutOfMemory
from course_utils.core import memory as module
from course_utils.models import DenseBaseline, SimpleCNN

EXAMPLE = torch.zeros(1, 1, 28, 28)
HUGE = [
    {"out_channels": 10**6},
    {"out_channels": 10**30},
    {"kernel_size": 10**6},
    {"kernel_size": (10**9, 1)},
    {"kernel_size": 10**6, "padding": 10**6},
    {"kernel_size": 501, "padding_mode": "circular", "padding": 10**5},
    {"padding": 10**6},
    {"padding": 10**6, "padding_mode": "replicate"},
    {"groups": 10**9},
    {"in_channels": 10**6},
    {"in_channels": 10**9},
    {"out_channels": 10, "divisible_by": 10**8},
    {"out_channels": 10**6, "groups": 4},
]


@pytest.mark.parametrize("adapter", [True, False])
@pytest.mark.parametrize("changes", HUGE, ids=str)
def test_too_large_a_wish_is_refused_with_its_numbers(changes, adapter):
    for model in (SimpleCNN(), nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))):
        name = next(n for n, m in model.named_modules() if isinstance(m, nn.Conv2d))
        with pytest.raises(CourseError, match=r"\d"):
            edit_conv(model, name, example_input=EXAMPLE, adapter=adapter, **changes)
        editor = ConvEditor(model, EXAMPLE, adapter=adapter)
        with pytest.raises(CourseError, match=r"\d"):
            editor.edit(name, **changes)
        assert editor.model is model


def test_what_follows_counts(monkeypatch):
    monkeypatch.setattr(module, "free_memory", lambda device="cpu": 30_000_000)
    model, wide = SimpleCNN(widths=(16, 8)), SimpleCNN(widths=(16, 1024))
    edit_conv(model, "conv1", example_input=EXAMPLE, out_channels=1000)
    with pytest.raises(OutOfMemory, match=r"conv1 with out_channels=1000 .* 30 MB are free"):
        edit_conv(wide, "conv1", example_input=EXAMPLE, out_channels=1000)
    edit_conv(wide, "conv1", example_input=EXAMPLE, out_channels=8)  # fewer are always possible
    edit_conv(wide.to("meta"), "conv1", example_input=EXAMPLE, out_channels=1000)


def test_pixels_count_in_a_layer_after_a_flattening_only():
    model = nn.Sequential(
        nn.Conv2d(1, 64, 3), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(1024, 10)
    )
    assert edit_conv(model, "0", example_input=EXAMPLE, padding=100)[3].in_features == 1024
    with pytest.raises(OutOfMemory, match=r"classifier.weight would have 12,\d+,\d+ columns"):
        edit_conv(SimpleCNN(), "conv1", example_input=EXAMPLE, padding=1250)


@pytest.mark.parametrize("count", [10**6, 10**9])
def test_the_outputs_count(count):
    with pytest.raises(OutOfMemory, match=f"classifier with {count} outputs: give at most 65,536"):
        edit_conv(SimpleCNN(), "classifier", output=True, out_channels=count)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: no")])
def test_no_memory_during_an_edit_is_a_sentence(monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr("course_utils.conv.edit.surgery.move_weights", fail)
    with pytest.raises(OutOfMemory, match="not enough memory: give smaller numbers"):
        edit_conv(SimpleCNN(), "conv1", example_input=EXAMPLE, out_channels=20)


@pytest.mark.parametrize("depth", [10**4, 10**9])
def test_too_deep(depth):
    with pytest.raises(CourseError, match="from 1 to 1000"):
        deepen(SimpleCNN(), "conv1", depth)


def test_too_deep_for_the_memory(monkeypatch):
    monkeypatch.setattr(module, "free_memory", lambda device="cpu": 1_000_000)
    with pytest.raises(OutOfMemory, match=r"depth=100 needs about 3\.65 MB"):
        deepen(SimpleCNN(widths=(32, 32)), "conv1", 100)


@pytest.mark.parametrize(
    "settings",
    [
        {"out_channels": 10**6},
        {"kernel_size": 10**6, "padding": 10**6},
        {"kernel_size": 10**5, "padding": "same"},
        {"padding": 10**6},
        {"padding": 10**4, "padding_mode": "replicate"},
        {"padding": 5000, "out_channels": 64},
    ],
)
def test_one_layer(settings):
    with pytest.raises(OutOfMemory, match=r"A layer with .*\d"):
        build_and_run(ConvSettings(**settings), torch.rand(1, 28, 28))


@pytest.mark.parametrize(
    "make",
    [
        lambda: SimpleCNN(widths=(10**7, 10**7)),
        lambda: SimpleCNN(classes=10**10),
        lambda: SimpleCNN(image_size=10**7),
        lambda: DenseBaseline(hidden=(10**6, 10**7)),
    ],
)
def test_a_network_that_does_not_fit(make):
    with pytest.raises(OutOfMemory, match=r"weights needs about [\d.,]+ TB"):
        make()


def test_the_work_of_the_widest_known_layers_is_not_too_much():
    """RegNet-Y 128GF has a 1 × 1 layer of 7,392 channels, which may become 3 × 3."""
    with torch.device("meta"):
        model = nn.Sequential(nn.Conv2d(7392, 7392, 1, bias=False))
    edited = edit_conv(model, "0", kernel_size=3, example_input=torch.empty(2, 7392, 12, 12))
    assert edited[0].kernel_size == (3, 3)
    with pytest.raises(OutOfMemory, match="billion multiply-adds"):
        edit_conv(
            model, "0", kernel_size=3, example_input=torch.empty(2, 7392, 96, 96, device="meta")
        )
