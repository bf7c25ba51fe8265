"""Pictures with boxes: what a set refuses, flips, the file, and the shipped blood cells."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.data import BoxSet, DataError, load_boxes, read_boxes, write_boxes
from tests.toys import box_set

GOOD = torch.tensor([[1.0, 2.0, 5.0, 6.0]])


def test_a_set_says_what_it_is():
    boxes = box_set()
    assert repr(boxes) == "BoxSet: 3 pictures of 3×20×30 with 3 boxes, 2 classes"
    assert boxes.counts == {"dot": 2, "bar": 1}
    part = boxes.subset([2, 0])
    assert [len(one) for one in part.boxes] == [1, 2]
    assert len(boxes.subset([])) == 0


@pytest.mark.parametrize(
    "box, words",
    [
        ([1, 2, 1, 6], "Box 1 (1, 2, 1, 6) of picture 1 has no area"),
        ([1, 6, 5, 2], "has no area"),
        ([1, float("nan"), 5, 6], "has no area"),
        ([-1, 2, 5, 6], "lies outside of its 30×20 pixels"),
        ([1, 2, 31, 6], "lies outside"),
        ([1, 2, 5, 21], "lies outside"),
        ([1, 2, float("inf"), 6], "lies outside"),
    ],
)
def test_a_wrong_box_is_named(box, words):
    boxes = box_set()
    wrong = torch.cat([GOOD, torch.tensor([box], dtype=torch.float32)])
    pairs = [boxes.boxes[0], wrong, boxes.boxes[2]]
    labels = [boxes.labels[0], torch.zeros(2, dtype=torch.int64), boxes.labels[2]]
    with pytest.raises(DataError) as caught:
        BoxSet(boxes.images, pairs, labels, boxes.classes)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"images": torch.zeros(1, 3, 0, 30, dtype=torch.uint8)}, "no pixels"),
        ({"images": torch.zeros(1, 3, 20, 30)}, "uint8"),
        ({"boxes": []}, "There are 1 pictures, but boxes for 0"),
        ({"boxes": [GOOD.double()]}, "float32 of shape (K, 4), not float64"),
        ({"boxes": [GOOD[0]]}, "not float32 of shape (4,)"),
        ({"labels": [torch.tensor([0, 1])]}, "int64 of shape (1,)"),
        ({"labels": [torch.tensor([2])]}, "run from 2 to 2, but there are 2 classes"),
    ],
)
def test_parts_that_do_not_fit(change, words):
    good = {
        "images": torch.zeros(1, 3, 20, 30, dtype=torch.uint8),
        "boxes": [GOOD],
        "labels": [torch.tensor([0])],
        "classes": ("dot", "bar"),
    }
    BoxSet(**good)
    with pytest.raises(DataError) as caught:
        BoxSet(**good | change)
    assert words in str(caught.value)


@pytest.mark.parametrize("horizontal", [False, True])
@pytest.mark.parametrize("vertical", [False, True])
def test_boxes_move_with_their_pixels(horizontal, vertical):
    boxes = box_set()  # every box is bright, all else is dark
    flipped = boxes.flipped(horizontal=horizontal, vertical=vertical)
    assert torch.equal(flipped.images == 255, drawn(flipped))
    back = flipped.flipped(horizontal=horizontal, vertical=vertical)
    assert all(map(torch.equal, back.boxes, boxes.boxes))
    assert torch.equal(drawn(boxes), boxes.images == 255)


def drawn(boxes: BoxSet) -> torch.Tensor:
    canvas = torch.zeros(boxes.images.shape, dtype=torch.bool)
    for picture, each in zip(canvas, boxes.boxes, strict=True):
        for left, top, right, bottom in each.int().tolist():
            picture[:, top:bottom, left:right] = True
    return canvas


def test_all_flips_and_targets():
    boxes = box_set()
    every = boxes.with_flips()
    assert len(every) == 12 and len({p.numpy().tobytes() for p in every.images}) == 9
    targets = boxes.targets()
    assert targets.shape == (3, 2, 5)
    assert targets[:, :, 0].tolist() == [[0, 1], [-1, -1], [0, -1]]
    assert torch.equal(targets[0, :, 1:], boxes.boxes[0])


def test_a_class_without_pictures():
    box_set().check_every_class()
    with pytest.raises(DataError, match="No picture has a 'bar'"):
        box_set().subset([1, 2]).check_every_class()


# The file


@pytest.fixture
def parts() -> dict:
    def jpeg(value: int, size: tuple[int, int] = (30, 20)) -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", size, (value, value, value)).save(buffer, "JPEG")
        return buffer.getvalue()

    boxes = [GOOD.numpy(), np.zeros((0, 4))]
    return {
        "jpegs": {"train": [jpeg(10), jpeg(200)], "test": [jpeg(100)]},
        "boxes": {"train": boxes, "test": boxes[:1]},
        "labels": {"train": [[1], []], "test": [[0]]},
        "classes": ("dot", "bar"),
        "other": jpeg(7, (10, 10)),
    }


def written(path, parts):
    other = {key: value for key, value in parts.items() if key != "other"}
    write_boxes(path, **other)
    return path


def test_what_was_written_is_read(tmp_path, parts):
    train, test = read_boxes(written(tmp_path / "cells.npz", parts))
    assert train.images[:, 0, 0, 0].tolist() == [10, 200] and len(test) == 1
    assert train.boxes[0].tolist() == [[1, 2, 5, 6]] and train.boxes[1].shape == (0, 4)
    assert (train.labels[0].tolist(), train.classes) == ([1], ("dot", "bar"))


def test_damaged_files(tmp_path, parts):
    path = written(tmp_path / "cells.npz", parts)
    whole = path.read_bytes()
    for length in {0, 1, *range(100, len(whole), 397), len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"cells\.npz"):
            read_boxes(path)


def test_files_with_wrong_arrays(tmp_path, parts):
    path = written(tmp_path / "cells.npz", parts)
    with np.load(path) as file:
        good = dict(file)
    for name, value, words in (
        ("train_ends", good["train_ends"] + 1, "not the ends"),
        ("train_ends", good["train_ends"][::-1], "not the ends"),
        ("train_counts", np.array([2, 0]), "add up to 2, but there are 1 boxes"),
        ("train_counts", np.array([2, -1]), "add up to"),
        ("train_counts", np.array([1]), "does not fit"),
        ("train_boxes", good["train_boxes"][:, :3], "does not fit"),
        ("train_labels", np.array([0.5]), "does not fit"),
        ("train_labels", np.array([9], dtype=np.uint8), "train: Labels of picture 0"),
        ("train_boxes", good["train_boxes"] - 9, "lies outside"),
        ("train_jpegs", good["train_jpegs"] * 0, "picture 0 of train cannot be read"),
        ("classes", np.array(["dot", "dot"]), "some are equal"),
    ):
        np.savez(path, **good | {name: value})
        with pytest.raises(DataError) as caught:
            read_boxes(path)
        assert words in str(caught.value) and str(path) in str(caught.value)
    parts["jpegs"]["train"][1] = parts["other"]
    with pytest.raises(DataError, match="different sizes: 10×10 and 20×30"):
        read_boxes(written(path, parts))


def test_unknown_names():
    with pytest.raises(DataError, match="no boxes called 'cats'"):
        load_boxes("cats")
    with pytest.raises(DataError, match="There is no file"):
        read_boxes("no_such_file.npz")


def test_the_shipped_cells():
    data = load_boxes()
    assert (len(data.train), len(data.validation), len(data.test)) == (292, 0, 72)
    assert data.image_shape == (3, 120, 160)
    assert data.train.counts == {"red cell": 3348, "white cell": 301, "platelet": 292}
    assert data.test.counts == {"red cell": 805, "white cell": 71, "platelet": 69}
    assert data.normalise(data.test.images[:1]).abs().max() < 20
