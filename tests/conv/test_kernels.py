"""The classic kernels: their sums, symmetries and directions, and SciPy's own where it has them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from course_utils.conv import PRESETS, ImpossibleSetting, filter_image, is_signed, kernels

PICTURES = {"identity", "box blur", "Gaussian blur", "sharpen", "unsharp mask", "emboss"}


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randint(0, 256, (3, 20, 24), generator=torch.Generator().manual_seed(0)).byte()


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset(name, image):
    preset = PRESETS[name]
    assert preset.name == name and preset.description.endswith(".")
    assert torch.equal(preset(**preset.parameters), preset())
    for size in kernels.SIZES if "size" in preset.parameters else [None]:
        kernel = preset(size=size) if size else preset()
        assert kernel.dtype == torch.float32 and kernel.shape == (size or 3,) * 2
        assert is_signed(kernel) == (name not in PICTURES)
        assert kernel.sum().item() == pytest.approx(float(name in PICTURES), abs=1e-5)
    result = filter_image(image, kernel)
    assert result.shape == image.shape and result.dtype == torch.float32
    even = filter_image(torch.full_like(image, 77), kernel)
    assert even.sub(77 * (name in PICTURES)).abs().max() < 1e-2


def test_even_sizes_are_refused():
    for size, nearest in {0: 3, 4: 3, 8: 7, -3: 3}.items():
        with pytest.raises(ImpossibleSetting) as caught:
            kernels.gaussian_blur(size)
        assert caught.value.nearest == {"size": nearest}


def test_a_kernel_without_direction_is_symmetric():
    for name in ("box blur", "Gaussian blur", "Laplacian 4", "Laplacian 8"):
        kernel = PRESETS[name]()
        for other in (kernel.T, kernel.flip(0), kernel.flip(1), kernel.rot90()):
            assert torch.equal(kernel, other)


def test_x_and_y_are_transposes_and_odd():
    for name in ("Sobel", "Prewitt", "Scharr"):
        x, y = PRESETS[f"{name} x"](), PRESETS[f"{name} y"]()
        assert torch.equal(x.T, y) and torch.equal(x.flip(1), -x) and torch.equal(x.flip(0), x)


@pytest.mark.parametrize("degrees", [0, 30, 45, 90, 135])
def test_gabor_answers_to_its_own_direction(degrees):
    theta, wavelength = math.radians(degrees), 6.0
    y, x = torch.meshgrid(torch.arange(41.0), torch.arange(41.0), indexing="ij")

    def answer(direction: float) -> float:
        along = x * math.cos(direction) + y * math.sin(direction)
        stripes = torch.cos(2 * math.pi * along / wavelength)
        kernel = kernels.gabor(15, 3.0, theta, wavelength)
        return filter_image(stripes, kernel)[10:-10, 10:-10].abs().max().item()

    own = answer(theta)
    for other in (30, 60, 90):
        assert own > 1.5 * answer(theta + math.radians(other))


def test_gabor_symmetry_and_phase():
    line, edge = kernels.gabor(9, theta=0.3), kernels.gabor(9, theta=0.3, psi=math.pi / 2)
    assert torch.allclose(line, line.flip(0, 1), atol=1e-6)
    assert torch.allclose(edge, -edge.flip(0, 1), atol=1e-6)
    turned = kernels.gabor(9, theta=math.pi / 2)
    assert torch.allclose(kernels.gabor(9).T, turned, atol=1e-5)
    assert line.clamp(min=0).sum() == pytest.approx(1, abs=1e-5)


def test_gabor_fades_along_its_stripes_as_gamma_says():
    kernel = kernels.gabor(9, sigma=2.0, theta=math.pi / 4, gamma=0.5)
    # The upper right corner lies on the middle stripe, at v = −√32.
    expected = math.exp(-(0.5**2) * 32 / (2 * 2.0**2))
    assert (kernel[0, 8] / kernel[4, 4]).item() == pytest.approx(expected, abs=0.02)


def test_gabor_without_a_wave_stays_small():
    """cos(πx + π/2) is 0 at every pixel; its rounding errors must not be scaled up."""
    assert kernels.gabor(9, wavelength=2.0, psi=math.pi / 2).abs().max() < 1e-2


def test_against_scipy(image):
    from scipy import ndimage

    picture = image[0].double().numpy()
    expected = {
        "Sobel x": ndimage.sobel(picture, axis=1, mode="mirror"),
        "Sobel y": ndimage.sobel(picture, axis=0, mode="mirror"),
        "Prewitt x": ndimage.prewitt(picture, axis=1, mode="mirror"),
        "Prewitt y": ndimage.prewitt(picture, axis=0, mode="mirror"),
        "Laplacian 4": ndimage.laplace(picture, mode="mirror"),
        "box blur": ndimage.uniform_filter(picture, 3, mode="mirror"),
        "Gaussian blur": ndimage.gaussian_filter(picture, 1.0, radius=2, mode="mirror"),
    }
    for name, reference in expected.items():
        assert np.allclose(filter_image(image[0], PRESETS[name]()), reference, atol=1e-2), name


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_padding_modes_are_those_of_conv2d(mode, image):
    kernel = kernels.gabor(5, theta=0.4)
    layer = torch.nn.Conv2d(1, 1, 5, padding=2, padding_mode=mode, bias=False)
    with torch.no_grad():
        layer.weight[:] = kernel
        expected = layer(image[:, None].float())[:, 0]
    assert torch.allclose(filter_image(image, kernel, padding_mode=mode), expected, atol=1e-3)


def test_a_kernel_too_large_for_reflection():
    with pytest.raises(ImpossibleSetting, match="reflect") as caught:
        filter_image(torch.zeros(5, 7), kernels.box_blur(15))
    assert caught.value.nearest == {"kernel_size": (9, 13)}
    assert filter_image(torch.zeros(5, 7), torch.ones(9, 13)).shape == (5, 7)
    with pytest.raises(ImpossibleSetting, match="middle"):
        filter_image(torch.zeros(5, 5), torch.ones(2, 3))


@pytest.mark.parametrize(
    ("kernel", "parameters"),
    [
        (kernels.gaussian_blur, {"sigma": 0}),
        (kernels.gabor, {"wavelength": -1}),
        (kernels.laplacian, {"neighbours": 6}),
        (kernels.sobel, {"axis": "z"}),
    ],
)
def test_impossible_parameters(kernel, parameters):
    with pytest.raises(ImpossibleSetting):
        kernel(**parameters)
