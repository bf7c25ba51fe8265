"""The channel stepper against PyTorch, at every window."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from course_utils.plots import canvas
from course_utils.widgets.channel_stepper.panel import IMAGES, KERNELS, channel_stepper
from tests.plots.samples import pixels

ORANGE = canvas.PALETTE[canvas.ACCENT]


@pytest.fixture(scope="module")
def panel():
    return channel_stepper()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("image", IMAGES)
def test_every_window_is_pytorchs(panel, image, kernel):
    panel.set(image=image, kernel=kernel, bias=-3)
    picture, grid = IMAGES[image](), KERNELS[kernel]()
    expected = F.conv2d(picture[None], grid[None], torch.tensor([-3.0])).flatten()
    for position in (0, 5, 10, 15):
        panel.set(position=position)
        assert panel.exception is None
        assert panel.result.value == pytest.approx(expected[position].item(), abs=1e-5)
        sums = [window.sum for window in panel.result.windows]
        assert sum(sums) - 3 == pytest.approx(panel.result.value, abs=1e-5)


def test_the_summary_and_the_code_say_the_same_number():
    panel = channel_stepper(position=5, bias=1)
    assert panel.summary == (
        "window 5 of 0…15 (row 1, column 1): red 9, green 0, blue −1, bias 1; "
        "output = 9 + 0 − 1 + 1 = 9; output 4 × 4"
    )
    code, _, comment = panel.shown_code.partition("  # ")
    names = {"F": F, "torch": torch, "image": panel.result.image}
    names["kernel"] = KERNELS["red minus blue"]()
    assert eval(code, names).item() == float(comment) == 9
    panel.set(bias=0)
    assert "bias" not in panel.shown_code


def test_the_window_moves_in_every_channel(panel):
    def orange():
        return (pixels(panel.shown_picture) == ORANGE).all(-1)[:, :140]

    panel.set(image="grey edge", kernel="mean of the channels", position=0)
    before = orange()
    panel.set(position=1)
    assert (before.any(1) == orange().any(1)).all()  # the same rows, three windows
    assert before.any(0).argmax() < orange().any(0).argmax()


def test_a_colour_edge_is_invisible_to_the_mean(panel):
    """As notebook 02_1 says."""
    panel.set(image="green beside red", kernel="mean of the channels", bias=0)
    assert panel.result.steps.output.unique().numel() == 1
    panel.set(kernel="red edge, green edge turned")
    assert panel.result.steps.output.max() == 48
    panel.set(image="grey edge")
    assert panel.result.steps.output.unique().tolist() == [0]
