"""Read and write the file of a data set.

The file is `<name>.npz` with `train_images`, `train_labels`, `test_images`, `test_labels` (images
uint8, N×H×W or N×H×W×C) and `classes` (the names, as text).
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch

from course_utils.core import atomic_write, error_line, file_exists, reason_of, shape_text
from course_utils.data.sets import DataError, ImageSet

_SUSPICIOUS = 100
"""Photographs become a third smaller by compression, drawings perhaps a tenth of their size."""

_HARMLESS = 2**28
"""Bytes up to which it does not matter how much an array was compressed."""


class Header(NamedTuple):
    """Type and size of an array, which the file has before its numbers."""

    dtype: np.dtype
    shape: tuple[int, ...]


def read_npz(path: Path | str) -> tuple[ImageSet, ImageSet]:
    """Return the training and the test pictures of a data file; check all bytes and labels.

    Types and sizes are checked before any array is read, so a small file that would need huge
    memory is refused at once.

    Raises:
        DataError: If there is no such file, or it is damaged or has another format.
    """
    if not file_exists(path, DataError):
        raise DataError(f"There is no file {path}.")
    path = Path(path)
    needed = [f"{part}_{kind}" for part in ("train", "test") for kind in ("images", "labels")]
    arrays = read_arrays(path, [*needed, "classes"], _check_headers)
    names = class_names(path, arrays["classes"])
    return tuple(_image_set(path, part, arrays, names) for part in ("train", "test"))


def write_npz(path: Path | str, train: ImageSet, test: ImageSet) -> None:
    """Write a data file; `path` appears only when the file is complete.

    The file is not compressed: photographs become only 8 % smaller, and reading takes a second.

    Raises:
        FileError: If the file cannot be written.
    """
    label_type = torch.uint8 if len(train.classes) <= 256 else torch.int64
    arrays = {}
    for part, image_set in (("train", train), ("test", test)):
        arrays[f"{part}_images"] = image_set.images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        arrays[f"{part}_labels"] = image_set.labels.to(label_type).cpu().numpy()
    with atomic_write(path) as file:
        np.savez(file, classes=np.array(train.classes, dtype=np.str_), **arrays)


def read_arrays(
    path: Path, needed: Sequence[str], check: Callable[[Path, dict[str, Header]], None]
) -> dict[str, np.ndarray]:
    """Return some arrays of an .npz file by name, after `check` has seen their types and sizes.

    Raises:
        DataError: If the file is damaged, an array is missing, or `check` raises it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            missing = [key for key in needed if f"{key}.npy" not in names]
            present = [key for key in needed if key not in missing]
            headers = {key: _read_header(archive, f"{key}.npy") for key in present}
            if not missing:
                check(path, headers)
                _check_sizes(path, [archive.getinfo(f"{key}.npy") for key in needed])
                arrays = {key: _read_array(archive, f"{key}.npy") for key in needed}
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason_of(error)}.") from error
    except Exception as error:
        # A damaged file may raise nearly anything: BadZipFile, zlib.error, EOFError, ValueError,
        # NotImplementedError, RuntimeError, MemoryError, struct.error, SyntaxError ...
        raise DataError(
            f"{path} is damaged or is not an .npz file of plain arrays ({error_line(error)}): "
            "delete it or replace it with a good copy."
        ) from error
    if missing:
        lacking, all_names = ", ".join(missing), ", ".join(needed)
        raise DataError(f"{path} has no {lacking}: a data set needs {all_names}.")
    return arrays


def _read_header(archive: zipfile.ZipFile, member: str) -> Header:
    """Return the header of an array; raise a ValueError if the archive says another size."""
    with archive.open(member) as file:
        header = _header_of(file)
        size = file.tell() + math.prod(header.shape) * header.dtype.itemsize
    if not header.dtype.hasobject and size != (found := archive.getinfo(member).file_size):
        raise ValueError(
            f"{member} is {'longer' if found > size else 'shorter'} than its header says"
        )
    return header


def _header_of(file: BinaryIO) -> Header:
    version = np.lib.format.read_magic(file)
    known = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in known:  # 3.0 is for the names of columns in other alphabets
        raise ValueError(f"the format {version} of an array is not known")
    shape, _, dtype = known[version](file)
    return Header(dtype, shape)


def _check_sizes(path: Path, parts: list[zipfile.ZipInfo]) -> None:
    there, claimed = path.stat().st_size, sum(part.file_size for part in parts)
    if claimed > max(_HARMLESS, _SUSPICIOUS * there):
        raise DataError(
            f"{path} has {there / 1e6:,.1f} MB and would need {claimed / 1e6:,.0f} MB of memory: "
            "pictures cannot be compressed that much, so nothing was read. If the file is right, "
            "write it again with numpy.savez, which does not compress."
        )


def _read_array(archive: zipfile.ZipFile, member: str) -> np.ndarray:
    with archive.open(member) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        # zipfile compares the checksum only when it has read to the end.
        if file.read():
            raise ValueError(f"{member} is longer than its header says")
    return array


def check_class_header(path: Path, header: Header) -> None:
    """Raise a `DataError` unless an array is a list of texts; a `ValueError` if it has objects."""
    if header.dtype.hasobject:
        raise ValueError("classes is an array of Python objects")
    if header.dtype.kind != "U" or len(header.shape) != 1:
        raise DataError(
            f"{path}: classes must be a list of different names, saved as text, not "
            f"{header.dtype} of shape {header.shape}."
        )


def class_names(path: Path, names: np.ndarray) -> tuple[str, ...]:
    """Return the names of the classes; raise a `DataError` if two are equal."""
    if len(set(names.tolist())) != len(names):
        raise DataError(f"{path}: classes must be a list of different names, but some are equal.")
    return tuple(names.tolist())


def _check_headers(path: Path, headers: dict[str, Header]) -> None:
    """Raise an error unless the types and sizes are those of pictures, labels and names."""
    check_class_header(path, headers["classes"])
    for part in ("train", "test"):
        dtype, shape = headers[f"{part}_images"]
        found = f"{dtype} of shape {shape_text(shape)}"
        if dtype != np.uint8 or len(shape) not in (3, 4) or not 1 <= (*shape, 1)[3] <= 4:
            raise DataError(
                f"{path}: {part}_images must be uint8 of shape N×H×W or N×H×W×C with 1 to 4 "
                f"channels, not {found}."
            )
        if 0 in shape:
            raise DataError(f"{path}: {part}_images is empty ({found}).")
        labels = headers[f"{part}_labels"]
        if labels.dtype.kind not in "iu" or labels.shape != shape[:1]:
            raise DataError(
                f"{path}: {part}_labels must be {shape[0]} whole numbers, one for each picture, "
                f"not {labels.dtype} of shape {shape_text(labels.shape)}."
            )
    one, other = ((*headers[f"{part}_images"].shape, 1)[1:4] for part in ("train", "test"))
    if one != other:
        one, other = (shape_text((channels, *size)) for *size, channels in (one, other))
        raise DataError(
            f"{path}: the training pictures are {one}, the test pictures {other}: they must have "
            "the same shape."
        )


def _image_set(
    path: Path, part: str, arrays: dict[str, np.ndarray], classes: tuple[str, ...]
) -> ImageSet:
    images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
    pictures = torch.from_numpy(images.reshape(*(*images.shape, 1)[:4])).permute(0, 3, 1, 2)
    try:
        return ImageSet(pictures.contiguous(), torch.from_numpy(labels.astype(np.int64)), classes)
    except DataError as error:
        raise DataError(f"{path}: {part}_{error}") from None
