"""Find and read the course's data sets.

A data set is one file `<name>.npz`; the module `npz` describes its format. For your own data set,
put such a file in a folder and set the environment variable `COURSE_DATA_DIR` to that folder.

>>> data = load_dataset("fashion-mnist")
>>> print(data)
Fashion-MNIST: 9,000 training, 1,000 validation and 2,000 test pictures of 1×28×28, 10 classes
"""

from __future__ import annotations

import difflib
import glob
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from course_utils.core import file_exists, is_number, shape_text
from course_utils.data.cifar10 import download_cifar10
from course_utils.data.npz import read_npz
from course_utils.data.sets import DataError, Dataset, ImageSet

_ASSETS = Path(__file__).parents[1] / "assets"


@dataclass(frozen=True)
class _Known:
    """The content that a known data set's file must have; no other file is taken for it."""

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
    "emoji": _Known(
        title="Emoji",
        file="emoji.npz",
        image_shape=(3, 64, 64),
        classes=(
            *("mammals", "other animals", "plants and fruit", "dishes"),
            *("vehicles", "buildings", "clothes", "tools"),
        ),
        per_class=(30, 15),
    ),
}

_DOWNLOADS = {"cifar10": download_cifar10}


def load_dataset(
    name: str, *, validation: float = 0.1, seed: int = 0, download: bool = False
) -> Dataset:
    """Load the data set `name` and split its training pictures into training and validation.

    The file is searched for in the folder `$COURSE_DATA_DIR`, then in `cache_dir()`, then in this
    package; `Dataset.source` says where it was found. If it is in none of them and `download` is
    true, it is downloaded and kept in `cache_dir()`. A file that is damaged or contains another
    data set is an error: it is never skipped or replaced.

    Args:
        name: "fashion-mnist" (the shipped 10,000 + 2,000 pictures of Xiao et al. 2017), "emoji"
            (240 + 120 of Google's Noto emoji in eight classes, shipped), "cifar10" (Krizhevsky
            2009; not shipped, because it has no licence), or "pets" for your own `pets.npz`.
        validation: Share of the training pictures to set aside, the same in every class; 0 for
            none.
        seed: The seed of that split.
        download: Whether a missing CIFAR-10 may be downloaded (170 MB, from a host that is often
            slow; the next call continues a download that stopped).

    Raises:
        DataError: If there is no such data set, or its file is damaged or wrong.
    """
    if not (is_number(validation) and 0 <= validation < 1):
        raise DataError(f"validation={validation!r}: give a share from 0 to below 1, such as 0.1.")
    path, source = _find(name)
    if path is None:
        if not download:
            raise DataError(_not_found(name))
        if name not in _DOWNLOADS:
            can = " and ".join(map(repr, _DOWNLOADS))
            raise DataError(f"{_not_found(name)} Only {can} can be downloaded.")
        path, source = _DOWNLOADS[name](cache_dir()), "download"
    pictures, test = read_npz(path)
    known = _KNOWN.get(name)
    if known is not None:
        _check_known(known, path, pictures, test)
    train, held_out = _split(pictures, validation, seed)
    return Dataset(name, known.title if known else name, train, held_out, test, source)


def cache_dir() -> Path:
    """Return the folder for downloaded data; it is made when the first file is written.

    It is `$COURSE_CACHE_DIR` if that is set, otherwise `cnn-course` in the platform's cache folder:
    `$XDG_CACHE_HOME` or `~/.cache`, on macOS `~/Library/Caches`, on Windows `%LOCALAPPDATA%`. A
    user without a home folder has it among the temporary files.
    """
    if own := _folder_of("COURSE_CACHE_DIR"):
        return own
    try:
        if sys.platform == "win32":
            base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # as in a container that runs with the number of an unknown user
        base = tempfile.gettempdir()
    return Path(base) / "cnn-course"


def _folder_of(variable: str) -> Path | None:
    """Return the folder that an environment variable names; None if it is not set."""
    text = os.environ.get(variable)
    try:
        return Path(text).expanduser() if text else None
    except RuntimeError as error:  # the user after ~ is not known
        raise DataError(
            f"{variable}={text!r} cannot be used ({error}): set it to the full path of a folder."
        ) from error


def _check_known(known: _Known, path: Path, train: ImageSet, test: ImageSet) -> None:
    """Raise an error unless the file contains the data set that its name says."""
    shape = tuple(train.images.shape[1:])
    if shape != known.image_shape:
        found, right = f"its pictures are {shape_text(shape)}", shape_text(known.image_shape)
    elif train.classes != known.classes:
        found, right = f"its classes are {', '.join(train.classes)}", ", ".join(known.classes)
    else:
        classes = len(known.classes)
        counts = [torch.bincount(part.labels).tolist() for part in (train, test)]
        if counts == [[per_class] * classes for per_class in known.per_class]:
            return
        totals = " and ".join(f"{per_class * classes:,}" for per_class in known.per_class)
        found = f"it has {len(train):,} training and {len(test):,} test pictures"
        right = f"{totals}, the same number of every class"
    raise DataError(
        f"{path} is not {known.title}: {found}, but {known.title} has {right}. "
        "Rename the file, and load it by its new name."
    )


def _split(pictures: ImageSet, validation: float, seed: int) -> tuple[ImageSet, ImageSet]:
    if validation == 0:
        return pictures, pictures.subset([])
    from sklearn.model_selection import train_test_split

    try:
        settings = {"test_size": validation, "stratify": pictures.labels, "random_state": seed}
        train, held_out = train_test_split(np.arange(len(pictures)), **settings)
    except ValueError as error:
        raise DataError(
            f"A share of {validation:g} of {len(pictures):,} pictures in {len(pictures.classes)} "
            f"classes cannot be set aside for validation with seed {seed!r}: {error}"
        ) from error
    # Sorted, so that both parts keep the file's order.
    return pictures.subset(np.sort(train)), pictures.subset(np.sort(held_out))


def _find(name: str) -> tuple[Path | None, str]:
    """Return the file of the data set `name` and where it was found, or (None, "")."""
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
        raise DataError(
            f"{name!r} is not the name of a data set: give a name such as 'fashion-mnist', not a "
            "path; the name of your own data set is its file's name without .npz."
        )
    file = _file_of(name)
    for source, folder in _folders().items():
        # The files of the package are found only by the known names.
        if (source != "shipped" or name in _KNOWN) and _is_there(folder / file, source):
            return folder / file, source
    return None, ""


def _is_there(path: Path, source: str) -> bool:
    # The cache of another user may not be read; then it has nothing for this one.
    if source == "cache" and not os.access(path.parent, os.R_OK | os.X_OK):
        return False
    return file_exists(path, DataError)


def _file_of(name: str) -> str:
    return _KNOWN[name].file if name in _KNOWN else f"{name}.npz"


def _folders() -> dict[str, Path]:
    """Return the folders in which data sets are searched for, in order."""
    own = _folder_of("COURSE_DATA_DIR")
    folders = {"COURSE_DATA_DIR": own} if own else {}
    return {**folders, "cache": cache_dir(), "shipped": _ASSETS}


def _not_found(name: str) -> str:
    folders = _folders()
    own = folders.get("COURSE_DATA_DIR")
    lacking = ", which is not a folder" if own and not os.path.isdir(own) else ""
    where = f"$COURSE_DATA_DIR ({own or 'not set'}{lacking}) or in {folders['cache']}"
    if name in _DOWNLOADS:
        return (
            f"{_KNOWN[name].title} is not on this computer: {_file_of(name)} is not in {where}. "
            f"load_dataset({name!r}, download=True) downloads it (170 MB, often slow)."
        )
    return f"There is no data set {name!r}{_similar(name)} {_file_of(name)} is not in {where}."


def _similar(name: str) -> str:
    """Return the names most similar to `name`, as the middle of a sentence."""

    def plain(text: str) -> str:
        return re.sub(r"[\W_]", "", text.lower())

    # Not Path.glob, which raises an error in a folder that may not be read.
    patterns = (os.path.join(glob.escape(str(f)), "*.npz") for f in list(_folders().values())[:-1])
    own = (Path(path).stem for pattern in patterns for path in glob.glob(pattern))
    files = {known.file.removesuffix(".npz") for known in _KNOWN.values()}
    names = {plain(known): known for known in [*sorted(set(own) - files), *_KNOWN]}
    close = [names[key] for key in difflib.get_close_matches(plain(name), names, cutoff=0.5)]
    if close:
        return f"; did you mean {' or '.join(map(repr, close))}?"
    return f"; there are {', '.join(map(repr, names.values()))}."
