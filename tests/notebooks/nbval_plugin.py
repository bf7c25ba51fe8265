"""Settings and checks for which nbval has no option of the command line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable
from typing import Any

import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

from tests.notebooks import pictures
from tests.notebooks.after_cells import cell_after

PATIENCE = 600
"""Seconds to wait for a message of the kernel. nbval's own 5 are too few on a busy machine."""


def pytest_collection_modifyitems(items: Iterable[Any]) -> None:
    """Let each cell wait for its outputs as long as for its end."""
    for item in items:
        if hasattr(item, "output_timeout"):
            item.output_timeout = PATIENCE


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: Any) -> Generator[None, Any, Any]:
    """Add the checks of a notebook, as a cell after its last one."""
    report = yield
    cell = cell_after(collector.path) if isinstance(collector, IPyNbFile) else None
    if cell is not None and report.result:
        number = report.result[-1].cell_num + 1
        options = defaultdict(bool, check=True)
        more = {"cell_num": number, "cell": cell, "options": options}
        report.result.append(IPyNbCell.from_parent(collector, name="checks", **more))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: Any) -> Generator[None, Any, Any]:
    """After a cell has run, let it fail if a picture is damaged, blank or missing."""
    result = yield
    outputs = getattr(item, "test_outputs", None)
    if outputs is not None:
        found = pictures.faults(outputs) + pictures.missing(item.cell.outputs, outputs)
        if found:
            pytest.fail("; ".join(found), pytrace=False)
    return result
