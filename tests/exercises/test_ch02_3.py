"""Alternatives and typical wrong answers of notebook 02_3's exercises."""

from __future__ import annotations

import math

import torch
from torch import nn

from course_utils.exercises import ch02_3

WEIGHTED = (nn.Conv2d, nn.Linear)


def n_in_by_cases(layer):
    if isinstance(layer, nn.Linear):
        return layer.in_features
    height, width = layer.kernel_size
    return layer.in_channels // layer.groups * height * width


def he_by_torch(layer):
    fan_in, _ = nn.init._calculate_fan_in_and_fan_out(layer.weight)
    return nn.init.calculate_gain("relu") / math.sqrt(fan_in)


def test_he_std_other_ways(solved):
    solved("02_3.he_std", he_by_torch, lambda layer: torch.tensor(2 / n_in_by_cases(layer)).sqrt())


def n_in_without_groups(layer):
    return n_in_by_cases(layer) * getattr(layer, "groups", 1)


def n_in_square(layer):
    if isinstance(layer, nn.Linear):
        return layer.in_features
    return layer.in_channels // layer.groups * layer.kernel_size[0] ** 2


def n_out(layer):
    return layer.weight.numel() // layer.weight.shape[1]


def test_he_std_rejects(rejected):
    rejected(
        "02_3.he_std",
        (lambda layer: 2 / n_in_by_cases(layer), "that is the variance"),
        (
            lambda layer: (2 / n_in_by_cases(layer)) ** 0.25,
            "the standard deviation itself, not the",
        ),
        (
            lambda layer: (2 / n_out(layer)) ** 0.5,
            "that is for n_out, the outputs, instead of n_in",
        ),
        (lambda layer: (2 / (n_in_by_cases(layer) + n_out(layer))) ** 0.5, "Xavier's rule"),
        (lambda layer: (1 / n_in_by_cases(layer)) ** 0.5, "ReLU halves the signal"),
        (lambda layer: (2 / n_in_without_groups(layer)) ** 0.5, "a convolution in 2 groups: for"),
        (
            lambda layer: (2 / n_in_square(layer)) ** 0.5,
            "a kernel that is not square: for Conv2d(8",
        ),
        (lambda layer: (2 / layer.weight.shape[1]) ** 0.5, "height and width are missing"),
        (lambda layer: (2 / layer.weight.numel()) ** 0.5, "(n_in is 1,568)"),
        (lambda layer: (2 / layer.in_features) ** 0.5, "'Conv2d' object has no attribute"),
        (lambda layer: 0.03571, "a convolution on one channel"),
    )


def by_layer(model, weight_decay):
    decayed, others = [], []
    for layer in model.modules():
        for name, parameter in layer.named_parameters(recurse=False):
            right = isinstance(layer, WEIGHTED) and name == "weight"
            (decayed if right else others).append(parameter)
    return [
        {"params": others, "weight_decay": 0},
        {"params": iter(decayed), "weight_decay": weight_decay, "lr": 0.1},
    ]


def one_group_each(model, weight_decay):
    return [
        {"params": [parameter], "weight_decay": weight_decay if parameter.dim() > 1 else 0.0}
        for parameter in model.parameters()
    ]


def test_decay_groups_other_ways(solved):
    solved("02_3.decay_groups", by_layer, one_group_each)


def sorted_by(chosen, *, others=True, other_decay=0.0):
    def decay_groups(model, weight_decay):
        named = list(model.named_parameters())
        groups = [
            {"params": [p for n, p in named if chosen(n, p)], "weight_decay": weight_decay},
            {"params": [p for n, p in named if not chosen(n, p)], "weight_decay": other_decay},
        ]
        return groups if others else groups[:1]

    return decay_groups


def without_key(model, weight_decay):
    first, second = ch02_3.decay_groups(model, weight_decay)
    return [first, {"params": second["params"]}]


def twice(model, weight_decay):
    first, _ = ch02_3.decay_groups(model, weight_decay)
    return [first, {"params": list(model.parameters()), "weight_decay": 0.0}]


def foreign(model, weight_decay):
    extra = {"params": [nn.Parameter(torch.zeros(1))], "weight_decay": 0.0}
    return [*ch02_3.decay_groups(model, weight_decay), extra]


def test_decay_groups_rejects(rejected):
    rejected(
        "02_3.decay_groups",
        (sorted_by(lambda name, p: name.endswith("weight")), "1.weight (BatchNorm2d)"),
        (sorted_by(lambda name, p: True), "0.bias (Conv2d)"),
        (sorted_by(lambda name, p: p.dim() <= 1), "0.weight (Conv2d)"),
        (sorted_by(lambda name, p: p.dim() == 4), "3.weight (Linear)"),
        (sorted_by(lambda name, p: p.dim() > 1, others=False), "0.bias (Conv2d) is in no group"),
        (without_key, "has no weight_decay"),
        (twice, "torch.optim.AdamW says ValueError"),
        (foreign, "not parameters of the model"),
        (lambda m, decay: ch02_3.decay_groups(m, 0.05), "weight_decay 0.3: 0.weight (Conv2d)"),
        (lambda m, decay: ch02_3.decay_groups(m, decay)[0], "a dict"),
        (lambda m, decay: [list(m.parameters())], "a list of dicts"),
        (lambda m, decay: [{"weight_decay": decay}], "torch.optim.AdamW says"),
        (lambda m, decay: [], "torch.optim.AdamW says ValueError"),
    )


def by_flattening(images):
    rows = images.transpose(0, 1).flatten(1).double() / 255
    return torch.stack([rows.mean(1), rows.std(1, unbiased=False)])


def by_squares(images):
    scaled = images.float().div(255)
    mean = scaled.mean((0, 2, 3))
    return [mean.numpy(), (scaled.square().mean((0, 2, 3)) - mean**2).sqrt().numpy()]


def test_mean_std_other_ways(solved):
    solved("02_3.mean_std", by_flattening, by_squares)


def over(dims, scale=255, spread=torch.Tensor.std):
    def mean_std(images):
        scaled = images.float() / scale
        return scaled.mean(dim=dims), spread(scaled, dim=dims)

    return mean_std


def per_picture(images):
    scaled = images.float() / 255
    return scaled.mean((0, 2, 3)), scaled.std((2, 3)).mean(0)


def test_mean_std_rejects(rejected):
    rejected(
        "02_3.mean_std",
        (over((0, 2, 3), scale=1), "(scale 0 … 255 to 0 … 1)"),
        (over((0, 2, 3), scale=256), "grey pictures"),
        (over((0, 1, 2, 3)), "has the shape (), it should have (1,)"),
        (over((2, 3)), "(60, 1), it should have (1,)"),
        (over(0), "(1, 28, 28), it should have (1,)"),
        (over((0, 2, 3), spread=torch.Tensor.var), "(that is the variance)"),
        (per_picture, "the mean of the pictures' own stds"),
        (lambda images: over((0, 2, 3))(images)[0], "two tensors"),
        (lambda images: over((0, 2, 3))(images)[::-1], "the mean of channel 0"),
        (lambda images: images.mean(dim=(0, 2, 3)), "mean(): could not infer output dtype"),
        (
            lambda images: tuple(v.expand(images.shape[1]) for v in over((0, 1, 2, 3))(images)),
            "pictures in colour",
        ),
        (lambda images: (torch.full((images.shape[1],), 0.5),) * 2, "grey pictures"),
    )


def by_indexing(images, generator):
    out = images.clone()
    chosen = torch.randint(0, 2, (len(images),), generator=generator).bool()
    out[chosen] = out[chosen].flip(-1)
    return out


def one_by_one(images, generator):
    def thrown(image):
        return image.flip(2) if torch.rand((), generator=generator) < 0.5 else image

    return torch.stack([thrown(image) for image in images])


def test_random_flip_other_ways(solved):
    solved("02_3.random_flip", by_indexing, one_by_one)


def flipping(share=0.5, axis=-1, seeded=True):
    def random_flip(images, generator):
        coins = torch.rand(len(images), generator=generator if seeded else None) < share
        return torch.where(coins[:, None, None, None], images.flip(axis), images)

    return random_flip


def one_coin(images, generator):
    return images.flip(-1) if torch.rand((), generator=generator) < 0.5 else images.clone()


def in_place(images, generator):
    chosen = torch.rand(len(images), generator=generator) < 0.5
    images[chosen] = images[chosen].flip(-1)
    return images


def every_second(images, generator):
    out = images.clone()
    out[::2] = out[::2].flip(-1)
    return out


def coin_for_each_row(images, generator):
    coins = torch.rand(images.shape[:3], generator=generator) < 0.5
    return torch.where(coins[..., None], images.flip(-1), images)


def test_random_flip_rejects(rejected):
    rejected(
        "02_3.random_flip",
        (one_coin, "one number for each picture"),
        (flipping(share=0.0), "no picture was flipped"),
        (lambda images, generator: images.clone(), "no picture was flipped"),
        (flipping(share=1.1), "every picture was flipped"),
        (flipping(share=0.1), "10% of them"),
        (flipping(axis=-2), "upside down"),
        (flipping(axis=1), "is neither itself nor its mirror image"),
        (flipping(seeded=False), "the same seed flipped other pictures"),
        (every_second, "seeds 1 and 2"),
        (in_place, "work on a copy"),
        (coin_for_each_row, "left ↔ right"),
        (lambda im, g: flipping()(im, g).float(), "should stay torch.uint8, like the images"),
        (lambda im, g: flipping()(im, g) / 255, "should stay torch.uint8"),
        (lambda im, g: flipping()(im, g)[:-1], "(399, 3, 6, 9)"),
        (lambda im, g: torch.zeros_like(im), "is neither itself nor its mirror image"),
    )
