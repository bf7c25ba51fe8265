"""What all tests share: nothing of the user's own data, and no verdict that hangs on the load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

# On a busy machine any example may be slow; in CI the same examples are tried every time.
settings.register_profile("course", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("course")


@pytest.fixture(scope="session", autouse=True)
def only_the_shipped_data(tmp_path_factory):
    """`COURSE_DATA_DIR` is for the tests of CIFAR-10 alone; they read it when collected."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COURSE_DATA_DIR", raising=False)
        patch.setenv("COURSE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def run_python():
    """Function that runs a program in a fresh Python and returns what it prints.

    A program that fails is an `AssertionError` with its traceback.
    """

    def run(program: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
