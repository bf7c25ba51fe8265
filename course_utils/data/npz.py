"""Read and write the file of a data set.

The file is `<name>.npz` with `train_images`, `train_labels`, `test_images`, `test_labels` (images
uint8, N×H×W or N×H×W×C) and `classes` (the names, as text).
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch

from course_utils.core import atomic_write, shape_text
from course_utils.data.sets import DataError, ImageSet


def read_npz(path: Path | str) -> tuple[ImageSet, ImageSet]:
    """Return the training and the test pictures of a data file; check all bytes and labels.

    Raises:
        DataError: If the file is damaged or has another format.
    """
    path = Path(path)
    arrays = _read_arrays(path)
    classes = arrays["classes"]
    if classes.dtype.kind != "U" or classes.ndim != 1 or len(set(classes.tolist())) != len(classes):
        raise DataError(
            f"{path}: classes must be a list of different names, saved as text, not "
            f"{classes.dtype} of shape {classes.shape}."
        )
    names = tuple(classes.tolist())
    train, test = (_image_set(path, part, arrays, names) for part in ("train", "test"))
    one, other = (shape_text(part.images.shape[1:]) for part in (train, test))
    if one != other:
        raise DataError(
            f"{path}: the training pictures are {one}, the test pictures {other}: they must have "
            "the same shape."
        )
    return train, test


def write_npz(path: Path | str, train: ImageSet, test: ImageSet) -> None:
    """Write a data file; `path` appears only when the file is complete.

    The file is not compressed: photographs become only 8 % smaller, and reading takes a second.

    Raises:
        OSError: If the file cannot be written.
    """
    label_type = torch.uint8 if len(train.classes) <= 256 else torch.int64
    arrays = {}
    for part, image_set in (("train", train), ("test", test)):
        arrays[f"{part}_images"] = image_set.images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        arrays[f"{part}_labels"] = image_set.labels.to(label_type).cpu().numpy()
    with atomic_write(path) as file:
        np.savez(file, classes=np.array(train.classes, dtype=np.str_), **arrays)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    needed = [f"{part}_{kind}" for part in ("train", "test") for kind in ("images", "labels")]
    needed.append("classes")
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            missing = [key for key in needed if f"{key}.npy" not in names]
            present = [key for key in needed if key not in missing]
            arrays = {key: _read_array(archive, f"{key}.npy") for key in present}
    except PermissionError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except Exception as error:
        # A damaged file may raise nearly anything: BadZipFile, zlib.error, EOFError, ValueError,
        # NotImplementedError, RuntimeError, MemoryError, struct.error, SyntaxError ...
        reason = f"{type(error).__name__}: {error}".splitlines()[0].removesuffix(": ")
        raise DataError(
            f"{path} is damaged or is not an .npz file of plain arrays ({reason}): "
            "delete it or replace it with a good copy."
        ) from error
    if missing:
        lacking, all_names = ", ".join(missing), ", ".join(needed)
        raise DataError(f"{path} has no {lacking}: a data set needs {all_names}.")
    return arrays


def _read_array(archive: zipfile.ZipFile, member: str) -> np.ndarray:
    with archive.open(member) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        # zipfile compares the checksum only when it has read to the end.
        if file.read():
            raise ValueError(f"{member} is longer than its header says")
    return array


def _image_set(
    path: Path, part: str, arrays: dict[str, np.ndarray], classes: tuple[str, ...]
) -> ImageSet:
    images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
    found = f"{images.dtype} of shape {shape_text(images.shape)}"
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype != np.uint8 or images.ndim != 4 or not 1 <= images.shape[-1] <= 4:
        raise DataError(
            f"{path}: {part}_images must be uint8 of shape N×H×W or N×H×W×C with 1 to 4 channels, "
            f"not {found}."
        )
    if 0 in images.shape:
        raise DataError(f"{path}: {part}_images is empty ({found}).")
    if labels.dtype.kind not in "iu" or labels.shape != (len(images),):
        raise DataError(
            f"{path}: {part}_labels must be {len(images)} whole numbers, one for each picture, "
            f"not {labels.dtype} of shape {shape_text(labels.shape)}."
        )
    pictures = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    try:
        return ImageSet(pictures, torch.from_numpy(labels.astype(np.int64)), classes)
    except DataError as error:
        raise DataError(f"{path}: {part}_{error}") from None
