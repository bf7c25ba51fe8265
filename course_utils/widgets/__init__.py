"""The live panels, used by every notebook. Only this room imports ipywidgets or IPython.

A panel is imported when its name is first used.
"""

from __future__ import annotations

from course_utils.core.lazy import export_lazily

__all__ = export_lazily(
    __name__,
    {
        "adversarial_panel.panel": "adversarial_panel",
        "adversarial_panel.targeted": "targeted_panel",
        "channel_stepper.panel": "channel_stepper",
        "conv2d_lab": "conv2d_lab",
        "convolution_stepper.panel": "convolution_stepper",
        "detection_panel.panel": "detection_panel",
        "drawing_panel.panel": "drawing_panel",
        "evaluation_panel.panel": "evaluation_panel",
        "improve_panel.panel": "improve_panel",
        "initialisation_panel": "initialisation_panel",
        "kernel_playground.panel": "kernel_playground",
        "ladder_panel": "ladder_panel",
        "one_click.panel": "one_click_lab",
        "own_pictures_panel.panel": "own_pictures_panel",
        "pruning_panel.panel": "pruning_panel",
        "quantization_panel.panel": "quantization_panel",
        "regularisation_panel.panel": "regularisation_panel",
        "schedule_panel.panel": "schedule_panel",
        "silence_panel.panel": "silence_panel",
        "temperature_panel": "temperature_panel",
        "tradeoff_panel": "tradeoff_panel",
        "training_panel.panel": "training_panel",
        "valley_panel": "valley_panel",
    },
)
