from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.core import CourseError
from course_utils.data import Augment, Batches, DataError, Dataset, ImageSet
from tests.toys import stripes


def make_set(count: int = 20, channels: int = 3, size: int = 6, seed: int = 0) -> ImageSet:
    generator = torch.Generator().manual_seed(seed)
    shape = (count, channels, size, size)
    images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    return ImageSet(images, torch.arange(count) % 4, ("a", "b", "c", "d"))


def whole(batches: Batches) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


# ImageSet


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"images": torch.zeros(4, 1, 2, 2)}, "uint8.*not float32 of shape"),
        ({"images": torch.zeros(4, 2, 2, dtype=torch.uint8)}, r"\(N, C, H, W\)"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, r"shape \(4,\), one for each"),
        ({"labels": torch.zeros(4)}, "int64.*not float32"),
        ({"labels": torch.tensor([0, 1, 2, 1])}, "from 0 to 2, but there are 2 classes, 0 to 1"),
        ({"labels": torch.tensor([0, 1, -1, 1])}, "from -1 to 1"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change, text):
    good = {
        "images": torch.zeros(4, 1, 2, 2, dtype=torch.uint8),
        "labels": torch.tensor([0, 1, 0, 1]),
        "classes": ("a", "b"),
    }
    with pytest.raises(DataError, match=text):
        ImageSet(**{**good, **change})


@pytest.mark.parametrize(
    ("indices", "places"),
    [
        ([2, 0], [2, 0]),
        (np.array([2, 0], np.uint16), [2, 0]),
        (torch.tensor([2, 0], dtype=torch.int32), [2, 0]),
        (torch.arange(20) % 4 == 1, [1, 5, 9, 13, 17]),
        ([], []),
    ],
)
def test_a_subset_keeps_the_order_asked_for(indices, places):
    everything = make_set()
    part = everything.subset(indices)
    assert torch.equal(part.images, everything.images[places])
    assert part.labels.tolist() == [place % 4 for place in places]


def test_a_few_have_the_same_number_of_each_class_if_possible():
    pictures = stripes(90)
    assert torch.bincount(pictures.few(30).labels).tolist() == [10, 10, 10]
    assert sorted(torch.bincount(pictures.few(31).labels).tolist()) == [10, 10, 11]
    rare = pictures.subset(torch.cat([torch.arange(0, 30, 3), torch.tensor([1])]))
    assert torch.bincount(rare.few(6).labels, minlength=3).tolist() == [5, 1, 0]


def test_a_few_are_among_the_pictures_and_among_more_of_them():
    def as_set(pictures) -> set[bytes]:
        return {one.numpy().tobytes() for one in pictures.images}

    pictures = stripes(90)
    few, more, all_of_them = (as_set(pictures.few(n, seed=5)) for n in (10, 40, 90))
    assert len(few) == 10 and few < more < all_of_them
    assert few != as_set(pictures.few(10, seed=6))


@pytest.mark.parametrize("count", [0, -1, 91])
def test_as_many_pictures_as_there_are(count: int):
    with pytest.raises(CourseError, match=f"count={count}.* 1 to 90"):
        stripes(90).few(count)


@settings(max_examples=20)
@given(st.integers(1, 9), st.integers(1, 4), st.integers(0, 99))
def test_mean_and_deviation_are_those_of_the_pixels(count, channels, seed):
    image_set = make_set(count, channels, seed=seed)
    mean, std = image_set.mean_std()
    pixels = image_set.images.double() / 255
    torch.testing.assert_close(mean, pixels.mean(dim=(0, 2, 3)).float())
    torch.testing.assert_close(std, pixels.std(dim=(0, 2, 3), correction=0).float())
    assert mean.dtype == std.dtype == torch.float32
    with pytest.raises(DataError, match="at least one picture"):
        image_set.subset([]).mean_std()


# Dataset


def test_statistics_come_from_the_training_part_alone():
    train, other = make_set(seed=1), make_set(seed=2)
    data = Dataset("mine", "Mine", train, other, other)
    assert torch.equal(data.mean, train.mean_std()[0])
    normalised = data.normalise(train.images)
    assert normalised.dtype == torch.float32
    assert normalised.mean(dim=(0, 2, 3)).abs().max() < 1e-5
    assert (normalised.std(dim=(0, 2, 3), correction=0) - 1).abs().max() < 1e-5
    torch.testing.assert_close(data.normalise(train.images[0]), normalised[0])
    with pytest.raises(DataError, match=r"uint8 pictures.*not float32"):
        data.normalise(normalised)


def test_parts_of_two_data_sets_make_none():
    renamed = ImageSet(make_set().images, make_set().labels, ("a", "b", "d", "c"))
    for other in (make_set(size=7), renamed):
        with pytest.raises(DataError, match="do not fit"):
            Dataset("mine", "Mine", make_set(), make_set(), other)


def test_the_printed_line_is_the_same_wherever_it_came_from():
    train = make_set(1200)
    for source in ("memory", "cache"):
        data = Dataset("mine", "Mine", train, make_set(), make_set(4), source)
        assert str(data) == repr(data)
        assert str(data) == (
            "Mine: 1,200 training, 20 validation and 4 test pictures of 3×6×6, 4 classes"
        )
    assert str(train) == "ImageSet: 1,200 pictures of 3×6×6, 4 classes"


# Batches

AUGMENT = Augment(pad_crop=2, flip=True, cutout=3)


def batches_of(image_set: ImageSet, batch_size: int = 8, **settings) -> Batches:
    settings = {"mean": 0.0, "std": 1 / 255, "shuffle": True, "augment": AUGMENT, **settings}
    return Batches(image_set, batch_size, **settings)


@given(
    count=st.integers(1, 40),
    batch_size=st.integers(1, 50),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    augmented=st.booleans(),
)
@settings(max_examples=50)
def test_batches_cover_the_set_once(count, batch_size, shuffle, drop_last, augmented):
    image_set = ImageSet(
        torch.arange(count, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2),
        torch.arange(count),
        tuple(map(str, range(count))),
    )
    augment = Augment(flip=True) if augmented else None
    batches = batches_of(
        image_set, batch_size, shuffle=shuffle, augment=augment, drop_last=drop_last
    )
    sizes, seen = [], []
    for images, labels in batches:
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
        assert torch.allclose(images, labels.float().reshape(-1, 1, 1, 1).expand_as(images))
        sizes.append(len(images))
        seen += labels.tolist()
    assert len(batches) == len(sizes)
    assert all(size == batch_size for size in sizes[: len(sizes) if drop_last else -1])
    assert len(set(seen)) == len(seen) == (count // batch_size * batch_size if drop_last else count)
    if not shuffle:
        assert seen == list(range(len(seen)))


def test_batches_are_normalised_as_the_data_set_does_it():
    data = Dataset("mine", "Mine", make_set(), make_set(), make_set())
    images, labels = whole(Batches(data.test, 7, mean=data.mean, std=data.std))
    assert torch.equal(images, data.normalise(data.test.images))
    assert torch.equal(labels, data.test.labels)
    mean, std = data.mean.view(3, 1, 1), data.std.view(3, 1, 1)
    torch.testing.assert_close(images, (data.test.images.float() / 255 - mean) / std)


def test_an_epoch_is_a_function_of_seed_and_epoch_only():
    image_set = make_set(100)
    first = batches_of(image_set, seed=3)
    epochs = []
    for epoch in range(3):
        first.set_epoch(epoch)
        epochs.append(whole(first))
        torch.manual_seed(epoch)  # the global generator has no effect
    again = batches_of(image_set, seed=3)
    for epoch in (2, 0, 1, 1):
        again.set_epoch(epoch)
        next(iter(again))  # nor has a pass that was stopped
        assert torch.equal(whole(again)[0], epochs[epoch][0])
        assert torch.equal(whole(again)[1], epochs[epoch][1])
    other_seed = whole(batches_of(image_set, seed=4))[1]
    # Seed and epoch are not simply added: epoch 1 of seed 3 is not epoch 0 of seed 4.
    orders = {tuple(order.tolist()) for order in (*(labels for _, labels in epochs), other_seed)}
    assert len(orders) == 4


def test_the_batch_size_changes_no_picture_and_augmentation_no_order():
    image_set = make_set(50)
    images, labels = whole(batches_of(image_set, 7))
    in_one = whole(batches_of(image_set, 50))
    assert torch.equal(images, in_one[0]) and torch.equal(labels, in_one[1])
    assert torch.equal(labels, whole(batches_of(image_set, augment=None))[1])


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("augment", [None, Augment()])
def test_what_is_done_to_a_batch_does_not_reach_the_pictures(shuffle, augment):
    image_set = make_set()
    images, labels = image_set.images.clone(), image_set.labels.clone()
    batches = batches_of(image_set, shuffle=shuffle, augment=augment)
    before = whole(batches)
    for batch in batches:
        batch[0].zero_()
        batch[1].zero_()
    assert torch.equal(image_set.images, images)
    assert torch.equal(image_set.labels, labels)
    assert torch.equal(whole(batches)[1], before[1])


def test_a_channel_without_contrast_is_no_division_by_zero():
    flat = ImageSet(torch.full((4, 1, 2, 2), 51, dtype=torch.uint8), torch.zeros(4).long(), ("a",))
    mean, std = flat.mean_std()
    images, _ = whole(Batches(flat, 2, mean=mean, std=std))
    assert images.abs().max() < 1e-5


def test_augmented_pictures_are_not_all_moved_alike():
    image = torch.arange(36, dtype=torch.uint8).reshape(1, 1, 6, 6) + 1
    image_set = ImageSet(image.repeat(200, 1, 1, 1), torch.zeros(200).long(), ("a",))
    images, _ = whole(batches_of(image_set, 200, augment=Augment(pad_crop=1)))
    assert len(images.unique(dim=0)) == 9, "one for each of the 3×3 places"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_the_same_batches():
    image_set = make_set(100)
    images, labels = whole(batches_of(image_set, device="cuda"))
    assert images.is_cuda
    on_cpu = whole(batches_of(image_set))
    torch.testing.assert_close(images.cpu(), on_cpu[0])
    assert torch.equal(labels.cpu(), on_cpu[1])


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"batch_size": 0}, r"batch_size=0.* 1 up"),
        ({"batch_size": 2.0}, r"batch_size=2\.0"),
        ({"seed": -1}, "seed=-1"),
        ({"mean": [0.5, 0.5], "std": [1.0, 1.0]}, "have 2 channels, the pictures 3"),
        ({"mean": [0.5, 0.5, 0.5], "std": 1.0}, "one of each for every channel"),
        ({"std": -1.0}, "not be negative"),
        ({"mean": float("nan")}, "finite"),
        ({"epoch": -1}, "epoch=-1"),
    ],
)
def test_impossible_settings_are_named(setting, text):
    settings = {"batch_size": 4, "mean": 0.5, "std": 0.5, "epoch": np.int64(1), **setting}
    epoch = settings.pop("epoch")
    with pytest.raises(DataError, match=text):
        Batches(make_set(), **settings).set_epoch(epoch)
