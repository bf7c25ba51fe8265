"""Finding and reading the course's data sets.

A data set is one file `<name>.npz` of the format that `course_utils.data.npz` describes. Your own
data set is such a file in the folder that the environment variable `COURSE_DATA_DIR` names.

>>> data = load_dataset("fashion-mnist")
>>> print(data)
Fashion-MNIST: 9,000 training, 1,000 validation and 2,000 test pictures of 1×28×28, 10 classes
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from course_utils.data.cifar10 import download_cifar10
from course_utils.data.npz import read_npz, shape_text, write_npz
from course_utils.data.sets import Batches, DataError, Dataset, ImageSet

__all__ = [
    "Batches",
    "DataError",
    "Dataset",
    "ImageSet",
    "cache_dir",
    "load_dataset",
    "load_photograph",
    "read_npz",
    "write_npz",
]

_ASSETS = Path(__file__).parents[1] / "assets"


@dataclass(frozen=True)
class _Known:
    """What a data set of a known name must hold; anything else is another data set."""

    title: str
    file: str
    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    per_class: tuple[int, int]  # training and test pictures of each class


_KNOWN = {
    "fashion-mnist": _Known(
        title="Fashion-MNIST",
        file="fashion_mnist_small.npz",
        image_shape=(1, 28, 28),
        classes=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        per_class=(1000, 200),
    ),
    "cifar10": _Known(
        title="CIFAR-10",
        file="cifar10.npz",
        image_shape=(3, 32, 32),
        classes=(
            *("airplane", "automobile", "bird", "cat", "deer"),
            *("dog", "frog", "horse", "ship", "truck"),
        ),
        per_class=(5000, 1000),
    ),
}

_DOWNLOADS = {"cifar10": download_cifar10}


def load_dataset(
    name: str, *, validation: float = 0.1, seed: int = 0, download: bool = False
) -> Dataset:
    """The data set `name`, its training pictures split into training and validation.

    It is looked for in the folder that `$COURSE_DATA_DIR` names, then in `cache_dir()`, then among
    the files of this package; `Dataset.source` says where it was. Only if it is nowhere and
    `download` is true is it fetched, and kept in `cache_dir()`. A file that is damaged or holds
    another data set is never skipped, replaced or passed off: it is an error.

    Args:
        name: "fashion-mnist" (the shipped 10,000 + 2,000 pictures of Xiao et al. 2017), "cifar10"
            (Krizhevsky 2009; not shipped, as it has no licence), or N for your own `N.npz`.
        validation: Share of the training pictures to set aside, the same of every class; 0 for
            none.
        seed: Of that split.
        download: Whether a missing CIFAR-10 may be downloaded (170 MB, from a host that is often
            slow; it goes on where it stopped).

    Raises:
        DataError: If there is no such data set, or its file is not as it should be.
    """
    if isinstance(validation, bool) or not 0 <= validation < 1:
        raise DataError(f"validation={validation!r}: give a share from 0 to below 1, such as 0.1.")
    path, source = _find(name)
    if path is None:
        if not download:
            raise DataError(_not_found(name))
        path, source = _download(name), "download"
    pictures, test = read_npz(path)
    known = _KNOWN.get(name)
    if known is not None:
        _check_known(known, path, pictures, test)
    train, held_out = _split(pictures, validation, seed)
    return Dataset(name, known.title if known else name, train, held_out, test, source)


def cache_dir() -> Path:
    """Folder for downloaded data: `$COURSE_CACHE_DIR`, or `cnn-course` in the platform's usual one.

    That is `$XDG_CACHE_HOME` or `~/.cache`, on macOS `~/Library/Caches`, on Windows
    `%LOCALAPPDATA%`. It is made when something is kept in it.
    """
    if own := os.environ.get("COURSE_CACHE_DIR"):
        return Path(own).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cnn-course"


def load_photograph() -> Tensor:
    """A photograph of the cat Chelsea: uint8 (3, 256, 256), RGB.

    By Stéfan van der Walt, CC0, from the pictures of scikit-image, cropped and made smaller.
    """
    from PIL import Image

    with Image.open(_ASSETS / "chelsea.png") as picture:
        return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1).contiguous()


def _check_known(known: _Known, path: Path, train: ImageSet, test: ImageSet) -> None:
    """Raise unless the file holds the data set that it is named for."""
    shape = tuple(train.images.shape[1:])
    if shape != known.image_shape:
        found, right = f"its pictures are {shape_text(shape)}", shape_text(known.image_shape)
    elif train.classes != known.classes:
        found, right = f"its classes are {', '.join(train.classes)}", ", ".join(known.classes)
    else:
        counts = [torch.bincount(part.labels, minlength=10).tolist() for part in (train, test)]
        if counts == [[per_class] * len(known.classes) for per_class in known.per_class]:
            return
        totals = [per_class * len(known.classes) for per_class in known.per_class]
        found = f"it has {len(train):,} training and {len(test):,} test pictures"
        right = f"{totals[0]:,} and {totals[1]:,}, the same number of every class"
    raise DataError(
        f"{path} does not hold {known.title}: {found}, where {known.title} has {right}. "
        "Rename it, and load it under its new name."
    )


def _split(pictures: ImageSet, validation: float, seed: int) -> tuple[ImageSet, ImageSet]:
    if validation == 0:
        return pictures, pictures.subset([])
    from sklearn.model_selection import train_test_split

    try:
        train, held_out = train_test_split(
            np.arange(len(pictures)),
            test_size=validation,
            stratify=pictures.labels.numpy(),
            random_state=seed,
        )
    except ValueError as error:
        raise DataError(
            f"A share of {validation:g} of {len(pictures):,} pictures in {len(pictures.classes)} "
            f"classes cannot be set aside for validation with seed {seed!r}: {error}"
        ) from error
    # The file's order, so that the first pictures are the first ones of the file.
    return pictures.subset(np.sort(train)), pictures.subset(np.sort(held_out))


def _find(name: str) -> tuple[Path | None, str]:
    """The file of the data set `name` and where it was found, or (None, "")."""
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
        raise DataError(
            f"{name!r} is no name of a data set: give a name such as 'fashion-mnist', not a path; "
            "for your own data set it is the file's name without .npz."
        )
    file = _file_of(name)
    for source, folder in _folders().items():
        # What the package ships is found by its known names only.
        if (source != "shipped" or name in _KNOWN) and (folder / file).is_file():
            return folder / file, source
    return None, ""


def _file_of(name: str) -> str:
    return _KNOWN[name].file if name in _KNOWN else f"{name}.npz"


def _folders() -> dict[str, Path]:
    """Where data sets are looked for, in order."""
    own = os.environ.get("COURSE_DATA_DIR")
    folders = {"COURSE_DATA_DIR": Path(own).expanduser()} if own else {}
    return {**folders, "cache": cache_dir(), "shipped": _ASSETS}


def _not_found(name: str) -> str:
    folders = _folders()
    own = folders.get("COURSE_DATA_DIR")
    where = f"$COURSE_DATA_DIR ({own if own else 'not set'}) and in {folders['cache']}"
    if own and not own.is_dir():
        where = f"$COURSE_DATA_DIR ({own}, which is no folder) and in {folders['cache']}"
    if name in _DOWNLOADS:
        return (
            f"{_KNOWN[name].title} is not on this computer: {_file_of(name)} was looked for in "
            f"{where}. load_dataset({name!r}, download=True) fetches it (170 MB, often slow)."
        )
    similar = _similar(name)
    return f"There is no data set {name!r}{similar} {_file_of(name)} was looked for in {where}."


def _similar(name: str) -> str:
    """The names nearest to `name`, as the middle of a sentence."""

    def plain(text: str) -> str:
        return re.sub(r"[\W_]", "", text.lower())

    own = (path.stem for folder in list(_folders().values())[:-1] for path in folder.glob("*.npz"))
    files = {known.file.removesuffix(".npz") for known in _KNOWN.values()}
    names = {plain(known): known for known in [*sorted(set(own) - files), *_KNOWN]}
    close = [names[key] for key in difflib.get_close_matches(plain(name), names, cutoff=0.5)]
    if close:
        return f"; did you mean {' or '.join(map(repr, close))}?"
    return f"; there are {', '.join(map(repr, names.values()))}."


def _download(name: str) -> Path:
    if name not in _DOWNLOADS:
        can = " and ".join(map(repr, _DOWNLOADS))
        raise DataError(f"{_not_found(name)} Only {can} can be downloaded.")
    return _DOWNLOADS[name](cache_dir())
