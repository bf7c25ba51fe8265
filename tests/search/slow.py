"""A network that crawls in a worker that is meant to be caught in the middle of a trial."""

from __future__ import annotations

import os
import time

from torch import Tensor, nn

from tests.toys import toy_model

VARIABLE = "COURSE_TEST_SLOW"


class Crawling(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            time.sleep(float(os.environ.get(VARIABLE, "0")))
        return super().forward(x)


def make() -> nn.Module:
    """The toy network; a training step lasts as many seconds as the environment variable says."""
    return Crawling(*toy_model())
