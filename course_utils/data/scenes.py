"""Drawn scenes with large shapes and small dots, with two questions about the same pictures.

The dots are coloured at random. Asked for its colour, a dot can be answered by itself; asked for
the shape that it sits in, one must look farther than the dot.
"""

from __future__ import annotations

import numpy as np
import torch

from course_utils.core import whole_number
from course_utils.data.boxes import BoxSet

SHAPES = ("disc", "square", "triangle")
COLOURS = {"red": (200, 60, 60), "green": (60, 170, 60), "blue": (70, 90, 210)}
SIDE = 128
"""Height and width of a scene in pixels."""

_CELL = SIDE // 2  # each shape lies in a quarter of the scene
_DOT = 3  # radius
_INSIDE = 9  # the least distance of a dot's middle from the edge of its shape


def draw_scenes(count: int, *, context: bool, seed: int = 0) -> BoxSet:
    """Return scenes of two or three shapes, each with one or two dots of 7 pixels in it.

    Args:
        count: Number of scenes.
        context: Whether the class of a dot is the shape that it sits in ("in disc", ...), otherwise
            it is its colour. The pictures and boxes are the same.
        seed: Of all that is random.

    Returns:
        Pictures of 3×128×128 with six classes: three for shapes of 44 to 62 pixels, three for dots.

    Raises:
        CourseError: If `count` is below 0.
    """
    whole_number("count", count, 0)
    rng = np.random.default_rng(seed)
    scenes = [_scene(rng, context) for _ in range(count)]
    images = np.array([scene[0] for scene in scenes], dtype=np.uint8)
    dots = tuple(f"in {shape}" for shape in SHAPES) if context else tuple(COLOURS)
    return BoxSet(
        torch.from_numpy(images.reshape(-1, 3, SIDE, SIDE)),
        tuple(torch.tensor(scene[1], dtype=torch.float32) for scene in scenes),
        tuple(torch.tensor(scene[2]) for scene in scenes),
        (*SHAPES, *dots),
    )


def _scene(rng: np.random.Generator, context: bool) -> tuple[np.ndarray, list, list[int]]:
    """Return a picture (3, SIDE, SIDE), its boxes and their labels."""
    picture = np.full((SIDE, SIDE, 3), rng.integers(90, 160), dtype=np.float32)
    boxes, labels = [], []
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for cell in rng.permutation(4)[: rng.integers(2, 4)]:
        shape, side = int(rng.integers(3)), int(rng.integers(44, _CELL - 1))
        left, top = cell % 2 * _CELL, cell // 2 * _CELL
        left, top = (start + int(rng.integers(0, _CELL - side + 1)) for start in (left, top))
        y, x = rows + 0.5 - top, columns + 0.5 - left
        # How deep inside a pixel is; below 0 it is outside.
        depth = (_disc, _square, _triangle)[shape](x, y, side)
        picture[depth > 0] += rng.choice((-1, 1)) * rng.integers(30, 70)
        boxes.append([left, top, left + side, top + side])
        labels.append(shape)
        free = depth > _INSIDE
        for _ in range(rng.integers(1, 3)):
            places = np.argwhere(free)
            if not len(places):
                break
            row, column = places[rng.integers(len(places))]
            colour = int(rng.integers(3))
            distance = np.hypot(rows - row, columns - column)
            picture[distance <= _DOT + 0.3] = list(COLOURS.values())[colour]
            boxes.append([column - _DOT, row - _DOT, column + _DOT + 1, row + _DOT + 1])
            labels.append(3 + (shape if context else colour))
            free &= distance > 5 * _DOT
    picture += rng.normal(0, 8, picture.shape)
    return picture.clip(0, 255).astype(np.uint8).transpose(2, 0, 1), boxes, labels


def _disc(x: np.ndarray, y: np.ndarray, side: int) -> np.ndarray:
    return side / 2 - np.hypot(x - side / 2, y - side / 2)


def _square(x: np.ndarray, y: np.ndarray, side: int) -> np.ndarray:
    return np.minimum(np.minimum(x, side - x), np.minimum(y, side - y))


def _triangle(x: np.ndarray, y: np.ndarray, side: int) -> np.ndarray:
    # Distances from the two sloping edges, (±1, 1/2) being their direction's normal, and the base.
    slope = (y / 2 - np.abs(x - side / 2)) / np.hypot(1, 0.5)
    return np.minimum(slope, side - y)
