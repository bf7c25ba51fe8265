"""Kernels designed by people before networks learned them.

All kernels are for cross-correlation, as in `nn.Conv2d`. There are two kinds. If the numbers of a
kernel sum to 0, it responds only to changes (edges, textures), with positive and negative values.
Otherwise the result is again a picture; if the sum is 1, it has the same brightness.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterator
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
        name: as shown to the reader.
        make: function that returns the kernel (k, k), float32; its keyword arguments are the
            kernel's parameters.
        description: its effect in one sentence.
        source: authors and year; "" if there is none.
    """

    name: str
    make: Callable[..., Tensor]
    description: str
    source: str = ""

    def __call__(self, **parameters: Any) -> Tensor:
        return self.make(**parameters)

    @property
    def parameters(self) -> dict[str, Any]:
        """The kernel's parameters and their default values; {} if it has none."""
        signature = inspect.signature(self.make)
        return {name: parameter.default for name, parameter in signature.parameters.items()}


def identity(size: int = 3) -> Tensor:
    """Return the kernel with 1 in the middle and 0 around it."""
    kernel = torch.zeros(_odd(size), size)
    kernel[size // 2, size // 2] = 1
    return kernel


def box_blur(size: int = 3) -> Tensor:
    """Return the kernel of the mean: each number is 1 / size²."""
    return torch.full((_odd(size), size), 1 / size**2)


def gaussian_blur(size: int = 5, sigma: float = 1.0) -> Tensor:
    """Return the kernel exp(−(x² + y²) / 2σ²), scaled to sum to 1; σ in pixels."""
    x, y = _grid(size)
    bell = torch.exp(-(x**2 + y**2) / (2 * _positive("sigma", sigma) ** 2))
    return bell / bell.sum()


def sharpen() -> Tensor:
    """Return the identity minus the 4-neighbour Laplacian: 5 in the middle, −1 beside it."""
    return identity() - laplacian(4)


def unsharp_mask(size: int = 5, sigma: float = 1.0, amount: float = 1.0) -> Tensor:
    """Return identity + amount · (identity − Gaussian blur)."""
    return (1 + amount) * identity(size) - amount * gaussian_blur(size, sigma)


def sobel(axis: str = "x") -> Tensor:
    """Return the central difference along `axis` ("x" or "y"), smoothed across it by 1, 2, 1."""
    return _difference((1, 2, 1), axis)


def prewitt(axis: str = "x") -> Tensor:
    """Return the central difference along `axis`, smoothed across it by 1, 1, 1."""
    return _difference((1, 1, 1), axis)


def scharr(axis: str = "x") -> Tensor:
    """Return the central difference along `axis`, smoothed across it by 3, 10, 3."""
    return _difference((3, 10, 3), axis)


def laplacian(neighbours: int = 4) -> Tensor:
    """Return the sum of the 4 or 8 neighbours minus 4 or 8 times the pixel: a second derivative."""
    corner = {4: 0.0, 8: 1.0}.get(neighbours)
    if corner is None:
        nearest = {"neighbours": 4 if neighbours <= 6 else 8}
        text = f"A pixel has 4 neighbours, or 8 with the corners, not {neighbours}."
        raise ImpossibleSetting(text, nearest=nearest)
    kernel = torch.tensor([[corner, 1, corner], [1, 0, 1], [corner, 1, corner]])
    kernel[1, 1] = -neighbours
    return kernel


def emboss() -> Tensor:
    """Return the kernel that adds the slope along the diagonal: light from the upper left."""
    return torch.tensor([[-2.0, -1, 0], [-1, 1, 1], [0, 1, 2]])


def gabor(
    size: int = 9,
    sigma: float = 2.0,
    theta: float = 0.0,
    wavelength: float = 4.0,
    gamma: float = 0.5,
    psi: float = 0.0,
) -> Tensor:
    """Return a wave times a bell curve: exp(−(u² + γ²v²) / 2σ²) · cos(2π·u / λ + ψ).

    u = x·cos θ + y·sin θ runs along the wave, v = −x·sin θ + y·cos θ along its stripes. The mean is
    subtracted, so that the result for a uniform picture is 0 (Lee 1996), and the positive numbers
    are scaled to sum to 1.

    Args:
        sigma: width of the bell curve along the wave, in pixels.
        theta: direction of the wave, in radians; with 0 the stripes are vertical.
        wavelength: λ, in pixels.
        gamma: aspect ratio; along the stripes the bell's width is σ / γ, so with 1 it is round.
        psi: phase of the wave in the middle, in radians; 0 for a line, π/2 for an edge.
    """
    x, y = _grid(size)
    u = x * math.cos(theta) + y * math.sin(theta)
    v = y * math.cos(theta) - x * math.sin(theta)
    bell = torch.exp(-(u**2 + (gamma * v) ** 2) / (2 * _positive("sigma", sigma) ** 2))
    wave = torch.cos(2 * math.pi * u / _positive("wavelength", wavelength) + psi)
    kernel = bell * (wave - (bell * wave).sum() / bell.sum())
    return kernel / kernel.clamp(min=0).sum().clamp(min=1e-3)


def difference_of_gaussians(size: int = 9, sigma: float = 1.0, ratio: float = 1.6) -> Tensor:
    """Return a narrow Gaussian minus one that is `ratio` times as wide."""
    return gaussian_blur(size, sigma) - gaussian_blur(size, ratio * sigma)


def _edges(name: str, make: Callable[[str], Tensor], remark: str, source: str) -> Iterator[Preset]:
    """Yield the presets of a kernel for vertical (x) and for horizontal edges (y)."""
    differences = {"vertical": "right minus left", "horizontal": "below minus above"}
    for axis, (edges, difference) in zip("xy", differences.items(), strict=True):
        description = f"Finds {edges} edges" + remark.format(difference=difference)
        yield Preset(f"{name} {axis}", functools.partial(make, axis), description, source)


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("identity", identity, "Does not change the picture."),
        Preset("box blur", box_blur, "Replaces each pixel with the mean of its neighbourhood."),
        Preset(
            "Gaussian blur",
            gaussian_blur,
            "Blurs with weights that fall like a bell curve, the same in every direction.",
        ),
        Preset("sharpen", sharpen, "Adds to each pixel its difference from its neighbours."),
        Preset(
            "unsharp mask",
            unsharp_mask,
            "Sharpens by adding what a blur removes, as once done in the darkroom.",
        ),
        *_edges("Sobel", sobel, ": {difference}, smoothed along the edge.", "Sobel & Feldman 1968"),
        *_edges("Prewitt", prewitt, ", smoothed with equal weights.", "Prewitt 1970"),
        *_edges(
            "Scharr",
            scharr,
            ", with less error in the direction of slanted edges than Sobel.",
            "Scharr 2000",
        ),
        Preset(
            "Laplacian 4",
            lambda: laplacian(4),
            "Responds to lines, corners and noise: the second derivative.",
        ),
        Preset("Laplacian 8", lambda: laplacian(8), "The same with the diagonal neighbours."),
        Preset("emboss", emboss, "Lights the picture from the upper left, like a relief."),
        Preset(
            "Gabor",
            gabor,
            "Responds to stripes of one width and one direction, like cells of the visual cortex"
            " and the first layers of trained networks.",
            "Gabor 1946; Daugman 1985",
        ),
        Preset(
            "difference of Gaussians",
            difference_of_gaussians,
            "Responds to spots of one size, like cells of the retina.",
            "Marr & Hildreth 1980",
        ),
    )
}


def is_signed(kernel: Tensor) -> bool:
    """Return whether the numbers sum to 0: then a picture of the result shows 0 as middle grey."""
    return abs(kernel.sum().item()) <= 1e-5 * kernel.abs().sum().item()


def filter_image(image: Tensor, kernel: Tensor, *, padding_mode: str = "reflect") -> Tensor:
    """Cross-correlate each channel of a picture with one kernel, and keep the size.

    Args:
        image: (C, H, W) or (H, W), uint8 or float.
        kernel: (k_h, k_w), both odd.
        padding_mode: as in `nn.Conv2d`.

    Returns:
        float32, in the picture's size and units: 0 to 255 for a blurred uint8 picture.

    Raises:
        ImpossibleSetting: if the kernel is even, or too large for reflection in the picture.
    """
    k_h, k_w = map(_odd, kernel.shape)
    channels = image[None] if image.ndim == 2 else image
    settings = dict(
        kernel_size=(k_h, k_w), stride=1, padding="same", dilation=1, padding_mode=padding_mode
    )
    sizes = image_shape(channels.shape)[-2:]
    require(lambda s: window_rules(sizes, s), settings, fixed=("padding", "dilation"))
    mode = "constant" if padding_mode == "zeros" else padding_mode
    sides = (k_w // 2, k_w // 2, k_h // 2, k_h // 2)
    padded = F.pad(channels[:, None].float(), sides, mode=mode)
    return F.conv2d(padded, kernel[None, None].float()).reshape(image.shape)


def _odd(size: int) -> int:
    if size < 1 or size % 2 == 0:
        raise ImpossibleSetting(
            f"A kernel of {size} has no middle pixel: use an odd size.",
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
    """Return x, which grows to the right, and y, which grows downwards, both 0 in the middle."""
    steps = torch.arange(_odd(size), dtype=torch.float32) - size // 2
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return x, y


def _difference(smoothing: tuple[int, ...], axis: str) -> Tensor:
    across, along = torch.tensor(smoothing, dtype=torch.float32), torch.tensor([-1.0, 0, 1])
    if axis not in ("x", "y"):
        raise ImpossibleSetting(f"axis must be 'x' or 'y', not {axis!r}.", nearest={"axis": "x"})
    kernel = torch.outer(across, along)
    return kernel if axis == "x" else kernel.T.contiguous()
