"""What the Conv2d lab computes: one layer, rebuilt from its arguments, and run on one picture."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_utils.conv.arithmetic import (
    Size,
    conv2d_multiply_adds,
    conv2d_parameters,
    conv2d_shape,
    image_shape,
    middle_overlap,
    size_formula,
)
from course_utils.conv.impossible import ImpossibleSetting
from course_utils.conv.receptive_field import ReceptiveField, receptive_field
from course_utils.core import draw_default

INITIALISATIONS = ("default", "he", "xavier", "zeros", "mean", "identity")


@dataclass(frozen=True)
class ConvSettings:
    """The arguments of `nn.Conv2d`, and how its weights begin.

    `initialisation` is one of:
        default: PyTorch's own, uniform within ±√(1 / n_in);
        he: normal, standard deviation √(2 / n_in) (He et al. 2015);
        xavier: uniform within ±√(6 / (n_in + n_out)) (Glorot & Bengio 2010);
        zeros;
        mean: every weight 1 / n_in: each kernel takes the mean of what it sees;
        identity: kernel i copies channel i (Dirac).
    """

    in_channels: int = 1
    out_channels: int = 16
    kernel_size: Size = 3
    stride: Size = 1
    padding: Size | str = 1
    dilation: Size = 1
    groups: int = 1
    bias: bool = True
    padding_mode: str = "zeros"
    initialisation: str = "default"


@dataclass(frozen=True)
class ConvResult:
    """What a layer makes of a picture.

    Attributes:
        layer: the layer itself.
        input: the channels it was given, (C_in, H, W).
        maps: the feature maps, (C_out, H_out, W_out).
        formula: of the output's size, with the numbers put in.
        parameters: numbers the layer learns.
        multiply_adds: for this picture.
        receptive_field: of one number of the maps.
        trained_kernels_kept: kernels that hold every weight of the trained kernel they come from.
    """

    layer: nn.Conv2d
    input: Tensor
    maps: Tensor
    formula: str
    parameters: int
    multiply_adds: int
    receptive_field: ReceptiveField
    trained_kernels_kept: int

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.maps.shape)

    @property
    def weight(self) -> Tensor:
        """(C_out, C_in / g, k_h, k_w)."""
        return self.layer.weight.detach()


@torch.no_grad()
def build_and_run(
    settings: ConvSettings, image: Tensor, trained: nn.Conv2d | None = None, seed: int = 0
) -> ConvResult:
    """Build the layer and run it on a picture.

    With a `trained` layer its kernels are kept as far as they fit. A larger kernel has zeros around
    the trained one, a smaller one is cut out of its middle. Kernels and input channels beyond the
    trained ones begin as `settings.initialisation` says, with groups each kernel keeps its group's
    channels, and its bias stays its own.

    Args:
        image: float, (C, H, W); the first `settings.in_channels` channels are used.
        seed: of the random weights; the global random state is neither used nor changed.

    Raises:
        ImpossibleSetting: if there is no such layer, or the picture has too few channels.
    """
    channels, height, width = image_shape(image.shape)
    c_in, c_out, k, g = (
        settings.in_channels,
        settings.out_channels,
        settings.kernel_size,
        settings.groups,
    )
    window = {
        "kernel_size": k,
        "stride": settings.stride,
        "padding": settings.padding,
        "dilation": settings.dilation,
    }
    used = min(channels, max(c_in, 1))  # a picture with more channels than asked for will do
    shape = conv2d_shape(
        (used, height, width),
        c_out,
        **window,
        groups=g,
        in_channels=c_in,
        padding_mode=settings.padding_mode,
    )
    layer = nn.Conv2d(
        c_in,
        c_out,
        **window,
        groups=g,
        bias=settings.bias,
        padding_mode=settings.padding_mode,
        device="meta",  # no weights yet: PyTorch would draw them from the global random state
    )
    layer = layer.to_empty(device="cpu").eval()
    _initialise(layer, settings.initialisation, seed)
    kept = 0 if trained is None else _keep(layer, trained)
    picture = image[:c_in]
    return ConvResult(
        layer=layer,
        input=picture,
        maps=_run(layer, picture),
        formula=size_formula((height, width), **window),
        parameters=conv2d_parameters(c_in, c_out, k, g, settings.bias),
        multiply_adds=conv2d_multiply_adds(shape, c_in, k, g),
        receptive_field=receptive_field([layer]),
        trained_kernels_kept=kept,
    )


def _run(layer: nn.Conv2d, picture: Tensor) -> Tensor:
    if layer.padding != "same":
        return layer(picture)
    with warnings.catch_warnings():  # "an even kernel may need a padded copy": of no use to readers
        warnings.filterwarnings("ignore", "Using padding='same'")
        return layer(picture)


def _initialise(layer: nn.Conv2d, scheme: str, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    weight, bias = layer.weight, layer.bias
    if bias is not None:
        bias.zero_()
    match scheme:
        case "default":
            draw_default(weight, bias, random)
        case "he":
            nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=random)
        case "xavier":
            nn.init.xavier_uniform_(weight, generator=random)
        case "zeros":
            weight.zero_()
        case "mean":
            weight.fill_(1 / weight[0].numel())
        case "identity":
            nn.init.dirac_(weight, layer.groups)
        case _:
            raise ImpossibleSetting(
                f"initialisation = {scheme!r} is not known.",
                f"initialisation is one of: {', '.join(map(repr, INITIALISATIONS))}",
                f"{scheme!r} is none of them",
                {"initialisation": "default"},
            )


def _keep(layer: nn.Conv2d, trained: nn.Conv2d) -> int:
    """Copy into `layer` what fits of `trained`; count the kernels that keep all their weights."""
    kernels = min(layer.out_channels, trained.out_channels)
    old_size, new_size = trained.kernel_size, layer.kernel_size
    (into_y, from_y), (into_x, from_x) = (
        middle_overlap(old, new) for old, new in zip(old_size, new_size, strict=True)
    )
    whole_window = all(old <= new for old, new in zip(old_size, new_size, strict=True))
    kept = 0
    for kernel in range(kernels):
        had, has = _channels_of(trained, kernel), _channels_of(layer, kernel)
        common = range(max(had.start, has.start), min(had.stop, has.stop))
        known = range(has.start, min(has.stop, trained.in_channels))  # outside a group: weight 0
        fresh = layer.weight[kernel]
        fresh[: len(known)] = 0
        if common:
            into = slice(common.start - has.start, common.stop - has.start)
            source = slice(common.start - had.start, common.stop - had.start)
            fresh[into, into_y, into_x] = trained.weight[kernel, source, from_y, from_x].to(fresh)
        kept += whole_window and common == had
    if layer.bias is not None:
        layer.bias[:kernels] = 0 if trained.bias is None else trained.bias[:kernels].to(layer.bias)
    return kept


def _channels_of(layer: nn.Conv2d, kernel: int) -> range:
    """The input channels that one kernel of `layer` sees."""
    width = layer.in_channels // layer.groups
    group = kernel // (layer.out_channels // layer.groups)
    return range(group * width, (group + 1) * width)
