"""Time from a key press on a slider of a lab to the new picture on the screen.

It is measured in Chromium and compared with a lower bound: a bare `widgets.Image` on the same page
whose slider only swaps two ready pictures of the lab. Both are used in turn, so that other programs
disturb both alike.

- The Conv2d lab: four of its sliders, there and back.
- The one-click lab on three networks: one channel more with each press, so every press is an edit
  that the lab has not made before. The goals are 150 ms for the course's small network and 300 ms
  for the two large ones, on a quiet machine with two cores.
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

_NETWORK = """
import torchvision
from course_utils.models import SimpleCNN, load_pretrained
from course_utils.widgets import one_click_lab

{name} = one_click_lab({model}, layer="{layer}")
{name}.add_class("lab-{name}")
{name}
"""
NETWORKS = {
    "simple_cnn": {"model": "SimpleCNN().eval()", "layer": "conv1", "goal": 150},
    "lite0": {
        "model": 'load_pretrained("efficientnet_lite0")',
        "layer": "stage3.1.expand.conv",
        "goal": 300,
    },
    "resnet18": {"model": "torchvision.models.resnet18()", "layer": "layer2.0.conv1", "goal": 300},
}


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


def measure_edits(lab: Lab, name: str) -> tuple[list[float], list[float]]:
    """Return the milliseconds until a new picture, for the one-click lab on a network and below."""
    panel, floor = [], []
    slider = f'.lab-{name} .widget-slider:has(.widget-label:text-is("out_channels"))'
    for _ in range(ROUNDS):
        panel += lab.press(
            *["ArrowRight"] * 4, within=slider, watched=f".lab-{name} .course-picture"
        )
        floor += lab.press(*THERE_AND_BACK, within=".floor-slider", watched=".floor-picture")
    if None in panel + floor:
        raise RuntimeError(f"some of {len(panel + floor)} presses brought no new picture")
    return panel[1:], floor[1:]  # the first edit of a network imports modules


def main() -> int:
    reason = why_not()
    if reason:
        print(f"{'slider to picture':<52}not measured: {reason}")
        return 0
    with tempfile.TemporaryDirectory() as folder, Lab(folder) as lab:
        networks = [_NETWORK.format(name=name, **values) for name, values in NETWORKS.items()]
        cells = (_PANEL, _FLOOR, *networks)
        write_notebook(Path(folder, "slider.ipynb"), *(cell.strip() for cell in cells))
        lab.open("slider.ipynb")
        lab.run_all()
        if lab.failed_cells():
            raise RuntimeError("\n".join(lab.failed_cells()))
        for within in (".course-panel", ".floor-slider", *(f".lab-{name}" for name in NETWORKS)):
            lab.sliders(within).first.wait_for()
        status = report("slider to picture", *measure(lab))
        for name, values in NETWORKS.items():
            status |= report_edits(name, values["goal"], *measure_edits(lab, name))
    return status


def report_edits(name: str, goal: int, panel: list[float], floor: list[float]) -> int:
    """Print a line for the one-click lab on a network; return the exit status."""
    figures = f"median {statistics.median(panel):.0f} ms, bare Image {statistics.median(floor):.0f}"
    figures += f" ms (95th percentile {percentile(floor, 0.95):.0f})"
    return verdict(f"edit to picture: {name}", figures, [("p95", percentile(panel, 0.95), goal)])


def report(name: str, panel: list[float], floor: list[float]) -> int:
    """Print a line for the Conv2d lab; return the exit status."""
    medians = [statistics.median(times) for times in (panel, floor)]
    slowest = [percentile(times, 0.95) for times in (panel, floor)]
    figures = f"median {medians[0]:.0f} ms, bare Image {medians[1]:.0f} ms"
    limits = [
        ("ratio", medians[0] / medians[1], LIMIT_MEDIAN),
        ("ratio of the 95th percentiles", slowest[0] / slowest[1], LIMIT_P95),
    ]
    return verdict(name, figures, limits)


if __name__ == "__main__":
    sys.exit(main())
