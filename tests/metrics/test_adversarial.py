"""Attacks: inside the allowed change, in the right direction, and the network stays as it was."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils.core import CourseError
from course_utils.metrics import (
    ATTACKS,
    attack,
    attack_accuracies,
    away_from,
    fgsm,
    pgd,
    probabilities,
    sign_noise,
    towards,
)
from tests.toys import same, stripes, toy_model, weights

IMAGES, LABELS = stripes(12).images, stripes(12).labels
SCALE = {"mean": 0.4, "std": 0.25}
ROUND = 1e-6


class Counted(nn.Module):
    """Scores (brightness of the left half, of the right half), so the best attack is known."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        half = x.shape[-1] // 2
        halves = x[..., :half].sum((1, 2, 3)), x[..., half:].sum((1, 2, 3))
        return self.scale * torch.stack(halves, 1)


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(ATTACKS),
    epsilon=st.floats(0, 1),
    steps=st.integers(1, 4),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 9),
    as_float=st.booleans(),
)
def test_no_attack_leaves_the_ball_or_the_range(kind, epsilon, steps, channels, seed, as_float):
    images = stripes(5, channels=channels, seed=seed).images
    model = toy_model(channels, norm=True, seed=seed)
    given_images = images.float() / 255 if as_float else images
    before = given_images.clone()
    found = attack(
        kind, model, given_images, LABELS[:5], epsilon=epsilon, steps=steps, seed=seed, **SCALE
    )
    assert found.shape == images.shape and found.dtype == torch.float32
    assert found.min() >= 0 and found.max() <= 1 and not found.requires_grad
    assert (found - images.float() / 255).abs().max() <= epsilon + ROUND
    assert torch.equal(given_images, before)


def test_one_step_is_the_formula():
    """The loss of class 0 rises if the left half becomes darker and the right half brighter."""
    image = torch.full((2, 1, 4, 6), 0.5)
    found = fgsm(Counted(), image, torch.tensor([0, 1]), epsilon=0.1, mean=0.0, std=1.0)
    step = torch.full((1, 4, 6), 0.1)
    step[..., :3] = -0.1
    assert torch.allclose(found, image + torch.stack([step, -step]))


def test_the_edge_of_the_range_is_kept_exactly():
    image = torch.zeros(1, 1, 4, 6)
    found = fgsm(Counted(), image, torch.tensor([0]), epsilon=0.1, mean=0.0, std=1.0)
    assert found[..., :3].eq(0).all() and found[..., 3:].allclose(torch.tensor(0.1))


def test_pgd_reaches_the_corner_and_starts_where_it_is_told():
    image = torch.full((1, 1, 4, 6), 0.5)
    common = {"epsilon": 0.1, "mean": 0.0, "std": 1.0, "labels": torch.tensor([0])}
    model = Counted()
    one = fgsm(model, image, **common)
    assert torch.allclose(pgd(model, image, steps=5, **common), one)
    small = {"steps": 1, "step_size": 0.01}
    starts = [pgd(model, image, seed=seed, **small, **common) for seed in (None, 0, 0, 1)]
    assert torch.allclose(starts[0], image + (one - image) / 10)
    assert torch.equal(starts[1], starts[2]) and not torch.equal(starts[1], starts[3])


def test_more_steps_do_more_than_one_and_noise_does_least():
    model, test = toy_model(seed=3), stripes(60, seed=1)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    pictures = (test.images.float() / 255 - 0.4) / 0.25
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(pictures), test.labels).backward()
        optimizer.step()
    losses = {}
    for kind in ATTACKS:
        changed = attack(kind, model, test.images, test.labels, epsilon=0.1, **SCALE)
        share = probabilities(model, changed, **SCALE).gather(1, test.labels[:, None])
        losses[kind] = -share.log().mean().item()
    assert losses["noise"] < losses["fgsm"] <= losses["pgd"] + 1e-3
    table = attack_accuracies(model, test, [0, 0.05, 0.2], **SCALE, batch_size=25)
    assert len(table) == 9 and set(table.attack) == set(ATTACKS)
    clean = table[table.epsilon == 0].accuracy
    assert clean.nunique() == 1 and clean.iloc[0] > 0.9
    worst = table[table.epsilon == 0.2].set_index("attack").accuracy
    assert worst["pgd"] <= worst["fgsm"] < worst["noise"]
    row = table[(table.attack == "fgsm") & (table.epsilon == 0.2)].iloc[0]
    changed = fgsm(model, test.images, test.labels, epsilon=0.2, **SCALE)
    right = probabilities(model, changed, **SCALE).argmax(1) == test.labels
    assert row.correct == right.sum() and row.low < row.accuracy <= row.high


@pytest.mark.parametrize("kind", ["fgsm", "pgd"])
def test_a_picture_does_not_depend_on_the_others(kind):
    model = toy_model(norm=True, dropout=0.5).train()
    model(torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(1)))
    together = attack(kind, model, IMAGES, LABELS, epsilon=0.05, **SCALE)
    alone = attack(kind, model, IMAGES[3:4], LABELS[3:4], epsilon=0.05, **SCALE)
    assert (together[3:4] - alone).abs().max() < ROUND


@pytest.mark.parametrize("block", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_network_is_left_as_it_was(block):
    model = toy_model(norm=True, dropout=0.5).train()
    model[0].eval()
    model[6].weight.requires_grad_(False)
    model[0].bias.grad = torch.ones(6)
    before, state = weights(model), copy.deepcopy([m.training for m in model.modules()])
    numbers = torch.random.get_rng_state()
    with block():
        found = pgd(model, IMAGES, LABELS, epsilon=0.1, **SCALE)
        wrong = pytest.raises(CourseError)
        with wrong:
            pgd(model, IMAGES, LABELS + 1, epsilon=0.1, **SCALE)
    assert torch.isfinite(found).all() and same(weights(model), before)
    assert [m.training for m in model.modules()] == state
    assert [p.requires_grad for p in model.parameters()].count(False) == 1
    assert model[0].bias.grad.eq(1).all()
    assert all(p.grad is None for p in model.parameters() if p is not model[0].bias)
    assert torch.equal(torch.random.get_rng_state(), numbers)


def test_a_target_and_a_sum_of_classes():
    model = toy_model()
    start = probabilities(model, IMAGES, **SCALE)
    for target in range(3):
        changed = pgd(model, IMAGES, epsilon=0.1, loss=towards(target), **SCALE)
        assert (probabilities(model, changed, **SCALE)[:, target] > start[:, target]).all()
        changed = pgd(model, IMAGES, epsilon=0.1, loss=away_from([0, target]), **SCALE)
        both = sorted({0, target})
        after = probabilities(model, changed, **SCALE)[:, both].sum(1)
        assert (after < start[:, both].sum(1)).all()


def test_no_change_and_no_picture():
    model = toy_model()
    for kind in ATTACKS:
        found = attack(kind, model, IMAGES, LABELS, epsilon=0, **SCALE)
        assert torch.equal(found, IMAGES.float() / 255)
        assert attack(kind, model, IMAGES[:0], LABELS[:0], epsilon=0.1, **SCALE).shape[0] == 0


def test_noise_changes_every_pixel_by_epsilon():
    grey = torch.full((2, 1, 9, 9), 0.5)
    change = sign_noise(grey, 0.25, seed=1) - 0.5
    assert change.abs().allclose(torch.tensor(0.25)) and 20 < (change > 0).sum() < 142
    assert not torch.equal(sign_noise(grey, 0.25, seed=2) - 0.5, change)


class Rounds(nn.Module):
    """A network without a gradient: `how` says why."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.inner, self.how = toy_model(), how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.how == "round":
            return self.inner(x).round()
        if self.how == "constant":
            return self.inner(torch.zeros_like(x))
        if self.how == "int8":
            return self.inner(x.mul(10).round().to(torch.int8).float())
        with torch.no_grad():
            return self.inner(x)


@pytest.mark.parametrize("how", ["round", "constant", "int8", "no_grad"])
def test_a_network_without_gradients_is_a_sentence(how):
    for epsilon in (0.1, 0.001):
        with pytest.raises(CourseError, match="int8 network"):
            pgd(Rounds(how), IMAGES, LABELS, epsilon=epsilon, **SCALE)


def test_nan_in_the_weights_is_a_sentence():
    model = toy_model()
    with torch.no_grad():
        model[0].weight[0] = torch.nan
    with pytest.raises(CourseError, match="NaN"):
        fgsm(model, IMAGES, LABELS, epsilon=0.1, **SCALE)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"epsilon": -0.1}, "8/255"),
        ({"epsilon": 8}, "8/255"),
        ({"epsilon": float("nan")}, "8/255"),
        ({"epsilon": "8/255"}, "8/255"),
        ({"epsilon": True}, "8/255"),
        ({"steps": 0}, "from 1 up"),
        ({"steps": 2.5}, "from 1 up"),
        ({"step_size": 0}, "above 0"),
        ({"step_size": float("inf")}, "above 0"),
        ({"seed": -1}, "from 0 up"),
        ({"labels": LABELS + 1}, "3 classes"),
        ({"labels": LABELS - 1}, "counted from 0"),
        ({"labels": LABELS[:5]}, "12 pictures, but 5 labels"),
        ({"labels": LABELS.float()}, "whole numbers"),
        ({"labels": None}, "either labels"),
        ({"loss": towards(1)}, "either labels"),
        ({"labels": None, "loss": towards(3)}, "from 0 to 2"),
        ({"labels": None, "loss": away_from([1, 9])}, "from 0 to 2"),
        ({"labels": None, "loss": lambda logits: logits.mean()}, "leave out mean"),
        ({"labels": None, "loss": lambda logits: 3.0}, "float"),
        ({"images": IMAGES.float()}, "from 0 to 1"),
        ({"images": IMAGES.float() / 255 - 0.5}, "from 0 to 1"),
        ({"images": torch.full((12, 1, 8, 8), torch.nan)}, "NaN"),
        ({"images": IMAGES.int()}, "int32"),
        ({"images": IMAGES[0]}, r"\(1, 8, 8\)"),
        ({"images": "cat"}, "a str"),
        ({"images": IMAGES.repeat(1, 3, 1, 1)}, "does not take pictures of 3×8×8"),
        ({"mean": torch.zeros(2)}, "one for each channel"),
        ({"std": -1.0}, "negative"),
        ({"std": float("nan")}, "finite"),
        ({"model": nn.Conv2d(1, 2, 3)}, "scores"),
        ({"model": None}, "network"),
    ],
)
def test_bad_input_is_a_sentence(changes, word):
    given_ = {"model": toy_model(), "images": IMAGES, "labels": LABELS, "epsilon": 0.1, **SCALE}
    with pytest.raises(CourseError, match=word):
        pgd(**(given_ | changes))


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: away_from([]), "list of numbers"),
        (lambda: away_from(3), "list of numbers"),
        (lambda: away_from([-1]), "from 0 up"),
        (lambda: towards(-1), "from 0 up"),
        (lambda: towards(1.5), "from 0 up"),
        (lambda: sign_noise(IMAGES, 2), "8/255"),
        (lambda: attack("cw", toy_model(), IMAGES, LABELS, epsilon=0.1, **SCALE), "'fgsm'"),
        (lambda: attack_accuracies(toy_model(), stripes(6), [0, 3], **SCALE), "8/255"),
        (lambda: attack_accuracies(toy_model(), stripes(6), 0.1, **SCALE), "give a list"),
        (lambda: attack_accuracies(toy_model(), IMAGES, [0.1], **SCALE), "ImageSet"),
        (lambda: attack_accuracies(None, stripes(6), [1], batch_size=0, **SCALE), "batch_size"),
        (lambda: attack_accuracies(toy_model(), stripes(6).subset([]), [0.1], **SCALE), "no pict"),
    ],
)
def test_other_bad_input_is_a_sentence(call, word):
    with pytest.raises(CourseError, match=word):
        call()
