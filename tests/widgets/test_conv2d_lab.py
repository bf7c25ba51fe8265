from __future__ import annotations

from importlib import import_module
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from course_utils.conv import ConvSettings, ImpossibleSetting, build_and_run
from course_utils.core import CourseError
from course_utils.data import load_dataset
from course_utils.models import load_pretrained
from course_utils.plots import canvas
from course_utils.widgets import first_layer
from course_utils.widgets.conv2d_lab import code_for, conv2d_lab
from tests.plots.samples import pixels, written
from tests.toys import same, weights
from tests.widgets.messages import move

GREY, COLOUR, MAPS = "clothing, 1 channel", "photograph, 3 channels", "conv1 maps, 16 channels"
VALUES = {
    "in_channels": st.integers(1, 16),
    "out_channels": st.integers(1, 32),
    "kernel_size": st.integers(1, 11),
    "stride": st.integers(1, 6),
    "padding": st.one_of(st.integers(0, 10), st.sampled_from(["same", "valid"])),
    "dilation": st.integers(1, 6),
    "groups": st.integers(1, 16),
    "padding_mode": st.sampled_from(["zeros", "reflect", "replicate", "circular"]),
}

lab = import_module("course_utils.widgets.conv2d_lab")  # the room has a function of this name


@pytest.fixture(scope="module")
def shared():
    panel = conv2d_lab()
    panel.start = panel.settings
    return panel


@pytest.fixture
def panel(shared):
    """One panel for all tests of this module, each time as if it were new."""
    shared.set(**shared.start)
    assert shared.exception is None
    return shared


def test_the_maps_are_those_of_the_layer(panel):
    result = panel.result
    expected = F.conv2d(result.input[None], result.layer.weight, result.layer.bias, padding=1)[0]
    torch.testing.assert_close(result.maps, expected)
    assert panel.summary == (
        "output 16 × 28 × 28: ⌊(28 + 2·1 − 1·(3 − 1) − 1) / 1⌋ + 1 = 28; 160 parameters; "
        "112,896 multiply-adds; receptive field 3 × 3"
    )


def test_the_code_line_leaves_defaults_out(panel):
    assert panel.code(panel.result) == "nn.Conv2d(1, 16, kernel_size=3, padding=1)"
    panel.set(padding="same", bias=False)
    assert "(1, 16, kernel_size=3, padding='same', bias=False)" in panel.code(panel.result)


@given(st.builds(ConvSettings, **VALUES, bias=st.booleans(), initialisation=st.just("he")))
@settings(max_examples=40)
def test_the_code_line_builds_the_same_layer(chosen):
    try:
        ours = build_and_run(chosen, torch.zeros(16, 28, 28)).layer
    except ImpossibleSetting:
        return
    assert repr(eval(code_for(chosen), {"nn": nn})) == repr(ours)


@given(
    source=st.sampled_from([GREY, COLOUR, MAPS]),
    values=st.fixed_dictionaries(VALUES),
    trained=st.booleans(),
)
@settings(max_examples=40)
def test_the_nearest_setting_always_works(shared, source, values, trained):
    shared.set(source=source, trained=trained, bias=True, initialisation="default")
    shared.set(**values)
    if shared.exception is not None:
        assert isinstance(shared.exception, CourseError), shared.error
        assert len(shared.error) > 20 and shared.nearest, shared.error
        shared.apply_nearest()
    assert shared.exception is None, shared.error
    assert shared.result.shape[0] == shared.settings["out_channels"]


def test_an_impossible_setting_shows_formula_numbers_and_button(panel):
    panel.set(padding=0, kernel_size=11, dilation=6)
    assert isinstance(panel.exception, ImpossibleSetting)
    assert "H_out = ⌊(H + 2·p − d·(k − 1) − 1) / s⌋ + 1" in panel.error
    assert "28 + 2·0 − 6·(11 − 1) − 1" in panel.error


def test_a_new_input_is_shown_with_all_its_channels(panel):
    panel.set(source=COLOUR)
    assert (panel.settings["in_channels"], panel.result.input.shape) == (3, (3, 112, 112))
    panel.set(source=MAPS)
    assert (panel.settings["in_channels"], panel.result.input.shape) == (16, (16, 14, 14))
    panel.set(in_channels=2, source=COLOUR)
    assert panel.result.input.shape == (2, 112, 112)


def test_the_index_chooses_the_test_picture(panel):
    data = load_dataset("fashion-mnist")
    panel.set(index=7)
    assert panel.result.input.equal(data.normalise(data.test.images[7:8])[0])
    panel.set(index=5000)
    assert "There are 2,000 test pictures" in panel.error


def test_trained_kernels_replace_random_ones(panel):
    network = load_pretrained("first_cnn")
    random = panel.result.weight.clone()
    panel.set(trained=True)
    assert panel.result.weight.equal(network.conv1.weight)
    assert panel.result.layer.bias.equal(network.conv1.bias)
    for out, size, kept in ((16, 3, 16), (20, 3, 16), (20, 1, 0)):
        panel.set(out_channels=out, kernel_size=size)
        assert f"{kept} of {out} kernels as trained" in panel.summary
    panel.set(trained=False, out_channels=16, kernel_size=3)
    assert panel.result.weight.equal(random)
    assert "trained" not in panel.summary
    panel.set(source=MAPS, trained=True, out_channels=32)
    assert panel.result.weight.equal(network.conv2.weight)
    assert "32 of 32 kernels as trained" in panel.summary


def test_a_photograph_has_the_learned_kernels_of_efficientnet_lite0(panel):
    panel.set(source=COLOUR, trained=True, out_channels=32, stride=2)
    stem = load_pretrained("efficientnet_lite0").stem.conv
    assert panel.result.weight.equal(stem.weight)
    assert "32 of 32 kernels as trained in EfficientNet-Lite0" in panel.summary
    left = pixels(panel.shown_picture)[: lab._TOP + 112, : lab._LEFT - 20].astype(int)
    assert np.ptp(left, axis=-1).max() > 50, "the cat is in colour"
    # Kernel 16 is all but 0, so it is grey: 128 where it stands in the fourth row.
    grey = (pixels(panel.shown_picture) == 128).all(-1)
    assert grey.sum() > 9 * 6 * 6
    panel.set(source=GREY, trained=True)
    assert "as trained" in panel.summary and "Lite0" not in panel.summary


def test_without_these_weights_the_photograph_has_those_of_the_course(monkeypatch):
    monkeypatch.setattr(first_layer, "find_spec", lambda _name: None)
    panel = conv2d_lab(source=COLOUR, trained=True)
    assert panel.exception is None and "Lite0" not in panel.summary
    own = nn.Conv2d(3, 4, 3)
    assert conv2d_lab(layer=own, source=COLOUR, trained=True, out_channels=4).result.weight.equal(
        own.weight
    )


@pytest.mark.parametrize("scale", [0.0, 1.0, 1000.0])
def test_an_image_of_three_channels_is_drawn_in_colour_whatever_its_scale(scale):
    image = torch.rand(3, 9, 7, generator=torch.Generator().manual_seed(0)) * scale - 3
    panel = conv2d_lab(image, groups=1)
    assert panel.exception is None
    colours = np.ptp(pixels(panel.shown_picture)[:200, : lab._LEFT - 20].astype(int), axis=-1)
    assert (colours.max() > 50) == (scale > 0)
    panel.set(groups=3, out_channels=3)
    assert panel.exception is None, "one slice: not in colour"


def test_the_trained_network_itself_is_never_changed(panel):
    before = weights(load_pretrained("first_cnn"))
    panel.set(trained=True, out_channels=4, kernel_size=5)
    panel.set(source=MAPS, groups=2)
    assert same(before, weights(load_pretrained("first_cnn")))


def test_an_image_and_a_layer_of_the_reader():
    image = torch.arange(50.0).reshape(2, 5, 5)
    layer = nn.Conv2d(2, 3, 3)
    panel = conv2d_lab(image, layer=layer, trained=True, out_channels=3, padding=0)
    assert panel.exception is None
    torch.testing.assert_close(panel.result.maps, layer(image).detach())
    assert "3 of 3 kernels as trained" in panel.summary
    assert conv2d_lab(image[0]).result.input.shape == (1, 5, 5)
    with pytest.raises(CourseError, match=r"shape \(C, H, W\) or \(H, W\), not \(1, 2, 5, 5\)"):
        conv2d_lab(image[None])


def test_the_picture_has_the_size_of_its_place_and_its_maps_are_whole_pixels(panel):
    shown = pixels(panel.shown_picture)
    assert shown.shape == (lab._HEIGHT, lab._WIDTH, 3)
    maps = canvas.signed_indices(panel.result.maps.numpy())
    first = canvas.PALETTE[maps[0].repeat(4, axis=0).repeat(4, axis=1)]
    assert (shown[lab._TOP : lab._TOP + 112, lab._LEFT : lab._LEFT + 112] == first).all()


@pytest.mark.parametrize("source, kernels", [(GREY, 16), (COLOUR, 32), (MAPS, 3)])
def test_a_kernel_and_its_map_have_the_same_number(panel, source, kernels):
    with written() as texts:
        panel.set(source=source, out_channels=kernels)
    sides = {True: [], False: []}
    for words, left, *_ in texts:
        if words.isdigit():
            sides[left < lab._LEFT].append(int(words))
    assert sides[True] == sides[False] == [*range(kernels)]


def test_maps_are_told_apart_where_they_are_white(panel):
    """White is also 0: a map of zeros still has its frame, and 4 white pixels beside it."""
    panel.set(initialisation="zeros", bias=False)
    shown = pixels(panel.shown_picture)
    row = (shown[lab._TOP + 5, lab._LEFT - 1 :] == 255).all(-1).tolist()
    assert (
        row[0] is False
        and row[1:113] == [True] * 112
        and row[113:119] == [False, *[True] * 4, False]
    )


def test_a_lab_without_the_formula():
    panel = conv2d_lab(show_formula=False)
    assert panel.summary.startswith("output 16 × 28 × 28; 160 parameters")


@pytest.mark.parametrize("values", [{"in_channels": 16, "out_channels": 32}, {"kernel_size": 11}])
def test_no_letter_is_cut_or_covered(panel, values):
    with written() as texts:
        panel.set(source=MAPS, padding="same", **values)
    assert panel.exception is None and len(texts) >= 4
    for words, left, top, size, right in texts:
        assert size >= 11
        assert right <= (lab._LEFT if left < lab._LEFT else lab._WIDTH), words
        assert 0 <= top <= lab._HEIGHT - size


def test_an_exception_before_the_refresh_is_shown(panel, monkeypatch):
    """The first call moves in_channels, the second one is that of `compute`."""
    working = panel._sources[COLOUR](0)
    source = Mock(side_effect=[RuntimeError("no file"), working])
    monkeypatch.setitem(panel._sources, COLOUR, source)
    move(panel.controls["source"], index=1)
    assert panel.error == "Unexpected RuntimeError: no file"
    move(panel.controls["stride"], value=2)
    assert panel.error == "" and source.call_count == 2
