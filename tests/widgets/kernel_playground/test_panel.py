from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from course_utils.conv import PRESETS, filter_image  # noqa: F401 (the code line calls it)
from course_utils.core import CourseError
from course_utils.data import load_photograph
from course_utils.models import load_pretrained, pretrained_card
from course_utils.plots import canvas
from course_utils.widgets import first_layer
from course_utils.widgets.kernel_playground.kernel_grid import KernelGrid
from course_utils.widgets.kernel_playground.panel import (
    LEARNED,
    OWN,
    kernel_playground,
    meaning_of_sum,
)
from tests.plots.samples import pixels
from tests.widgets.messages import move


@pytest.fixture(scope="module")
def shared():
    return kernel_playground()


@pytest.fixture
def panel(shared):
    """One panel for all tests of this module, each time as if it were new."""
    shared.set(preset="identity")
    shared.set(preset="Sobel x")
    return shared


def test_every_preset_returns_what_conv2d_returns(panel):
    for name, preset in PRESETS.items():
        panel.set(preset=name)
        assert panel.exception is None
        kernel, result = panel.result.kernel, panel.result.result
        assert kernel.equal(preset())
        inside = F.conv2d(panel.result.picture[None, None], kernel[None, None])[0, 0]
        r = len(kernel) // 2
        torch.testing.assert_close(result[r : 256 - r, r : 256 - r], inside, atol=1e-3, rtol=1e-4)
        assert preset.description in panel.summary


def test_only_the_sliders_that_a_preset_has_are_shown(panel):
    for preset, sliders in {
        "Sobel x": [],
        "box blur": ["size"],
        "Gaussian blur": ["size", "sigma"],
        "unsharp mask": ["size", "sigma", "amount"],
        "Gabor": ["size", "sigma", "theta", "wavelength"],
        LEARNED: ["number"],
        OWN: [],
    }.items():
        panel.set(preset=preset)
        shown = [name for name, one in panel.controls.items() if one.layout.display is None]
        assert [name for name in shown if name not in ("preset", "kernel")] == sliders


def test_a_preset_starts_at_its_own_defaults_and_follows_its_sliders(panel):
    panel.controls["preset"].value = "Gabor"
    assert (panel.settings["size"], panel.settings["sigma"]) == (9, 2.0)
    panel.set(theta=90, wavelength=6.0)
    expected = PRESETS["Gabor"](theta=math.pi / 2, wavelength=6.0)
    torch.testing.assert_close(panel.result.kernel, expected)
    panel.set(sigma=1.5, preset="Gaussian blur", size=7)
    torch.testing.assert_close(panel.result.kernel, PRESETS["Gaussian blur"](size=7, sigma=1.5))


def test_the_fields_show_the_preset_and_typing_makes_a_kernel_of_the_reader(panel):
    panel.set(preset="sharpen")
    grid = panel.controls["kernel"]
    assert [field.value for field in grid.children] == [0, -1, 0, -1, 5, -1, 0, -1, 0]
    grid.children[4].value = 4.0
    assert panel.settings["preset"] == OWN
    assert panel.result.kernel.sum() == 0
    assert "sum to 0" in panel.summary
    panel.set(preset="box blur")
    grid.children[0].value = 0.0
    assert panel.result.kernel.sum().item() == pytest.approx(8 / 9), "the others stay exact"


def test_a_kernel_can_be_set_as_a_table(panel):
    panel.set(kernel=[[1, 2, 1], [0, 0, 0], [-1, -2, -1]])
    assert panel.settings["preset"] == OWN
    assert panel.result.kernel.tolist() == [[1, 2, 1], [0, 0, 0], [-1, -2, -1]]
    panel.set(kernel=np.full((5, 5), 0.04))
    assert len(panel.controls["kernel"].children) == 25
    assert "sum to 1" in panel.summary


def test_one_change_is_one_refresh(panel, monkeypatch):
    calls = []
    compute = panel.compute
    monkeypatch.setattr(panel, "compute", lambda **s: calls.append(s) or compute(**s))
    panel.controls["preset"].value = "Gabor"
    assert len(calls) == 1
    panel.set(kernel=np.eye(5))
    assert len(calls) == 2
    panel.controls["kernel"].children[0].value = 7.0
    assert len(calls) == 3


def test_what_is_not_a_kernel_is_refused_in_words_and_changes_nothing(panel):
    before = panel.settings
    for kernel in (
        3,
        [[1, 2], [3, 4]],
        [["x"] * 3] * 3,
        np.full((3, 3), np.nan),
        np.full((3, 3), 1e9),
        np.eye(7),
        None,
    ):
        with pytest.raises(CourseError, match=r"'kernel' cannot be .*(table|must)"):
            panel.set(kernel=kernel)
        assert panel.settings == before and panel.exception is None


def test_a_kernel_too_large_to_edit_hides_the_fields(panel):
    panel.set(preset="Gabor", size=15)
    assert panel.controls["kernel"].layout.display == "none"
    assert panel.result.kernel.shape == (15, 15)
    panel.set(size=5)
    assert panel.controls["kernel"].layout.display is None


def test_the_sum_is_explained():
    for words, numbers in {
        "1: an even area keeps": [1 / 9] * 9,
        "0: an even area becomes 0": [1, -1],
        "0.25: an even area becomes 0.25 times as bright": [0.25],
        "−2, below 0": [-2],
    }.items():
        kernel = torch.tensor([numbers], dtype=torch.float32)
        assert meaning_of_sum(kernel).startswith(f"the numbers sum to {words}")


def test_signed_results_are_coloured_and_others_grey(panel):
    panel.set(preset="identity")
    shown = pixels(panel.shown_picture)
    assert (shown[26:282, 8:264] == shown[26:282, 472:728]).all(), "the photograph twice"
    for preset, signed in (("Gaussian blur", False), ("Sobel x", True)):
        panel.set(preset=preset)
        half = pixels(panel.shown_picture)[30:270, -250:-10]
        assert np.ptp(half.astype(int), axis=-1).any() == signed


def test_an_even_picture_and_a_kernel_of_zeros_are_no_trouble():
    panel = kernel_playground(torch.full((20, 30), 77, dtype=torch.uint8))
    for preset in PRESETS:
        panel.set(preset=preset)
        assert panel.exception is None
    panel.set(kernel=np.zeros((3, 3)))
    assert panel.exception is None and panel.result.result.abs().max() == 0


def test_a_photograph_may_come_in_every_usual_layout():
    cat = load_photograph()
    last = cat.permute(1, 2, 0)
    grey = last.float() @ torch.tensor([0.299, 0.587, 0.114])
    for given in (cat, last, cat / 255, last.numpy(), grey / 255):
        picture = kernel_playground(given, preset="identity").result.picture
        torch.testing.assert_close(picture, grey, atol=1e-2, rtol=0)


def test_a_large_photograph_is_made_smaller_in_proportion():
    panel = kernel_playground(torch.zeros(3, 400, 800, dtype=torch.uint8))
    assert panel.result.picture.shape == (128, 256)
    assert pixels(panel.shown_picture).shape[1] <= 760


def test_what_is_not_a_photograph_is_refused_in_words():
    for shape, value in [
        ((5, 5), 0),
        ((2, 50, 50), 0),
        ((1, 3, 50, 50), 0),
        ((50, 50), 300.0),
        ((50, 50), math.nan),
        ((50, 50), -1.0),
    ]:
        with pytest.raises(CourseError, match="A photograph"):
            kernel_playground(torch.full(shape, value))


def test_the_code_line_returns_the_result(panel):
    for values in (
        {"preset": "Sobel y"},
        {"preset": "Gabor", "theta": 35, "size": 11},
        {"preset": "unsharp mask", "amount": 2.5},
        {"kernel": [[0, 1, 0], [1, -4.5, 1], [0, 1, 0]]},
    ):
        panel.set(**values)
        scope = globals() | {"photograph": panel.result.picture}
        torch.testing.assert_close(eval(panel.code(panel.result), scope), panel.result.result)


def test_colour_reaches_its_full_strength_though_one_pixel_stands_out():
    flat = torch.zeros(64, 64)
    flat[::4] = 0.2
    flat[32, 32] = 1.0
    panel = kernel_playground(flat, preset="Laplacian 4")
    half = pixels(panel.shown_picture)[30:80, 480:530]
    strongest = canvas.PALETTE[[127, 253]].tolist()
    assert any((half == colour).all(-1).sum() > 50 for colour in strongest)


def test_each_field_has_a_name_for_screen_readers():
    grid = KernelGrid(np.eye(3))
    names = [f"kernel, row {row}, column {column}" for row in range(3) for column in range(3)]
    assert [field.tooltip for field in grid.children] == names


def test_a_typed_number_that_is_too_large_is_answered_in_words(panel):
    field = panel._grid._fields[0][0]
    before = panel.settings["kernel"]
    move(field, value=1e7)
    assert "1e+07" in panel.error and "1,000,000" in panel.error
    assert isinstance(panel.exception, CourseError) and panel.settings["kernel"] == before
    move(field, value=2.0)
    assert panel.error == "" and panel.settings["kernel"][0][0] == 2.0


@pytest.mark.parametrize("number", [0, 18, 31])
def test_a_learned_kernel_filters_the_colours_as_the_network_does(panel, number):
    panel.set(preset=LEARNED, number=number)
    assert panel.exception is None and f"Kernel {number} of the first layer" in panel.summary
    network, card = load_pretrained("efficientnet_lite0"), pretrained_card("efficientnet_lite0")
    seen = card.preprocess(load_photograph(), 256)
    expected = F.conv2d(seen[None], network.stem.conv.weight[number : number + 1])[0, 0].detach()
    torch.testing.assert_close(panel.result.result[1:-1, 1:-1], expected, atol=1e-3, rtol=1e-4)
    assert panel.controls["kernel"].layout.display == "none"
    scope = globals() | {"normalised": seen}
    *first, last = panel.code(panel.result).splitlines()
    exec("\n".join(first), scope)
    torch.testing.assert_close(eval(last, scope), panel.result.result)


def test_the_photograph_of_a_learned_kernel_is_shown_in_its_colours(panel):
    panel.set(preset=LEARNED)
    shown = pixels(panel.shown_picture)[26:282, 8:264]
    cat = load_photograph().permute(1, 2, 0).numpy()
    assert np.abs(shown.astype(int) - cat).max() <= 1
    panel.set(preset="Sobel x")
    assert not np.ptp(pixels(panel.shown_picture)[26:282, 8:264].astype(int), axis=-1).any()


@pytest.mark.parametrize("shape", [(40, 30), (1, 40, 30), (40, 30, 3)])
def test_a_learned_kernel_takes_every_photograph(shape):
    panel = kernel_playground(torch.rand(shape), preset=LEARNED, number=7)
    assert panel.exception is None and panel.result.result.shape == (40, 30)


def test_learned_kernels_are_not_offered_without_their_weights(monkeypatch):
    monkeypatch.setattr(first_layer, "find_spec", lambda _name: None)
    assert LEARNED not in kernel_playground().controls["preset"].options
