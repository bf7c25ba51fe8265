"""Exercises of notebook 05_1: normalisation, a split, a leak, averaged weights, views."""

from __future__ import annotations

import torch
from torch import Tensor

from course_utils.exercises import answers
from course_utils.exercises.answers import Answer, Case, Wrong
from course_utils.exercises.base import exercise


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _check_normalised_range(answer: Answer) -> str:
    cases = [(0.5, 0.5), (0.5, 0.25), (0.0, 1.0), (0.286, 0.353), (0.9, 0.1)]
    for mean, std in cases:
        where = f"for mean {mean:g} and deviation {std:g}:"
        got = answer(mean, std, where=where)
        if not isinstance(got, (tuple, list, Tensor)) or len(got) != 2:
            raise answers.wrong_kind(got, "two numbers, the smallest and the largest value", where)
        for value, pixel, name in zip(got, (0.0, 1.0), ("smallest", "largest"), strict=True):
            read = answers.number(value, f"{where} the {name} value")
            because = "this is a pixel before normalisation" if read == pixel else ""
            because = because or f"a pixel of {pixel:g} becomes ({pixel:g} − mean) / deviation"
            answers.compare_number(read, (pixel - mean) / std, f"{where} the {name} value", because)
    return "With 0.5 and 0.5 it is −1 to 1, for every data set; the mean is 0 only by chance."


@exercise(
    "05_1.normalised_range",
    check=_check_normalised_range,
    hints=(
        "Before Normalize, the pixels lie between 0 (black) and 1 (white).",
        "Normalize subtracts the mean and divides by the deviation: the same for every pixel.",
        "So the smallest value is that of a black pixel, and the largest that of a white one.",
    ),
)
def normalised_range(mean: float, std: float) -> tuple[float, float]:
    """Compute the smallest and the largest value that Normalize(mean, std) can return.

    The pixels are between 0 and 1 before it. std is above 0.
    """
    return (0 - mean) / std, (1 - mean) / std


def _check_leaked(answer: Answer) -> str:
    for seed, shape in enumerate([(6, 1, 4, 4), (8, 3, 3, 5), (1, 1, 2, 2), (5, 1, 4, 4)]):
        train = torch.randint(0, 256, shape, generator=_generator(seed)).to(torch.uint8)
        test = torch.randint(0, 256, (4, *shape[1:]), generator=_generator(50 + seed)).byte()
        want = torch.tensor([False, True, False, seed != 2])
        test[1], test[3] = train[-1], train[0] if seed != 2 else test[3]
        test[2] = train[0]
        test[2, 0, 0, 0] ^= 1  # all pixels but one
        where = f"for {len(train)} training and 4 test pictures of {tuple(shape[1:])}:"
        got = answers.tensor(answer(train, test, where=where), where, (4,)).bool()
        if torch.equal(got, want):
            continue
        for place in (got != want).nonzero()[:, 0].tolist():
            found = "is also a training picture" if want[place] else "is not in the training part"
            because = " (one pixel differs from the nearest)" if place == 2 else ""
            raise Wrong(f"{where} test picture {place} {found}{because}, and yours says otherwise")
    return "Run this on every data set that you get: a picture in both parts is an answer known."


@exercise(
    "05_1.leaked",
    check=_check_leaked,
    hints=(
        "Two pictures are equal if all their pixels are. Comparing each with each also works.",
        "(train == test[0]) compares all training pictures with one test picture, pixel by pixel.",
        "flatten(1).all(1) says for which pictures all pixels agree; any() says whether for one.",
    ),
)
def leaked(train: torch.Tensor, test: torch.Tensor) -> torch.Tensor:
    """Find the test pictures that are also training pictures, equal in every pixel.

    train, test: uint8 (N, C, H, W) and (M, C, H, W). Return bool (M,).
    """
    return torch.stack([(train == picture).flatten(1).all(1).any() for picture in test])


def _check_mean_of_views(answer: Answer) -> str:
    class Placed(torch.nn.Module):
        """Its answer depends on the place of each pixel."""

        def forward(self, x: Tensor) -> Tensor:
            places = torch.arange(x[0, 0].numel()).square().view(x.shape[2:])
            return torch.stack([(x.relu() * places).sum((1, 2, 3)), x.mean((1, 2, 3)) ** 2], 1)

    for seed, shape in enumerate([(1, 1, 3, 4), (3, 3, 4, 4), (2, 1, 3, 6)]):
        images = torch.randn(shape, generator=_generator(seed))
        model = Placed()
        where = f"for {shape[0]} pictures of {tuple(shape[1:])}:"
        got = answers.tensor(answer(model, images, where=where), where, (shape[0], 2))
        views = model(images), model(images.flip(3))
        want = ((views[0] + views[1]) / 2).double()
        for wrong, why in (
            ((views[0] + views[1]).double(), "this is the sum of both answers: take the mean"),
            (views[0].double(), "this is the answer for the pictures alone"),
            (views[1].double(), "this is the answer for the mirror images alone"),
            (
                model((images + images.flip(3)) / 2).double(),
                "mean of the answers, not of the views",
            ),
        ):
            if torch.allclose(got, wrong, atol=1e-5) and not torch.allclose(want, wrong, atol=1e-5):
                raise Wrong(f"{where} {why}")
        answers.compare_tensors(got, want, where.removesuffix(":"))
    return 'AveragedViews is a network that does this; the rung "views" uses it.'


@exercise(
    "05_1.mean_of_views",
    check=_check_mean_of_views,
    hints=(
        "images.flip(3) is the whole batch, mirrored left and right.",
        "The network answers twice: once for each view.",
        "Add both answers and divide by 2.",
    ),
)
def mean_of_views(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Compute the mean of the network's answers for the pictures and for their mirror images.

    images: (N, C, H, W). The model is in eval mode and returns logits (N, classes).
    """
    return (model(images) + model(images.flip(3))) / 2


def _check_stratified_split(answer: Answer) -> str:
    cases = [
        (torch.arange(3).repeat_interleave(10), 2, "sorted by class"),
        (torch.arange(4).repeat(8), 3, "classes in turn"),
        (torch.tensor([0] * 20 + [1] * 6 + [2] * 4), 2, "classes of unequal size"),
        (torch.tensor([1, 0, 1, 1, 0, 2, 2, 0, 2, 1]), 1, "a small set"),
    ]
    for labels, count, what in cases:
        classes = labels.unique().tolist()
        where = f"{what}: with {count} of each of {len(classes)} classes:"
        got = answer(labels, count, where=where)
        if not isinstance(got, (tuple, list)) or len(got) != 2:
            raise answers.wrong_kind(got, "two tensors of places", where)
        train, held = (answers.tensor(one, where).long().flatten() for one in got)
        both = torch.cat([train, held]).sort().values
        if len(both) != len(labels) or not torch.equal(both, torch.arange(len(labels))):
            raise Wrong(
                f"{where} each of the {len(labels)} places has to be in exactly one of the two "
                f"parts; yours have {len(train)} and {len(held)}, {len(both.unique())} different"
            )
        for label in classes:
            found = int((labels[held] == label).sum())
            if found != count:
                raise Wrong(
                    f"{where} the second part has {found} pictures of class {label}; it should "
                    f"have {count} of every class"
                )
    return "load_dataset(name, validation=0.1) splits in this way, with a share of each class."


@exercise(
    "05_1.stratified_split",
    check=_check_stratified_split,
    hints=(
        "Go through the classes: (labels == label).nonzero()[:, 0] are the places of one class.",
        "The first `count` of these places go to one part, the others to the other part.",
        "Collect the parts in two lists, and join each with torch.cat.",
    ),
)
def stratified_split(labels: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Split the places of the labels so that the second part has `count` of every class.

    labels: int64 (N,). Return two tensors of places, such as labels[held] is the second part. Each
    class has more than `count` pictures.
    """
    train, held = [], []
    for label in labels.unique():
        places = (labels == label).nonzero()[:, 0]
        held.append(places[:count])
        train.append(places[count:])
    return torch.cat(train), torch.cat(held)


def _check_averaged(answer: Answer) -> str:
    cases = [
        Case(([1.0, 2.0, 4.0], 0.5), "three values"),
        Case(([3.0], 0.9), "one value", "the average starts at the first value"),
        Case(([5.0, 5.0, 5.0, 5.0], 0.9), "values that do not change", "so does the average not"),
        Case(([0.0] * 5 + [1.0] * 5, 0.8), "a jump"),
        Case(([2.0, -1.0, 3.0], 0.0), "decay 0", "then it is the last value"),
    ]
    for case in cases:
        values, decay = case.arguments
        where = f"{case.what}: for {values} and decay {decay:g}"
        want = other = values[0]
        for value in values[1:]:
            want = decay * want + (1 - decay) * value
            other = (1 - decay) * other + decay * value
        got = answers.number(answer(list(values), decay, where=where), where)
        because = case.because
        if answers.same(got, other) and not answers.same(want, other):
            because = "the decay belongs to the old average, not to the new value"
        answers.compare_number(got, want, where, because)
    return "AveragedWeights does this with every weight of a network, after every step."


@exercise(
    "05_1.averaged",
    check=_check_averaged,
    hints=(
        "Begin with average = values[0], and go through the values after it.",
        "The new average is a part of the old one and a part of the new value; the parts add to 1.",
        "average = decay * average + (1 - decay) * value.",
    ),
)
def averaged(values: list[float], decay: float) -> float:
    """Compute the exponential moving average of the values after the last one.

    It starts at the first value. Each further value moves it: decay times the old average, plus
    1 − decay times the value.
    """
    average = values[0]
    for value in values[1:]:
        average = decay * average + (1 - decay) * value
    return average
