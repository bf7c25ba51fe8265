from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.core import CourseError
from course_utils.data import Augment

SIZES = st.integers(1, 9)
TOP, LEFT, MIRRORED, ROW, COLUMN = range(5)


@st.composite
def batches(draw):
    """Random pictures of 1 to 255, so that only the frame and the hole are 0."""
    shape = (draw(st.integers(0, 6)), draw(st.integers(1, 3)), draw(SIZES), draw(SIZES))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    return torch.randint(1, 256, shape, generator=generator, dtype=torch.uint8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=60)
@given(batches(), st.integers(0, 5), st.booleans(), st.integers(0, 9), st.integers(0, 99))
def test_every_picture_is_the_crop_mirror_and_hole_that_was_drawn(
    images, pad_crop, flip, cutout, seed
):
    height, width = images.shape[2:]
    augment = Augment(pad_crop, flip, min(cutout, height, width))
    choices = augment.draw(len(images), (height, width), generator(seed))
    out = augment.apply(images, choices)
    for image, result, choice in zip(images, out, choices.tolist(), strict=True):
        image = image.flip(2) if choice[MIRRORED] else image
        padded = F.pad(image, (pad_crop,) * 4)
        top, left = choice[TOP], choice[LEFT]
        expected = padded[:, top : top + height, left : left + width].clone()
        first, end = -(augment.cutout // 2), (augment.cutout + 1) // 2  # from the hole's centre
        rows, columns = (slice(max(at + first, 0), at + end) for at in choice[ROW:])
        expected[:, rows, columns] = 0
        assert torch.equal(result, expected)


@settings(max_examples=25)
@given(batches(), st.integers(0, 4), st.booleans(), st.integers(0, 1), st.integers(0, 99))
def test_a_call_is_draw_and_apply_and_leaves_its_input_alone(images, pad_crop, flip, cutout, seed):
    before = images.clone()
    augment = Augment(pad_crop, flip, cutout)
    out = augment(images, generator(seed))
    choices = augment.draw(len(images), tuple(images.shape[2:]), generator(seed))
    assert torch.equal(out, augment.apply(images, choices))
    assert (out.shape, out.dtype, out.device) == (images.shape, images.dtype, images.device)
    out.zero_()
    assert torch.equal(images, before)


@settings(max_examples=25)
@given(st.integers(2, 12), st.data())
def test_at_least_a_quarter_of_the_hole_lies_on_the_picture(side, data):
    cutout = data.draw(st.integers(1, side))
    images = torch.full((64, 2, side, side), 9, dtype=torch.uint8)
    out = Augment(cutout=cutout)(images, generator(side))
    areas = (out == 0).sum(dim=(2, 3))
    assert torch.equal(areas[:, 0], areas[:, 1]), "the hole goes through all channels"
    assert areas.max() <= cutout**2
    assert areas.min() >= ((cutout + 1) // 2) ** 2, "its centre lies on the picture"


def test_each_picture_has_its_own_numbers_and_all_of_them_occur():
    choices = Augment(pad_crop=2, flip=True, cutout=3).draw(4000, (5, 7), generator())
    for column, limit in enumerate((5, 5, 2, 5, 7)):
        shares = torch.bincount(choices[:, column], minlength=limit) / 4000
        # Five standard deviations of a share of 4000 draws.
        assert ((shares - 1 / limit).abs() < 5 * (0.25 / 4000) ** 0.5).all()
    assert choices.dtype == torch.int64


def test_switching_one_augmentation_leaves_the_others_as_they_were():
    def draw(augment: Augment) -> torch.Tensor:
        return augment.draw(50, (28, 28), generator(3))

    everything = draw(Augment(pad_crop=4, flip=True, cutout=8))
    assert torch.equal(draw(Augment(flip=True))[:, MIRRORED], everything[:, MIRRORED])
    assert torch.equal(draw(Augment(pad_crop=4))[:, :2], everything[:, :2])
    assert torch.equal(draw(Augment(cutout=3))[:, ROW:], everything[:, ROW:])
    assert draw(Augment(cutout=3))[:, :ROW].count_nonzero() == 0


def test_the_same_seed_gives_the_same_pictures():
    images = torch.randint(0, 256, (16, 3, 8, 8), generator=generator(1), dtype=torch.uint8)
    augment = Augment(pad_crop=2, flip=True, cutout=4)
    first, again, other = (augment(images, generator(seed)) for seed in (5, 5, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_any_memory_layout():
    images = torch.randint(0, 256, (8, 3, 6, 5), generator=generator(1), dtype=torch.uint8)
    augment = Augment(pad_crop=2, flip=True, cutout=2)
    expected = augment(images, generator())
    turned = images.to(memory_format=torch.channels_last)
    strided = images.repeat_interleave(2, dim=3)[..., ::2]
    part = torch.cat([images, images])[8:]
    for same in (turned, strided, part):
        assert torch.equal(augment(same, generator()), expected)


@pytest.mark.parametrize(
    "setting", [{"pad_crop": -1}, {"pad_crop": 1.5}, {"cutout": -2}, {"cutout": True}]
)
def test_impossible_settings_are_named(setting):
    with pytest.raises(CourseError, match=f"{next(iter(setting))}=.*whole number"):
        Augment(**setting)


@pytest.mark.parametrize(
    ("images", "text"),
    [
        (torch.zeros(1, 1, 28, 32).byte(), r"cutout=29 is larger than the picture \(28×32\)"),
        (torch.zeros(2, 1, 32, 32), "takes uint8 pictures"),
        (torch.zeros(1, 32, 32).byte(), "takes uint8 pictures"),
    ],
)
def test_other_tensors_are_refused(images, text):
    with pytest.raises(CourseError, match=text):
        Augment(cutout=29)(images, generator())
