"""Settings for all tests: they use none of the user's data and do not depend on the load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

# On a busy machine any example may be slow. In CI the examples are the same in each run.
settings.register_profile("course", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("course")

# PyTorch gives many of its warnings once per process. Here they come every time, so that whether a
# test sees one does not depend on which tests ran before it.
torch.set_warn_always(True)


@pytest.fixture(scope="session", autouse=True)
def only_the_shipped_data(tmp_path_factory):
    """Hide `COURSE_DATA_DIR` and the cache; the tests of the real CIFAR-10 read it before this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COURSE_DATA_DIR", raising=False)
        patch.setenv("COURSE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def run_python():
    """Function that runs a program in a new Python process and returns what it prints.

    It raises an `AssertionError` with the traceback if the program fails.
    """

    def run(program: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
