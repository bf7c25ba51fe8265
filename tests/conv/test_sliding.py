"""The sliding window against PyTorch and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from course_utils.conv import (
    ChannelSteps,
    ImpossibleSetting,
    SlidingSteps,
    convolve,
    cross_correlate,
)


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    """Small whole numbers, whose sums are exact."""
    return torch.randint(-5, 6, shape, generator=torch.Generator().manual_seed(seed)).float()


sizes = st.tuples(st.integers(1, 4), st.integers(1, 4))
one_or_two = st.one_of(st.integers(1, 3), st.tuples(st.integers(1, 3), st.integers(1, 3)))


@settings(max_examples=60, derandomize=True)
@given(
    image=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=sizes,
    stride=one_or_two,
    padding=st.sampled_from([0, 1, (2, 0), "same", "valid"]),
    dilation=one_or_two,
    flip=st.booleans(),
)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_output_and_every_step_agree_with_pytorch(image, kernel, stride, padding, dilation, flip):
    x, k = numbers(*image), numbers(*kernel, seed=1)
    used = k.flip(0, 1) if flip else k
    try:
        expected = F.conv2d(x[None, None], used[None, None], None, stride, padding, dilation)[0, 0]
    except (RuntimeError, ValueError):
        assume(False)
    mode = "convolution" if flip else "cross-correlation"
    steps = SlidingSteps(x, k, stride, padding, dilation, mode)
    assert torch.equal(steps.output, expected)
    assert len(steps) == expected.numel()
    for index, step in enumerate(steps):
        assert (step.index, step.row, step.col) == (index, *divmod(index, expected.shape[1]))
        assert step.sum == expected[step.row, step.col]
        assert torch.equal(step.patch, steps.padded[list(step.rows)][:, list(step.cols)])
        assert torch.equal(step.products, step.patch * used)
        assert step.products.sum() == step.sum


@settings(max_examples=20, derandomize=True)
@given(image=st.tuples(st.integers(4, 9), st.integers(4, 9)), kernel=sizes)
def test_convolve_agrees_with_scipy(image, kernel):
    from scipy.signal import convolve2d, correlate2d

    x, k = numbers(*image), numbers(*kernel, seed=1)
    assert np.array_equal(convolve(x, k), convolve2d(x, k, mode="valid"))
    assert np.array_equal(cross_correlate(x, k), correlate2d(x, k, mode="valid"))
    full = tuple(n - 1 for n in kernel)
    assert np.array_equal(convolve(x, k, padding=full), convolve2d(x, k, mode="full"))


def test_only_convolution_commutes():
    a, b = numbers(3, 3), numbers(3, 3, seed=1)
    assert torch.equal(convolve(a, b, padding=2), convolve(b, a, padding=2))
    forth, back = cross_correlate(a, b, padding=2), cross_correlate(b, a, padding=2)
    assert torch.equal(forth, back.flip(0, 1)) and not torch.equal(forth, back)


def test_steps_are_a_sequence():
    steps = SlidingSteps([[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[1, 0], [0, -1]])
    assert [step.sum for step in steps] == [-4, -4, -4, -4]
    assert steps[-1].index == 3 and steps[3].rows == (1, 2) and steps[3].cols == (1, 2)
    flipped = SlidingSteps(steps.image, [[1, 0], [0, -1]], mode="convolution")[0]
    assert flipped.kernel.tolist() == [[-1, 0], [0, 1]] and flipped.sum == 4
    for index in (4, -5):
        with pytest.raises(IndexError, match="4 windows"):
            steps[index]
    same = SlidingSteps(numbers(4, 4), numbers(2, 3), padding="same")
    assert same.padding == ((0, 1), (1, 1)) and same.padded.shape == (5, 6)


def test_impossible_windows():
    with pytest.raises(ImpossibleSetting) as caught:
        SlidingSteps(numbers(2, 5), numbers(3, 3))
    assert caught.value.nearest == {"kernel_size": (2, 3)}
    with pytest.raises(ImpossibleSetting, match=r"\(H, W\), not \(1, 5, 5\)"):
        SlidingSteps(numbers(1, 5, 5), numbers(3, 3))
    with pytest.raises(ImpossibleSetting) as caught:
        SlidingSteps(numbers(5, 5), numbers(3, 3), mode="correlation")
    assert caught.value.nearest == {"mode": "cross-correlation"}


@settings(max_examples=40, derandomize=True)
@given(
    channels=st.integers(1, 4),
    size=st.tuples(st.integers(3, 8), st.integers(3, 8)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    bias=st.integers(-3, 3),
)
def test_several_channels_add_up_to_pytorchs_output(channels, size, kernel, stride, padding, bias):
    x, k = numbers(channels, *size), numbers(channels, *kernel, seed=1)
    steps = ChannelSteps(x, k, bias, stride=stride, padding=padding)
    expected = F.conv2d(x[None], k[None], None, stride, padding)[0, 0]
    assert steps.output.equal(expected + bias) and len(steps.channels) == channels
    assert cross_correlate(x, k, stride, padding).equal(expected)


def test_a_kernel_has_a_grid_for_each_channel():
    for kernel in (numbers(2, 3, 3), numbers(3, 3), numbers(3, 3, 1, 1)):
        with pytest.raises(ImpossibleSetting, match="a grid for each channel"):
            ChannelSteps(numbers(3, 5, 5), kernel)
