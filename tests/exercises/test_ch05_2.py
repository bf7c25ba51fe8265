"""Right and wrong answers to the exercises of notebook 05_2."""

from __future__ import annotations

import torch
from scipy.stats import binomtest
from sklearn.metrics import f1_score, roc_auc_score

from course_utils.exercises import find
from course_utils.exercises.ch05_2 import DIAGNOSES
from course_utils.metrics import mcnemar


def pair(matrix, k, swap=False):
    right = matrix[k, k] / matrix[:, k].sum().clamp(min=1), matrix[k, k] / matrix[k].sum()
    return right[::-1] if swap else right


def test_precision_recall(solved, rejected):
    solved("05_2.precision_recall", pair, lambda m, k: list(map(float, pair(m, k))))
    rejected(
        "05_2.precision_recall",
        (lambda m, k: pair(m, k, swap=True), "this is the other one"),
        (lambda m, k: pair(m, k)[0], "two numbers"),
        (lambda m, k: (m[k, k] / m.sum(), pair(m, k)[1]), "use its column"),
        (lambda m, k: (m[k, k].item() / m[:, k].sum().item(), 0.5), "recall"),
    )


def test_macro_f1(solved, rejected):
    solved("05_2.macro_f1", lambda y, p, n: f1_score(y, p, average="macro"))
    rejected(
        "05_2.macro_f1",
        (lambda y, p, n: (y == p).double().mean(), "this is the accuracy"),
        (lambda y, p, n: f1_score(y, p, average="weighted"), "a class that is never predicted"),
        (lambda y, p, n: f1_score(y, p, average=None), "one number"),
    )


def test_auc(solved, rejected):
    solved("05_2.auc", lambda y, s: roc_auc_score(y, s))
    rejected(
        "05_2.auc",
        (lambda y, s: (s[y][:, None] > s[~y]).double().mean(), "equal scores count half"),
        (lambda y, s: (s[y][:, None] >= s[~y]).double().mean(), "equal scores count half"),
        (lambda y, s: 1 - roc_auc_score(y, s), "a perfect order"),
    )


def test_calibration_error(solved, rejected):
    def by_bins(confidence, right, bins, weigh=True):
        place = torch.bucketize(confidence, torch.linspace(0, 1, bins + 1).double()) - 1
        gaps = []
        for k in place.unique():
            mine = place == k
            gap = (right[mine].double().mean() - confidence[mine].mean()).abs()
            gaps.append(gap * mine.double().mean() if weigh else gap)
        return sum(gaps) if weigh else sum(gaps) / len(gaps)

    solved("05_2.calibration_error", by_bins)
    rejected(
        "05_2.calibration_error",
        (lambda c, r, n: (r.double().mean() - c.mean()).abs(), "take the gap of each bin"),
        (lambda c, r, n: by_bins(c, r, n, weigh=False), "a bin counts with its share"),
        (lambda c, r, n: c.mean() - r.double().mean(), "not sure enough"),
    )


def test_mcnemar(solved, rejected):
    def one_sided(labels, a, b):
        test = mcnemar(labels, a, b)
        n = test.only_a + test.only_b
        return binomtest(min(test.only_a, test.only_b), n, alternative="less").pvalue

    solved("05_2.mcnemar", lambda y, a, b: mcnemar(y, a, b).p_value)
    rejected(
        "05_2.mcnemar",
        (one_sided, "count both sides"),
        (lambda y, a, b: 2 * one_sided(y, a, b), "at most 1"),
        (lambda y, a, b: binomtest(int((a == y).sum()), len(y)).pvalue, "that differ count"),
    )


def test_diagnosis(solved, rejected, line):
    right = find("05_2.diagnosis").worked()
    assert sorted(right.values()) == sorted(DIAGNOSES)
    solved("05_2.diagnosis", right)
    rejected(
        "05_2.diagnosis",
        (right | {"A": "healthy", "E": "overfitting"}, "A is not 'healthy'"),
        (right | {"B": "bad luck"}, "not one of"),
        (list(right), "a dict"),
    )
    assert "no diagnosis of B" in line("05_2.diagnosis", right | {"B": ...})
