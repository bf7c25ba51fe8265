from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stress.crashes import CLASSES, random_network

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the command needs fork")
def test_no_network_of_a_sample_dies():
    command = [sys.executable, "-m", "tests.stress.crashes", "--only", "AVX2", "--first", "0"]
    command += ["--networks", "5"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, ""), result
    assert result.stdout.splitlines() == ["--- AVX2", "5: {'survived': 5}"]


@pytest.mark.parametrize("seed", [0, 3, 4])
def test_a_seed_is_a_network_and_its_pictures(seed):
    (model, images), (again, others) = random_network(seed), random_network(seed)
    assert str(model) == str(again) and images.equal(others)
    assert model.eval()(images).shape == (len(images), CLASSES)
