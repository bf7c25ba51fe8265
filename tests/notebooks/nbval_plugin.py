"""Settings of nbval that have no option of the command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

PATIENCE = 600
"""Seconds to wait for a message of the kernel. nbval's own 5 are too few on a busy machine."""


def pytest_collection_modifyitems(items: Iterable[Any]) -> None:
    """Let each cell wait for its outputs as long as for its end."""
    for item in items:
        if hasattr(item, "output_timeout"):
            item.output_timeout = PATIENCE
