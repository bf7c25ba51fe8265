"""The edits of one network in the one-click lab, with undo and redo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from course_utils.conv import ALL_LAYERS, ImpossibleSetting
from course_utils.data import Dataset
from course_utils.widgets.one_click.brief_training import BrieflyTrained
from course_utils.widgets.one_click.edit_result import (
    Edit,
    EditedNetwork,
    EditResult,
    edit_network,
    requested_changes,
    scale_network,
)
from course_utils.widgets.one_click.measured_network import MeasuredNetwork
from course_utils.widgets.one_click.networks import NetworkChoice
from course_utils.widgets.one_click.words import python_code

_KEPT = 4  # edited networks, so that a slider that moves back shows its result at once

Edits = tuple[Edit, ...]
"""All edits that lead from the original network to another one."""


class EditHistory:
    """The applied edits of one network, and its trained copies.

    Args:
        choice: the network.
        data: its images are shown to the network; instead of them photographs, if the network has
            a card with other classes.
        shown: `card`, `photographs` and `side`, as for `MeasuredNetwork.shown`.

    Attributes:
        original: the network before all edits.
        trained: briefly trained copies, by the edits that lead to their networks.

    Raises:
        CourseError: the network accepts no usual image shape, as in `find_input_shape`, or no
            photograph.
    """

    def __init__(self, choice: NetworkChoice, data: Dataset, **shown: Any):
        self._choice = choice
        self.original = MeasuredNetwork.shown(choice.make(), data, **shown)
        self.trained: dict[Edits, BrieflyTrained] = {}
        self._chain: list[EditedNetwork] = []  # the applied edits, and after them the undone ones
        self._applied = 0
        self._previews: dict[Edits, EditedNetwork] = {}

    @property
    def current(self) -> MeasuredNetwork:
        """The network after all applied edits."""
        return self._chain[self._applied - 1].network if self._applied else self.original

    @property
    def edits(self) -> Edits:
        """The applied edits."""
        return tuple(edited.edit for edited in self._chain[: self._applied])

    @property
    def can_undo(self) -> bool:
        return self._applied > 0

    @property
    def can_redo(self) -> bool:
        return self._applied < len(self._chain)

    def preview(
        self, layer: str, wanted: Mapping[str, Any], index: int = 0, width: float = 1
    ) -> EditResult:
        """Return the current network with and without the wanted settings of one layer.

        Args:
            wanted: a value for each of `CHANGEABLE`.
            index: of the held-out image whose maps are shown.
            width: multiplier of all widths; other than 1 only without changes of the layer.

        Raises:
            ImpossibleSetting: both are asked for, or no layer can have such settings.
            EditError: as for `edit_network` and `scale_network`.
        """
        changes = self.changes(layer, wanted)
        if width != 1 and changes:
            raise ImpossibleSetting(
                f"The width × {width:g} changes every layer: apply it first, then change {layer}.",
                nearest={"width": 1.0},
            )
        edited = self._edited(layer, changes) if changes else None
        if width != 1:
            edited = self._edited(ALL_LAYERS, {"width_multiplier": width})
        index = min(index, len(self.current.held_out) - 1)
        original = self.original if self.edits else None
        result = EditResult(self.current, layer, edited, index, original)
        copies = (self.trained.get(edits) for edits in (self.edits, self._edits_of(result)))
        return replace(result, trained=tuple(copy and copy.accuracy for copy in copies))

    def changes(self, layer: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Return the wanted settings that differ from those of the layer."""
        return requested_changes(self.current.convs[layer], wanted)

    def apply(self, result: EditResult) -> None:
        """Let the next edit start from the edited network of a result."""
        self._chain[self._applied :] = [result.edited]
        self._applied += 1

    def undo(self) -> None:
        """Take the last applied edit back; not without `can_undo`."""
        self._applied -= 1

    def redo(self) -> None:
        """Apply again the edit that was taken back last; not without `can_redo`."""
        self._applied += 1

    def not_trained(self, result: EditResult) -> dict[Edits, MeasuredNetwork]:
        """Return the networks of a result without a trained copy, the edited one first."""
        networks = {self._edits_of(result): result.after}
        networks.setdefault(self.edits, result.before)
        return {edits: one for edits, one in networks.items() if edits not in self.trained}

    def trained_copy(self, result: EditResult) -> BrieflyTrained | None:
        """Return the trained copy of the edited network of a result."""
        return self.trained.get(self._edits_of(result))

    def code(self, result: EditResult) -> str:
        """Return Python code that makes the edited network of a result, applied edits included."""
        return python_code(self._choice, self.original.held_out.shape, self._edits_of(result))

    def _edits_of(self, result: EditResult) -> Edits:
        return (*self.edits, result.edited.edit) if result.edited else self.edits

    def _edited(self, layer: str, changes: dict[str, Any]) -> EditedNetwork:
        edits = (*self.edits, Edit(layer, tuple(changes.items())))
        if edits not in self._previews:
            self._previews[edits] = (
                scale_network(self.current, changes["width_multiplier"])
                if layer == ALL_LAYERS
                else edit_network(self.current, layer, changes)
            )
            if len(self._previews) > _KEPT:
                del self._previews[next(iter(self._previews))]
        return self._previews[edits]
