from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from course_utils.conv import ImpossibleSetting
from course_utils.core import CourseError
from course_utils.plots import canvas
from course_utils.widgets.convolution_stepper import panel as module
from course_utils.widgets.convolution_stepper import picture as stepper_picture
from course_utils.widgets.convolution_stepper.panel import IMAGES, KERNELS, convolution_stepper
from tests.plots.samples import pixels, written

TSHIRT = "T-shirt (Fashion-MNIST)"


@pytest.fixture
def panel():
    return convolution_stepper()


def orange(panel) -> np.ndarray:
    """Return which pixels of the panel's picture have the window's colour, bool (H, W)."""
    return (pixels(panel.shown_picture) == canvas.PALETTE[canvas.ACCENT]).all(-1)


def test_the_panel_opens_on_a_kernel_that_differs_from_its_flip(panel):
    assert panel.exception is None
    assert not panel.result.step.kernel.equal(panel.result.flipped.kernel)


def test_every_picture_is_small_whole_and_not_flat():
    for name, make in IMAGES.items():
        table = make()
        assert table.shape == (7, 7) and table.equal(table.round()), name
        assert table.min() >= 0 and 1 <= table.max() <= 9, name
        assert table.unique().numel() > 1, name


@pytest.mark.parametrize("kernel", KERNELS)
def test_both_operations_agree_with_pytorch(panel, kernel):
    panel.set(kernel=kernel, image=TSHIRT, stride=2, padding=2)
    weights = KERNELS[kernel]()
    both = torch.stack([weights, weights.flip(0, 1)])[:, None]
    expected = F.conv2d(IMAGES[TSHIRT]()[None], both, stride=2, padding=2).flatten(1)
    for position, sums in enumerate(expected.T.tolist()):
        panel.set(position=position)
        step, flipped = panel.result.step, panel.result.flipped
        assert [step.sum, flipped.sum] == pytest.approx(sums, abs=1e-5)
        assert step.products.sum().item() == pytest.approx(step.sum, abs=1e-5)


def test_the_summary_spells_out_the_sum():
    panel = convolution_stepper([[1, 2], [3, 4]], [[2, -1]], position=1)
    assert panel.summary == (
        "window 1 of 0…1 (row 1, column 0): kernel as it lies: 3·2 + 4·(−1) = 2; "
        "kernel turned by 180°: 5; output 2 × 1"
    )
    panel.set(image="impulse", kernel="5 × 5 arrow", position=4)
    assert "+ … (16 more) = 2; kernel turned by 180°: 2" in panel.summary


def test_the_position_follows_the_number_of_windows(panel):
    position = panel.controls["position"]
    panel.play.value = 24
    assert panel.result.position == 24
    panel.set(padding=1)
    assert (position.max, panel.play.max, position.value) == (48, 48, 24)
    panel.set(position=48)
    panel.set(padding=0, stride=2)
    assert (position.max, panel.play.max, position.value, panel.play.value) == (8, 8, 8, 8)
    assert panel.result.position == 8
    panel.set(position=999)
    assert (position.max, position.value, panel.exception) == (8, 8, None)
    panel.set(position=-3)
    assert (position.min, position.value, panel.exception) == (0, 0, None)


def test_an_impossible_setting_names_the_formula_and_a_way_out_that_this_panel_has(panel):
    panel.set(kernel="5 × 5 arrow", dilation=2)
    assert isinstance(panel.exception, ImpossibleSetting)
    assert "spans 9 pixels" in panel.error and "H_out = ⌊" in panel.error
    assert panel.nearest == {"padding": 1}
    panel.apply_nearest()
    assert panel.exception is None and panel.result.correlation.output.shape == (1, 1)


def test_the_nearest_setting_always_works():
    small, values = torch.ones(2, 2), itertools.product((1, 3), (0, 1, 2), (1, 2, 3))
    for kernel, numbers in itertools.product(KERNELS.values(), values):
        window = dict(zip(("stride", "padding", "dilation"), numbers, strict=True))
        try:
            module.view(small, kernel(), 0, **window)
        except ImpossibleSetting as error:
            assert set(error.nearest) <= set(window) and error.nearest
            module.view(small, kernel(), 0, **(window | error.nearest))


@given(
    height=st.integers(1, 8),
    width=st.integers(1, 8),
    taps=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    window=st.fixed_dictionaries(
        {"stride": st.integers(1, 3), "padding": st.integers(0, 2), "dilation": st.integers(1, 3)}
    ),
    share=st.floats(0, 1),
    scale=st.sampled_from([1.0, 9.0, 0.37, 255.0]),
    seed=st.integers(0, 5),
)
@settings(max_examples=80)
def test_whatever_fits_is_drawn_with_nothing_cut_and_no_letter_too_small(
    height, width, taps, window, share, scale, seed
):
    random = torch.Generator().manual_seed(seed)
    image = torch.randint(-9, 10, (height, width), generator=random) * scale
    kernel = torch.randint(-9, 10, taps, generator=random).float()
    try:
        shown = module.view(image, kernel, 0, **window)
    except ImpossibleSetting:
        return
    shown = module.view(image, kernel, round(share * (len(shown.correlation) - 1)), **window)
    with written() as texts:
        drawn = pixels(stepper_picture.draw(shown))
    height, width, _ = drawn.shape
    assert (height, width) == (stepper_picture.HEIGHT, stepper_picture.WIDTH)
    for words, left, top, size, right in texts:
        assert size >= 11, words
        assert left >= 0 and right <= width and 0 <= top <= height - size, words
    # The frame of the current output number lies inside, too: nothing reaches the last pixels.
    assert (drawn[-2:] == 255).all() and (drawn[:, -2:] == 255).all()


def test_the_window_moves_over_the_picture_and_the_output_fills_up(panel):
    columns, blank = [], []
    for position in (0, 1, 24):
        panel.set(position=position)
        columns.append(np.nonzero(orange(panel)[:250, :250].any(0))[0][[0, -1]])
        blank.append((pixels(panel.shown_picture) == 255).all(-1).sum())
    assert (columns[1] - columns[0] == stepper_picture._cell_sizes(panel.result)[0]).all()
    assert blank[0] > blank[1] > blank[2] + 5000


def test_dilation_rings_the_pixels_that_are_read(panel):
    shown = {}
    for dilation in (1, 2):
        panel.set(dilation=dilation, position=0)
        shown[dilation] = orange(panel)
    cell = stepper_picture._cell_sizes(panel.result)[0]
    middle = cell // 2
    corner = 8, 28  # of the picture's first pixel, in pixels of the canvas

    def ringed(orange, row, column):
        left, top = corner[0] + column * cell, corner[1] + row * cell
        return bool(orange[top + 1, left + middle] and orange[top + middle, left + 1])

    rings = {(i, j) for i in range(5) for j in range(5) if ringed(shown[2], i, j)}
    assert rings >= {(i, j) for i in (0, 2, 4) for j in (0, 2, 4)}
    assert (1, 1) not in rings and (3, 3) not in rings
    assert not ringed(shown[1], 1, 1)


def test_the_code_line_returns_the_same_number(panel):
    for values in (
        {"position": 3},
        {"stride": 2, "padding": 1, "position": 6},
        {"kernel": "5 × 5 arrow", "padding": 2, "dilation": 2, "position": 8},
    ):
        panel.set(**values)
        step, code = panel.result.step, panel.code(panel.result)
        scope = {"torch": torch, "image": panel.result.correlation.image, "kernel": step.kernel}
        assert eval(code, scope).item() == pytest.approx(step.sum)
        assert code.endswith(f"# {step.sum:g}")


def test_no_row_says_yet_which_one_a_layer_computes(panel):
    """Notebook 02_1 lets the reader find out first, and also ask for the formula."""
    with written() as texts:
        panel.set(padding=2, stride=2)
    words = " ".join([panel.summary, panel.shown_code, *(text for text, *_ in texts)])
    assert "kernel as it lies" in words and "kernel turned by 180°" in words
    assert not any(word in words for word in ("onv2d", "correlation", "onvolution", "⌊"))
    panel.set(kernel="mean (box blur)")
    with written() as texts:
        panel.refresh()
    assert "kernel turned by 180°, looks the same" in {text for text, *_ in texts}


def test_an_impulse_shows_the_kernel_turned_by_correlation_and_upright_by_convolution(panel):
    panel.set(image="impulse", kernel="1 to 9")
    kernel = KERNELS["1 to 9"]()
    assert panel.result.correlation.output[1:4, 1:4].equal(kernel.flip(0, 1))
    assert panel.result.convolution.output[1:4, 1:4].equal(kernel)


def test_what_the_panel_cannot_show_is_refused_in_words():
    for words, image in {
        "image of at most 8 × 8 numbers, not 9 × 9": torch.zeros(9, 9),
        "not 1 × 7 × 7": torch.zeros(1, 7, 7),
        "not a single number": 3,
        "must be a table of numbers": [[1, 2], [3]],
        "inf or nan": [[float("nan")]],
    }.items():
        with pytest.raises(CourseError, match=words):
            convolution_stepper(image)
    with pytest.raises(CourseError, match="kernel of at most 5 × 5 numbers, not 7 × 7"):
        convolution_stepper(kernel=torch.zeros(7, 7))


def test_an_own_picture_stays_beside_the_presets():
    panel = convolution_stepper(np.eye(3), torch.ones(2, 2, requires_grad=True))
    assert panel.settings["image"] == "your image" and panel.settings["kernel"] == "your kernel"
    assert panel.result.step.sum == 2
    panel.set(image="diagonal", kernel="1 to 9")
    assert panel.exception is None
