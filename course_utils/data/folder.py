"""The reader's own pictures: a folder with one sub-folder for each class.

    pets/cat/mimi.jpg    pets/cat/IMG_2041.png    pets/dog/rex.jpg    ...

This is the convention of torchvision's `ImageFolder`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

import torch
import torch.nn.functional as F
from torch import Tensor

from course_utils.core import CourseError, is_number, whole_number
from course_utils.data.photographs import load_photograph
from course_utils.data.sets import DataError, Dataset, ImageSet

Source = str | os.PathLike[str] | BinaryIO

SUFFIXES = {
    *(".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm"),
}
"""Ends of the names of pictures, in small letters."""

_NO_PICTURES = {"thumbs.db", "desktop.ini"}  # Windows writes them into folders of pictures
_PARTS = {"train", "training", "val", "valid", "validation", "test"}
_NAMED = 3  # files that a sentence names


def load_folder(
    folder: str | os.PathLike[str], *, size: int = 96, test: float = 0.25, seed: int = 0
) -> Dataset:
    """Return the pictures of a folder as a data set; the sub-folders are the classes.

    Each picture becomes a colour picture of size × size: it is turned as the camera was held, what
    is transparent becomes white, and its middle square is made smaller or larger (see
    `load_photograph`). Pictures in deeper folders count to the class above them. Hidden files are
    left out.

    Args:
        folder: Has at least two sub-folders with at least two pictures each.
        size: Side of the pictures in the data set, in pixels.
        test: Share of each class that is set aside for the test, at least one picture.
        seed: Of that choice.

    Returns:
        A data set of the folder's name, without validation pictures. The classes are sorted.

    Raises:
        DataError: If there are fewer classes or pictures, or a file cannot be read. It names the
            files; no picture is left out in silence.
    """
    path = Path(folder).expanduser()
    if not (is_number(test) and 0 < test < 1):
        raise DataError(f"test={test!r}: give a share above 0 and below 1, such as 0.25.")
    whole_number("seed", seed, 0, error=DataError)
    files = _files(path)
    for name, some in files.items():
        if len(some) < 2:
            raise DataError(
                f"{name} has {len(some) or 'no'} picture{'s' * (not some)}, but a class needs at "
                "least two: one to learn from and one to test with."
            )
    return split_for_test(labelled_pictures(files, size=size), path.name, test=test, seed=seed)


def labelled_pictures(files: Mapping[str, Iterable[Source]], *, size: int = 96) -> ImageSet:
    """Return pictures of several classes as one set, each size × size, in colour.

    Args:
        files: Class -> its pictures: paths, or files that are open for reading bytes.

    Raises:
        DataError: If there are fewer than two classes, a class has no picture, or files cannot be
            read.
    """
    whole_number("size", size, 1, error=DataError)
    if len(files) < 2:
        found = f"only the class {next(iter(files))}" if files else "no class"
        raise DataError(f"There is {found}: a classifier needs at least two.")
    files = {name: list(sources) for name, sources in files.items()}
    if lacking := [name for name, sources in files.items() if not sources]:
        raise DataError(f"There is no picture of {', '.join(lacking)}: give at least one.")
    found = {name: _read(sources, size) for name, sources in files.items()}
    broken = [sentence for _, sentences in found.values() for sentence in sentences]
    _require_read(broken, sum(map(len, files.values())))
    images = [picture for pictures, _ in found.values() for picture in pictures]
    labels = [label for label, (some, _) in enumerate(found.values()) for _ in some]
    return ImageSet(torch.stack(images), torch.tensor(labels), tuple(files))


def read_pictures(sources: Iterable[Source], *, size: int = 96) -> Tensor:
    """Return pictures as uint8 (N, 3, size, size), read as in `load_folder`.

    Args:
        sources: Paths, or files that are open for reading bytes.

    Raises:
        DataError: If there is no picture, or files cannot be read. It names up to three of them.
    """
    whole_number("size", size, 1, error=DataError)
    sources = list(sources)
    if not sources:
        raise DataError("There is no picture: give at least one.")
    pictures, broken = _read(sources, size)
    _require_read(broken, len(sources))
    return torch.stack(pictures)


def _read(sources: Iterable[Source], size: int) -> tuple[list[Tensor], list[str]]:
    """Return the pictures that can be read, and a sentence for each other file."""
    pictures, broken = [], []
    for source in sources:
        try:
            pictures.append(square(load_photograph(source), size))
        except CourseError as error:
            broken.append(str(error))
    return pictures, broken


def _require_read(broken: list[str], count: int) -> None:
    if broken:
        raise DataError(
            f"{len(broken)} of {count} file{'s' * (count != 1)} cannot be used. "
            f"{' '.join(broken[:_NAMED])}{' ...' * (len(broken) > _NAMED)}"
        )


def split_for_test(pictures: ImageSet, name: str, *, test: float, seed: int = 0) -> Dataset:
    """Return a data set in which a share of each class, at least one picture, is the test part."""
    generator = torch.Generator().manual_seed(seed)
    held_out = torch.zeros(len(pictures), dtype=torch.bool)
    for label in range(len(pictures.classes)):
        places = (pictures.labels == label).nonzero().flatten()
        count = min(max(1, round(test * len(places))), len(places) - 1)
        order = torch.randperm(len(places), generator=generator)
        held_out[places[order[: max(0, count)]]] = True
    train, held = pictures.subset(~held_out), pictures.subset(held_out)
    return Dataset(name, name, train, pictures.subset([]), held)


def square(picture: Tensor, size: int) -> Tensor:
    """Return the middle square of a picture uint8 (C, height, width), made size × size."""
    side = min(picture.shape[1:])
    top, left = ((length - side) // 2 for length in picture.shape[1:])
    middle = picture[:, top : top + side, left : left + side]
    return resized(middle[None], size)[0]


def resized(pictures: Tensor, size: int) -> Tensor:
    """Return uint8 pictures (N, C, height, width), made size × size (bicubic, without aliasing)."""
    if pictures.shape[2:] == (size, size):
        return pictures
    larger = F.interpolate(pictures.float(), (size, size), mode="bicubic", antialias=True)
    return larger.round_().clamp_(0, 255).to(torch.uint8)


def _files(path: Path) -> dict[str, list[Path]]:
    """Return class -> paths of its pictures, all sorted."""
    try:
        entries = sorted(entry for entry in path.iterdir() if not _hidden(entry))
        folders = [entry for entry in entries if entry.is_dir()]
        loose = [entry for entry in entries if entry.suffix.lower() in SUFFIXES]
        found = {folder.name: _below(folder) for folder in folders}
    except OSError as error:
        if not path.is_dir():
            raise DataError(
                f"There is no folder {path}: give one with a sub-folder for each class."
            ) from error
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
    if loose:
        raise DataError(
            f"{_named(loose)} in {path} {'is' if len(loose) == 1 else 'are'} in no class: put each "
            "picture into a sub-folder with the name of its class."
        )
    if len(found) < 2:
        there = f"only one sub-folder, {next(iter(found))}" if found else "no sub-folder"
        raise DataError(
            f"{path} has {there}: a classifier needs one for each class, and at least two classes."
        )
    if {name.lower() for name in found} <= _PARTS:
        raise DataError(
            f"The sub-folders of {path} are {', '.join(found)}: these look like parts of a data "
            f"set, not like classes. Give one of them, such as {path / next(iter(found))}."
        )
    strange = [p for paths in found.values() for p in paths if p.suffix.lower() not in SUFFIXES]
    if strange:
        raise DataError(
            f"{_named(strange)} {'is not a picture' if len(strange) == 1 else 'are not pictures'} "
            "that can be read here: save as JPEG or PNG, or take them out of the folder."
        )
    return found


def _below(folder: Path) -> list[Path]:
    """Return all files in `folder` and deeper, sorted."""
    paths: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths += (Path(place, name) for name in names)
    return sorted(path for path in paths if not _hidden(path))


def _raise(error: OSError) -> None:
    raise error


def _hidden(path: Path) -> bool:
    return path.name.startswith((".", "__MACOSX")) or path.name.lower() in _NO_PICTURES


def _named(paths: list[Path]) -> str:
    names = ", ".join(path.name for path in paths[:_NAMED])
    more = len(paths) - _NAMED
    return names if more <= 0 else f"{names} and {more} more"
