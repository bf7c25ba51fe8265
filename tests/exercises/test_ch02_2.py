"""Alternatives and typical wrong answers of notebook 02_2's exercises."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from course_utils.exercises import ch02_2


def by_running_it(height, width, channels=32):
    blocks = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.MaxPool2d(2),
        nn.Conv2d(16, channels, 3, padding=1),
        nn.MaxPool2d(2),
    )
    return blocks(torch.zeros(1, 1, height, width)).flatten(1).shape[1]


def test_flat_features_other_ways(solved):
    solved("02_2.flat_features", by_running_it, lambda h, w, c: (h // 4) * (w // 4) * c)


def test_flat_features_rejects(rejected):
    rejected(
        "02_2.flat_features",
        (lambda h, w, c: c * h * w // 16, "30 × 30"),
        (lambda h, w, c: c * round(h / 4) * round(w / 4), "a 30 × 30 picture, channels=32"),
        (lambda h, w, c: c * -(-h // 4) * -(-w // 4), "30 → 15 → 7: pooling rounds down"),
        (lambda h, w, c: c * (h // 4) ** 2, "a picture that is not square: for a 28 × 40"),
        (lambda h, w, c: c * (h // 2) * (w // 2), "is 6,272, it should be 1,568"),
        (lambda h, w, c: 32 * (h // 4) * (w // 4), "one channel: for a 32 × 32 picture"),
        (lambda h, w, c: (h // 4) * (w // 4), "28 → 14 → 7, and 7 · 7 · 32"),
        (lambda h, w, c: 1568, "one channel"),
        (lambda h, w, c: (c, h // 4, w // 4), "a tuple"),
    )


def step_with_none(model, optimizer, images, labels):
    model.zero_grad(set_to_none=False)
    loss = nn.CrossEntropyLoss()(model(images), labels)
    loss.backward()
    optimizer.step()
    return loss.detach()


def step_by_hand(model, optimizer, images, labels):
    loss = -F.log_softmax(model(images), dim=1)[torch.arange(len(labels)), labels].mean()
    for parameter in model.parameters():
        parameter.grad = None
    loss.backward()
    optimizer.step()
    return float(loss)


def test_training_step_other_ways(solved):
    solved("02_2.training_step", step_with_none, step_by_hand)


def step(order, loss_of=F.cross_entropy, give=lambda loss: loss.item()):
    """A training step whose parts run in the given order: z(ero), l(oss), b(ackward), s(tep)."""

    def training_step(model, optimizer, images, labels):
        for part in order:
            if part == "z":
                optimizer.zero_grad()
            elif part == "l":
                loss = loss_of(model(images), labels)
            elif part == "b":
                loss.backward()
            else:
                optimizer.step()
        return give(loss)

    return training_step


def uphill(model, optimizer, images, labels):
    loss = F.cross_entropy(model(images), labels)
    optimizer.zero_grad()
    (-loss).backward()
    optimizer.step()
    return loss.item()


def loss_afterwards(model, optimizer, images, labels):
    step("zlbs")(model, optimizer, images, labels)
    return F.cross_entropy(model(images), labels).item()


def first_layer_only(model, optimizer, images, labels):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    for parameter in model[-1].parameters():
        parameter.grad = None
    optimizer.step()
    return loss.item()


def test_training_step_rejects(rejected):
    rejected(
        "02_2.training_step",
        (step("lbs"), "before loss.backward()"),
        (step("lbzs"), "no parameter moved"),
        (step("zlb"), "no parameter moved"),
        (step("zls"), "no parameter moved"),
        (step("lsb"), "no parameter moved"),
        (step("zlbss"), "2 times as far"),
        (step("zlbs", lambda a, b: F.cross_entropy(a, b, reduction="sum")), "moved 12 times"),
        (uphill, "the parameters moved uphill, -1 times"),
        (step("zlbs", lambda a, b: F.cross_entropy(a.softmax(1), b)), "not along the gradient"),
        (first_layer_only, "not along the gradient"),
        (step("zlbs", give=lambda loss: loss), "return loss.item()"),
        (step("zlbs", give=lambda loss: 2 * loss.item()), "is 2.274, it should be 1.137"),
        (loss_afterwards, "before the step"),
        (step("zlbs", give=lambda loss: "done"), "a str ('done')"),
        (lambda model, optimizer, images, labels: model(images), "no parameter moved"),
        (lambda model, optimizer, images, labels: model(labels), "training_step raised"),
    )


def test_training_step_without_return_is_not_solved_yet(line):
    assert line("02_2.training_step", step("zlbs", give=lambda loss: None)).startswith(
        "… not solved yet: training_step moves the parameters"
    )


def counted(logits, labels):
    pairs = zip(logits, labels, strict=True)
    return sum(int(row.argmax()) == int(label) for row, label in pairs) / len(labels)


def by_softmax(logits, labels):
    return (logits.softmax(1).max(dim=1).indices == labels).double().mean()


def test_accuracy_other_ways(solved):
    solved("02_2.accuracy", counted, by_softmax)


def test_accuracy_rejects(rejected):
    rejected(
        "02_2.accuracy",
        (
            lambda logits, labels: 100 * (logits.argmax(1) == labels).float().mean().item(),
            "a share between 0 and 1",
        ),
        (lambda logits, labels: (logits.argmax(1) == labels).sum(), "(7, 3)"),
        (lambda logits, labels: (logits.argmax(1) == labels).sum() // len(labels), "a simple case"),
        (lambda logits, labels: (logits.argmax(1) == labels).any().float(), "is 1.0"),
        (lambda logits, labels: (logits.argmax(1) == labels).all().float(), "is 0.0"),
        (lambda logits, labels: (logits.argmin(1) == labels).float().mean(), "more classes"),
        (lambda logits, labels: (logits.argmax(0) == labels).float().mean(), "raised RuntimeError"),
        (
            lambda logits, labels: (logits.abs().argmax(1) == labels).float().mean(),
            "for logits of the shape (7, 3)",
        ),
        (lambda logits, labels: (logits.argmax(1) == labels).float(), "one number"),
        (lambda logits, labels: 0.7, "a simple case"),
        (lambda logits, labels: F.cross_entropy(logits, labels), "a simple case"),
    )


def test_accuracy_that_fails_in_one_case_only_has_it_named(rejected):
    def except_if(weak):
        return lambda logits, labels: 0.123 if weak(logits) else ch02_2.accuracy(logits, labels)

    rejected(
        "02_2.accuracy",
        (except_if(lambda logits: logits.shape[0] == logits.shape[1]), "as many pictures as"),
        (except_if(lambda logits: bool((logits < 0).all())), "all logits negative"),
        (except_if(lambda logits: bool((logits > 60).any())), "large logits"),
        (except_if(lambda logits: len(logits) == 1), "a single picture"),
    )


def in_one_go(model, batches):
    was = model.training
    with torch.inference_mode():
        model.eval()
        logits = torch.cat([model(images) for images, _ in batches])
    model.train(was)
    return (logits.argmax(1) == torch.cat([labels for _, labels in batches])).double().mean()


def weighted(model, batches):
    model.train(False)
    with torch.set_grad_enabled(False):
        shares = [((model(x).argmax(1) == y).float().mean().item(), len(y)) for x, y in batches]
    return sum(share * size for share, size in shares) / sum(size for _, size in shares)


def test_evaluate_whole_other_ways(solved):
    solved("02_2.evaluate_whole", in_one_go, weighted)


def share(model, images, labels):
    return (model(images).argmax(1) == labels).float().mean().item()


def mean_of_means(model, batches):
    model.eval()
    with torch.no_grad():
        return sum(share(model, x, y) for x, y in batches) / len(batches)


def last_batch(model, batches):
    model.eval()
    with torch.no_grad():
        for images, labels in batches:
            result = share(model, images, labels)
    return result


def sum_of_means(model, batches):
    return mean_of_means(model, batches) * len(batches)


def in_training_mode(model, batches):
    with torch.no_grad():
        return sum(share(model, x, y) for x, y in batches) / len(batches)


def with_gradients(model, batches):
    model.eval()
    right = sum((model(x).argmax(1) == y).sum().item() for x, y in batches)
    return right / sum(len(y) for _, y in batches)


def first_size_for_all(model, batches):
    model.eval()
    with torch.no_grad():
        right = sum((model(x).argmax(1) == y).sum().item() for x, y in batches)
    return right / (len(batches[0][1]) * len(batches))


def trains_as_well(model, batches):
    with torch.no_grad():
        model.linear.weight.add_(1)
    return ch02_2.evaluate_whole(model, batches)


def test_evaluate_whole_rejects(rejected):
    rejected(
        "02_2.evaluate_whole",
        (mean_of_means, "the mean of the batches' accuracies"),
        (last_batch, "that is the accuracy of the last batch alone"),
        (sum_of_means, "that is the sum of the batches' accuracies"),
        (lambda m, b: 100 * ch02_2.evaluate_whole(m, b), "a share between 0 and 1"),
        (in_training_mode, "the model was in training mode"),
        (with_gradients, "gradients were recorded"),
        (first_size_for_all, "is 0.5, it should be 0.6316"),
        (trains_as_well, "the parameters changed"),
        (lambda m, b: 12 / 19, "batches of one size"),
        (lambda m, b: len(b.dataset), "raised AttributeError"),
    )
