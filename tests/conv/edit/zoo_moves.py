"""Operations between two convolutions that pick, repeat, fold or count channels.

Each network is a convolution `conv1`, a function of its output, and a convolution `conv2` that
reads the result. The tables say how many channels conv1 has, and how many arrive at conv2.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.conv.edit.zoo import Wired

Between = Callable[..., Tensor]
SHAPE = (2, 3, 8, 8)  # of the pictures
KINDS: dict[str, dict[str, tuple[int, int, Between]]] = {}


def kind(name: str, *rows: tuple[str, int, int, Between]) -> None:
    """Register a table of (what happens, channels of conv1, channels that arrive, function)."""
    KINDS[name] = {row[0]: row[1:] for row in rows}


def network(between: Between, channels: int, arriving: int) -> nn.Module:
    """Return the network around a function of (layer, y), as `Wired` takes it."""

    def forward(layer, x):
        y = F.relu(layer(nn.Conv2d, x.shape[1], channels, 3, padding=1, name="conv1")(x))
        return layer(nn.Conv2d, arriving, 5, 3, padding=1, name="conv2")(between(layer, y))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Wired(forward)
        model(torch.zeros(SHAPE))
    return model.eval()


def moved(*functions: Callable[[Tensor], Tensor]) -> Between:
    """Return one function after the other, none of which has a layer."""

    def between(layer, y):
        for function in functions:
            y = function(y)
        return y

    return between


def then(cut: Callable[[Tensor], Tensor], c_in: int, c_out: int, groups: int) -> Between:
    """Return a fixed cut with a grouped convolution and BatchNorm behind it."""

    def between(layer, y):
        conv = layer(nn.Conv2d, c_in, c_out, 3, padding=1, groups=groups, name="grouped")
        return F.relu(layer(nn.BatchNorm2d, c_out)(conv(cut(y))))

    return between


CUTS = {  # eight channels become four
    "[:4]": lambda y: y[:, :4],
    "[-4:]": lambda y: y[:, -4:],
    "[2:-2]": lambda y: y[:, 2:-2],
    "[::2]": lambda y: y[:, ::2],
    "[..., None]": lambda y: y[:, :4, ..., None].squeeze(-1),
    "narrow": lambda y: y.narrow(1, 2, 4),
    "split": lambda y: y.split(4, 1)[0],
    "split in two": lambda y: torch.split(y, [4, 4], dim=1)[1],
    "tensor_split": lambda y: y.tensor_split([4], 1)[0],
    "list": lambda y: y[:, [0, 2, 4, 7]],
    "list, negative": lambda y: y[:, [-1, 0, -2, 1]],
    "tensor": lambda y: y[:, torch.tensor([0, 2, 4, 7])],
    "index_select": lambda y: y.index_select(1, torch.tensor([5, 0, 3, 1])),
    "unbind": lambda y: torch.stack(y.unbind(1)[:4], 1),
    "select": lambda y: torch.stack([y.select(1, i) for i in range(4)], 1),
    "mask": lambda y: y[:, torch.arange(8) % 2 == 0],
    "gather": lambda y: y.gather(1, torch.zeros(2, 4, 8, 8, dtype=torch.long)),
    "half": lambda y: y[:, : y.shape[1] // 2],
    "chunk": lambda y: y.chunk(2, 1)[1],
}


def summed(cut):
    def between(layer, y):
        return cut(y) + layer(nn.Conv2d, 8, 4, 1, name="other")(y)

    return between


def rejoined(cut):
    def between(layer, y):
        return torch.cat([layer(nn.Conv2d, 4, 4, 3, padding=1, name="own")(cut(y)), y], 1)

    return between


def ghost(layer, y):
    own = layer(nn.Conv2d, 6, 5, 1, name="primary")(y)
    cheap = layer(nn.Conv2d, 5, 5, 3, padding=1, groups=5, name="cheap")(own)
    y = torch.cat([own, cheap], 1)[:, :9]
    return layer(nn.Conv2d, 9, 9, 3, padding=1, groups=9, name="depthwise")(y)


kind("cut", *((name, 8, 4, moved(cut)) for name, cut in CUTS.items()))
kind("cut, depthwise", *((name, 8, 4, then(cut, 4, 4, 4)) for name, cut in CUTS.items()))
kind("cut, depthwise ×2", *((name, 8, 8, then(cut, 4, 8, 4)) for name, cut in CUTS.items()))
kind("cut, groups", *((name, 8, 6, then(cut, 4, 6, 2)) for name, cut in CUTS.items()))
kind("cut, sum", *((name, 8, 4, summed(cut)) for name, cut in CUTS.items()))
kind("cut, rejoined", *((name, 8, 12, rejoined(cut)) for name, cut in CUTS.items()))
kind("ghost", ("ghost", 6, 9, ghost))


def to_depth(y):
    y = y.unflatten(2, (-1, 2)).unflatten(4, (-1, 2))
    return y.permute(0, 1, 3, 5, 2, 4).flatten(1, 3)


def to_depth_first(y):
    n, c, h, w = y.shape
    y = y.view(n, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4)
    return y.reshape(n, 4 * c, h // 2, w // 2)


def strided_slices(y):
    parts = [y[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return torch.cat(parts, 1)


REPEATS = {  # how often each channel comes, and how
    "repeat": (3, lambda y: y.repeat(1, 3, 1, 1)),
    "tile": (2, lambda y: y.tile(1, 2, 1, 1)),
    "tile, short": (2, lambda y: torch.tile(y, (2, 1, 1))),
    "repeat_interleave": (2, lambda y: y.repeat_interleave(2, 1)),
    "torch.repeat_interleave": (3, lambda y: torch.repeat_interleave(y, 3, dim=1)),
    "cat": (3, lambda y: torch.cat([y, y, y], 1)),
    "cat of activations": (2, lambda y: torch.cat([y, -y], 1)),
    "PixelUnshuffle": (4, nn.PixelUnshuffle(2)),
    "space to depth": (4, to_depth),
    "space to depth, pixels first": (4, to_depth_first),
    "focus": (4, strided_slices),
    "stack, flatten": (2, lambda y: torch.stack([y, y.tanh()], 2).flatten(1, 2)),
    "stack first, flatten": (2, lambda y: torch.stack([y, y], 1).flatten(1, 2)),
    "expand, flatten": (
        3,
        lambda y: y[:, :, None].expand(-1, -1, 3, -1, -1).reshape(len(y), -1, *y.shape[2:]),
    ),
    "expand first, flatten": (
        2,
        lambda y: y.unsqueeze(1).expand(-1, 2, -1, -1, -1).flatten(1, 2),
    ),
    "roll": (1, lambda y: y.roll(1, 1)),
    "flip": (1, lambda y: y.flip(1)),
    "permuted": (1, lambda y: y.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)),
    "tokens": (1, lambda y: y.flatten(2).mT.transpose(1, 2).unflatten(2, (8, 8))),
    "rows to channels": (8, lambda y: y.flatten(1, 2).unsqueeze(-1).mT),
    "rows of each": (2, lambda y: y.view(len(y), -1, 4, 8)),
    "unfold": (9, lambda y: F.unfold(y, 3, padding=1).unflatten(2, (8, 8))),
    "maximum of pairs": (2, lambda y: torch.cat([y.clamp(max=1), y.clamp(min=1)], 1)),
}
kind("repeat", *((name, 3, 3 * n, moved(f)) for name, (n, f) in REPEATS.items()))
kind("repeat of one", *((name, 1, n, moved(f)) for name, (n, f) in REPEATS.items()))


def again(f, n):
    def between(layer, y):
        y = layer(nn.BatchNorm2d, 2 * n)(f(y))
        return layer(nn.Conv2d, 2 * n, 2 * n, 3, padding=1, groups=2 * n, name="grouped")(y)

    return between


kind("repeat, depthwise", *((name, 2, 2 * n, again(f, n)) for name, (n, f) in REPEATS.items()))

PADS = {
    "zeros behind": lambda y: F.pad(y, (0, 0, 0, 0, 0, 2)),
    "zeros before": lambda y: F.pad(y, (0, 0, 0, 0, 2, 0)),
    "both": lambda y: F.pad(y, (1, 1, 1, 1, 1, 1)),
    "constant": lambda y: F.pad(y, (0, 0, 0, 0, 0, 2), value=0.5),
    "cut": lambda y: F.pad(F.pad(y, (0, 0, 0, 0, 0, 3)), (0, 0, 0, 0, 0, -1)),
    "cat with zeros": lambda y: torch.cat([y, torch.zeros_like(y[:, :1]).repeat(1, 2, 1, 1)], 1),
    "cat with new_zeros": lambda y: torch.cat([y.new_zeros(2, 2, 8, 8), y], 1),
    "replicate": lambda y: F.pad(y[:, None], (0, 0, 0, 0, 1, 1), mode="replicate")[:, 0],
    "circular": lambda y: torch.cat([y[:, -1:], y, y[:, :1]], 1),
}
kind("pad", *((name, 4, 6, moved(f)) for name, f in PADS.items()))
kind("pad of one", *((name, 1, 3, moved(f)) for name, f in PADS.items()))
REFLECT = {
    "reflect": lambda y: F.pad(y[:, None], (0, 0, 0, 0, 1, 1), mode="reflect")[:, 0],
    "reflect more": lambda y: F.pad(y[:, None], (1, 1, 1, 1, 1, 1), mode="reflect")[:, 0],
    "wrap": lambda y: F.pad(y[:, None], (0, 0, 0, 0, 1, 1), mode="circular")[:, 0],
}
kind("pad by itself", *((name, 4, 6, moved(f)) for name, f in REFLECT.items()))
SHUFFLES = {
    "PixelShuffle": (4, 0.25, nn.PixelShuffle(2)),
    "PixelShuffle of 8": (8, 0.25, nn.PixelShuffle(2)),
    "ChannelShuffle": (8, 1, nn.ChannelShuffle(2)),
    "view and transpose": (8, 1, lambda y: y.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)),
    "halves swapped": (8, 1, lambda y: torch.cat(y.chunk(2, 1)[::-1], 1)),
    "maxout": (8, 0.5, lambda y: y.unflatten(1, (-1, 2)).amax(2)),
    "gated": (8, 0.5, lambda y: torch.mul(*y.chunk(2, 1))),
}
kind("shuffle", *((name, c, int(c * share), moved(f)) for name, (c, share, f) in SHUFFLES.items()))
ONLY = {"list": lambda y: y[:, [0, 0, 0]], "last": lambda y: y[:, [-1] * 3]}
ONLY |= {"slice": lambda y: y[:, :1].expand(-1, 3, -1, -1)}
ONLY |= {"slice, repeat": lambda y: y[:, 1:2].repeat(1, 3, 1, 1)}
ONLY |= {"index": lambda y: torch.stack([y[:, 1]] * 3, 1), "two": lambda y: y[:, [1, 1, 3]]}
kind("the same one", *((name, 4, 3, moved(f)) for name, f in ONLY.items()))
kind(
    "the same one of one",
    *((name, 1, 3, moved(f)) for name, f in ONLY.items() if name in ("list", "last", "slice")),
)

# Channels that a reshape folds into pixels, pictures or tokens.

FOLDS = {
    "tokens": (8, lambda y: y.reshape(2, 8, -1).unflatten(2, (-1, 8))),
    "tokens of its own": (8, lambda y: y.reshape(len(y), y.shape[1], -1).unflatten(2, (-1, 8))),
    "pictures": (8, lambda y: y.reshape(-1, 8, 8, 8)),
    "pixels": (32, lambda y: y.view(2, -1, 4, 4)),
    "fewer pixels": (2, lambda y: y.view(2, -1, 16, 16)),
    "16 channels": (16, lambda y: y.view(2, 16, -1, 8)),
    "2 channels": (2, lambda y: y.view(2, 2, -1, 8)),
    "tokens last": (8, lambda y: y.flatten(2).mT.reshape(2, -1, 8).mT.unflatten(2, (-1, 8))),
    "rows": (8, lambda y: y.permute(0, 2, 1, 3).reshape(2, 8, 8, -1)),
    "columns": (64, lambda y: y.permute(0, 1, 3, 2).reshape(2, 64, -1, 1)),
    "pooled": (8, lambda y: y.mean((2, 3)).reshape(2, 8, -1, 1)),
    "pictures of one channel": (1, lambda y: y.view(-1, 1, 8, 8)),
    "heads": (8, lambda y: y.view(2, 2, 4, 8, 8).transpose(1, 2).reshape(2, 8, 8, 8)),
    "heads by size": (8, lambda y: y.view(2, -1, 4, 8, 8).transpose(1, 2).reshape(2, -1, 8, 8)),
}


def pooled(f, arriving):
    def between(layer, y):
        y = layer(nn.Conv2d, arriving, 8, 3, padding=1, name="middle")(f(y))
        return F.adaptive_avg_pool2d(y, 2)[:2]

    return between


kind("fold", *((name, 8, n, moved(f)) for name, (n, f) in FOLDS.items()))
kind("fold, pooled", *((name, 8, 8, pooled(f, n)) for name, (n, f) in FOLDS.items()))

# Numbers that are written into a forward.


def functional(**options):
    def between(layer, y):
        weight = layer(torch.rand, 8, 8 // options.get("groups", 1), 3, 3, name="kernel")
        return F.conv2d(y, weight, padding=1, **options)

    return between


def kernel_of_mean(layer, y):
    return F.conv2d(y, torch.ones(8, 1, 3, 3) / 9, padding=1, groups=8)


def kernel_of_its_mean(layer, y):
    return F.conv2d(y, y.new_ones(y.shape[1], 1, 3, 3) / 9, padding=1, groups=y.shape[1])


def norm_by_number(layer, y):
    y = F.layer_norm(y.movedim(1, -1), (8,), layer(torch.rand, 8), layer(torch.rand, 8))
    return y.movedim(-1, 1)


class OwnNorm(nn.Module):
    """LayerNorm over channels, not built on PyTorch's."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(torch.rand(channels)),
            nn.Parameter(torch.rand(channels)),
        )
        self.normalized_shape = (channels,)

    def forward(self, y):
        y = F.layer_norm(y.movedim(1, -1), self.normalized_shape, self.weight, self.bias)
        return y.movedim(-1, 1)


class OwnConv(nn.Module):
    """A depthwise convolution, not built on PyTorch's."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight, self.groups = nn.Parameter(torch.rand(channels, 1, 3, 3)), channels

    def forward(self, y):
        return F.conv2d(y, self.weight, padding=1, groups=self.groups)


NUMBERS = {
    "groups=1": functional(),
    "groups=2": functional(groups=2),
    "groups=8": functional(groups=8),
    "kernel": kernel_of_mean,
    "kernel of any number": kernel_of_its_mean,
    "view": moved(lambda y: y.view(-1, 8, 8, 8)),
    "view in groups": moved(lambda y: y.view(-1, 2, 4, 8, 8).sum(2).repeat(1, 4, 1, 1)),
    "zeros": moved(lambda y: y + torch.zeros(1, 8, 1, 1)),
    "ones": moved(lambda y: y * torch.ones(8, 1, 1)),
    "arange": moved(lambda y: y * torch.arange(8.0).view(1, -1, 1, 1)),
    "new_ones": moved(lambda y: y * y.new_ones(8)[:, None, None]),
    "split": moved(lambda y: torch.cat(y.split([3, 5], 1)[::-1], 1)),
    "slices": moved(lambda y: torch.cat([y[:, 5:], y[:, :5]], 1)),
    "rest": moved(lambda y: torch.cat([y[:, :5].relu(), y[:, 5:].tanh()], 1)),
    "layer_norm": norm_by_number,
    "own norm": lambda layer, y: layer(OwnNorm, 8)(y),
    "own convolution": lambda layer, y: layer(OwnConv, 8)(y),
    "group_norm": moved(lambda y: F.group_norm(y, 4)),
    "scale": lambda layer, y: y * layer(torch.rand, 8)[:, None, None],
    "linear": lambda layer, y: F.linear(y.movedim(1, -1), layer(torch.rand, 8, 8)).movedim(-1, 1),
    "product": lambda layer, y: (y.movedim(1, -1) @ layer(torch.rand, 8, 8)).movedim(-1, 1),
    "einsum": lambda layer, y: torch.einsum("nchw,dc->ndhw", y, layer(torch.rand, 8, 8)),
    "in place": moved(lambda y: y.index_fill(1, torch.tensor([1, 7]), 0.0)),
}
kind("number", *((name, 8, 8, between) for name, between in NUMBERS.items()))

# Another tensor that only says the kind of numbers.


def ramp(cast):
    def between(layer, y):
        grid = layer(torch.rand, 1, 1, 8, 8, name="grid")
        return torch.cat([y, cast(grid.expand(len(y), -1, -1, -1), y)], 1)

    return between


CASTS = {
    "to": lambda a, b: a.to(b),
    "type_as": lambda a, b: a.type_as(b),
    "to dtype": lambda a, b: a.to(b.dtype),
    "to device and dtype": lambda a, b: a.to(b.device, b.dtype),
    "type": lambda a, b: a.type(b.type()),
    "new_tensor": lambda a, b: a + b.new_tensor([1.0]),
    "new_full": lambda a, b: a + b.new_full((1, 1, 1, 1), 0.5),
    "double and back": lambda a, b: a.double().to(b),
    "half and back": lambda a, b: a.half().type_as(b),
    "contiguous": lambda a, b: a.contiguous(memory_format=torch.channels_last),
    "detach": lambda a, b: a.detach().clone().to(b),
    "promoted": lambda a, b: a.to(torch.promote_types(a.dtype, b.dtype)),
    "result_type": lambda a, b: a.to(torch.result_type(a, b)),
}
kind("cast", *((name, 6, 7, ramp(cast)) for name, cast in CASTS.items()))
kind("cast of one", *((name, 1, 2, ramp(cast)) for name, cast in CASTS.items()))
kind(
    "cast of channels",
    *((name, 6, 6, moved(lambda y, f=f: f(y, y[:, :1]))) for name, f in CASTS.items()),
)

# Numbers that are shared by all channels: copies count.

COUNTED = {
    "softmax": lambda y: y.softmax(1),
    "log_softmax": lambda y: F.log_softmax(y, 1),
    "normalize": lambda y: F.normalize(y, dim=1),
    "norm": lambda y: y / (1 + y.norm(dim=1, keepdim=True)),
    "sum": lambda y: y * y.sum(1, keepdim=True),
    "cumsum": lambda y: y.cumsum(1),
    "cosine": lambda y: y * F.cosine_similarity(y, y.flip(2), dim=1)[:, None],
    "gram": lambda y: (y.flatten(2).mT @ y.flatten(2)).softmax(-1).mean(1).view(-1, 1, 8, 8) * y,
    "local response": lambda y: F.local_response_norm(y, 3),
}
kind("counted", *((name, 6, 6, moved(f)) for name, f in COUNTED.items()))
AVERAGED = {
    "mean": lambda y: y * y.mean(1, keepdim=True),
    "max": lambda y: y * y.amax(1, keepdim=True),
    "layer_norm": lambda y: F.layer_norm(y.movedim(1, -1), y.shape[1:2]).movedim(-1, 1),
    "group_norm": lambda y: F.group_norm(y, 1),
    "instance_norm": lambda y: F.instance_norm(y),
}
kind("averaged", *((name, 6, 6, moved(f)) for name, f in AVERAGED.items()))
