"""Kernels that people designed before networks learned them, and how to look at what they give.

All kernels are laid out for cross-correlation, as `nn.Conv2d` uses them. They come in two kinds:
those whose numbers sum to zero answer to change alone, with either sign (edges, textures); the
others give back a picture, and if the sum is 1 one of the same brightness.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from course_utils.conv.arithmetic import image_shape
from course_utils.conv.impossible import ImpossibleSetting, require
from course_utils.conv.rules import window_rules

SIZES = tuple(range(3, 16, 2))


@dataclass(frozen=True)
class Preset:
    """A kernel with a name.

    Attributes:
        name: for the reader.
        make: makes the kernel (k, k), float32; its keyword arguments are the kernel's parameters.
        description: what it does, in one sentence.
        source: who published it, and when; "" for what has no author.
    """

    name: str
    make: Callable[..., Tensor]
    description: str
    source: str = ""

    def __call__(self, **parameters: Any) -> Tensor:
        return self.make(**parameters)

    @property
    def parameters(self) -> dict[str, Any]:
        """The names of the kernel's parameters and their default values; {} if it has none."""
        signature = inspect.signature(self.make)
        return {name: parameter.default for name, parameter in signature.parameters.items()}


def identity(size: int = 3) -> Tensor:
    """1 in the middle, 0 around it."""
    kernel = torch.zeros(_odd(size), size)
    kernel[size // 2, size // 2] = 1
    return kernel


def box_blur(size: int = 3) -> Tensor:
    """The mean: each number is 1 / size²."""
    return torch.full((_odd(size), size), 1 / size**2)


def gaussian_blur(size: int = 5, sigma: float = 1.0) -> Tensor:
    """exp(−(x² + y²) / 2σ²), scaled to sum to 1; σ in pixels."""
    x, y = _grid(size)
    bell = torch.exp(-(x**2 + y**2) / (2 * _positive("sigma", sigma) ** 2))
    return bell / bell.sum()


def sharpen() -> Tensor:
    """The picture plus what the 4-neighbour Laplacian takes away: 5 amid −1."""
    return identity() - laplacian(4)


def unsharp_mask(size: int = 5, sigma: float = 1.0, amount: float = 1.0) -> Tensor:
    """The picture plus `amount` times what a Gaussian blur takes away from it."""
    return (1 + amount) * identity(size) - amount * gaussian_blur(size, sigma)


def sobel(axis: str = "x") -> Tensor:
    """Central difference along `axis` ("x" or "y"), smoothed across it with 1, 2, 1."""
    return _difference((1, 2, 1), axis)


def prewitt(axis: str = "x") -> Tensor:
    """Central difference along `axis`, smoothed across it with 1, 1, 1."""
    return _difference((1, 1, 1), axis)


def scharr(axis: str = "x") -> Tensor:
    """Central difference along `axis`, smoothed across it with 3, 10, 3."""
    return _difference((3, 10, 3), axis)


def laplacian(neighbours: int = 4) -> Tensor:
    """Sum of the 4 or 8 neighbours less as many times the pixel: the second derivative."""
    corner = {4: 0.0, 8: 1.0}.get(neighbours)
    if corner is None:
        raise ImpossibleSetting(
            f"A pixel has 4 neighbours, or 8 with the corners, not {neighbours}.",
            nearest={"neighbours": 4 if neighbours <= 6 else 8},
        )
    kernel = torch.tensor([[corner, 1, corner], [1, 0, 1], [corner, 1, corner]])
    kernel[1, 1] = -neighbours
    return kernel


def emboss() -> Tensor:
    """The picture with light from the upper left: the slope along the diagonal is added to it."""
    return torch.tensor([[-2.0, -1, 0], [-1, 1, 1], [0, 1, 2]])


def gabor(
    size: int = 9,
    sigma: float = 2.0,
    theta: float = 0.0,
    wavelength: float = 4.0,
    gamma: float = 0.5,
    psi: float = 0.0,
) -> Tensor:
    """A wave under a bell: exp(−(u² + γ²v²) / 2σ²) · cos(2π·u / λ + ψ).

    u = x·cos θ + y·sin θ runs along the wave, v = −x·sin θ + y·cos θ along its stripes. The mean is
    taken away, so that an even picture gives 0 (Lee 1996), and the numbers above 0 are scaled to
    sum to 1.

    Args:
        sigma: width of the bell along the wave, in pixels.
        theta: direction of the wave, in radians; 0: the stripes stand upright.
        wavelength: λ, in pixels.
        gamma: aspect ratio; along the stripes the bell is σ / γ wide, so 1 is round.
        psi: phase of the wave in the middle, in radians; 0: a line, π/2: an edge.
    """
    x, y = _grid(size)
    u = x * math.cos(theta) + y * math.sin(theta)
    v = y * math.cos(theta) - x * math.sin(theta)
    bell = torch.exp(-(u**2 + (gamma * v) ** 2) / (2 * _positive("sigma", sigma) ** 2))
    wave = torch.cos(2 * math.pi * u / _positive("wavelength", wavelength) + psi)
    kernel = bell * (wave - (bell * wave).sum() / bell.sum())
    return kernel / kernel.clamp(min=0).sum().clamp(min=1e-3)


def difference_of_gaussians(size: int = 9, sigma: float = 1.0, ratio: float = 1.6) -> Tensor:
    """A narrow Gaussian less one that is `ratio` times as wide."""
    return gaussian_blur(size, sigma) - gaussian_blur(size, ratio * sigma)


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("identity", identity, "Leaves the picture as it is."),
        Preset("box blur", box_blur, "Gives each pixel the mean of its neighbourhood."),
        Preset(
            "Gaussian blur",
            gaussian_blur,
            "Blurs with weights that fall off like a bell, the same in every direction.",
        ),
        Preset("sharpen", sharpen, "Adds to each pixel what sets it apart from its neighbours."),
        Preset(
            "unsharp mask",
            unsharp_mask,
            "Sharpens by adding what a blur takes away, as once done in the darkroom.",
        ),
        Preset(
            "Sobel x",
            lambda: sobel("x"),
            "Finds upright edges: right less left, smoothed up and down.",
            "Sobel & Feldman 1968",
        ),
        Preset(
            "Sobel y",
            lambda: sobel("y"),
            "Finds level edges: below less above, smoothed left and right.",
            "Sobel & Feldman 1968",
        ),
        Preset(
            "Prewitt x",
            lambda: prewitt("x"),
            "Finds upright edges with an even mean across.",
            "Prewitt 1970",
        ),
        Preset(
            "Prewitt y",
            lambda: prewitt("y"),
            "Finds level edges with an even mean across.",
            "Prewitt 1970",
        ),
        Preset(
            "Scharr x",
            lambda: scharr("x"),
            "Finds upright edges, nearly as strong in every direction of the edge.",
            "Scharr 2000",
        ),
        Preset(
            "Scharr y",
            lambda: scharr("y"),
            "Finds level edges, nearly as strong in every direction of the edge.",
            "Scharr 2000",
        ),
        Preset(
            "Laplacian 4",
            lambda: laplacian(4),
            "Answers to lines, corners and noise: the second derivative.",
        ),
        Preset(
            "Laplacian 8",
            lambda: laplacian(8),
            "The same with the diagonal neighbours.",
        ),
        Preset("emboss", emboss, "Lights the picture from the upper left, like a relief."),
        Preset(
            "Gabor",
            gabor,
            "Answers to stripes of one width and one direction, much as cells of the visual cortex"
            " and first layers of trained networks do.",
            "Gabor 1946; Daugman 1985",
        ),
        Preset(
            "difference of Gaussians",
            difference_of_gaussians,
            "Answers to spots of one size, as cells of the retina do.",
            "Marr & Hildreth 1980",
        ),
    )
}


def is_signed(kernel: Tensor) -> bool:
    """Whether the numbers sum to 0, so that the result is to be shown with 0 in the middle."""
    return abs(kernel.sum().item()) <= 1e-5 * kernel.abs().sum().item()


def filter_image(image: Tensor, kernel: Tensor, *, padding_mode: str = "reflect") -> Tensor:
    """Cross-correlate each channel of a picture with one kernel; the size is kept.

    Args:
        image: (C, H, W) or (H, W), uint8 or float.
        kernel: (k_h, k_w), both odd.
        padding_mode: as in `nn.Conv2d`.

    Returns:
        float32, as large as the picture and in its units: for a uint8 picture and a blur 0 to 255.

    Raises:
        ImpossibleSetting: if the kernel is even, or too large for reflection in the picture.
    """
    k_h, k_w = map(_odd, kernel.shape)
    channels = image[None] if image.ndim == 2 else image
    settings = {
        "kernel_size": (k_h, k_w),
        "stride": 1,
        "padding": "same",
        "dilation": 1,
        "padding_mode": padding_mode,
    }
    sizes = image_shape(channels.shape)[-2:]
    require(lambda s: window_rules(sizes, s), settings, fixed=("padding", "dilation"))
    mode = "constant" if padding_mode == "zeros" else padding_mode
    sides = (k_w // 2, k_w // 2, k_h // 2, k_h // 2)
    padded = F.pad(channels[:, None].float(), sides, mode=mode)
    return F.conv2d(padded, kernel[None, None].float()).reshape(image.shape)


def to_picture(result: Tensor, kernel: Tensor) -> Tensor:
    """The result of `filter_image` on a uint8 picture as a uint8 picture to look at.

    A signed result (see `is_signed`) is scaled so that 0 is middle grey, 128, and its largest
    number white or black; any other is cut off below 0 and above 255.
    """
    if is_signed(kernel):
        result = 128 + 127 * result / result.abs().max().clamp(min=1e-6)
    return result.round().clamp(0, 255).to(torch.uint8)


def _odd(size: int) -> int:
    if size < 1 or size % 2 == 0:
        raise ImpossibleSetting(
            f"A kernel of {size} has no middle pixel: take an odd size.",
            "k mod 2 = 1",
            f"{size} mod 2 = {size % 2}",
            {"size": max(3, size - 1)},
        )
    return size


def _positive(name: str, value: float) -> float:
    if not value > 0:
        raise ImpossibleSetting(f"{name} must be above 0, but is {value}.")
    return value


def _grid(size: int) -> tuple[Tensor, Tensor]:
    """x to the right and y down, both 0 in the middle."""
    steps = torch.arange(_odd(size), dtype=torch.float32) - size // 2
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return x, y


def _difference(smoothing: tuple[int, ...], axis: str) -> Tensor:
    across, along = torch.tensor(smoothing, dtype=torch.float32), torch.tensor([-1.0, 0, 1])
    if axis not in ("x", "y"):
        raise ImpossibleSetting(f"axis must be 'x' or 'y', not {axis!r}.", nearest={"axis": "x"})
    kernel = torch.outer(across, along)
    return kernel if axis == "x" else kernel.T.contiguous()
