"""Adversarial training: attacked pictures in each step, and a network that withstands more."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from course_utils.core import CourseError
from course_utils.metrics import attack_accuracies
from course_utils.training import AdversarialTraining
from course_utils.training.own_loss import name_of
from tests.toys import same, toy_data, toy_model, weights
from tests.training.toy_fit import DATA, quick

SCALE = {"mean": DATA.mean, "std": DATA.std}
IMAGES, LABELS = DATA.normalise(DATA.train.images[:10]), DATA.train.labels[:10]


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_pictures_stay_within_the_allowed_change(steps, channels):
    data = toy_data(channels=channels)
    images, labels = data.normalise(data.train.images[:10]), data.train.labels[:10]
    model = toy_model(channels, norm=True, dropout=0.5).train()
    before = weights(model)
    loss = AdversarialTraining(0.05, data.mean, data.std, steps=steps)
    attacked = loss.attacked(model, images, labels)
    shift, scale = (v.reshape(-1, 1, 1) for v in (data.mean, data.std))
    pixels, old = attacked * scale + shift, images * scale + shift
    assert (pixels - old).abs().max() <= 0.05 + 1e-5 and pixels.min() >= -1e-5
    assert not attacked.requires_grad and not torch.equal(attacked, images)
    assert model.training and same(before, weights(model))
    assert all(p.grad is None for p in model.parameters())
    model.eval()
    with torch.no_grad():
        assert F.cross_entropy(model(attacked), labels) > F.cross_entropy(model(images), labels)


def test_the_loss_is_a_mixture():
    model = toy_model().eval()
    parts = []
    for share in (0.0, 0.25, 1.0):
        torch.manual_seed(0)
        parts.append(AdversarialTraining(0.1, **SCALE, share=share)(model, IMAGES, LABELS).item())
    plain = F.cross_entropy(model(IMAGES), LABELS).item()
    assert parts[0] == pytest.approx(plain) and parts[2] > plain
    assert parts[1] == pytest.approx(0.75 * plain + 0.25 * parts[2], rel=1e-5)


def test_it_withstands_more_than_a_plain_training():
    lowest = {}
    for name, loss in (("plain", None), ("adversarial", AdversarialTraining(0.12, **SCALE))):
        model = toy_model(norm=True)
        quick(model, epochs=15, learning_rate=0.02, loss=loss)
        table = attack_accuracies(model, DATA.test, [0, 0.12], **SCALE, attacks=["pgd"])
        lowest[name] = table.accuracy.tolist()
    assert lowest["plain"][0] > 0.9 and lowest["adversarial"][1] > lowest["plain"][1] + 0.1


def test_one_seed_trains_the_same_and_settings_are_in_its_name():
    models = [toy_model(), toy_model()]
    for model in models:
        quick(model, epochs=2, loss=AdversarialTraining(0.1, **SCALE))
    assert same(*map(weights, models))
    names = {
        name_of(AdversarialTraining(epsilon, mean, 1.0, steps=steps))
        for epsilon, mean, steps in ((0.1, 0.0, 3), (0.2, 0.0, 3), (0.1, 0.5, 3), (0.1, 0.0, 4))
    }
    assert len(names) == 4
    assert "tensor" not in name_of(AdversarialTraining(0.1, **SCALE))


def test_a_channel_of_one_value_is_divided_by_one():
    assert AdversarialTraining(0.1, torch.zeros(3), torch.tensor([0.5, 0.0, 1.0])).std == (
        0.5, 1.0, 1.0
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"epsilon": 8}, "8/255"),
        ({"epsilon": -0.1}, "8/255"),
        ({"steps": 0}, "from 1 up"),
        ({"share": 1.5}, "from 0 to 1"),
        ({"share": float("nan")}, "from 0 to 1"),
        ({"mean": float("nan")}, "finite"),
        ({"std": [-1.0]}, "data.std"),
    ],
)
def test_bad_settings_are_sentences(changes, word):
    with pytest.raises(CourseError, match=word):
        AdversarialTraining(**({"epsilon": 0.1, **SCALE} | changes))


def test_mean_and_std_of_other_pictures_are_a_sentence():
    loss = AdversarialTraining(0.1, torch.zeros(3), torch.ones(3))
    with pytest.raises(CourseError, match="3 and 3 values, but the pictures 1 channels"):
        quick(toy_model(), epochs=1, loss=loss)


@pytest.mark.parametrize("output", [lambda x: [x], lambda x: x.mean((2, 3))[:, 0]])
def test_a_network_that_does_not_classify_is_a_sentence(output):
    class Other(torch.nn.Conv2d):
        def forward(self, x):
            return output(super().forward(x))

    with pytest.raises(CourseError, match="that classify"):
        AdversarialTraining(0.1, **SCALE)(Other(1, 3, 3), IMAGES, LABELS)
