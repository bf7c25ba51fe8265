"""Which channels of a network belong together, as a table to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from course_utils.conv.edit.draft import Draft, example_inputs
from course_utils.conv.edit.matching import fixed, tied
from course_utils.conv.edit.trace import run

if TYPE_CHECKING:
    import pandas


def channel_table(model: nn.Module, example_input: Any) -> pandas.DataFrame:
    """A row for each axis of each parameter through which channels pass.

    Channels of one number are one and the same for an edit: they are copied, dropped or kept
    together. A channel that must stay (it meets the network's input or output) has no number but •.

    Columns: parameter; does ("gives", "takes", or "passes" for a bias or a normalisation's vector);
    channels (their numbers, in order).

    Raises:
        Exception: whatever the model raises on the input.
    """
    import pandas

    draft = Draft(model)
    (inputs,) = example_inputs(model, example_input)
    trace, _ = run(draft.model, inputs)
    classes = tied(trace)
    stays = fixed(trace, classes)
    numbers: dict[int, int | str] = {}
    rows = []
    for (name, dim), labels in trace.axes.items():
        slots = classes[labels.numpy().reshape(-1)].tolist()
        for c in slots:
            count = sum(isinstance(n, int) for n in numbers.values())
            numbers.setdefault(c, "•" if stays[c] else count + 1)
        if (name, dim) in trace.consumers:
            does = "takes"
        else:
            does = "gives" if name in trace.inputs else "passes"
        rows.append((name, does, [numbers[c] for c in slots]))
    return pandas.DataFrame(rows, columns=["parameter", "does", "channels"])
