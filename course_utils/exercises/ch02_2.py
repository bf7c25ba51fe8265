"""Exercises of notebook 02_2: the first network, its training step, and its accuracy."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.exercises import answers, network_checks
from course_utils.exercises.answers import Answer, Case, Unsolved, Wrong, shown
from course_utils.exercises.base import exercise


def _flat(height: int, width: int, channels: int) -> int:
    blocks = nn.Sequential(
        *(nn.Conv2d(1, 1, 3, padding=1, device="meta"), nn.MaxPool2d(2)),
        *(nn.Conv2d(1, channels, 3, padding=1, device="meta"), nn.MaxPool2d(2)),
    )
    return blocks(torch.zeros(1, 1, height, width, device="meta")).numel()


def _check_flat_features(answer: Answer) -> str:
    cases = [
        Case((28, 28, 32), "the size of Fashion-MNIST", "28 → 14 → 7, and 7 · 7 · 32"),
        Case((32, 32, 1), "one channel", "32 → 16 → 8, and 8 · 8"),
        Case((28, 40, 32), "an image that is not square", "28 → 14 → 7 and 40 → 20 → 10"),
        Case((30, 30, 32), "odd after the first pooling", "30 → 15 → 7: pooling rounds down"),
        Case((31, 31, 32), "an odd size", "31 → 15 → 7: pooling rounds down, twice"),
        Case((27, 34, 8), "odd in one direction", "27 → 13 → 6 and 34 → 17 → 8"),
    ]
    draw = random.Random(21)
    cases += [
        Case((draw.randint(4, 99), draw.randint(4, 99), draw.randint(1, 64))) for _ in range(20)
    ]
    answers.compare_numbers(answer, cases, _flat, "a {} × {} image, channels={}")
    return "With this number, nn.Linear fits images of any size."


@exercise(
    "02_2.flat_features",
    check=_check_flat_features,
    hints=(
        "A 3 × 3 convolution with padding 1 keeps the size, so only the poolings change it. How "
        "many whole 2 × 2 blocks fit beside each other into 7 pixels?",
        "Three, and the last pixel is left out. In Python, // divides and rounds down.",
        "Work out the height behind both poolings, then the width. How many numbers are in one "
        "map of this size, and how many maps are there?",
    ),
)
def flat_features(height: int, width: int, channels: int = 32) -> int:
    """Compute how many numbers of each image reach the linear layer.

    The image goes through two blocks of convolution (3 × 3, padding 1), ReLU and nn.MaxPool2d(2);
    the second block has `channels` output channels. Any height and width, also odd ones.
    """
    # The convolutions keep the size. Each pooling takes whole blocks only, so it rounds down.
    rows, columns = height // 2 // 2, width // 2 // 2
    return channels * rows * columns  # the image's channels do not matter: `channels` maps are left


def _check_build_cnn(answer: Answer) -> str:
    model = network_checks.built(answer)
    images = torch.randn(40, 1, 28, 28, generator=torch.Generator().manual_seed(22))
    logits = network_checks.run(model, images)
    network_checks.run(model, images[:1])
    network_checks.check_parameter_count(model)
    if not bool((logits < 0).any()):
        total = logits.sum(dim=1)
        if torch.allclose(total, torch.ones_like(total), atol=1e-4):
            raise Wrong(
                "the sum of each output row is 1: leave out the softmax, cross_entropy includes it"
            )
        raise Wrong("no output is negative: leave out what follows the linear layer (logits)")
    if torch.allclose(logits.logsumexp(dim=1), torch.zeros(len(logits)), atol=1e-4):
        raise Wrong("the output went through log_softmax: leave it out, cross_entropy includes it")
    network_checks.check_blocks(model, images)
    network_checks.check_gradients(model, images)
    return "20,490 parameters, of which 15,690 are in the last layer."


@exercise(
    "02_2.build_cnn",
    check=_check_build_cnn,
    hints=(
        "nn.Sequential takes the layers in order. Each block is convolution, ReLU, pooling.",
        "The second convolution reads what the first one returns: which in_channels does it have?",
        "A linear layer takes one row of numbers for each image. Which layer makes this row, and "
        "how long is it for 28 × 28 pixels? (flat_features knows.)",
    ),
)
def build_cnn() -> nn.Module:
    """Build the first network: images (N, 1, 28, 28) in, logits (N, 10) out.

    Two blocks of convolution (3 × 3, padding 1), ReLU and nn.MaxPool2d(2), with 1 → 16 → 32
    channels; then one linear layer for the 10 classes. No softmax: the loss takes the logits.
    """
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),  # padding 1: a 3 × 3 kernel keeps 28 × 28
        nn.ReLU(),  # without it, the two convolutions could be replaced by one
        nn.MaxPool2d(2),  # 14 × 14
        nn.Conv2d(16, 32, 3, padding=1),  # it reads all 16 maps of the first block
        nn.ReLU(),
        nn.MaxPool2d(2),  # 7 × 7
        nn.Flatten(),  # (N, 32, 7, 7) → (N, 1568)
        nn.Linear(32 * 7 * 7, 10),  # logits: a ReLU or softmax behind it would change them
    )


def _vector(tensors: Iterable[Tensor]) -> Tensor:
    """Return a copy of all numbers of the tensors as one vector."""
    return torch.cat([each.detach().flatten() for each in tensors]).clone()


def _check_movement(
    moved: Tensor, gradient: Tensor, old_gradient: Tensor, rate: float, where: str
) -> None:
    """Compare how far the parameters moved in one step with one SGD step; all as one vector."""
    if not bool(moved.any()):
        raise Wrong(
            f"{where} no parameter moved: is the order zero_grad(), loss.backward(), "
            "optimizer.step()?"
        )
    if not bool(torch.isfinite(moved).all()):
        raise Wrong(f"{where} a parameter became nan or infinite")
    if torch.allclose(moved, -rate * gradient, rtol=1e-3, atol=1e-6):
        return
    if bool(old_gradient.any()) and torch.allclose(
        moved, -rate * (gradient + old_gradient), rtol=1e-3, atol=1e-5
    ):
        raise Wrong(
            f"{where} the gradients were added to those of an earlier step: "
            "call optimizer.zero_grad() before loss.backward()"
        )
    ratio = (moved @ gradient / (gradient @ gradient)).item() / -rate
    uphill = "uphill, " if ratio < 0 else ""
    if torch.allclose(moved, -rate * ratio * gradient, rtol=1e-2, atol=1e-5):
        raise Wrong(
            f"{where} the parameters moved {uphill}{shown(ratio)} times as far as one SGD step on "
            "the mean cross-entropy would move them"
        )
    got, want = moved.abs().max().item(), (rate * gradient).abs().max().item()
    raise Wrong(
        f"{where} the parameters moved by up to {shown(got)}, not along the gradient of the mean "
        f"cross-entropy of the logits (that is up to {shown(want)})"
    )


def _check_returned_loss(returned: Any, want: float, where: str) -> None:
    """Check that the step returned the loss before the step, as a plain number."""
    if answers.is_missing(returned):
        raise Unsolved("training_step moves the parameters correctly, but returns no loss so far")
    if isinstance(returned, Tensor) and returned.requires_grad:
        raise Wrong(
            f"{where} the loss is returned as a tensor that keeps its computation graph in memory: "
            "return loss.item()"
        )
    answers.compare_number(returned, want, where, "the mean loss over the batch, before the step")


def _check_training_step(answer: Answer) -> str:
    generator = torch.Generator().manual_seed(23)
    for rate, with_old_gradient, what in [
        (0.1, False, "the first step"),
        (0.5, True, "a step with gradients of an earlier step"),
    ]:
        model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 3))
        images = torch.randn(12, 1, 4, 4, generator=generator)
        labels = torch.randint(0, 3, (12,), generator=generator)
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        before = _vector(model.parameters())
        loss = nn.functional.cross_entropy(model(images), labels)
        gradient = _vector(torch.autograd.grad(loss, list(model.parameters())))
        old_gradient = torch.zeros_like(gradient)
        if with_old_gradient:
            for parameter in model.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            old_gradient = _vector(parameter.grad for parameter in model.parameters())
        where = f"{what} (SGD, learning rate {rate}):"
        returned = answer.run(model, optimizer, images, labels, where=where)
        moved = _vector(model.parameters()) - before
        if not model.training:
            raise Wrong(f"{where} the network was in train mode, and is in eval mode afterwards")
        if answers.is_missing(returned) and not bool(moved.any()):
            raise Unsolved("training_step moves no parameter and returns nothing so far")
        _check_movement(moved, gradient, old_gradient, rate, where)
        _check_returned_loss(returned, loss.item(), where)
    return "The gradients of one step do not reach the next."


@exercise(
    "02_2.training_step",
    check=_check_training_step,
    hints=(
        "It is the loop of the cell before, run once, with another loss. What does the network "
        "return for `images`, and what compares it with `labels`?",
        "nn.functional.cross_entropy takes logits and labels and returns the mean. Which call "
        "forgets the old gradients, which computes the new ones, which changes the parameters?",
        "The gradients must be forgotten before the new ones are computed, and the parameters "
        "change last. In the end, return a number and not a tensor.",
    ),
)
def training_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: torch.Tensor,
    labels: torch.Tensor,
) -> float:
    """Train one step on one batch; return the loss (cross-entropy, mean) before the step.

    images: (N, C, H, W); labels: (N,), integers. Gradients of earlier steps must not count.
    """
    optimizer.zero_grad()  # backward() adds to the gradients that it finds
    loss = nn.functional.cross_entropy(model(images), labels)  # of the logits: no softmax before it
    loss.backward()
    optimizer.step()  # only now: it uses the gradients that backward() has computed
    return loss.item()  # a plain number, which keeps no computation graph


def _share(logits: Tensor, labels: Tensor) -> float:
    return (logits.argmax(dim=1) == labels).double().mean().item()


def _check_accuracy(answer: Answer) -> str:
    generator = torch.Generator().manual_seed(24)

    def batch(images: int, classes: int, right: float) -> tuple[Tensor, Tensor]:
        logits = torch.randn(images, classes, generator=generator)
        labels = logits.argmax(dim=1)
        wrong = torch.rand(images, generator=generator) >= right
        return logits, torch.where(wrong, (labels + 1) % classes, labels)

    cases = [
        Case(batch(7, 3, 0.6), "a simple case", "a fraction between 0 and 1, not a count"),
        Case(batch(40, 10, 0.7), "more classes"),
        Case(batch(10, 10, 0.5), "as many images as classes", "the classes run along dim 1"),
        Case(batch(9, 4, 1.1), "all right"),
        Case(batch(9, 4, 0.0), "all wrong"),
        Case(batch(1, 5, 1.1), "a single image"),
    ]
    for factor, shift, what in [(1, -100, "all logits negative"), (50, 0, "large logits")]:
        logits, labels = batch(30, 5, 0.5)
        cases.append(Case((factor * logits + shift, labels), what, "only their order counts"))
    answers.compare_numbers(
        answer, cases, _share, "logits of the shape ({0.shape[0]}, {0.shape[1]})"
    )
    return "This needs no softmax, because softmax keeps the order of the logits."


@exercise(
    "02_2.accuracy",
    check=_check_accuracy,
    hints=(
        "The network's choice is the class with the largest logit. Along which dimension are the "
        "classes?",
        "argmax(dim=...) returns the place of the largest number. The result should have the "
        "shape (N,), like the labels.",
        "Comparing two tensors with == returns True and False. As numbers (.float()) they are 1 "
        "and 0. What is the fraction of ones?",
    ),
)
def accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Compute the fraction of images whose largest logit is that of the right class, from 0 to 1.

    logits: (N, classes); labels: (N,), integers.
    """
    choice = logits.argmax(dim=1)  # dimension 0 is the images, dimension 1 the classes
    # The mean of ones (right) and zeros (wrong) is the fraction of ones.
    return (choice == labels).float().mean().item()


class _Watched(nn.Module):
    """A classifier that records its mode when called; in train mode its logits are reversed."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)
        self.called_in_training = False
        self.called_with_grad = False

    def forward(self, images: Tensor) -> Tensor:
        self.called_in_training |= self.training
        self.called_with_grad |= torch.is_grad_enabled()
        logits = self.linear(images.flatten(1))
        return logits.flip(1) if self.training else logits


def _check_evaluate_whole(answer: Answer) -> str:
    generator = torch.Generator().manual_seed(25)
    # For each batch: number of images, and how many of them the network classifies correctly.
    for plan, what in [
        (((8, 5), (8, 7), (3, 0)), "a last batch that is smaller"),
        (((10, 4), (10, 9)), "batches of one size"),
        (((6, 3),), "a single batch"),
        (((16, 16), (16, 15), (16, 16), (1, 0)), "a last batch of one image"),
    ]:
        model = _Watched().train()
        batches = [_batch(model, size, right, generator) for size, right in plan]
        before = _vector(model.parameters())
        sizes = [size for size, _ in plan]
        where = f"{what}: for batches of {sizes} images"
        model.called_in_training = model.called_with_grad = False
        got = answers.number(answer(model, batches, where=where), where)
        if not torch.equal(before, _vector(model.parameters())):
            raise Wrong(f"{where} the parameters changed: evaluation must not train")
        if model.called_in_training:
            raise Wrong(
                f"{where} the model was in train mode (dropout and BatchNorm would change "
                "the result): call model.eval() first"
            )
        want = sum(right for _, right in plan) / sum(sizes)
        shares = [right / size for size, right in plan]
        mistakes = [
            (sum(shares) / len(shares), "that is the mean of the batches' accuracies"),
            (shares[-1], "that is the accuracy of the last batch alone"),
            (sum(shares), "that is the sum of the batches' accuracies"),
            (100 * want, "a fraction between 0 and 1"),
        ]
        answers.compare_number(float(got), want, where, answers.reason(mistakes, float(got)))
        if model.called_with_grad:
            raise Wrong(
                f"{where} the accuracy is right, but gradients were recorded: put the loop into "
                "`with torch.no_grad():`"
            )
    return "Count the right answers over all batches, and divide once at the end."


def _batch(
    model: _Watched, size: int, right: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return a batch of `size` images; in eval mode the model is right for `right` of them."""
    images = torch.randn(size, 1, 2, 3, generator=generator)
    labels = model.eval()(images).argmax(dim=1)
    model.train()
    labels[right:] = (labels[right:] + 1) % 4
    return images, labels


@exercise(
    "02_2.evaluate_whole",
    check=_check_evaluate_whole,
    hints=(
        "If the last batch has 3 images and the others 64, should it count as much as they do?",
        "Count right answers and images over all batches, and divide once at the end. Which mode "
        "must the model be in?",
        "`with torch.no_grad():` around the loop records no gradients. In `accuracy` you took a "
        "mean; here you need the sum of the right answers of a batch.",
    ),
)
def evaluate_whole(model: nn.Module, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """Compute the accuracy of the model over all batches together, between 0 and 1.

    batches: pairs of images (N, C, H, W) and labels (N,); the last batch may be smaller. Put the
    model into eval mode, and record no gradients.
    """
    model.eval()  # dropout and BatchNorm would change the result in train mode
    right, total = 0, 0
    with torch.no_grad():  # nobody calls backward(), so no graph is needed
        for images, labels in batches:
            right += (model(images).argmax(dim=1) == labels).sum().item()
            total += len(labels)
    return right / total  # divided once: each image counts the same, in whichever batch it is
