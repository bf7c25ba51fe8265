"""Exercises of notebook 04_3: distillation, freezing, rates, confusion, neighbours."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.exercises import answers
from course_utils.exercises.answers import Answer, Unsolved, Wrong, shown
from course_utils.exercises.base import exercise
from course_utils.training import distillation_loss as right_loss

LOGITS = torch.tensor([2.0, 1.0, -1.0])


def _check_soften(answer: Answer) -> str:
    for logits in (LOGITS, torch.tensor([0.0, 4.0]), torch.tensor([300.0, 0.0, 299.0])):
        for temperature in (1.0, 4.0, 0.5):
            where = f"for logits {logits.tolist()} at temperature {temperature:g}"
            got = answer(logits, temperature, where=where)
            because = "divide the logits by the temperature before the softmax"
            answers.compare_tensors(got, (logits / temperature).softmax(0), where, because)
    return "The order of the classes never changes; only the distances between them do."


@exercise(
    "04_3.soften",
    check=_check_soften,
    hints=(
        "softmax turns logits into probabilities. Where does the temperature come in?",
        "It divides the logits, before the softmax.",
        "torch.softmax(something, dim=0), where something is smaller for a higher temperature.",
    ),
)
def soften(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Compute the probabilities of one picture at a temperature.

    logits: (classes,), as a network returns them for one picture.
    """
    return torch.softmax(logits / temperature, dim=0)


def _check_distillation_loss(answer: Answer) -> str:
    generator = torch.Generator().manual_seed(4)
    student, teacher = (3 * torch.randn(6, 5, generator=generator) for _ in range(2))
    labels = torch.arange(6) % 5
    cases = (
        (4.0, 0.0, "with mix = 0 only the labels count: F.cross_entropy(student, labels)"),
        (1.0, 1.0, "with mix = 1 only the teacher counts, with reduction='batchmean'"),
        (4.0, 1.0, "at T = 4 the divergence is multiplied by T² = 16"),
        (3.0, 0.7, "0.7 of the teacher's part and 0.3 of the labels'"),
    )
    for temperature, mix, because in cases:
        where = f"for temperature {temperature:g} and mix {mix:g}"
        got = answer(student, teacher, labels, temperature, mix, where=where)
        if isinstance(got, Tensor) and got.numel() != 1:
            raise Wrong(f"{where} the loss has the shape {tuple(got.shape)}, it should be a number")
        want = right_loss(student, teacher, labels, temperature=temperature, mix=mix).item()
        number = answers.number(got.item() if isinstance(got, Tensor) else got, where)
        if abs(number - want) > 1e-3 * max(1, abs(want)):
            raise Wrong(
                f"{where} the loss is {shown(round(number, 4))}, it should be "
                f"{shown(round(want, 4))} ({because})"
            )
    return "It is never negative, and the teacher's part is 0 only if both agree on each class."


@exercise(
    "04_3.distillation_loss",
    check=_check_distillation_loss,
    hints=(
        "Two parts: how far the student is from the teacher, and the cross-entropy of the labels.",
        "F.kl_div wants log-probabilities first (log_softmax) and probabilities second (softmax), "
        "both at the temperature. reduction='batchmean' is the mean over the pictures.",
        "mix times T² times the divergence, plus (1 − mix) times F.cross_entropy(student, labels).",
    ),
)
def distillation_loss(student, teacher, labels, temperature, mix) -> torch.Tensor:
    """Compute the loss of distillation: mix · T² · KL + (1 − mix) · cross-entropy.

    student, teacher: logits (N, classes); labels: (N,); temperature: T.
    """
    import torch.nn.functional as F

    ours = F.log_softmax(student / temperature, dim=1)
    theirs = F.softmax(teacher / temperature, dim=1)
    divergence = F.kl_div(ours, theirs, reduction="batchmean")
    return mix * temperature**2 * divergence + (1 - mix) * F.cross_entropy(student, labels)


def _check_freeze(answer: Answer) -> str:
    where = "after freeze(part)"
    part = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(4))
    )
    part.train()
    before = {name: value.clone() for name, value in part.state_dict().items()}
    answer.run(part, where=where, copy=False)
    trained = [name for name, p in part.named_parameters() if p.requires_grad]
    if part.training and len(trained) == len(list(part.parameters())):
        raise Unsolved("freeze changes nothing so far")
    if trained:
        raise Wrong(f"{where} {trained[0]} still takes a gradient")
    if moving := [name for name, m in part.named_modules() if m.training]:
        raise Wrong(
            f"{where} {moving[0] or 'the part itself'} is still in train mode, so BatchNorm moves "
            "its statistics and dropout draws"
        )
    with torch.no_grad():
        part(torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0)))
    if any(not torch.equal(value, before[name]) for name, value in part.state_dict().items()):
        raise Wrong(f"{where} the numbers of the part are other ones: only freeze it")
    return "Call it again after each model.train(), which puts all layers back into train mode."


@exercise(
    "04_3.freeze",
    check=_check_freeze,
    hints=(
        "Two different things move in a layer: its parameters, and the statistics of BatchNorm.",
        "parameter.requires_grad_(False) for each of part.parameters(); the statistics move in "
        "train mode only.",
        "The second one is part.eval().",
    ),
)
def freeze(part: nn.Module) -> None:
    """Freeze a part of a network, in place: no gradient, and no moving statistics."""
    for parameter in part.parameters():
        parameter.requires_grad_(False)
    part.eval()


def _check_part_rates(answer: Answer) -> str:
    for count, rate, decay in ((1, 0.001, 0.4), (3, 0.001, 0.4), (4, 0.1, 1.0), (6, 0.02, 0.5)):
        where = f"for {count} parts, rate {rate:g}, decay {decay:g}"
        want = [rate * decay**k for k in reversed(range(count))]
        got = answer(count, rate, decay, where=where)
        if not isinstance(got, (list, tuple)) or len(got) != count:
            raise answers.wrong_kind(got, f"a list of {count} rates", where)
        for place, (one, wanted) in enumerate(zip(got, want, strict=True), 1):
            because = "the last part has the full rate, each one before it decay times that"
            answers.compare_number(one, wanted, f"{where}, part {place},", because)
    return "Early parts know general things, such as edges: small steps keep that knowledge."


@exercise(
    "04_3.part_rates",
    check=_check_part_rates,
    hints=(
        "The last part has the rate itself. The one before it has rate · decay.",
        "The part k places before the last one has rate · decay ** k.",
        "For the first of `count` parts k is count − 1; the list begins with that one.",
    ),
)
def part_rates(count: int, rate: float, decay: float) -> list[float]:
    """Compute the learning rate of each part of a network, from the first part to the last."""
    return [rate * decay ** (count - 1 - place) for place in range(count)]


def _check_confusion(answer: Answer) -> str:
    cases = (
        ([0, 1, 2, 2], [0, 1, 2, 1], 3, "one mistake", "row = true class, column = answer"),
        ([1, 1, 1], [0, 0, 1], 2, "one answer for all", "each picture counts once"),
        ([0], [3], 5, "classes that nobody has", "their rows are 0"),
    )
    for guesses, labels, count, name, because in cases:
        where = f"{name}: for answers {guesses} and labels {labels}"
        want = torch.zeros(count, count)
        for guess, label in zip(guesses, labels, strict=True):
            want[label, guess] += 1
        got = answer(torch.tensor(guesses), torch.tensor(labels), count, where=where)
        answers.compare_tensors(got, want, where, because)
    return "The diagonal has the right answers; a large number beside it is a typical mistake."


@exercise(
    "04_3.confusion",
    check=_check_confusion,
    hints=(
        "Begin with torch.zeros(classes, classes), and go through all pictures.",
        "A picture of class 2 that was answered with 1 adds one to row 2, column 1.",
        "for guess, label in zip(predictions, labels): table[label, guess] += 1",
    ),
)
def confusion(predictions: torch.Tensor, labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Count how often each class (row) was answered with each class (column).

    predictions, labels: class numbers (N,). The result has the shape (classes, classes).
    """
    table = torch.zeros(classes, classes)
    for guess, label in zip(predictions, labels, strict=True):
        table[label, guess] += 1
    return table


def _check_nearest(answer: Answer) -> str:
    pool = torch.tensor([[1.0, 0.0], [0.0, 5.0], [3.0, 3.0], [-2.0, 0.1]])
    cases = (
        ([9.0, 0.5], "a long vector", "the length does not count, only the direction"),
        ([0.1, 0.9], "a short vector", "the length does not count, only the direction"),
        ([1.0, 1.1], "between two", "cosine of the angle, not distance"),
        ([-1.0, 0.0], "the other way", "a cosine of −1 is far away"),
    )
    for query, name, because in cases:
        where = f"{name}: for {query}"
        want = int(F.cosine_similarity(torch.tensor([query]), pool).argmax())
        answers.compare_number(answer(torch.tensor(query), pool, where=where), want, where, because)
    return "Two pictures with features in the same direction look alike to the network."


@exercise(
    "04_3.nearest",
    check=_check_nearest,
    hints=(
        "Divide each vector by its length; then the product of two vectors is their cosine.",
        "F.normalize(pool, dim=1) does it for all rows, F.normalize(query, dim=0) for the query.",
        "The rows' products are pool @ query; argmax() is the row of the largest.",
    ),
)
def nearest(query: torch.Tensor, pool: torch.Tensor) -> int:
    """Find the row of pool whose direction is nearest to that of query: the largest cosine.

    query: (features,); pool: (N, features).
    """
    import torch.nn.functional as F

    return int((F.normalize(pool, dim=1) @ F.normalize(query, dim=0)).argmax())
