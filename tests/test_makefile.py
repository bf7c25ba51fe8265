"""The Makefile works in a folder of any name; a script plays Python, so nothing is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMES = [
    "O'Brien",
    "two  spaces",
    "a$HOME",
    "ü",
    "卷积",
    "100%",
    "a;b",
    "(x)",
    "#1",
    '"q"',
    "a&b,c",
]
# Writes its arguments to $CALLS, one a line and an empty line after them, and makes what venv does.
_PYTHON = """#!/bin/sh
printf '%s\\n' "$@" '' >> "$CALLS"
if [ "$2" = venv ]; then mkdir -p "$4/bin" && cp "$0" "$4/bin/python"; fi
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture(params=NAMES)
def name(request) -> str:
    return request.param


@pytest.fixture
def make(name, tmp_path, monkeypatch):
    """Function that runs make in a folder of that name and returns the calls of Python."""
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    for inherited in ("MAKEFLAGS", "MFLAGS", "CI", "VENV", "PYTHON", "PORT", "ARGS", "NAMES"):
        monkeypatch.delenv(inherited, raising=False)
    python = tmp_path / name / "python of its own"
    python.parent.mkdir()
    python.write_text(_PYTHON)
    python.chmod(0o755)
    for file in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path / name)

    def run(*arguments: str, folder: Path = tmp_path / name) -> list[list[str]]:
        calls = tmp_path / "calls"
        calls.write_text("")
        command = ["make", "-C", str(folder), *arguments, f"PYTHON={python}".replace("$", "$$")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return [call.split("\n") for call in calls.read_text().split("\n\n")[:-1]]

    return run


def modules(calls: list[list[str]]) -> list[str]:
    """Return the modules that were run by -m."""
    return [call[1] for call in calls if call[0] == "-m"]


def test_a_folder_of_any_name_is_installed_once_and_again_when_moved(make, name, tmp_path):
    server = ["-m", "jupyterlab", "--config=jupyter_lab_config.py", "--port=9000", "--no-browser"]
    lab = ("lab", "PORT=9000", "ARGS=--no-browser")
    first, second = make(*lab), make(*lab)
    assert modules(first) == ["venv", "pip", "jupyterlab"] and first[-1] == server
    assert first[1] == ["-m", "venv", "--clear", ".venv"]
    assert second == [server]
    (tmp_path / name / ".venv" / ".course-installed").unlink()
    assert modules(make(*lab)) == ["pip", "pip", "jupyterlab"], "without a new environment"
    moved = tmp_path / f"new {name}"
    shutil.copytree(tmp_path / name, moved)
    assert modules(make(*lab, folder=moved)) == ["venv", "pip", "jupyterlab"]
    assert make(*lab, folder=moved) == [server]


def test_every_goal_works_in_a_folder_of_any_name(make, name, tmp_path):
    assert modules(make("lint"))[-4:] == ["pip", "ruff", "ruff", "tests.plain_english"]
    assert modules(make("lint")) == ["ruff", "ruff", "tests.plain_english"]
    assert modules(make("unit")) == modules(make("browser")) == modules(make("nbval")) == ["pytest"]
    assert make("notebooks", "NAMES=01 O'Brien") == [
        ["-m", "tests.notebooks.refresh", "01", "O'Brien"]
    ]
    make("clean")
    assert not (tmp_path / name / ".venv").exists()


@pytest.mark.parametrize("name", ["course"], indirect=True)
@pytest.mark.parametrize(
    "venv", ["O'Brien's", "two  spaces", "100%", "ü", "a;b", "(x)", "#1", "x:y"]
)
def test_an_environment_of_any_name(make, venv, tmp_path):
    assert modules(make("lint", f"VENV={venv}"))[:3] == ["venv", "pip", "pip"]
    assert (tmp_path / "course" / venv / ".course-installed-test").exists()
    assert modules(make("lint", f"VENV={venv}")) == ["ruff", "ruff", "tests.plain_english"]
    make("clean", f"VENV={venv}")
    assert not (tmp_path / "course" / venv).exists()


def test_an_old_python_is_refused_in_words(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    old = "import sys; sys.version_info = (3, 9, 1, 'final', 0)"
    (tmp_path / "sitecustomize.py").write_text(old)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = ["make", "-C", str(tmp_path), "lab", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode and not (tmp_path / ".venv").exists()
    assert f"but {sys.executable} is Python 3.9: name another one" in done.stderr
    assert "make lab PYTHON=python3.12" in done.stderr
