"""The file of the blood cells is made from photographs and their boxes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from course_utils.core import CourseError
from course_utils.data import read_boxes
from course_utils.experiments.make_bccd import make

OBJECT = (
    "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax>"
    "</bndbox></object>"
)


def test_the_file_is_made(tmp_path):
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (tmp_path / "BCCD" / name).mkdir(parents=True)
    (tmp_path / "LICENSE").write_text("MIT")
    cells = {
        "one": [("RBC", 40, 80, 120, 160), ("RBC", 9, 9, 9, 9)],
        "two": [("WBC", 0, 0, 640, 480)],
    }
    for name, objects in cells.items():
        text = "".join(OBJECT.format(*each) for each in objects)
        (tmp_path / "BCCD" / "Annotations" / f"{name}.xml").write_text(
            f"<annotation>{text}</annotation>"
        )
        picture = Image.fromarray(np.full((480, 640, 3), 90, dtype=np.uint8))
        picture.save(tmp_path / "BCCD" / "JPEGImages" / f"{name}.jpg")
    for listed, name in (("trainval", "one"), ("test", "two")):
        (tmp_path / "BCCD" / "ImageSets" / "Main" / f"{listed}.txt").write_text(f"{name}\n")
    train, test = read_boxes(make(tmp_path, tmp_path))
    assert train.images.shape == (1, 3, 120, 160) and abs(int(train.images[0, 0, 5, 5]) - 90) < 3
    assert train.boxes[0].tolist() == [[10, 20, 30, 40]]  # the point is left out
    assert test.boxes[0].tolist() == [[0, 0, 160, 120]] and test.labels[0].tolist() == [1]
    assert (tmp_path / "bccd.LICENSE.txt").read_text() == "MIT"


def test_another_folder(tmp_path):
    with pytest.raises(CourseError, match="give a copy of BCCD"):
        make(tmp_path, tmp_path)
