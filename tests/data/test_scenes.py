"""Scenes: the same pictures with two questions, and boxes that fit what is drawn."""

from __future__ import annotations

import torch

from course_utils.data import draw_scenes


def test_only_the_labels_of_the_dots_differ():
    context, colour = (draw_scenes(30, context=value) for value in (True, False))
    assert torch.equal(context.images, colour.images)
    assert all(map(torch.equal, context.boxes, colour.boxes))
    both = torch.cat(context.labels), torch.cat(colour.labels)
    shapes = both[0] < 3
    assert torch.equal(both[0][shapes], both[1][shapes])
    assert not torch.equal(both[0][~shapes], both[1][~shapes])
    assert min(context.counts.values()) > 5 and min(colour.counts.values()) > 5
    assert context.classes[3:] == ("in disc", "in square", "in triangle")


def test_a_dot_lies_in_its_shape_and_has_its_colour():
    context, colour = (draw_scenes(30, context=value) for value in (True, False))
    for picture, boxes, labels, colours in zip(
        colour.images, colour.boxes, context.labels, colour.labels, strict=True
    ):
        for box, label, shade in zip(boxes, labels, colours, strict=True):
            if label < 3:
                continue
            inside = (boxes[:, :2] <= box[:2]).all(1) & (boxes[:, 2:] >= box[2:]).all(1)
            around = [int(k) for k, size in zip(labels, inside, strict=True) if size and k < 3]
            assert label - 3 in around
            left, top, *_ = box.int().tolist()
            middle = picture[:, top + 2 : top + 5, left + 2 : left + 5].float().mean((1, 2))
            assert int(middle.argmax()) == shade - 3


def test_seeds():
    one, other = (draw_scenes(3, context=True, seed=seed) for seed in (0, 1))
    assert not torch.equal(one.images, other.images)
    assert torch.equal(one.images, draw_scenes(3, context=True).images)
    assert len(draw_scenes(0, context=True)) == 0
