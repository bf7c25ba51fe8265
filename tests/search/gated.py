"""A network whose training waits at a gate, so that a test finds a worker in a trial."""

from __future__ import annotations

import os
import time
from pathlib import Path

from torch import Tensor, nn

from tests.toys import toy_model

GATE_VARIABLE = "COURSE_TEST_GATE"


class Gated(nn.Sequential):
    """Trains as soon as the file that the environment variable names exists."""

    def forward(self, x: Tensor) -> Tensor:
        while self.training and not Path(os.environ[GATE_VARIABLE]).exists():
            time.sleep(0.02)
        return super().forward(x)


def make() -> nn.Module:
    return Gated(*toy_model())
