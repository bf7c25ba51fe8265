"""A JupyterLab in a browser for each test module that needs one; skipped without a browser."""

from __future__ import annotations

import shutil

import pytest

from tests.browser import lab as lab_module


def pytest_collection_modifyitems(items):
    folder = str(lab_module.ROOT / "tests" / "browser")
    for item in items:
        if str(item.path).startswith(folder) and "open_lab" in item.fixturenames:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def course_copy(tmp_path_factory):
    """Copy what the reader sees, because the page must not save into the repository."""
    copy = tmp_path_factory.mktemp("course")
    ignored = shutil.ignore_patterns(".ipynb_checkpoints")
    shutil.copytree(lab_module.ROOT / "notebooks", copy / "notebooks", ignore=ignored)
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(lab_module.ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def open_lab(course_copy):
    """Return a function that starts a `Lab` on the copy, until the module's last test."""
    reason = lab_module.why_not()
    if reason:
        pytest.skip(reason)
    started = []

    def start(**options):
        started.append(lab_module.Lab(course_copy, **options))
        return started[-1]

    yield start
    for lab in started:
        lab.close()


@pytest.fixture(scope="module")
def run_cells(open_lab, course_copy):
    """Return a function that runs a notebook of the given cells in a new `Lab`."""

    def run(*sources, **options):
        lab_module.write_notebook(course_copy / "cells.ipynb", *sources)
        lab = open_lab(**options)
        lab.open("cells.ipynb")
        lab.run_all()
        return lab

    return run
