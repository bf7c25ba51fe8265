"""The detector: sizes, proposals, the choice among them, frozen backbones, edits."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import nms

from course_utils.conv import edit_conv
from course_utils.core import CourseError, seeded
from course_utils.models import Detector, Lite0Backbone, Proposals, SimpleCNN, SmallBackbone
from course_utils.models.detector import Places
from tests.toys import same, weights


def small(**options) -> Detector:
    def make() -> Detector:
        return Detector(2, SmallBackbone(widths=(8, 8, 16, 16)), width=16, **options)

    return seeded(make, 0).eval()


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (17, 5), (1, 1)])
@pytest.mark.parametrize("options", [{}, {"top_down": False}, {"strides": (8,)}])
def test_every_size_of_picture(size, options):
    model = small(**options)
    images = torch.randn(2, 3, *size)
    outputs = model(images)
    for level, stride in zip(outputs, model.strides, strict=True):
        assert level.shape == (2, 7, *(-(-side // stride) for side in size))
    found = model.propose(images)[0]
    assert len(found.boxes) == sum(level[0, 0].numel() for level in outputs)
    assert (found.boxes >= 0).all() and (found.boxes[:, 2] <= size[1]).all()
    assert (found.boxes[:, 3] <= size[0]).all()
    assert (found.scores > 0).all() and (found.scores < 1).all()


def test_places_lie_on_a_grid():
    outputs = [torch.zeros(1, 3, 2, 3), torch.zeros(1, 3, 1, 2)]
    places = Places.of(outputs, (4, 8))
    fine = [[2, 2], [6, 2], [10, 2], [2, 6], [6, 6], [10, 6]]
    assert places.centres.tolist() == [*fine, [4, 4], [12, 4]]
    assert places.levels.tolist() == [0] * 6 + [1] * 2
    sides = torch.full((8, 4), 0.541324855)  # softplus is 1
    assert places.boxes(sides)[0].tolist() == pytest.approx([-2, -2, 6, 6])
    assert places.boxes(sides)[-1].tolist() == pytest.approx([4, -4, 20, 12])


def proposals(count: int = 60, seed: int = 0) -> Proposals:
    generator = torch.Generator().manual_seed(seed)
    corner = 40 * torch.rand(count, 2, generator=generator)
    boxes = torch.cat([corner, corner + 5 + 20 * torch.rand(count, 2, generator=generator)], 1)
    scores = torch.rand(count, 2, generator=generator)
    return Proposals(boxes, scores, torch.arange(count) % 3)


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("score", [0.0, 0.4, 1.0])
def test_the_choice_is_torchvisions_nms_within_each_class(score, overlap):
    every = proposals()
    chosen = every.choose(score, overlap, most=1000)
    assert torch.equal(chosen.scores, chosen.scores.sort(descending=True).values)
    for label in (0, 1):
        sure = every.scores[:, label] >= score
        boxes, scores = every.boxes[sure], every.scores[sure, label]
        kept = nms(boxes, scores, overlap)
        mine = chosen.labels == label
        assert torch.equal(chosen.boxes[mine], boxes[kept])
        assert torch.equal(chosen.levels[mine], every.levels[sure][kept])


def test_levels_and_the_most_boxes():
    every = proposals()
    assert set(every.choose(0, levels=[0, 2]).levels.tolist()) == {0, 2}
    assert len(every.choose(0, levels=[])) == 0
    assert len(every.choose(0, 1, most=7)) == 7
    flat = Proposals(torch.tensor([[3.0, 3, 3, 9]]), torch.ones(1, 2), torch.zeros(1))
    assert len(flat.choose(0)) == 0  # a box without an area
    for wrong in ({"score": 1.1}, {"overlap": -0.1}, {"score": float("nan")}, {"most": 0}):
        with pytest.raises(CourseError, match=next(iter(wrong))):
            every.choose(**wrong)


def test_proposing_changes_nothing():
    model = small().train()
    model.propose(torch.randn(2, 3, 16, 16))
    assert model.training and model.backbone.training
    assert model.propose(torch.zeros(0, 3, 16, 16)) == []
    for shape in ((3, 16, 16), (1, 3, 0, 16)):
        with pytest.raises(CourseError, match="takes pictures"):
            model.propose(torch.zeros(shape))


def test_lite0_stays_frozen(lite0):
    model = seeded(lambda: Detector(3, Lite0Backbone(lite0)), 0).train()
    assert not any(module.training for module in model.backbone.modules())
    assert not any(weight.requires_grad for weight in model.backbone.parameters())
    images = torch.randn(1, 3, 120, 160)
    shapes = [tuple(level.shape) for level in model.backbone(images)]
    assert shapes == [(1, 24, 32, 40), (1, 40, 16, 20), (1, 112, 8, 10)]
    with torch.no_grad():
        right = lite0.stage3(lite0.stage2(lite0.stage1(lite0.stem(images[..., :96, :]))))
        torch.testing.assert_close(model.backbone(images[..., :96, :])[1], right)
    assert all(weight.requires_grad for weight in lite0.parameters())  # the original is not frozen
    with pytest.raises(CourseError, match="SimpleCNN has no stem"):
        Lite0Backbone(SimpleCNN())


def test_new_weights():
    model = small().requires_grad_(True)
    model.backbone.stages[0].requires_grad_(False)
    new, before = model.with_new_weights(seed=3), weights(model)
    assert same(before, weights(model)) and same(weights(new), weights(model.with_new_weights(3)))
    for name, value in weights(new).items():
        if before[name].dim() > 1:
            assert torch.equal(value, before[name]) == name.startswith("backbone.stages.0."), name
    rare = new.propose(torch.randn(1, 3, 32, 32))[0].scores
    assert rare.max() < 0.2  # √(0.01 · a centreness below 1) and the small weights


def test_wrong_settings():
    for wrong, words in (
        ({"classes": 0}, "classes=0"),
        ({"width": 12}, "multiple of 8"),
        ({"strides": (8, 4)}, "in this order"),
        ({"strides": ()}, "give some of"),
        ({"strides": (32,)}, r"\(4, 8, 16\)"),
    ):
        with pytest.raises(CourseError, match=words):
            Detector(**wrong)
    with pytest.raises(CourseError, match="three stages"):
        SmallBackbone(widths=(8, 8))


@pytest.mark.parametrize("name", ["pyramid.lateral.0", "backbone.stages.2.conv", "tower.conv"])
def test_a_wider_layer_keeps_what_is_found(name):
    model, images = small(), torch.randn(1, 3, 40, 24)
    wider = edit_conv(model, name, out_channels=32, example_input=images)
    assert wider.get_submodule(name).out_channels == 32
    before, after = model.propose(images)[0], wider.propose(images)[0]
    torch.testing.assert_close(after.scores, before.scores, atol=1e-5, rtol=0)
    torch.testing.assert_close(after.boxes, before.boxes, atol=1e-4, rtol=0)
