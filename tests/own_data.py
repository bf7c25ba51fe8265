"""A small data set in a file, like a reader's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def arrays(train: int = 40, test: int = 8, size: int = 5, channels: int | None = None) -> dict:
    """Return the arrays of such a file: random pictures in four classes."""
    shape = (size, size) if channels is None else (size, size, channels)
    random = np.random.default_rng(0)
    return {
        "train_images": random.integers(0, 256, (train, *shape), dtype=np.uint8),
        "train_labels": np.arange(train, dtype=np.uint8) % 4,
        "test_images": random.integers(0, 256, (test, *shape), dtype=np.uint8),
        "test_labels": np.arange(test, dtype=np.uint8) % 4,
        "classes": np.array(["cat", "dog", "hen", "owl"]),
    }


def save(path: Path, **changes) -> Path:
    """Write these arrays to `path`, with some replaced, or left out where the change is None."""
    content = {**arrays(), **changes}
    np.savez_compressed(path, **{key: value for key, value in content.items() if value is not None})
    return path
