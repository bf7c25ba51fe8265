"""Networks of the zoo: computed weights, shared layers, other norms, unusual data flow."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from tests.conv.edit.zoo import Lambda, Net, Sum, conv_bn, network

GROWTH = {"out_x2", "out_+25%"}
STANDARDISED = GROWTH | {"kernel+2_same", "groups_1"}
COUNTS = "the standardisation counts all weights of a kernel"


class StandardConv(nn.Conv2d):
    """Qiao et al. 2019: every kernel has mean 0 and variance 1 before it is used."""

    def forward(self, x):
        w = self.weight
        w = w - w.mean(dim=(1, 2, 3), keepdim=True)
        w = w / (w.view(w.size(0), -1).std(dim=1).view(-1, 1, 1, 1) + 1e-5)
        return F.conv2d(x, w, self.bias, self.stride, self.padding, self.dilation, self.groups)


@network((3, 16, 16), inexact=STANDARDISED, reason=COUNTS)
def standardised():
    """As in BiT (Kolesnikov et al. 2020), with GroupNorm."""
    path = [nn.GroupNorm(2, 8), nn.ReLU(), StandardConv(8, 8, 3, padding=1)]
    return Net(
        nn.Sequential(StandardConv(3, 8, 3, 2, 1), Sum(nn.Identity(), nn.Sequential(*path))), 8
    )


@network((3, 16, 16), inexact={"kernel+2_same"}, reason=COUNTS)
class PickedStandard(nn.Module):
    """A table says which channels go on, so the standardised convolution keeps its number."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = StandardConv(3, 8, 3), nn.Linear(4, 5)
        self.register_buffer("table", torch.tensor([6, 0, 3, 1]))

    def forward(self, x):
        return self.fc(F.relu(self.conv(x))[:, self.table].mean((2, 3)))


class DynamicPadding(nn.Conv2d):
    def forward(self, x):
        pads = []
        for n, k, s, d in zip(
            x.shape[-2:], self.kernel_size, self.stride, self.dilation, strict=True
        ):
            total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            pads = [total // 2, total - total // 2, *pads]
        options = self.bias, self.stride, self.padding, self.dilation, self.groups
        return F.conv2d(F.pad(x, pads), self.weight, *options)


@network(
    (3, 15, 15),
    inexact={"kernel+2_same"},
    reason="the layer pads for the larger kernel itself, and the padding asked for is on top",
)
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
        w = F.batch_norm(
            self.weight.reshape(1, self.out_channels, -1), None, None,
            weight=self.gain.view(-1), training=True, momentum=0.0, eps=1e-6,
        ).reshape_as(self.weight)  # fmt: skip
        return F.conv2d(x, w, self.bias, self.stride, self.padding, self.dilation, self.groups)


@network((3, 16, 16), inexact=STANDARDISED, reason=COUNTS)
def normaliser_free():
    layers = [ScaledConv(3, 8, 3, 2, 1), nn.GELU(), ScaledConv(8, 8, 3, 1, 1, groups=2), nn.GELU()]
    return Net(nn.Sequential(*layers, ScaledConv(8, 6, 1)), 6)


@network(
    (3, 16, 16),
    inexact=GROWTH,
    reason="the length of a kernel counts the copies it reads",
    either={"features.2"},
)
def weight_normalised():
    """Salimans and Kingma 2016, beside ordinary layers."""
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), weight_norm(nn.Conv2d(6, 8, 3)), nn.ReLU()]
    return Net(nn.Sequential(*layers, nn.Conv2d(8, 8, 3)), 8)


@network(
    (3, 16, 16),
    inexact=GROWTH,
    reason="the largest singular value counts copies",
    either={"features.2"},
)
def spectrally_normalised():
    """Miyato et al. 2018, beside ordinary layers."""
    layers = [nn.Conv2d(3, 6, 3, 2, 1), nn.LeakyReLU(0.1), spectral_norm(nn.Conv2d(6, 8, 3))]
    return Net(nn.Sequential(*layers, nn.LeakyReLU(0.1), nn.Conv2d(8, 8, 3)), 8)


@network((3, 16, 16))
class Shared(nn.Module):
    """One convolution used twice, at two sizes, and one weight in two layers."""

    def __init__(self):
        super().__init__()
        self.stem, self.twice, self.norm = (
            conv_bn(3, 6),
            nn.Conv2d(6, 6, 3, 1, 1),
            nn.BatchNorm2d(6),
        )
        self.a, self.b = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 1)
        self.b.weight = self.a.weight
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        x = F.relu(self.twice(self.stem(x)))
        x = F.relu(self.norm(self.twice(F.max_pool2d(x, 2))))
        return self.head(self.b(F.relu(self.a(x))).mean((2, 3)))


@network((3, 16, 16))
class Recurrent(nn.Module):
    """Liang and Hu 2015: the same block three times, the input added each time."""

    def __init__(self):
        super().__init__()
        self.forth, self.back = nn.Conv2d(3, 6, 3, 1, 1), nn.Conv2d(6, 6, 3, 1, 1, bias=False)
        self.norms, self.head = nn.ModuleList(nn.BatchNorm2d(6) for _ in range(3)), nn.Linear(6, 5)

    def forward(self, x):
        x = state = F.relu(self.forth(x))
        for norm in self.norms:
            state = F.relu(norm(x + self.back(state)))
        return self.head(state.flatten(2).mean(-1))


@network((3, 16, 16), inexact={"out_+25%"}, reason="a GroupNorm's mean and variance count copies")
def group_norms():
    """Wu and He 2018."""
    layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.GroupNorm(4, 8), nn.ReLU(), nn.Conv2d(8, 12, 3, 1, 1)]
    return Net(nn.Sequential(*layers, nn.GroupNorm(3, 12), nn.ReLU(), nn.Conv2d(12, 6, 1)), 6)


@network((3, 16, 16))
def instance_norms():
    """Ulyanov et al. 2016, with and without parameters; the output is a picture."""
    layers = [nn.ReflectionPad2d(1), nn.Conv2d(3, 6, 3, 2), nn.InstanceNorm2d(6, affine=True)]
    layers += [nn.PReLU(6), nn.Conv2d(6, 8, 3, padding=1, padding_mode="reflect")]
    layers += [nn.InstanceNorm2d(8), nn.PReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(8, 3, 1)]
    return nn.Sequential(*layers)


@network((3, 16, 16))
class Bare(nn.Module):
    """Bare parameters: per channel, per place, and for both; a buffer of means."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = (
            nn.Conv2d(3, 6, 3, 1, 1),
            nn.Conv2d(6, 8, 3, 2, 1),
            nn.Linear(8, 5),
        )
        self.scale, self.shift = (
            nn.Parameter(torch.rand(1, 6, 1, 1)),
            nn.Parameter(torch.randn(6, 1, 1)),
        )
        self.position = nn.Parameter(torch.randn(1, 8, 8, 8))
        self.row = nn.Parameter(torch.randn(1, 1, 16, 1))
        self.register_buffer("mean", torch.rand(1, 3, 1, 1))

    def forward(self, x):
        x = F.relu(self.a((x - self.mean) / 0.5)) * self.scale + self.shift + self.row
        return self.head((self.b(x) + self.position).relu().mean((2, 3)))


def fold(x):
    b, c, h, w = x.size()
    x = x.view(b, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4).contiguous()
    return x.view(b, c * 4, h // 2, w // 2)


@network((3, 16, 16))
def space_to_depth():
    """As in TResNet (Ridnik et al. 2021), and PyTorch's own way later."""
    layers = [Lambda(fold), conv_bn(12, 6), Lambda(fold), conv_bn(24, 4), nn.PixelUnshuffle(2)]
    return Net(nn.Sequential(*layers, conv_bn(16, 6)), 6)


@network((3, 16, 16), inexact=GROWTH, reason="products of channels: a copy comes twice")
class BilinearPooling(nn.Module):
    """Lin et al. 2015: the outer product of two streams, signed root, unit length."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.fc = conv_bn(3, 4, 3, 2), conv_bn(3, 6, 3, 2), nn.Linear(24, 5)

    def forward(self, x):
        a, b = self.a(x).flatten(2), self.b(x).flatten(2)
        y = torch.bmm(a, b.transpose(1, 2)).div(a.size(2)).view(x.size(0), -1)
        return self.fc(F.normalize(y.sign() * (y.abs() + 1e-5).sqrt()))


@network((3, 16, 16), inexact=GROWTH, reason="products of channels: a copy comes twice")
class Covariance(nn.Module):
    """Li et al. 2017: the covariance of the channels, its upper triangle."""

    def __init__(self):
        super().__init__()
        self.body, self.reduce = conv_bn(3, 6, 3, 2), conv_bn(6, 4, 1)
        self.fc = nn.Linear(10, 5)

    def forward(self, x):
        x = self.reduce(self.body(x)).flatten(2)
        x = x - x.mean(2, keepdim=True)
        c, i = x @ x.mT / x.size(2), torch.triu_indices(x.size(1), x.size(1))
        return self.fc(c[:, i[0], i[1]])


@network((3, 16, 16))
class Named(nn.Module):
    """The output is a dictionary with a tuple in it."""

    def __init__(self):
        super().__init__()
        self.a, self.b = conv_bn(3, 6, 3, 2), conv_bn(6, 8, 3, 2)
        self.mask, self.fc = nn.Conv2d(6, 2, 1), nn.Linear(8, 5)

    def forward(self, x):
        a = self.a(x)
        b = self.b(a)
        return {"scores": self.fc(b.mean((2, 3))), "maps": (self.mask(a), x.mean())}


@network((3, 16, 16), (1, 8, 8))
class TwoInputs(nn.Module):
    """Two streams that meet by a sum and by concatenation."""

    def __init__(self):
        super().__init__()
        self.colour, self.depth = conv_bn(3, 6, 3, 2), conv_bn(1, 6)
        self.both, self.fc = conv_bn(12, 8, 3, 2), nn.Linear(8, 5)

    def forward(self, x, depth):
        x, y = self.colour(x), self.depth(depth)
        return self.fc(self.both(torch.cat([x + y, torch.maximum(x, y)], 1)).amax((2, 3)))


@network((1, 16, 16), either={"last"})
class SpatialTransformer(nn.Module):
    """Jaderberg et al. 2015: a small network says where to look.

    Its `view(-1, n)` would make pictures of more channels, so a wider `last` needs an adapter.
    """

    def __init__(self):
        super().__init__()
        self.look = nn.Sequential(
            nn.Conv2d(1, 4, 5, 2), nn.ReLU(), nn.Conv2d(4, 4, 3, 2), nn.ReLU()
        )
        self.where, self.body = nn.Linear(16, 6), nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU())
        self.last, self.fc = nn.Conv2d(6, 4, 3, 2), nn.Linear(4 * 36, 5)

    def forward(self, x):
        theta = self.where(self.look(x).view(-1, 16)).view(-1, 2, 3)
        x = F.grid_sample(
            x, F.affine_grid(theta, x.size(), align_corners=False), align_corners=False
        )
        return self.fc(self.last(self.body(x)).view(-1, 4 * 6 * 6))


@network((3, 16, 16), inexact={"out_+25%"}, reason="uneven copies change which channels compete")
def maxout():
    """Goodfellow et al. 2013: the larger of two neighbours."""
    larger = Lambda(lambda x: x.view(x.shape[0], x.shape[1] // 2, 2, *x.shape[2:]).max(dim=2)[0])
    return Net(nn.Sequential(nn.Conv2d(3, 8, 3), larger, nn.Conv2d(4, 12, 3), larger), 6)


@network((2, 6, 12, 12))
class Video(nn.Module):
    """3D, 2D and 1D convolutions: frames together, one by one, and along time."""

    def __init__(self):
        super().__init__()
        self.cube, self.norm = nn.Conv3d(2, 4, 3, padding=1), nn.BatchNorm3d(4)
        self.frame, self.time = nn.Conv2d(4, 6, 3, 2), nn.Conv1d(6, 8, 3)
        self.second, self.fc = nn.Conv2d(6, 6, 3), nn.Linear(8, 5)

    def forward(self, x):
        x = F.relu(self.norm(self.cube(x)))
        n, c, t, h, w = x.shape
        x = self.frame(x.transpose(1, 2).reshape(n * t, c, h, w))
        x = self.second(F.relu(x)).mean((2, 3)).view(n, t, -1)
        return self.fc(F.relu(self.time(x.transpose(1, 2))).mean(2))


@network((3, 18, 14))
class AnySize(nn.Module):
    """Python numbers made of shapes: padding to a multiple of four, pyramid pooling."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.fc = conv_bn(3, 6, 3, 2), conv_bn(6, 8, 3, 2), nn.Linear(8 * 5, 5)

    def forward(self, x):
        h, w = x.shape[-2:]
        x = F.pad(x, (0, -w % 4, 0, -h % 4))
        x = self.b(self.a(x))
        pooled = [F.adaptive_max_pool2d(x, n).reshape(x.shape[0], -1) for n in (1, 2)]
        return self.fc(torch.cat(pooled, dim=1))


@network((3, 16, 16))
class FixedViews(nn.Module):
    """Sizes as numbers in the code: a flattened map, and maps put side by side."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (
            nn.Conv2d(3, 6, 3, 2, 1),
            nn.Conv2d(6, 6, 3, 2, 1),
            nn.Conv2d(6, 4, 1),
        )
        self.up, self.out, self.fc = nn.Conv2d(6, 24, 1), nn.Conv2d(12, 3, 1), nn.Linear(64, 4)

    def forward(self, x):
        a = F.relu(self.a(x))
        b = F.relu(self.b(a))
        code = self.fc(self.c(b).view(x.size(0), 64)).view(-1, 4, 1, 1)
        up = self.up(b).view(-1, 6, 2, 2, 4, 4).permute(0, 1, 4, 2, 5, 3).reshape(-1, 6, 8, 8)
        return self.out(torch.cat([a, up], 1)) * code.mean(1, keepdim=True)


@network((1, 16, 32))
class TextReader(nn.Module):
    """Shi et al. 2017 (CRNN): columns of a map are the steps of a recurrent layer."""

    def __init__(self):
        super().__init__()
        self.a, self.b = conv_bn(1, 4, 3, 2), nn.Conv2d(4, 6, 3, (2, 1), 1)
        self.rnn, self.fc = nn.GRU(24, 6, batch_first=True), nn.Linear(6, 5)

    def forward(self, x):
        x = F.relu(self.b(self.a(x)))
        n, c, h, w = x.shape
        steps, _ = self.rnn(x.permute(0, 3, 1, 2).reshape(n, w, c * h))
        return self.fc(steps)


@network((3, 16, 16), inexact=GROWTH, reason="squashing and routing count copies")
class Capsules(nn.Module):
    """Sabour et al. 2017, primary capsules: channels become vectors."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 5, 2), nn.Conv2d(6, 8, 3, 2)
        self.votes, self.head = nn.Linear(4, 6), nn.Linear(6, 5)

    def forward(self, x):
        x = self.b(F.relu(self.a(x)))
        u = x.view(x.size(0), 2, 4, -1).transpose(2, 3).reshape(x.size(0), -1, 4)
        length = u.pow(2).sum(-1, keepdim=True)
        u = u * length / (1 + length) / torch.sqrt(length + 1e-8)
        return self.head(self.votes(u).mean(1))


@network((3, 16, 16), inexact=GROWTH, reason="the distances to the centres count copies")
class NetVLAD(nn.Module):
    """Arandjelović et al. 2016: distances to centres, softly assigned."""

    def __init__(self):
        super().__init__()
        self.body, self.assign = conv_bn(3, 6, 3, 2), nn.Conv2d(6, 4, 1)
        self.centres, self.fc = nn.Parameter(torch.rand(4, 6)), nn.Linear(24, 5)

    def forward(self, x):
        x = self.body(x)
        a, x = self.assign(x).flatten(2).softmax(1), x.flatten(2)
        residual = x.unsqueeze(1) - self.centres[None, :, :, None]
        return self.fc((residual * a.unsqueeze(2)).sum(-1).flatten(1))
