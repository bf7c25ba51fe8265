"""Networks of a few layers that several tests edit, and how far an edit moves their outputs."""

from __future__ import annotations

import torch
from torch import nn


class Residual(nn.Module):
    """A stem, a block whose output is added to it, and a classifier."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.inner = nn.Conv2d(8, 12, 1)
        self.outer = nn.Conv2d(12, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.norm(self.stem(x)).relu()
        x = x + self.outer(self.inner(x).relu())
        return self.head(x.mean((2, 3)))


class Heads(nn.Module):
    """A convolution whose channels an attention fixes."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 4, stride=4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        return self.attention(x, x, x, need_weights=False)[0].mean((1, 2))


def difference(before: nn.Module, after: nn.Module, pictures: torch.Tensor) -> float:
    with torch.no_grad():
        a, b = before(pictures), after(pictures)
    return float((a - b).abs().max() / a.abs().max())
