"""Exercises of notebook 05_2: precision and recall, macro F1, AUC, calibration, McNemar's test."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from course_utils.exercises import answers
from course_utils.exercises.answers import Answer, Case, Wrong
from course_utils.exercises.base import exercise


def _draw(seed: int, *shape: int, classes: int = 3) -> Tensor:
    return torch.randint(0, classes, shape, generator=torch.Generator().manual_seed(seed))


def _check_precision_recall(answer: Answer) -> str:
    cases = [
        ([[8, 2], [1, 9]], 0, "two classes"),
        ([[5, 3, 2], [0, 7, 3], [4, 1, 5]], 1, "three classes"),
        ([[5, 3, 2], [0, 7, 3], [4, 1, 5]], 2, "three classes"),
        ([[4, 0], [6, 0]], 0, "everything is called class 0"),
        ([[4, 0], [6, 0]], 1, "a class that is never predicted"),
        ([[90, 10], [1, 1]], 1, "a rare class"),
    ]
    for rows, k, what in cases:
        matrix = torch.tensor(rows)
        where = f"{what}: for the matrix {rows}, class {k}:"
        got = answer(matrix, k, where=where)
        if not isinstance(got, (tuple, list)) or len(got) != 2:
            raise answers.wrong_kind(got, "two numbers, precision and recall", where)
        right, predicted = rows[k][k], sum(row[k] for row in rows)
        precision, recall = right / predicted if predicted else 0.0, right / sum(rows[k])
        pairs = (precision, recall, "precision", "column"), (recall, precision, "recall", "row")
        for value, (want, other, name, line) in zip(got, pairs, strict=True):
            read = answers.number(value, f"{where} the {name}")
            swapped = "this is the other one" if answers.same(read, other) else f"use its {line}"
            answers.compare_number(read, want, f"{where} the {name},", swapped)
    return "Precision goes down a column of the matrix, recall along a row."


@exercise(
    "05_2.precision_recall",
    check=_check_precision_recall,
    hints=(
        "The right answers for class k are one number: matrix[k, k].",
        "Which line of the matrix has all pictures that were called k, a row or a column? Which "
        "has all pictures that are k?",
        "matrix[:, k].sum() pictures were called k, and matrix[k].sum() are k.",
    ),
)
def precision_recall(matrix: torch.Tensor, k: int) -> tuple[float, float]:
    """Compute precision and recall of class k from a confusion matrix.

    matrix: counts, int64 (classes, classes); rows are true classes, columns predicted ones. If k
    was never predicted, the precision is 0. Every class has pictures.
    """
    right = matrix[k, k].item()
    predicted = matrix[:, k].sum().item()
    precision = right / predicted if predicted else 0.0
    return precision, right / matrix[k].sum().item()


def _check_macro_f1(answer: Answer) -> str:
    from sklearn.metrics import f1_score

    cases = [
        Case((torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, 1]), 2), "two classes"),
        Case(
            (torch.tensor([0] * 9 + [1]), torch.zeros(10, dtype=torch.int64), 2),
            "a class that is never predicted",
            "its F1 is 0, and it counts as much as the other",
        ),
        Case(
            (torch.tensor([0] * 8 + [1, 2]), torch.tensor([0] * 8 + [1, 1]), 3),
            "unequal classes",
            "every class counts the same, however many pictures it has",
        ),
    ]
    for seed in range(5):
        labels = torch.cat([torch.arange(3), _draw(seed, 30)])
        cases.append(Case((labels, _draw(seed + 50, 33), 3), f"random answers, number {seed}"))
    for case in cases:
        labels, predictions, count = case.arguments
        want = float(f1_score(labels, predictions, average="macro", zero_division=0))
        where = f"{case.what}: for {len(labels)} pictures of {count} classes"
        got = answers.number(answer(*case.arguments, where=where), where)
        accuracy = (labels == predictions).double().mean().item()
        because = "this is the accuracy" if answers.same(got, accuracy) else case.because
        answers.compare_number(got, want, where, because)
    return "scikit-learn agrees: f1_score(labels, predictions, average='macro')."


@exercise(
    "05_2.macro_f1",
    check=_check_macro_f1,
    hints=(
        "Go through the classes in a loop. Which pictures are k, which were called k, and "
        "which are both?",
        "F1 = 2 · both / (are k + were called k). It is the harmonic mean of precision and recall.",
        "Add up the F1 of all classes and divide by the number of classes.",
    ),
)
def macro_f1(labels: torch.Tensor, predictions: torch.Tensor, classes: int) -> float:
    """Compute the mean of the F1 of all classes.

    labels, predictions: int64 (N,), from 0 to classes − 1. Every class has pictures.
    """
    total = 0.0
    for k in range(classes):
        is_k, called_k = labels == k, predictions == k
        both = (is_k & called_k).sum().item()
        total += 2 * both / (is_k.sum().item() + called_k.sum().item())
    return total / classes


def _check_auc(answer: Answer) -> str:
    from sklearn.metrics import roc_auc_score

    def sample(seed: int, decimals: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        positive = torch.rand(40, generator=generator) < 0.3
        scores = torch.rand(40, generator=generator, dtype=torch.float64) + 0.4 * positive
        return positive, scores.round(decimals=decimals)

    half = "equal scores count half"
    true = torch.tensor
    cases = [
        Case((true([True, True, False]), true([0.9, 0.8, 0.1])), "a perfect order"),
        Case((true([False, True]), true([0.9, 0.1])), "the wrong order", "no pair is right"),
        Case((true([True, False, False]), true([0.5, 0.5, 0.5])), "equal scores", half),
        Case((true([True, False, True, False]), true([3.0, 1.0, -2.0, 1.0])), "any numbers"),
        *(Case(sample(seed, 6), "random scores") for seed in range(3)),
        *(Case(sample(seed, 1), "scores that are often equal", half) for seed in range(3)),
    ]
    for case in cases:
        positive, _ = case.arguments
        where = f"{case.what}: for {int(positive.sum())} of {len(positive)} pictures of the class"
        got = answer(*case.arguments, where=where)
        answers.compare_number(got, float(roc_auc_score(*case.arguments)), where, case.because)
    return "No threshold is needed: the area says how well the scores sort the pictures."


@exercise(
    "05_2.auc",
    check=_check_auc,
    hints=(
        "Make two tensors: the scores of the pictures of the class, and those of the others.",
        "mine[:, None] > others compares every pair: it has a row for each picture of the class.",
        "The mean of (mine[:, None] > others), plus half the mean of (mine[:, None] == others).",
    ),
)
def auc(positive: torch.Tensor, scores: torch.Tensor) -> float:
    """Compute how often a picture of the class has a higher score than a picture of another class.

    positive: True for the pictures of the class, bool (N,). scores: (N,). Compare all pairs; equal
    scores count half. There is at least one picture of each kind.
    """
    mine, others = scores[positive][:, None], scores[~positive]
    higher = (mine > others).double().mean()
    return (higher + (mine == others).double().mean() / 2).item()


def _check_calibration_error(answer: Answer) -> str:
    draw = random.Random(4)
    cases = [
        ([0.95] * 10, [True] * 6 + [False] * 4, 10, "too sure"),
        ([0.55] * 10, [True] * 9 + [False], 10, "not sure enough"),
        ([0.95] * 4 + [0.55] * 12, [True] * 16, 10, "two bins with unequal numbers of pictures"),
        ([0.45] * 4 + [0.95] * 4, [True] * 4 + [False] * 4, 5, "too sure here, too unsure there"),
        ([1.0] * 4, [True] * 3 + [False], 5, "a confidence of exactly 1"),
    ]
    for _ in range(4):
        sure = [round(draw.uniform(0.11, 0.999), 3) for _ in range(60)]
        cases.append((sure, [draw.random() < s for s in sure], draw.choice([4, 15]), "random"))
    for sure, right, bins, what in cases:
        confidence = torch.tensor(sure, dtype=torch.float64)
        mark = torch.tensor(right)
        where = f"{what}: for {len(sure)} pictures and {bins} bins"
        got = answers.number(answer(confidence, mark, bins, where=where), where)
        place = ((confidence * bins).ceil() - 1).clamp(0, bins - 1)
        gaps = [
            (int((place == k).sum()), (mark[place == k].double() - confidence[place == k]).sum())
            for k in range(bins)
        ]
        want = float(sum(abs(gap) for _, gap in gaps) / len(sure))
        plain = abs(float(mark.double().mean() - confidence.mean()))
        full = [abs(float(gap)) / n for n, gap in gaps if n]
        mistakes = [
            (plain, "this is the gap of all pictures together: take the gap of each bin"),
            (sum(full) / len(full), "a bin counts with its share of the pictures"),
        ]
        answers.compare_number(got, want, where, answers.reason(mistakes, got))
    return "This is the expected calibration error: reliability(...).error."


@exercise(
    "05_2.calibration_error",
    check=_check_calibration_error,
    hints=(
        "Go through the bins: the k-th goes from k / bins (not included) to (k + 1) / bins "
        "(included).",
        "In each bin compare two means: right.double() and confidence. An empty bin has none.",
        "Add up |difference| · (pictures in the bin) / (all pictures).",
    ),
)
def calibration_error(confidence: torch.Tensor, right: torch.Tensor, bins: int) -> float:
    """Compute the expected calibration error with equally wide bins from 0 to 1.

    confidence: probability of each answer, in (0, 1], (N,). right: True for right answers, bool
    (N,). Each bin contains its upper end. It is the mean of |accuracy − mean confidence| over the
    bins, weighted with their numbers of pictures.
    """
    error = 0.0
    for k in range(bins):
        inside = (confidence > k / bins) & (confidence <= (k + 1) / bins)
        if inside.any():
            gap = right[inside].double().mean() - confidence[inside].mean()
            error += gap.abs().item() * inside.sum().item() / len(confidence)
    return error


def _check_mcnemar(answer: Answer) -> str:
    from scipy.stats import binomtest

    cases = [
        (10, 0, 50, "10 for A, none for B"),
        (0, 10, 50, "none for A, 10 for B"),
        (12, 5, 40, "12 for A, 5 for B"),
        (7, 7, 40, "as many for each"),
        (0, 0, 20, "both are right on the same pictures"),
        (1, 0, 5, "a single picture"),
        (40, 25, 400, "40 for A, 25 for B"),
    ]
    for only_a, only_b, both, what in cases:
        labels = torch.arange(only_a + only_b + both + 6) % 4
        a, b = labels.clone(), labels.clone()
        b[:only_a] = (b[:only_a] + 1) % 4
        a[only_a : only_a + only_b] = (a[only_a : only_a + only_b] + 1) % 4
        a[-6:], b[-6:] = (labels[-6:] + 1) % 4, (labels[-6:] + 2) % 4  # both are wrong
        differ = only_a + only_b
        want = float(binomtest(only_a, differ).pvalue) if differ else 1.0
        where = f"{what}: for {len(labels)} pictures"
        got = answers.number(answer(labels, a, b, where=where), where)
        if not 0 <= got <= 1 + 1e-9:
            raise Wrong(f"{where} your result is {answers.shown(got)}: a probability is at most 1")
        one_sided = "count both sides: twice the smaller one"
        because = (
            one_sided if answers.same(2 * got, want) else "only the pictures that differ count"
        )
        answers.compare_number(got, want, where, because)
    return "So a p-value is only counting: how often would coins do this?"


@exercise(
    "05_2.mcnemar",
    check=_check_mcnemar,
    hints=(
        "Count the pictures on which only A is right, and those on which only B is. The others say "
        "nothing about the difference.",
        "If both are equally good, each of these n pictures goes to A or B like a coin: k of n "
        "with probability comb(n, k) / 2**n (from math import comb).",
        "Add up the probabilities from 0 to the smaller of the two counts, and double the sum; at "
        "most 1.",
    ),
)
def mcnemar_p(labels: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> float:
    """Compute the two-sided p-value of McNemar's exact test for two classifiers.

    labels, a, b: true classes and both predictions, int64 (N,). If there is no picture on which
    exactly one is right, it is 1.
    """
    from math import comb

    only_a = ((a == labels) & (b != labels)).sum().item()
    only_b = ((a != labels) & (b == labels)).sum().item()
    n, smaller = only_a + only_b, min(only_a, only_b)
    return min(1.0, 2 * sum(comb(n, k) for k in range(smaller + 1)) / 2**n)


DIAGNOSES = (
    "healthy",
    "learning rate too large",
    "learning rate too small",
    "overfitting",
    "validation labels mixed up",
)
_SIGNS = {
    "A": "compare the two accuracies at the end, and the direction of the validation loss",
    "B": "both curves move, but how far do they get in all these epochs?",
    "C": "is the accuracy better than a guess among ten classes, on any pictures?",
    "D": "the training goes well; how good is the validation accuracy, compared with a guess?",
    "E": "both curves rise together, and the gap stays small",
}


def _check_diagnosis(answer: object) -> str:
    if not isinstance(answer, dict):
        raise answers.wrong_kind(answer, "a dict with the keys 'A' to 'E'")
    missing = [name for name in _SIGNS if answer.get(name) in (None, ...)]
    if missing:
        raise answers.Unsolved(f"there is no diagnosis of {', '.join(missing)}")
    for name, want in diagnosis().items():
        got = answer[name]
        if got not in DIAGNOSES:
            known = ", ".join(map(repr, DIAGNOSES))
            raise Wrong(f"{name}: {answers.one_line(repr(got), 60)} is not one of {known}")
        if got != want:
            raise Wrong(f"{name} is not {got!r}: {_SIGNS[name]}")
    return "Look at the curves first: it costs nothing, and it shows most mistakes."


@exercise(
    "05_2.diagnosis",
    check=_check_diagnosis,
    is_value=True,
    hints=(
        "Begin with the training curve: does the network learn its own pictures at all? With ten "
        "classes a guess is right in 10 % of all cases.",
        "Then compare with the validation curve. A gap that grows is one thing; a validation "
        "accuracy of 10 % beside a good training accuracy is another.",
        "Only one training has a loss that does not fall at all, and only one falls very slowly.",
    ),
)
def diagnosis() -> dict[str, str]:
    """Say what happened in each of the five trainings, with these words.

    "healthy", "learning rate too large", "learning rate too small", "overfitting", "validation
    labels mixed up"; each once: {"A": "...", "B": "...", "C": "...", "D": "...", "E": "..."}
    """
    return {
        "A": "overfitting",
        "B": "learning rate too small",
        "C": "learning rate too large",
        "D": "validation labels mixed up",
        "E": "healthy",
    }
