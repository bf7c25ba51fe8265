"""The checks of a notebook run after its cells, in its kernel, with refresh and with nbval."""

from __future__ import annotations

import ast

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.notebooks import after_cells, refresh

PATHS = sorted(after_cells.CHECKS.glob("*.py"))
SMALL = 'def check(notebook):\n    assert notebook.share > 0.5, f"a share of {notebook.share}"\n'


@pytest.mark.parametrize("share", ["0.6", "0.4"])
def test_refresh_writes_only_what_passes(tmp_path, monkeypatch, share):
    monkeypatch.setattr(after_cells, "CHECKS", tmp_path)
    (tmp_path / "small.py").write_text(SMALL)
    path = tmp_path / "small.ipynb"
    cells = [new_code_cell(f"share = {share}"), new_code_cell("check = print\nshare")]
    nbformat.write(new_notebook(cells=cells), path)
    changed, found = refresh.refresh(path)
    assert changed == (share == "0.6")
    assert bool(found) != changed and (changed or "a share of 0.4" in found[0])
    assert len(nbformat.read(path, as_version=4).cells) == 2


NBVAL = """
import pathlib, pytest
from tests.notebooks import after_cells
folder = pathlib.Path({folder!r})
after_cells.CHECKS = folder
options = "--nbval --nbval-current-env -q -p no:cacheprovider -p tests.notebooks.nbval_plugin"
pytest.main([*options.split(), "--rootdir", str(folder), str(folder / "small.ipynb")])
"""


@pytest.mark.parametrize(("share", "said"), [("0.6", "2 passed"), ("0.4", "1 failed, 1 passed")])
def test_nbval_runs_them(tmp_path, run_python, share, said):
    (tmp_path / "small.py").write_text(SMALL)
    notebook = new_notebook(cells=[new_code_cell(f"share = {share}")])
    nbformat.write(notebook, tmp_path / "small.ipynb")
    assert said in run_python(NBVAL.format(folder=str(tmp_path)))


def test_a_notebook_without_checks_has_none():
    assert after_cells.cell_after("other.ipynb") is None


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_each_belongs_to_a_notebook_and_checks_something(path):
    assert (refresh.NOTEBOOKS / f"{path.stem}.ipynb").exists()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert any(isinstance(node, ast.Assert) for node in ast.walk(tree))
