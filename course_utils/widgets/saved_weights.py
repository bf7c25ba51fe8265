"""The weights of a panel's network in a file, for the reader to take away."""

from __future__ import annotations

import os
import re
from itertools import chain, count
from pathlib import Path

from torch import nn

from course_utils.core import save_checkpoint


def save_weights(model: nn.Module, path: str | os.PathLike[str]) -> Path:
    """Write the state dict of a network, on the CPU, whole or not at all; return the path.

    Raises:
        CourseError: the file cannot be written.
    """
    save_checkpoint(path, {name: one.detach().cpu() for name, one in model.state_dict().items()})
    return Path(path)


def new_file(network: str, ending: str = ".pt", mark: str = "_edited") -> Path:
    """Return a path in the current folder that nothing has: "first_cnn_edited.pt", or with _2."""
    name = re.sub(r"\W+", "_", network) + mark
    ends = chain([""], map("_{}".format, count(2)))
    paths = (Path(f"{name}{end}{ending}") for end in ends)
    return next(path for path in paths if not os.path.lexists(path))


def how_to_load(path: Path) -> str:
    """Return the sentence about a saved file."""
    if path.suffix == ".onnx":
        return f'Saved in the file {path}. Run it: compress.run_onnx("{path}", images).'
    load = f'model.load_state_dict(torch.load("{path}"))'
    return f"Saved in the file {path}. Make the network with the code, then load them: {load}."
