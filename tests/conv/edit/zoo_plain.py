"""Networks of the zoo: chains, sums, concatenations, several resolutions; pictures as outputs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.conv.edit.zoo import Cat, Gate, Net, Sum, block, conv_bn, network


@network()
def vgg():
    """Simonyan and Zisserman 2015: a flattened map meets a linear layer."""
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
    layers += [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 16, 12), nn.ReLU(), nn.Dropout()]
    return nn.Sequential(*layers, nn.Linear(12, 5))


@network((3, 20, 20))
def AlexNet(layer, x):
    """Krizhevsky et al. 2012: grouped convolutions, two linear layers."""
    x = F.max_pool2d(F.relu_(layer(nn.Conv2d, 3, 8, 5, 2)(x)), 2)
    x = F.relu(layer(nn.Conv2d, 8, 12, 3, padding=1, groups=2)(x), inplace=True)
    x = F.dropout(x.view(x.size(0), -1), training=layer.training)
    return layer(nn.Linear, 10, 5)(F.relu(layer(nn.Linear, 12 * 16, 10)(x)))


@network(inexact={"out_x2", "out_+25%"})  # the norm runs across channels
def local_response_norm():
    """The normalisation of AlexNet and GoogLeNet sees neighbouring channels."""
    layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.LocalResponseNorm(3), nn.Conv2d(8, 8, 3)]
    return Net(nn.Sequential(*layers), 8)


@block
def basic_block(layer, x, c_in, c_out, stride=1):
    """Two convolutions and a shortcut that adds zeros as channels (He et al. 2016, option A)."""
    out = layer(conv_bn, c_in, c_out, 3, stride)(x)
    out = layer(conv_bn, c_out, c_out, act=None)(out)
    more = (c_out - c_in) // 2
    shortcut = x if stride == 1 else F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, more, more))
    return F.relu(out + shortcut)


@network()
def cifar_resnet():
    blocks = [basic_block(4, 4), basic_block(4, 8, 2), basic_block(8, 16, 2)]
    return Net(nn.Sequential(conv_bn(3, 4), *blocks), 16)


@block
def pre_activation(layer, x, c_in, c_out, stride=1, drop=0.0):
    """Norm, activation, convolution, in this order (He et al. 2016b; Zagoruyko et al. 2016)."""
    out = F.relu(layer(nn.BatchNorm2d, c_in)(x))
    if c_in != c_out or stride > 1:
        x = layer(nn.Conv2d, c_in, c_out, 1, stride, bias=False)(out)
    out = layer(nn.Conv2d, c_in, c_out, 3, stride, 1, bias=False)(out)
    out = layer(nn.Dropout, drop)(F.relu(layer(nn.BatchNorm2d, c_out)(out)))
    return layer(nn.Conv2d, c_out, c_out, 3, 1, 1, bias=False)(out) + x


@network()
def preact_resnet():
    blocks = [pre_activation(4, 4), pre_activation(4, 8, 2), nn.BatchNorm2d(8), nn.ReLU()]
    return Net(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *blocks), 8)


@network()
def wide_resnet():
    blocks = [pre_activation(4, 12, 1, 0.3), pre_activation(12, 12, 1, 0.3)]
    stem = nn.Conv2d(3, 4, 3, padding=1)
    return Net(nn.Sequential(stem, *blocks, pre_activation(12, 16, 2)), 16)


@network()
def resnext():
    """Xie et al. 2017."""

    def block(c_in, wide, c_out, s):
        path = [conv_bn(c_in, wide, 1), conv_bn(wide, wide, 3, s, 4)]
        path += [conv_bn(wide, c_out, 1, act=None)]
        short = nn.Identity() if (c_in, s) == (c_out, 1) else conv_bn(c_in, c_out, 1, s, act=None)
        return nn.Sequential(Sum(nn.Sequential(*path), short), nn.ReLU(inplace=True))

    return Net(nn.Sequential(conv_bn(3, 8), block(8, 8, 12, 2), block(12, 8, 12, 1)), 12)


@block
def res2_block(layer, x, c, part):
    """Gao et al. 2021: parts of the channels, each sees the sum with the one before."""
    first, second, *parts = layer(conv_bn, c, 4 * part, 1)(x).chunk(4, 1)
    done = [first, layer(conv_bn, part, part)(second)]
    for y in parts:
        done.append(layer(conv_bn, part, part)(y + done[-1]))
    return F.relu(x + layer(conv_bn, 4 * part, c, 1, act=None)(torch.cat(done, 1)))


@network()
def res2net():
    return Net(nn.Sequential(conv_bn(3, 8, s=2), res2_block(8, 3), res2_block(8, 4)), 8)


@network()
def densenet():
    """Huang et al. 2017, with bottlenecks and compression."""

    def layer(c_in, growth):
        steps = [nn.BatchNorm2d(c_in), nn.ReLU(), nn.Conv2d(c_in, 2 * growth, 1, bias=False)]
        steps += [nn.BatchNorm2d(2 * growth), nn.ReLU(), nn.Conv2d(2 * growth, growth, 3, 1, 1)]
        return Cat(nn.Identity(), nn.Sequential(*steps))

    transition = [nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 6, 1), nn.AvgPool2d(2)]
    first = [nn.Conv2d(3, 4, 3, padding=1), layer(4, 4), layer(8, 4)]
    return Net(nn.Sequential(*first, *transition, layer(6, 4), layer(10, 4)), 14)


@block
def dual_path_block(layer, x, c_in, wide, c_out, dense):
    """Chen et al. 2017: part of the output is added, part is concatenated."""
    out = layer(conv_bn, wide, wide, 3, g=2)(layer(conv_bn, c_in, wide, 1)(x))
    out = layer(conv_bn, wide, c_out + dense, 1)(out)
    x = layer(conv_bn, c_in, c_out + dense, 1, act=None)(x)
    return torch.cat([x[:, :c_out] + out[:, :c_out], x[:, c_out:], out[:, c_out:]], 1)


@network()
def dual_path():
    blocks = [dual_path_block(6, 8, 6, 2), dual_path_block(10, 8, 6, 2)]
    return Net(nn.Sequential(conv_bn(3, 6), *blocks), 10)


@network()
def squeezenet():
    """Iandola et al. 2016: the classifier is a convolution."""

    def fire(c_in, small, wide):
        one, three = nn.Conv2d(small, wide, 1), nn.Conv2d(small, wide, 3, padding=1)
        branches = Cat(nn.Sequential(one, nn.ReLU()), nn.Sequential(three, nn.ReLU()))
        return nn.Sequential(nn.Conv2d(c_in, small, 1), nn.ReLU(), branches)

    layers = [nn.Conv2d(3, 8, 3, 2), nn.ReLU(), fire(8, 4, 6), fire(12, 4, 8), nn.Conv2d(16, 5, 1)]
    return nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def inception_module():
    branches = [conv_bn(6, 4, 1), nn.Sequential(conv_bn(6, 3, 1), conv_bn(3, 5))]
    branches += [nn.Sequential(conv_bn(6, 2, 1), conv_bn(2, 3, 5))]
    return Cat(*branches, nn.Sequential(nn.MaxPool2d(3, 1, 1), conv_bn(6, 4, 1)))


@network()
def Inception(layer, x):
    """Szegedy et al. 2015: four branches, and an auxiliary head that only training uses."""
    x = layer(inception_module)(layer(conv_bn, 3, 6)(x))
    out = F.adaptive_avg_pool2d(layer(conv_bn, 16, 8, s=2)(x), (1, 1))
    out = layer(nn.Linear, 8, 5)(out.flatten(1))
    if not layer.training:
        return out
    side = F.adaptive_avg_pool2d(layer(conv_bn, 16, 4, 1)(x), 4)
    return out, layer(nn.Linear, 4 * 16, 5)(torch.flatten(side, 1))


@network()
def repvgg():
    """Ding et al. 2021, as it trains: 3×3, 1×1 and identity, each with its BatchNorm."""

    def block(c_in, c_out, s):
        paths = [conv_bn(c_in, c_out, 3, s, act=None), conv_bn(c_in, c_out, 1, s, act=None)]
        paths += [nn.BatchNorm2d(c_in)] if (c_in, s) == (c_out, 1) else []
        return nn.Sequential(Sum(*paths), nn.ReLU())

    return Net(nn.Sequential(block(3, 6, 2), block(6, 6, 1), block(6, 8, 2)), 8)


@block
def csp_stage(layer, x, c_in, c):
    """Wang et al. 2020: half of the channels pass the blocks, half go round them."""
    left, right = (layer(conv_bn, c_in, c, 1, act=nn.SiLU)(x) for _ in range(2))
    left = left + layer(conv_bn, c, c)(layer(conv_bn, c, c, 1)(left))
    return layer(conv_bn, 2 * c, 2 * c, 1, act=nn.SiLU)(torch.cat((left, right), dim=1))


@network()
def CSPDarknet(layer, x):
    """With the Focus layer and the pyramid pooling of YOLOv5."""
    corners = [x[..., i::2, j::2] for j in (0, 1) for i in (0, 1)]
    x = layer(conv_bn, 6, 8, 3, 2)(layer(conv_bn, 12, 6)(torch.cat(corners, 1)))
    x = layer(conv_bn, 8, 4, 1)(layer(csp_stage, 8, 4)(x))
    pooled = [x] + [F.max_pool2d(x, k, 1, k // 2) for k in (3, 5)]
    return layer(nn.Linear, 8, 5)(layer(conv_bn, 12, 8, 1)(torch.cat(pooled, 1)).amax((-2, -1)))


@network()
def HRNet(layer, x):
    """Sun et al. 2019: two resolutions side by side that exchange what they see."""
    high = layer(conv_bn, 3, 4)(x)
    a, b = layer(conv_bn, 4, 4)(high), layer(conv_bn, 8, 8)(layer(conv_bn, 4, 8, 3, 2)(high))
    up = layer(conv_bn, 8, 4, 1, act=None)(b)
    up = F.interpolate(up, size=a.shape[2:], mode="bilinear", align_corners=False)
    a, b = F.relu(a + up), F.relu(b + layer(conv_bn, 4, 8, 3, 2, act=None)(a))
    b = F.interpolate(b, scale_factor=2.0, mode="nearest")
    return layer(nn.Conv2d, 12, 5, 1)(torch.cat([a, b], 1)).mean([2, 3])


@network()
def FPN(layer, x):
    """Lin et al. 2017: one head, shared by three resolutions."""
    maps, scores, top = [], [], None
    for a, b in ((3, 4), (4, 6), (6, 8)):
        x = layer(conv_bn, a, b, 3, 2)(x)
        maps.append(layer(nn.Conv2d, b, 6, 1)(x))
    smooth, head = layer(nn.Conv2d, 6, 6, 3, padding=1), layer(nn.Linear, 6, 5)
    for m in reversed(maps):
        top = m if top is None else m + F.interpolate(top, size=m.shape[-2:])
        scores.append(head(F.relu(smooth(top)).mean((2, 3))))
    return torch.stack(scores).mean(0)


@network()
def dcgan_discriminator():
    """Radford et al. 2016: strided convolutions down to one number."""
    layers = [nn.Conv2d(3, 4, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    layers += [nn.Conv2d(4, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(8, 1, 4, 1, 0, bias=False), nn.Sigmoid(), nn.Flatten(0))


# The output is a picture, a map of classes, or boxes


@block
def decoder(layer, x, up, wide):
    """Ronneberger et al. 2015: down, up, and across; the output is a map of classes."""
    a = layer(conv_bn, 3, 4)(x)
    b = layer(conv_bn, 4, 8)(F.max_pool2d(a, 2))
    c = layer(conv_bn, 8, 8)(F.max_pool2d(b, 2))
    d = layer(conv_bn, wide + 8, 8)(torch.cat([b, layer(up, 8)(c)], 1))
    e = layer(conv_bn, wide + 4, 4)(torch.cat([a, layer(up, 8)(d)], 1))
    return layer(nn.Conv2d, 4, 3, 1)(e)


@network()
def unet():
    return decoder(lambda c: nn.ConvTranspose2d(c, 4, 2, 2), 4)


@network()
def unet_bilinear():
    return decoder(lambda c: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), 8)


@network((8, 1, 1))
def dcgan_generator():
    """Radford et al. 2016: transposed convolutions from a vector to a picture."""
    layers = [nn.ConvTranspose2d(8, 8, 4), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1)]
    layers += [nn.ReLU(), nn.ConvTranspose2d(8, 4, 4, 2, 1, bias=False), nn.BatchNorm2d(4)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1), nn.Tanh())


@network()
def DeepLab(layer, x):
    """Chen et al. 2017b: dilated branches and one that sees the whole picture."""
    size, x = x.shape[-2:], layer(conv_bn, 3, 6, 3, 2)(x)
    parts = [layer(nn.Conv2d, 6, 4, 3, padding=d, dilation=d)(x) for d in (1, 2, 3)]
    whole = layer(conv_bn, 6, 4, 1)(F.adaptive_avg_pool2d(x, 1))
    parts.append(whole.expand(-1, -1, *x.shape[-2:]))
    x = layer(Gate, 8, 4)(layer(conv_bn, 16, 8, 1)(torch.cat(parts, 1)))
    return F.interpolate(layer(nn.Conv2d, 8, 3, 1)(x), size=size, mode="bilinear")


@network((3, 8, 8))
def superresolution():
    """Shi et al. 2016: channels become pixels."""
    layers = [nn.Conv2d(3, 8, 5, padding=2), nn.Tanh(), nn.Conv2d(8, 8, 3, padding=1), nn.Tanh()]
    layers += [nn.PixelShuffle(2), nn.Conv2d(2, 12, 3, padding=1), nn.PixelShuffle(2)]
    return nn.Sequential(*layers)


@network()
def DnCNN(layer, x):
    """Zhang et al. 2017: the network computes the noise, which is subtracted."""
    noise = layer(conv_bn, 6, 6)(F.relu(layer(nn.Conv2d, 3, 6, 3, 1, 1)(x)))
    return x - layer(nn.Conv2d, 6, 3, 3, 1, 1)(noise)


@network()
def FCN(layer, x):
    """Long et al. 2015: scores of two resolutions are added."""
    a = layer(conv_bn, 3, 6, 3, 2)(x)
    score = layer(nn.Conv2d, 8, 4, 1)(layer(conv_bn, 6, 8, 3, 2)(a))
    up = layer(nn.ConvTranspose2d, 4, 4, 4, 2, 1, bias=False)(score)
    return F.interpolate(layer(nn.Conv2d, 6, 4, 1)(a) + up, x.shape[2:])


@network()
def Detector(layer, x):
    """Redmon and Farhadi 2018: two boxes of four numbers and three scores at each place."""
    x = layer(conv_bn, 6, 8, 3, 2)(layer(conv_bn, 3, 6, 3, 2)(x))
    x = layer(nn.Conv2d, 8, 14, 1)(x)
    n, _, h, w = x.shape
    x = x.view(n, 2, 7, h, w).permute(0, 1, 3, 4, 2)
    x = torch.cat([x[..., :2].sigmoid(), x[..., 2:4].exp(), x[..., 4:]], -1)
    return x.reshape(n, -1, 7)
