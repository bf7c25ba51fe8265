from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.core import CourseError
from course_utils.training import (
    Distillation,
    FeatureDistillation,
    distillation_loss,
    fit,
    soften,
)
from tests.toys import same, toy_data, toy_model, weights
from tests.training.toy_fit import DATA, quick

STUDENT = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]])
TEACHER = torch.tensor([[1.0, 0.0, 4.0], [2.0, 2.0, -1.0]])
LABELS = torch.tensor([2, 0])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("mix", [0.0, 0.3, 1.0])
def test_the_loss_is_that_of_the_paper(temperature, mix):
    p, q = ((x / temperature).softmax(1).double() for x in (TEACHER, STUDENT))
    divergence = (p * (p / q).log()).sum(1).mean()
    wanted = mix * temperature**2 * divergence + (1 - mix) * F.cross_entropy(STUDENT, LABELS)
    found = distillation_loss(STUDENT, TEACHER, LABELS, temperature=temperature, mix=mix)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_it_is_zero_for_the_teacher_itself_and_the_gradient_leads_there():
    assert distillation_loss(TEACHER, TEACHER, mix=1).item() == pytest.approx(0, abs=1e-6)
    student, teacher = STUDENT.clone().requires_grad_(), TEACHER.clone().requires_grad_()
    distillation_loss(student, teacher, mix=1, temperature=2).backward()
    assert teacher.grad is None
    # (softmax of the student − softmax of the teacher) at T, times T, over the pictures
    wanted = 2 * (soften(STUDENT, 2) - soften(TEACHER, 2)) / 2
    assert torch.allclose(student.grad, wanted, atol=1e-6)


def test_a_teacher_that_excludes_classes_leads_to_no_nan():
    teacher = torch.tensor([[0.0, -math.inf, 200.0]])
    loss = distillation_loss(STUDENT[:1], teacher, mix=1, temperature=1)
    assert math.isfinite(loss.item()) and loss > 0


def test_temperature_softens_and_keeps_the_order():
    one, hot, cold = (soften(TEACHER[0], t) for t in (1, 10, 0.1))
    assert torch.allclose(one, TEACHER[0].softmax(0)) and cold[2] > 0.999
    assert one.argsort().tolist() == hot.argsort().tolist() and hot.max() < 0.5 < one.max()


def test_a_student_learns_from_the_teacher_alone_without_its_labels():
    teacher = toy_model(norm=True)
    quick(teacher, epochs=12, learning_rate=0.02)
    teacher.train()
    before = weights(teacher)
    student = toy_model(seed=1)
    # Wrong labels: with mix=1 nobody looks at them.
    data = type(DATA)(
        "toy", "Toy", *(_shifted(p) for p in (DATA.train, DATA.validation)), DATA.test
    )
    quick(student, data=data, epochs=12, learning_rate=0.02, loss=Distillation(teacher, mix=1))
    pictures = DATA.normalise(DATA.test.images)
    with torch.no_grad():
        answers, taught = student(pictures).argmax(1), teacher.eval()(pictures).argmax(1)
    assert (answers == taught).float().mean() > 0.85
    assert same(before, weights(teacher))


def _shifted(part):
    return type(part)(part.images, (part.labels + 1) % 3, part.classes)


def test_the_teacher_keeps_its_mode_and_may_see_another_view():
    teacher, seen = toy_model(dropout=0.5), []
    teacher.train()

    def view(images):
        seen.append(images.shape)
        return images.flip(3)

    loss = Distillation(teacher, view=view)
    images = DATA.normalise(DATA.train.images[:4])
    one, other = (loss(toy_model(), images, DATA.train.labels[:4]) for _ in range(2))
    assert teacher.training and one == other and seen == [(4, 1, 8, 8)] * 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"teacher": TEACHER[:, :2]}, "teacher knows 2 classes and the student 3"),
        ({"teacher": TEACHER[:1]}, "2 pictures and the teacher for 1"),
        ({"teacher": TEACHER[0]}, r"teacher returns \(3,\), but logits"),
        ({"student": [STUDENT]}, "student returns list"),
        ({"temperature": 0}, "temperature=0: give a number above 0"),
        ({"temperature": math.nan}, "temperature=nan"),
        ({"mix": 1.5}, "mix=1.5: give the teacher's share"),
        ({"labels": None}, "mix=0.9 needs labels for the other 10%"),
    ],
)
def test_what_does_not_fit_is_a_sentence(change, words):
    arguments = {"student": STUDENT, "teacher": TEACHER, "labels": LABELS} | change
    with pytest.raises(CourseError, match=words):
        distillation_loss(arguments.pop("student"), arguments.pop("teacher"), **arguments)


def test_a_loss_that_cannot_be_is_refused_where_it_is_made_and_in_fit():
    with pytest.raises(CourseError, match="teacher is a str"):
        Distillation("resnet50")
    with pytest.raises(CourseError, match="mix=2"):
        Distillation(toy_model(), mix=2)
    wide = torch.nn.Sequential(toy_model(), torch.nn.Linear(3, 5))
    student = toy_model()
    before = weights(student)
    with pytest.raises(CourseError, match="teacher knows 5 classes and the student 3"):
        quick(student, epochs=1, loss=Distillation(wide))
    assert same(before, weights(student))


def networks(width: int = 6, size: int = 8):
    """A student, and a teacher with more and larger maps."""
    torch.manual_seed(0)
    student = nn.Sequential(nn.Conv2d(1, width, 3, stride=2, padding=1), nn.ReLU())
    student += nn.Sequential(nn.Flatten(), nn.Linear(width * (size // 2) ** 2, 3))
    teacher = nn.Sequential(nn.Conv2d(1, 10, 3, padding=1), nn.BatchNorm2d(10))
    teacher += nn.Sequential(nn.Flatten(), nn.Linear(10 * size**2, 3))
    return student, teacher.train()


def test_hints_are_half_the_mean_squared_difference_of_the_maps():
    student, teacher = networks()
    images, labels = torch.randn(5, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1])
    hints = FeatureDistillation(teacher, student, ("0", "1"), images, hint=0.25, mix=0.5)
    with torch.no_grad():
        maps = teacher.eval()[:2](images)
        logits = teacher(images)
        ours = hints.regressor(student[0](images))
        answers = distillation_loss(student(images), logits, labels, mix=0.5)
    wanted = ((ours - F.adaptive_avg_pool2d(maps, 4)) ** 2).mean() / 2
    teacher.train()
    before = weights(teacher)
    loss = hints(student, images, labels)
    assert loss.item() == pytest.approx(0.25 * wanted.item() + 0.75 * answers.item(), rel=1e-5)
    loss.backward()
    assert hints.regressor.weight.grad is not None and student[0].weight.grad is not None
    assert all(one.grad is None for one in teacher.parameters())
    assert same(before, weights(teacher)) and teacher.training
    assert not student[0]._forward_hooks and not teacher[1]._forward_hooks


def test_a_student_learns_the_maps_from_hints_alone():
    data = toy_data()
    student, teacher = networks()
    example = data.normalise(data.train.images[:2])
    hints = FeatureDistillation(teacher, student, ("0", "0"), example, hint=1)
    batch = data.normalise(data.train.images), data.train.labels
    optimizer = torch.optim.AdamW([*student.parameters(), *hints.regressor.parameters()], lr=0.01)
    before, last = hints(student, *batch).item(), student[3].weight.clone()
    quick = {"epochs": 30, "batch_size": 20, "precision": "float32", "progress": False}
    fit(student, data, loss=hints, optimizer=optimizer, **quick)
    assert hints(student, *batch).item() < before / 4
    assert torch.equal(student[3].weight, last), "no gradient reaches the classifier"


@pytest.mark.parametrize(
    ("layers", "hint", "words"),
    [
        (("conv9", "0"), 0.5, "The student has no layer 'conv9'; its convolutions are 0"),
        (("0", "x"), 0.5, "The teacher has no layer 'x'"),
        (("3", "0"), 0.5, "layer '3' of the student returns no maps"),
        (("0", "2"), 0.5, "layer '2' of the teacher returns no maps"),
        (("0", "0"), 1.5, "hint=1.5"),
        (("0", "0"), True, "hint=True"),
    ],
)
def test_hints_that_cannot_be(layers, hint, words):
    student, teacher = networks()
    with pytest.raises(CourseError, match=words):
        FeatureDistillation(teacher, student, layers, torch.zeros(2, 1, 8, 8), hint=hint)
    assert not any(one._forward_hooks for one in (*student.modules(), *teacher.modules()))
