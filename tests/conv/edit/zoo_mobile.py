"""Networks of the zoo: for phones, and those in which channels weigh channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.conv.edit.zoo import Cat, Gate, Lambda, Net, Sum, conv_bn, network


@network((3, 16, 16))
def mobilenet_v1():
    """Howard et al. 2017."""

    def separable(c_in, c_out, s):
        return nn.Sequential(conv_bn(c_in, c_in, 3, s, c_in), conv_bn(c_in, c_out, 1))

    return Net(nn.Sequential(conv_bn(3, 6, 3, 2), separable(6, 8, 1), separable(8, 12, 2)), 12)


class Inverted(nn.Module):
    """Expand, depthwise, project, and a sum where the sizes agree (Sandler et al. 2018)."""

    def __init__(self, c_in, c_out, ratio=2, s=1, k=3, act=nn.ReLU6, gate=None, drop=0.0):
        super().__init__()
        wide, self.adds, self.drop = c_in * ratio, s == 1 and c_in == c_out, drop
        steps = [conv_bn(c_in, wide, 1, act=act)] if ratio > 1 else []
        steps += [conv_bn(wide, wide, k, s, wide, act)] + ([gate(wide)] if gate else [])
        self.path = nn.Sequential(*steps, conv_bn(wide, c_out, 1, act=None))

    def forward(self, x):
        if not self.adds:
            return self.path(x)
        out = self.path(x)
        if self.training and self.drop > 0:  # stochastic depth
            keep = torch.rand(x.shape[0], 1, 1, 1, device=x.device) >= self.drop
            out = out / (1 - self.drop) * keep.to(x.dtype)
        return x + out


@network((3, 16, 16))
def mobilenet_v2():
    blocks = [Inverted(4, 6, 1), Inverted(6, 6), Inverted(6, 8, 3, 2), conv_bn(8, 16, 1)]
    return Net(nn.Sequential(conv_bn(3, 4, 3, 2, act=nn.ReLU6), *blocks), 16)


class Squeeze(nn.Module):
    """Squeeze-excitation with 1×1 convolutions."""

    def __init__(self, c, last=nn.Hardsigmoid):
        super().__init__()
        self.fc1, self.fc2, self.last = nn.Conv2d(c, 4, 1), nn.Conv2d(4, c, 1), last()

    def forward(self, x):
        return self.last(self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1))))) * x


@network((3, 16, 16))
def mobilenet_v3():
    """Howard et al. 2019: gates, hard swish, and a linear layer before the last."""
    stem, act = conv_bn(3, 4, 3, 2, act=nn.Hardswish), nn.Hardswish
    blocks = [Inverted(4, 4, 2, 1, 3, nn.ReLU, Squeeze), Inverted(4, 6, 3, 2, 5, act, Squeeze)]
    blocks += [Inverted(6, 6, 2, 1, 5, act), conv_bn(6, 12, 1, act=act)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10), act(), nn.Linear(10, 5)]
    return nn.Sequential(stem, *blocks, *head)


@network((3, 16, 16))
def efficientnet():
    """Tan and Le 2019: SiLU, gates, stochastic depth."""

    def block(c_in, c_out, s, k):
        return Inverted(c_in, c_out, 3, s, k, nn.SiLU, lambda c: Squeeze(c, nn.Sigmoid), 0.2)

    blocks = [block(4, 4, 1, 3), block(4, 6, 2, 5), block(6, 6, 1, 3), conv_bn(6, 12, 1)]
    return Net(nn.Sequential(conv_bn(3, 4, 3, 2, act=nn.SiLU), *blocks), 12)


class Ghost(nn.Module):
    """Han et al. 2020: cheap depthwise layers make more maps; surplus maps are cut off."""

    def __init__(self, c_in, c_out, s=1):
        super().__init__()
        self.c_out, half = c_out, -(-c_out // 2)
        self.dear, self.cheap = conv_bn(c_in, half, 1, s), conv_bn(half, half, 3, 1, half)

    def forward(self, x):
        a = self.dear(x)
        return torch.cat([a, self.cheap(a)], dim=1)[:, : self.c_out, :, :]


@network((3, 16, 16))
def ghostnet():
    block = Sum(nn.Identity(), nn.Sequential(Ghost(7, 12), Squeeze(12), Ghost(12, 7)))
    return Net(nn.Sequential(conv_bn(3, 4, 3, 2), Ghost(4, 7), block, Ghost(7, 8, 2)), 8)


def shuffle(x, groups):
    n, c, h, w = x.size()
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


class ShuffleUnit(nn.Module):
    """Zhang et al. 2018: grouped 1×1 convolutions with a shuffle; a step down concatenates."""

    def __init__(self, c_in, c_out, s=1, g=2):
        super().__init__()
        self.g, self.s, mid = g, s, 8
        self.first, self.depth = conv_bn(c_in, mid, 1, 1, g), conv_bn(mid, mid, 3, s, mid, None)
        self.last = conv_bn(mid, c_out - c_in if s > 1 else c_out, 1, 1, g, None)

    def forward(self, x):
        out = self.last(self.depth(shuffle(self.first(x), self.g)))
        if self.s == 1:
            return F.relu(x + out)
        return F.relu(torch.cat((F.avg_pool2d(x, 3, 2, 1), out), 1))


@network((3, 16, 16))
def shufflenet_v1():
    return Net(nn.Sequential(conv_bn(3, 8), ShuffleUnit(8, 16, 2), ShuffleUnit(16, 16)), 16)


class ShuffleV2(nn.Module):
    """Ma et al. 2018: one half of the channels passes, then the halves are mixed."""

    def __init__(self, c, s):
        super().__init__()
        half, self.s = c // 2, s
        c_in = c // 2
        self.right = nn.Sequential(
            conv_bn(c_in, half, 1), conv_bn(half, half, 3, s, half, None), conv_bn(half, half, 1)
        )
        self.left = nn.Sequential(conv_bn(c_in, c_in, 3, s, c_in, None), conv_bn(c_in, half, 1))

    def forward(self, x):
        if self.s == 1:
            a, b = x.chunk(2, dim=1)
            return shuffle(torch.cat((a, self.right(b)), dim=1), 2)
        return shuffle(torch.cat((self.left(x), self.right(x)), dim=1), 2)


@network((3, 16, 16))
def shufflenet_v2():
    units = [ShuffleV2(12, 2), ShuffleV2(12, 1), ShuffleV2(12, 1), conv_bn(12, 16, 1)]
    return Net(nn.Sequential(conv_bn(3, 6, 3, 2), *units), 16)


class ECA(nn.Module):
    """Wang et al. 2020b: a convolution along the channels."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x):
        y = self.conv(x.mean((2, 3)).unsqueeze(1)).squeeze(1)
        return x * y.sigmoid()[:, :, None, None]


@network((3, 16, 16), inexact={"out_x2", "out_+25%"}, reason="its gate sees neighbouring channels")
def eca_net():
    return Net(nn.Sequential(conv_bn(3, 8), ECA(), conv_bn(8, 8), ECA()), 8)


class CBAM(nn.Module):
    """Woo et al. 2018: a gate for the channels, then one for the places."""

    def __init__(self, c):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(c, 4), nn.ReLU(), nn.Linear(4, c))
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x):
        y = self.mlp(x.mean((2, 3))) + self.mlp(x.flatten(2).max(2)[0])
        x = x * torch.sigmoid(y).unsqueeze(2).unsqueeze(3).expand_as(x)
        z = torch.cat((torch.max(x, 1)[0].unsqueeze(1), torch.mean(x, 1).unsqueeze(1)), dim=1)
        return x * torch.sigmoid(self.conv(z))


@network(
    (3, 16, 16), inexact={"out_+25%"}, reason="the mean over channels counts copies, if uneven"
)
def cbam_net():
    return Net(nn.Sequential(conv_bn(3, 8), CBAM(8), conv_bn(8, 8), CBAM(8)), 8)


class SelectiveKernel(nn.Module):
    """Li et al. 2019: a softmax over branches, for each channel."""

    def __init__(self, c):
        super().__init__()
        self.branches = nn.ModuleList(conv_bn(c, c, k, g=2) for k in (3, 5))
        self.down, self.up = nn.Linear(c, 4), nn.ModuleList(nn.Linear(4, c) for _ in range(2))

    def forward(self, x):
        maps = torch.stack([branch(x) for branch in self.branches], dim=1)
        z = F.relu(self.down(maps.sum(1).mean(-1).mean(-1)))
        weights = torch.softmax(torch.stack([up(z) for up in self.up], 1), dim=1)
        return (maps * weights[..., None, None]).sum(dim=1)


@network((3, 16, 16))
def sk_net():
    return Net(nn.Sequential(conv_bn(3, 8), SelectiveKernel(8), conv_bn(8, 8)), 8)


class SplitAttention(nn.Module):
    """Zhang et al. 2022 (ResNeSt): a softmax over the splits of one grouped convolution."""

    def __init__(self, c_in, c, radix=2):
        super().__init__()
        self.conv, self.r, self.c = conv_bn(c_in, c * radix, 3, g=radix), radix, c
        self.fc1, self.fc2 = nn.Conv2d(c, 4, 1), nn.Conv2d(4, c * radix, 1)

    def forward(self, x):
        x = self.conv(x)
        parts = x.view(x.size(0), self.r, -1, *x.shape[2:])
        gap = F.adaptive_avg_pool2d(parts.sum(1), 1)
        weights = self.fc2(F.relu(self.fc1(gap))).view(x.size(0), self.r, -1).softmax(1)
        return (parts * weights[:, :, :, None, None]).sum(1)


@network((3, 16, 16))
def resnest():
    return Net(nn.Sequential(conv_bn(3, 8), SplitAttention(8, 6), conv_bn(6, 8)), 8)


class Coordinate(nn.Module):
    """Hou et al. 2021: pools along rows and columns, and gates both."""

    def __init__(self, c):
        super().__init__()
        self.down, self.rows, self.columns = (
            conv_bn(c, 4, 1),
            nn.Conv2d(4, c, 1),
            nn.Conv2d(4, c, 1),
        )

    def forward(self, x):
        h, w = x.shape[2:]
        y = torch.cat([x.mean(3, keepdim=True), x.mean(2, keepdim=True).permute(0, 1, 3, 2)], 2)
        a, b = torch.split(self.down(y), [h, w], dim=2)
        return x * self.rows(a).sigmoid() * self.columns(b.permute(0, 1, 3, 2)).sigmoid()


@network((3, 16, 16))
def coordinate_attention():
    return Net(nn.Sequential(conv_bn(3, 6), Coordinate(6), conv_bn(6, 8, 3, 2), Coordinate(8)), 8)


@network((3, 16, 16))
def squeeze_excitation():
    """Hu et al. 2018: gates made of linear layers, in a residual network."""
    path = nn.Sequential(conv_bn(6, 6), conv_bn(6, 6, act=None), Gate(6, 3))
    return Net(nn.Sequential(conv_bn(3, 6), Sum(nn.Identity(), path), nn.ReLU()), 6)


@network((3, 16, 16))
def channel_multiplier():
    """Depthwise layers with two output maps for each channel (Chollet 2017)."""
    deep = [nn.Conv2d(4, 8, 3, 1, 1, groups=4), nn.ReLU(), nn.Conv2d(8, 24, 3, 1, 1, groups=8)]
    return Net(nn.Sequential(conv_bn(3, 4), *deep, nn.BatchNorm2d(24), conv_bn(24, 8, 1)), 8)


class MixConv(nn.Module):
    """Tan and Le 2019b: another kernel size for each part of the channels."""

    def __init__(self, sizes):
        super().__init__()
        self.sizes = sizes
        self.convs = nn.ModuleList(
            nn.Conv2d(n, n, 3 + 2 * i, padding=1 + i, groups=n) for i, n in enumerate(sizes)
        )

    def forward(self, x):
        parts = torch.split(x, self.sizes, 1)
        return torch.cat([conv(part) for conv, part in zip(self.convs, parts, strict=True)], 1)


@network((3, 16, 16))
def mixnet():
    return Net(nn.Sequential(conv_bn(3, 8, 1), MixConv([4, 4]), conv_bn(8, 8, 1)), 8)


@network((3, 16, 16))
def crelu():
    """Shang et al. 2016: every channel also with the other sign."""
    sign = Lambda(lambda x: F.relu(torch.cat((x, -x), 1)))
    return Net(nn.Sequential(conv_bn(3, 4, act=None), sign, nn.Conv2d(8, 6, 3), nn.ReLU()), 6)


@network((3, 16, 16))
def gated_linear():
    """Dauphin et al. 2017: one half of the channels opens the other."""
    return Net(nn.Sequential(nn.Conv2d(3, 8, 3), nn.GLU(1), nn.Conv2d(4, 12, 3), nn.GLU(1)), 6)


@network((3, 16, 16))
def xception():
    """Chollet 2017: separable convolutions, with a projected shortcut."""

    def separable(c_in, c_out):
        deep = nn.Conv2d(c_in, c_in, 3, 1, 1, groups=c_in, bias=False)
        return nn.Sequential(deep, nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out))

    path = nn.Sequential(
        nn.ReLU(), separable(4, 8), nn.ReLU(), separable(8, 8), nn.MaxPool2d(3, 2, 1)
    )
    short = conv_bn(4, 8, 1, 2, act=None)
    last = Cat(nn.Identity(), nn.Conv2d(8, 4, 1))
    return Net(nn.Sequential(conv_bn(3, 4), Sum(path, short), last), 12)
