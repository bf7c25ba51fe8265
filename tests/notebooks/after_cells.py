"""Checks of what a notebook has computed, which its readers never see.

`checks/NAME.py` belongs to `notebooks/NAME.ipynb`. It defines `check(notebook)`, which runs in the
notebook's kernel after the last cell; `notebook` has the names that the cells have defined.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat import NotebookNode

CHECKS = Path(__file__).parent / "checks"

_CALL = """

check(__import__("types").SimpleNamespace(**{k: v for k, v in globals().items() if k != "check"}))
"""


def cell_after(notebook: Path | str) -> NotebookNode | None:
    """Return the cell that checks a notebook after its last cell; None if it has no checks."""
    path = CHECKS / f"{Path(notebook).stem}.py"
    if not path.exists():
        return None
    return nbformat.v4.new_code_cell(path.read_text(encoding="utf-8") + _CALL)
