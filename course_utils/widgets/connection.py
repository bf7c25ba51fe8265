"""The sentences of a panel without Python, and the question whether Python still answers.

After a restart of the kernel JupyterLab marks the widgets of the page that asked for the restart.
But if the same notebook is open in a second tab, nothing tells the widgets there. So the script of
`page` asks when the reader comes to a panel: it clicks a hidden button, and Python changes a hidden
number. `page` has the style sheet, too, which shows one of the sentences.
"""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

# A panel needs the variables of the cells before it.
_AGAIN = "To use it again, choose Run → Run All Cells in the menu."
LOST = f"This panel is no longer connected, because the kernel was restarted or has ended. {_AGAIN}"
SILENT = (
    "Python does not answer. If a cell is running, marked by [*], wait for its end. If not, this "
    f"panel is no longer connected, for example because the kernel was restarted. {_AGAIN}"
)


class Connection(widgets.VBox):
    """Both sentences, a button for the question, and the number of answers; all hidden at first."""

    def __init__(self) -> None:
        self._ask, self._answers = widgets.Button(description="Ask Python"), widgets.Label("0")
        self._ask.on_click(self._answer)
        hidden = widgets.Box([self._ask, self._answers], layout={"display": "none"})
        lost, silent = widgets.HTML(LOST), widgets.HTML(SILENT)
        lost.add_class("course-lost")
        silent.add_class("course-silent")
        super().__init__([hidden, lost, silent])
        self.add_class("course-connection")

    def _answer(self, _button: Any) -> None:
        self._answers.value = str(int(self._answers.value) + 1)
