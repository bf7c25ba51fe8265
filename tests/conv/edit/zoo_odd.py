"""Networks of the zoo: computed weights, shared layers, other norms, unusual data flow."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from tests.conv.edit.zoo import Net, Sum, block, conv_bn, network

GROWTH = {"out_x2", "out_+25%"}
STANDARDISED = GROWTH | {"kernel+2_same", "groups_1"}  # counts all weights of a kernel


class StandardConv(nn.Conv2d):
    """Qiao et al. 2019: every kernel has mean 0 and variance 1 before it is used."""

    def forward(self, x):
        w = self.weight
        w = w - w.mean(dim=(1, 2, 3), keepdim=True)
        w = w / (w.view(w.size(0), -1).std(dim=1).view(-1, 1, 1, 1) + 1e-5)
        return F.conv2d(x, w, self.bias, self.stride, self.padding, self.dilation, self.groups)


@network(inexact=STANDARDISED)
def standardised():
    """As in BiT (Kolesnikov et al. 2020), with GroupNorm."""
    path = nn.Sequential(nn.GroupNorm(2, 8), nn.ReLU(), StandardConv(8, 8, 3, padding=1))
    return Net(nn.Sequential(StandardConv(3, 8, 3, 2, 1), Sum(nn.Identity(), path)), 8)


@network(inexact={"kernel+2_same"})  # the standardisation counts all weights of a kernel
def PickedStandard(layer, x):
    """A table says which channels go on, so the standardised convolution keeps its number."""
    x = F.relu(layer(StandardConv, 3, 8, 3)(x))[:, layer(torch.tensor, [6, 0, 3, 1])]
    return layer(nn.Linear, 4, 5)(x.mean((2, 3)))


class DynamicPadding(nn.Conv2d):
    def forward(self, x):
        pads, sizes = [], (x.shape[-2:], self.kernel_size, self.stride, self.dilation)
        for n, k, s, d in zip(*sizes, strict=True):
            total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            pads = [total // 2, total - total // 2, *pads]
        options = self.bias, self.stride, self.padding, self.dilation, self.groups
        return F.conv2d(F.pad(x, pads), self.weight, *options)


# The layer pads for the larger kernel itself, and the padding that is asked for is on top.
@network((3, 15, 15), inexact={"kernel+2_same"})
def dynamic_padding():
    """As in the EfficientNets whose weights come from TensorFlow: ⌈n / s⌉ pixels."""
    path = nn.Sequential(DynamicPadding(6, 6, 3, groups=6), nn.BatchNorm2d(6), nn.Conv2d(6, 6, 1))
    stem = nn.Sequential(DynamicPadding(3, 6, 3, 2, bias=False), nn.BatchNorm2d(6), nn.SiLU())
    return Net(nn.Sequential(stem, Sum(nn.Identity(), path)), 6)


class ScaledConv(nn.Conv2d):
    """Brock et al. 2021 (NFNet): standardised by `batch_norm`, with a gain for each kernel."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.gain = nn.Parameter(torch.rand(self.out_channels, 1, 1, 1) + 0.5)

    def forward(self, x):
        rows, options = (
            self.weight.reshape(1, self.out_channels, -1),
            {"momentum": 0.0, "eps": 1e-6},
        )
        w = F.batch_norm(rows, None, None, self.gain.view(-1), training=True, **options)
        w = w.reshape_as(self.weight)
        return F.conv2d(x, w, self.bias, self.stride, self.padding, self.dilation, self.groups)


@network(inexact=STANDARDISED)
def normaliser_free():
    layers = [ScaledConv(3, 8, 3, 2, 1), nn.GELU(), ScaledConv(8, 8, 3, 1, 1, groups=2), nn.GELU()]
    return Net(nn.Sequential(*layers, ScaledConv(8, 6, 1)), 6)


@network(inexact=GROWTH, either={"features.2"})  # the length of a kernel counts the copies it reads
def weight_normalised():
    """Salimans and Kingma 2016, beside ordinary layers."""
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), weight_norm(nn.Conv2d(6, 8, 3)), nn.ReLU()]
    return Net(nn.Sequential(*layers, nn.Conv2d(8, 8, 3)), 8)


@network(inexact=GROWTH, either={"features.2"})  # the largest singular value counts copies
def spectrally_normalised():
    """Miyato et al. 2018, beside ordinary layers."""
    layers = [nn.Conv2d(3, 6, 3, 2, 1), nn.LeakyReLU(0.1), spectral_norm(nn.Conv2d(6, 8, 3))]
    return Net(nn.Sequential(*layers, nn.LeakyReLU(0.1), nn.Conv2d(8, 8, 3)), 8)


@network()
class Shared(nn.Module):
    """One convolution used twice, at two sizes, and one weight in two layers."""

    def __init__(self):
        super().__init__()
        self.stem, self.twice = conv_bn(3, 6), nn.Conv2d(6, 6, 3, 1, 1)
        self.a, self.b, self.norm = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 1), nn.BatchNorm2d(6)
        self.b.weight = self.a.weight
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        x = F.relu(self.twice(self.stem(x)))
        x = F.relu(self.norm(self.twice(F.max_pool2d(x, 2))))
        return self.head(self.b(F.relu(self.a(x))).mean((2, 3)))


@network()
def Recurrent(layer, x):
    """Liang and Hu 2015: the same block three times, the input added each time."""
    x = state = F.relu(layer(nn.Conv2d, 3, 6, 3, 1, 1)(x))
    back = layer(nn.Conv2d, 6, 6, 3, 1, 1, bias=False)
    for _ in range(3):
        state = F.relu(layer(nn.BatchNorm2d, 6)(x + back(state)))
    return layer(nn.Linear, 6, 5)(state.flatten(2).mean(-1))


@network(inexact={"out_+25%"})  # a GroupNorm's mean and variance count copies
def group_norms():
    """Wu and He 2018."""
    layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.GroupNorm(4, 8), nn.ReLU(), nn.Conv2d(8, 12, 3, 1, 1)]
    return Net(nn.Sequential(*layers, nn.GroupNorm(3, 12), nn.ReLU(), nn.Conv2d(12, 6, 1)), 6)


@network()
def instance_norms():
    """Ulyanov et al. 2016, with and without parameters; the output is a picture."""
    layers = [nn.ReflectionPad2d(1), nn.Conv2d(3, 6, 3, 2), nn.InstanceNorm2d(6, affine=True)]
    layers += [nn.PReLU(6), nn.Conv2d(6, 8, 3, padding=1, padding_mode="reflect")]
    layers += [nn.InstanceNorm2d(8), nn.PReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(8, 3, 1)]
    return nn.Sequential(*layers)


@network()
class Bare(nn.Module):
    """Bare parameters: per channel, per place, and for both; a buffer of means."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, 1, 1), nn.Conv2d(6, 8, 3, 2, 1)
        self.scale = nn.Parameter(torch.rand(1, 6, 1, 1))
        self.shift = nn.Parameter(torch.randn(6, 1, 1))
        self.position = nn.Parameter(torch.randn(1, 8, 8, 8))
        self.row = nn.Parameter(torch.randn(1, 1, 16, 1))
        self.register_buffer("mean", torch.rand(1, 3, 1, 1))
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = F.relu(self.a((x - self.mean) / 0.5)) * self.scale + self.shift + self.row
        return self.head((self.b(x) + self.position).relu().mean((2, 3)))


@block
def fold(layer, x):
    b, c, h, w = x.size()
    x = x.view(b, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4).contiguous()
    return x.view(b, c * 4, h // 2, w // 2)


@network()
def space_to_depth():
    """As in TResNet (Ridnik et al. 2021), and PyTorch's own way later."""
    layers = [fold(), conv_bn(12, 6), fold(), conv_bn(24, 4), nn.PixelUnshuffle(2)]
    return Net(nn.Sequential(*layers, conv_bn(16, 6)), 6)


@network(inexact=GROWTH)  # products of channels: a copy comes twice
def BilinearPooling(layer, x):
    """Lin et al. 2015: the outer product of two streams, signed root, unit length."""
    a, b = (layer(conv_bn, 3, c, 3, 2)(x).flatten(2) for c in (4, 6))
    y = torch.bmm(a, b.transpose(1, 2)).div(a.size(2)).view(x.size(0), -1)
    return layer(nn.Linear, 24, 5)(F.normalize(y.sign() * (y.abs() + 1e-5).sqrt()))


@network(inexact=GROWTH)  # products of channels: a copy comes twice
def Covariance(layer, x):
    """Li et al. 2017: the covariance of the channels, its upper triangle."""
    x = layer(conv_bn, 6, 4, 1)(layer(conv_bn, 3, 6, 3, 2)(x)).flatten(2)
    x = x - x.mean(2, keepdim=True)
    c, i = x @ x.mT / x.size(2), torch.triu_indices(x.size(1), x.size(1))
    return layer(nn.Linear, 10, 5)(c[:, i[0], i[1]])


@network()
def Named(layer, x):
    """The output is a dictionary with a tuple in it."""
    a = layer(conv_bn, 3, 6, 3, 2)(x)
    b = layer(conv_bn, 6, 8, 3, 2)(a).mean((2, 3))
    return {"scores": layer(nn.Linear, 8, 5)(b), "maps": (layer(nn.Conv2d, 6, 2, 1)(a), x.mean())}


@network((3, 16, 16), (1, 8, 8))
def TwoInputs(layer, x, depth):
    """Two streams that meet by a sum and by concatenation."""
    x, y = layer(conv_bn, 3, 6, 3, 2)(x), layer(conv_bn, 1, 6)(depth)
    both = layer(conv_bn, 12, 8, 3, 2)(torch.cat([x + y, torch.maximum(x, y)], 1))
    return layer(nn.Linear, 8, 5)(both.amax((2, 3)))


@network((1, 16, 16), either={"last"})
def SpatialTransformer(layer, x):
    """Jaderberg et al. 2015: a small network says where to look.

    Its `view(-1, n)` would make pictures of more channels, so a wider `last` needs an adapter.
    """
    look = F.relu(layer(nn.Conv2d, 4, 4, 3, 2)(F.relu(layer(nn.Conv2d, 1, 4, 5, 2)(x))))
    theta = layer(nn.Linear, 16, 6)(look.view(-1, 16)).view(-1, 2, 3)
    grid = F.affine_grid(theta, x.size(), align_corners=False)
    x = F.relu(layer(nn.Conv2d, 1, 6, 3)(F.grid_sample(x, grid, align_corners=False)))
    x = layer(nn.Conv2d, 6, 4, 3, 2, name="last")(x)
    return layer(nn.Linear, 4 * 36, 5)(x.view(-1, 4 * 6 * 6))


@network(inexact={"out_+25%"})  # uneven copies change which channels compete
def maxout(layer, x):
    """Goodfellow et al. 2013: the larger of two neighbours."""
    for c_in, c_out in ((3, 8), (4, 12)):
        x = layer(nn.Conv2d, c_in, c_out, 3)(x)
        x = x.view(x.shape[0], x.shape[1] // 2, 2, *x.shape[2:]).max(dim=2)[0]
    return layer(nn.Linear, 6, 5)(x.mean((2, 3)))


@network((2, 6, 12, 12))
def Video(layer, x):
    """3D, 2D and 1D convolutions: frames together, one by one, and along time."""
    x = F.relu(layer(nn.BatchNorm3d, 4)(layer(nn.Conv3d, 2, 4, 3, padding=1)(x)))
    n, c, t, h, w = x.shape
    x = layer(nn.Conv2d, 4, 6, 3, 2)(x.transpose(1, 2).reshape(n * t, c, h, w))
    x = layer(nn.Conv2d, 6, 6, 3)(F.relu(x)).mean((2, 3)).view(n, t, -1)
    x = F.relu(layer(nn.Conv1d, 6, 8, 3)(x.transpose(1, 2)))
    return layer(nn.Linear, 8, 5)(x.mean(2))


@network((3, 18, 14))
def AnySize(layer, x):
    """Python numbers made of shapes: padding to a multiple of four, pyramid pooling."""
    h, w = x.shape[-2:]
    x = F.pad(x, (0, -w % 4, 0, -h % 4))
    x = layer(conv_bn, 6, 8, 3, 2)(layer(conv_bn, 3, 6, 3, 2)(x))
    pooled = [F.adaptive_max_pool2d(x, n).reshape(x.shape[0], -1) for n in (1, 2)]
    return layer(nn.Linear, 8 * 5, 5)(torch.cat(pooled, dim=1))


@network()
def FixedViews(layer, x):
    """Sizes as numbers in the code: a flattened map, and maps put side by side."""
    a = F.relu(layer(nn.Conv2d, 3, 6, 3, 2, 1)(x))
    b = F.relu(layer(nn.Conv2d, 6, 6, 3, 2, 1)(a))
    code = layer(nn.Conv2d, 6, 4, 1)(b).view(x.size(0), 64)
    code = layer(nn.Linear, 64, 4)(code).view(-1, 4, 1, 1)
    up = layer(nn.Conv2d, 6, 24, 1)(b).view(-1, 6, 2, 2, 4, 4)
    up = up.permute(0, 1, 4, 2, 5, 3).reshape(-1, 6, 8, 8)
    return layer(nn.Conv2d, 12, 3, 1)(torch.cat([a, up], 1)) * code.mean(1, keepdim=True)


@network((1, 16, 32))
def TextReader(layer, x):
    """Shi et al. 2017 (CRNN): columns of a map are the steps of a recurrent layer."""
    x = F.relu(layer(nn.Conv2d, 4, 6, 3, (2, 1), 1)(layer(conv_bn, 1, 4, 3, 2)(x)))
    n, c, h, w = x.shape
    columns = x.permute(0, 3, 1, 2).reshape(n, w, c * h)
    return layer(nn.Linear, 6, 5)(layer(nn.GRU, 24, 6, batch_first=True)(columns)[0])


@network(inexact=GROWTH)  # squashing and routing count copies
def Capsules(layer, x):
    """Sabour et al. 2017, primary capsules: channels become vectors."""
    x = layer(nn.Conv2d, 6, 8, 3, 2)(F.relu(layer(nn.Conv2d, 3, 6, 5, 2)(x)))
    u = x.view(x.size(0), 2, 4, -1).transpose(2, 3).reshape(x.size(0), -1, 4)
    length = u.pow(2).sum(-1, keepdim=True)
    u = u * length / (1 + length) / torch.sqrt(length + 1e-8)
    return layer(nn.Linear, 6, 5)(layer(nn.Linear, 4, 6)(u).mean(1))


@network(inexact=GROWTH)  # the distances to the centres count copies
def NetVLAD(layer, x):
    """Arandjelović et al. 2016: distances to centres, softly assigned."""
    x = layer(conv_bn, 3, 6, 3, 2)(x)
    a, x = layer(nn.Conv2d, 6, 4, 1)(x).flatten(2).softmax(1), x.flatten(2)
    residual = x.unsqueeze(1) - layer(torch.rand, 4, 6)[None, :, :, None]
    return layer(nn.Linear, 24, 5)((residual * a.unsqueeze(2)).sum(-1).flatten(1))
