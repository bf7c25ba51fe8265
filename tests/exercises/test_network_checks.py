"""Right and wrong networks for 02_2.build_cnn."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Network(nn.Module):
    """The network as a class; each subclass changes one thing."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.classifier = nn.Linear(32 * 7 * 7, 10)

    def features(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        return F.max_pool2d(F.relu(self.conv2(x)), 2)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class Lazy(Network):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.LazyConv2d(16, 3, padding="same")
        self.classifier = nn.LazyLinear(10)

    def features(self, x):
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        return F.relu_(F.max_pool2d(self.conv2(x), 2))


class LosesTheBatch(Network):
    def forward(self, x):
        return self.classifier(self.features(x).view(-1))


class KeepsOneRow(Network):
    def forward(self, x):
        return super().forward(x)[:1].expand(2, 10)


class PlainList(Network):
    def __init__(self):
        super().__init__()
        self.steps = [self.conv1, self.conv2]
        del self.conv1, self.conv2

    def features(self, x):
        for step in self.steps:
            x = F.max_pool2d(F.relu(step(x)), 2)
        return x


class Detached(Network):
    def features(self, x):
        return super().features(x).detach()


class WithoutGraph(Network):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


class StrideInsteadOfPooling(Network):
    def features(self, x):
        self.conv1.stride = self.conv2.stride = (2, 2)
        return F.relu(self.conv2(F.relu(self.conv1(x))))


class Dropout(Network):
    def features(self, x):
        return F.dropout(super().features(x), 0.1, training=self.training)


class Circular(Network):
    def __init__(self):
        super().__init__()
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1, padding_mode="circular")


class Brighter(Network):
    def forward(self, x):
        return super().forward(2 * x)


class NoSecondReLU(Network):
    def features(self, x):
        return F.max_pool2d(self.conv2(F.max_pool2d(F.relu(self.conv1(x)), 2)), 2)


class Unfinished(Network):
    def forward(self, x): ...


def layers(*last, first=nn.ReLU, pool=nn.MaxPool2d, padding=1, hidden=32, linear=32 * 49):
    return lambda: nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=padding), first(), pool(2)),
        *(nn.Conv2d(16, hidden, 3, padding=padding), nn.ReLU(), pool(2)),
        *(nn.Flatten(), nn.Linear(linear, 10), *last),
    )


def test_build_cnn(solved, rejected, line):
    name = "02_2.build_cnn"
    solved(name, Network, Network(), Lazy, lambda: Network().eval())
    rejected(
        name,
        (layers(nn.Softmax(dim=1)), "the sum of each output row is 1"),
        (layers(nn.LogSoftmax(dim=1)), "the output went through log_softmax"),
        (layers(nn.ReLU()), "no output is negative"),
        (layers(nn.Tanh()), "is not the output of the linear layer: leave out what follows it"),
        (layers(nn.LeakyReLU()), "is not the output of the linear layer"),
        (layers(nn.Dropout(0.1)), "what the network returns in train mode is not"),
        (Dropout, "what reaches the linear layer in train mode is not"),
        (Circular, "the second convolution is not nn.Conv2d(..., kernel_size=3, padding=1)"),
        (Brighter, "the images are changed before they reach the first convolution"),
        (layers(first=nn.Identity), "ReLU after the first"),
        (NoSecondReLU, "ReLU after the second"),
        (layers(pool=nn.AvgPool2d), "is not the first convolution's output"),
        (StrideInsteadOfPooling, "there is no pooling"),
        (layers(padding=0, linear=32 * 25), "the network has 12,810 parameters"),
        (layers(hidden=16, linear=16 * 49), "Conv2d 160, Conv2d 2,320, Linear 7,850"),
        (layers(linear=32 * 28 * 28), "the network raised RuntimeError"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), "7,850 parameters"),
        (LosesTheBatch, "(40, 1, 28, 28)"),
        (KeepsOneRow, "has the shape (2, 10), it should be (40, 10)"),
        (PlainList, "a plain list"),
        (Detached, "no gradient reaches conv1.weight"),
        (WithoutGraph, "no gradient flows back"),
        (lambda: torch.zeros(2, 10), "a tensor of shape (2, 10)"),
        (nn.Conv2d(1, 10, 28), "(40, 10, 1, 1)"),
    )
    assert line(name, Unfinished).startswith("… not solved yet: the network's forward returns noth")
    assert "has no forward method" in line(name, nn.Module)


def test_build_cnn_leaves_the_readers_network_alone(line):
    model = Network().train()
    before = [parameter.clone() for parameter in model.parameters()]
    line("02_2.build_cnn", model)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
