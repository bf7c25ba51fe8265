from __future__ import annotations

import importlib

from course_utils import widgets


def test_every_panel_is_public():
    assert set(widgets.__all__) <= set(dir(widgets))
    for name in widgets.__all__:
        if name in ("conv2d_lab", "initialisation_panel"):  # a module has the same name
            importlib.import_module(f"course_utils.widgets.{name}")
        assert callable(getattr(widgets, name)), name


def test_a_panel_imports_only_what_it_needs(run_python):
    """Not the other panels; and Optuna with the first improve panel, not at its first click."""
    run_python("""
import sys
import course_utils.widgets as w

assert not {"ipywidgets", "torch"} & sys.modules.keys()
w.convolution_stepper
room = {name for name in sys.modules if name.startswith("course_utils.widgets.")}
assert "course_utils.widgets.convolution_stepper.panel" in room
for other in ("conv2d_lab", "kernel_playground", "training_panel", "regularisation_panel"):
    assert f"course_utils.widgets.{other}" not in room, other
heavy = {"matplotlib.pyplot", "torchvision"}
assert not heavy & sys.modules.keys()
w.improve_panel
assert not {"optuna", "matplotlib.pyplot"} & sys.modules.keys()
w.improve_panel(budget="3 trials")
assert "optuna" in sys.modules and "matplotlib.pyplot" not in sys.modules
""")
