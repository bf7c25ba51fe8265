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

    def forward(self, x):
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu_(F.max_pool2d(self.conv2(x), 2))
        return self.classifier(F.dropout(x.flatten(1), 0.1, training=self.training))


def test_build_cnn_other_ways(solved):
    solved("02_2.build_cnn", Network, Network(), Lazy, lambda: Network().eval())


def layers(*, first="relu", pool=nn.MaxPool2d, last=(), padding=1, hidden=32, linear=32 * 49):
    activation = {"relu": nn.ReLU, "none": nn.Identity, "tanh": nn.Tanh}
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=padding),
        activation[first](),
        pool(2),
        nn.Conv2d(16, hidden, 3, padding=padding),
        nn.ReLU(),
        pool(2),
        nn.Flatten(),
        nn.Linear(linear, 10),
        *last,
    )


class LosesTheBatch(Network):
    def forward(self, x):
        return self.classifier(self.features(x).view(-1))


class KeepsOneRow(Network):
    def forward(self, x):
        return super().forward(x)[:1].expand(2, 10)


class PlainList(nn.Module):
    def __init__(self):
        super().__init__()
        self.steps = [nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)]
        self.classifier = nn.Linear(32 * 7 * 7, 10)

    def forward(self, x):
        for step in self.steps:
            x = F.max_pool2d(F.relu(step(x)), 2)
        return self.classifier(x.flatten(1))


class Detached(Network):
    def forward(self, x):
        return self.classifier(self.features(x).detach().flatten(1))


class WithoutGraph(Network):
    def forward(self, x):
        with torch.no_grad():
            return super().forward(x)


class StrideInsteadOfPooling(Network):
    def __init__(self):
        super().__init__()
        self.conv1.stride = self.conv2.stride = (2, 2)

    def forward(self, x):
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        return self.classifier(x.flatten(1))


class NoSecondReLU(Network):
    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        return self.classifier(F.max_pool2d(self.conv2(x), 2).flatten(1))


class Unfinished(Network):
    def forward(self, x): ...


def test_build_cnn_rejects(rejected):
    rejected(
        "02_2.build_cnn",
        (lambda: layers(last=[nn.Softmax(dim=1)]), "the sum of each output row is 1"),
        (lambda: layers(last=[nn.LogSoftmax(dim=1)]), "the output went through log_softmax"),
        (lambda: layers(last=[nn.ReLU()]), "no output is negative"),
        (lambda: layers(last=[nn.Sigmoid()]), "no output is negative"),
        (lambda: layers(first="none"), "ReLU after the first"),
        (NoSecondReLU, "ReLU after the second"),
        (lambda: layers(first="tanh"), "ReLU after the first"),
        (lambda: layers(pool=nn.AvgPool2d), "is not the first convolution's output"),
        (StrideInsteadOfPooling, "there is no pooling"),
        (lambda: layers(padding=0, linear=32 * 25), "the network has 12,810 parameters"),
        (lambda: layers(hidden=16, linear=16 * 49), "Conv2d 160, Conv2d 2,320, Linear 7,850"),
        (lambda: layers(linear=32 * 28 * 28), "the network raised RuntimeError"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), "7,850 parameters"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 26), nn.Linear(26, 10)), "20,680"),
        (LosesTheBatch, "(40, 1, 28, 28)"),
        (KeepsOneRow, "has the shape (2, 10), it should be (40, 10)"),
        (PlainList, "a plain list"),
        (Detached, "no gradient reaches conv1.weight"),
        (WithoutGraph, "no gradient flows back"),
        (lambda: torch.zeros(2, 10), "a tensor of shape (2, 10)"),
        (nn.Conv2d(1, 10, 28), "(40, 10, 1, 1)"),
    )


def test_build_cnn_with_an_unfinished_class_is_not_solved_yet(line):
    assert line("02_2.build_cnn", Unfinished).startswith(
        "… not solved yet: the network's forward returns nothing so far"
    )
    assert "has no forward method" in line("02_2.build_cnn", nn.Module)


def test_build_cnn_leaves_the_readers_network_alone(line):
    model = Network().train()
    before = [parameter.clone() for parameter in model.parameters()]
    line("02_2.build_cnn", model)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
