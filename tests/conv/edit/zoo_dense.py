"""Networks of the zoo whose output is a picture, a map of classes, or boxes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.conv.edit.zoo import Gate, conv_bn, network


class Decoder(nn.Module):
    """Ronneberger et al. 2015: down, up, and across; the output is a map of classes."""

    def __init__(self, up, wide):
        super().__init__()
        self.a, self.b, self.c = conv_bn(3, 4), conv_bn(4, 8), conv_bn(8, 8)
        self.up1, self.up2, self.d = up(8), up(8), conv_bn(wide + 8, 8)
        self.e, self.out = conv_bn(wide + 4, 4), nn.Conv2d(4, 3, 1)

    def forward(self, x):
        a = self.a(x)
        b = self.b(F.max_pool2d(a, 2))
        c = self.c(F.max_pool2d(b, 2))
        d = self.d(torch.cat([b, self.up1(c)], 1))
        return self.out(self.e(torch.cat([a, self.up2(d)], 1)))


@network((3, 16, 16))
def unet():
    return Decoder(lambda c: nn.ConvTranspose2d(c, 4, 2, 2), 4)


@network((3, 16, 16))
def unet_bilinear():
    return Decoder(lambda c: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), 8)


@network((8, 1, 1))
def dcgan_generator():
    """Radford et al. 2016: transposed convolutions from a vector to a picture."""
    layers = [nn.ConvTranspose2d(8, 8, 4), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1)]
    layers += [nn.ReLU(), nn.ConvTranspose2d(8, 4, 4, 2, 1, bias=False), nn.BatchNorm2d(4)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1), nn.Tanh())


@network((3, 16, 16))
class DeepLab(nn.Module):
    """Chen et al. 2017b: dilated branches and one that sees the whole picture."""

    def __init__(self):
        super().__init__()
        self.stem, self.pool = (
            conv_bn(3, 6, 3, 2),
            nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_bn(6, 4, 1)),
        )
        self.rates = nn.ModuleList(nn.Conv2d(6, 4, 3, padding=d, dilation=d) for d in (1, 2, 3))
        self.merge, self.out, self.gate = conv_bn(16, 8, 1), nn.Conv2d(8, 3, 1), Gate(8, 4)

    def forward(self, x):
        size, x = x.shape[-2:], self.stem(x)
        parts = [conv(x) for conv in self.rates] + [self.pool(x).expand(-1, -1, *x.shape[-2:])]
        x = self.out(self.gate(self.merge(torch.cat(parts, 1))))
        return F.interpolate(x, size=size, mode="bilinear")


@network((3, 8, 8))
def superresolution():
    """Shi et al. 2016: channels become pixels."""
    layers = [nn.Conv2d(3, 8, 5, padding=2), nn.Tanh(), nn.Conv2d(8, 8, 3, padding=1), nn.Tanh()]
    layers += [nn.PixelShuffle(2), nn.Conv2d(2, 12, 3, padding=1), nn.PixelShuffle(2)]
    return nn.Sequential(*layers)


@network((3, 16, 16))
class DnCNN(nn.Module):
    """Zhang et al. 2017: the network computes the noise, which is subtracted."""

    def __init__(self):
        super().__init__()
        self.first, self.middle, self.last = (
            nn.Conv2d(3, 6, 3, 1, 1),
            conv_bn(6, 6),
            nn.Conv2d(6, 3, 3, 1, 1),
        )

    def forward(self, x):
        return x - self.last(self.middle(F.relu(self.first(x))))


@network((3, 16, 16))
class FCN(nn.Module):
    """Long et al. 2015: scores of two resolutions are added."""

    def __init__(self):
        super().__init__()
        self.a, self.b = conv_bn(3, 6, 3, 2), conv_bn(6, 8, 3, 2)
        self.score_a, self.score_b = nn.Conv2d(6, 4, 1), nn.Conv2d(8, 4, 1)
        self.up = nn.ConvTranspose2d(4, 4, 4, 2, 1, bias=False)

    def forward(self, x):
        a = self.a(x)
        return F.interpolate(self.score_a(a) + self.up(self.score_b(self.b(a))), x.shape[2:])


@network((3, 16, 16))
class Detector(nn.Module):
    """Redmon and Farhadi 2018: two boxes of four numbers and three scores at each place."""

    def __init__(self):
        super().__init__()
        self.body, self.head = (
            nn.Sequential(conv_bn(3, 6, 3, 2), conv_bn(6, 8, 3, 2)),
            nn.Conv2d(8, 14, 1),
        )

    def forward(self, x):
        x = self.head(self.body(x))
        n, _, h, w = x.shape
        x = x.view(n, 2, 7, h, w).permute(0, 1, 3, 4, 2)
        return torch.cat([x[..., :2].sigmoid(), x[..., 2:4].exp(), x[..., 4:]], -1).reshape(
            n, -1, 7
        )
