"""A chain of edits with undo and redo, which can be written as plain Python."""

from __future__ import annotations

import copy
import keyword
import operator
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from course_utils.conv.edit.edit import edit_conv
from course_utils.conv.edit.report import EditReport
from course_utils.core import CourseError, check_network

_LINE = 88  # columns of a line of the written code, as in most formatters


class _Edited(NamedTuple):
    """A model, the report of the edit that made it, its arguments, and what the model takes."""

    model: nn.Module
    report: EditReport
    arguments: dict[str, Any]
    example_input: Any


class ConvEditor:
    """Edits of one model, one after the other, with undo and redo.

    Each edit makes a new model and keeps the one before, so undo returns the same object, bit for
    bit. This costs memory: one whole model for every edit in the chain, undone ones too. Training
    `editor.model` trains only that model: undo leaves the training, redo comes back to it.

    Args:
        model: the network at the start; it is never changed.
        example_input: a batch (N, C, H, W) that the model takes, or what else `edit_conv` takes.
            Only its shape counts.
        options: further arguments for every `edit_conv`, such as `importance="l2"`.

    Raises:
        CourseError: if `options` has `return_report` or `dry_run`, because every edit returns its
            report.

    >>> from course_utils.models.simple import SimpleCNN
    >>> editor = ConvEditor(SimpleCNN(), torch.zeros(1, 1, 28, 28))
    >>> report = editor.edit("conv1", out_channels=24)
    >>> editor.model.conv2.in_channels, editor.undo().conv2.in_channels
    (24, 16)
    >>> _ = editor.redo()
    >>> print(editor.code())
    import torch
    <BLANKLINE>
    from course_utils.conv import edit_conv
    <BLANKLINE>
    example_input = torch.zeros(1, 1, 28, 28)  # only its shape counts
    model = edit_conv(model, "conv1", example_input=example_input, out_channels=24)
    <BLANKLINE>
    """

    def __init__(self, model: nn.Module, example_input: Any = None, **options: Any) -> None:
        check_network(model)
        _check_arguments(options)
        self.example_input = example_input
        self._options = copy.deepcopy(options)
        self._first = model
        self._chain: list[_Edited] = []
        self._done = 0  # number of edits that lead to the current model; the others are undone

    @property
    def model(self) -> nn.Module:
        """Return the network after all edits that are not undone."""
        return self._chain[self._done - 1].model if self._done else self._first

    @property
    def reports(self) -> tuple[EditReport, ...]:
        """Return the reports of all edits that are not undone, first edit first."""
        return tuple(edited.report for edited in self._chain[: self._done])

    @property
    def can_undo(self) -> bool:
        """Return whether there is an edit to undo."""
        return self._done > 0

    @property
    def can_redo(self) -> bool:
        """Return whether there is an undone edit."""
        return self._done < len(self._chain)

    def edit(self, name: str, **changes: Any) -> EditReport:
        """Change the convolution `name` of the current model; `model` is the result.

        Edits that were undone before are lost. If the edit fails, nothing changes.

        Args:
            name: of the layer, as in `model.get_submodule(name)`.
            changes: arguments of `nn.Conv2d`, and those of `edit_conv` for this edit only. After
                `in_channels` the next edits use an example with the new number of channels.

        Raises:
            CourseError: any error of `edit_conv`: `ImpossibleSetting` for settings that no layer
                can have, `EditError` where the rest of the network cannot follow.
        """
        _check_arguments(changes)
        arguments = self._options | copy.deepcopy(changes)
        example = self._chain[self._done - 1].example_input if self._done else self.example_input
        model, report = edit_conv(
            self.model, name, example_input=example, return_report=True, **arguments
        )
        if "in_channels" in arguments and example is not None:
            example = report.example_input  # its pictures may have other channels now
        self._chain[self._done :] = [_Edited(model, report, arguments, example)]
        self._done += 1
        return report

    def undo(self) -> nn.Module:
        """Take the last edit back; return the model before it.

        Raises:
            CourseError: if there is no edit to undo.
        """
        if not self.can_undo:
            raise CourseError("There is nothing to undo: this is the first model of the chain.")
        self._done -= 1
        return self.model

    def redo(self) -> nn.Module:
        """Make the edit again that was undone last; return its model.

        Raises:
            CourseError: if nothing was undone, or another edit was made since.
        """
        if not self.can_redo:
            why = "no edit was undone, or another one was made since"
            raise CourseError(f"There is nothing to redo: {why}.")
        self._done += 1
        return self.model

    def code(self, variable: str = "model") -> str:
        """Return the chain as Python, for a project where `variable` is the first model.

        It has no undone edits, and no training between the edits.

        Args:
            variable: a name, or one with dots such as "self.backbone".

        Raises:
            CourseError: if `variable` is not such a name, or an argument cannot be written as text
                (a function, say).
        """
        _check_variable(variable)
        edits = self._chain[: self._done]
        if not edits:
            return f"# No edit so far: {variable} is unchanged."
        lines, shared = ["from course_utils.conv import edit_conv", ""], []
        if self.example_input is not None:
            lines = ["import torch", "", *lines]
            lines.append(f"example_input = {_literal(self.example_input)}  # only its shape counts")
            shared = ["example_input=example_input"]
        for edited in edits:
            settings = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in edited.arguments.items()
            }
            written = [f"{key}={_literal(value)}" for key, value in settings.items()]
            written = [variable, _literal(edited.report.name), *shared, *written]
            line = f"{variable} = edit_conv({', '.join(written)})"
            if len(line) > _LINE:
                line = (
                    "\n    ".join([f"{variable} = edit_conv(", *(f"{x}," for x in written)]) + "\n)"
                )
            lines.append(line)
            if "in_channels" in edited.arguments and shared:
                lines.append(f"example_input = {_literal(edited.example_input)}")
        return "\n".join(lines) + "\n"


def _check_arguments(arguments: dict[str, Any]) -> None:
    for option in ("return_report", "dry_run"):
        if option in arguments:
            raise CourseError(f"{option} cannot be set here: every edit returns its report.")
    if "example_input" in arguments:
        text = "example_input is the same for the whole chain: ConvEditor(model, example_input)."
        raise CourseError(text)


def _check_variable(variable: str) -> None:
    parts = variable.split(".")
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in parts):
        name = f"{variable!r} is not a variable name"
        raise CourseError(f"{name}: give one such as 'model' or 'self.backbone'.")
    if variable in ("torch", "edit_conv", "example_input"):
        raise CourseError(f"The code needs the name {variable} itself: give another one.")


def _literal(value: Any) -> str:
    """Return Python code for a value; for a tensor zeros of its shape, dtype and device."""
    match value:
        case None | bool() | float():
            return repr(value)
        case str():
            return repr(value) if '"' in value or "\\" in value else f'"{value}"'
        case list():
            return f"[{', '.join(map(_literal, value))}]"
        case tuple() if type(value) in (tuple, torch.Size):
            inner = ", ".join(map(_literal, value))
            return f"({inner},)" if len(value) == 1 else f"({inner})"
        case Mapping():
            pairs = (f"{_literal(key)}: {_literal(item)}" for key, item in value.items())
            return f"{{{', '.join(pairs)}}}"
        case Tensor():
            options = "" if value.dtype == torch.float32 else f", dtype={value.dtype}"
            options += "" if value.device.type == "cpu" else f', device="{value.device}"'
            return f"torch.zeros({', '.join(map(str, value.shape)) or '()'}{options})"
    try:  # NumPy's integers, too
        return repr(operator.index(value))
    except TypeError:
        raise CourseError(
            f"{value!r} can't be written as plain Python: give numbers, strings, lists or tensors."
        ) from None
