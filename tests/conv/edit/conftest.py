"""The network and the pictures of the tests of `edit_conv`."""

from __future__ import annotations

import pytest
import torch

from tests.conv.edit.small_networks import Residual


@pytest.fixture
def model() -> Residual:
    torch.manual_seed(0)
    model = Residual().eval()
    model.norm.running_mean.normal_()
    model.norm.running_var.uniform_(0.5, 2)
    return model


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(1))
