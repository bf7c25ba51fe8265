"""Imports between `search` and `search.cluster` run one way."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOM = Path(importlib.util.find_spec("course_utils.search").origin).parent
# They are the way in: they name what the modules of the cluster offer.
DOORS = {"__init__", "__main__"}


def test_a_search_in_one_process_does_not_import_the_cluster():
    modules = [path for path in ROOM.glob("*.py") if path.stem not in DOORS]
    assert len(modules) > 10
    assert [p.stem for p in modules if "search.cluster" in p.read_text(encoding="utf-8")] == []
