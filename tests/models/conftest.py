from __future__ import annotations

import pytest
from torch import nn

from course_utils.models import load_pretrained


@pytest.fixture(scope="session")
def lite0() -> nn.Module:
    """EfficientNet-Lite0 with its weights; the tests leave it unchanged."""
    return load_pretrained("efficientnet_lite0")
