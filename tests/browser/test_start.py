"""The first view after `make lab`."""

from __future__ import annotations

import pytest

FIRST = "00_start_here.ipynb"


@pytest.fixture(scope="module")
def lab(open_lab):
    lab = open_lab()
    lab.open()
    return lab


def test_the_first_notebook_is_open(lab):
    assert lab.page.locator(".lm-DockPanel-tabBar .lm-mod-current").inner_text().strip() == FIRST


def test_the_whole_course_is_in_the_file_browser(lab):
    lab.page.locator(".jp-BreadCrumbs-home").click()
    for name in ("README.md", "notebooks"):
        lab.page.locator(".jp-DirListing-itemName", has_text=name).wait_for()


def test_nothing_is_in_front_of_it(lab):
    # The question about Jupyter's news may come late, so its plugin must not run at all.
    news = "'@jupyterlab/apputils-extension:announcements'"
    asks = f"jupyterapp.restored.then(() => jupyterapp.isPluginActivated({news}))"
    assert lab.page.evaluate(asks) is False
    assert lab.page.locator(".Toastify__toast").all_inner_texts() == []
    assert lab.page.locator(".jp-Dialog").count() == 0
    assert lab.errors == []
