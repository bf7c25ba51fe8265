"""Right and wrong answers to the exercises of notebook 02_2 (build_cnn: test_network_checks)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from course_utils.exercises import ch02_2


def test_flat_features(solved, rejected):
    def by_running_it(height, width, channels=32):
        convs = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, channels, 3, padding=1)
        blocks = nn.Sequential(convs[0], nn.MaxPool2d(2), convs[1], nn.MaxPool2d(2))
        return blocks(torch.zeros(1, 1, height, width)).flatten(1).shape[1]

    solved("02_2.flat_features", by_running_it, lambda h, w, c: (h // 4) * (w // 4) * c)
    rejected(
        "02_2.flat_features",
        (lambda h, w, c: c * h * w // 16, "a 30 × 30 image, channels=32"),
        (lambda h, w, c: c * -(-h // 4) * -(-w // 4), "30 → 15 → 7: pooling rounds down"),
        (lambda h, w, c: c * (h // 4) ** 2, "an image that is not square: for a 28 × 40"),
        (lambda h, w, c: c * (h // 2) * (w // 2), "is 6,272, it should be 1,568"),
        (lambda h, w, c: 32 * (h // 4) * (w // 4), "one channel: for a 32 × 32 image"),
        (lambda h, w, c: (h // 4) * (w // 4), "28 → 14 → 7, and 7 · 7 · 32"),
        (lambda h, w, c: (c, h // 4, w // 4), "a tuple"),
    )


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


def test_training_step(solved, rejected, line):
    def by_hand(model, optimizer, images, labels):
        loss = -F.log_softmax(model(images), dim=1)[torch.arange(len(labels)), labels].mean()
        model.zero_grad(set_to_none=False)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def loss_afterwards(model, optimizer, images, labels):
        step("zlbs")(model, optimizer, images, labels)
        return F.cross_entropy(model(images), labels).item()

    def last_layer_frozen(model, optimizer, images, labels):
        loss = step("zlb")(model, optimizer, images, labels)
        model[-1].zero_grad()
        optimizer.step()
        return loss

    def in_eval_mode(model, optimizer, images, labels):
        return step("zlbs")(model.eval(), optimizer, images, labels)

    solved("02_2.training_step", by_hand, step("zlbs", give=float))
    rejected(
        "02_2.training_step",
        (step("lbs"), "before loss.backward()"),
        (step("lbzs"), "no parameter moved"),
        (step("zlbss"), "2 times as far"),
        (step("zlbs", lambda a, b: F.cross_entropy(a, b, reduction="sum")), "moved 12 times"),
        (step("zlbs", lambda a, b: -F.cross_entropy(a, b)), "the parameters moved uphill, -1 time"),
        (step("zlbs", lambda a, b: F.cross_entropy(a.softmax(1), b)), "not along the gradient"),
        (last_layer_frozen, "not along the gradient"),
        (in_eval_mode, "is in eval mode afterwards"),
        (step("zlbs", give=lambda loss: loss), "return loss.item()"),
        (step("zlbs", give=lambda loss: 2 * loss.item()), "is 2.274, it should be 1.137"),
        (loss_afterwards, "before the step"),
        (step("zlbs", give=lambda loss: "done"), "a str ('done')"),
        (lambda model, optimizer, images, labels: model(labels), "training_step raised"),
    )
    said = line("02_2.training_step", step("zlbs", give=lambda loss: None))
    assert said.startswith("… not solved yet: training_step moves the parameters")


def share(logits, labels):
    return (logits.argmax(1) == labels).float().mean().item()


def test_accuracy(solved, rejected):
    def counted(logits, labels):
        pairs = zip(logits, labels, strict=True)
        return sum(int(row.argmax()) == int(label) for row, label in pairs) / len(labels)

    def except_if(weak):
        return lambda x, y: 0.123 if weak(x) else share(x, y)

    solved(
        "02_2.accuracy", counted, lambda x, y: (x.softmax(1).max(1).indices == y).double().mean()
    )
    rejected(
        "02_2.accuracy",
        (lambda x, y: 100 * share(x, y), "a fraction between 0 and 1"),
        (lambda x, y: (x.argmax(1) == y).sum(), "(7, 3)"),
        (lambda x, y: (x.argmax(1) == y).sum() // len(y), "a simple case"),
        (lambda x, y: (x.argmax(1) == y).any().float(), "is 1.0"),
        (lambda x, y: (x.argmin(1) == y).float().mean(), "more classes"),
        (lambda x, y: (x.argmax(0) == y).float().mean(), "raised RuntimeError"),
        (lambda x, y: (x.abs().argmax(1) == y).float().mean(), "for logits of the shape (7, 3)"),
        (lambda x, y: (x.argmax(1) == y).float(), "one number"),
        (except_if(lambda x: x.shape[0] == x.shape[1]), "as many images as"),
        (except_if(lambda x: bool((x < 0).all())), "all logits negative"),
        (except_if(lambda x: bool((x > 60).any())), "large logits"),
        (except_if(lambda x: len(x) == 1), "a single image"),
    )


@torch.no_grad()
def shares(model, batches):
    return [share(model.eval()(x), y) for x, y in batches]


def test_evaluate_whole(solved, rejected):
    def in_one_go(model, batches):
        was = model.training
        with torch.inference_mode():
            logits = torch.cat([model.eval()(images) for images, _ in batches])
        model.train(was)
        return share(logits, torch.cat([labels for _, labels in batches]))

    def weighted(model, batches):
        sizes = [len(labels) for _, labels in batches]
        parts = zip(shares(model, batches), sizes, strict=True)
        return sum(part * size for part, size in parts) / sum(sizes)

    @torch.no_grad()
    def in_training_mode(model, batches):
        return sum(share(model(x), y) for x, y in batches) / len(batches)

    def with_gradients(model, batches):
        right = sum((model.eval()(x).argmax(1) == y).sum().item() for x, y in batches)
        return right / sum(len(y) for _, y in batches)

    def first_size_for_all(model, batches):
        whole = ch02_2.evaluate_whole(model, batches) * sum(len(y) for _, y in batches)
        return whole / (len(batches[0][1]) * len(batches))

    @torch.no_grad()
    def trains_as_well(model, batches):
        model.linear.weight.add_(1)
        return ch02_2.evaluate_whole(model, batches)

    solved("02_2.evaluate_whole", in_one_go, weighted)
    rejected(
        "02_2.evaluate_whole",
        (lambda m, b: sum(shares(m, b)) / len(b), "the mean of the batches' accuracies"),
        (lambda m, b: shares(m, b)[-1], "that is the accuracy of the last batch alone"),
        (lambda m, b: sum(shares(m, b)), "that is the sum of the batches' accuracies"),
        (lambda m, b: 100 * ch02_2.evaluate_whole(m, b), "a fraction between 0 and 1"),
        (in_training_mode, "the model was in train mode"),
        (with_gradients, "gradients were recorded"),
        (first_size_for_all, "is 0.5, it should be 0.6316"),
        (trains_as_well, "the parameters changed"),
        (lambda m, b: 12 / 19, "batches of one size"),
        (lambda m, b: len(b.dataset), "raised AttributeError"),
    )
