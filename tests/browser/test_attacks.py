"""The panels of attacks in a browser: ε by keyboard, PGD from the list, and the button Attack."""

from __future__ import annotations

import pytest

from tests.browser.lab import says, show_code

_CELLS = (
    "from course_utils.widgets import adversarial_panel, targeted_panel\n"
    "panel = adversarial_panel()\npanel",
    "targets = targeted_panel(steps=5)\ntargets",
)


@pytest.fixture(scope="module")
def lab(run_cells):
    return run_cells(*_CELLS, size=(1280, 1000))


def group(lab, name):
    """Return Playwright's locator of a panel."""
    return lab.page.get_by_role("group", name=name, exact=True)


def test_the_keyboard_moves_epsilon(lab):
    panel = group(lab, "Adversarial panel")
    panel.get_by_role("slider", name="ε").press("End")
    says(panel, "FGSM with ε = 32/255")
    assert lab.kernel("panel.settings['level']") == 32


def test_pgd_has_a_curve_once_it_is_chosen(lab):
    panel = group(lab, "Adversarial panel")
    panel.get_by_role("combobox", name="attack").select_option(label="PGD")
    says(panel, "PGD with ε = 32/255 in 10 steps")
    assert lab.kernel("sorted(panel.result.curves)") == ["fgsm", "noise", "pgd"]
    show_code(panel, 'attack("pgd", model')


def test_the_button_attacks_the_photograph(lab):
    panel = group(lab, "Targeted attack")
    panel.get_by_role("combobox", name="target").select_option(label="banana")
    says(panel, "Press Attack")
    panel.get_by_role("button", name="Attack").click()
    says(panel, "attacked ")
    assert lab.kernel("len(targets.result.path)") == 6
    assert lab.kernel("targets.result.path[-1]") > lab.kernel("targets.result.path[0]")
    assert lab.kernel("panel.error + targets.error") == "" and not lab.errors
