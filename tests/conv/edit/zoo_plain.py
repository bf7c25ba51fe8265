"""Networks of the zoo: chains, residual sums, concatenations, several resolutions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.conv.edit.zoo import Cat, Lambda, Net, Sum, conv_bn, network


@network((3, 16, 16))
def vgg():
    """Simonyan and Zisserman 2015: a flattened map meets a linear layer."""
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
    layers += [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 16, 12), nn.ReLU(), nn.Dropout()]
    return nn.Sequential(*layers, nn.Linear(12, 5))


@network((3, 20, 20))
class AlexNet(nn.Module):
    """Krizhevsky et al. 2012: response normalisation, grouped convolutions, two linear layers."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 5, 2), nn.Conv2d(8, 12, 3, padding=1, groups=2)
        self.fc1, self.fc2 = nn.Linear(12 * 16, 10), nn.Linear(10, 5)

    def forward(self, x):
        x = F.max_pool2d(F.relu_(self.conv1(x)), 2)
        x = F.relu(self.conv2(x), inplace=True)
        x = F.dropout(x.view(x.size(0), -1), training=self.training)
        return self.fc2(F.relu(self.fc1(x)))


@network((3, 16, 16), inexact={"out_x2", "out_+25%"}, reason="the norm runs across channels")
def local_response_norm():
    """The normalisation of AlexNet and GoogLeNet sees neighbouring channels."""
    layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.LocalResponseNorm(3), nn.Conv2d(8, 8, 3)]
    return Net(nn.Sequential(*layers), 8)


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut that adds zeros as channels (He et al. 2016, option A)."""

    def __init__(self, c_in, c_out, stride=1):
        super().__init__()
        self.conv1, self.bn1 = (
            nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(c_out),
        )
        self.conv2, self.bn2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False), nn.BatchNorm2d(c_out)
        more = (c_out - c_in) // 2
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut = Lambda(lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, more, more)))

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + self.shortcut(x))


@network((3, 16, 16))
def cifar_resnet():
    blocks = [BasicBlock(4, 4), BasicBlock(4, 8, 2), BasicBlock(8, 16, 2)]
    return Net(nn.Sequential(conv_bn(3, 4), *blocks), 16)


class PreActivation(nn.Module):
    """Norm, activation, convolution, in this order (He et al. 2016b; Zagoruyko et al. 2016)."""

    def __init__(self, c_in, c_out, stride=1, drop=0.0):
        super().__init__()
        self.bn1, self.bn2, self.drop = (
            nn.BatchNorm2d(c_in),
            nn.BatchNorm2d(c_out),
            nn.Dropout(drop),
        )
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        if c_in != c_out or stride > 1:
            self.shortcut = nn.Conv2d(c_in, c_out, 1, stride, bias=False)

    def forward(self, x):
        out = F.relu(self.bn1(x))
        x = self.shortcut(out) if hasattr(self, "shortcut") else x
        return self.conv2(self.drop(F.relu(self.bn2(self.conv1(out))))) + x


@network((3, 16, 16))
def preact_resnet():
    blocks = [PreActivation(4, 4), PreActivation(4, 8, 2), nn.BatchNorm2d(8), nn.ReLU()]
    return Net(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *blocks), 8)


@network((3, 16, 16))
def wide_resnet():
    blocks = [PreActivation(4, 12, 1, 0.3), PreActivation(12, 12, 1, 0.3), PreActivation(12, 16, 2)]
    return Net(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *blocks), 16)


@network((3, 16, 16))
def resnext():
    """Xie et al. 2017."""

    def block(c_in, wide, c_out, s):
        path = [
            conv_bn(c_in, wide, 1),
            conv_bn(wide, wide, 3, s, 4),
            conv_bn(wide, c_out, 1, act=None),
        ]
        short = nn.Identity() if (c_in, s) == (c_out, 1) else conv_bn(c_in, c_out, 1, s, act=None)
        return nn.Sequential(Sum(nn.Sequential(*path), short), nn.ReLU(inplace=True))

    return Net(nn.Sequential(conv_bn(3, 8), block(8, 8, 12, 2), block(12, 8, 12, 1)), 12)


class Res2Block(nn.Module):
    """Gao et al. 2021: parts of the channels, each sees the sum with the one before."""

    def __init__(self, c, part):
        super().__init__()
        self.first, self.last = conv_bn(c, 4 * part, 1), conv_bn(4 * part, c, 1, act=None)
        self.convs = nn.ModuleList(conv_bn(part, part) for _ in range(3))

    def forward(self, x):
        parts = self.first(x).chunk(4, 1)
        done = [parts[0]]
        for i, conv in enumerate(self.convs):
            done.append(conv(parts[i + 1] if i == 0 else parts[i + 1] + done[-1]))
        return F.relu(x + self.last(torch.cat(done, 1)))


@network((3, 16, 16))
def res2net():
    return Net(nn.Sequential(conv_bn(3, 8, s=2), Res2Block(8, 3), Res2Block(8, 4)), 8)


@network((3, 16, 16))
def densenet():
    """Huang et al. 2017, with bottlenecks and compression."""

    def layer(c_in, growth):
        steps = [nn.BatchNorm2d(c_in), nn.ReLU(), nn.Conv2d(c_in, 2 * growth, 1, bias=False)]
        steps += [nn.BatchNorm2d(2 * growth), nn.ReLU(), nn.Conv2d(2 * growth, growth, 3, 1, 1)]
        return Cat(nn.Identity(), nn.Sequential(*steps))

    transition = [nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 6, 1), nn.AvgPool2d(2)]
    first = [nn.Conv2d(3, 4, 3, padding=1), layer(4, 4), layer(8, 4)]
    return Net(nn.Sequential(*first, *transition, layer(6, 4), layer(10, 4)), 14)


class DualPath(nn.Module):
    """Chen et al. 2017: part of the output is added, part is concatenated."""

    def __init__(self, c_in, wide, c_out, dense):
        super().__init__()
        self.c_out = c_out
        self.path = nn.Sequential(
            conv_bn(c_in, wide, 1), conv_bn(wide, wide, 3, g=2), conv_bn(wide, c_out + dense, 1)
        )
        self.project = conv_bn(c_in, c_out + dense, 1, act=None)

    def forward(self, x):
        x, out, d = self.project(x), self.path(x), self.c_out
        return torch.cat([x[:, :d] + out[:, :d], x[:, d:], out[:, d:]], 1)


@network((3, 16, 16))
def dual_path():
    return Net(nn.Sequential(conv_bn(3, 6), DualPath(6, 8, 6, 2), DualPath(10, 8, 6, 2)), 10)


@network((3, 16, 16))
def squeezenet():
    """Iandola et al. 2016: the classifier is a convolution."""

    def fire(c_in, small, wide):
        one, three = nn.Conv2d(small, wide, 1), nn.Conv2d(small, wide, 3, padding=1)
        branches = Cat(nn.Sequential(one, nn.ReLU()), nn.Sequential(three, nn.ReLU()))
        return nn.Sequential(nn.Conv2d(c_in, small, 1), nn.ReLU(), branches)

    layers = [nn.Conv2d(3, 8, 3, 2), nn.ReLU(), fire(8, 4, 6), fire(12, 4, 8), nn.Conv2d(16, 5, 1)]
    return nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@network((3, 16, 16))
class Inception(nn.Module):
    """Szegedy et al. 2015: four branches, and an auxiliary head that only training uses."""

    def __init__(self):
        super().__init__()
        branches = [conv_bn(6, 4, 1), nn.Sequential(conv_bn(6, 3, 1), conv_bn(3, 5))]
        branches += [nn.Sequential(conv_bn(6, 2, 1), conv_bn(2, 3, 5))]
        branches += [nn.Sequential(nn.MaxPool2d(3, 1, 1), conv_bn(6, 4, 1))]
        self.stem, self.mixed, self.last = conv_bn(3, 6), Cat(*branches), conv_bn(16, 8, s=2)
        self.aux_conv, self.aux_fc, self.fc = (
            conv_bn(16, 4, 1),
            nn.Linear(4 * 16, 5),
            nn.Linear(8, 5),
        )

    def forward(self, x):
        x = self.mixed(self.stem(x))
        out = self.fc(F.adaptive_avg_pool2d(self.last(x), (1, 1)).flatten(1))
        if not self.training:
            return out
        return out, self.aux_fc(torch.flatten(F.adaptive_avg_pool2d(self.aux_conv(x), 4), 1))


@network((3, 16, 16))
def repvgg():
    """Ding et al. 2021, as it trains: 3×3, 1×1 and identity, each with its BatchNorm."""

    def block(c_in, c_out, s):
        paths = [conv_bn(c_in, c_out, 3, s, act=None), conv_bn(c_in, c_out, 1, s, act=None)]
        paths += [nn.BatchNorm2d(c_in)] if (c_in, s) == (c_out, 1) else []
        return nn.Sequential(Sum(*paths), nn.ReLU())

    return Net(nn.Sequential(block(3, 6, 2), block(6, 6, 1), block(6, 8, 2)), 8)


class CSPStage(nn.Module):
    """Wang et al. 2020: half of the channels pass the blocks, half go round them."""

    def __init__(self, c_in, c):
        super().__init__()
        self.left, self.right = conv_bn(c_in, c, 1, act=nn.SiLU), conv_bn(c_in, c, 1, act=nn.SiLU)
        self.blocks = Sum(nn.Identity(), nn.Sequential(conv_bn(c, c, 1), conv_bn(c, c)))
        self.merge = conv_bn(2 * c, 2 * c, 1, act=nn.SiLU)

    def forward(self, x):
        return self.merge(torch.cat((self.blocks(self.left(x)), self.right(x)), dim=1))


@network((3, 16, 16))
class CSPDarknet(nn.Module):
    """With the Focus layer and the pyramid pooling of YOLOv5."""

    def __init__(self):
        super().__init__()
        self.focus, self.down, self.stage = conv_bn(12, 6), conv_bn(6, 8, 3, 2), CSPStage(8, 4)
        self.squeeze, self.spread, self.fc = conv_bn(8, 4, 1), conv_bn(12, 8, 1), nn.Linear(8, 5)

    def forward(self, x):
        corners = [x[..., i::2, j::2] for j in (0, 1) for i in (0, 1)]
        x = self.squeeze(self.stage(self.down(self.focus(torch.cat(corners, 1)))))
        pooled = [x] + [F.max_pool2d(x, k, 1, k // 2) for k in (3, 5)]
        return self.fc(self.spread(torch.cat(pooled, 1)).amax((-2, -1)))


@network((3, 16, 16))
class HRNet(nn.Module):
    """Sun et al. 2019: two resolutions side by side that exchange what they see."""

    def __init__(self):
        super().__init__()
        self.high, self.low = conv_bn(3, 4), conv_bn(4, 8, 3, 2)
        self.stay = nn.ModuleList([conv_bn(4, 4), conv_bn(8, 8)])
        self.down, self.up = conv_bn(4, 8, 3, 2, act=None), conv_bn(8, 4, 1, act=None)
        self.fc = nn.Conv2d(12, 5, 1)

    def forward(self, x):
        high = self.high(x)
        a, b = self.stay[0](high), self.stay[1](self.low(high))
        up = F.interpolate(self.up(b), size=a.shape[2:], mode="bilinear", align_corners=False)
        a, b = F.relu(a + up), F.relu(b + self.down(a))
        b = F.interpolate(b, scale_factor=2.0, mode="nearest")
        return self.fc(torch.cat([a, b], 1)).mean([2, 3])


@network((3, 16, 16))
class FPN(nn.Module):
    """Lin et al. 2017: one head, shared by three resolutions."""

    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList(conv_bn(a, b, 3, 2) for a, b in ((3, 4), (4, 6), (6, 8)))
        self.lateral = nn.ModuleDict({f"c{c}": nn.Conv2d(c, 6, 1) for c in (4, 6, 8)})
        self.smooth, self.head = nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 5)

    def forward(self, x):
        maps, scores, top = [], [], None
        for stage, lateral in zip(self.stages, self.lateral.values(), strict=True):
            x = stage(x)
            maps.append(lateral(x))
        for m in reversed(maps):
            top = m if top is None else m + F.interpolate(top, size=m.shape[-2:])
            scores.append(self.head(F.relu(self.smooth(top)).mean((2, 3))))
        return torch.stack(scores).mean(0)


@network((3, 16, 16))
def dcgan_discriminator():
    """Radford et al. 2016: strided convolutions down to one number."""
    layers = [nn.Conv2d(3, 4, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    layers += [nn.Conv2d(4, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(8, 1, 4, 1, 0, bias=False), nn.Sigmoid(), nn.Flatten(0))
