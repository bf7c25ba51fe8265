"""One convolution, built from its arguments and run on one picture; for the Conv2d lab."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from course_utils.conv import arithmetic
from course_utils.conv.affordable import LayerCosts, require_affordable, require_few_channels
from course_utils.conv.impossible import ImpossibleSetting
from course_utils.conv.receptive_field import ReceptiveField, receptive_field
from course_utils.conv.rules import WINDOW
from course_utils.conv.window import Size
from course_utils.core import draw_default_weights, memory_in_words

INITIALISATIONS = ("default", "he", "xavier", "zeros", "mean", "identity")

MOST_MULTIPLY_ADDS = 10**10
"""Of one picture: some seconds."""


@dataclass(frozen=True)
class ConvSettings:
    """The arguments of `nn.Conv2d`, and the initialisation of its weights.

    `initialisation` is one of:
        default: PyTorch's own, uniform within ±√(1 / n_in);
        he: normal, standard deviation √(2 / n_in) (He et al. 2015);
        xavier: uniform within ±√(6 / (n_in + n_out)) (Glorot & Bengio 2010);
        zeros;
        mean: every weight is 1 / n_in, so each kernel computes the mean of its window;
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
    """The output of a layer for a picture, and its costs.

    Attributes:
        input: the channels that it used, (C_in, H, W).
        maps: the feature maps, (C_out, H_out, W_out).
        formula: of the output size, with numbers.
        parameters, multiply_adds: their numbers, for this picture.
        receptive_field: of one number of the maps.
        trained_kernels_kept: number of kernels that contain all weights of their trained kernel.
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
@memory_in_words("give smaller numbers, or a smaller picture")
def build_and_run(
    settings: ConvSettings, image: Tensor, trained: nn.Conv2d | None = None, seed: int = 0
) -> ConvResult:
    """Build the layer and run it on a picture.

    The weights of a `trained` layer are kept as far as they fit. A larger kernel has zeros around
    the trained one; a smaller kernel is the trained one's middle. Additional kernels and input
    channels are initialised by `settings.initialisation`. With groups, each kernel keeps the
    weights of its group's channels. Each kernel keeps its bias.

    Args:
        image: float, (C, H, W); the first `settings.in_channels` channels are used.
        seed: of the random weights; the global random state is neither used nor changed.

    Raises:
        ImpossibleSetting: if no such layer is possible, or the picture has too few channels.
        OutOfMemory: if it takes more memory than is free, or minutes.
    """
    channels, height, width = arithmetic.image_shape(image.shape)
    c_in, c_out, g = settings.in_channels, settings.out_channels, settings.groups
    window = {name: getattr(settings, name) for name in WINDOW}
    size = {name: value for name, value in window.items() if name != "padding_mode"}
    used = min(channels, max(c_in, 1))  # a picture may have more channels than the layer
    used_shape = (used, height, width)
    shape = arithmetic.conv2d_shape(used_shape, c_out, **window, groups=g, in_channels=c_in)
    what = f"A layer with {c_out:,} channels and kernel_size={settings.kernel_size}"
    require_few_channels(what, c_out)
    costs = LayerCosts.of(asdict(settings), [(1, height, width)])
    require_affordable(what, costs, most_multiply_adds=MOST_MULTIPLY_ADDS)
    # On the meta device there are no weights; else PyTorch would draw them from its global state.
    layer = nn.Conv2d(c_in, c_out, **window, groups=g, bias=settings.bias, device="meta")
    layer = layer.to_empty(device="cpu").eval()
    _initialise(layer, settings.initialisation, seed)
    kept = 0 if trained is None else _keep(layer, trained)
    picture = image[:c_in]
    return ConvResult(
        layer=layer,
        input=picture,
        maps=_run(layer, picture),
        formula=arithmetic.size_formula((height, width), **size),
        parameters=sum(p.numel() for p in layer.parameters()),
        multiply_adds=arithmetic.conv2d_multiply_adds(shape, c_in, settings.kernel_size, g),
        receptive_field=receptive_field([layer]),
        trained_kernels_kept=kept,
    )


def _run(layer: nn.Conv2d, picture: Tensor) -> Tensor:
    if layer.padding != "same":
        return layer(picture)
    with warnings.catch_warnings():  # "an even kernel may need a padded copy" helps no reader
        warnings.filterwarnings("ignore", "Using padding='same'")
        return layer(picture)


def _initialise(layer: nn.Conv2d, scheme: str, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    weight, bias = layer.weight, layer.bias
    if bias is not None:
        bias.zero_()
    match scheme:
        case "default":
            draw_default_weights(weight, bias, random)
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
    """Copy the weights of `trained` that fit into `layer`; count the kernels that keep them all."""
    kernels = min(layer.out_channels, trained.out_channels)
    old_size, new_size = trained.kernel_size, layer.kernel_size
    (into_y, from_y), (into_x, from_x) = map(arithmetic.middle_overlap, old_size, new_size)
    whole_window = old_size[0] <= new_size[0] and old_size[1] <= new_size[1]
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
    """Return the input channels that one kernel of `layer` uses."""
    width = layer.in_channels // layer.groups
    group = kernel // (layer.out_channels // layer.groups)
    return range(group * width, (group + 1) * width)
