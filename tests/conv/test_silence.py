from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torchvision.ops.misc import FrozenBatchNorm2d

from course_utils.conv import ORDERS, SilencedCopy, kernel_order, silence_kernels
from course_utils.core import CourseError, seeded
from tests.toys import same, weights

X = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def stirred(model: nn.Module) -> nn.Module:
    """Draw the numbers of the BatchNorms, as if they were trained."""
    for norm in model.modules():
        for name in ("running_mean", "running_var", "weight", "bias"):
            values = getattr(norm, name, None)
            if values is not None and values.dim() == 1:
                values.data.uniform_(0.5, 1.5)
    return model.eval()


def with_norm(norm: nn.Module, *between: nn.Module) -> nn.Module:
    return seeded(lambda: stirred(nn.Sequential(nn.Conv2d(3, 4, 3), *between, norm)), 0)


class Branches(nn.Module):
    """Two convolutions, one BatchNorm after their sum, and one after the first alone."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = (nn.Conv2d(3, 4, 3, padding=1) for _ in range(2))
        self.own, self.both = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        one = self.one(x)
        return self.own(one.relu()), self.both(one + self.two(x))


@pytest.mark.parametrize(
    "model",
    [
        seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3)), 0),
        seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3, bias=False)), 0),
        with_norm(nn.BatchNorm2d(4)),
        with_norm(nn.BatchNorm2d(4, affine=False)),
        with_norm(nn.BatchNorm2d(4, track_running_stats=False)),
        with_norm(nn.SyncBatchNorm(4)),
        with_norm(FrozenBatchNorm2d(4)),
        with_norm(nn.BatchNorm2d(4), nn.Identity(), nn.ReLU6(), nn.Dropout()),
    ],
)
def test_only_these_channels_are_zero_also_behind_the_norm(model):
    kept = weights(model)
    before, after = model(X), silence_kernels(model, "0", [3, 1, 1], X)(X)
    assert (after[:, [1, 3]] == 0).all() and torch.equal(after[:, [0, 2]], before[:, [0, 2]])
    assert (before[:, [1, 3]] != 0).any() and same(kept, weights(model))


def test_a_norm_of_several_layers_stays():
    model = seeded(lambda: stirred(Branches()), 0)
    (own, both), (_, before) = silence_kernels(model, "one", [2], X)(X), model(X)
    expected = model.both(
        torch.where(torch.arange(4)[:, None, None] == 2, 0, model.one(X)) + model.two(X)
    )
    assert (own[:, 2] == 0).all()
    torch.testing.assert_close(both, expected)
    assert not torch.equal(both, before)


def test_a_shared_weight_and_each_call_of_a_layer():
    conv, twin = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
    twin.weight = conv.weight
    quiet = silence_kernels(nn.Sequential(conv, twin), "0", [0], X)
    assert (quiet[0](X)[:, 0] == 0).all() and torch.equal(quiet[1](X), twin(X))
    again = nn.Sequential(conv, nn.ReLU(), conv)
    assert (silence_kernels(again, "2", [1], X)(X)[:, 1] == 0).all()


def test_one_set_after_the_other():
    model = with_norm(nn.BatchNorm2d(4))
    copy = SilencedCopy(model, "0", X)
    assert (copy.silence(range(4))(X) == 0).all()
    assert torch.equal(copy.silence([])(X), model(X)), "all are back"


def test_the_orders():
    model = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.BatchNorm2d(3)).eval()
    with torch.no_grad():
        model[0].weight[:] = torch.tensor([2.0, -3.0, 1.0])[:, None, None, None]
        model[1].weight[:] = torch.tensor([1.0, 0.01, 1.0])
    order = {name: kernel_order(model, "0", name, images=X, seed=1) for name in ORDERS}
    assert order["smallest"] == [2, 0, 1] and order["largest"] == [1, 0, 2]
    assert order["least active"] == [1, 2, 0], "the norm makes little of the largest kernel"
    assert sorted(order["at random"]) == [0, 1, 2]
    wide = nn.Conv2d(3, 64, 1)
    first, again, other = (kernel_order(wide, "", "at random", seed=s) for s in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize(
    ("layer", "kernels", "words"),
    [
        ("1", [0], "a ReLU, not a Conv2d"),
        ("9", [0], "no layer '9'"),
        ("0", [4], "kernel=4: give a whole number from 0 to 3"),
        ("0", [-1], "kernel=-1"),
        ("2", [0], "computed from other parameters"),
    ],
)
def test_what_cannot_be_silenced_is_said_in_words(layer, kernels, words):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), weight_norm(nn.Conv2d(4, 4, 1)))
    with pytest.raises(CourseError, match=words):
        silence_kernels(model, layer, kernels, X)
    with pytest.raises(CourseError, match="does not run"):
        silence_kernels(model, "0", [0], X[:, :1])
    with pytest.raises(CourseError, match="no order 'l1'"):
        kernel_order(model, "0", "l1")
    with pytest.raises(CourseError, match="needs images"):
        kernel_order(model, "0", "least active")
