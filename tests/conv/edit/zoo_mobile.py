"""Networks of the zoo: for phones, and those in which channels weigh channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.conv.edit.zoo import Cat, Gate, Net, Sum, block, conv_bn, network


@network()
def mobilenet_v1():
    """Howard et al. 2017."""

    def separable(c_in, c_out, s):
        return nn.Sequential(conv_bn(c_in, c_in, 3, s, c_in), conv_bn(c_in, c_out, 1))

    return Net(nn.Sequential(conv_bn(3, 6, 3, 2), separable(6, 8, 1), separable(8, 12, 2)), 12)


@block
def inverted(layer, x, c_in, c_out, ratio=2, s=1, k=3, act=nn.ReLU6, gate=None, drop=0.0):
    """Expand, depthwise, project, and a sum where the sizes agree (Sandler et al. 2018)."""
    wide = c_in * ratio
    out = layer(conv_bn, c_in, wide, 1, act=act)(x) if ratio > 1 else x
    out = layer(conv_bn, wide, wide, k, s, wide, act)(out)
    out = layer(gate, wide)(out) if gate else out
    out = layer(conv_bn, wide, c_out, 1, act=None)(out)
    if s > 1 or c_in != c_out:
        return out
    if layer.training and drop > 0:  # stochastic depth
        keep = torch.rand(x.shape[0], 1, 1, 1, device=x.device) >= drop
        out = out / (1 - drop) * keep.to(x.dtype)
    return x + out


@network()
def mobilenet_v2():
    blocks = [inverted(4, 6, 1), inverted(6, 6), inverted(6, 8, 3, 2), conv_bn(8, 16, 1)]
    return Net(nn.Sequential(conv_bn(3, 4, 3, 2, act=nn.ReLU6), *blocks), 16)


@block
def squeeze(layer, x, c, last=nn.Hardsigmoid):
    """Squeeze-excitation with 1×1 convolutions."""
    small = F.relu(layer(nn.Conv2d, c, 4, 1)(F.adaptive_avg_pool2d(x, 1)))
    return layer(last)(layer(nn.Conv2d, 4, c, 1)(small)) * x


@network()
def mobilenet_v3():
    """Howard et al. 2019: gates, hard swish, and a linear layer before the last."""
    stem, act = conv_bn(3, 4, 3, 2, act=nn.Hardswish), nn.Hardswish
    blocks = [inverted(4, 4, 2, 1, 3, nn.ReLU, squeeze), inverted(4, 6, 3, 2, 5, act, squeeze)]
    blocks += [inverted(6, 6, 2, 1, 5, act), conv_bn(6, 12, 1, act=act)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10), act(), nn.Linear(10, 5)]
    return nn.Sequential(stem, *blocks, *head)


@network()
def efficientnet():
    """Tan and Le 2019: SiLU, gates, stochastic depth."""

    def block(c_in, c_out, s, k):
        return inverted(c_in, c_out, 3, s, k, nn.SiLU, lambda c: squeeze(c, nn.Sigmoid), 0.2)

    blocks = [block(4, 4, 1, 3), block(4, 6, 2, 5), block(6, 6, 1, 3), conv_bn(6, 12, 1)]
    return Net(nn.Sequential(conv_bn(3, 4, 3, 2, act=nn.SiLU), *blocks), 12)


@block
def ghost(layer, x, c_in, c_out, s=1):
    """Han et al. 2020: cheap depthwise layers make more maps; surplus maps are cut off."""
    half = -(-c_out // 2)
    dear = layer(conv_bn, c_in, half, 1, s)(x)
    cheap = layer(conv_bn, half, half, 3, 1, half)(dear)
    return torch.cat([dear, cheap], dim=1)[:, :c_out, :, :]


@network()
def ghostnet():
    block = Sum(nn.Identity(), nn.Sequential(ghost(7, 12), squeeze(12), ghost(12, 7)))
    return Net(nn.Sequential(conv_bn(3, 4, 3, 2), ghost(4, 7), block, ghost(7, 8, 2)), 8)


def shuffle(x, groups):
    n, c, h, w = x.size()
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


@block
def shuffle_unit(layer, x, c_in, c_out, s=1, g=2, mid=8):
    """Zhang et al. 2018: grouped 1×1 convolutions with a shuffle; a step down concatenates."""
    out = shuffle(layer(conv_bn, c_in, mid, 1, 1, g)(x), g)
    out = layer(conv_bn, mid, mid, 3, s, mid, None)(out)
    out = layer(conv_bn, mid, c_out - c_in if s > 1 else c_out, 1, 1, g, None)(out)
    if s == 1:
        return F.relu(x + out)
    return F.relu(torch.cat((F.avg_pool2d(x, 3, 2, 1), out), 1))


@network()
def shufflenet_v1():
    return Net(nn.Sequential(conv_bn(3, 8), shuffle_unit(8, 16, 2), shuffle_unit(16, 16)), 16)


@block
def shuffle_v2(layer, x, c, s):
    """Ma et al. 2018: one half of the channels passes, then the halves are mixed."""
    half = c // 2
    a, b = x.chunk(2, dim=1) if s == 1 else (x, x)
    if s > 1:
        a = layer(conv_bn, half, half, 3, s, half, None)(a)
        a = layer(conv_bn, half, half, 1)(a)
    b = layer(conv_bn, half, half, 3, s, half, None)(layer(conv_bn, half, half, 1)(b))
    return shuffle(torch.cat((a, layer(conv_bn, half, half, 1)(b)), dim=1), 2)


@network()
def shufflenet_v2():
    units = [shuffle_v2(12, 2), shuffle_v2(12, 1), shuffle_v2(12, 1), conv_bn(12, 16, 1)]
    return Net(nn.Sequential(conv_bn(3, 6, 3, 2), *units), 16)


@block
def eca(layer, x):
    """Wang et al. 2020b: a convolution along the channels."""
    conv = layer(nn.Conv1d, 1, 1, 3, padding=1, bias=False)
    return x * conv(x.mean((2, 3)).unsqueeze(1)).squeeze(1).sigmoid()[:, :, None, None]


@network(inexact={"out_x2", "out_+25%"})  # its gate sees neighbouring channels
def eca_net():
    return Net(nn.Sequential(conv_bn(3, 8), eca(), conv_bn(8, 8), eca()), 8)


@block
def cbam(layer, x, c):
    """Woo et al. 2018: a gate for the channels, then one for the places."""
    down, up = layer(nn.Linear, c, 4), layer(nn.Linear, 4, c)
    y = up(F.relu(down(x.mean((2, 3))))) + up(F.relu(down(x.flatten(2).max(2)[0])))
    x = x * torch.sigmoid(y).unsqueeze(2).unsqueeze(3).expand_as(x)
    z = torch.cat((torch.max(x, 1)[0].unsqueeze(1), torch.mean(x, 1).unsqueeze(1)), dim=1)
    return x * torch.sigmoid(layer(nn.Conv2d, 2, 1, 7, padding=3, bias=False)(z))


@network(inexact={"out_+25%"})  # the mean over channels counts copies, if uneven
def cbam_net():
    return Net(nn.Sequential(conv_bn(3, 8), cbam(8), conv_bn(8, 8), cbam(8)), 8)


@block
def selective_kernel(layer, x, c):
    """Li et al. 2019: a softmax over branches, for each channel."""
    maps = torch.stack([layer(conv_bn, c, c, k, g=2)(x) for k in (3, 5)], dim=1)
    z = F.relu(layer(nn.Linear, c, 4)(maps.sum(1).mean(-1).mean(-1)))
    weights = torch.softmax(torch.stack([layer(nn.Linear, 4, c)(z) for _ in range(2)], 1), dim=1)
    return (maps * weights[..., None, None]).sum(dim=1)


@network()
def sk_net():
    return Net(nn.Sequential(conv_bn(3, 8), selective_kernel(8), conv_bn(8, 8)), 8)


@block
def split_attention(layer, x, c_in, c, radix=2):
    """Zhang et al. 2022 (ResNeSt): a softmax over the splits of one grouped convolution."""
    x = layer(conv_bn, c_in, c * radix, 3, g=radix)(x)
    parts = x.view(x.size(0), radix, -1, *x.shape[2:])
    gap = F.relu(layer(nn.Conv2d, c, 4, 1)(F.adaptive_avg_pool2d(parts.sum(1), 1)))
    weights = layer(nn.Conv2d, 4, c * radix, 1)(gap).view(x.size(0), radix, -1).softmax(1)
    return (parts * weights[:, :, :, None, None]).sum(1)


@network()
def resnest():
    return Net(nn.Sequential(conv_bn(3, 8), split_attention(8, 6), conv_bn(6, 8)), 8)


@block
def coordinate(layer, x, c):
    """Hou et al. 2021: pools along rows and columns, and gates both."""
    h, w = x.shape[2:]
    y = torch.cat([x.mean(3, keepdim=True), x.mean(2, keepdim=True).permute(0, 1, 3, 2)], 2)
    a, b = torch.split(layer(conv_bn, c, 4, 1)(y), [h, w], dim=2)
    rows, columns = layer(nn.Conv2d, 4, c, 1), layer(nn.Conv2d, 4, c, 1)
    return x * rows(a).sigmoid() * columns(b.permute(0, 1, 3, 2)).sigmoid()


@network()
def coordinate_attention():
    return Net(nn.Sequential(conv_bn(3, 6), coordinate(6), conv_bn(6, 8, 3, 2), coordinate(8)), 8)


@network()
def squeeze_excitation():
    """Hu et al. 2018: gates made of linear layers, in a residual network."""
    path = nn.Sequential(conv_bn(6, 6), conv_bn(6, 6, act=None), Gate(6, 3))
    return Net(nn.Sequential(conv_bn(3, 6), Sum(nn.Identity(), path), nn.ReLU()), 6)


@network()
def channel_multiplier():
    """Depthwise layers with two output maps for each channel (Chollet 2017)."""
    deep = [nn.Conv2d(4, 8, 3, 1, 1, groups=4), nn.ReLU(), nn.Conv2d(8, 24, 3, 1, 1, groups=8)]
    return Net(nn.Sequential(conv_bn(3, 4), *deep, nn.BatchNorm2d(24), conv_bn(24, 8, 1)), 8)


@network()
def mixnet(layer, x):
    """Tan and Le 2019b: another kernel size for each part of the channels."""
    a, b = torch.split(layer(conv_bn, 3, 8, 1)(x), [4, 4], 1)
    a = layer(nn.Conv2d, 4, 4, 3, padding=1, groups=4)(a)
    b = layer(nn.Conv2d, 4, 4, 5, padding=2, groups=4)(b)
    return layer(nn.Linear, 8, 5)(layer(conv_bn, 8, 8, 1)(torch.cat([a, b], 1)).mean((2, 3)))


@network()
def crelu(layer, x):
    """Shang et al. 2016: every channel also with the other sign."""
    x = layer(conv_bn, 3, 4, act=None)(x)
    x = layer(nn.Conv2d, 8, 6, 3)(F.relu(torch.cat((x, -x), 1)))
    return layer(nn.Linear, 6, 5)(F.relu(x).mean((2, 3)))


@network()
def gated_linear():
    """Dauphin et al. 2017: one half of the channels opens the other."""
    return Net(nn.Sequential(nn.Conv2d(3, 8, 3), nn.GLU(1), nn.Conv2d(4, 12, 3), nn.GLU(1)), 6)


@network()
def xception():
    """Chollet 2017: separable convolutions, with a projected shortcut."""

    def separable(c_in, c_out):
        deep = nn.Conv2d(c_in, c_in, 3, 1, 1, groups=c_in, bias=False)
        return nn.Sequential(deep, nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out))

    path = [nn.ReLU(), separable(4, 8), nn.ReLU(), separable(8, 8), nn.MaxPool2d(3, 2, 1)]
    short, last = conv_bn(4, 8, 1, 2, act=None), Cat(nn.Identity(), nn.Conv2d(8, 4, 1))
    return Net(nn.Sequential(conv_bn(3, 4), Sum(nn.Sequential(*path), short), last), 12)
