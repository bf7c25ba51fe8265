"""Labelled pictures in memory: a set of them, a data set of three such sets, and its batches.

Pictures stay uint8 tensors; they become float32 a batch at a time, on the model's device.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from course_utils.core import CourseError, whole_number
from course_utils.data.augment import Augment

# Bytes of pictures to augment in one step: it hides the cost of the calls and fits in the cache.
_AT_ONCE = 2**19


class DataError(CourseError):
    """A data set that is missing, damaged, or not what its name says."""


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """Labelled pictures.

    Args:
        images: uint8 (N, C, H, W).
        labels: int64 (N,), places in `classes`.
        classes: The names of the classes.

    Raises:
        DataError: If the three do not belong together.
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
        shape = "×".join(map(str, self.images.shape[1:]))
        return f"ImageSet: {len(self):,} pictures of {shape}, {len(self.classes)} classes"

    def subset(self, indices: Tensor | np.ndarray | Sequence[int]) -> ImageSet:
        """The pictures at `indices` (integers, or one True or False for each picture), in order."""
        indices = torch.as_tensor(indices, device=self.images.device)
        if indices.dtype != torch.bool:
            indices = indices.long()
        return ImageSet(self.images[indices], self.labels[indices], self.classes)

    def few(self, count: int, *, seed: int = 0) -> ImageSet:
        """Return `count` pictures chosen at random, of each class the same number if possible.

        A larger choice with the same seed contains the smaller one.

        Raises:
            CourseError: If there are fewer pictures, or `count` is below 1.
        """
        if not 1 <= count <= len(self):
            raise CourseError(f"{count:,} of {len(self):,} pictures cannot be chosen.")
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        labels = self.labels[order].cpu()
        rank = torch.empty_like(labels)  # of each picture within its class
        for label in labels.unique():
            mine = labels == label
            rank[mine] = torch.arange(int(mine.sum()))
        chosen = order[torch.argsort(rank, stable=True)[:count]]
        return self.subset(chosen.sort().values)

    def mean_std(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each channel, pixels scaled to [0, 1]: float32 (C,) each.

        Counted in whole numbers, so every machine gets the same.

        Raises:
            DataError: If there is no picture.
        """
        if not len(self):
            raise DataError("An empty set of pictures has no mean: give at least one picture.")
        values = torch.arange(256, dtype=torch.float64) / 255
        counts = [
            torch.bincount(self.images[:, channel].reshape(-1), minlength=256).cpu()
            for channel in range(self.images.shape[1])
        ]
        shares = torch.stack(counts).double() / counts[0].sum()
        mean = shares @ values
        variance = (shares * (values - mean[:, None]) ** 2).sum(dim=1)
        return mean.float(), variance.sqrt().float()


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A named data set in three parts, with the statistics of its training pictures.

    Args:
        name: As `load_dataset` knows it.
        title: As people write it.
        train, validation, test: The three parts; `validation` may be empty.
        source: Where it came from: "COURSE_DATA_DIR", "cache", "shipped", "download", or "memory"
            if it was made by hand. Not part of the printed line, which is the same everywhere.

    Attributes:
        mean, std: float32 (C,) of the training pictures, scaled to [0, 1]. Computed, and from the
            training part alone: what validation and test look like must not leak into training.
    """

    name: str
    title: str
    train: ImageSet
    validation: ImageSet
    test: ImageSet
    source: str = "memory"
    mean: Tensor = field(init=False)
    std: Tensor = field(init=False)

    def __post_init__(self) -> None:
        for part in (self.validation, self.test):
            if part.classes != self.classes or part.images.shape[1:] != self.train.images.shape[1:]:
                raise DataError(
                    f"The parts of {self.title} do not fit each other: training is {self.train}, "
                    f"another part {part}."
                )
        mean, std = self.train.mean_std()
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "std", std)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.train.classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every picture."""
        return tuple(self.train.images.shape[1:])

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 pictures (..., C, H, W) as the network sees them: float32, mean 0, deviation 1.

        Raises:
            DataError: If `images` is not uint8, and so has perhaps been normalised before.
        """
        if images.dtype != torch.uint8:
            raise DataError(
                f"normalise takes uint8 pictures (0 to 255), not {_dtype_name(images)}."
            )
        return _normalise(*_shift_and_scale(self.mean, self.std, images.device), images)

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.image_shape))
        return (
            f"{self.title}: {len(self.train):,} training, {len(self.validation):,} validation and "
            f"{len(self.test):,} test pictures of {shape}, {len(self.classes)} classes"
        )


class Batches:
    """Batches of normalised pictures, cut from memory, with no worker processes.

    Args:
        image_set: The pictures. They are moved to `device` once, as uint8.
        batch_size: Pictures a batch; the last one may be smaller.
        mean, std: Of the training pictures, each channel scaled to [0, 1]: (C,) each.
        shuffle: Whether the order is random.
        augment: What is done to each picture at random; None for nothing.
        seed: Together with the epoch it fixes the order and the augmentation, whatever was drawn
            before. They are drawn on the CPU, so they are the same on every device.
        device: Of the batches; by default where the pictures are.
        drop_last: Leave the last batch out if it is smaller.
        rank, world_size: With several processes, only the part of `rank` of each batch is given,
            changed as in one process. Where a small last batch has nothing for it, that is one
            picture of another rank, which must not count.

    Iterating gives `(images, labels)`: float32 (B, C, H, W) and int64 (B,).

    Without `set_epoch`, every pass is the same pass:

    >>> from course_utils.data.load import load_dataset
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
        """Pictures of each batch, over all ranks."""
        count, size = len(self._images), self.batch_size
        return [min(size, count - start) for start in range(0, len(self) * size, size)]

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0 up, whose order and augmentation the next pass has."""
        self.epoch = whole_number("epoch", epoch, 0, error=DataError)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = _generator(self.seed, self.epoch)
        count, size = len(self._images), self._own_size(self.batch_size)
        # All of an epoch's random numbers at once: one copy to the device instead of one a batch,
        # and the same pictures whatever the batch size.
        order = torch.randperm(count, generator=generator) if self.shuffle else torch.arange(count)
        own = self._own_places() if self.world_size > 1 else slice(None)
        order = order[own].to(self.device)
        if self.augment is not None:
            drawn = self.augment.draw(count, tuple(self._images.shape[2:]), generator)
            raw = self._augmented(order, drawn[own].to(self.device), size)
        else:
            raw = map(functools.partial(torch.index_select, self._images, 0), order.split(size))
        # map of map, not a loop: no name keeps a uint8 batch, so that its memory is used again
        # while it is still in the cache.
        images = map(functools.partial(_normalise, self._shift, self._scale), raw)
        labels = self._labels.index_select(0, order).split(size)
        return itertools.islice(zip(images, labels, strict=False), len(self))

    def _own_size(self, size: int) -> int:
        """How many pictures of a batch of `size` are given."""
        part = part_of(size, self.rank, self.world_size)
        return max(1, part.stop - part.start)

    def _own_places(self) -> Tensor:
        """Where in an epoch the pictures of this rank are; as many of each batch but the last."""
        places = []
        for number, size in enumerate(self.sizes):
            start = part_of(size, self.rank, self.world_size).start
            first = number * self.batch_size + min(start, size - 1)
            places.append(torch.arange(first, first + self._own_size(size)))
        return torch.cat(places)

    def _augmented(self, order: Tensor, choices: Tensor, size: int) -> Iterator[Tensor]:
        """uint8 batches, several of them augmented in one step, which saves calls."""
        batch_bytes = size * self._images[:1].numel()
        step = size * max(1, _AT_ONCE // max(1, batch_bytes))
        for part, chosen in zip(order.split(step), choices.split(step), strict=True):
            images = self.augment.apply(self._images.index_select(0, part), chosen)
            yield from images.split(size)


def part_of(count: int, rank: int, world_size: int) -> slice:
    """Where the pictures of `rank` are among `count`; as `torch.tensor_split` cuts them.

    >>> [part_of(5, rank, 2) for rank in range(2)]
    [slice(0, 3, None), slice(3, 5, None)]
    """
    size, rest = divmod(count, world_size)
    start = rank * size + min(rank, rest)
    return slice(start, start + size + (rank < rest))


def _normalise(shift: Tensor, scale: Tensor, images: Tensor) -> Tensor:
    # One new tensor, then in place: a quarter of the time of (images / 255 - mean) / std.
    return images.float().sub_(shift).mul_(scale)


def _shift_and_scale(
    mean: Tensor | Sequence[float] | float,
    std: Tensor | Sequence[float] | float,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """(C, 1, 1) each, with which (x - shift) * scale of pixels 0 ... 255 is normalised."""
    mean = torch.as_tensor(mean, dtype=torch.float32).reshape(-1, 1, 1)
    std = torch.as_tensor(std, dtype=torch.float32).reshape(-1, 1, 1)
    if mean.shape != std.shape or not (mean.isfinite().all() and std.isfinite().all()):
        raise DataError("mean and std must be finite numbers, one of each for every channel.")
    if (std < 0).any():
        raise DataError(f"std must not be negative, but it is {std.flatten().tolist()}.")
    # A channel that is the same everywhere only loses its mean, as in scikit-learn's scaler.
    std = torch.where(std == 0, torch.ones_like(std), std)
    return (mean * 255).to(device), (1 / (255 * std)).to(device)


def _generator(seed: int, epoch: int) -> torch.Generator:
    """A generator for one epoch; neighbouring seeds and epochs have nothing in common."""
    # `randomness.mixed_seed` would do as well. But this decides the order of the pictures in every
    # training: another one would change the shipped weights, the results and all outputs.
    mixed = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(mixed[0]))


def _dtype_name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
