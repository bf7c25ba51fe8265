"""Networks of the zoo: patches, tokens, channels in the last place, attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.conv.edit.zoo import Net, Sum, block, conv_bn, network

UNEVEN = {"out_+25%"}  # means over the channels count uneven copies, in a LayerNorm for example
PRODUCTS = {"out_x2", "out_+25%"}  # the products and the scale of an attention count copies


@block
def layer_norm_2d(layer, x, c):
    """Over the channels of a map, computed by hand."""
    x = x - x.mean(1, keepdim=True)
    x = x / torch.sqrt(x.pow(2).mean(1, keepdim=True) + 1e-6)
    return layer(torch.rand, c)[:, None, None] * x + layer(torch.randn, c)[:, None, None]


@block
def convnext_block(layer, x, c):
    """Liu et al. 2022: depthwise, channels last, two linear layers, layer scale."""
    y = layer(nn.Conv2d, c, c, 7, padding=3, groups=c)(x).permute(0, 2, 3, 1)
    y = F.gelu(layer(nn.Linear, c, 4 * c)(layer(nn.LayerNorm, c, eps=1e-6)(y)))
    y = layer(torch.randn, c) * layer(nn.Linear, 4 * c, c)(y)
    return x + y.permute(0, 3, 1, 2)


@network(inexact=UNEVEN)
def convnext():
    down = [layer_norm_2d(6), nn.Conv2d(6, 8, 2, 2), convnext_block(8)]
    stem = [nn.Conv2d(3, 6, 4, 4), layer_norm_2d(6), convnext_block(6)]
    last = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(8), nn.Linear(8, 5)]
    return nn.Sequential(*stem, *down, *last)


@block
def response_norm(layer, x, c):
    """Woo et al. 2023 (ConvNeXt v2): each channel's energy against the mean of all."""
    x = x.permute(0, 2, 3, 1)
    energy = torch.norm(x, p=2, dim=(1, 2), keepdim=True)
    relative = energy / (energy.mean(dim=-1, keepdim=True) + 1e-6)
    gamma, beta = layer(torch.randn, 1, 1, 1, c), layer(torch.randn, 1, 1, 1, c)
    return (gamma * (x * relative) + beta + x).permute(0, 3, 1, 2)


@network(inexact=UNEVEN)
def convnext_v2():
    layers = [nn.Conv2d(3, 8, 3), nn.GELU(), response_norm(8), nn.Conv2d(8, 6, 3)]
    return Net(nn.Sequential(*layers), 6)


@network()
def convmixer():
    """Trockman and Kolter 2022."""

    def block(c):
        deep = [nn.Conv2d(c, c, 5, padding="same", groups=c), nn.GELU(), nn.BatchNorm2d(c)]
        point = [nn.Conv2d(c, c, 1), nn.GELU(), nn.BatchNorm2d(c)]
        return nn.Sequential(Sum(nn.Identity(), nn.Sequential(*deep)), *point)

    stem = [nn.Conv2d(3, 8, 4, 4), nn.GELU(), nn.BatchNorm2d(8)]
    return Net(nn.Sequential(*stem, block(8), block(8)), 8)


def mlp(c, wide):
    return nn.Sequential(nn.Linear(c, wide), nn.GELU(), nn.Linear(wide, c))


@block
def mixer_block(layer, x, tokens, c):
    """Tolstikhin et al. 2021: linear layers over the tokens, then over the channels."""
    x = x + layer(mlp, tokens, 8)(layer(nn.LayerNorm, c)(x).transpose(1, 2)).transpose(1, 2)
    return x + layer(mlp, c, 12)(layer(nn.LayerNorm, c)(x))


@network(inexact=UNEVEN)
def MLPMixer(layer, x):
    x = layer(nn.Conv2d, 3, 8, 4, 4)(x).flatten(2).transpose(1, 2)
    x = layer(mixer_block, 16, 8)(layer(mixer_block, 16, 8)(x))
    return layer(nn.Linear, 8, 5)(layer(nn.LayerNorm, 8)(x).mean(1))


@block
def affine(layer, x, c):
    return torch.addcmul(layer(torch.randn, c), layer(torch.randn, c), x)


@network()
def ResMLP(layer, x):
    """Touvron et al. 2022, behind a convolutional stem."""
    x = layer(nn.Conv2d, 6, 8, 2, 2)(layer(conv_bn, 3, 6, 3, 2)(x))
    x = torch.flatten(x, 2).permute(0, 2, 1)
    x = x + layer(nn.Linear, 16, 16)(layer(affine, 8)(x).mT).mT
    x = x + layer(mlp, 8, 16)(layer(affine, 8)(x))
    return layer(nn.Linear, 8, 5)(layer(affine, 8)(x).mean(dim=1))


@block
def attention(layer, x, c, heads):
    """Vaswani et al. 2017: queries, keys and values from one linear layer."""
    b, n, width = x.shape
    qkv = layer(nn.Linear, c, 3 * c)(x).reshape(b, n, 3, heads, width // heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    weights = ((q @ k.transpose(-2, -1)) * (c // heads) ** -0.5).softmax(dim=-1)
    return layer(nn.Linear, c, c)((weights @ v).transpose(1, 2).reshape(b, n, width))


@network(inexact=PRODUCTS)
def ViT(layer, x):
    """Dosovitskiy et al. 2021: patches, class token, position embedding."""
    x = layer(nn.Conv2d, 3, 8, 4, 4)(x).flatten(2).transpose(1, 2)
    token = layer(torch.randn, 1, 1, 8).expand(x.shape[0], -1, -1)
    x = torch.cat([token, x], dim=1) + layer(torch.randn, 1, 17, 8)
    x = x + layer(attention, 8, 2)(layer(nn.LayerNorm, 8)(x))
    x = x + layer(mlp, 8, 16)(layer(nn.LayerNorm, 8)(x))
    return layer(nn.Linear, 8, 5)(layer(nn.LayerNorm, 8)(x)[:, 0])


@network(inexact=PRODUCTS)
def ConvStemTransformer(layer, x):
    """Hassani et al. 2021 (CCT): PyTorch's own attention, sequence pooling."""
    x = layer(nn.Conv2d, 6, 8, 3, 2, 1)(F.relu(layer(nn.Conv2d, 3, 6, 3, 2, 1)(x)))
    x = x.flatten(2).transpose(1, 2)
    y, mha = layer(nn.LayerNorm, 8)(x), layer(nn.MultiheadAttention, 8, 2, batch_first=True)
    x = x + mha(y, y, y, need_weights=False)[0]
    weights = F.softmax(layer(nn.Linear, 8, 1)(x), dim=1)
    return layer(nn.Linear, 8, 5)((weights.transpose(1, 2) @ x).squeeze(1))


@block
def pool_block(layer, x, c):
    """Yu et al. 2022: pooling in the place of attention, GroupNorm of one group."""
    y = layer(nn.GroupNorm, 1, c)(x)
    y = F.avg_pool2d(y, 3, 1, 1, count_include_pad=False) - y
    x = x + layer(torch.randn, c).unsqueeze(-1).unsqueeze(-1) * y
    y = F.gelu(layer(nn.Conv2d, c, 2 * c, 1)(layer(nn.GroupNorm, 1, c)(x)))
    return x + layer(nn.Conv2d, 2 * c, c, 1)(y)


@network(inexact=UNEVEN)
def poolformer():
    stages = [nn.Conv2d(3, 6, 3, 2, 1), pool_block(6), nn.Conv2d(6, 8, 3, 2, 1), pool_block(8)]
    return Net(nn.Sequential(*stages), 8)


def relative_places(size):
    """Return for each two places of a map a number of the step between them."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    places = torch.stack([y.flatten(), x.flatten()])
    steps = places[:, :, None] - places[:, None] + size - 1
    return steps[0] * (2 * size - 1) + steps[1]


@block
def map_attention(layer, x, c, heads, size):
    """Attention between the places of a map, with relative positions (Dai et al. 2021)."""
    n, width, h, w = x.shape
    q, k, v = (layer(nn.Conv2d, c, c, 1)(x).view(n, heads, -1, h * w) for _ in range(3))
    positions = layer(torch.randn, heads, (2 * size - 1) ** 2)[:, layer(relative_places, size)]
    scores = torch.matmul(q.transpose(-1, -2), k) + positions
    out = v @ scores.softmax(-1).transpose(-2, -1)
    return x + layer(nn.Conv2d, c, c, 1)(out.reshape(n, width, h, w))


@network(inexact=PRODUCTS)
def coatnet():
    stem = [conv_bn(3, 6, 3, 2), conv_bn(6, 8, 3, 2, 2)]
    return Net(nn.Sequential(*stem, nn.BatchNorm2d(8), map_attention(8, 2, 4), nn.ReLU()), 8)


@block
def windows(layer, x, c, heads, s, shift):
    """Attention inside shifted windows (Liu et al. 2021), channels last."""
    b, h, w, width = x.shape
    y = torch.roll(layer(nn.LayerNorm, c)(x), (-shift, -shift), dims=(1, 2))
    y = y.view(b, h // s, s, w // s, s, width).permute(0, 1, 3, 2, 4, 5).reshape(-1, s * s, width)
    y = layer(attention, c, heads)(y).view(b, h // s, w // s, s, s, width)
    y = y.permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, width)
    return x + torch.roll(y, (shift, shift), dims=(1, 2))


@network(inexact=PRODUCTS)
def Swin(layer, x):
    x = layer(nn.Conv2d, 3, 8, 2, 2)(x).permute(0, 2, 3, 1)
    x = layer(windows, 8, 2, 4, 2)(layer(windows, 8, 2, 4, 0)(x))
    corners = [x[:, i::2, j::2, :] for j in (0, 1) for i in (0, 1)]
    x = layer(nn.LayerNorm, 32)(torch.cat(corners, -1))
    return layer(nn.Linear, 12, 5)(layer(nn.Linear, 32, 12, bias=False)(x).mean((1, 2)))


@block
def non_local_block(layer, x, c, small):
    """Wang et al. 2018: the embedded Gaussian."""
    theta, phi, g = (layer(nn.Conv2d, c, small, 1)(x).flatten(2) for _ in range(3))
    weights = torch.einsum("nci,ncj->nij", theta, phi).softmax(-1)
    y = torch.einsum("nij,ncj->nci", weights, g)
    return x + layer(nn.Conv2d, small, c, 1)(y.view(x.size(0), -1, *x.shape[2:]))


@network(inexact=PRODUCTS)
def non_local():
    return Net(nn.Sequential(conv_bn(3, 8, 3, 2), non_local_block(8, 4), conv_bn(8, 8, 3, 2)), 8)


@network(inexact=PRODUCTS)
def Transposed(layer, x):
    """Zamir et al. 2022 (Restormer): attention between channels instead of places."""
    x = layer(nn.Conv2d, 3, 8, 3, 2, 1)(x)
    b, c, h, w = x.shape
    qkv = layer(nn.Conv2d, 8, 24, 1, bias=False)(x)
    parts = layer(nn.Conv2d, 24, 24, 3, 1, 1, groups=24)(qkv).chunk(3, dim=1)
    q, k, v = (part.reshape(b, 2, c // 2, h * w) for part in parts)
    q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
    y = ((q @ k.transpose(-2, -1)) * layer(torch.ones, 2, 1, 1)).softmax(-1) @ v
    x = x + layer(nn.Conv2d, 8, 8, 1)(y.reshape(b, c, h, w))
    return layer(nn.Linear, 8, 5)(x.mean((2, 3)))
