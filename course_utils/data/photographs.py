"""Photographs: some that the package ships, and the reader's own."""

from __future__ import annotations

import contextlib
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import torch
from torch import Tensor

from course_utils.core import CourseError, file_exists, reason_of

if TYPE_CHECKING:
    from PIL.Image import Image

PHOTOGRAPHS = {
    "cat": "Chelsea, by Stéfan van der Walt, CC0",
    "coffee": "Coffee, by Rachel Michetti, CC0",
    "monkey": "Monkey, by samuelrodgers752, CC BY 2.0",
    "photographer": "Photographer, by Lav Varshney, CC0",
    "rocket": "Falcon 9, by SpaceX, public domain",
    "zebra": "Zebra, from Pixabay, CC0",
}
"""Names of the shipped photographs, and their credits."""

LARGEST = 1024
"""Longest side of a photograph in pixels; `load_photograph` makes larger ones smaller."""

_ASSETS = Path(__file__).parents[1] / "assets"


def load_photograph(source: str | os.PathLike[str] | BinaryIO = "cat") -> Tensor:
    """Return a photograph: uint8 (3, height, width), RGB.

    A shipped one is 256×256: "cat", "coffee", "monkey", "photographer", "rocket" or "zebra";
    `PHOTOGRAPHS` has their credits. Each was cropped and made smaller; the file README.md in the
    folder of assets says where they come from.

    Of your own file, the first picture is taken, and turned as the camera notes in it. What is
    transparent becomes white. 16 bits become 8. If a side is longer than 1,024 pixels, the picture
    is made smaller.

    Args:
        source: Name of a shipped photograph, path of your own picture, or a file that is open for
            reading bytes.

    Raises:
        CourseError: If there is no such file, or it is not a picture that Pillow can read, is
            damaged, or is extremely large.
    """
    from PIL import Image, UnidentifiedImageError

    file, name = _file(source)
    try:
        with contextlib.ExitStack() as opened:
            if isinstance(file, Path):
                # Pillow does not turn a grey TIFF picture if it opens the file itself.
                file = opened.enter_context(file.open("rb"))
            # Pillow warns of large pictures and of damaged notes; they can be read all the same.
            opened.enter_context(warnings.catch_warnings(action="ignore"))
            rgb = _rgb(_upright(opened.enter_context(Image.open(file))))
            rgb.thumbnail((LARGEST, LARGEST))
    except UnidentifiedImageError as error:
        raise CourseError(
            f"{name} is not a picture that can be read here: save it as JPEG or PNG."
        ) from error
    except Image.DecompressionBombError as error:
        raise CourseError(
            f"{name} has more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels: make it smaller first."
        ) from error
    except Exception as error:  # a damaged picture raises nearly anything
        raise CourseError(
            f"{name} cannot be read ({reason_of(error)}): it may be damaged; save it again as JPEG "
            "or PNG."
        ) from error
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1).contiguous()


def _file(source: str | os.PathLike[str] | BinaryIO) -> tuple[Path | BinaryIO, str]:
    """Return the path or the open file, and its name for the reader."""
    if isinstance(source, str) and source in PHOTOGRAPHS:
        path = _ASSETS / ("chelsea.png" if source == "cat" else f"{source}.jpg")
    elif hasattr(source, "read"):
        return source, str(getattr(source, "name", "The file"))
    elif isinstance(source, (str, os.PathLike)):
        path = Path(source).expanduser()
    else:
        raise CourseError(
            f"A {type(source).__name__} is not a photograph: give the path of a picture, or one of "
            f"{', '.join(map(repr, PHOTOGRAPHS))}."
        )
    if not file_exists(path, CourseError):
        raise CourseError(
            f"There is no file {path}: give the path of a picture, or one of "
            f"{', '.join(map(repr, PHOTOGRAPHS))}."
        )
    return path, str(path)


def _upright(picture: Image) -> Image:
    """Return the picture as the camera was held."""
    from PIL import ImageOps

    picture.draft(None, (LARGEST, LARGEST))  # JPEG: decodes a large picture at a smaller size
    picture.load()
    with contextlib.suppress(Exception):  # damaged notes do not say how it was held
        ImageOps.exif_transpose(picture, in_place=True)
    return picture


def _rgb(picture: Image) -> Image:
    from PIL import Image

    if picture.mode.startswith("I") or picture.mode == "F":
        picture = Image.fromarray(_eight_bits(np.asarray(picture)))
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    return picture.convert("RGB")


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Return grey values of 16 or 32 bits or floats as uint8; the largest possible one is white."""
    numbers = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0).clip(min=0)
    scales = {"u": (65535,), "i": (255, 65535), "f": (1, 255, 65535)}[values.dtype.kind]
    white = next((scale for scale in scales if numbers.max() <= scale), numbers.max())
    return (numbers * (255 / white)).round().astype(np.uint8)
