"""Time from a key press on a slider of the Conv2d lab to the new picture on the screen.

It is measured in Chromium and compared with a lower bound: a bare `widgets.Image` on the same page
whose slider only swaps two ready pictures of the lab. Both are used in turn, so that other programs
disturb both alike.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.report import percentile, verdict
from tests.browser.lab import Lab, why_not, write_notebook

ROUNDS = 6
LIMIT_MEDIAN, LIMIT_P95 = 1.3, 1.5
SLIDERS = ("kernel_size", "out_channels", "stride", "dilation")
THERE_AND_BACK = ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft")

_PANEL = """
from course_utils.widgets import conv2d_lab

panel = conv2d_lab()
panel
"""
_FLOOR = """
import base64
import ipywidgets as widgets


def picture():
    return base64.b64decode(panel._repr_mimebundle_()["image/png"])


ready = [picture()]
panel.set(kernel_size=5)
ready.append(picture())
panel.set(kernel_size=3)

slider = widgets.IntSlider(max=100)
image = widgets.Image(value=ready[0], layout={"width": "660px"})
image.add_class("floor-picture")
slider.add_class("floor-slider")
slider.observe(lambda change: setattr(image, "value", ready[change["new"] % 2]), "value")
widgets.VBox([slider, image])
"""


def measure(lab: Lab) -> tuple[list[float], list[float]]:
    """Return the milliseconds until a new picture, for the panel and for the lower bound."""
    panel, floor = [], []
    for _ in range(ROUNDS):
        for name in SLIDERS:
            panel += lab.press(
                *THERE_AND_BACK,
                within=f'.course-panel .widget-slider:has(.widget-label:text-is("{name}"))',
                watched=".course-picture",
            )
            floor += lab.press(*THERE_AND_BACK, within=".floor-slider", watched=".floor-picture")
    lost = (panel + floor).count(None)
    if lost:
        raise RuntimeError(f"{lost} of {len(panel + floor)} presses brought no new picture")
    return panel, floor


def main() -> int:
    reason = why_not()
    if reason:
        print(f"{'slider to picture':<52}not measured: {reason}")
        return 0
    with tempfile.TemporaryDirectory() as folder, Lab(folder) as lab:
        write_notebook(Path(folder, "slider.ipynb"), _PANEL.strip(), _FLOOR.strip())
        lab.open("slider.ipynb")
        lab.run_all()
        if lab.failed_cells():
            raise RuntimeError("\n".join(lab.failed_cells()))
        for within in (".course-panel", ".floor-slider"):
            lab.sliders(within).first.wait_for()
        panel, floor = measure(lab)
    medians = [statistics.median(times) for times in (panel, floor)]
    slowest = [percentile(times, 0.95) for times in (panel, floor)]
    figures = f"median {medians[0]:.0f} ms, bare Image {medians[1]:.0f} ms"
    limits = [
        ("ratio", medians[0] / medians[1], LIMIT_MEDIAN),
        ("ratio of the 95th percentiles", slowest[0] / slowest[1], LIMIT_P95),
    ]
    return verdict("slider to picture", figures, limits)


if __name__ == "__main__":
    sys.exit(main())
