"""Right and wrong answers to the exercises of notebook 04_3."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from course_utils.training import distillation_loss


def test_soften(solved, rejected):
    def by_hand(logits, temperature):
        powers = ((logits - logits.max()) / temperature).exp()
        return powers / powers.sum()

    solved("04_3.soften", by_hand)
    rejected(
        "04_3.soften",
        (lambda z, t: z.softmax(0), "at temperature 4"),
        (lambda z, t: z.softmax(0) / t, "divide the logits"),
        (lambda z, t: (z * t).softmax(0), "temperature 4"),
        (lambda z, t: z.exp() / z.exp().sum(), "temperature 4"),
        (lambda z, t: (z / t).exp() / (z / t).exp().sum(), "300"),
    )


def test_distillation_loss(solved, rejected):
    def ours(student, teacher, labels, t, mix):
        return distillation_loss(student, teacher, labels, temperature=t, mix=mix).item()

    def variant(scale=True, mean="batchmean", raw=False, swapped=False):
        def loss(student, teacher, labels, t, mix):
            p, q = (teacher / t).softmax(1), (student / t).log_softmax(1)
            if swapped:
                p, q = (student / t).softmax(1), (teacher / t).log_softmax(1)
            part = F.kl_div(student if raw else q, p, reduction=mean)
            return mix * (t**2 if scale else 1) * part + (1 - mix) * F.cross_entropy(
                student, labels
            )

        return loss

    solved("04_3.distillation_loss", ours, variant())
    rejected(
        "04_3.distillation_loss",
        (variant(scale=False), "T² = 16"),
        (variant(mean="mean"), "batchmean"),
        (variant(raw=True), "mix 1"),
        (variant(swapped=True), "mix 1"),
        (lambda s, t, y, T, m: ours(s, t, y, T, 1 - m), "only the labels count"),
        (lambda s, t, y, T, m: F.cross_entropy(s, y, reduction="none"), "shape (6,)"),
    )


def test_freeze(solved, rejected):
    def freeze(part):
        part.requires_grad_(False).eval()

    def only_gradients(part):
        part.requires_grad_(False)

    def zeroed(part):
        freeze(part)
        for parameter in part.parameters():
            parameter.zero_()

    def only_own_layers(part):
        part.requires_grad_(False)
        for layer in part:
            layer.training = False

    solved("04_3.freeze", freeze)
    rejected(
        "04_3.freeze",
        (only_gradients, "still in train mode"),
        (lambda part: part.eval() and None, "still takes a gradient"),
        (only_own_layers, "still in train mode"),
        (zeroed, "other ones"),
    )


def test_part_rates(solved, rejected):
    solved("04_3.part_rates", lambda n, r, d: tuple(r * d**k for k in range(n))[::-1])
    rejected(
        "04_3.part_rates",
        (lambda n, r, d: [r * d**k for k in range(n)], "part 1"),
        (lambda n, r, d: [r] * n, "decay times that"),
        (lambda n, r, d: [r * d ** (n - k) for k in range(n)], "for 1 parts"),
        (lambda n, r, d: [r], "a list of 3 rates"),
        (lambda n, r, d: r, "a list of 1 rates"),
    )


def test_confusion(solved, rejected):
    def by_index(predictions, labels, classes):
        return torch.bincount(labels * classes + predictions, minlength=classes**2).reshape(
            classes, classes
        )

    solved("04_3.confusion", by_index, lambda *a: by_index(*a).float())
    rejected(
        "04_3.confusion",
        (lambda p, y, n: by_index(y, p, n), "row = true class"),
        (lambda p, y, n: by_index(p, y, n) / len(p), "one mistake"),
        (lambda p, y, n: torch.diag(torch.bincount(y, minlength=n)), "one mistake"),
        (lambda p, y, n: by_index(p, y, 1 + int(max(p.max(), y.max()))), "nobody has"),
    )


def test_nearest(solved, rejected):
    solved(
        "04_3.nearest",
        lambda q, pool: max(range(len(pool)), key=lambda k: F.cosine_similarity(q, pool[k], 0)),
    )
    rejected(
        "04_3.nearest",
        (lambda q, pool: int((pool - q).norm(dim=1).argmin()), "a long vector"),
        (lambda q, pool: int((pool @ q).argmax()), "a long vector"),
        (lambda q, pool: int(F.cosine_similarity(q[None], pool).argmin()), "a long vector"),
        (lambda q, pool: int((pool @ q).abs().argmax()), ""),
    )
