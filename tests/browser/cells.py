"""Notebooks of a few cells, made for a test or a benchmark."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook


def write_notebook(path: Path, *sources: str) -> None:
    """Write a notebook with one code cell for each source."""
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata["kernelspec"] = kernel
    nbformat.write(notebook, path)
