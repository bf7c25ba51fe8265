"""Make the file of the blood cells, `assets/bccd.npz`, from the original photographs.

    python -m course_utils.experiments.make_bccd FOLDER

FOLDER is a copy of https://github.com/Shenggan/BCCD_Dataset (MIT licence): it contains `LICENSE`
and `BCCD` with `Annotations`, `ImageSets` and `JPEGImages`. The photographs become 160×120 pixels.
The package works without FOLDER, because it ships the file.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from course_utils.core import CourseError, atomic_write
from course_utils.data import read_boxes, write_boxes

NAMES = {"RBC": "red cell", "WBC": "white cell", "Platelets": "platelet"}
SIZE = (160, 120)
QUALITY = 85
ASSETS = Path(__file__).parents[1] / "assets"


def read_picture(folder: Path, name: str) -> tuple[bytes, np.ndarray, list[int]]:
    """Return one photograph as a small JPEG file, with its boxes (K, 4) and labels.

    Boxes without an area are left out: in two photographs a red cell is marked by a single point.
    """
    objects = ElementTree.parse(folder / "BCCD" / "Annotations" / f"{name}.xml").iter("object")
    with Image.open(folder / "BCCD" / "JPEGImages" / f"{name}.jpg") as picture:
        scale = np.array(SIZE * 2) / np.array(picture.size * 2)
        small = picture.convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)
    boxes, labels = [], []
    for one in objects:
        sides = [float(one.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")]
        if sides[0] < sides[2] and sides[1] < sides[3]:
            boxes.append(sides * scale)
            labels.append(list(NAMES).index(one.findtext("name")))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue(), np.reshape(boxes, (-1, 4)), labels


def make(folder: Path, assets: Path = ASSETS) -> Path:
    """Write the file and, beside it, the licence; return the file's path.

    Raises:
        CourseError: If the folder has other contents, or a file cannot be written.
    """
    if not (folder / "BCCD" / "ImageSets" / "Main" / "test.txt").is_file():
        raise CourseError(f"{folder} has no BCCD/ImageSets/Main/test.txt: give a copy of BCCD.")
    jpegs, boxes, labels = {}, {}, {}
    for part, listed in (("train", "trainval"), ("test", "test")):
        names = (folder / "BCCD" / "ImageSets" / "Main" / f"{listed}.txt").read_text().split()
        pictures = [read_picture(folder, name) for name in sorted(names)]
        jpegs[part], boxes[part], labels[part] = zip(*pictures, strict=True)
    path = assets / "bccd.npz"
    write_boxes(path, jpegs, boxes, labels, list(NAMES.values()))
    read_boxes(path)  # raises an error if a box lies outside
    with atomic_write(assets / "bccd.LICENSE.txt") as file:
        file.write((folder / "LICENSE").read_bytes())
    return path


def main() -> None:
    """Read the command line and make the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="a copy of the BCCD data set")
    path = make(parser.parse_args().folder)
    print(f"{path.stat().st_size / 1e6:.2f} MB in {path}")


if __name__ == "__main__":
    main()
