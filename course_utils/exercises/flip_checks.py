"""Checks of random choices for 02_3.random_flip: where they come from, and their independence."""

from __future__ import annotations

import math
import random

import numpy as np
import torch
from torch import Tensor

from course_utils.exercises.answers import Answer, Wrong


def check_generator(answer: Answer, images: Tensor, where: str) -> None:
    """Check that all random numbers come from the generator, and that it moves on."""
    generator = torch.Generator().manual_seed(1)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    first, second = (answer(images.clone(), generator, where=where) for _ in range(2))
    others = (
        ("torch's", torch.equal(states[0], torch.get_rng_state())),
        ("Python's", states[1] == random.getstate()),
        ("NumPy's", np.array_equal(states[2], np.random.get_state()[1])),
    )
    for owner, same in others:
        if not same:
            raise Wrong(
                f"{where} {owner} global random numbers were used as well: draw all of them with "
                "generator=generator"
            )
    if torch.equal(first, second):
        raise Wrong(
            f"{where} two calls with the same generator flipped the same images, so every epoch "
            "would be the same: draw from the generator itself"
        )


def check_independence(coins: Tensor, where: str) -> None:
    """Check that coins (seeds, images) are fair, and do not depend on each other.

    The tolerances are six standard errors.
    """
    coins = coins.double()
    seeds, count = coins.shape
    often = coins.mean(dim=0)
    odd = int((often - 0.5).abs().argmax())
    if abs(float(often[odd]) - 0.5) > 3 / math.sqrt(seeds):
        raise Wrong(
            f"{where} image {odd} was flipped in {float(often[odd]):.0%} of the cases, each "
            "should be flipped in about half"
        )
    for lag in range(1, count):
        alike = float((coins == coins.roll(lag, dims=1)).double().mean())
        if abs(alike - 0.5) > 3 / math.sqrt(seeds * count):
            raise Wrong(
                f"{where} an image and the one {lag} places before it were treated alike in "
                f"{alike:.0%} of the cases, it should be about half: they are not independent"
            )
    variance = float(coins.sum(dim=1).var()) / (count / 4)
    if variance < 1 / 4:
        raise Wrong(
            f"{where} nearly the same number of images was flipped every time: if each has its "
            "own coin, the number varies"
        )
