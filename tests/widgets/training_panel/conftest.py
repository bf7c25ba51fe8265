"""Training panels that draw nothing, because a picture takes longer than these trainings."""

from __future__ import annotations

import pytest

from course_utils.widgets.training_panel.panel import TrainingPanel

DRAW = TrainingPanel.picture


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch):
    monkeypatch.setattr(TrainingPanel, "picture", lambda self, view: repr(view.losses).encode())


@pytest.fixture
def drawn(_undrawn, monkeypatch):
    """Let the panels of this test draw."""
    monkeypatch.setattr(TrainingPanel, "picture", DRAW)
