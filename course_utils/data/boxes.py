"""Pictures with boxes around the objects in them: a set, flips, and the file of such a data set.

The file is `<name>.npz` with, for `train` and `test`: `_jpegs` (the bytes of all JPEG files, one
after the other), `_ends` (where each file ends), `_boxes` (left, top, right, bottom), `_labels`
(the class of each box) and `_counts` (the number of boxes of each picture); and `classes`.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from course_utils.core import atomic_write, file_exists, reason_of, shape_text
from course_utils.data.npz import Header, check_class_header, class_names, read_arrays
from course_utils.data.sets import DataError, Dataset, ImageSet

_ASSETS = Path(__file__).parents[1] / "assets"
_TITLES = {"bccd": "BCCD (blood cells)"}
_PARTS = ("train", "test")
_KINDS = ("jpegs", "ends", "boxes", "labels", "counts")


@dataclass(frozen=True, eq=False, repr=False)
class BoxSet:
    """Pictures of one size, with a box and a class for each object.

    Args:
        images: uint8 (N, C, H, W).
        boxes: For each picture float32 (K, 4): left, top, right, bottom, in pixels from the upper
            left corner of the picture. K may be 0.
        labels: For each picture int64 (K,), indices into `classes`.
        classes: The names of the classes.

    Raises:
        DataError: If the parts do not fit each other, the pictures have no pixels, or a box has no
            area or lies outside its picture.
    """

    images: Tensor
    boxes: tuple[Tensor, ...]
    labels: tuple[Tensor, ...]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "boxes", tuple(self.boxes))
        object.__setattr__(self, "labels", tuple(self.labels))
        # An ImageSet checks the pictures.
        ImageSet(self.images, torch.zeros(len(self.images), dtype=torch.int64), ("",))
        if 0 in self.images.shape[1:]:
            raise DataError(
                f"The pictures have the shape {shape_text(self.images.shape[1:])}, so no pixels."
            )
        if not len(self.images) == len(self.boxes) == len(self.labels):
            raise DataError(
                f"There are {len(self.images)} pictures, but boxes for {len(self.boxes)} and "
                f"labels for {len(self.labels)}: give one tensor of each for every picture."
            )
        for number, (boxes, labels) in enumerate(zip(self.boxes, self.labels, strict=True)):
            self._check(number, boxes, labels)

    def _check(self, number: int, boxes: Tensor, labels: Tensor) -> None:
        """Raise an error unless these are boxes and labels of a picture."""
        if boxes.dtype != torch.float32 or boxes.dim() != 2 or boxes.shape[1] != 4:
            found = f"{boxes.dtype} of shape {tuple(boxes.shape)}".removeprefix("torch.")
            raise DataError(
                f"Boxes of picture {number}: give float32 of shape (K, 4), not {found}."
            )
        if labels.dtype != torch.int64 or labels.shape != boxes.shape[:1]:
            found = f"{labels.dtype} of shape {tuple(labels.shape)}".removeprefix("torch.")
            raise DataError(
                f"Labels of picture {number}: give int64 of shape ({len(boxes)},), one for each "
                f"box, not {found}."
            )
        height, width = self.images.shape[2:]
        left, top, right, bottom = boxes.unbind(1)
        # Written so that a NaN fails.
        area = (left < right) & (top < bottom)
        inside = (left >= 0) & (top >= 0) & (right <= width) & (bottom <= height)
        for right_one, what in (
            (area, "has no area: right must be larger than left, and bottom larger than top"),
            (inside, f"lies outside of its {width}×{height} pixels"),
        ):
            if not right_one.all():
                box = int((~right_one).nonzero()[0])
                sides = ", ".join(f"{side:g}" for side in boxes[box].tolist())
                raise DataError(f"Box {box} ({sides}) of picture {number} {what}.")
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.classes):
            raise DataError(
                f"Labels of picture {number} run from {labels.min()} to {labels.max()}, but there "
                f"are {len(self.classes)} classes, 0 to {len(self.classes) - 1}."
            )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        count = sum(map(len, self.boxes))
        shape = shape_text(self.images.shape[1:])
        return (
            f"BoxSet: {len(self):,} pictures of {shape} with {count:,} boxes, "
            f"{len(self.classes)} classes"
        )

    @property
    def counts(self) -> dict[str, int]:
        """The number of boxes of each class."""
        labels = torch.cat([torch.zeros(0, dtype=torch.int64), *self.labels])
        found = torch.bincount(labels, minlength=len(self.classes)).tolist()
        return dict(zip(self.classes, found, strict=True))

    def subset(self, indices: Tensor | np.ndarray | Sequence[int]) -> BoxSet:
        """Return the pictures at `indices`, integers."""
        chosen = torch.as_tensor(indices).long()
        boxes, labels = (tuple(part[k] for k in chosen) for part in (self.boxes, self.labels))
        return BoxSet(self.images[chosen], boxes, labels, self.classes)

    def flipped(self, *, horizontal: bool = False, vertical: bool = False) -> BoxSet:
        """Return all pictures mirrored left and right, upside down, or both, with their boxes."""
        height, width = self.images.shape[2:]
        images, boxes = self.images, list(self.boxes)
        for wanted, side, (low, high), size in (
            (horizontal, 3, (0, 2), width),
            (vertical, 2, (1, 3), height),
        ):
            if wanted:
                images = images.flip(side)
                boxes = [box.clone() for box in boxes]
                for box in boxes:
                    # What was the right edge is the left one now.
                    box[:, [low, high]] = size - box[:, [high, low]]
        return BoxSet(images, tuple(boxes), self.labels, self.classes)

    def with_flips(self) -> BoxSet:
        """Return each picture in four ways: as it is, mirrored, upside down, and both.

        All four are equally likely under a microscope. A photograph of a street is not: there, use
        `flipped(horizontal=True)` only.
        """
        ways = [(h, v) for v in (False, True) for h in (False, True)]
        sets = [self.flipped(horizontal=h, vertical=v) for h, v in ways]
        images = torch.cat([one.images for one in sets])
        boxes, labels = (
            sum((getattr(one, part) for one in sets), ()) for part in ("boxes", "labels")
        )
        return BoxSet(images, boxes, labels, self.classes)

    def mean_std(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of each channel, as `ImageSet.mean_std`."""
        labels = torch.zeros(len(self), dtype=torch.int64)
        return ImageSet(self.images, labels, ("",)).mean_std()

    def targets(self) -> Tensor:
        """Return boxes and classes as one tensor for a loss: float32 (N, most boxes, 5).

        Each row is label, left, top, right, bottom. Pictures with fewer boxes have rows with the
        label −1 at the end.
        """
        most = max((len(labels) for labels in self.labels), default=0)
        rows = torch.zeros(len(self), most, 5)
        rows[:, :, 0] = -1
        for row, boxes, labels in zip(rows, self.boxes, self.labels, strict=True):
            row[: len(boxes), 0] = labels.float()
            row[: len(boxes), 1:] = boxes
        return rows

    def check_every_class(self) -> None:
        """Raise a `DataError` if a class has no box, because nothing can be learnt about it."""
        if empty := [name for name, count in self.counts.items() if not count]:
            raise DataError(
                f"No picture has a {empty[0]!r}: add pictures of it, or leave the class out."
            )


def load_boxes(name: str = "bccd") -> Dataset:
    """Return a shipped data set with boxes: its parts `train` and `test` are `BoxSet`s.

    "bccd" are 292 + 72 photographs of blood under a microscope, 160×120 pixels, with red cells,
    white cells and platelets (BCCD, Shenggan and others 2017, MIT licence).

    Raises:
        DataError: If there is no such data set, or its file is damaged.
    """
    if name not in _TITLES:
        raise DataError(
            f"There are no boxes called {name!r}: take {', '.join(map(repr, _TITLES))}."
        )
    train, test = read_boxes(_ASSETS / f"{name}.npz")
    return Dataset(name, _TITLES[name], train, train.subset([]), test, "shipped")


def read_boxes(path: Path | str) -> tuple[BoxSet, BoxSet]:
    """Return the training and the test pictures of a file with boxes.

    Raises:
        DataError: If there is no such file, or it is damaged or has another format.
    """
    if not file_exists(path, DataError):
        raise DataError(f"There is no file {path}.")
    path = Path(path)
    needed = [f"{part}_{kind}" for part in _PARTS for kind in _KINDS]
    arrays = read_arrays(path, [*needed, "classes"], _check_headers)
    classes = class_names(path, arrays["classes"])
    return tuple(
        _box_set(path, part, [arrays[f"{part}_{kind}"] for kind in _KINDS], classes)
        for part in _PARTS
    )


def write_boxes(
    path: Path | str,
    jpegs: dict[str, Sequence[bytes]],
    boxes: dict[str, Sequence[np.ndarray]],
    labels: dict[str, Sequence[Sequence[int]]],
    classes: Sequence[str],
) -> None:
    """Write a file that `read_boxes` reads; each dictionary has the parts "train" and "test".

    Args:
        jpegs: The bytes of the JPEG files.
        boxes: For each picture (K, 4).
        labels: For each picture K whole numbers.

    Raises:
        FileError: If the file cannot be written.
    """
    arrays = {"classes": np.array(classes, dtype=np.str_)}
    for part in _PARTS:
        arrays |= {
            f"{part}_jpegs": np.frombuffer(b"".join(jpegs[part]), dtype=np.uint8),
            f"{part}_ends": np.cumsum([len(one) for one in jpegs[part]]),
            f"{part}_boxes": np.concatenate([np.reshape(b, (-1, 4)) for b in boxes[part]]).astype(
                np.float32
            ),
            f"{part}_labels": np.concatenate(
                [np.asarray(one, dtype=np.uint8) for one in labels[part]]
            ),
            f"{part}_counts": np.array([len(one) for one in labels[part]]),
        }
    with atomic_write(path) as file:
        np.savez_compressed(file, **arrays)


def _check_headers(path: Path, headers: dict[str, Header]) -> None:
    check_class_header(path, headers["classes"])
    for part in _PARTS:
        count = headers[f"{part}_ends"].shape
        total = headers[f"{part}_labels"].shape
        for kind, kinds, shape in (
            ("jpegs", "u", headers[f"{part}_jpegs"].shape[:1]),
            ("ends", "iu", count[:1]),
            ("counts", "iu", count[:1]),
            ("labels", "iu", total[:1]),
            ("boxes", "f", (*total[:1], 4)),
        ):
            header = headers[f"{part}_{kind}"]
            if header.dtype.kind not in kinds or header.shape != shape or not len(shape):
                raise DataError(
                    f"{path}: {part}_{kind} is {header.dtype} of shape "
                    f"{shape_text(header.shape)}, which does not fit the other arrays."
                )


def _box_set(
    path: Path, part: str, arrays: Sequence[np.ndarray], classes: tuple[str, ...]
) -> BoxSet:
    jpegs, ends, boxes, labels, counts = arrays
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    if not len(ends) or (ends <= starts).any() or ends[-1] != len(jpegs):
        raise DataError(f"{path}: {part}_ends are not the ends of the files in {part}_jpegs.")
    if (counts < 0).any() or counts.sum() != len(labels):
        raise DataError(
            f"{path}: {part}_counts add up to {counts.sum()}, but there are {len(labels)} boxes."
        )
    pictures = [
        _decoded(path, part, number, jpegs[start:end].tobytes())
        for number, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]
    sizes = {picture.shape for picture in pictures}
    if len(sizes) > 1:
        found = " and ".join(sorted(shape_text(size[:2]) for size in sizes)[:2])
        raise DataError(f"{path}: the pictures of {part} have different sizes: {found}.")
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
    split = counts.tolist()
    try:
        return BoxSet(
            images,
            torch.from_numpy(boxes.astype(np.float32)).split(split),
            torch.from_numpy(labels.astype(np.int64)).split(split),
            classes,
        )
    except DataError as error:
        raise DataError(f"{path}, {part}: {error}") from None


def _decoded(path: Path, part: str, number: int, jpeg: bytes) -> np.ndarray:
    """Return the pixels of a JPEG file: uint8 (height, width, 3)."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as picture:
            return np.array(picture.convert("RGB"))
    except Exception as error:  # a damaged picture raises nearly anything
        raise DataError(
            f"{path}: picture {number} of {part} cannot be read ({reason_of(error)})."
        ) from error
