"""Networks of the zoo: patches, tokens, channels in the last place, attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.conv.edit.zoo import Net, Sum, conv_bn, network

GROWTH = {"out_x2", "out_+25%"}
UNEVEN = "a LayerNorm's mean and variance count uneven copies"
PRODUCTS = "the products and the scale of an attention count copies"


class LayerNorm2d(nn.Module):
    """Over the channels of a map, computed by hand."""

    def __init__(self, c):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(c)), nn.Parameter(torch.zeros(c))

    def forward(self, x):
        mean = x.mean(1, keepdim=True)
        x = (x - mean) / torch.sqrt((x - mean).pow(2).mean(1, keepdim=True) + 1e-6)
        return self.weight[:, None, None] * x + self.bias[:, None, None]


class ConvNeXtBlock(nn.Module):
    """Liu et al. 2022: depthwise, channels last, two linear layers, layer scale."""

    def __init__(self, c):
        super().__init__()
        self.deep, self.norm = nn.Conv2d(c, c, 7, padding=3, groups=c), nn.LayerNorm(c, eps=1e-6)
        self.wide, self.narrow = nn.Linear(c, 4 * c), nn.Linear(4 * c, c)
        self.gamma = nn.Parameter(0.1 * torch.randn(c))

    def forward(self, x):
        y = self.norm(self.deep(x).permute(0, 2, 3, 1))
        y = self.gamma * self.narrow(F.gelu(self.wide(y)))
        return x + y.permute(0, 3, 1, 2)


@network((3, 16, 16), inexact={"out_+25%"}, reason=UNEVEN)
def convnext():
    down = [LayerNorm2d(6), nn.Conv2d(6, 8, 2, 2), ConvNeXtBlock(8)]
    stem = [nn.Conv2d(3, 6, 4, 4), LayerNorm2d(6), ConvNeXtBlock(6)]
    last = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(8), nn.Linear(8, 5)]
    return nn.Sequential(*stem, *down, *last)


class ResponseNorm(nn.Module):
    """Woo et al. 2023 (ConvNeXt v2): each channel's energy against the mean of all."""

    def __init__(self, c):
        super().__init__()
        self.gamma = nn.Parameter(torch.randn(1, 1, 1, c))
        self.beta = nn.Parameter(torch.randn(1, 1, 1, c))

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        energy = torch.norm(x, p=2, dim=(1, 2), keepdim=True)
        relative = energy / (energy.mean(dim=-1, keepdim=True) + 1e-6)
        return (self.gamma * (x * relative) + self.beta + x).permute(0, 3, 1, 2)


@network((3, 16, 16), inexact={"out_+25%"}, reason="the mean over channels counts uneven copies")
def convnext_v2():
    return Net(nn.Sequential(nn.Conv2d(3, 8, 3), nn.GELU(), ResponseNorm(8), nn.Conv2d(8, 6, 3)), 6)


@network((3, 16, 16))
def convmixer():
    """Trockman and Kolter 2022."""

    def block(c):
        deep = nn.Sequential(
            nn.Conv2d(c, c, 5, padding="same", groups=c), nn.GELU(), nn.BatchNorm2d(c)
        )
        point = [nn.Conv2d(c, c, 1), nn.GELU(), nn.BatchNorm2d(c)]
        return nn.Sequential(Sum(nn.Identity(), deep), *point)

    stem = [nn.Conv2d(3, 8, 4, 4), nn.GELU(), nn.BatchNorm2d(8)]
    return Net(nn.Sequential(*stem, block(8), block(8)), 8)


class MixerBlock(nn.Module):
    """Tolstikhin et al. 2021: linear layers over the tokens, then over the channels."""

    def __init__(self, tokens, c):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(c), nn.LayerNorm(c)
        self.across = nn.Sequential(nn.Linear(tokens, 8), nn.GELU(), nn.Linear(8, tokens))
        self.along = nn.Sequential(nn.Linear(c, 12), nn.GELU(), nn.Linear(12, c))

    def forward(self, x):
        x = x + self.across(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.along(self.norm2(x))


@network((3, 16, 16), inexact={"out_+25%"}, reason=UNEVEN)
class MLPMixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.blocks = (
            nn.Conv2d(3, 8, 4, 4),
            nn.Sequential(MixerBlock(16, 8), MixerBlock(16, 8)),
        )
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.norm(self.blocks(self.stem(x).flatten(2).transpose(1, 2))).mean(1))


class Affine(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.alpha, self.beta = nn.Parameter(torch.randn(c)), nn.Parameter(torch.randn(c))

    def forward(self, x):
        return torch.addcmul(self.beta, self.alpha, x)


@network((3, 16, 16))
class ResMLP(nn.Module):
    """Touvron et al. 2022, behind a convolutional stem."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(conv_bn(3, 6, 3, 2), nn.Conv2d(6, 8, 2, 2))
        self.a, self.b, self.c = Affine(8), Affine(8), Affine(8)
        self.tokens, self.wide, self.narrow = nn.Linear(16, 16), nn.Linear(8, 16), nn.Linear(16, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = torch.flatten(self.stem(x), 2).permute(0, 2, 1)
        x = x + self.tokens(self.a(x).mT).mT
        x = x + self.narrow(F.gelu(self.wide(self.b(x))))
        return self.head(self.c(x).mean(dim=1))


class Attention(nn.Module):
    """Vaswani et al. 2017: queries, keys and values from one linear layer."""

    def __init__(self, c, heads):
        super().__init__()
        self.heads, self.scale = heads, (c // heads) ** -0.5
        self.qkv, self.proj = nn.Linear(c, 3 * c), nn.Linear(c, c)

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        weights = ((q @ k.transpose(-2, -1)) * self.scale).softmax(dim=-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(b, n, c))


class Encoder(nn.Module):
    def __init__(self, c, heads):
        super().__init__()
        self.norm1, self.attention, self.norm2 = (
            nn.LayerNorm(c),
            Attention(c, heads),
            nn.LayerNorm(c),
        )
        self.mlp = nn.Sequential(nn.Linear(c, 2 * c), nn.GELU(), nn.Linear(2 * c, c))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


@network((3, 16, 16), inexact=GROWTH, reason=PRODUCTS)
class ViT(nn.Module):
    """Dosovitskiy et al. 2021: patches, class token, position embedding."""

    def __init__(self):
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, 8, 4, 4), nn.Parameter(torch.randn(1, 1, 8))
        self.position, self.blocks = nn.Parameter(torch.randn(1, 17, 8)), Encoder(8, 2)
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 5)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])


@network((3, 16, 16), inexact=GROWTH, reason=PRODUCTS)
class ConvStemTransformer(nn.Module):
    """Hassani et al. 2021 (CCT): PyTorch's own attention, sequence pooling."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1))
        self.norm, self.mha = nn.LayerNorm(8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.pool, self.head = nn.Linear(8, 1), nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x).flatten(2).transpose(1, 2)
        y = self.norm(x)
        x = x + self.mha(y, y, y, need_weights=False)[0]
        return self.head((F.softmax(self.pool(x), dim=1).transpose(1, 2) @ x).squeeze(1))


class PoolBlock(nn.Module):
    """Yu et al. 2022: pooling in the place of attention, GroupNorm of one group."""

    def __init__(self, c):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(1, c), nn.GroupNorm(1, c)
        self.mlp = nn.Sequential(nn.Conv2d(c, 2 * c, 1), nn.GELU(), nn.Conv2d(2 * c, c, 1))
        self.scale = nn.Parameter(0.1 * torch.randn(c), requires_grad=True)

    def forward(self, x):
        y = self.norm1(x)
        y = F.avg_pool2d(y, 3, 1, 1, count_include_pad=False) - y
        x = x + self.scale.unsqueeze(-1).unsqueeze(-1) * y
        return x + self.mlp(self.norm2(x))


@network((3, 16, 16), inexact={"out_+25%"}, reason=UNEVEN)
def poolformer():
    stages = [nn.Conv2d(3, 6, 3, 2, 1), PoolBlock(6), nn.Conv2d(6, 8, 3, 2, 1), PoolBlock(8)]
    return Net(nn.Sequential(*stages), 8)


class MapAttention(nn.Module):
    """Attention between the places of a map, with relative positions (Dai et al. 2021)."""

    def __init__(self, c, heads, size):
        super().__init__()
        self.heads, self.q, self.k = heads, nn.Conv2d(c, c, 1), nn.Conv2d(c, c, 1)
        self.v, self.out = nn.Conv2d(c, c, 1), nn.Conv2d(c, c, 1)
        self.table = nn.Parameter(torch.randn(heads, (2 * size - 1) ** 2))
        y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
        places = torch.stack([y.flatten(), x.flatten()])
        steps = places[:, :, None] - places[:, None] + size - 1
        self.register_buffer("index", steps[0] * (2 * size - 1) + steps[1])

    def forward(self, x):
        n, c, h, w = x.shape
        q, k, v = (f(x).view(n, self.heads, -1, h * w) for f in (self.q, self.k, self.v))
        scores = torch.matmul(q.transpose(-1, -2), k) + self.table[:, self.index]
        out = v @ scores.softmax(-1).transpose(-2, -1)
        return x + self.out(out.reshape(n, c, h, w))


@network((3, 16, 16), inexact=GROWTH, reason=PRODUCTS)
def coatnet():
    stem = [conv_bn(3, 6, 3, 2), conv_bn(6, 8, 3, 2, 2)]
    return Net(nn.Sequential(*stem, nn.BatchNorm2d(8), MapAttention(8, 2, 4), nn.ReLU()), 8)


class Windows(nn.Module):
    """Attention inside shifted windows (Liu et al. 2021), channels last."""

    def __init__(self, c, heads, window, shift):
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(c), Attention(c, heads)
        self.window, self.shift = window, shift

    def forward(self, x):
        b, h, w, c = x.shape
        s, y = self.window, torch.roll(self.norm(x), (-self.shift, -self.shift), dims=(1, 2))
        y = y.view(b, h // s, s, w // s, s, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, s * s, c)
        y = self.attention(y).view(b, h // s, w // s, s, s, c).permute(0, 1, 3, 2, 4, 5)
        return x + torch.roll(y.reshape(b, h, w, c), (self.shift, self.shift), dims=(1, 2))


@network((3, 16, 16), inexact=GROWTH, reason=PRODUCTS)
class Swin(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 2, 2)
        self.blocks = nn.Sequential(Windows(8, 2, 4, 0), Windows(8, 2, 4, 2))
        self.merge_norm, self.merge = nn.LayerNorm(32), nn.Linear(32, 12, bias=False)
        self.head = nn.Linear(12, 5)

    def forward(self, x):
        x = self.blocks(self.patches(x).permute(0, 2, 3, 1))
        corners = [x[:, i::2, j::2, :] for j in (0, 1) for i in (0, 1)]
        return self.head(self.merge(self.merge_norm(torch.cat(corners, -1))).mean((1, 2)))


class NonLocal(nn.Module):
    """Wang et al. 2018: the embedded Gaussian."""

    def __init__(self, c, small):
        super().__init__()
        self.theta, self.phi = nn.Conv2d(c, small, 1), nn.Conv2d(c, small, 1)
        self.g, self.out = nn.Conv2d(c, small, 1), nn.Conv2d(small, c, 1)

    def forward(self, x):
        theta, phi, g = self.theta(x).flatten(2), self.phi(x).flatten(2), self.g(x).flatten(2)
        weights = torch.einsum("nci,ncj->nij", theta, phi).softmax(-1)
        y = torch.einsum("nij,ncj->nci", weights, g)
        return x + self.out(y.view(x.size(0), -1, *x.shape[2:]))


@network((3, 16, 16), inexact=GROWTH, reason=PRODUCTS)
def non_local():
    return Net(nn.Sequential(conv_bn(3, 8, 3, 2), NonLocal(8, 4), conv_bn(8, 8, 3, 2)), 8)


@network((3, 16, 16), inexact=GROWTH, reason=PRODUCTS)
class Transposed(nn.Module):
    """Zamir et al. 2022 (Restormer): attention between channels instead of places."""

    def __init__(self):
        super().__init__()
        self.stem, self.qkv = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 24, 1, bias=False)
        self.deep, self.out = nn.Conv2d(24, 24, 3, 1, 1, groups=24), nn.Conv2d(8, 8, 1)
        self.temperature, self.head = nn.Parameter(torch.ones(2, 1, 1)), nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        b, c, h, w = x.shape
        parts = self.deep(self.qkv(x)).chunk(3, dim=1)
        q, k, v = (part.reshape(b, 2, c // 2, h * w) for part in parts)
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        y = ((q @ k.transpose(-2, -1)) * self.temperature).softmax(-1) @ v
        return self.head((x + self.out(y.reshape(b, c, h, w))).mean((2, 3)))
