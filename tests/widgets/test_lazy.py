from __future__ import annotations

import importlib

import pytest

from course_utils import widgets


def test_every_panel_can_be_had_from_the_package():
    assert set(widgets.__all__) <= set(dir(widgets))
    for name in widgets.__all__:
        assert callable(getattr(widgets, name)), name


def test_a_panel_stays_what_it_is_when_its_module_is_imported():
    for name in ("conv2d_lab", "initialisation_panel"):
        importlib.import_module(f"course_utils.widgets.{name}")
        assert callable(getattr(widgets, name)), name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'slider'"):
        _ = widgets.slider


def test_asking_for_one_panel_imports_no_other(run_python):
    printed = run_python(
        "import sys, course_utils.widgets as w\n"
        "assert 'ipywidgets' not in sys.modules and 'torch' not in sys.modules\n"
        "w.convolution_stepper\n"
        "print(*sorted(m for m in sys.modules if m.startswith('course_utils.widgets.')))\n"
        "print('matplotlib.pyplot' in sys.modules, 'torchvision' in sys.modules)\n"
    )
    modules, heavy = printed.splitlines()
    assert "course_utils.widgets.convolution_stepper.panel" in modules
    for other in ("conv2d_lab", "kernel_playground", "training_panel", "regularisation_panel"):
        assert f"course_utils.widgets.{other}" not in modules.split()
    assert heavy == "False False"
