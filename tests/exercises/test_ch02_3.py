"""Right and wrong answers to the exercises of notebook 02_3 (two more: test_weight_checks)."""

from __future__ import annotations

import torch
from torch import nn

from course_utils.exercises import ch02_3


def n_in(layer):
    return layer.weight[0].numel()


def n_out(layer):
    return layer.weight.numel() // layer.weight.shape[1]


def test_he_std(solved, rejected):
    def by_torch(layer):
        fan_in, _ = nn.init._calculate_fan_in_and_fan_out(layer.weight)
        return nn.init.calculate_gain("relu") / fan_in**0.5

    def square(layer):
        kernel = getattr(layer, "kernel_size", (1,))
        return (2 / (layer.weight.shape[1] * kernel[0] ** 2)) ** 0.5

    solved("02_3.he_std", by_torch, lambda layer: torch.tensor(2 / n_in(layer)).sqrt())
    rejected(
        "02_3.he_std",
        (lambda layer: 2 / n_in(layer), "that is the variance"),
        (lambda layer: (2 / n_in(layer)) ** 0.25, "the standard deviation itself, not the"),
        (
            lambda layer: (2 / n_out(layer)) ** 0.5,
            "that is for n_out, the outputs, instead of n_in",
        ),
        (lambda layer: (2 / (n_in(layer) + n_out(layer))) ** 0.5, "Xavier's rule"),
        (lambda layer: (1 / n_in(layer)) ** 0.5, "ReLU halves the signal"),
        (lambda layer: (2 / n_in(layer) / getattr(layer, "groups", 1)) ** 0.5, "in 2 groups: for"),
        (square, "a kernel that is not square: for Conv2d(8"),
        (lambda layer: (2 / layer.weight.shape[1]) ** 0.5, "height and width are missing"),
        (lambda layer: (2 / layer.weight.numel()) ** 0.5, "(n_in is 1,568)"),
        (lambda layer: (2 / layer.in_features) ** 0.5, "'Conv2d' object has no attribute"),
        (lambda layer: 0.03571, "a convolution on one channel"),
    )


def sorted_by(chosen, *, others=True):
    def decay_groups(model, weight_decay):
        named = list(model.named_parameters())
        groups = [
            {"params": [p for n, p in named if chosen(n, p)], "weight_decay": weight_decay},
            {"params": [p for n, p in named if not chosen(n, p)], "weight_decay": 0.0},
        ]
        return groups if others else groups[:1]

    return decay_groups


def test_decay_groups(solved, rejected):
    def one_group_each(model, weight_decay):
        decays = {True: weight_decay, False: 0}
        return [
            {"params": iter([p]), "weight_decay": decays[p.dim() > 1], "lr": 0.1}
            for p in model.parameters()
        ]

    def changed(change):
        return lambda model, decay: change(*ch02_3.decay_groups(model, decay), model)

    foreign = {"params": [nn.Parameter(torch.zeros(1))], "weight_decay": 0.0}
    solved("02_3.decay_groups", one_group_each)
    rejected(
        "02_3.decay_groups",
        (sorted_by(lambda name, p: name.endswith("weight")), "1.weight (BatchNorm2d)"),
        (sorted_by(lambda name, p: True), "0.bias (Conv2d)"),
        (sorted_by(lambda name, p: p.dim() <= 1), "0.weight (Conv2d)"),
        (sorted_by(lambda name, p: p.dim() == 4), "3.weight (Linear)"),
        (sorted_by(lambda name, p: p.dim() > 1, others=False), "0.bias (Conv2d) is in no group"),
        (changed(lambda a, b, model: [a, {"params": b["params"]}]), "has no weight_decay"),
        (changed(lambda a, b, model: [a, b, b]), "torch.optim.AdamW says ValueError"),
        (changed(lambda a, b, model: [a, b, foreign]), "not parameters of the model"),
        (lambda m, decay: ch02_3.decay_groups(m, 0.05), "weight_decay 0.3: 0.weight (Conv2d)"),
        (changed(lambda a, b, model: a), "a dict"),
        (changed(lambda a, b, model: [list(model.parameters())]), "a list of dicts"),
        (lambda m, decay: [{"weight_decay": decay}], "torch.optim.AdamW says"),
    )


def over(dims, scale=255, spread=torch.Tensor.std):
    def mean_std(images):
        scaled = images.float() / scale
        return scaled.mean(dim=dims), spread(scaled, dim=dims)

    return mean_std


def test_mean_std(solved, rejected):
    def by_flattening(images):
        rows = images.transpose(0, 1).flatten(1).double() / 255
        return torch.stack([rows.mean(1), rows.std(1, unbiased=False)])

    def by_squares(images):
        scaled = images.float().div(255)
        mean = scaled.mean((0, 2, 3))
        return [mean.numpy(), (scaled.square().mean((0, 2, 3)) - mean**2).sqrt().numpy()]

    def per_picture(images):
        scaled = images.float() / 255
        return scaled.mean((0, 2, 3)), scaled.std((2, 3)).mean(0)

    def over_channels(images):
        return tuple(value.expand(images.shape[1]) for value in over((0, 1, 2, 3))(images))

    solved("02_3.mean_std", by_flattening, by_squares)
    rejected(
        "02_3.mean_std",
        (over((0, 2, 3), scale=1), "(scale 0 … 255 to 0 … 1)"),
        (over((0, 2, 3), scale=256), "grey images"),
        (over((0, 1, 2, 3)), "has the shape (), it should have (1,)"),
        (over((0, 2, 3), spread=torch.Tensor.var), "(that is the variance)"),
        (per_picture, "the mean of the images' own stds"),
        (lambda images: over((0, 2, 3))(images)[0], "two tensors"),
        (lambda images: over((0, 2, 3))(images)[::-1], "the mean of channel 0"),
        (lambda images: images.mean(dim=(0, 2, 3)), "mean(): could not infer output dtype"),
        (over_channels, "images in colour"),
    )


def flipping(share=0.5, axis=-1, seeded=True):
    def random_flip(images, generator):
        coins = torch.rand(len(images), generator=generator if seeded else None) < share
        return torch.where(coins[:, None, None, None], images.flip(axis), images)

    return random_flip


def test_random_flip(solved, rejected):
    def by_indexing(images, generator):
        chosen = torch.randint(0, 2, (len(images),), generator=generator).bool()
        images[chosen] = images[chosen].flip(-1)
        return images

    def one_coin(images, generator):
        return images.flip(-1) if torch.rand((), generator=generator) < 0.5 else images.clone()

    def every_second(images, generator):
        out = images.clone()
        out[::2] = out[::2].flip(-1)
        return out

    def coin_for_each_row(images, generator):
        coins = torch.rand(images.shape[:3], generator=generator) < 0.5
        return torch.where(coins[..., None], images.flip(-1), images)

    solved(
        "02_3.random_flip",
        lambda images, generator: by_indexing(images.clone(), generator),
        lambda images, generator: torch.stack([one_coin(image, generator) for image in images]),
    )
    rejected(
        "02_3.random_flip",
        (one_coin, "one number for each image"),
        (flipping(share=0.0), "no image was flipped"),
        (flipping(share=1.1), "every image was flipped"),
        (flipping(share=0.1), "10% of them"),
        (flipping(axis=-2), "upside down"),
        (flipping(axis=1), "is neither itself nor its mirror image"),
        (flipping(seeded=False), "the same seed flipped other images"),
        (every_second, "seeds 1 and 2"),
        (by_indexing, "work on a copy"),
        (coin_for_each_row, "left ↔ right"),
        (lambda im, g: flipping()(im, g).float(), "should stay torch.uint8, like the images"),
        (lambda im, g: flipping()(im, g)[:-1], "(399, 3, 6, 9)"),
        *[(by_coins(coins), text) for coins, text in WRONG_COINS.values()],
        (lambda im, g: flipping()(im, g) * 0, "image 0 is neither itself"),
        (lambda im, g: flipping()(im, g).transpose(2, 3), "(400, 3, 9, 6)"),
        (three_channels, "for images of the shape (1, 6, 6)"),
    )


def by_coins(coins):
    """Flip the images for which coins(N, generator) are true."""
    return lambda im, g: torch.where(coins(len(im), g)[:, None, None, None], im.flip(-1), im)


def three_channels(images, generator):
    coins = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(coins[:, None, None, None].expand(-1, 3, -1, -1), images.flip(-1), images)


def first_never(count, generator):
    return torch.cat([torch.tensor([False]), torch.rand(count - 1, generator=generator) < 0.5])


def from_the_seed(count, generator):
    return (
        torch.rand(count, generator=torch.Generator().manual_seed(generator.initial_seed())) < 0.5
    )


def reseeded(count, generator):
    torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
    return torch.rand(count) < 0.5


WRONG_COINS = {
    "pairs": (
        lambda n, g: (torch.rand(n // 2 + 1, generator=g) < 0.5).repeat_interleave(2)[:n],
        "1 places before",
    ),
    "both halves alike": (
        lambda n, g: (torch.rand(n // 2 + 1, generator=g) < 0.5).repeat(2)[:n],
        "not independent",
    ),
    "every second one, from a random start": (
        lambda n, g: (torch.arange(n) + torch.randint(2, (), generator=g)) % 2 == 0,
        "not independent",
    ),
    "exactly half": (
        lambda n, g: torch.randperm(n, generator=g) < n // 2,
        "the same number of images",
    ),
    "off by one": (first_never, "image 0 was flipped in 0%"),
    "from the seed": (from_the_seed, "two calls with the same generator"),
    "global numbers": (reseeded, "torch's global random numbers"),
}
