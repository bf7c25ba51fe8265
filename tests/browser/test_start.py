"""What a newcomer sees first after `make lab`."""

from __future__ import annotations

import pytest

from tests.browser.lab import ROOT

FIRST = "00_start_here.ipynb"


@pytest.fixture(scope="module")
def lab(open_lab):
    if not (ROOT / "notebooks" / FIRST).exists():
        pytest.skip(f"notebooks/{FIRST} is not written yet")
    lab = open_lab()
    lab.open()
    return lab


def test_the_first_notebook_is_open(lab):
    assert lab.page.locator(".lm-DockPanel-tabBar .lm-mod-current").inner_text().strip() == FIRST


def test_the_whole_course_is_in_the_file_browser(lab):
    lab.page.locator(".jp-BreadCrumbs-home").click()
    for name in ("README.md", "notebooks"):
        lab.page.locator(".jp-DirListing-itemName", has_text=name).wait_for(timeout=10_000)


def test_nothing_stands_in_front_of_it(lab):
    lab.page.wait_for_timeout(1000)  # notifications come late
    assert lab.page.locator(".Toastify__toast").all_inner_texts() == []
    assert lab.page.locator(".jp-Dialog").count() == 0
    assert lab.errors == []
