"""nbval's cells wait long enough for their outputs, also on a busy machine."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from nbval.plugin import IPyNbCell

from tests.notebooks.nbval_plugin import PATIENCE, pytest_collection_modifyitems


def test_cells_wait_minutes_for_their_outputs():
    config = SimpleNamespace(option=SimpleNamespace(color="no"))
    parent = SimpleNamespace(parent=SimpleNamespace(config=config))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pytest.Item.__init__", lambda *_: None)
        cell = IPyNbCell.__new__(IPyNbCell)
        IPyNbCell.__init__(cell, "cell", parent, 0, None, {})
    assert cell.output_timeout < PATIENCE
    pytest_collection_modifyitems([cell, object()])
    assert cell.output_timeout == PATIENCE
