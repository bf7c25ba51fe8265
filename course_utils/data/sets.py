"""Labelled pictures in memory: a set, a data set of three such sets, and batches.

Pictures stay uint8 tensors; each batch is converted to float32 on the model's device.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from course_utils.core import CourseError, shape_text, whole_number
from course_utils.data.augment import Augment

# Bytes of pictures to augment in one step: few calls, yet small enough for the processor's cache.
_AUGMENT_BYTES = 2**19


class DataError(CourseError):
    """A data set that is missing, damaged, or not what its name says."""


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """Labelled pictures.

    Args:
        images: uint8 (N, C, H, W).
        labels: int64 (N,), indices into `classes`.
        classes: The names of the classes.

    Raises:
        DataError: If the three do not fit each other.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != torch.uint8 or images.dim() != 4:
            raise DataError(
                "images must be uint8 of shape (N, C, H, W), not "
                f"{_dtype_name(images)} of shape {tuple(images.shape)}."
            )
        if labels.dtype != torch.int64 or labels.shape != (len(images),):
            raise DataError(
                f"labels must be int64 of shape ({len(images)},), one for each picture, not "
                f"{_dtype_name(labels)} of shape {tuple(labels.shape)}."
            )
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.classes):
            raise DataError(
                f"labels run from {labels.min()} to {labels.max()}, but there are "
                f"{len(self.classes)} classes, 0 to {len(self.classes) - 1}."
            )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        shape = shape_text(self.images.shape[1:])
        return f"ImageSet: {len(self):,} pictures of {shape}, {len(self.classes)} classes"

    def subset(self, indices: Tensor | np.ndarray | Sequence[int]) -> ImageSet:
        """Return the pictures at `indices`: integers, or True or False for each picture."""
        indices = torch.as_tensor(indices, device=self.images.device)
        if indices.dtype != torch.bool:
            indices = indices.long()
        return ImageSet(self.images[indices], self.labels[indices], self.classes)

    def few(self, count: int, *, seed: int = 0) -> ImageSet:
        """Return `count` random pictures, if possible the same number from each class.

        With the same seed, a larger choice contains the smaller one.

        Raises:
            CourseError: If there are fewer pictures, or `count` is below 1.
        """
        whole_number("count", count, 1, len(self))
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        labels = self.labels[order].cpu()
        rank = torch.empty_like(labels)  # rank of each picture within its class
        for label in labels.unique():
            mine = labels == label
            rank[mine] = torch.arange(int(mine.sum()))
        chosen = order[torch.argsort(rank, stable=True)[:count]]
        return self.subset(chosen.sort().values)

    def mean_std(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of each channel, pixels in [0, 1]: float32 (C,) each.

        They are computed from whole numbers of pixels, so they are the same on every machine.

        Raises:
            DataError: If there is no picture.
        """
        if not len(self):
            raise DataError("An empty set of pictures has no mean: give at least one picture.")
        values = torch.arange(256, dtype=torch.float64) / 255
        channels = self.images.unbind(1)
        counts = [torch.bincount(one.reshape(-1), minlength=256).cpu() for one in channels]
        shares = torch.stack(counts).double() / counts[0].sum()
        mean = shares @ values
        variance = (shares * (values - mean[:, None]) ** 2).sum(dim=1)
        return mean.float(), variance.sqrt().float()


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A named data set in three parts, with the mean and deviation of its training pictures.

    Args:
        name: The name for `load_dataset`, such as "cifar10".
        title: The name in texts, such as "CIFAR-10".
        train, validation, test: The three parts; `validation` may be empty.
        source: Where it was found: "COURSE_DATA_DIR", "cache", "shipped", "download", or "memory"
            if it was not read from a file. It is not printed, so `str` is the same everywhere.
        statistics: `mean` and `std` of other pictures, such as those that a network was trained on;
            None to compute them.

    Attributes:
        mean, std: float32 (C,), of pixels in [0, 1]. They are computed from the training part
            alone, because no information about validation and test may leak into training.
    """

    name: str
    title: str
    train: ImageSet
    validation: ImageSet
    test: ImageSet
    source: str = "memory"
    statistics: tuple[Tensor, Tensor] | None = None
    mean: Tensor = field(init=False)
    std: Tensor = field(init=False)

    def __post_init__(self) -> None:
        for part in (self.validation, self.test):
            if part.classes != self.classes or part.images.shape[1:] != self.train.images.shape[1:]:
                raise DataError(
                    f"The parts of {self.title} do not fit each other: training is {self.train}, "
                    f"another part {part}."
                )
        values = self.train.mean_std() if self.statistics is None else self.statistics
        for name, value in zip(("mean", "std"), values, strict=True):
            object.__setattr__(self, name, value)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.train.classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every picture."""
        return tuple(self.train.images.shape[1:])

    def normalise(self, images: Tensor) -> Tensor:
        """Return uint8 pictures (..., C, H, W) as float32 with mean 0 and standard deviation 1.

        Raises:
            DataError: If `images` is not uint8; perhaps it has already been normalised.
        """
        if images.dtype != torch.uint8:
            raise DataError(f"normalise takes uint8 pictures, not {_dtype_name(images)}.")
        return _normalise(*_shift_and_scale(self.mean, self.std, images.device), images)

    def __repr__(self) -> str:
        return (
            f"{self.title}: {len(self.train):,} training, {len(self.validation):,} validation and "
            f"{len(self.test):,} test pictures of {shape_text(self.image_shape)}, "
            f"{len(self.classes)} classes"
        )


class Batches:
    """Batches of normalised pictures from memory, without worker processes.

    Args:
        image_set: The pictures. They are moved to `device` once, as uint8.
        batch_size: Number of pictures in a batch; the last batch may be smaller.
        mean, std: Of the training pictures, for pixels in [0, 1]: (C,) each.
        shuffle: Whether the order is random.
        augment: The random changes of each picture; None for none.
        seed: Together with the epoch it determines the order and the augmentation. They are drawn
            on the CPU, so they are the same on every device.
        device: The device of the batches; by default that of the pictures.
        drop_last: Whether to leave out the last batch if it is smaller.
        rank, world_size: With several processes, each batch is only the part of process `rank`,
            with the same augmentation as in one process. If a small last batch has no picture for
            this rank, it gets one picture of another rank, which must not be counted.

    Iterating yields `(images, labels)`: float32 (B, C, H, W) and int64 (B,).

    Without `set_epoch`, every pass is the same:

    >>> from course_utils.data import load_dataset
    >>> data = load_dataset("fashion-mnist")
    >>> batches = Batches(data.train, 64, mean=data.mean, std=data.std, shuffle=True)
    >>> for epoch in range(2):
    ...     batches.set_epoch(epoch)
    ...     for images, labels in batches:
    ...         pass
    """

    def __init__(
        self,
        image_set: ImageSet,
        batch_size: int,
        *,
        mean: Tensor | Sequence[float] | float,
        std: Tensor | Sequence[float] | float,
        shuffle: bool = False,
        augment: Augment | None = None,
        seed: int = 0,
        device: torch.device | str | None = None,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.batch_size = whole_number("batch_size", batch_size, 1, error=DataError)
        self.seed = whole_number("seed", seed, 0, error=DataError)
        self.shuffle = shuffle
        self.augment = augment
        self.drop_last = drop_last
        self.rank, self.world_size = rank, world_size
        self.epoch = 0
        self.device = image_set.images.device if device is None else torch.device(device)
        self._images = image_set.images.to(self.device)
        self._labels = image_set.labels.to(self.device)
        self._shift, self._scale = _shift_and_scale(mean, std, self.device)
        channels = image_set.images.shape[1]
        if len(self._shift) not in (1, channels):
            raise DataError(
                f"mean and std have {len(self._shift)} channels, the pictures {channels}."
            )

    def __len__(self) -> int:
        full, rest = divmod(len(self._images), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    @property
    def sizes(self) -> list[int]:
        """The number of pictures in each batch, over all ranks."""
        count, size = len(self._images), self.batch_size
        return [min(size, count - start) for start in range(0, len(self) * size, size)]

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, from 0 up, that determines order and augmentation of the next pass."""
        self.epoch = whole_number("epoch", epoch, 0, error=DataError)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = _generator(self.seed, self.epoch)
        count, size = len(self._images), self._own_size(self.batch_size)
        # All random numbers of an epoch are drawn at once: one copy to the device instead of one
        # for each batch, and the same pictures for every batch size.
        order = torch.randperm(count, generator=generator) if self.shuffle else torch.arange(count)
        own = self._own_places() if self.world_size > 1 else slice(None)
        order = order[own].to(self.device)
        if self.augment is not None:
            drawn = self.augment.draw(count, tuple(self._images.shape[2:]), generator)
            raw = self._augmented(order, drawn[own].to(self.device), size)
        else:
            raw = map(functools.partial(torch.index_select, self._images, 0), order.split(size))
        # Nested maps instead of a loop: no variable holds a uint8 batch, so its memory is used
        # again while it is still in the processor's cache.
        images = map(functools.partial(_normalise, self._shift, self._scale), raw)
        labels = self._labels.index_select(0, order).split(size)
        return itertools.islice(zip(images, labels, strict=False), len(self))

    def _own_size(self, size: int) -> int:
        """Return the number of pictures of this rank in a batch of `size`, at least 1."""
        part = part_of(size, self.rank, self.world_size)
        return max(1, part.stop - part.start)

    def _own_places(self) -> Tensor:
        """Return the places in an epoch of this rank's pictures; the same number in each batch."""
        places = []
        for number, size in enumerate(self.sizes):
            start = part_of(size, self.rank, self.world_size).start
            first = number * self.batch_size + min(start, size - 1)
            places.append(torch.arange(first, first + self._own_size(size)))
        return torch.cat(places)

    def _augmented(self, order: Tensor, choices: Tensor, size: int) -> Iterator[Tensor]:
        """Yield augmented uint8 batches; several are augmented in one step, which saves calls."""
        batch_bytes = size * self._images[:1].numel()
        step = size * max(1, _AUGMENT_BYTES // max(1, batch_bytes))
        for part, chosen in zip(order.split(step), choices.split(step), strict=True):
            images = self.augment.apply(self._images.index_select(0, part), chosen)
            yield from images.split(size)


def part_of(count: int, rank: int, world_size: int) -> slice:
    """Return the slice of `count` pictures that process `rank` takes, as `torch.tensor_split` cuts.

    >>> [part_of(5, rank, 2) for rank in range(2)]
    [slice(0, 3, None), slice(3, 5, None)]
    """
    size, rest = divmod(count, world_size)
    start = rank * size + min(rank, rest)
    return slice(start, start + size + (rank < rest))


def _normalise(shift: Tensor, scale: Tensor, images: Tensor) -> Tensor:
    # One new tensor, then in place: four times as fast as (images / 255 - mean) / std.
    return images.float().sub_(shift).mul_(scale)


def _shift_and_scale(
    mean: Tensor | Sequence[float] | float,
    std: Tensor | Sequence[float] | float,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Return two (C, 1, 1) tensors: (pixels - shift) * scale normalises pixels from 0 to 255."""
    mean = torch.as_tensor(mean, dtype=torch.float32).reshape(-1, 1, 1)
    std = torch.as_tensor(std, dtype=torch.float32).reshape(-1, 1, 1)
    if mean.shape != std.shape or not (mean.isfinite().all() and std.isfinite().all()):
        raise DataError("mean and std must be finite numbers, one of each for every channel.")
    if (std < 0).any():
        raise DataError(f"std must not be negative, but it is {std.flatten().tolist()}.")
    # A channel with one value only: subtract the mean, divide by 1, as scikit-learn's scaler does.
    std = torch.where(std == 0, torch.ones_like(std), std)
    return (mean * 255).to(device), (1 / (255 * std)).to(device)


def _generator(seed: int, epoch: int) -> torch.Generator:
    """Return a generator for one epoch; similar seeds and epochs lead to different numbers."""
    # `mixed_seed` would also work. But this function determines the order of the pictures in every
    # training: changing it would change the shipped weights, the results and all outputs.
    mixed = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(mixed[0]))


def _dtype_name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
